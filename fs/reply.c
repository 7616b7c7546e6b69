#include "reply.h"

void
ttl_reply (fuse_req_t req, int res)
{
  fuse_reply_err (req, -res);
}

void
ttl_reply_entry (fuse_req_t req, int res, const struct fuse_entry_param *entry)
{
  TtlFs *fs = ttl_fs_of (req);

  if (res < 0)
    fuse_reply_err (req, -res);
  else if (fuse_reply_entry (req, entry) < 0 && entry->ino != 0)
    ttl_nodes_forget (fs->nodes, entry->ino, 1);
}

void
ttl_reply_attr (fuse_req_t req, int res, const struct stat *st, double timeout)
{
  if (res < 0)
    fuse_reply_err (req, -res);
  else
    fuse_reply_attr (req, st, timeout);
}

int
ttl_reply_data (fuse_req_t req, ssize_t len, const void *data)
{
  return len < 0 ? fuse_reply_err (req, (int)-len) : fuse_reply_buf (req, data, len);
}

void
ttl_reply_count (fuse_req_t req, ssize_t count)
{
  if (count < 0)
    fuse_reply_err (req, (int)-count);
  else
    fuse_reply_write (req, count);
}

void
ttl_reply_xattr (fuse_req_t req, ssize_t len, const void *data, gsize size)
{
  if (len < 0)
    fuse_reply_err (req, (int)-len);
  else if (size == 0)
    fuse_reply_xattr (req, len);
  else
    fuse_reply_buf (req, data, len);
}
