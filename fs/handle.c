#include "handle.h"

#include "caller.h"
#include "cleanup.h"

#include <fcntl.h>

TtlHandle *
ttl_handle_new_reader (TtlNode *node, int fd, pid_t opener, TtlLockFile *locks_take)
{
  TtlHandle *self = g_new0 (TtlHandle, 1);

  self->node = node;
  self->fd = fd;
  self->readable = TRUE;
  self->opener = opener;
  self->locks = locks_take;
  return self;
}

TtlHandle *
ttl_handle_new_writer (TtlNode *node, TtlWriter *writer, int flags, pid_t opener,
                       TtlLockFile *locks_take)
{
  TtlHandle *self = g_new0 (TtlHandle, 1);

  self->node = node;
  self->fd = -1;
  self->writer = ttl_writer_ref (writer);
  self->process = opener == writer->opener ? writer->process : ttl_caller_leader (opener);
  self->append = (flags & O_APPEND) != 0;
  self->readable = (flags & O_ACCMODE) != O_WRONLY;
  self->opener = opener;
  self->locks = locks_take;

  TTL_LOCKED (&writer->lock);
  writer->descriptions++;
  return self;
}

/* TRUE for the last description. */
static gboolean
leave_writer (TtlHandle *self)
{
  TTL_LOCKED (&self->writer->lock);

  return !self->left && --self->writer->descriptions == 0;
}

void
ttl_handle_free (TtlHandle *self)
{
  if (self->writer == NULL)
    ttl_node_close_value (self->node, self->fd);
  ttl_clear_fd (&self->fd);
  if (self->writer != NULL)
    {
      if (leave_writer (self))
        ttl_node_writer_gone (self->node, self->writer,
                              ttl_draft_leaves_version (self->writer->draft));
      ttl_writer_unref (self->writer);
    }
  if (self->locks != NULL)
    ttl_lock_file_unref (self->locks);
  ttl_node_unpin (self->node);
  g_free (self);
}

int
ttl_handle_publish_last (TtlHandle *self)
{
  if (self->writer == NULL)
    return 0;

  TTL_LOCKED (&self->writer->lock);
  if (self->writer->descriptions == 1)
    return ttl_draft_publish (self->writer->draft, TTL_PUBLISH_LAST);
  self->writer->descriptions--;
  self->left = TRUE;
  return 0;
}

gboolean
ttl_handle_is_awaited (TtlHandle *self)
{
  return g_atomic_int_get (&self->locked)
         || (self->writer != NULL && ttl_draft_is_dirty (self->writer->draft));
}

/* The process that opened it, also when the thread has ended that did, or, when that is gone, whoever has it now. */
static gboolean
is_openers (TtlHandle *self, pid_t tid)
{
  if (tid <= 0)
    return FALSE;
  return tid == self->opener || ttl_caller_is_sibling (tid, self->process)
         || !ttl_caller_exists (self->process);
}

static int
publish_touched (TtlHandle *self)
{
  return ttl_draft_is_touched (self->writer->draft)
             ? ttl_draft_publish (self->writer->draft, TTL_PUBLISH_DEFAULT)
             : 0;
}

/* A process that is being killed closes its descriptors too, but decides nothing by it. The opener's draft is dropped:
 * whoever shares the description goes on from the old value. A child that was killed while it wrote has left half of
 * something in its parent's draft, which must not be published at the parent's close. */
static gboolean
drop_if_killed (TtlHandle *self, pid_t tid, gboolean by_opener)
{
  TtlWriter *writer = self->writer;

  if (!by_opener && !ttl_caller_is_sibling (tid, writer->last))
    return FALSE;
  if (!ttl_caller_is_killed (tid))
    return FALSE;
  if (by_opener)
    ttl_draft_discard (writer->draft);
  else
    ttl_draft_spoil (writer->draft, EIO);
  return TRUE;
}

int
ttl_handle_flush (TtlHandle *self, pid_t tid)
{
  gboolean by_opener;

  if (self->writer == NULL || !ttl_draft_is_dirty (self->writer->draft))
    return 0;
  by_opener = is_openers (self, tid);

  TTL_LOCKED (&self->writer->lock);
  if (drop_if_killed (self, tid, by_opener) || !by_opener)
    return 0;
  g_atomic_int_set (&self->closed, TRUE);
  return publish_touched (self);
}

int
ttl_handle_unlock (TtlHandle *self, TtlLockKind kind, pid_t tid)
{
  if (self->writer == NULL || !ttl_draft_is_dirty (self->writer->draft)
      || (kind == TTL_LOCK_POSIX && !is_openers (self, tid)))
    return 0;

  TTL_LOCKED (&self->writer->lock);
  return publish_touched (self);
}

void
ttl_handle_locked (TtlHandle *self, gint64 now_ns)
{
  if (self->writer == NULL)
    return;

  TTL_LOCKED (&self->writer->lock);
  ttl_draft_refresh (self->writer->draft, now_ns);
}

TtlDirHandle *
ttl_dir_handle_new (TtlList *list_take)
{
  TtlDirHandle *self = g_new0 (TtlDirHandle, 1);

  pthread_mutex_init (&self->lock, NULL);
  self->list = list_take;
  return self;
}

void
ttl_dir_handle_free (TtlDirHandle *self)
{
  ttl_list_free (self->list);
  pthread_mutex_destroy (&self->lock);
  g_free (self);
}
