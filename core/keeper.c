#define G_LOG_DOMAIN "ttlfs"
#include "keeper.h"

#include "cleanup.h"
#include "log.h"
#include "reaper.h"
#include "store-private.h"

#include <fcntl.h>

#define LONGEST_SLEEP_NS (1 * TTL_NS_PER_S)

typedef struct
{
  guint64 id;
  TtlBucket *bucket; /* owns a reference */
  char *backing;
  TtlIdentity identity;
  gboolean owned; /* in by_name, and removed at the end */
} Hold;

struct TtlKeeper
{
  TtlStore *store; /* constant */
  pthread_t thread;
  gboolean running;
  pthread_mutex_t lock; /* order 4; guards all below */
  pthread_cond_t wake;
  GHashTable *holds;   /* id -> Hold, owned */
  GHashTable *by_name; /* set of owned Hold by bucket and name, borrowed */
  GHashTable *files;   /* TtlIdentity of a Hold -> how many hold it; keys owned */
  TtlExpiry *due;      /* (hold id, "") -> when to renew it; all on the wall clock, as leases are */
  guint64 next_id;
  gboolean stop;
};

static void
hold_free (gpointer data)
{
  Hold *hold = data;

  ttl_bucket_unref (hold->bucket);
  g_free (hold->backing);
  g_free (hold);
}

static guint
hold_hash (gconstpointer data)
{
  const Hold *hold = data;

  return g_str_hash (hold->backing) * 31 + (guint)ttl_bucket_id (hold->bucket);
}

static gboolean
hold_equal (gconstpointer a, gconstpointer b)
{
  const Hold *x = a, *y = b;

  return x->bucket == y->bucket && strcmp (x->backing, y->backing) == 0;
}

static guint
identity_hash (gconstpointer data)
{
  const TtlIdentity *identity = data;

  return g_int64_hash (&identity->ino) ^ g_int64_hash (&identity->born_ns);
}

static gboolean
identity_equal (gconstpointer a, gconstpointer b)
{
  return ttl_identity_equal (a, b);
}

TtlKeeper *
ttl_keeper_new (TtlStore *store)
{
  TtlKeeper *self = g_new0 (TtlKeeper, 1);
  pthread_condattr_t attr;

  self->store = store;
  pthread_mutex_init (&self->lock, NULL);
  pthread_condattr_init (&attr);
  pthread_condattr_setclock (&attr, CLOCK_MONOTONIC);
  pthread_cond_init (&self->wake, &attr);
  pthread_condattr_destroy (&attr);
  self->holds = g_hash_table_new_full (g_int64_hash, g_int64_equal, NULL, hold_free);
  self->by_name = g_hash_table_new (hold_hash, hold_equal);
  self->files = g_hash_table_new_full (identity_hash, identity_equal, g_free, NULL);
  self->due = ttl_expiry_new ();
  return self;
}

void
ttl_keeper_free (TtlKeeper *self)
{
  ttl_keeper_stop (self);
  g_hash_table_unref (self->by_name);
  g_hash_table_unref (self->files);
  g_hash_table_unref (self->holds);
  ttl_expiry_free (self->due);
  pthread_cond_destroy (&self->wake);
  pthread_mutex_destroy (&self->lock);
  g_free (self);
}

static void
count_locked (TtlKeeper *self, const TtlIdentity *identity, int by)
{
  int n = GPOINTER_TO_INT (g_hash_table_lookup (self->files, identity)) + by;

  if (n > 0)
    g_hash_table_replace (self->files, g_memdup2 (identity, sizeof *identity), GINT_TO_POINTER (n));
  else
    g_hash_table_remove (self->files, identity);
}

static void
drop_locked (TtlKeeper *self, guint64 id)
{
  Hold *hold = g_hash_table_lookup (self->holds, &id);

  if (hold == NULL)
    return;
  if (hold->owned && g_hash_table_lookup (self->by_name, hold) == hold)
    g_hash_table_remove (self->by_name, hold);
  ttl_expiry_remove (self->due, id, "");
  count_locked (self, &hold->identity, -1);
  g_hash_table_remove (self->holds, &hold->id);
}

/* A new hold, to be renewed first at @first_ns. An owned one replaces the one of that name. */
static guint64
add (TtlKeeper *self, TtlBucket *bucket, const char *backing, const TtlIdentity *identity,
     gboolean owned, gint64 first_ns)
{
  Hold *hold = g_new0 (Hold, 1);
  TTL_LOCKED (&self->lock);

  hold->id = ++self->next_id;
  hold->bucket = ttl_bucket_ref (bucket);
  hold->backing = g_strdup (backing);
  hold->identity = *identity;
  hold->owned = owned;
  if (owned)
    {
      Hold *older = g_hash_table_lookup (self->by_name, hold);
      if (older != NULL)
        drop_locked (self, older->id);
      g_hash_table_add (self->by_name, hold);
    }
  g_hash_table_insert (self->holds, &hold->id, hold);
  count_locked (self, identity, 1);
  if (ttl_expiry_set (self->due, hold->id, "", first_ns))
    pthread_cond_signal (&self->wake);
  return hold->id;
}

guint64
ttl_keeper_hold (TtlKeeper *self, TtlBucket *bucket, const char *backing, int fd, gint64 first_ns)
{
  TtlIdentity identity;

  if (ttl_identity_of_fd (fd, &identity) < 0)
    return 0;
  return add (self, bucket, backing, &identity, FALSE, first_ns);
}

void
ttl_keeper_release (TtlKeeper *self, guint64 hold)
{
  TTL_LOCKED (&self->lock);

  drop_locked (self, hold);
}

void
ttl_keeper_moved (TtlKeeper *self, guint64 id, TtlBucket *bucket, const char *backing)
{
  g_autoptr (TtlBucket) old_bucket = NULL;
  g_autofree char *old_backing = NULL;
  TTL_LOCKED (&self->lock);
  Hold *hold = g_hash_table_lookup (self->holds, &id);

  if (hold == NULL)
    return;
  old_bucket = hold->bucket;
  old_backing = hold->backing;
  hold->bucket = ttl_bucket_ref (bucket);
  hold->backing = g_strdup (backing);
  /* Another TTL may hold there. */
  if (ttl_expiry_set (self->due, id, "", 0))
    pthread_cond_signal (&self->wake);
}

void
ttl_keeper_own (TtlKeeper *self, TtlBucket *bucket, const char *backing, int fd)
{
  TtlIdentity identity;

  if (self->store->options.keepalive != TTL_KEEPALIVE_OWNED
      || ttl_identity_of_fd (fd, &identity) < 0)
    return;
  (void)add (self, bucket, backing, &identity, TRUE, 0);
}

/* Ends the ownership of that name; FALSE when it was not ours. */
static gboolean
take_owned (TtlKeeper *self, TtlBucket *bucket, const char *backing, TtlIdentity *identity_out)
{
  const Hold key = { .bucket = bucket, .backing = (char *)backing };
  TTL_LOCKED (&self->lock);
  Hold *hold = g_hash_table_lookup (self->by_name, &key);

  if (hold == NULL)
    return FALSE;
  *identity_out = hold->identity;
  drop_locked (self, hold->id);
  return TRUE;
}

void
ttl_keeper_own_moved (TtlKeeper *self, TtlBucket *from, const char *from_backing, TtlBucket *to,
                      const char *to_backing)
{
  TtlIdentity identity;

  if (take_owned (self, from, from_backing, &identity))
    (void)add (self, to, to_backing, &identity, TRUE, 0);
}

void
ttl_keeper_own_exchanged (TtlKeeper *self, TtlBucket *a, const char *a_backing, TtlBucket *b,
                          const char *b_backing)
{
  TtlIdentity of_a, of_b;
  gboolean had_a = take_owned (self, a, a_backing, &of_a);
  gboolean had_b = take_owned (self, b, b_backing, &of_b);

  if (had_a)
    (void)add (self, b, b_backing, &of_a, TRUE, 0);
  if (had_b)
    (void)add (self, a, a_backing, &of_b, TRUE, 0);
}

/* A copy of what a hold stands for, so that no lock is held over the backing directory. */
static gboolean
dup_hold (TtlKeeper *self, guint64 id, Hold *copy_out)
{
  TTL_LOCKED (&self->lock);
  Hold *hold = g_hash_table_lookup (self->holds, &id);

  if (hold == NULL)
    return FALSE;
  *copy_out = *hold;
  copy_out->bucket = ttl_bucket_ref (hold->bucket);
  copy_out->backing = g_strdup (hold->backing);
  return TRUE;
}

/* Renews the file itself, reached through a descriptor: whatever happens to the name meanwhile, it is that file.
 * Returns when to come again; 0 when there is nothing left to renew. */
static gint64
renew (TtlKeeper *self, const Hold *hold, gint64 now_ns)
{
  g_autoptr (TtlDir) dir = NULL;
  ttl_autofd fd = -1;
  const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, ttl_ns_timespec (now_ns) };
  TtlIdentity identity;
  TtlDeadline deadline;
  TtlDuration ttl;
  gint64 mtime_ns;
  struct stat st;
  int res = ttl_bucket_open (hold->bucket, &dir);

  if (res < 0)
    return res == -ESTALE || res == -ENOENT ? 0 : now_ns + TTL_DURATION_MIN_NS;
  fd = openat (ttl_dir_fd (dir), hold->backing, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0)
    return errno == ENOENT ? 0 : now_ns + TTL_DURATION_MIN_NS;
  if (ttl_identity_of_fd (fd, &identity) < 0 || !ttl_identity_equal (&identity, &hold->identity)
      || fstat (fd, &st) < 0)
    return 0;
  ttl_store_lease_of (self->store, hold->bucket, ttl_dir_fd (dir), hold->backing, &st, &ttl,
                      &deadline);
  if (ttl.ns == TTL_DURATION_INF)
    return TTL_DEADLINE_NEVER;
  /* What was just put or renewed needs nothing yet; a lease that somebody made longer on purpose is left so. */
  mtime_ns = ttl_store_renewed (self->store, &st);
  if (mtime_ns > now_ns - ttl.ns / 6)
    return MIN (mtime_ns, now_ns) + ttl.ns / 3;
  if (utimensat (fd, "", times, AT_EMPTY_PATH) < 0)
    {
      if (ttl_log_first_time ("renew"))
        g_warning ("%s: is held but cannot be renewed: %s", hold->backing, g_strerror (errno));
      return now_ns + ttl.ns / 6;
    }
  return now_ns + ttl.ns / 3;
}

static gboolean
take_due (TtlKeeper *self, gint64 now_ns, guint64 *id_out)
{
  TTL_LOCKED (&self->lock);
  g_autofree char *none = NULL;
  TtlDeadline deadline;

  return ttl_expiry_pop (self->due, now_ns, id_out, &none, &deadline);
}

/* Plans the next renewal; an owned entry with nothing left to renew is nobody's any more. */
static void
plan (TtlKeeper *self, guint64 id, gint64 next_ns)
{
  TTL_LOCKED (&self->lock);
  Hold *hold = g_hash_table_lookup (self->holds, &id);

  if (hold == NULL)
    return;
  if (next_ns > 0)
    ttl_expiry_set (self->due, id, "", next_ns);
  else if (hold->owned)
    drop_locked (self, id);
}

gint64
ttl_keeper_run (TtlKeeper *self, gint64 now_ns)
{
  guint64 id;

  while (take_due (self, now_ns, &id))
    {
      Hold hold;

      if (!dup_hold (self, id, &hold))
        continue;
      plan (self, id, renew (self, &hold, ttl_store_now (self->store)));
      ttl_bucket_unref (hold.bucket);
      g_free (hold.backing);
    }

  TTL_LOCKED (&self->lock);
  return ttl_expiry_next (self->due);
}

static gboolean
is_held (TtlKeeper *self, const TtlIdentity *identity)
{
  TTL_LOCKED (&self->lock);

  return g_hash_table_contains (self->files, identity);
}

static gboolean
holds_nothing (TtlKeeper *self)
{
  TTL_LOCKED (&self->lock);

  return g_hash_table_size (self->files) == 0;
}

gboolean
ttl_keeper_rescue (TtlKeeper *self, int dir_fd, const char *backing, gint64 now_ns)
{
  const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, ttl_ns_timespec (now_ns) };
  ttl_autofd fd = -1;
  TtlIdentity identity;

  if (holds_nothing (self))
    return FALSE;
  fd = openat (dir_fd, backing, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  return fd >= 0 && ttl_identity_of_fd (fd, &identity) == 0 && is_held (self, &identity)
         && utimensat (fd, "", times, AT_EMPTY_PATH) == 0;
}

void
ttl_keeper_recheck (TtlKeeper *self)
{
  TTL_LOCKED (&self->lock);
  GHashTableIter iter;
  gpointer hold;

  g_hash_table_iter_init (&iter, self->holds);
  while (g_hash_table_iter_next (&iter, NULL, &hold))
    ttl_expiry_set (self->due, ((Hold *)hold)->id, "", 0);
  pthread_cond_signal (&self->wake);
}

void
ttl_keeper_remove_owned (TtlKeeper *self)
{
  GHashTableIter iter;
  gpointer item;

  g_hash_table_iter_init (&iter, self->by_name);
  while (g_hash_table_iter_next (&iter, &item, NULL))
    {
      g_autoptr (TtlDir) dir = NULL;
      Hold *hold = item;

      if (ttl_bucket_open (hold->bucket, &dir) == 0)
        (void)ttl_store_remove_identity (self->store, hold->bucket, ttl_dir_fd (dir), hold->backing,
                                         &hold->identity);
    }
}

static gboolean
sleep_until (TtlKeeper *self, gint64 next_ns)
{
  gint64 now_ns = ttl_store_now (self->store);
  TTL_LOCKED (&self->lock);
  gint64 for_ns = CLAMP (next_ns - now_ns, 0, LONGEST_SLEEP_NS);
  struct timespec until = ttl_ns_timespec (g_get_monotonic_time () * 1000 + for_ns);

  if (!self->stop && for_ns > 0 && ttl_expiry_next (self->due) >= next_ns)
    pthread_cond_timedwait (&self->wake, &self->lock, &until);
  return !self->stop;
}

static gpointer
keeper_main (gpointer data)
{
  TtlKeeper *self = data;

  pthread_setname_np (pthread_self (), "ttlfs-keeper");
  while (sleep_until (self, ttl_keeper_run (self, ttl_store_now (self->store))))
    ;
  return NULL;
}

void
ttl_keeper_start (TtlKeeper *self)
{
  self->running = pthread_create (&self->thread, NULL, keeper_main, self) == 0;
}

void
ttl_keeper_stop (TtlKeeper *self)
{
  if (!self->running)
    return;
  pthread_mutex_lock (&self->lock);
  self->stop = TRUE;
  pthread_cond_signal (&self->wake);
  pthread_mutex_unlock (&self->lock);
  pthread_join (self->thread, NULL);
  self->running = FALSE;
}
