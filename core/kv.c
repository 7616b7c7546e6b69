#define G_LOG_DOMAIN "ttlfs"
#include "kv.h"

#include "cleanup.h"
#include "draft.h"
#include "watcher.h"

#include <fcntl.h>

#define FILE_MODE 0644
#define BUCKET_MODE 0755

struct TtlKv
{
  TtlStore *store; /* constant */
};

struct TtlKvBucket
{
  TtlKv *kv;            /* constant */
  char *name;           /* constant */
  pthread_mutex_t lock; /* order 4 */
  TtlBucket *bucket;    /* guarded by lock; owns a reference; where it was found last */
};

/* ---- opening ---- */

TtlKv *
ttl_kv_open (const char *path, const TtlDuration *ttl, GError **error)
{
  TtlStoreOptions options
      = { .keepalive = TTL_KEEPALIVE_OWNED, .root_flags = TTL_ROOT_CREATE, .background = TRUE };
  TtlStore *store;
  TtlKv *self;

  if (ttl != NULL)
    options.ttl = *ttl;
  store = ttl_store_open (path, &options, error);
  if (store == NULL)
    return NULL;
  self = g_new (TtlKv, 1);
  self->store = store;
  return self;
}

void
ttl_kv_shutdown (TtlKv *self)
{
  ttl_store_close (self->store);
  g_free (self);
}

guint64
ttl_kv_connection_id (const TtlKv *self)
{
  return ttl_store_connection_id (self->store);
}

TtlStore *
ttl_kv_store (TtlKv *self)
{
  return self->store;
}

/* ---- buckets ---- */

static int
check_component (const char *name)
{
  return name[0] == '\0' || strcmp (name, ".") == 0 || strcmp (name, "..") == 0 ? -EINVAL : 0;
}

static int
make_child (TtlStore *store, TtlBucket *parent, const char *name, TtlBucket **child_out)
{
  const TtlOwner owner = { .uid = geteuid (), .gid = getegid (), .mode = BUCKET_MODE };
  int res = ttl_store_mkdir (store, parent, name, &owner, ttl_store_now (store), child_out);

  if (res != -EEXIST)
    return res;
  /* Somebody was faster, or a key is shown under that name. */
  res = ttl_bucket_get_child (parent, name, child_out);
  return res == -ENOENT ? -EEXIST : res;
}

/* Walks to the bucket called @name, from the root. */
static int
find_bucket (TtlStore *store, const char *name, gboolean make, TtlBucket **bucket_out)
{
  g_autoptr (TtlBucket) at = ttl_bucket_ref (ttl_store_root (store));
  g_auto (GStrv) components = g_strsplit (name, "/", -1);

  for (char **component = components; *component != NULL; component++)
    {
      TtlBucket *below = NULL;
      int res = check_component (*component);

      if (res == 0 && at == ttl_store_root (store) && strcmp (*component, TTL_RESERVED_NAME) == 0)
        res = -EPERM;
      if (res == 0)
        res = ttl_bucket_get_child (at, *component, &below);
      if (res == -ENOENT && make)
        res = make_child (store, at, *component, &below);
      if (res < 0)
        return res;
      ttl_bucket_unref (at);
      at = below;
    }
  *bucket_out = g_steal_pointer (&at);
  return 0;
}

static TtlKvBucket *
kv_bucket_new (TtlKv *kv, const char *name, TtlBucket *bucket)
{
  TtlKvBucket *self = g_new0 (TtlKvBucket, 1);

  self->kv = kv;
  self->name = g_strdup (name);
  pthread_mutex_init (&self->lock, NULL);
  self->bucket = bucket;
  return self;
}

int
ttl_kv_get_or_create_bucket (TtlKv *self, const char *name, const TtlDuration *ttl,
                             TtlKvBucket **bucket_out)
{
  g_autoptr (TtlBucket) bucket = NULL;
  int res = find_bucket (self->store, name, TRUE, &bucket);

  if (res == 0 && ttl != NULL)
    res = ttl_store_set_bucket_ttl (self->store, bucket, ttl);
  if (res < 0)
    return res;
  *bucket_out = kv_bucket_new (self, name, g_steal_pointer (&bucket));
  return 0;
}

int
ttl_kv_get_bucket (TtlKv *self, const char *name, TtlKvBucket **bucket_out)
{
  TtlBucket *bucket = NULL;
  int res = find_bucket (self->store, name, FALSE, &bucket);

  if (res < 0)
    return res == -ENOTDIR || res == -EPERM ? -ENOENT : res;
  *bucket_out = kv_bucket_new (self, name, bucket);
  return 0;
}

void
ttl_kv_bucket_free (TtlKvBucket *self)
{
  ttl_bucket_unref (self->bucket);
  pthread_mutex_destroy (&self->lock);
  g_free (self->name);
  g_free (self);
}

/* A bucket stays the same one when it is renamed. */
static gboolean
is_called (TtlBucket *bucket, const char *name)
{
  g_autofree char *path = ttl_bucket_dup_path (bucket);

  return strcmp (path, name) == 0;
}

/* The bucket where its name leads now; on 0 the caller owns a reference. */
static int
dup_bucket (TtlKvBucket *self, TtlBucket **bucket_out)
{
  g_autoptr (TtlBucket) bucket = NULL;
  TtlBucket *older;
  int res;

  {
    TTL_LOCKED (&self->lock);
    bucket = ttl_bucket_ref (self->bucket);
  }
  if (!is_called (bucket, self->name) || !ttl_bucket_is_in_place (bucket))
    {
      g_clear_pointer (&bucket, ttl_bucket_unref);
      res = find_bucket (self->kv->store, self->name, FALSE, &bucket);
      if (res < 0)
        return res == -ENOTDIR || res == -ESTALE ? -ENOENT : res;
      {
        TTL_LOCKED (&self->lock);
        older = self->bucket;
        self->bucket = ttl_bucket_ref (bucket);
      }
      ttl_bucket_unref (older);
    }
  *bucket_out = g_steal_pointer (&bucket);
  return 0;
}

/* A bucket that is removed while it is used is one that is not there. */
static int
without_stale (int res)
{
  return res == -ESTALE ? -ENOENT : res;
}

static int
find_key (TtlKvBucket *self, const void *key, gsize key_len, TtlName backing_out,
          TtlBucket **bucket_out)
{
  int res = ttl_keyname_encode (ttl_store_names (self->kv->store), key, key_len, backing_out);

  return res < 0 ? res : dup_bucket (self, bucket_out);
}

/* ---- verbs ---- */

int
ttl_kv_insert (TtlKvBucket *self, const void *key, gsize key_len, const void *value,
               gsize value_len, guint64 revision)
{
  TtlStore *store = self->kv->store;
  const TtlOwner owner = { .uid = geteuid (), .gid = getegid (), .mode = FILE_MODE };
  const TtlPublishFlags flags = TTL_PUBLISH_LAST | (revision == 0 ? TTL_PUBLISH_CREATE : 0);
  gint64 now_ns = ttl_store_now (store);
  g_autoptr (TtlBucket) bucket = NULL;
  g_autoptr (TtlDraft) draft = NULL;
  TtlName backing;
  TtlEntry entry;
  ssize_t res = find_key (self, key, key_len, backing, &bucket);

  if (res < 0)
    return (int)res;
  if (revision == 0 && ttl_store_stat (store, bucket, backing, now_ns, &entry) == 0)
    return -EEXIST;
  res = ttl_draft_open (store, bucket, backing, O_CREAT | O_TRUNC, &owner, now_ns, &draft);
  if (res == 0 && value_len > 0)
    res = ttl_draft_write (draft, value, value_len, 0);
  if (res >= 0) /* a write that was short has spoiled the draft, and is refused here */
    res = ttl_draft_publish (draft, flags);
  return without_stale ((int)res);
}

static int
read_value (int fd, gsize size, GBytes **value_out)
{
  g_autofree char *value = g_try_malloc (size + 1);
  gsize done = 0;

  if (value == NULL)
    return -ENOMEM;
  while (done < size)
    {
      ssize_t n = pread (fd, value + done, size - done, done);

      if (n < 0 && errno != EINTR)
        return -errno;
      if (n == 0)
        break;
      done += MAX (n, 0);
    }
  *value_out = g_bytes_new_take (g_steal_pointer (&value), done);
  return 0;
}

static int
get_value (TtlStore *store, TtlBucket *bucket, const char *backing, TtlEntry *entry_out,
           GBytes **value_out)
{
  ttl_autofd fd = -1;
  int res = ttl_store_open_value (store, bucket, backing, ttl_store_now (store), &fd, entry_out);

  return res < 0 ? res : read_value (fd, entry_out->st.st_size, value_out);
}

int
ttl_kv_get (TtlKvBucket *self, const void *key, gsize key_len, GBytes **value_out)
{
  g_autoptr (TtlBucket) bucket = NULL;
  TtlName backing;
  TtlEntry entry;
  int res = find_key (self, key, key_len, backing, &bucket);

  return res < 0 ? res
                 : without_stale (get_value (self->kv->store, bucket, backing, &entry, value_out));
}

int
ttl_kv_delete (TtlKvBucket *self, const void *key, gsize key_len)
{
  TtlStore *store = self->kv->store;
  g_autoptr (TtlBucket) bucket = NULL;
  TtlName backing;
  int res = find_key (self, key, key_len, backing, &bucket);

  return res < 0 ? res
                 : without_stale (ttl_store_delete (store, bucket, backing, ttl_store_now (store)));
}

/* ---- all of them ---- */

/* "v1/instances/worker-1"; NULL when @backing is no key's name. */
static GBytes *
full_key (TtlKvBucket *self, const char *backing)
{
  GString *full = g_string_new (self->name);
  TtlName key;
  gsize len;

  if (full->len > 0)
    g_string_append_c (full, '/');
  if (ttl_keyname_decode (ttl_store_names (self->kv->store), backing, key, &len) == 0)
    g_string_append_len (full, key, len);
  return g_string_free_to_bytes (full);
}

static void
entry_free (gpointer data)
{
  TtlKvEntry *entry = data;

  g_bytes_unref (entry->key);
  g_bytes_unref (entry->value);
  g_free (entry);
}

int
ttl_kv_entries (TtlKvBucket *self, GPtrArray **entries_out)
{
  TtlStore *store = self->kv->store;
  g_autoptr (GPtrArray) entries = g_ptr_array_new_with_free_func (entry_free);
  g_autoptr (TtlBucket) bucket = NULL;
  g_autoptr (TtlList) list = NULL;
  TtlListItem item;
  int res = dup_bucket (self, &bucket);

  if (res == 0)
    res = ttl_store_list (store, bucket, &list);
  if (res < 0)
    return without_stale (res);
  while ((res = ttl_list_next (list, ttl_store_now (store), &item)) == 1)
    {
      TtlKvEntry *entry;
      GBytes *value = NULL;

      if (item.entry.kind != TTL_ENTRY_KEY)
        continue;
      res = get_value (store, bucket, item.entry.backing, &item.entry, &value);
      if (res == -ENOENT)
        continue; /* gone meanwhile */
      if (res < 0)
        return without_stale (res);
      entry = g_new (TtlKvEntry, 1);
      entry->key = full_key (self, item.entry.backing);
      entry->value = value;
      g_ptr_array_add (entries, entry);
    }
  if (res < 0)
    return res;
  *entries_out = g_steal_pointer (&entries);
  return 0;
}

/* ---- watching ----
 *
 * The watcher's thread leaves marks ("look at that key", "look at everything"); whoever takes events looks, and tells what
 * has changed since it looked last. So nothing piles up but names, each at most once, and nothing is told that is not so. */

typedef struct /* the version of a key that was told last; a renewal makes no other of it */
{
  ino_t ino;
  char *checksum; /* a peer may write in place */
} Version;

static void
version_free (gpointer data)
{
  Version *version = data;

  g_free (version->checksum);
  g_free (version);
}

struct TtlKvWatch
{
  TtlKvBucket *bucket; /* a view of our own */
  guint listener;      /* constant once set */
  GHashTable *told;    /* backing name -> Version; only of whoever takes events */

  pthread_mutex_t lock; /* order 4; guards all below */
  pthread_cond_t marked;
  GQueue marks;       /* backing names, owned */
  GHashTable *queued; /* set of the names in marks, borrowed */
  gboolean all;       /* everything is to be looked at */
};

static void
mark (TtlKvWatch *self, const char *backing)
{
  TTL_LOCKED (&self->lock);
  char *name;

  if (g_hash_table_contains (self->queued, backing))
    return;
  name = g_strdup (backing);
  g_queue_push_tail (&self->marks, name);
  g_hash_table_add (self->queued, name);
  pthread_cond_signal (&self->marked);
}

static void
mark_all (TtlKvWatch *self)
{
  TTL_LOCKED (&self->lock);

  self->all = TRUE;
  pthread_cond_signal (&self->marked);
}

/* Whether the bucket that an event is about is ours, or one around it. */
static gboolean
is_on_our_way (TtlKvWatch *self, const TtlEvent *event)
{
  g_autofree char *parent = ttl_bucket_dup_path (event->bucket);
  g_autofree char *path = parent[0] == '\0' ? g_strdup (event->backing)
                                            : g_strdup_printf ("%s/%s", parent, event->backing);
  gsize len = strlen (path);

  return strncmp (self->bucket->name, path, len) == 0
         && (self->bucket->name[len] == '\0' || self->bucket->name[len] == '/');
}

static void
hear (const TtlEvent *event, gpointer data)
{
  TtlKvWatch *self = data;

  switch (event->kind)
    {
    case TTL_EVENT_PUT:
    case TTL_EVENT_DELETE:
      if (is_called (event->bucket, self->bucket->name))
        mark (self, event->backing);
      return;
    case TTL_EVENT_RENEW:
    case TTL_EVENT_ATTRS:
      return;
    case TTL_EVENT_BUCKET:
      if (is_on_our_way (self, event))
        mark_all (self);
      return;
    case TTL_EVENT_RESYNC:
      mark_all (self);
      return;
    }
}

TtlKvWatch *
ttl_kv_watch (TtlKvBucket *bucket)
{
  TtlKvWatch *self = g_new0 (TtlKvWatch, 1);
  pthread_condattr_t attr;

  pthread_mutex_init (&self->lock, NULL);
  pthread_condattr_init (&attr);
  pthread_condattr_setclock (&attr, CLOCK_MONOTONIC);
  pthread_cond_init (&self->marked, &attr);
  pthread_condattr_destroy (&attr);
  self->told = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, version_free);
  self->queued = g_hash_table_new (g_str_hash, g_str_equal);
  g_queue_init (&self->marks);
  self->all = TRUE;
  {
    TTL_LOCKED (&bucket->lock);
    self->bucket = kv_bucket_new (bucket->kv, bucket->name, ttl_bucket_ref (bucket->bucket));
  }
  self->listener = ttl_watcher_add_listener (ttl_store_watcher (bucket->kv->store), hear, self);
  return self;
}

void
ttl_kv_watch_free (TtlKvWatch *self)
{
  ttl_watcher_remove_listener (ttl_store_watcher (self->bucket->kv->store), self->listener);
  g_hash_table_unref (self->told);
  g_hash_table_unref (self->queued);
  g_queue_clear_full (&self->marks, g_free);
  ttl_kv_bucket_free (self->bucket);
  pthread_cond_destroy (&self->marked);
  pthread_mutex_destroy (&self->lock);
  g_free (self);
}

void
ttl_kv_event_clear (TtlKvEvent *event)
{
  g_clear_pointer (&event->key, g_bytes_unref);
  g_clear_pointer (&event->value, g_bytes_unref);
}

/* Waits for a mark. 1 with its name, or with NULL for everything; 0 when the time is over. */
static int
take_mark (TtlKvWatch *self, gint64 until_us, char **name_out)
{
  const struct timespec until
      = { .tv_sec = until_us / G_USEC_PER_SEC, .tv_nsec = until_us % G_USEC_PER_SEC * 1000 };
  TTL_LOCKED (&self->lock);

  while (!self->all && self->marks.length == 0)
    if (pthread_cond_timedwait (&self->marked, &self->lock, &until) != 0)
      return 0;
  if (self->all)
    {
      self->all = FALSE;
      *name_out = NULL;
      return 1;
    }
  *name_out = g_queue_pop_head (&self->marks);
  g_hash_table_remove (self->queued, *name_out);
  return 1;
}

/* Marks every key that is there, and every one that was told. */
static int
mark_each (TtlKvWatch *self)
{
  TtlStore *store = self->bucket->kv->store;
  g_autoptr (TtlBucket) bucket = NULL;
  g_autoptr (TtlList) list = NULL;
  TtlListItem item;
  GHashTableIter iter;
  gpointer name;
  int res = dup_bucket (self->bucket, &bucket);

  if (res == 0)
    res = ttl_store_list (store, bucket, &list);
  if (res == 0)
    while ((res = ttl_list_next (list, ttl_store_now (store), &item)) == 1)
      if (item.entry.kind == TTL_ENTRY_KEY)
        mark (self, item.entry.backing);
  res = without_stale (res);
  if (res < 0 && res != -ENOENT)
    return res;
  g_hash_table_iter_init (&iter, self->told);
  while (g_hash_table_iter_next (&iter, &name, NULL))
    mark (self, name);
  return 0;
}

static Version *
version_new (ino_t ino, GBytes *value)
{
  Version *version = g_new (Version, 1);

  version->ino = ino;
  version->checksum = g_compute_checksum_for_bytes (G_CHECKSUM_SHA256, value);
  return version;
}

/* Looks at one key. 1 when there is something to tell, 0 when not. */
static int
look (TtlKvWatch *self, const char *backing, TtlKvEvent *event_out)
{
  g_autoptr (TtlBucket) bucket = NULL;
  g_autoptr (GBytes) value = NULL;
  Version *version;
  const Version *told = g_hash_table_lookup (self->told, backing);
  TtlEntry entry;
  int res = dup_bucket (self->bucket, &bucket);

  if (res == 0)
    res = get_value (self->bucket->kv->store, bucket, backing, &entry, &value);
  res = without_stale (res);
  if (res < 0 && res != -ENOENT)
    return res;
  if (res == -ENOENT)
    {
      if (told == NULL)
        return 0;
      *event_out = (TtlKvEvent){ .kind = TTL_KV_DELETE, .key = full_key (self->bucket, backing) };
      g_hash_table_remove (self->told, backing);
      return 1;
    }
  version = version_new (entry.st.st_ino, value);
  if (told != NULL && told->ino == version->ino && strcmp (told->checksum, version->checksum) == 0)
    {
      version_free (version);
      return 0;
    }
  *event_out = (TtlKvEvent){ .kind = TTL_KV_PUT,
                             .key = full_key (self->bucket, backing),
                             .value = g_steal_pointer (&value) };
  g_hash_table_replace (self->told, g_strdup (backing), version);
  return 1;
}

int
ttl_kv_watch_next (TtlKvWatch *self, gint64 timeout_ms, TtlKvEvent *event_out)
{
  const gint64 now_us = g_get_monotonic_time ();
  const gint64 until_us = now_us + MIN (timeout_ms, (G_MAXINT64 - now_us) / 1000) * 1000;

  for (;;)
    {
      g_autofree char *name = NULL;
      int res = take_mark (self, until_us, &name);

      if (res == 0)
        return 0;
      res = name == NULL ? mark_each (self) : look (self, name, event_out);
      if (res < 0 && name == NULL)
        mark_all (self);
      else if (res < 0)
        mark (self, name);
      if (res != 0)
        return res;
    }
}
