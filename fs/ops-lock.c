/* ops-lock - flock(2) and fcntl(2) locks, which are the key's and not an inode's (locks.h). */
#define G_LOG_DOMAIN "ttlfs"
#include "fs.h"

#include "caller.h"
#include "cleanup.h"
#include "reply.h"
#include "uring.h"

#include <fcntl.h>
#include <sys/file.h>

#define SPARE_PLACES 16 /* in each queue, for those that do not wait */

TtlLock
ttl_fs_posix_lock (const struct fuse_file_info *fi, const struct flock *from)
{
  return (TtlLock){
    .owner = fi->lock_owner,
    .handle = (uintptr_t)ttl_fs_handle (fi),
    .start = from->l_start,
    .end = from->l_len == 0 ? G_MAXINT64 : (guint64)from->l_start + from->l_len - 1,
    .pid = from->l_pid,
    .type = from->l_type,
  };
}

TtlLock
ttl_fs_flock (fuse_req_t req, const struct fuse_file_info *fi, int op)
{
  return (TtlLock){
    .owner = fi->lock_owner,
    .handle = (uintptr_t)ttl_fs_handle (fi),
    .end = G_MAXINT64,
    .pid = ttl_fs_caller (req),
    .type = op & LOCK_EX   ? F_WRLCK
            : op & LOCK_SH ? F_RDLCK
                           : F_UNLCK,
  };
}

void
op_getlk (fuse_req_t req, fuse_ino_t ino G_GNUC_UNUSED, struct fuse_file_info *fi,
          struct flock *lock)
{
  TtlHandle *handle = ttl_fs_handle (fi);
  const TtlLock wanted = ttl_fs_posix_lock (fi, lock);
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
 * it is off, nobody but us knows the wait.
 *
 * Over io_uring it is different in three ways. libfuse does not find the request that an interrupt is for; but the session
 * sees that there is one, and we look in /proc who has a signal pending. The reply takes the lock of the queue that
 * the request came in, which its thread holds while it serves; so it comes from a helper. And the request keeps its place in
 * the queue for as long as it waits, so there is a limit to them: others must be able to pass. */
typedef struct
{
  TtlFs *fs;
  TtlHandle *handle;
  guint64 ticket;
  fuse_req_t req;
  pid_t tid;
  int res;
  GList link; /* in TtlFs.waits */
} Wait;

static gboolean
begin_wait (Wait *wait)
{
  TTL_LOCKED (&wait->fs->waits_lock);

  if (wait->fs->over_uring && wait->fs->waits.length >= ttl_uring_depth () - SPARE_PLACES)
    return FALSE;
  g_queue_push_tail_link (&wait->fs->waits, &wait->link);
  return TRUE;
}

static void
end_wait (Wait *wait)
{
  TTL_LOCKED (&wait->fs->waits_lock);

  g_queue_unlink (&wait->fs->waits, &wait->link);
}

/* What stands there now may be longer than the kernel was told of a draft that had just been created. */
static void
locked (TtlFs *fs, TtlHandle *handle)
{
  TtlRecall recall;

  ttl_handle_locked (handle, ttl_store_now (fs->store));
  if (handle->writer == NULL)
    return;
  ttl_node_recall_attrs (handle->node, &recall);
  ttl_fs_recall (fs, &recall);
}

static void
finish (gpointer data)
{
  Wait *wait = data;

  fuse_req_interrupt_func (wait->req, NULL, NULL);
  if (wait->res == 0)
    locked (wait->fs, wait->handle);
  ttl_reply (wait->req, wait->res);
  g_free (wait);
}

static void
granted (int res, gpointer data)
{
  Wait *wait = data;

  end_wait (wait);
  wait->res = res;
  if (!wait->fs->over_uring)
    finish (wait);
  else if (!ttl_helpers_do (wait->fs->helpers, finish, wait))
    g_free (wait); /* the session is over, and its queues go with all that is in them */
}

/* An interrupt that came before the wait began cancels its ticket, and the lock is then refused with EINTR. */
static void
interrupted (fuse_req_t req, void *data)
{
  Wait *wait = data;

  if (!ttl_locks_cancel (wait->fs->locks, wait->ticket))
    return;
  end_wait (wait);
  ttl_reply (req, -EINTR);
  g_free (wait);
}

/* Takes those waits out that are not granted yet; all of them, or only the interrupted. */
static void
take_waits (TtlFs *fs, gboolean all, GQueue *taken)
{
  GList *next;

  TTL_LOCKED (&fs->waits_lock);
  for (GList *link = fs->waits.head; link != NULL; link = next)
    {
      Wait *wait = link->data;

      next = link->next;
      if ((all || wait->tid <= 0 || ttl_caller_has_signal (wait->tid))
          && ttl_locks_cancel (fs->locks, wait->ticket))
        {
          g_queue_unlink (&fs->waits, link);
          g_queue_push_tail_link (taken, link);
        }
    }
}

static void
end_waits (TtlFs *fs, gboolean all)
{
  GQueue taken = G_QUEUE_INIT;
  GList *link;

  take_waits (fs, all, &taken);
  while ((link = g_queue_pop_head_link (&taken)) != NULL)
    {
      Wait *wait = link->data;

      wait->res
          = all ? -ENOTCONN : -EINTR; /* nobody was interrupted: the kernel would begin anew */
      finish (wait);
    }
}

void
ttl_fs_end_interrupted_waits (gpointer data)
{
  end_waits (data, FALSE);
}

void
ttl_fs_end_waits (TtlFs *self)
{
  end_waits (self, TRUE);
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
  if (wanted->type == F_UNLCK || ttl_lock_is_weaker (handle->locks, kind, wanted))
    res = ttl_handle_unlock (handle, kind, ttl_fs_caller (req));
  if (res < 0)
    {
      ttl_reply (req, res); /* still locked, still unpublished: it may be tried again */
      return;
    }
  if (!may_wait)
    {
      res = ttl_lock_set (handle->locks, kind, wanted, 0, NULL, NULL);
      if (res == 0 && wanted->type != F_UNLCK)
        locked (fs, handle);
      ttl_reply (req, res);
      return;
    }
  wait = g_new (Wait, 1);
  *wait = (Wait){ fs, handle, ttl_locks_new_ticket (fs->locks), req, ttl_fs_caller (req) };
  wait->link.data = wait;
  may_wait = begin_wait (wait);
  if (may_wait)
    fuse_req_interrupt_func (req, interrupted, wait);
  /* Over io_uring an interrupt says only that there was one, and maybe did before this was among what waits. */
  if (may_wait && fs->over_uring && ttl_caller_has_signal (wait->tid))
    (void)ttl_locks_cancel (fs->locks, wait->ticket);
  res = ttl_lock_set (handle->locks, kind, wanted, wait->ticket, may_wait ? granted : NULL, wait);
  if (res == -EINPROGRESS)
    return;
  if (may_wait)
    end_wait (wait);
  wait->res = res != -EAGAIN ? res : -ENOLCK; /* too many wait */
  finish (wait);
}

void
op_setlk (fuse_req_t req, fuse_ino_t ino G_GNUC_UNUSED, struct fuse_file_info *fi,
          struct flock *lock, int sleep)
{
  const TtlLock wanted = ttl_fs_posix_lock (fi, lock);

  set_lock (req, fi, TTL_LOCK_POSIX, &wanted, sleep && lock->l_type != F_UNLCK);
}

void
op_flock (fuse_req_t req, fuse_ino_t ino G_GNUC_UNUSED, struct fuse_file_info *fi, int op)
{
  const TtlLock wanted = ttl_fs_flock (req, fi, op);

  set_lock (req, fi, TTL_LOCK_FLOCK, &wanted, !(op & (LOCK_NB | LOCK_UN)));
}
