/* reply - every answer to the kernel that can be an error: the one place where the sign turns. */
#pragma once

#include "fs.h"

/* 0 or -errno. */
void ttl_reply (fuse_req_t req, int res);
/* @res 0: the entry; if the kernel is not there to hear it, it is forgotten again. */
void ttl_reply_entry (fuse_req_t req, int res, const struct fuse_entry_param *entry);
/* @timeout: how long they are promised, in seconds (promise.h). */
void ttl_reply_attr (fuse_req_t req, int res, const struct stat *st, double timeout);
/* @len: bytes to send from @data, or -errno. Negative when the kernel is not there to hear it. */
int ttl_reply_data (fuse_req_t req, ssize_t len, const void *data);
/* A number of bytes written or copied, or -errno. */
void ttl_reply_count (fuse_req_t req, ssize_t count);
/* For xattrs: the length alone when @size is 0. */
void ttl_reply_xattr (fuse_req_t req, ssize_t len, const void *data, gsize size);
