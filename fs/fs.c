#define G_LOG_DOMAIN "ttlfs"
#include "fs.h"

#include "caller.h"
#include "cleanup.h"
#include "log.h"
#include "reply.h"
#include "watcher.h"

#define MAX_BACKGROUND \
  4096 /* RELEASEs must not queue up in the kernel: the next open waits for them here */

/* ---- promises ---- */

/* Where the kernel has no inode of that number (yet), all entries were taken back instead; what it will be told of the attributes
 * by the reply that is on its way, it will believe. So that stays promised. */
void
ttl_fs_recall (TtlFs *self, const TtlRecall *recall)
{
  TtlRecall done = *recall;

  done.n_attrs = 0;
  for (guint i = 0; i < recall->n_attrs; i++)
    if (ttl_promises_recall_attrs (self->promises, recall->attrs[i].id))
      done.attrs[done.n_attrs++] = recall->attrs[i];
  if (recall->entries)
    ttl_promises_recall_entries (self->promises);
  if (done.n_attrs > 0 || done.entries || done.over != 0)
    ttl_nodes_recalled (self->nodes, &done);
}

TtlNode *
ttl_fs_ensure_value (TtlFs *self, TtlBucket *bucket, const char *backing, const struct stat *st)
{
  for (;;)
    {
      TtlRecall recall;
      TtlNode *node = ttl_nodes_ensure_value (self->nodes, bucket, backing, st, &recall);

      if (node != NULL)
        return node;
      ttl_fs_recall (self, &recall);
    }
}

gint64
ttl_fs_promise_until_us (TtlDeadline deadline, gint64 now_ns)
{
  return g_get_monotonic_time () + ttl_promise_us (deadline, now_ns) + TTL_PROMISE_LATE_US;
}

static void
changed (TtlFs *self, TtlBucket *bucket, const char *backing, const TtlDraft *by,
         const struct stat *st, const TtlNode *told, gint64 until_us)
{
  const guint64 id = ttl_bucket_id (bucket);
  TtlRecall recall;

  ttl_promises_move_stamp (self->promises, id, backing);
  if (!ttl_promises_may_be_made (self->promises))
    return;
  ttl_nodes_changed (self->nodes, bucket, backing, by, st, told, until_us, &recall);
  if (st != NULL && ttl_promises_end_absence (self->promises, id, backing))
    recall.entries = TRUE;
  ttl_fs_recall (self, &recall);
}

void
ttl_fs_changed (TtlFs *self, TtlBucket *bucket, const char *backing, const TtlNode *told,
                const TtlEntry *entry, gint64 now_ns)
{
  changed (self, bucket, backing, NULL, &entry->st, told,
           ttl_fs_promise_until_us (entry->deadline, now_ns));
}

void
ttl_fs_lease_changed (TtlFs *self, TtlBucket *bucket, const char *backing, const TtlNode *told,
                      gint64 now_ns)
{
  struct stat ignored;
  TtlEntry entry;

  ttl_promises_move_stamp (self->promises, ttl_bucket_id (bucket), backing);
  if (!ttl_nodes_is_promised (self->nodes, bucket, backing, &ignored))
    return;
  if (ttl_store_stat (self->store, bucket, backing, now_ns, &entry) == 0)
    ttl_fs_changed (self, bucket, backing, told, &entry, now_ns);
  else
    changed (self, bucket, backing, NULL, NULL, told, 0);
}

void
ttl_fs_bucket_changed (TtlFs *self, TtlBucket *bucket, gboolean soon)
{
  TtlRecall recall;

  ttl_promises_move_stamp (self->promises, ttl_bucket_id (bucket), "");
  if (!ttl_promises_may_be_made (self->promises))
    return;
  ttl_nodes_bucket_changed (self->nodes, bucket, &recall);
  if (!soon)
    ttl_fs_recall (self, &recall);
  else if (recall.n_attrs != 0)
    ttl_promises_recall_attrs_soon (self->promises, recall.attrs[0].id);
}

void
ttl_fs_draft_begun (TtlFs *self, TtlBucket *bucket, const char *backing)
{
  TtlRecall recall;

  ttl_promises_move_stamp (self->promises, ttl_bucket_id (bucket), backing);
  if (!ttl_promises_may_be_made (self->promises))
    return;
  ttl_nodes_begun (self->nodes, bucket, backing, &recall);
  if (ttl_promises_end_absence (self->promises, ttl_bucket_id (bucket), backing))
    recall.entries = TRUE;
  ttl_fs_recall (self, &recall);
}

static void
on_begun (TtlDraft *draft, gpointer data)
{
  ttl_fs_draft_begun (data, ttl_draft_bucket (draft), ttl_draft_backing (draft));
}

/* A value that is replaced leaves the list of names as it was: as on other file systems, the bucket's times do not tell. */
static void
on_published (TtlDraft *draft, gboolean is_new, gpointer data)
{
  TtlFs *self = data;

  changed (self, ttl_draft_bucket (draft), ttl_draft_backing (draft), draft,
           ttl_draft_version (draft), NULL, 0);
  if (is_new)
    ttl_fs_bucket_changed (self, ttl_draft_bucket (draft), FALSE);
}

/* A key appeared or was replaced. Where that was us, the bucket's times have been seen to. */
static void
on_put (TtlFs *self, const TtlEvent *event)
{
  struct stat st;

  if (!ttl_nodes_is_bucket_promised (self->nodes, event->bucket))
    return;
  if (ttl_store_stat_file (self->store, event->bucket, event->backing, &st) < 0
      || !ttl_nodes_knows_version (self->nodes, event->bucket, event->backing, &st))
    ttl_fs_bucket_changed (self, event->bucket, TRUE);
}

/* Something has happened to a key. Most often that was us, and what was told since is still right. */
static void
on_key_event (TtlFs *self, const TtlEvent *event)
{
  const guint64 bucket_id = ttl_bucket_id (event->bucket);
  const gint64 now_ns = ttl_store_now (self->store);
  struct stat told;
  TtlEntry entry;
  int res;

  ttl_promises_move_stamp (self->promises, bucket_id, event->backing);
  if (!ttl_nodes_is_promised (self->nodes, event->bucket, event->backing, &told)
      && !ttl_promises_is_absence_noted (self->promises, bucket_id, event->backing))
    return;
  res = ttl_store_stat (self->store, event->bucket, event->backing, now_ns, &entry);
  if (res == 0 && ttl_node_is_same_stat (&told, &entry.st))
    return;
  if (res == 0)
    ttl_fs_changed (self, event->bucket, event->backing, NULL, &entry, now_ns);
  else
    changed (self, event->bucket, event->backing, NULL, NULL, NULL, 0);
}

static void
recall_all (TtlFs *self)
{
  g_autoptr (GArray) buckets = NULL;

  ttl_promises_move_all_stamps (self->promises);
  ttl_promises_recall_entries (self->promises);
  buckets = ttl_nodes_dup_promised_buckets (self->nodes);
  for (guint i = 0; i < buckets->len; i++)
    (void)ttl_promises_recall_attrs (self->promises, g_array_index (buckets, guint64, i));
}

/* A key that has expired, or that somebody else removed, is over for the kernel, too. */
static void
on_event (const TtlEvent *event, gpointer data)
{
  TtlFs *self = data;
  guint64 id;

  switch (event->kind)
    {
    case TTL_EVENT_RENEW:
      on_key_event (self, event);
      break;
    case TTL_EVENT_PUT:
      on_put (self, event);
      on_key_event (self, event);
      break;
    case TTL_EVENT_DELETE:
      id = ttl_nodes_find_id (self->nodes, event->bucket, event->backing);
      on_key_event (self, event);
      if (id != 0)
        ttl_prune_add (self->prune, id);
      ttl_fs_bucket_changed (self, event->bucket, TRUE);
      break;
    case TTL_EVENT_BUCKET:
      ttl_promises_recall_entries (self->promises);
      ttl_fs_bucket_changed (self, event->bucket, TRUE);
      break;
    case TTL_EVENT_ATTRS: /* maybe its TTL */
      ttl_promises_recall_entries (self->promises);
      ttl_fs_bucket_changed (self, event->bucket, FALSE);
      break;
    case TTL_EVENT_RESYNC:
      recall_all (self);
      break;
    }
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
  self->promises = ttl_promises_new ();
  ttl_store_set_draft_observer (
      store, &(TtlDraftObserver){ .begun = on_begun, .published = on_published, .data = self });
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
  ttl_promises_stop (
      self->promises); /* what is published from here on nobody asks for through this mount */
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
  ttl_promises_free (self->promises);
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

  /* A truncating open is one step, and publishes nothing. */
  want (conn, FUSE_CAP_ATOMIC_O_TRUNC, TRUE);
  /* The kernel would say no more than "as by chown(-1, -1)", and not who may take a setuid bit away. */
  want (conn, FUSE_CAP_HANDLE_KILLPRIV, FALSE);
  want (conn, FUSE_CAP_READDIRPLUS, TRUE);
  want (conn, FUSE_CAP_READDIRPLUS_AUTO, FALSE); /* who lists looks at each, as often as not */
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

  return (TtlOwner){ .uid = ctx->uid, .gid = ctx->gid, .mode = mode & 07777, .tid = ctx->pid };
}

static guint
access_of (int flags)
{
  const guint writes = ttl_fs_wants_to_write (flags) ? TTL_ACCESS_WRITE : 0;

  return (flags & O_ACCMODE) != O_WRONLY ? writes | TTL_ACCESS_READ : writes;
}

int
ttl_fs_open_draft (TtlFs *self, TtlNode *node, TtlBucket *bucket, const char *backing, int flags,
                   const TtlOwner *maker, const TtlOwner *owner, TtlDraft **draft_out)
{
  const TtlAccess access = node != NULL ? ttl_node_access (node, owner, access_of (flags))
                                        : (TtlAccess){ .who = *owner, .wanted = access_of (flags) };
  g_autoptr (TtlDraft) draft = NULL;
  int res = ttl_draft_open_found (self->store, bucket, backing, flags, maker, owner,
                                  ttl_store_now (self->store), &draft);

  if (res == 0 && !ttl_draft_is_new (draft))
    res = ttl_access_check (&access, ttl_draft_version (draft));
  if (res == 0)
    *draft_out = g_steal_pointer (&draft);
  return res;
}

static gboolean
may_promise_in (TtlFs *self, TtlBucket *bucket)
{
  return ttl_promises_may_be_made (self->promises) && ttl_store_caps (self->store)->xattrs
         && ttl_watcher_sees (ttl_store_watcher (self->store), bucket);
}

/* Whether @name is the one by which a listing shows the key: the only one that is promised, since a change is of the key, and
 * there is no telling by which other spellings the kernel knows it. */
static gboolean
is_shown_name (TtlFs *self, TtlBucket *bucket, const char *name, const char *backing)
{
  TtlName shown;

  if (ttl_keyname_kind (ttl_store_names (self->store), backing) != TTL_NAME_KEY)
    return FALSE;
  ttl_keyname_to_shown (ttl_store_names (self->store), backing, ttl_bucket_is_root (bucket), shown);
  return strcmp (shown, name) == 0;
}

static double
seconds (gint64 us)
{
  return (double)us / G_USEC_PER_SEC;
}

/* No longer lie two puts apart that come one after the other. In that time no attributes are promised, so that the next put may
 * take the node over, which spares it three round trips (ttl_node_take_over()). What is newer than now is so by what it took
 * to come here; or else it has a lease that somebody made longer. */
#define JUST_PUT_NS (20 * TTL_NS_PER_MS)

static gboolean
is_just_put (const TtlEntry *entry, gint64 now_ns)
{
  return ABS (now_ns - ttl_timespec_ns (&entry->st.st_mtim)) < JUST_PUT_NS;
}

/* What of @what is promised of a key to thread @to, 0 for anybody; *@for_us_out: for how long. Its time is that of the promise,
 * which may come long after the request. */
static guint
promise_key (TtlFs *self, TtlNode *node, TtlBucket *bucket, const TtlStamp *stamp,
             const TtlEntry *entry, guint what, pid_t to, gint64 *for_us_out)
{
  gint64 now_ns;

  *for_us_out = 0;
  if (entry->kind == TTL_ENTRY_SCRATCH || !may_promise_in (self, bucket))
    return 0;
  now_ns = ttl_store_now (self->store);
  *for_us_out = ttl_promise_us (entry->deadline, now_ns);
  if (is_just_put (entry, now_ns))
    what &= ~(guint)TTL_PROMISE_ATTRS;
  if (what == 0)
    return 0;
  return ttl_node_promise (node, self->promises, stamp, &entry->st, *for_us_out, what, to);
}

static double
promise_attrs (TtlFs *self, TtlNode *node, TtlBucket *bucket, const TtlStamp *stamp,
               const TtlEntry *entry, pid_t to)
{
  gint64 for_us;
  guint what = promise_key (self, node, bucket, stamp, entry, TTL_PROMISE_ATTRS, to, &for_us);

  return what != 0 ? seconds (for_us) : 0;
}

static void
promise_entry (TtlFs *self, TtlNode *node, TtlBucket *bucket, const TtlStamp *stamp,
               const TtlEntry *entry, gboolean by_shown_name, pid_t to,
               struct fuse_entry_param *entry_out)
{
  gint64 for_us;
  guint what = TTL_PROMISE_ATTRS | (by_shown_name ? TTL_PROMISE_ENTRY : 0);

  what = promise_key (self, node, bucket, stamp, entry, what, to, &for_us);
  entry_out->attr_timeout = what & TTL_PROMISE_ATTRS ? seconds (for_us) : 0;
  entry_out->entry_timeout = what & TTL_PROMISE_ENTRY ? seconds (for_us) : 0;
}

/* A bucket's entry is not noted: whatever happens to a bucket takes back all entries. */
static void
promise_bucket (TtlFs *self, TtlNode *node, TtlBucket *bucket, const TtlStamp *before,
                const struct stat *st, struct fuse_entry_param *entry_out)
{
  const gint64 for_us = ttl_promise_us (TTL_DEADLINE_NEVER, 0);
  g_autoptr (TtlBucket) parent = ttl_bucket_dup_parent (bucket);
  const TtlStamp stamp = ttl_promises_stamp (self->promises, ttl_bucket_id (bucket), "");

  if (parent == NULL || !may_promise_in (self, bucket) || !may_promise_in (self, parent)
      || !ttl_promises_is_all_unchanged (self->promises, before)
      || !ttl_node_promise (node, self->promises, &stamp, st, for_us, TTL_PROMISE_ATTRS, 0))
    return;
  entry_out->entry_timeout = entry_out->attr_timeout = seconds (for_us);
}

void
ttl_fs_promise_listed (TtlFs *self, TtlNode *node, TtlBucket *bucket, const TtlListItem *item,
                       const TtlStamp *stamp, struct fuse_entry_param *entry_out)
{
  g_autoptr (TtlBucket) place = ttl_node_dup_place (node, NULL);
  TtlStamp of_key;

  if (item->entry.kind == TTL_ENTRY_BUCKET)
    {
      promise_bucket (self, node, place, stamp, &item->entry.st, entry_out);
      return;
    }
  of_key = ttl_promises_stamp (self->promises, ttl_bucket_id (bucket), item->entry.backing);
  if (ttl_promises_is_all_unchanged (self->promises, stamp))
    promise_entry (self, node, bucket, &of_key, &item->entry,
                   is_shown_name (self, bucket, item->shown, item->entry.backing), 0, entry_out);
}

/* What the kernel knows of the key under the name that is shown, where it was called by another one. */
static void
recall_shown_name (TtlFs *self, TtlBucket *bucket, const char *name, const char *backing)
{
  if (ttl_keyname_kind (ttl_store_names (self->store), backing) == TTL_NAME_KEY
      && !is_shown_name (self, bucket, name, backing))
    ttl_promises_recall_entries (self->promises);
}

gboolean
ttl_fs_told_name (TtlFs *self, TtlBucket *bucket, const char *name, const char *backing)
{
  const guint64 id = ttl_bucket_id (bucket);
  gboolean was_believed;

  ttl_promises_move_stamp (self->promises, id, backing);
  was_believed = ttl_promises_end_absence (self->promises, id, backing);
  recall_shown_name (self, bucket, name, backing);
  return was_believed;
}

void
ttl_fs_key_gone (TtlFs *self, TtlBucket *bucket, const char *backing)
{
  changed (self, bucket, backing, NULL, NULL, NULL, 0);
  ttl_nodes_removed (self->nodes, bucket, backing);
}

void
ttl_fs_name_gone (TtlFs *self, TtlBucket *bucket, const char *name, const char *backing)
{
  ttl_promises_move_stamp (self->promises, ttl_bucket_id (bucket), backing);
  recall_shown_name (self, bucket, name, backing);
}

/* ---- attributes ---- */

gboolean
ttl_fs_send_back (TtlFs *self, TtlNode *node, pid_t tid)
{
  TtlRecall recall;

  if (!ttl_caller_has_open (tid, self->dev, ttl_node_told_ino (node)))
    {
      ttl_nodes_sent_back (self->nodes, node, tid);
      return TRUE;
    }
  ttl_node_recall_entry (node, &recall);
  ttl_fs_recall (self, &recall);
  return FALSE;
}

/* To look up again, or, by a descriptor, what it was when it was found. */
static int
send_back_or_tell (TtlFs *self, TtlNode *node, pid_t tid, struct stat *st_out)
{
  if (ttl_fs_send_back (self, node, tid))
    return -ESTALE;
  ttl_node_get_seen (node, st_out);
  return 0;
}

/* Never ENOENT for a version that a LOOKUP has found: in the midst of an open with O_CREAT that would be the answer to the user.
 * A GETATTR of what the kernel was not to remember belongs to the moment of its LOOKUP. Any other, which comes because the
 * kernel remembers where the path led, is sent back, for once. */
static int
stat_value (TtlFs *self, TtlNode *node, TtlBucket *bucket, const char *backing, pid_t tid,
            gint64 now_ns, struct stat *st_out, double *timeout_out)
{
  const TtlStamp stamp = ttl_promises_stamp (self->promises, ttl_bucket_id (bucket), backing);
  ttl_autofd fd = -1;
  TtlEntry entry;
  int res;

  if (ttl_node_is_misled (node))
    return send_back_or_tell (self, node, tid, st_out);
  res = ttl_store_stat (self->store, bucket, backing, now_ns, &entry);
  if (res < 0 && res != -ENOENT && res != -ESTALE)
    return res;
  if (res == 0 && ttl_node_is_of (node, &entry.st))
    {
      *st_out = entry.st;
      ttl_node_saw (node, st_out);
      *timeout_out = promise_attrs (self, node, bucket, &stamp, &entry, tid);
      return 0;
    }
  /* Replaced, removed or expired: who has it open goes on seeing what he opened. */
  fd = ttl_node_dup_fd (node);
  if (fd >= 0)
    return fstat (fd, st_out) < 0 ? -errno : 0;
  if (ttl_node_is_remembered (node))
    return send_back_or_tell (self, node, tid, st_out);
  ttl_node_get_seen (node, st_out);
  return 0;
}

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

static int
stat_bucket (TtlFs *self, TtlNode *node, TtlBucket *bucket, struct stat *st_out,
             double *timeout_out)
{
  const TtlStamp stamp = ttl_promises_stamp (self->promises, ttl_bucket_id (bucket), "");
  const gint64 for_us = ttl_promise_us (TTL_DEADLINE_NEVER, 0);
  int res = ttl_store_stat_bucket (self->store, bucket, st_out);

  if (res == 0 && may_promise_in (self, bucket)
      && ttl_node_promise (node, self->promises, &stamp, st_out, for_us, TTL_PROMISE_ATTRS, 0))
    *timeout_out = seconds (for_us);
  return res;
}

/* Whether the thread has come to the draft by a descriptor of its own, or may come to it by its path. What its writer has open
 * a child may have inherited, and fstat() says no more than stat(). */
static gboolean
is_writers (TtlFs *self, TtlNode *node, TtlWriter *writer, pid_t tid)
{
  ttl_autofd other = -1;
  pid_t process = 0;

  if (!ttl_node_is_misled (node) || ttl_writer_is_of (writer, tid, &process))
    return TRUE;
  other = ttl_node_dup_fd (node);
  if (other >= 0)
    return FALSE;
  if (ttl_node_is_new (node) && !ttl_caller_shows_open (tid))
    return TRUE; /* more likely than that it came in that instant */
  return ttl_caller_has_opened (tid, self->dev, ttl_node_told_ino (node));
}

TtlWriter *
ttl_fs_dup_writer (TtlFs *self, TtlNode *node, pid_t tid)
{
  g_autoptr (TtlWriter) writer = ttl_node_dup_writer (node);

  return writer != NULL && is_writers (self, node, writer, tid) ? g_steal_pointer (&writer) : NULL;
}

/* Of a draft's node, that is: on its way to its OPEN, what the LOOKUP said, and never ESTALE, since the kernel looks again but
 * once; then what the writer has; and to others, whom the kernel sends there since it was the key's node before, the value. */
static int
stat_draft_node (TtlFs *self, TtlNode *node, TtlBucket *bucket, const char *backing, pid_t tid,
                 gint64 now_ns, struct stat *st_out)
{
  g_autoptr (TtlWriter) writer = ttl_node_dup_writer (node);
  ttl_autofd other = -1;
  TtlEntry entry;
  int res;

  if (writer == NULL ? ttl_node_is_misled (node) : !is_writers (self, node, writer, tid))
    {
      other = ttl_node_dup_fd (node);
      if (other >= 0)
        {
          ttl_node_disturb (node);
          return fstat (other, st_out) < 0 ? -errno : 0;
        }
      if (writer == NULL) /* it was somebody's, who has closed it, and is nothing now */
        return send_back_or_tell (self, node, tid, st_out);
      res = ttl_store_stat (self->store, bucket, backing, now_ns, &entry);
      if (res == -ENOENT)
        return send_back_or_tell (self, node, tid, st_out);
      if (res == 0)
        *st_out = entry.st;
      ttl_node_disturb (node);
    }
  else
    res = stat_draft (node, st_out);
  if (res == 0)
    ttl_node_set_seen (node, st_out);
  return res;
}

int
ttl_fs_stat (TtlFs *self, TtlNode *node, pid_t tid, gint64 now_ns, struct stat *st_out,
             double *timeout_out)
{
  TtlName backing;
  g_autoptr (TtlBucket) bucket = ttl_node_dup_place (node, backing);
  int res;

  *timeout_out = 0;
  switch (ttl_node_kind (node))
    {
    case TTL_NODE_BUCKET:
      return stat_bucket (self, node, bucket, st_out, timeout_out);
    case TTL_NODE_VALUE:
      res = stat_value (self, node, bucket, backing, tid, now_ns, st_out, timeout_out);
      if (res == 0)
        ttl_nodes_answered (self->nodes, node, tid);
      return res;
    case TTL_NODE_DRAFT:
      break;
    }
  return stat_draft_node (self, node, bucket, backing, tid, now_ns, st_out);
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

/* Of whom nothing can be remembered between this LOOKUP and an OPEN, or who may not be sent back once more. */
static gboolean
is_nobody (TtlFs *self, TtlBucket *bucket, const char *backing, pid_t tid)
{
  return tid <= 0 || ttl_nodes_was_sent_back (self->nodes, bucket, backing, tid);
}

void
ttl_fs_tell_key (TtlFs *self, TtlBucket *bucket, const char *backing, const struct stat *st,
                 pid_t tid, struct fuse_entry_param *entry_out)
{
  g_autoptr (TtlNode) node = tid > 0 ? ttl_fs_ensure_value (self, bucket, backing, st)
                                     : ttl_nodes_add_private (self->nodes, bucket, backing, st);

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

  if (node == NULL && own == NULL && is_nobody (self, bucket, backing, tid))
    node = ttl_nodes_add_private (self->nodes, bucket, entry->backing, &entry->st);
  if (own != NULL)
    ttl_node_told (own, &entry->st);
  if (node == NULL)
    *node_out = own != NULL ? own : ttl_fs_ensure_value (self, bucket, entry->backing, &entry->st);
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

/* Nothing stands there: that, too, may be promised, of a name that a key could have. */
static int
tell_absent (TtlFs *self, TtlBucket *bucket, const char *name, const char *backing,
             const TtlStamp *stamp, struct fuse_entry_param *entry_out)
{
  gint64 for_us = 0;

  if (may_promise_in (self, bucket) && is_shown_name (self, bucket, name, backing)
      && !ttl_nodes_has_unpublished (self->nodes, bucket, backing))
    for_us = ttl_promises_note_absence (self->promises, ttl_bucket_id (bucket), backing, stamp);
  entry_out->entry_timeout = seconds (for_us);
  return for_us > 0 ? 0 : -ENOENT;
}

int
ttl_fs_lookup (TtlFs *self, TtlBucket *bucket, const char *name, pid_t tid, gint64 now_ns,
               struct fuse_entry_param *entry_out)
{
  g_autoptr (TtlNode) node = NULL;
  TtlNode *own = NULL;
  TtlStamp stamp;
  TtlName backing;
  TtlEntry entry;
  int res = ttl_fs_backing (self, bucket, name, backing);
  const gboolean is_key_name = res == 0;

  *entry_out = (struct fuse_entry_param){ 0 };
  stamp = ttl_promises_stamp (self->promises, ttl_bucket_id (bucket), is_key_name ? backing : name);
  if (is_key_name)
    res = find (self, bucket, name, backing, tid, now_ns, &own, &entry);
  else /* no key can be called so, but a bucket may be */
    res = ttl_store_lookup (self->store, bucket, name, now_ns, &entry);
  if (res == 0 && entry.kind == TTL_ENTRY_BUCKET)
    res = give_bucket_node (self, bucket, name, &node);
  else if (res == 0)
    res = give_key_node (self, bucket, backing, tid, now_ns, own, &entry, &node);
  if (res == -ENOENT && is_key_name)
    return tell_absent (self, bucket, name, backing, &stamp, entry_out);
  if (res < 0)
    return res;
  entry_out->attr = entry.st;
  entry_out->ino = ttl_node_id (node);
  if (entry.kind == TTL_ENTRY_BUCKET)
    {
      g_autoptr (TtlBucket) child = ttl_node_dup_place (node, NULL);
      promise_bucket (self, node, child, &stamp, &entry.st, entry_out);
    }
  else if (ttl_node_kind (node) == TTL_NODE_VALUE)
    promise_entry (self, node, bucket, &stamp, &entry, is_shown_name (self, bucket, name, backing),
                   tid, entry_out);
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
