/* ops-attr - attributes: of what has a name by its name, of a draft by its writer. */
#define G_LOG_DOMAIN "ttlfs"
#include "fs.h"

#include "attrs.h"
#include "caller.h"
#include "cleanup.h"
#include "log.h"
#include "reply.h"

#include <fcntl.h>
#include <sys/statvfs.h>

void
op_getattr (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi G_GNUC_UNUSED)
{
  TtlFs *fs = ttl_fs_of (req);
  g_autoptr (TtlNode) node = ttl_fs_get_node (req, ino);
  struct stat st;
  double timeout;
  int res;

  if (node == NULL)
    return;
  res = ttl_fs_stat (fs, node, ttl_fs_caller (req), ttl_store_now (fs->store), &st, &timeout);
  ttl_debug ("GETATTR %lu -> %d", ino, res);
  if (res == 0)
    ttl_node_told (node, &st);
  ttl_reply_attr (req, res, &st, timeout);
}

static gint64
timespec_ns (const struct timespec *ts)
{
  const gint64 most = G_MAXINT64 / TTL_NS_PER_S - 1;

  return CLAMP (ts->tv_sec, -most, most) * TTL_NS_PER_S + ts->tv_nsec;
}

static TtlAttrs
attrs_of (const struct stat *attr, int to_set, gint64 now_ns)
{
  TtlAttrs attrs = {
    .set_mode = (to_set & FUSE_SET_ATTR_MODE) != 0,
    .set_uid = (to_set & FUSE_SET_ATTR_UID) != 0,
    .set_gid = (to_set & FUSE_SET_ATTR_GID) != 0,
    .set_atime = (to_set & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_ATIME_NOW)) != 0,
    .set_mtime = (to_set & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW)) != 0,
    .mode = attr->st_mode,
    .uid = attr->st_uid,
    .gid = attr->st_gid,
    .atime_ns = to_set & FUSE_SET_ATTR_ATIME_NOW ? now_ns : timespec_ns (&attr->st_atim),
    .mtime_ns = to_set & FUSE_SET_ATTR_MTIME_NOW ? now_ns : timespec_ns (&attr->st_mtim),
  };

  /* A change of size brings "mtime: now" along. The publication sets that; a time from before it would not do. */
  if (to_set & FUSE_SET_ATTR_SIZE)
    attrs.set_mtime = attrs.set_atime = FALSE;
  return attrs;
}

/* A time of one's choice, like modes and owners, is for the owner; "now" is for who may write, too. */
static guint
access_of (int to_set)
{
  const int atime = to_set & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_ATIME_NOW);
  const int mtime = to_set & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW);

  if (to_set & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)
      || atime == FUSE_SET_ATTR_ATIME || mtime == FUSE_SET_ATTR_MTIME)
    return TTL_ACCESS_OWN;
  return TTL_ACCESS_OWN | TTL_ACCESS_WRITE;
}

static gboolean
is_anything_set (const TtlAttrs *attrs)
{
  return attrs->set_mode || attrs->set_uid || attrs->set_gid || attrs->set_atime
         || attrs->set_mtime;
}

static int
set_on_draft (TtlWriter *writer, pid_t tid, const TtlAttrs *attrs, gboolean set_size, off_t size,
              gint64 now_ns)
{
  TTL_LOCKED (&writer->lock);
  int res = set_size ? ttl_draft_resize (writer->draft, size) : 0;

  if (set_size)
    ttl_writer_changed (writer, tid);
  return res == 0 && is_anything_set (attrs) ? ttl_draft_set_attrs (writer->draft, attrs, now_ns)
                                             : res;
}

/* truncate(2): a put of its own. */
static int
truncate_key (TtlFs *fs, TtlNode *node, TtlBucket *bucket, const char *backing,
              const TtlOwner *owner, off_t size)
{
  g_autoptr (TtlDraft) draft = NULL;
  int res = ttl_fs_open_draft (fs, node, bucket, backing, size == 0 ? O_WRONLY | O_TRUNC : O_WRONLY,
                               owner, owner, &draft);

  if (res == 0)
    res = ttl_draft_resize (draft, size);
  return res < 0 ? res : ttl_draft_publish (draft, TTL_PUBLISH_LAST);
}

/* By a path: what has the name now is changed, whatever it was when the path was looked up. Only where the name is gone,
 * or stands for another version than the one that the caller has open, are attributes set on what is open; and who has
 * come by a path that the kernel remembered, beside somebody's descriptor, is to look it up again. @tid: 0 where nothing is
 * looked up. */
static int
set_on_value (TtlFs *fs, TtlNode *node, const TtlOwner *owner, pid_t tid, const TtlAttrs *attrs,
              guint wanted, gboolean set_size, off_t size, gint64 now_ns)
{
  TtlName backing;
  g_autoptr (TtlBucket) bucket = ttl_node_dup_place (node, backing);
  ttl_autofd fd = -1;
  TtlEntry entry;
  int res = ttl_store_stat (fs->store, bucket, backing, now_ns, &entry);

  if (set_size)
    res = truncate_key (fs, node, bucket, backing, owner, size);
  else if (res < 0 || !ttl_node_is_of (node, &entry.st))
    fd = ttl_node_dup_fd (node);
  if (fd >= 0 && ttl_caller_shows_open (tid) && ttl_fs_send_back (fs, node, tid))
    return -ESTALE;
  if (fd >= 0)
    {
      res = ttl_store_set_attrs_of_open (fs->store, bucket, backing, fd, attrs, now_ns);
      ttl_fs_lease_changed (fs, bucket, backing, NULL, now_ns);
      return res;
    }
  /* What comes with a size is the mode without the bits that others must not keep, and the put has taken those away. */
  if (res == 0 && is_anything_set (attrs) && (!set_size || owner->uid == 0))
    {
      const TtlAccess access = ttl_node_access (node, owner, wanted);
      TtlAttrs checked = *attrs;

      checked.access = &access;
      res = ttl_store_set_attrs (fs->store, bucket, backing, &checked, now_ns);
    }
  ttl_fs_lease_changed (fs, bucket, backing, node, now_ns);
  return res;
}

static int
setattr (TtlFs *fs, TtlNode *node, TtlWriter *writer, const TtlOwner *owner, pid_t tid,
         const struct stat *attr, int to_set, gint64 now_ns)
{
  const TtlAttrs attrs = attrs_of (attr, to_set, now_ns);
  const gboolean set_size = (to_set & FUSE_SET_ATTR_SIZE) != 0;
  g_autoptr (TtlBucket) bucket = NULL;

  if (ttl_node_kind (node) == TTL_NODE_BUCKET)
    {
      int res;

      bucket = ttl_node_dup_place (node, NULL);
      res = ttl_store_set_attrs (fs->store, bucket, NULL, &attrs, now_ns);
      ttl_fs_bucket_changed (fs, bucket, FALSE);
      return res;
    }
  if (writer != NULL)
    {
      TtlName backing;
      int res = set_on_draft (writer, owner->tid, &attrs, set_size, attr->st_size, now_ns);

      bucket = ttl_node_dup_place (node, backing);
      ttl_fs_lease_changed (fs, bucket, backing, node,
                            now_ns); /* if there was nothing unpublished */
      return res;
    }
  return set_on_value (fs, node, owner, tid, &attrs, access_of (to_set), set_size, attr->st_size,
                       now_ns);
}

/* It has been done, and must not be done again: where the node is another version's by now, what has the name will do. */
static int
stat_once_set (TtlFs *fs, TtlNode *node, pid_t tid, gint64 now_ns, struct stat *st_out,
               double *timeout_out)
{
  TtlName backing;
  g_autoptr (TtlBucket) bucket = NULL;
  TtlEntry entry;
  int res = ttl_fs_stat (fs, node, tid, now_ns, st_out, timeout_out);

  if (res != -ESTALE || ttl_node_kind (node) == TTL_NODE_BUCKET)
    return res;
  bucket = ttl_node_dup_place (node, backing);
  if (ttl_store_stat (fs->store, bucket, backing, now_ns, &entry) == 0)
    *st_out = entry.st;
  else
    ttl_node_get_seen (node, st_out);
  return st_out->st_ino != 0 ? 0 : -ESTALE;
}

void
op_setattr (fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
            struct fuse_file_info *fi)
{
  TtlFs *fs = ttl_fs_of (req);
  const TtlOwner owner = ttl_fs_owner (req, 0);
  const pid_t tid = ttl_fs_caller (req); /* before a reply, which frees REQ */
  g_autoptr (TtlNode) node = ttl_fs_get_node (req, ino);
  g_autoptr (TtlWriter) writer = NULL;
  const gint64 now_ns = ttl_store_now (fs->store);
  double timeout = 0;
  struct stat st;
  int res;

  if (node == NULL)
    return;
  if (fi == NULL)
    writer = ttl_fs_dup_writer (fs, node, tid);
  else
    writer = ttl_node_dup_writer (node);
  if (writer == NULL && fi != NULL && fi->fh != 0)
    {
      TtlHandle *handle = ttl_fs_handle (fi);
      writer = handle->writer != NULL ? ttl_writer_ref (handle->writer) : NULL;
    }
  if (writer == NULL && fi == NULL && ttl_node_kind (node) == TTL_NODE_VALUE
      && ttl_node_is_misled (node) && ttl_fs_send_back (fs, node, tid))
    res = -ESTALE;
  else
    res = setattr (fs, node, writer, &owner, fi == NULL ? tid : 0, attr, to_set, now_ns);
  if (res == 0)
    res = stat_once_set (fs, node, tid, now_ns, &st, &timeout);
  ttl_debug ("SETATTR %lu %#x -> %d", ino, to_set, res);
  if (res == 0)
    ttl_node_told (node, &st);
  ttl_reply_attr (req, res, &st, timeout);
}

void
op_statfs (fuse_req_t req, fuse_ino_t ino G_GNUC_UNUSED)
{
  struct statvfs st;
  int res = ttl_store_statfs (ttl_fs_of (req)->store, &st);

  if (res < 0)
    ttl_reply (req, res);
  else
    fuse_reply_statfs (req, &st);
}

/* ---- xattrs ---- */

/* Where a node's xattrs are: with its writer, or under a name. */
typedef struct
{
  TtlStore *store;
  TtlWriter *writer;   /* owns a reference; NULL: under a name */
  TtlBucket *bucket;   /* owns a reference */
  const char *backing; /* NULL for the bucket itself */
  TtlName name;
  TtlAccess access;
} Place;

static void
place_clear (Place *self)
{
  g_clear_pointer (&self->writer, ttl_writer_unref);
  g_clear_pointer (&self->bucket, ttl_bucket_unref);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Place, place_clear)

static gboolean
find_place (fuse_req_t req, fuse_ino_t ino, TtlAccessWhat wanted, Place *place)
{
  const TtlOwner owner = ttl_fs_owner (req, 0);
  g_autoptr (TtlNode) node = ttl_fs_get_node (req, ino);

  if (node == NULL)
    return FALSE;
  place->writer = ttl_fs_dup_writer (ttl_fs_of (req), node, ttl_fs_caller (req));
  place->store = ttl_fs_of (req)->store;
  place->bucket = ttl_node_dup_place (node, place->name);
  place->backing = ttl_node_kind (node) == TTL_NODE_BUCKET ? NULL : place->name;
  place->access = ttl_node_access (node, &owner, wanted);
  return TRUE;
}

#define ANCESTORS_MAX 64

/* setfattr(1) is a child of the shell that has the key open: a condition that is set by a path is for the drafts of that key
 * that the caller, or else the nearest of its ancestors, has open. NULL: none has. */
static TtlWriter *
dup_writer_of_ancestor (GPtrArray *writers, pid_t tid)
{
  for (int i = 0; tid > 0 && i < ANCESTORS_MAX; i++, tid = ttl_caller_parent (tid))
    {
      pid_t process = 0;

      for (guint j = writers->len; j > 0; j--)
        if (ttl_writer_is_of (g_ptr_array_index (writers, j - 1), tid, &process))
          return ttl_writer_ref (g_ptr_array_index (writers, j - 1));
    }
  return NULL;
}

static void
find_conditional_writer (fuse_req_t req, Place *place, const char *name)
{
  g_autoptr (GPtrArray) writers = NULL;

  if (strcmp (name, TTL_XATTR_PREFIX "if-match") != 0 || place->writer != NULL
      || place->backing == NULL)
    return;
  writers = ttl_nodes_dup_writers (ttl_fs_of (req)->nodes, place->bucket, place->backing);
  place->writer = dup_writer_of_ancestor (writers, ttl_fs_caller (req));
}

static ssize_t
get_xattr (const Place *place, const char *name, void *value, size_t size)
{
  const gint64 now_ns = ttl_store_now (place->store);

  if (place->writer == NULL)
    return ttl_store_get_xattr (place->store, place->bucket, place->backing, name, value, size,
                                now_ns, &place->access);

  TTL_LOCKED (&place->writer->lock);
  return ttl_draft_get_xattr (place->writer->draft, name, value, size, now_ns);
}

void
op_getxattr (fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
  g_auto (Place) place = { 0 };
  g_autofree char *value = NULL;

  /* The kernel asks for security.capability before it truncates; there is none here, ever. */
  if (!g_str_has_prefix (name, "user."))
    {
      ttl_reply (req, g_str_has_prefix (name, "security.") ? -ENODATA : -ENOTSUP);
      return;
    }
  if (!find_place (req, ino, TTL_ACCESS_READ, &place))
    return;
  find_conditional_writer (req, &place, name);
  value = g_malloc (size);
  ttl_reply_xattr (req, get_xattr (&place, name, value, size), value, size);
}

static ssize_t
list_xattr (const Place *place, char *names, size_t size)
{
  if (place->writer == NULL)
    return ttl_store_list_xattr (place->store, place->bucket, place->backing, names, size,
                                 ttl_store_now (place->store));

  TTL_LOCKED (&place->writer->lock);
  return ttl_draft_list_xattr (place->writer->draft, names, size);
}

void
op_listxattr (fuse_req_t req, fuse_ino_t ino, size_t size)
{
  g_auto (Place) place = { 0 };
  g_autofree char *names = g_malloc (size);

  if (find_place (req, ino, TTL_ACCESS_READ, &place))
    ttl_reply_xattr (req, list_xattr (&place, names, size), names, size);
}

/* It may have been a TTL: then leases end otherwise. */
static void
tell_changed (TtlFs *fs, const Place *place)
{
  if (place->backing != NULL)
    {
      ttl_fs_lease_changed (fs, place->bucket, place->backing, NULL, ttl_store_now (place->store));
      return;
    }
  ttl_fs_bucket_changed (fs, place->bucket, FALSE);
  ttl_promises_recall_entries (fs->promises);
}

static int
set_xattr (const Place *place, const char *name, const char *value, size_t size, int flags)
{
  const gint64 now_ns = ttl_store_now (place->store);

  if (place->writer == NULL)
    return ttl_store_set_xattr (place->store, place->bucket, place->backing, name, value, size,
                                flags, now_ns, &place->access);

  TTL_LOCKED (&place->writer->lock);
  return ttl_draft_set_xattr (place->writer->draft, name, value, size, flags, now_ns);
}

void
op_setxattr (fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size,
             int flags)
{
  g_auto (Place) place = { 0 };
  int res;

  if (!find_place (req, ino, TTL_ACCESS_WRITE, &place))
    return;
  find_conditional_writer (req, &place, name);
  res = set_xattr (&place, name, value, size, flags);
  tell_changed (ttl_fs_of (req), &place);
  ttl_reply (req, res);
}

static int
remove_xattr (const Place *place, const char *name)
{
  const gint64 now_ns = ttl_store_now (place->store);

  if (place->writer == NULL)
    return ttl_store_remove_xattr (place->store, place->bucket, place->backing, name, now_ns,
                                   &place->access);

  TTL_LOCKED (&place->writer->lock);
  return ttl_draft_remove_xattr (place->writer->draft, name, now_ns);
}

void
op_removexattr (fuse_req_t req, fuse_ino_t ino, const char *name)
{
  g_auto (Place) place = { 0 };
  int res;

  if (!find_place (req, ino, TTL_ACCESS_WRITE, &place))
    return;
  find_conditional_writer (req, &place, name);
  res = remove_xattr (&place, name);
  tell_changed (ttl_fs_of (req), &place);
  ttl_reply (req, res);
}
