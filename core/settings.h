/* settings - where the TTLs that users set are kept: in the backing directory, so that every mount and every restart
 * agrees.
 *
 * With user xattrs: user.ttlfs.ttl on the directory or on the file. Without: under BACKING/.ttlfs/settings, a tree
 * that mirrors the buckets (FileStore processes take any file inside a bucket for a key):
 *
 *   .ttlfs/settings/v1/%ttl                   the TTL of bucket v1
 *   .ttlfs/settings/v1/%keys/worker%2D1       the TTL of key worker-1 of bucket v1
 *
 * (a bucket whose own name begins with '%' gets another one in front). A key's setting belongs to a file, not to a
 * name: a key that a peer replaced or that was removed and made again has none, with xattrs and without. Where the
 * setting stands outside of the file it therefore carries the file's inode number, and there is one line for each file
 * that has the name, had it or is about to get it: "30s 1234". Whoever is done with a name tidies up.
 *
 * Takes no lock; callers that write hold the key's commit lock. Every function returns 0 or -errno. */
#pragma once

#include "bucket.h"

#define TTL_XATTR "user.ttlfs.ttl"

typedef struct TtlSettings TtlSettings;

/* @root_fd is borrowed and must outlive it. */
TtlSettings *ttl_settings_new (int root_fd, gboolean xattrs);
void ttl_settings_free (TtlSettings *self);

/* -ENODATA: has none of its own, or one that does not parse (the log says so, once). Any other error: it cannot be told
 * now, so nothing may be removed by what else would hold. */
int ttl_settings_get_bucket (TtlSettings *self, TtlBucket *bucket, TtlDuration *own_out);
int ttl_settings_get_key (TtlSettings *self, TtlBucket *bucket, int dir_fd, const char *backing,
                          ino_t ino, TtlDuration *own_out);
/* The same of the file that is open as @fd and was called @backing. */
int ttl_settings_get_open (TtlSettings *self, TtlBucket *bucket, const char *backing, int fd,
                           ino_t ino, TtlDuration *own_out);

/* @own NULL removes the setting; -ENODATA when there was none. */
int ttl_settings_set_bucket (TtlSettings *self, TtlBucket *bucket, const TtlDuration *own);
int ttl_settings_set_key (TtlSettings *self, TtlBucket *bucket, int dir_fd, const char *backing,
                          ino_t ino, const TtlDuration *own);
/* Gives the file @fd, which is about to become @backing, its setting; @own NULL for none. The file that has the name
 * keeps its own. */
int ttl_settings_set_draft (TtlSettings *self, TtlBucket *bucket, const char *backing, int fd,
                            const TtlDuration *own);

/* Keep what stands outside of the files in step. Nothing to do, and no failure, with xattrs.
 * copy: the file @ino is about to get another name. drop: it is not called @backing any more (0: no file). */
void ttl_settings_copy_key (TtlSettings *self, TtlBucket *from, const char *from_backing,
                            TtlBucket *to, const char *to_backing, ino_t ino);
void ttl_settings_drop_key (TtlSettings *self, TtlBucket *bucket, const char *backing, ino_t ino);
void ttl_settings_move_bucket (TtlSettings *self, const char *from_path, const char *to_path);
void ttl_settings_exchange_buckets (TtlSettings *self, const char *a_path, const char *b_path);
void ttl_settings_drop_bucket (TtlSettings *self, const char *path);
