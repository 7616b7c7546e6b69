/* ops-ordered - the operations as the session calls them: each in its turn (order.h).
 *
 * A request about a key that is just being closed is copied and handed to a helper, which waits and then serves it; everything
 * else is served where it was received. FLUSH and RELEASE are what is waited for. */
#define G_LOG_DOMAIN "ttlfs"
#include "ops-ordered.h"

#include "cleanup.h"

#include <fcntl.h>
#include <string.h>

typedef enum
{
  ABOUT_NAME,  /* name in the bucket ino */
  ABOUT_NAMES, /* also other_name in the bucket other */
  ABOUT_NODE,  /* the key that ino stands for */
  ABOUT_LINK,  /* that, and other_name in the bucket other */
  ABOUT_LIST,  /* what is in the bucket ino */
  ABOUT_ALL,
  ABOUT_LOCKS, /* of the key that fi has open */
} About;

/* Everything that an operation may be told. */
typedef struct Request Request;
struct Request
{
  void (*serve) (const Request *request);
  fuse_req_t req;
  fuse_ino_t ino, other;
  const char *name, *other_name, *value;
  gsize size; /* of value, or to read */
  off_t off;
  mode_t mode;
  int flags;
  struct stat *attr;
  struct fuse_file_info *fi;
  struct flock *lock;
};

/* ---- waiting ---- */

typedef struct
{
  Request request; /* owns what it points to */
  TtlFs *fs;
  TtlPlace places[2];
  guint n_places;
  guint64 received;
} Late;

static void
late_free (Late *self)
{
  g_free ((char *)self->request.name);
  g_free ((char *)self->request.other_name);
  g_free ((char *)self->request.value);
  g_free (self->request.attr);
  g_free (self->request.fi);
  g_free (self->request.lock);
  g_free (self);
}

static void
serve_late (gpointer data)
{
  Late *self = data;

  for (guint i = 0; i < self->n_places; i++)
    ttl_order_wait (self->fs->order, &self->places[i], self->received);
  self->request.serve (&self->request);
  late_free (self);
}

static void
add_name (Late *self, fuse_ino_t parent, const char *name)
{
  g_autoptr (TtlNode) node = ttl_nodes_get (self->fs->nodes, parent);
  g_autoptr (TtlBucket) bucket = node != NULL ? ttl_node_dup_place (node, NULL) : NULL;
  TtlPlace *place = &self->places[self->n_places];

  if (node == NULL || ttl_node_kind (node) != TTL_NODE_BUCKET)
    return;
  if (name != NULL && ttl_fs_backing (self->fs, bucket, name, place->backing) < 0)
    return;
  place->bucket = ttl_bucket_id (bucket);
  self->n_places++;
}

/* A draft's inode is its writer's: what others close is not seen through it. */
static void
add_node (Late *self, fuse_ino_t ino)
{
  g_autoptr (TtlNode) node = ttl_nodes_get (self->fs->nodes, ino);
  g_autoptr (TtlBucket) bucket = NULL;
  TtlPlace *place = &self->places[self->n_places];

  if (node == NULL || ttl_node_kind (node) != TTL_NODE_VALUE)
    return;
  bucket = ttl_node_dup_place (node, place->backing);
  place->bucket = ttl_bucket_id (bucket);
  self->n_places++;
}

static void
add_locks (Late *self, const TtlHandle *handle)
{
  TtlPlace *place = &self->places[self->n_places++];
  g_autoptr (TtlBucket) bucket = ttl_node_dup_place (handle->node, place->backing);

  place->bucket = ttl_bucket_id (bucket);
  place->locks = handle->locks;
}

static void
find_places (Late *self, const Request *request, About about)
{
  switch (about)
    {
    case ABOUT_NAMES:
      add_name (self, request->other, request->other_name);
      G_GNUC_FALLTHROUGH;
    case ABOUT_NAME:
      add_name (self, request->ino, request->name);
      break;
    case ABOUT_LINK:
      add_name (self, request->other, request->other_name);
      G_GNUC_FALLTHROUGH;
    case ABOUT_NODE:
      add_node (self, request->ino);
      break;
    case ABOUT_LIST:
      add_name (self, request->ino, NULL);
      break;
    case ABOUT_ALL:
      self->n_places = 1;
      break;
    case ABOUT_LOCKS:
      add_locks (self, ttl_fs_handle (request->fi));
      break;
    }
}

static gboolean
must_wait (const Late *self)
{
  for (guint i = 0; i < self->n_places; i++)
    if (ttl_order_is_closing (self->fs->order, &self->places[i], self->received))
      return TRUE;
  return FALSE;
}

static void
copy_request (Request *to, const Request *from)
{
  *to = *from;
  to->name = g_strdup (from->name);
  to->other_name = g_strdup (from->other_name);
  to->value = from->value != NULL ? g_memdup2 (from->value, from->size) : NULL;
  to->attr = g_memdup2 (from->attr, sizeof *from->attr);
  to->fi = g_memdup2 (from->fi, sizeof *from->fi);
  to->lock = g_memdup2 (from->lock, sizeof *from->lock);
}

/* libfuse ends its threads of io_uring by cancelling them. In the midst of an operation, with a lock held, that
 * would be the end of everybody; between two of them they are told by other means as well. */
static void
enter (void)
{
  static __thread gboolean entered;

  if (G_LIKELY (entered))
    return;
  entered = TRUE;
  pthread_setcancelstate (PTHREAD_CANCEL_DISABLE, NULL);
}

static void
in_turn (const Request *request, About about)
{
  TtlFs *fs = ttl_fs_of (request->req);
  Late *late;

  enter ();
  if (ttl_order_is_quiet (fs->order))
    {
      request->serve (request);
      return;
    }
  late = g_new0 (Late, 1);
  late->fs = fs;
  late->received = ttl_order_now (fs->order);
  find_places (late, request, about);
  if (must_wait (late))
    {
      copy_request (&late->request, request);
      if (ttl_helpers_do (fs->helpers, serve_late, late))
        return;
    }
  late_free (late);
  request->serve (request);
}

/* Nothing but its RELEASE says that it was closed, and that gives up a lock. */
static gboolean
is_unheard (TtlHandle *handle)
{
  return handle->writer == NULL && !handle->releasing && ttl_handle_is_awaited (handle);
}

/* ---- the operations ---- */

static void
serve_lookup (const Request *r)
{
  op_lookup (r->req, r->ino, r->name);
}

static void
ordered_lookup (fuse_req_t req, fuse_ino_t parent, const char *name)
{
  in_turn (&(Request){ serve_lookup, req, .ino = parent, .name = name }, ABOUT_NAME);
}

static void
serve_mkdir (const Request *r)
{
  op_mkdir (r->req, r->ino, r->name, r->mode);
}

static void
ordered_mkdir (fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
  in_turn (&(Request){ serve_mkdir, req, .ino = parent, .name = name, .mode = mode }, ABOUT_NAME);
}

static void
serve_rmdir (const Request *r)
{
  op_rmdir (r->req, r->ino, r->name);
}

static void
ordered_rmdir (fuse_req_t req, fuse_ino_t parent, const char *name)
{
  in_turn (&(Request){ serve_rmdir, req, .ino = parent, .name = name }, ABOUT_ALL);
}

static void
serve_unlink (const Request *r)
{
  op_unlink (r->req, r->ino, r->name);
}

static void
ordered_unlink (fuse_req_t req, fuse_ino_t parent, const char *name)
{
  in_turn (&(Request){ serve_unlink, req, .ino = parent, .name = name }, ABOUT_NAME);
}

static void
serve_rename (const Request *r)
{
  op_rename (r->req, r->ino, r->name, r->other, r->other_name, (unsigned)r->flags);
}

static void
ordered_rename (fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
                const char *newname, unsigned flags)
{
  in_turn (&(Request){ serve_rename, req, .ino = parent, .name = name, .other = newparent,
                       .other_name = newname, .flags = (int)flags },
           ABOUT_NAMES);
}

static void
serve_link (const Request *r)
{
  op_link (r->req, r->ino, r->other, r->other_name);
}

static void
ordered_link (fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname)
{
  in_turn (&(Request){ serve_link, req, .ino = ino, .other = newparent, .other_name = newname },
           ABOUT_LINK);
}

static void
serve_opendir (const Request *r)
{
  op_opendir (r->req, r->ino, r->fi);
}

static void
ordered_opendir (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  in_turn (&(Request){ serve_opendir, req, .ino = ino, .fi = fi }, ABOUT_LIST);
}

static void
serve_readdir (const Request *r)
{
  op_readdir (r->req, r->ino, r->size, r->off, r->fi);
}

static void
ordered_readdir (fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
  in_turn (&(Request){ serve_readdir, req, .ino = ino, .size = size, .off = off, .fi = fi },
           ABOUT_LIST);
}

static void
serve_readdirplus (const Request *r)
{
  op_readdirplus (r->req, r->ino, r->size, r->off, r->fi);
}

static void
ordered_readdirplus (fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                     struct fuse_file_info *fi)
{
  in_turn (&(Request){ serve_readdirplus, req, .ino = ino, .size = size, .off = off, .fi = fi },
           ABOUT_LIST);
}

static void
serve_create (const Request *r)
{
  op_create (r->req, r->ino, r->name, r->mode, r->fi);
}

static void
ordered_create (fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                struct fuse_file_info *fi)
{
  in_turn (&(Request){ serve_create, req, .ino = parent, .name = name, .mode = mode, .fi = fi },
           ABOUT_NAME);
}

static void
serve_open (const Request *r)
{
  op_open (r->req, r->ino, r->fi);
}

static void
ordered_open (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  in_turn (&(Request){ serve_open, req, .ino = ino, .fi = fi }, ABOUT_NODE);
}

static void
serve_getattr (const Request *r)
{
  op_getattr (r->req, r->ino, r->fi);
}

static void
ordered_getattr (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  in_turn (&(Request){ serve_getattr, req, .ino = ino, .fi = fi }, ABOUT_NODE);
}

static void
serve_setattr (const Request *r)
{
  op_setattr (r->req, r->ino, r->attr, r->flags, r->fi);
}

static void
ordered_setattr (fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                 struct fuse_file_info *fi)
{
  in_turn (&(Request){ serve_setattr, req, .ino = ino, .attr = attr, .flags = to_set, .fi = fi },
           ABOUT_NODE);
}

static void
serve_getxattr (const Request *r)
{
  op_getxattr (r->req, r->ino, r->name, r->size);
}

static void
ordered_getxattr (fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
  in_turn (&(Request){ serve_getxattr, req, .ino = ino, .name = name, .size = size }, ABOUT_NODE);
}

static void
serve_listxattr (const Request *r)
{
  op_listxattr (r->req, r->ino, r->size);
}

static void
ordered_listxattr (fuse_req_t req, fuse_ino_t ino, size_t size)
{
  in_turn (&(Request){ serve_listxattr, req, .ino = ino, .size = size }, ABOUT_NODE);
}

static void
serve_setxattr (const Request *r)
{
  op_setxattr (r->req, r->ino, r->name, r->value, r->size, r->flags);
}

static void
ordered_setxattr (fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size,
                  int flags)
{
  in_turn (&(Request){ serve_setxattr, req, .ino = ino, .name = name, .value = value, .size = size,
                       .flags = flags },
           ABOUT_NODE);
}

static void
serve_removexattr (const Request *r)
{
  op_removexattr (r->req, r->ino, r->name);
}

static void
ordered_removexattr (fuse_req_t req, fuse_ino_t ino, const char *name)
{
  in_turn (&(Request){ serve_removexattr, req, .ino = ino, .name = name }, ABOUT_NODE);
}

/* Without a FLUSH a close is not heard of. Whoever may have closed what is in the way of @wanted is looked at more closely. */
static void
suspect_holders (TtlFs *fs, TtlHandle *handle, TtlLockKind kind, const TtlLock *wanted)
{
  GHashTableIter iter;
  gpointer other;
  TtlLock conflict;

  if (wanted->type == F_UNLCK)
    return;
  ttl_lock_get (handle->locks, kind, wanted, &conflict);
  if (conflict.type == F_UNLCK)
    return;

  TTL_LOCKED (&fs->handles_lock);
  g_hash_table_iter_init (&iter, fs->handles);
  while (g_hash_table_iter_next (&iter, &other, NULL))
    {
      TtlHandle *holder = other;

      if (holder != handle && holder->locks == handle->locks && is_unheard (holder))
        ttl_order_suspect (fs->order, holder);
    }
}

static void
serve_getlk (const Request *r)
{
  op_getlk (r->req, r->ino, r->fi, r->lock);
}

static void
ordered_getlk (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock)
{
  const TtlLock wanted = ttl_fs_posix_lock (fi, lock);

  suspect_holders (ttl_fs_of (req), ttl_fs_handle (fi), TTL_LOCK_POSIX, &wanted);
  in_turn (&(Request){ serve_getlk, req, .ino = ino, .fi = fi, .lock = lock }, ABOUT_LOCKS);
}

static void
serve_setlk (const Request *r)
{
  op_setlk (r->req, r->ino, r->fi, r->lock, r->flags);
}

static void
ordered_setlk (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock,
               int sleep)
{
  const TtlLock wanted = ttl_fs_posix_lock (fi, lock);

  suspect_holders (ttl_fs_of (req), ttl_fs_handle (fi), TTL_LOCK_POSIX, &wanted);
  in_turn (&(Request){ serve_setlk, req, .ino = ino, .fi = fi, .lock = lock, .flags = sleep },
           ABOUT_LOCKS);
}

static void
serve_flock (const Request *r)
{
  op_flock (r->req, r->ino, r->fi, r->flags);
}

static void
ordered_flock (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int op)
{
  const TtlLock wanted = ttl_fs_flock (req, fi, op);

  suspect_holders (ttl_fs_of (req), ttl_fs_handle (fi), TTL_LOCK_FLOCK, &wanted);
  in_turn (&(Request){ serve_flock, req, .ino = ino, .fi = fi, .flags = op }, ABOUT_LOCKS);
}

/* ---- without a turn ---- */

static void
plain_symlink (fuse_req_t req, const char *link, fuse_ino_t parent, const char *name)
{
  enter ();
  op_symlink (req, link, parent, name);
}

static void
plain_mknod (fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
  enter ();
  op_mknod (req, parent, name, mode, rdev);
}

static void
plain_read (fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
  enter ();
  op_read (req, ino, size, off, fi);
}

static void
plain_write (fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
             struct fuse_file_info *fi)
{
  enter ();
  op_write (req, ino, buf, size, off, fi);
}

static void
plain_fallocate (fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
                 struct fuse_file_info *fi)
{
  enter ();
  op_fallocate (req, ino, mode, offset, length, fi);
}

static void
plain_lseek (fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
  enter ();
  op_lseek (req, ino, off, whence, fi);
}

static void
plain_copy_file_range (fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
                       struct fuse_file_info *fi_in, fuse_ino_t ino_out, off_t off_out,
                       struct fuse_file_info *fi_out, size_t len, int flags)
{
  enter ();
  op_copy_file_range (req, ino_in, off_in, fi_in, ino_out, off_out, fi_out, len, flags);
}

static void
plain_releasedir (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  enter ();
  op_releasedir (req, ino, fi);
}

static void
plain_statfs (fuse_req_t req, fuse_ino_t ino)
{
  enter ();
  op_statfs (req, ino);
}

/* ---- on a helper ----
 *
 * What always takes long. Over /dev/fuse the thread would be replaced; over io_uring nobody takes its queue over. */

static gboolean
serve_aside (const Request *request)
{
  TtlFs *fs = ttl_fs_of (request->req);
  Late *late;

  enter ();
  if (!fs->over_uring)
    return FALSE;
  late = g_new0 (Late, 1);
  late->fs = fs;
  copy_request (&late->request, request);
  if (ttl_helpers_do (fs->helpers, serve_late, late))
    return TRUE;
  late_free (late);
  return FALSE;
}

static void
serve_fsync (const Request *r)
{
  op_fsync (r->req, r->ino, r->flags, r->fi);
}

static void
aside_fsync (fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
  if (!serve_aside (&(Request){ serve_fsync, req, .ino = ino, .flags = datasync, .fi = fi }))
    op_fsync (req, ino, datasync, fi);
}

static void
serve_fsyncdir (const Request *r)
{
  op_fsyncdir (r->req, r->ino, r->flags, r->fi);
}

static void
aside_fsyncdir (fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
  if (!serve_aside (&(Request){ serve_fsyncdir, req, .ino = ino, .flags = datasync, .fi = fi }))
    op_fsyncdir (req, ino, datasync, fi);
}

/* ---- what is waited for ---- */

static void
ordered_flush (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  enter ();
  ttl_order_closing (ttl_fs_of (req)->order, ttl_fs_handle (fi), ttl_fs_caller (req));
  op_flush (req, ino, fi);
}

static TtlClosing *
begin_release (TtlFs *fs, TtlHandle *handle)
{
  if (!is_unheard (handle))
    return ttl_order_releasing (fs->order, handle);

  TTL_LOCKED (&fs->handles_lock);
  ttl_order_suspect (fs->order, handle); /* until it is done, and by nobody any more */
  handle->releasing = TRUE;
  return ttl_order_releasing (fs->order, handle);
}

static void
ordered_release (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  TtlFs *fs = ttl_fs_of (req);
  TtlClosing *closing = begin_release (fs, ttl_fs_handle (fi));

  enter ();
  op_release (req, ino, fi);
  ttl_order_released (fs->order, closing);
}

/* Whether a descriptor of @other's inode may be taken for one that @sought says. */
static gboolean
looks_alike (const TtlHandle *other, const TtlSought *sought)
{
  ino_t inos[2];

  ttl_node_get_inos (other->node, inos);
  for (guint i = 0; i < G_N_ELEMENTS (inos); i++)
    if (inos[i] != 0 && (inos[i] == sought->inos[0] || inos[i] == sought->inos[1]))
      return TRUE;
  return sought->inos[0] == 0 && sought->inos[1] == 0;
}

static guint
describe (const TtlHandle *handle, const TtlLockFile *locks, int access, TtlSought *sought,
          gpointer data)
{
  TtlFs *fs = data;
  GHashTableIter iter;
  gpointer other;
  guint n = 0;

  sought->dev = fs->dev;
  TTL_LOCKED (&fs->handles_lock);
  if (g_hash_table_contains (fs->handles, handle))
    ttl_node_get_inos (handle->node, sought->inos);
  g_hash_table_iter_init (&iter, fs->handles);
  while (g_hash_table_iter_next (&iter, &other, NULL))
    if (other != handle && ((TtlHandle *)other)->locks == locks
        && ttl_order_access (other) == access && looks_alike (other, sought))
      n++;
  return n;
}

/* ---- all of them ---- */

static void
greet (void *data, struct fuse_conn_info *conn)
{
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 18)
  ((TtlFs *)data)->uring_offered = (conn->capable_ext & FUSE_CAP_OVER_IO_URING) != 0;
#endif
  ttl_order_describe_with (((TtlFs *)data)->order, describe, data);
  ttl_fs_ops.init (data, conn);
}

struct fuse_lowlevel_ops
ttl_ordered_ops (void)
{
  struct fuse_lowlevel_ops ops = ttl_fs_ops;

  ops.init = greet;
  ops.symlink = plain_symlink;
  ops.mknod = plain_mknod;
  ops.read = plain_read;
  ops.write = plain_write;
  ops.fallocate = plain_fallocate;
  ops.lseek = plain_lseek;
  ops.copy_file_range = plain_copy_file_range;
  ops.releasedir = plain_releasedir;
  ops.statfs = plain_statfs;
  ops.fsync = aside_fsync;
  ops.fsyncdir = aside_fsyncdir;
  ops.lookup = ordered_lookup;
  ops.mkdir = ordered_mkdir;
  ops.rmdir = ordered_rmdir;
  ops.unlink = ordered_unlink;
  ops.rename = ordered_rename;
  ops.link = ordered_link;
  ops.opendir = ordered_opendir;
  ops.readdir = ordered_readdir;
  ops.readdirplus = ordered_readdirplus;
  ops.create = ordered_create;
  ops.open = ordered_open;
  ops.getattr = ordered_getattr;
  ops.setattr = ordered_setattr;
  ops.getxattr = ordered_getxattr;
  ops.listxattr = ordered_listxattr;
  ops.setxattr = ordered_setxattr;
  ops.removexattr = ordered_removexattr;
  ops.getlk = ordered_getlk;
  ops.setlk = ordered_setlk;
  ops.flock = ordered_flock;
  ops.flush = ordered_flush;
  ops.release = ordered_release;
  return ops;
}
