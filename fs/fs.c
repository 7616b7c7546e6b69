#define G_LOG_DOMAIN "ttlfs"
#include "fs.h"

#include "cleanup.h"
#include "log.h"
#include "reply.h"
#include "watcher.h"

#define MAX_BACKGROUND \
  4096 /* RELEASEs must not queue up in the kernel: the next open waits for them here */

/* A key that has expired, or that somebody else removed, is over for the kernel, too. */
static void
on_event (const TtlEvent *event, gpointer data)
{
  TtlFs *self = data;
  guint64 id;

  if (event->kind != TTL_EVENT_DELETE)
    return;
  id = ttl_nodes_find_id (self->nodes, event->bucket, event->backing);
  if (id != 0)
    ttl_prune_add (self->prune, id);
}

TtlFs *
ttl_fs_new (TtlStore *store)
{
  TtlFs *self = g_new0 (TtlFs, 1);

  self->store = store;
  self->nodes = ttl_nodes_new (ttl_store_root (store), (guint16)g_random_int_range (1, G_MAXINT16));
  self->locks = ttl_locks_new ();
  pthread_mutex_init (&self->handles_lock, NULL);
  pthread_mutex_init (&self->waits_lock, NULL);
  g_queue_init (&self->waits);
  self->handles = g_hash_table_new (NULL, NULL);
  self->dirs = g_hash_table_new (NULL, NULL);
  self->prune = ttl_prune_new ();
  self->order = ttl_order_new (ttl_store_names (store));
  if (ttl_store_watcher (store) != NULL)
    self->listener = ttl_watcher_add_listener (ttl_store_watcher (store), on_event, self);
  return self;
}

void
ttl_fs_free (TtlFs *self)
{
  GHashTableIter iter;
  gpointer handle;

  if (self->listener != 0)
    ttl_watcher_remove_listener (ttl_store_watcher (self->store), self->listener);
  ttl_prune_free (self->prune);
  g_hash_table_iter_init (&iter, self->handles);
  while (g_hash_table_iter_next (&iter, &handle, NULL))
    {
      /* ": > k" is published by its RELEASE, and the kernel takes back a RELEASE that we have not read when it unmounts. */
      if (g_atomic_int_get (&((TtlHandle *)handle)->closed))
        (void)ttl_handle_publish_last (handle);
      ttl_handle_free (handle);
    }
  g_hash_table_iter_init (&iter, self->dirs);
  while (g_hash_table_iter_next (&iter, &handle, NULL))
    ttl_dir_handle_free (handle);
  g_hash_table_unref (self->dirs);
  g_hash_table_unref (self->handles);
  ttl_order_free (self->order);
  ttl_nodes_free (self->nodes);
  ttl_locks_free (self->locks);
  ttl_store_close (self->store);
  pthread_mutex_destroy (&self->handles_lock);
  pthread_mutex_destroy (&self->waits_lock);
  g_free (self);
}

static void
want (struct fuse_conn_info *conn, unsigned flag, gboolean wanted)
{
  if (wanted && conn->capable & flag)
    conn->want |= flag;
  else
    conn->want &= ~flag;
}

static void
op_init (void *data, struct fuse_conn_info *conn)
{
  TtlFs *self = data;

  want (conn, FUSE_CAP_ATOMIC_O_TRUNC,
        TRUE); /* a truncating open is one step, and publishes nothing */
  want (conn, FUSE_CAP_HANDLE_KILLPRIV, TRUE);
  want (conn, FUSE_CAP_READDIRPLUS, TRUE);
  want (conn, FUSE_CAP_READDIRPLUS_AUTO, TRUE);
  want (conn, FUSE_CAP_POSIX_LOCKS, TRUE);
  want (conn, FUSE_CAP_FLOCK_LOCKS, TRUE);
  want (conn, FUSE_CAP_AUTO_INVAL_DATA, TRUE);
  want (conn, FUSE_CAP_WRITEBACK_CACHE, FALSE);
  want (conn, FUSE_CAP_ASYNC_DIO, FALSE); /* the pieces of one append must arrive in order */
  want (conn, FUSE_CAP_SPLICE_READ, FALSE);
  want (conn, FUSE_CAP_SPLICE_WRITE, FALSE);
  want (conn, FUSE_CAP_SPLICE_MOVE, FALSE);
  conn->max_background = MAX_BACKGROUND;
  conn->congestion_threshold = MAX_BACKGROUND;
  if (self->ready != NULL)
    self->ready (self->ready_data);
}

/* ---- what the operations share ---- */

TtlNode *
ttl_fs_get_node (fuse_req_t req, fuse_ino_t ino)
{
  TtlNode *node = ttl_nodes_get (ttl_fs_of (req)->nodes, ino);

  if (node == NULL)
    ttl_reply (req, -ESTALE);
  return node;
}

TtlBucket *
ttl_fs_get_bucket (fuse_req_t req, fuse_ino_t ino)
{
  g_autoptr (TtlNode) node = ttl_fs_get_node (req, ino);

  if (node == NULL)
    return NULL;
  if (ttl_node_kind (node) == TTL_NODE_BUCKET)
    return ttl_node_dup_place (node, NULL);
  ttl_reply (req, -ENOTDIR);
  return NULL;
}

TtlOwner
ttl_fs_owner (fuse_req_t req, mode_t mode)
{
  const struct fuse_ctx *ctx = fuse_req_ctx (req);

  return (TtlOwner){ .uid = ctx->uid, .gid = ctx->gid, .mode = mode & 07777 };
}

/* Never ENOENT or ESTALE for a version that a LOOKUP has just found: in the midst of an open with O_CREAT the one would be
 * the answer to the user, and the other would use up the only time that the kernel looks again. The GETATTR belongs to
 * the moment of its LOOKUP; whoever asks later, by a path, looks up again. */
static int
stat_value (TtlFs *self, TtlNode *node, TtlBucket *bucket, const char *backing, gint64 now_ns,
            struct stat *st_out)
{
  ttl_autofd fd = -1;
  TtlEntry entry;
  int res = ttl_store_stat (self->store, bucket, backing, now_ns, &entry);

  if (res < 0 && res != -ENOENT && res != -ESTALE)
    return res;
  if (res == 0 && ttl_node_bind (node, &entry.st))
    {
      *st_out = entry.st;
      return 0;
    }
  /* Replaced, removed or expired: who has it open goes on seeing what he opened. */
  fd = ttl_node_dup_fd (node);
  if (fd >= 0)
    return fstat (fd, st_out) < 0 ? -errno : 0;
  ttl_node_get_seen (node, st_out);
  return 0;
}

/* On its way to an OPEN: what the LOOKUP said. Never ESTALE, since the kernel looks again but once. */
static int
stat_draft (TtlNode *node, struct stat *st_out)
{
  g_autoptr (TtlWriter) writer = ttl_node_dup_writer (node);
  g_autoptr (TtlWriter) origin = NULL;

  if (writer == NULL)
    {
      origin = ttl_node_dup_origin (node, st_out);
      return st_out->st_ino != 0 ? 0 : -ESTALE;
    }
  TTL_LOCKED (&writer->lock);
  return ttl_draft_stat (writer->draft, st_out);
}

int
ttl_fs_stat (TtlFs *self, TtlNode *node, gint64 now_ns, struct stat *st_out)
{
  TtlName backing;
  g_autoptr (TtlBucket) bucket = ttl_node_dup_place (node, backing);

  switch (ttl_node_kind (node))
    {
    case TTL_NODE_BUCKET:
      return ttl_store_stat_bucket (self->store, bucket, st_out);
    case TTL_NODE_VALUE:
      return stat_value (self, node, bucket, backing, now_ns, st_out);
    case TTL_NODE_DRAFT:
      break;
    }
  return stat_draft (node, st_out);
}

int
ttl_fs_backing (TtlFs *self, TtlBucket *bucket, const char *name, TtlName backing_out)
{
  if (ttl_bucket_is_root (bucket) && strcmp (name, TTL_RESERVED_NAME) == 0)
    return -EPERM;
  return ttl_keyname_from_shown (ttl_store_names (self->store), name, backing_out);
}

/* A node that was not told to the kernel after all. */
static void
drop_node (TtlFs *self, TtlNode *node)
{
  const guint64 id = ttl_node_id (node);

  ttl_node_unpin (node);
  ttl_nodes_forget (self->nodes, id, 1);
}

/* What @name stands for to thread @tid: its process's unpublished draft, or what is published. *@own_out is the draft's
 * node, counting one more lookup, or NULL, and then *@entry_out is filled. */
static int
find (TtlFs *self, TtlBucket *bucket, const char *name, const char *backing, pid_t tid,
      gint64 now_ns, TtlNode **own_out, TtlEntry *entry_out)
{
  TtlNode *own = ttl_nodes_find_own_draft (self->nodes, bucket, backing, tid);

  if (own != NULL && stat_draft (own, &entry_out->st) == 0)
    {
      entry_out->kind = TTL_ENTRY_KEY;
      *own_out = own;
      return 0;
    }
  if (own != NULL)
    drop_node (self, own);
  return ttl_store_lookup (self->store, bucket, name, now_ns, entry_out);
}

static TtlNode *
value_node (TtlFs *self, TtlBucket *bucket, const char *backing, const struct stat *st, pid_t tid)
{
  return tid > 0 ? ttl_nodes_ensure_value (self->nodes, bucket, backing, st)
                 : ttl_nodes_add_private (self->nodes, bucket, backing, st);
}

void
ttl_fs_tell_key (TtlFs *self, TtlBucket *bucket, const char *backing, const struct stat *st,
                 pid_t tid, struct fuse_entry_param *entry_out)
{
  g_autoptr (TtlNode) node = value_node (self, bucket, backing, st, tid);

  *entry_out = (struct fuse_entry_param){ .ino = ttl_node_id (node), .attr = *st };
}

void
ttl_fs_tell_bucket (TtlFs *self, TtlBucket *bucket, mode_t mode, struct fuse_entry_param *entry_out)
{
  g_autoptr (TtlNode) node = ttl_nodes_ensure_bucket (self->nodes, bucket);

  *entry_out = (struct fuse_entry_param){ .ino = ttl_node_id (node) };
  if (ttl_store_stat_bucket (self->store, bucket, &entry_out->attr) < 0)
    entry_out->attr
        = (struct stat){ .st_ino = ttl_bucket_id (bucket), .st_mode = S_IFDIR | (mode & 07777) };
}

/* A draft node on its way to its OPEN starts from its process's unpublished draft, @own, if there is one, and otherwise
 * from the published version, which is opened now: by the time of the OPEN it may have lost its name. */
static int
set_origin (TtlFs *self, TtlNode *node, TtlBucket *bucket, const char *backing, TtlNode *own,
            gint64 now_ns, TtlEntry *entry)
{
  g_autoptr (TtlWriter) writer = own != NULL ? ttl_node_dup_writer (own) : NULL;
  int fd = -1;
  int res
      = own == NULL ? ttl_store_open_value (self->store, bucket, backing, now_ns, &fd, entry) : 0;

  if (res < 0 && res != -EACCES) /* what is not for us to read may be written all the same */
    return res;
  ttl_node_set_origin (node, &entry->st, writer, fd);
  return 0;
}

/* The node that thread @tid is given for what was found: a draft node of its own when it has been sent back from an OPEN for
 * writing. -ENOENT when what was found has gone; then the intent stays, as the kernel may look twice. */
static int
give_key_node (TtlFs *self, TtlBucket *bucket, const char *backing, pid_t tid, gint64 now_ns,
               TtlNode *own, TtlEntry *entry, TtlNode **node_out)
{
  TtlNode *node = ttl_nodes_redeem (self->nodes, bucket, backing, tid);
  int res = 0;

  if (node == NULL)
    *node_out = own != NULL ? own : value_node (self, bucket, entry->backing, &entry->st, tid);
  else
    {
      res = set_origin (self, node, bucket, backing, own, now_ns, entry);
      if (own != NULL)
        drop_node (self, own);
      if (res == 0)
        *node_out = node;
      else
        drop_node (self, node);
    }
  return res;
}

static int
give_bucket_node (TtlFs *self, TtlBucket *bucket, const char *name, TtlNode **node_out)
{
  g_autoptr (TtlBucket) child = NULL;
  int res = ttl_bucket_get_child (bucket, name, &child);

  if (res == 0)
    *node_out = ttl_nodes_ensure_bucket (self->nodes, child);
  return res;
}

int
ttl_fs_lookup (TtlFs *self, TtlBucket *bucket, const char *name, pid_t tid, gint64 now_ns,
               struct fuse_entry_param *entry_out)
{
  g_autoptr (TtlNode) node = NULL;
  TtlNode *own = NULL;
  TtlName backing;
  TtlEntry entry;
  int res = ttl_fs_backing (self, bucket, name, backing);

  *entry_out = (struct fuse_entry_param){ 0 };
  if (res < 0) /* no key can be called so, but a bucket may be */
    res = ttl_store_lookup (self->store, bucket, name, now_ns, &entry);
  else
    res = find (self, bucket, name, backing, tid, now_ns, &own, &entry);
  if (res == 0 && entry.kind == TTL_ENTRY_BUCKET)
    res = give_bucket_node (self, bucket, name, &node);
  else if (res == 0)
    res = give_key_node (self, bucket, backing, tid, now_ns, own, &entry, &node);
  if (res < 0)
    return res;
  entry_out->attr = entry.st;
  entry_out->ino = ttl_node_id (node);
  return 0;
}

const struct fuse_lowlevel_ops ttl_fs_ops = {
  .init = op_init,
  .lookup = op_lookup,
  .forget = op_forget,
  .forget_multi = op_forget_multi,
  .getattr = op_getattr,
  .setattr = op_setattr,
  .symlink = op_symlink,
  .mknod = op_mknod,
  .mkdir = op_mkdir,
  .unlink = op_unlink,
  .rmdir = op_rmdir,
  .rename = op_rename,
  .link = op_link,
  .create = op_create,
  .open = op_open,
  .read = op_read,
  .write = op_write,
  .flush = op_flush,
  .release = op_release,
  .fsync = op_fsync,
  .fallocate = op_fallocate,
  .lseek = op_lseek,
  .copy_file_range = op_copy_file_range,
  .opendir = op_opendir,
  .readdir = op_readdir,
  .readdirplus = op_readdirplus,
  .releasedir = op_releasedir,
  .fsyncdir = op_fsyncdir,
  .statfs = op_statfs,
  .getxattr = op_getxattr,
  .listxattr = op_listxattr,
  .setxattr = op_setxattr,
  .removexattr = op_removexattr,
  .getlk = op_getlk,
  .setlk = op_setlk,
  .flock = op_flock,
};
