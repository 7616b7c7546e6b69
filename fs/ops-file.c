/* ops-file - open files: from the open to the last close, and what section 2 of the contract says lies between. */
#define G_LOG_DOMAIN "ttlfs"
#include "fs.h"

#include "cleanup.h"
#include "log.h"
#include "reply.h"

#include <fcntl.h>

/* The kernel asks for the attributes of what it has just created, unless it has them. */
#define DRAFT_ATTRS_US (1 * G_USEC_PER_SEC)

static TtlLockFile *
locks_of (TtlFs *fs, TtlNode *node)
{
  TtlName backing;
  g_autoptr (TtlBucket) bucket = ttl_node_dup_place (node, backing);

  return ttl_locks_ensure_file (fs->locks, ttl_bucket_id (bucket), backing);
}

static void
remember (TtlFs *fs, TtlHandle *handle)
{
  TTL_LOCKED (&fs->handles_lock);

  g_hash_table_add (fs->handles, handle);
}

static void
forget (TtlFs *fs, TtlHandle *handle)
{
  TTL_LOCKED (&fs->handles_lock);

  g_hash_table_remove (fs->handles, handle);
}

/* ---- opening ---- */

/* A description of a draft node of its own. What is only written goes straight through, as large as the write is; what is
 * also read or mapped goes by the page cache, which is this writer's alone. */
static TtlHandle *
open_writer (TtlFs *fs, TtlNode *node, TtlWriter *writer, pid_t tid, struct fuse_file_info *fi)
{
  fi->direct_io = (fi->flags & O_ACCMODE) == O_WRONLY || !ttl_node_is_of_writer (node, writer);
  return ttl_handle_new_writer (node, writer, fi->flags, tid, locks_of (fs, node));
}

/* What a draft node on its way to its OPEN starts from: its process's draft, or the published version. The version that the
 * LOOKUP saw may have lost its name since. This open came before that, then: it goes on with what it saw, and whatever it
 * publishes is a put after the removal. */
static int
open_origin (TtlFs *fs, TtlNode *node, TtlBucket *bucket, const char *backing, int flags,
             const TtlOwner *owner, TtlDraft **draft_out)
{
  struct stat st;
  g_autoptr (TtlWriter) origin = ttl_node_dup_origin (node, &st);
  ttl_autofd fd = ttl_node_take_origin_fd (node);
  TtlOwner maker = { .uid = st.st_uid, .gid = st.st_gid, .mode = st.st_mode & 07777 };
  int res;

  if (origin != NULL)
    {
      TTL_LOCKED (&origin->lock);
      return ttl_draft_open_like (origin->draft, flags, owner, draft_out);
    }
  res = ttl_fs_open_draft (fs, node, bucket, backing, fd < 0 ? flags | O_CREAT : flags, &maker,
                           owner, draft_out);
  if (res == -ENOENT && fd >= 0)
    res = ttl_draft_open_version (fs->store, bucket, backing, ttl_steal_fd (&fd), flags, owner,
                                  draft_out);
  return res;
}

static void
begun (TtlFs *fs, TtlNode *node)
{
  TtlName backing;
  g_autoptr (TtlBucket) bucket = ttl_node_dup_place (node, backing);

  ttl_fs_draft_begun (fs, bucket, backing);
}

/* TRUE: to be answered ESTALE, and the kernel looks again, and is given a draft node, or one that may become one. */
static gboolean
send_back (TtlFs *fs, TtlNode *node, pid_t tid, gboolean to_write)
{
  return tid > 0 ? ttl_nodes_intend (fs->nodes, node, tid, to_write) : ttl_node_refuse_once (node);
}

/* A writer of what its name stands for, whatever becomes of the node meanwhile. */
static int
new_writer (TtlFs *fs, TtlNode *node, int flags, const TtlOwner *owner, pid_t tid,
            TtlWriter **writer_out)
{
  TtlName backing;
  g_autoptr (TtlBucket) bucket = ttl_node_dup_place (node, backing);
  TtlDraft *draft;
  int res = ttl_fs_open_draft (fs, node, bucket, backing, flags, owner, owner, &draft);

  if (res == 0)
    *writer_out = ttl_writer_new (draft, tid);
  return res;
}

/* The same for a draft node on its way to its OPEN. Where another OPEN was faster: -ESTALE, or a writer that is not the node's. */
static int
new_writer_of_draft (TtlFs *fs, TtlNode *node, int flags, const TtlOwner *owner, pid_t tid,
                     TtlWriter **writer_out)
{
  TtlName backing;
  g_autoptr (TtlBucket) bucket = ttl_node_dup_place (node, backing);
  TtlDraft *draft;
  int res = open_origin (fs, node, bucket, backing, flags, owner, &draft);

  if (res < 0)
    return res;
  *writer_out = ttl_writer_new (draft, tid);
  if (ttl_node_set_writer (node, *writer_out))
    begun (fs, node);
  else if (send_back (fs, node, tid, TRUE))
    return -ESTALE;
  return 0;
}

/* Another description of a draft that is open already, by way of /dev/fd/N, or to read what its own process writes. */
static int
join_writer (TtlWriter *writer, int flags)
{
  TTL_LOCKED (&writer->lock);

  return flags & O_TRUNC ? ttl_draft_resize (writer->draft, 0) : 0;
}

static int
open_version (TtlFs *fs, TtlNode *node, const TtlOwner *owner, pid_t tid, struct fuse_file_info *fi,
              TtlHandle **handle_out)
{
  TtlName backing;
  g_autoptr (TtlBucket) bucket = ttl_node_dup_place (node, backing);
  const TtlAccess access = ttl_node_access (node, owner, TTL_ACCESS_READ);
  const gint64 now_ns = ttl_store_now (fs->store);
  ttl_autofd fd = -1;
  TtlEntry entry;
  TtlRecall recall;
  TtlOpenVerdict verdict = TTL_OPEN_OTHER;
  int res = ttl_store_open_value (fs->store, bucket, backing, now_ns, &fd, &entry);

  if (res < 0 && res != -ENOENT)
    return res;
  if (res == 0)
    res = ttl_access_check (&access, &entry.st);
  if (res == 0 && ttl_node_kind (node) == TTL_NODE_VALUE)
    {
      verdict = ttl_node_open_value (node, &entry.st, fd,
                                     ttl_fs_promise_until_us (entry.deadline, now_ns), &recall);
      ttl_fs_recall (fs, &recall);
    }
  if (verdict == TTL_OPEN_OTHER)
    {
      const gboolean is_private = ttl_node_is_private (node);

      /* Others read an older version through this node, or the name is gone. A path leads elsewhere, /dev/fd/N here
       * again. */
      if (!is_private && (tid > 0 || res < 0) && ttl_nodes_intend (fs->nodes, node, tid, FALSE))
        return -ESTALE;
      if (res < 0)
        {
          ttl_clear_fd (&fd);
          fd = is_private ? ttl_node_take_origin_fd (node) : ttl_node_dup_fd (node);
        }
      if (fd < 0)
        return res;
      fi->direct_io = 1;
      ttl_node_open_other (node, fd, &recall);
      ttl_fs_recall (fs, &recall);
    }
  fi->keep_cache = verdict == TTL_OPEN_CACHED;
  fi->noflush = 1; /* nothing to publish; the locks that came by it go with the RELEASE */
  *handle_out = ttl_handle_new_reader (node, ttl_steal_fd (&fd), tid, locks_of (fs, node));
  return 0;
}

static gboolean
is_writers (TtlFs *fs, TtlNode *node, pid_t tid)
{
  g_autoptr (TtlWriter) writer = ttl_fs_dup_writer (fs, node, tid);

  return writer != NULL;
}

static int
open_draft_node (TtlFs *fs, TtlNode *node, const TtlOwner *owner, pid_t tid,
                 struct fuse_file_info *fi, TtlHandle **handle_out)
{
  g_autoptr (TtlWriter) writer = ttl_node_dup_writer (node);
  const gboolean to_write = ttl_fs_wants_to_write (fi->flags);
  pid_t process = 0;
  int res;

  if (writer == NULL && ttl_node_is_misled (node) && send_back (fs, node, tid, to_write))
    return -ESTALE; /* it was somebody's, who has closed it: the kernel remembers an old path */
  if (writer == NULL && !to_write)
    return open_version (fs, node, owner, tid, fi, handle_out);
  if (writer == NULL)
    res = new_writer_of_draft (fs, node, fi->flags, owner, tid, &writer);
  else if ((to_write || !ttl_writer_is_of (writer, tid, &process))
           && send_back (fs, node, tid, to_write))
    res = -ESTALE; /* a path leads to a draft of its own, or to the value */
  else if (is_writers (fs, node, tid))
    res = join_writer (writer, fi->flags);
  else if (!to_write) /* the node was taken over since the LOOKUP */
    return open_version (fs, node, owner, tid, fi, handle_out);
  else
    {
      g_clear_pointer (&writer, ttl_writer_unref);
      res = new_writer (fs, node, fi->flags, owner, tid, &writer);
    }
  if (res == 0)
    *handle_out = open_writer (fs, node, writer, tid, fi);
  return res;
}

/* Nobody else reads the key or looks at it just now, so its node becomes the writer's. -ESTALE when somebody does after all. Only
 * where nothing goes by the page cache, since others may still come to the node by its path, and the size that they are told
 * is the value's. */
static int
take_over (TtlFs *fs, TtlNode *node, const TtlOwner *owner, pid_t tid, struct fuse_file_info *fi,
           TtlHandle **handle_out)
{
  g_autoptr (TtlWriter) writer = NULL;
  const gboolean truncates = (fi->flags & O_TRUNC) != 0;
  TtlRecall recall;
  int res = new_writer (fs, node, fi->flags, owner, tid, &writer);

  if (res < 0)
    return res;
  if (!ttl_node_take_over (node, tid, truncates, writer, &recall))
    return -ESTALE;
  ttl_fs_recall (fs, &recall); /* before a truncation or a write shows in them */
  begun (fs, node);
  *handle_out = open_writer (fs, node, writer, tid, fi);
  return 0;
}

static int
open_value_node (TtlFs *fs, TtlNode *node, const TtlOwner *owner, pid_t tid,
                 struct fuse_file_info *fi, TtlHandle **handle_out)
{
  g_autoptr (TtlWriter) writer = NULL;
  int res;

  if (!ttl_fs_wants_to_write (fi->flags))
    return open_version (fs, node, owner, tid, fi, handle_out);
  if (tid > 0 && (fi->flags & O_ACCMODE) == O_WRONLY
      && ttl_node_may_be_taken_over (node, tid, (fi->flags & O_TRUNC) != 0))
    {
      res = take_over (fs, node, owner, tid, fi, handle_out);
      if (res != -ESTALE && res != -ENOENT)
        return res;
    }
  if (ttl_node_convert (node))
    res = new_writer_of_draft (fs, node, fi->flags, owner, tid, &writer);
  else if (send_back (fs, node, tid, TRUE))
    res = -ESTALE;
  else
    res = new_writer (fs, node, fi->flags, owner, tid, &writer);
  if (res == 0)
    *handle_out = open_writer (fs, node, writer, tid, fi);
  return res;
}

void
op_open (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  TtlFs *fs = ttl_fs_of (req);
  const TtlOwner owner = ttl_fs_owner (req, 0);
  const pid_t tid = ttl_fs_caller (req);
  TtlNode *node = ttl_fs_get_node (req, ino);
  TtlHandle *handle = NULL;
  int res;

  if (node == NULL)
    return;
  res = ttl_node_kind (node) == TTL_NODE_DRAFT
            ? open_draft_node (fs, node, &owner, tid, fi, &handle)
            : open_value_node (fs, node, &owner, tid, fi, &handle);
  ttl_debug ("OPEN %lu flags %#o -> %d", ino, fi->flags, res);
  if (res != -ESTALE)
    ttl_nodes_fulfil (fs->nodes, tid);
  if (res < 0)
    {
      ttl_node_unpin (node);
      ttl_reply (req, res);
      return;
    }
  remember (fs, handle); /* with the node's pin */
  fi->fh = (uintptr_t)handle;
  if (fuse_reply_open (req, fi) < 0)
    {
      forget (fs, handle);
      ttl_handle_free (handle);
    }
}

static int
create (TtlFs *fs, TtlBucket *bucket, const char *name, const TtlOwner *owner, pid_t tid,
        struct fuse_file_info *fi, struct fuse_entry_param *entry_out, TtlHandle **handle_out)
{
  const gint64 now_ns = ttl_store_now (fs->store);
  g_autoptr (TtlWriter) writer = NULL;
  TtlName backing;
  TtlEntry there;
  TtlDraft *draft;
  TtlNode *node;
  gboolean was_believed_absent = FALSE;
  int res = ttl_fs_backing (fs, bucket, name, backing);

  if (res == 0)
    was_believed_absent = ttl_fs_told_name (
        fs, bucket, name, backing); /* before anything is begun; see op_create() */
  if (res == 0 && ttl_store_lookup (fs->store, bucket, name, now_ns, &there) == 0)
    res = fi->flags & O_EXCL ? -EEXIST : there.kind == TTL_ENTRY_BUCKET ? -EISDIR : 0;
  if (res == 0)
    res = ttl_fs_open_draft (fs, NULL, bucket, backing, fi->flags | O_CREAT, owner, owner, &draft);
  if (res < 0)
    return res;
  writer = ttl_writer_new (draft, tid);
  node = ttl_nodes_add_draft (fs->nodes, bucket, backing);
  (void)ttl_node_set_writer (node, writer); /* nobody else knows of it yet */
  *handle_out = open_writer (fs, node, writer, tid, fi);
  entry_out->ino = ttl_node_id (node);
  ttl_fs_draft_begun (fs, bucket, backing);

  TTL_LOCKED (&writer->lock);
  res = ttl_draft_stat (draft, &entry_out->attr);
  if (res == 0)
    ttl_node_set_seen (node, &entry_out->attr);
  if (res == 0 && was_believed_absent)
    ttl_node_set_new (node);
  else if (res == 0 && ttl_promises_may_be_made (fs->promises))
    {
      ttl_node_promise_draft (node, &entry_out->attr, DRAFT_ATTRS_US, tid);
      entry_out->attr_timeout = (double)DRAFT_ATTRS_US / G_USEC_PER_SEC;
    }
  return res;
}

void
op_create (fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
           struct fuse_file_info *fi)
{
  TtlFs *fs = ttl_fs_of (req);
  const TtlOwner owner = ttl_fs_owner (req, mode);
  g_autoptr (TtlBucket) bucket = ttl_fs_get_bucket (req, parent);
  struct fuse_entry_param entry = { 0 };
  TtlHandle *handle = NULL;
  int res;

  if (bucket == NULL)
    return;
  res = create (fs, bucket, name, &owner, ttl_fs_caller (req), fi, &entry, &handle);
  ttl_nodes_fulfil (fs->nodes, ttl_fs_caller (req));
  ttl_debug ("CREATE %lu:%s flags %#o -> %d", parent, name, fi->flags, res);
  if (res == 0)
    {
      remember (fs, handle);
      fi->fh = (uintptr_t)handle;
      if (fuse_reply_create (req, &entry, fi) == 0)
        return;
      forget (fs, handle);
    }
  else
    {
      ttl_promises_recall_entries (
          fs->promises); /* the kernel still believes what it was told of the name */
      ttl_reply (req, res);
    }
  if (handle != NULL)
    {
      ttl_handle_free (handle);
      ttl_nodes_forget (fs->nodes, entry.ino, 1);
    }
}

/* ---- content ---- */

/* A descriptor of what the handle reads; a writer's is locked until unlock_content(). */
static int
lock_content (TtlHandle *handle)
{
  if (handle->writer == NULL)
    return handle->fd;
  pthread_mutex_lock (&handle->writer->lock);
  return ttl_draft_fd (handle->writer->draft);
}

static void
unlock_content (TtlHandle *handle)
{
  if (handle->writer != NULL)
    pthread_mutex_unlock (&handle->writer->lock);
}

static ssize_t
read_all (int fd, char *buffer, size_t size, off_t off)
{
  size_t done = 0;

  while (done < size)
    {
      ssize_t n = pread (fd, buffer + done, size - done, off + (off_t)done);

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0 && done == 0)
        return -errno;
      if (n <= 0)
        break;
      done += n;
    }
  return done;
}

void
op_read (fuse_req_t req, fuse_ino_t ino G_GNUC_UNUSED, size_t size, off_t off,
         struct fuse_file_info *fi)
{
  TtlHandle *handle = ttl_fs_handle (fi);
  g_autofree char *buffer = g_malloc (size);
  ssize_t len = read_all (lock_content (handle), buffer, size, off);

  unlock_content (handle);
  ttl_reply_data (req, len, buffer);
}

static void
note_change (TtlHandle *handle, pid_t tid)
{
  ttl_writer_changed (handle->writer, tid);
  g_atomic_int_set (&handle->closed, FALSE);
}

void
op_write (fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
          struct fuse_file_info *fi)
{
  TtlHandle *handle = ttl_fs_handle (fi);
  ssize_t count = -EBADF;

  if (handle->writer != NULL)
    {
      TTL_LOCKED (&handle->writer->lock);
      /* On O_APPEND the kernel's idea of the end may be old. What it writes back from a mapping has its place, and comes
       * without flags; fcntl (F_SETFL) may have taken the flag away. */
      count = ttl_draft_write (handle->writer->draft, buf, size,
                               handle->append && fi->flags & O_APPEND ? TTL_WRITE_AT_END : off);
      note_change (handle, ttl_fs_caller (req));
    }
  ttl_debug ("WRITE %lu %zu bytes at %ld -> %zd", ino, size, (long)off, count);
  ttl_reply_count (req, count);
}

void
op_fallocate (fuse_req_t req, fuse_ino_t ino G_GNUC_UNUSED, int mode, off_t offset, off_t length,
              struct fuse_file_info *fi)
{
  TtlHandle *handle = ttl_fs_handle (fi);
  int fd, res = -EBADF;

  if (handle->writer != NULL)
    {
      TTL_LOCKED (&handle->writer->lock);
      res = ttl_draft_change (handle->writer->draft, TRUE, &fd);
      if (res == 0 && fallocate (fd, mode, offset, length) < 0)
        {
          res = -errno;
          ttl_draft_change_failed (handle->writer->draft);
        }
      note_change (handle, ttl_fs_caller (req));
    }
  ttl_reply (req, res);
}

void
op_lseek (fuse_req_t req, fuse_ino_t ino G_GNUC_UNUSED, off_t off, int whence,
          struct fuse_file_info *fi)
{
  TtlHandle *handle = ttl_fs_handle (fi);
  off_t found = lseek (lock_content (handle), off, whence);
  int err = errno;

  unlock_content (handle);
  if (found < 0)
    ttl_reply (req, -err);
  else
    fuse_reply_lseek (req, found);
}

void
op_copy_file_range (fuse_req_t req, fuse_ino_t ino_in G_GNUC_UNUSED, off_t off_in,
                    struct fuse_file_info *fi_in, fuse_ino_t ino_out G_GNUC_UNUSED, off_t off_out,
                    struct fuse_file_info *fi_out, size_t len, int flags G_GNUC_UNUSED)
{
  TtlHandle *in = ttl_fs_handle (fi_in), *out = ttl_fs_handle (fi_out);
  ttl_autofd from = -1;
  ssize_t count;
  int fd, res;

  /* A descriptor of its own, so that the two locks are never held together. */
  from = fcntl (lock_content (in), F_DUPFD_CLOEXEC, 0);
  res = from < 0 ? -errno : 0;
  unlock_content (in);
  if (res < 0 || out->writer == NULL)
    {
      ttl_reply (req, res < 0 ? res : -EBADF);
      return;
    }
  {
    TTL_LOCKED (&out->writer->lock);
    note_change (out, ttl_fs_caller (req));
    res = ttl_draft_change (out->writer->draft, TRUE, &fd);
    count = res < 0 ? res : copy_file_range (from, &off_in, fd, &off_out, len, 0);
    if (res == 0 && count < 0)
      {
        count = -errno;
        if (count == -ENOSPC || count == -EDQUOT || count == -EIO)
          ttl_draft_spoil (out->writer->draft, (int)-count);
        else
          ttl_draft_change_failed (out->writer->draft);
      }
  }
  ttl_reply_count (req, count);
}

/* ---- closing ----
 *
 * Locks go after the publication, also when that failed: who has waited for one then reads what was put. */

void
op_flush (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  TtlHandle *handle = ttl_fs_handle (fi);
  int res = ttl_handle_flush (handle, ttl_fs_caller (req));

  ttl_lock_release_owner (handle->locks, TTL_LOCK_POSIX, fi->lock_owner);
  ttl_debug ("FLUSH %lu -> %d", ino, res);
  ttl_reply (req, res);
}

void
op_release (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  TtlFs *fs = ttl_fs_of (req);
  TtlHandle *handle = ttl_fs_handle (fi);
  int res;

  forget (fs, handle);
  res = ttl_handle_publish_last (handle);
  if (res < 0)
    g_warning ("a value was lost at the last close of its file: %s", g_strerror (-res));
  ttl_lock_release_handle (handle->locks, (uintptr_t)handle);
  ttl_handle_free (handle);
  if (ttl_nodes_is_over (fs->nodes, ino))
    ttl_prune_add (fs->prune, ino);
  ttl_debug ("RELEASE %lu -> %d", ino, res);
  ttl_reply (req, 0);
}

void
op_fsync (fuse_req_t req, fuse_ino_t ino G_GNUC_UNUSED, int datasync G_GNUC_UNUSED,
          struct fuse_file_info *fi)
{
  TtlHandle *handle = ttl_fs_handle (fi);
  int res;

  if (handle->writer == NULL)
    res = fsync (handle->fd) < 0 ? -errno : 0;
  else
    {
      TTL_LOCKED (&handle->writer->lock);
      res = ttl_draft_publish (handle->writer->draft, TTL_PUBLISH_SYNC);
    }
  ttl_reply (req, res);
}
