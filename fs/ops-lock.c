/* ops-lock - flock(2) and fcntl(2) locks, which are the key's and not an inode's (locks.h). */
#define G_LOG_DOMAIN "ttlfs"
#include "fs.h"

#include "cleanup.h"
#include "reply.h"

#include <fcntl.h>
#include <sys/file.h>

static TtlLock
lock_of (const TtlHandle *handle, const struct fuse_file_info *fi, const struct flock *from)
{
  return (TtlLock){
    .owner = fi->lock_owner,
    .handle = (uintptr_t)handle,
    .start = from->l_start,
    .end = from->l_len == 0 ? G_MAXINT64 : (guint64)from->l_start + from->l_len - 1,
    .pid = from->l_pid,
    .type = from->l_type,
  };
}

void
op_getlk (fuse_req_t req, fuse_ino_t ino G_GNUC_UNUSED, struct fuse_file_info *fi,
          struct flock *lock)
{
  TtlHandle *handle = ttl_fs_handle (fi);
  const TtlLock wanted = lock_of (handle, fi, lock);
  TtlLock conflict;

  ttl_lock_get (handle->locks, TTL_LOCK_POSIX, &wanted, &conflict);
  lock->l_type = conflict.type;
  if (conflict.type != F_UNLCK)
    {
      lock->l_whence = SEEK_SET;
      lock->l_start = conflict.start;
      lock->l_len = conflict.end >= G_MAXINT64 ? 0 : conflict.end - conflict.start + 1;
      lock->l_pid = conflict.pid;
    }
  fuse_reply_lock (req, lock);
}

/* ---- waiting ----
 *
 * The reply comes from whoever ends the wait: the grant, or the interrupt if it can still cancel it. libfuse calls
 * the interrupt callback with the request's own lock held, and taking the callback off waits for that lock; so once
 * it is off, nobody but us knows the wait. */
typedef struct
{
  TtlFs *fs;
  TtlHandle *handle;
  guint64 ticket;
  fuse_req_t req;
} Wait;

static void
granted (int res, gpointer data)
{
  Wait *wait = data;

  fuse_req_interrupt_func (wait->req, NULL, NULL);
  if (res == 0)
    ttl_handle_locked (wait->handle, ttl_store_now (wait->fs->store));
  ttl_reply (wait->req, res);
  g_free (wait);
}

/* An interrupt that came before the wait began cancels its ticket, and the lock is then refused with EINTR. */
static void
interrupted (fuse_req_t req, void *data)
{
  Wait *wait = data;

  if (!ttl_locks_cancel (wait->fs->locks, wait->ticket))
    return;
  ttl_reply (req, -EINTR);
  g_free (wait);
}

static void
set_lock (fuse_req_t req, const struct fuse_file_info *fi, TtlLockKind kind, const TtlLock *wanted,
          gboolean may_wait)
{
  TtlFs *fs = ttl_fs_of (req);
  TtlHandle *handle = ttl_fs_handle (fi);
  Wait *wait;
  int res = 0;

  g_atomic_int_set (&handle->locked, TRUE);
  if (wanted->type == F_UNLCK)
    res = ttl_handle_unlock (handle, ttl_fs_caller (req));
  if (res < 0)
    {
      ttl_reply (req, res); /* still locked, still unpublished: it may be tried again */
      return;
    }
  if (!may_wait)
    {
      res = ttl_lock_set (handle->locks, kind, wanted, 0, NULL, NULL);
      if (res == 0 && wanted->type != F_UNLCK)
        ttl_handle_locked (handle, ttl_store_now (fs->store));
      ttl_reply (req, res);
      return;
    }
  wait = g_new (Wait, 1);
  *wait = (Wait){ fs, handle, ttl_locks_new_ticket (fs->locks), req };
  fuse_req_interrupt_func (req, interrupted, wait);
  res = ttl_lock_set (handle->locks, kind, wanted, wait->ticket, granted, wait);
  if (res != -EINPROGRESS)
    granted (res, wait);
}

void
op_setlk (fuse_req_t req, fuse_ino_t ino G_GNUC_UNUSED, struct fuse_file_info *fi,
          struct flock *lock, int sleep)
{
  const TtlLock wanted = lock_of (ttl_fs_handle (fi), fi, lock);

  set_lock (req, fi, TTL_LOCK_POSIX, &wanted, sleep && lock->l_type != F_UNLCK);
}

void
op_flock (fuse_req_t req, fuse_ino_t ino G_GNUC_UNUSED, struct fuse_file_info *fi, int op)
{
  TtlHandle *handle = ttl_fs_handle (fi);
  const TtlLock wanted = {
    .owner = fi->lock_owner,
    .handle = (uintptr_t)handle,
    .end = G_MAXINT64,
    .pid = ttl_fs_caller (req),
    .type = op & LOCK_EX   ? F_WRLCK
            : op & LOCK_SH ? F_RDLCK
                           : F_UNLCK,
  };

  set_lock (req, fi, TTL_LOCK_FLOCK, &wanted, !(op & (LOCK_NB | LOCK_UN)));
}
