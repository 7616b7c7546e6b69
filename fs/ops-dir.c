/* ops-dir - names: looking them up, making, moving, removing and listing them. */
#define G_LOG_DOMAIN "ttlfs"
#include "fs.h"

#include "caller.h"
#include "cleanup.h"
#include "log.h"
#include "reply.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>

void
op_lookup (fuse_req_t req, fuse_ino_t parent, const char *name)
{
  TtlFs *fs = ttl_fs_of (req);
  g_autoptr (TtlBucket) bucket = ttl_fs_get_bucket (req, parent);
  struct fuse_entry_param entry;
  int res;

  if (bucket == NULL)
    return;
  res = ttl_fs_lookup (fs, bucket, name, ttl_fs_caller (req), ttl_store_now (fs->store), &entry);
  ttl_debug ("LOOKUP %lu:%s -> %d", parent, name, res);
  ttl_reply_entry (req, res, &entry);
}

void
op_forget (fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
  ttl_nodes_forget (ttl_fs_of (req)->nodes, ino, nlookup);
  fuse_reply_none (req);
}

void
op_forget_multi (fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
  for (size_t i = 0; i < count; i++)
    ttl_nodes_forget (ttl_fs_of (req)->nodes, forgets[i].ino, forgets[i].nlookup);
  fuse_reply_none (req);
}

/* The kernel learns by the reply that something stands under @name. */
static void
told_name (TtlFs *fs, TtlBucket *bucket, const char *name)
{
  TtlName backing;

  if (ttl_fs_backing (fs, bucket, name, backing) == 0)
    (void)ttl_fs_told_name (fs, bucket, name, backing);
  ttl_fs_bucket_changed (fs, bucket, FALSE);
}

void
op_mkdir (fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
  TtlFs *fs = ttl_fs_of (req);
  const TtlOwner owner = ttl_fs_owner (req, mode);
  g_autoptr (TtlBucket) bucket = ttl_fs_get_bucket (req, parent);
  g_autoptr (TtlBucket) made = NULL;
  struct fuse_entry_param entry = { 0 };
  int res;

  if (bucket == NULL)
    return;
  res = ttl_store_mkdir (fs->store, bucket, name, &owner, ttl_store_now (fs->store), &made);
  if (res == 0)
    {
      ttl_fs_tell_bucket (fs, made, mode, &entry);
      told_name (fs, bucket, name);
    }
  ttl_reply_entry (req, res, &entry);
}

/* The kernel goes by the owner that it remembers, and asks for none before it sends an UNLINK or a RENAME: in a sticky bucket the
 * one that is there now counts. */
static int
check_sticky (TtlFs *fs, TtlBucket *bucket, const char *name, const TtlOwner *who)
{
  TtlEntry entry;
  struct stat dir;

  if (who->uid == 0 || ttl_store_stat_bucket (fs->store, bucket, &dir) < 0
      || !(dir.st_mode & S_ISVTX) || dir.st_uid == who->uid)
    return 0;
  if (ttl_store_lookup (fs->store, bucket, name, ttl_store_now (fs->store), &entry) < 0
      || entry.st.st_uid == who->uid)
    return 0;
  return ttl_caller_is_as_owner (who->tid, entry.st.st_uid) ? 0 : -EPERM;
}

void
op_rmdir (fuse_req_t req, fuse_ino_t parent, const char *name)
{
  TtlFs *fs = ttl_fs_of (req);
  const TtlOwner owner = ttl_fs_owner (req, 0);
  g_autoptr (TtlBucket) bucket = ttl_fs_get_bucket (req, parent);
  int res;

  if (bucket == NULL)
    return;
  res = check_sticky (fs, bucket, name, &owner);
  if (res == 0)
    res = ttl_store_rmdir (fs->store, bucket, name, ttl_store_now (fs->store));
  ttl_fs_bucket_changed (fs, bucket, FALSE);
  ttl_reply (req, res);
}

void
op_symlink (fuse_req_t req, const char *link G_GNUC_UNUSED, fuse_ino_t parent G_GNUC_UNUSED,
            const char *name G_GNUC_UNUSED)
{
  ttl_reply (req, -EPERM); /* as link(2) has it for file systems that know no symlinks */
}

/* An empty value, published at once. */
static int
make_key (TtlFs *fs, TtlBucket *bucket, const char *name, const TtlOwner *owner, gint64 now_ns,
          TtlName backing, struct stat *st_out)
{
  g_autoptr (TtlDraft) draft = NULL;
  TtlEntry there;
  int res = ttl_fs_backing (fs, bucket, name, backing);

  if (res == 0 && ttl_store_lookup (fs->store, bucket, name, now_ns, &there) == 0)
    res = -EEXIST;
  if (res == 0)
    res = ttl_draft_open (fs->store, bucket, backing, O_CREAT | O_TRUNC, owner, now_ns, &draft);
  if (res == 0)
    res = ttl_draft_publish (draft, TTL_PUBLISH_CREATE | TTL_PUBLISH_LAST);
  return res < 0 ? res : ttl_draft_stat (draft, st_out);
}

void
op_mknod (fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
          dev_t rdev G_GNUC_UNUSED)
{
  TtlFs *fs = ttl_fs_of (req);
  const TtlOwner owner = ttl_fs_owner (req, mode);
  g_autoptr (TtlBucket) bucket = ttl_fs_get_bucket (req, parent);
  const gint64 now_ns = ttl_store_now (fs->store);
  struct fuse_entry_param entry = { 0 };
  TtlName backing;
  struct stat st;
  int res;

  if (bucket == NULL)
    return;
  res = S_ISREG (mode) ? make_key (fs, bucket, name, &owner, now_ns, backing, &st) : -EPERM;
  if (res == 0)
    ttl_fs_tell_key (fs, bucket, backing, &st, ttl_fs_caller (req), &entry);
  ttl_reply_entry (req, res, &entry);
}

/* ---- names that writers have open ---- */

/* The process that writes a key and removes it wants nothing of it to appear later. TRUE when it had a draft. */
static gboolean
orphan_own_drafts (TtlFs *fs, TtlBucket *bucket, const char *backing, pid_t tid)
{
  g_autoptr (GPtrArray) writers = ttl_nodes_dup_writers (fs->nodes, bucket, backing);
  gboolean had_draft = FALSE;
  pid_t process = 0;

  for (guint i = 0; i < writers->len; i++)
    {
      TtlWriter *writer = g_ptr_array_index (writers, i);

      if (!ttl_writer_is_of (writer, tid, &process))
        continue;
      TTL_LOCKED (&writer->lock);
      had_draft |= ttl_draft_is_dirty (writer->draft);
      ttl_draft_orphan (writer->draft);
    }
  return had_draft;
}

/* The draft's name is moved by who writes it: that publishes it. */
static int
publish_own_drafts (TtlFs *fs, TtlBucket *bucket, const char *backing, pid_t tid, gint64 now_ns)
{
  g_autoptr (GPtrArray) writers = ttl_nodes_dup_writers (fs->nodes, bucket, backing);
  pid_t process = 0;
  int res = 0;

  for (guint i = 0; i < writers->len && res == 0; i++)
    {
      TtlWriter *writer = g_ptr_array_index (writers, i);

      if (!ttl_draft_is_dirty (writer->draft) || !ttl_writer_is_of (writer, tid, &process))
        continue;
      TTL_LOCKED (&writer->lock);
      res = ttl_draft_publish (writer->draft, TTL_PUBLISH_DEFAULT);
    }
  return res;
}

static void
move_drafts (const GPtrArray *writers, TtlBucket *to, const char *to_backing)
{
  for (guint i = 0; i < writers->len; i++)
    {
      TtlWriter *writer = g_ptr_array_index (writers, i);
      TTL_LOCKED (&writer->lock);
      ttl_draft_moved (writer->draft, to, to_backing);
    }
}

/* With their names; the drafts of what is replaced stay with the name. */
static void
move_drafts_of (TtlFs *fs, TtlBucket *from, const char *a, TtlBucket *to, const char *b,
                gboolean exchange)
{
  g_autoptr (GPtrArray) of_a = ttl_nodes_dup_writers (fs->nodes, from, a);
  g_autoptr (GPtrArray) of_b = exchange ? ttl_nodes_dup_writers (fs->nodes, to, b) : NULL;

  move_drafts (of_a, to, b);
  if (of_b != NULL)
    move_drafts (of_b, from, a);
}

void
op_unlink (fuse_req_t req, fuse_ino_t parent, const char *name)
{
  TtlFs *fs = ttl_fs_of (req);
  const TtlOwner owner = ttl_fs_owner (req, 0); /* before a reply, which frees REQ */
  g_autoptr (TtlBucket) bucket = ttl_fs_get_bucket (req, parent);
  const gint64 now_ns = ttl_store_now (fs->store);
  gboolean had_draft;
  TtlName backing;
  TtlEntry entry;
  int res;

  if (bucket == NULL)
    return;
  res = ttl_fs_backing (fs, bucket, name, backing);
  if (res == 0 && ttl_store_lookup (fs->store, bucket, name, now_ns, &entry) == 0
      && entry.kind == TTL_ENTRY_BUCKET)
    res = -EISDIR;
  if (res == 0)
    res = check_sticky (fs, bucket, name, &owner);
  if (res == 0)
    {
      had_draft = orphan_own_drafts (fs, bucket, backing, ttl_fs_caller (req));
      res = ttl_store_delete (fs->store, bucket, backing, now_ns);
      ttl_fs_key_gone (fs, bucket, backing);
      ttl_fs_name_gone (fs, bucket, name, backing);
      ttl_fs_bucket_changed (fs, bucket, FALSE);
      if (res == -ENOENT && had_draft)
        res = 0;
    }
  ttl_reply (req, res);
}

/* The kernel has moved what it knew of the old name to the new one. */
static void
tell_moved (TtlFs *fs, TtlBucket *from, const char *name, const char *from_backing, TtlBucket *to,
            const char *newname, const char *to_backing, gint64 now_ns)
{
  ttl_fs_name_gone (fs, from, name, from_backing);
  (void)ttl_fs_told_name (fs, to, newname, to_backing);
  ttl_fs_lease_changed (fs, from, from_backing, NULL, now_ns);
  ttl_fs_lease_changed (fs, to, to_backing, NULL, now_ns);
}

static int
do_rename (TtlFs *fs, TtlBucket *from, const char *name, TtlBucket *to, const char *newname,
           unsigned flags, const TtlOwner *owner)
{
  const pid_t tid = owner->tid;
  const gint64 now_ns = ttl_store_now (fs->store);
  TtlName a, b;
  TtlEntry entry;
  int res = ttl_fs_backing (fs, from, name, a);
  gboolean is_key;

  if (res == 0)
    res = check_sticky (fs, from, name, owner);
  if (res == 0)
    res = check_sticky (fs, to, newname, owner);
  if (res == 0)
    res = publish_own_drafts (fs, from, a, tid, now_ns);
  if (res < 0)
    return res;
  res = ttl_store_lookup (fs->store, from, name, now_ns, &entry);
  if (res < 0)
    return res;
  is_key = entry.kind != TTL_ENTRY_BUCKET;
  if (is_key && (res = ttl_fs_backing (fs, to, newname, b)) < 0)
    return res;
  if (is_key && flags & RENAME_EXCHANGE)
    res = publish_own_drafts (fs, to, b, tid, now_ns);
  if (res == 0)
    res = ttl_store_rename (fs->store, from, name, to, newname, flags, now_ns);
  if (res < 0)
    return res;
  ttl_fs_bucket_changed (fs, from, FALSE);
  ttl_fs_bucket_changed (fs, to, FALSE);
  if (!is_key)
    {
      told_name (fs, to, newname);
      ttl_promises_recall_entries (fs->promises); /* leases below it may be others now */
    }
  if (!is_key || (from == to && strcmp (a, b) == 0))
    return 0;
  move_drafts_of (fs, from, a, to, b, (flags & RENAME_EXCHANGE) != 0);
  if (!(flags & RENAME_EXCHANGE))
    ttl_fs_key_gone (fs, to, b);
  ttl_nodes_moved (fs->nodes, from, a, to, b, (flags & RENAME_EXCHANGE) != 0);
  tell_moved (fs, from, name, a, to, newname, b, now_ns);
  return 0;
}

void
op_rename (fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
           const char *newname, unsigned flags)
{
  const TtlOwner owner = ttl_fs_owner (req, 0);
  g_autoptr (TtlBucket) from = ttl_fs_get_bucket (req, parent);
  g_autoptr (TtlBucket) to = from != NULL ? ttl_fs_get_bucket (req, newparent) : NULL;

  if (from != NULL && to != NULL)
    ttl_reply (req, do_rename (ttl_fs_of (req), from, name, to, newname, flags, &owner));
}

void
op_link (fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname)
{
  TtlFs *fs = ttl_fs_of (req);
  const pid_t tid = ttl_fs_caller (req);
  const TtlOwner owner = ttl_fs_owner (req, 0); /* before a reply, which frees REQ */
  g_autoptr (TtlNode) node = ttl_fs_get_node (req, ino);
  g_autoptr (TtlBucket) to = node != NULL ? ttl_fs_get_bucket (req, newparent) : NULL;
  g_autoptr (TtlBucket) from = NULL;
  const gint64 now_ns = ttl_store_now (fs->store);
  struct fuse_entry_param entry = { 0 };
  TtlAccess access;
  TtlEntry linked;
  TtlName backing;
  int res;

  if (to == NULL)
    return;
  from = ttl_node_dup_place (node, backing);
  res = ttl_node_kind (node) == TTL_NODE_BUCKET
            ? -EPERM
            : publish_own_drafts (fs, from, backing, tid, now_ns);
  if (res == 0)
    {
      access = ttl_node_access (node, &owner, TTL_ACCESS_OWN | TTL_ACCESS_READ | TTL_ACCESS_WRITE);
      res = ttl_store_link (fs->store, from, backing, to, newname, now_ns, &access, &linked);
    }
  if (res == 0)
    {
      ttl_fs_tell_key (fs, to, linked.backing, &linked.st, tid, &entry);
      (void)ttl_fs_told_name (fs, to, newname, linked.backing);
      ttl_fs_lease_changed (fs, from, backing, NULL, now_ns); /* it has one link more */
      ttl_fs_bucket_changed (fs, to, FALSE);
    }
  ttl_reply_entry (req, res, &entry);
}

/* ---- listing ---- */

/* So many entries of a listing are told with their attributes, which saves a round trip each to who asks for them. Each
 * costs the kernel and us a node, whether he does or not: the rest of a larger bucket is names. */
#define TOLD_MAX 100000

static TtlDirHandle *
dir_of (const struct fuse_file_info *fi)
{
  return (TtlDirHandle *)(uintptr_t)fi->fh; /* NOLINT(performance-no-int-to-ptr) */
}

/* The kernel may end the session without having closed everything. */
static void
remember (TtlFs *fs, TtlDirHandle *handle)
{
  TTL_LOCKED (&fs->handles_lock);

  g_hash_table_add (fs->dirs, handle);
}

static void
drop (TtlFs *fs, TtlDirHandle *handle)
{
  {
    TTL_LOCKED (&fs->handles_lock);
    g_hash_table_remove (fs->dirs, handle);
  }
  ttl_dir_handle_free (handle);
}

void
op_opendir (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  TtlFs *fs = ttl_fs_of (req);
  g_autoptr (TtlBucket) bucket = ttl_fs_get_bucket (req, ino);
  TtlDirHandle *handle;
  TtlList *list;
  int res;

  if (bucket == NULL)
    return;
  res = ttl_store_list (fs->store, bucket, &list);
  if (res < 0)
    {
      ttl_reply (req, res == -ESTALE ? -ENOENT : res);
      return;
    }
  handle = ttl_dir_handle_new (list);
  fi->fh = (uintptr_t)handle;
  remember (fs, handle);
  if (fuse_reply_open (req, fi) < 0)
    drop (fs, handle);
}

void
op_releasedir (fuse_req_t req, fuse_ino_t ino G_GNUC_UNUSED, struct fuse_file_info *fi)
{
  drop (ttl_fs_of (req), dir_of (fi));
  ttl_reply (req, 0);
}

void
op_fsyncdir (fuse_req_t req, fuse_ino_t ino G_GNUC_UNUSED, int datasync G_GNUC_UNUSED,
             struct fuse_file_info *fi)
{
  ttl_reply (req, ttl_list_sync (dir_of (fi)->list));
}

/* Adds one entry to the reply. The bytes it takes; more than @room when it does not fit. */
static size_t
add_entry (fuse_req_t req, char *at, size_t room, TtlBucket *bucket, TtlDirHandle *handle,
           gboolean plus)
{
  const TtlListItem *item = &handle->pending;
  TtlFs *fs = ttl_fs_of (req);
  struct fuse_entry_param entry = { .attr = item->entry.st };
  gboolean is_dots = strcmp (item->shown, ".") == 0 || strcmp (item->shown, "..") == 0;
  g_autoptr (TtlBucket) child = NULL;
  g_autoptr (TtlNode) node = NULL;
  size_t size;

  if (!plus)
    return fuse_add_direntry (req, at, room, item->shown, &item->entry.st, item->next_off);
  if (fuse_add_direntry_plus (req, NULL, 0, item->shown, NULL, 0) > room)
    return room + 1;
  /* Without a node the kernel takes the name alone, and looks it up when it is asked for. */
  if (is_dots || handle->told >= TOLD_MAX)
    ;
  else if (item->entry.kind != TTL_ENTRY_BUCKET)
    node = ttl_fs_ensure_value (fs, bucket, item->entry.backing, &item->entry.st);
  else if (ttl_bucket_get_child (bucket, item->entry.backing, &child) == 0)
    node = ttl_nodes_ensure_bucket (fs->nodes, child);
  entry.ino = node != NULL ? ttl_node_id (node) : 0;
  handle->told += node != NULL;
  if (node != NULL)
    ttl_fs_promise_listed (fs, node, bucket, item, &handle->stamp, &entry);
  size = fuse_add_direntry_plus (req, at, room, item->shown, &entry, item->next_off);
  return size;
}

static int
next (TtlFs *fs, TtlDirHandle *handle, gint64 now_ns)
{
  handle->stamp = ttl_promises_stamp (fs->promises, 0, "");
  return ttl_list_next (handle->list, now_ns, &handle->pending);
}

/* Fills @buffer from where the handle stands. The bytes filled, or -errno when there is an error and nothing else. */
static ssize_t
fill (fuse_req_t req, TtlDirHandle *handle, TtlBucket *bucket, char *buffer, size_t size,
      gboolean plus)
{
  gint64 now_ns = ttl_store_now (ttl_fs_of (req)->store);
  size_t used = 0;

  for (;;)
    {
      size_t step;
      int res = handle->has_pending ? 1 : next (ttl_fs_of (req), handle, now_ns);

      if (res <= 0)
        return used > 0 ? (ssize_t)used : res;
      step = add_entry (req, buffer + used, size - used, bucket, handle, plus);
      handle->has_pending = step > size - used;
      if (handle->has_pending)
        return used;
      used += step;
      handle->offset = handle->pending.next_off;
    }
}

/* The kernel was not there to hear of them. */
static void
forget_listed (TtlFs *fs, const char *buffer, ssize_t len)
{
  while (len > 0)
    {
      const struct fuse_direntplus *entry = (const void *)buffer;
      const size_t size = FUSE_DIRENTPLUS_SIZE (entry);

      if (entry->entry_out.nodeid != 0)
        ttl_nodes_forget (fs->nodes, entry->entry_out.nodeid, 1);
      buffer += size;
      len -= (ssize_t)size;
    }
}

static void
list (fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, TtlDirHandle *handle, gboolean plus)
{
  TtlFs *fs = ttl_fs_of (req);
  g_autoptr (TtlBucket) bucket = ttl_fs_get_bucket (req, ino);
  g_autofree char *buffer = g_malloc (size);
  ssize_t len;

  if (bucket == NULL)
    return;
  {
    TTL_LOCKED (&handle->lock);
    if (off != handle->offset || off == 0)
      {
        ttl_list_seek (handle->list, off);
        handle->offset = off;
        handle->has_pending = FALSE;
        if (off == 0)
          handle->told = 0;
      }
    len = fill (req, handle, bucket, buffer, size, plus);
  }
  if (ttl_reply_data (req, len, buffer) < 0 && plus)
    forget_listed (fs, buffer, len);
}

void
op_readdir (fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
  list (req, ino, size, off, dir_of (fi), FALSE);
}

void
op_readdirplus (fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
  list (req, ino, size, off, dir_of (fi), TRUE);
}
