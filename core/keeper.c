#define G_LOG_DOMAIN "ttlfs"
#include "keeper.h"

#include "cleanup.h"
#include "log.h"
#include "reaper.h"
#include "store-private.h"
#include "watcher.h"

#include <fcntl.h>

#define LONGEST_SLEEP_NS (1 * TTL_NS_PER_S)
#define ROUND 64                     /* renewals between two visits to the locks */
#define EARLY 64                     /* a renewal may come by a 64th of its TTL early */
#define STAMP_NS (1 * TTL_NS_PER_MS) /* renewals so near to each other get one time */
#define STAMPS 256                   /* remembered: their events come soon */

typedef struct
{
  guint64 id;
  TtlBucket *bucket; /* owns a reference */
  char *backing;
  TtlIdentity identity;
  gboolean owned;  /* in by_name, and removed at the end */
  gboolean replan; /* its TTL may have changed since it was taken for a round: it is due at once */
  gint64 own_ns;   /* the file's own TTL, 0 for none, as of ... */
  guint own_known; /* ... this number of the keeper's; 0: not known */
} Hold;

/* One of a round: what the hold stands for, copied, so that no lock is held over the backing directory; and what came of it. */
typedef struct
{
  Hold hold;        /* its bucket is a reference, its name a copy */
  gint64 next_ns;   /* when to come again; 0: there is nothing left to renew */
  TtlDeadline ends; /* the lease that was given; only if ... */
  gboolean renewed;
} Renewal;

/* What the renewals of a run share. */
typedef struct
{
  TtlBucket *bucket; /* borrowed from a hold of this round; the rest is of it, NULL: of none */
  TtlDir *dir;
  TtlDuration ttl;
  gint64 stamp_ns; /* what the last were renewed to; 0: none yet */
  gint64 early_ns; /* by how much others may be taken along, being as short-lived as these */
} Run;

struct TtlKeeper
{
  TtlStore *store; /* constant */
  pthread_t thread;
  gboolean running;
  pthread_mutex_t lock; /* order 4; guards all below */
  pthread_cond_t wake;
  gint64 wakes_ns; /* the thread sleeps, and wakes then by itself; G_MININT64: it does not sleep */
  GHashTable *holds;     /* id -> Hold, owned */
  GHashTable *by_name;   /* set of owned Hold by bucket and name, borrowed */
  GHashTable *files;     /* TtlIdentity of a Hold -> how many hold it; keys owned */
  GHashTable *inos;      /* inode number of a Hold -> how many have it */
  gint64 stamps[STAMPS]; /* times that were given last, a ring */
  guint next_stamp;
  guint own_known; /* what was read of files' own TTLs before it was this number is old; never 0 */
  TtlExpiry *due;  /* (hold id, "") -> when to renew it; all on the wall clock, as leases are */
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
  self->inos = g_hash_table_new (NULL, NULL);
  self->own_known = 1;
  self->due = ttl_expiry_new ();
  self->wakes_ns = G_MININT64;
  return self;
}

void
ttl_keeper_free (TtlKeeper *self)
{
  ttl_keeper_stop (self);
  g_hash_table_unref (self->by_name);
  g_hash_table_unref (self->files);
  g_hash_table_unref (self->inos);
  g_hash_table_unref (self->holds);
  ttl_expiry_free (self->due);
  pthread_cond_destroy (&self->wake);
  pthread_mutex_destroy (&self->lock);
  g_free (self);
}

static gpointer
ino_key (ino_t ino)
{
  G_STATIC_ASSERT (sizeof (ino_t) <= sizeof (gpointer));
  return (gpointer)(guintptr)ino; /* NOLINT(performance-no-int-to-ptr) */
}

static void
count_ino_locked (TtlKeeper *self, ino_t ino, int by)
{
  int n = GPOINTER_TO_INT (g_hash_table_lookup (self->inos, ino_key (ino))) + by;

  if (n > 0)
    g_hash_table_insert (self->inos, ino_key (ino), GINT_TO_POINTER (n));
  else
    g_hash_table_remove (self->inos, ino_key (ino));
}

static void
count_locked (TtlKeeper *self, const TtlIdentity *identity, int by)
{
  int n = GPOINTER_TO_INT (g_hash_table_lookup (self->files, identity)) + by;

  if (n > 0)
    g_hash_table_replace (self->files, g_memdup2 (identity, sizeof *identity), GINT_TO_POINTER (n));
  else
    g_hash_table_remove (self->files, identity);
  count_ino_locked (self, identity->ino, by);
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
  if (ttl_expiry_set (self->due, hold->id, "", first_ns) && first_ns < self->wakes_ns)
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
  hold->replan = TRUE;
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

/* ---- renewing ---- */

static void
run_leave_bucket (Run *run)
{
  g_clear_pointer (&run->dir, ttl_dir_unref);
  run->bucket = NULL;
}

/* Opens the bucket of @hold, and asks for its TTL, unless the one before was of the same. */
static int
run_enter (Run *run, TtlStore *store, const Hold *hold)
{
  int res;

  if (run->bucket == hold->bucket)
    return 0;
  run_leave_bucket (run);
  res = ttl_bucket_open (hold->bucket, &run->dir);
  if (res < 0)
    return res;
  ttl_store_bucket_ttl (store, hold->bucket, &run->ttl);
  run->bucket = hold->bucket;
  return 0;
}

/* The time to renew to. Few different ones, so that the watcher can tell our renewals from others'. */
static gint64
run_stamp (Run *run, TtlKeeper *self)
{
  gint64 now_ns = ttl_store_now (self->store);

  if (run->stamp_ns != 0 && now_ns >= run->stamp_ns && now_ns < run->stamp_ns + STAMP_NS)
    return run->stamp_ns;
  run->stamp_ns = now_ns;
  {
    TTL_LOCKED (&self->lock);
    self->stamps[self->next_stamp++ % STAMPS] = now_ns;
  }
  return now_ns;
}

/* The TTL that holds for the file, whose own is asked for once for as long as the watcher would tell of a change; -1 when it
 * cannot be told now. */
static gint64
ttl_of (TtlKeeper *self, Run *run, Hold *hold, const struct stat *st)
{
  const gboolean seen
      = self->store->caps.xattrs && ttl_watcher_sees (self->store->watcher, hold->bucket);
  TtlDuration own;
  guint now_known;
  int res;

  {
    TTL_LOCKED (&self->lock);
    now_known = self->own_known;
  }
  if (!seen || hold->own_known != now_known)
    {
      res = S_ISREG (st->st_mode)
                ? ttl_settings_get_key (self->store->settings, hold->bucket, ttl_dir_fd (run->dir),
                                        hold->backing, st->st_ino, &own)
                : -ENODATA;
      if (res < 0 && res != -ENODATA)
        return -1;
      hold->own_ns = res == 0 ? own.ns : 0;
      hold->own_known = seen ? now_known : 0;
    }
  return hold->own_ns != 0 ? hold->own_ns : ttl_store_ttl_of (st, run->ttl.ns);
}

/* Renews the file itself, reached through a descriptor: whatever happens to the name meanwhile, it is that file.
 * Returns when to come again; 0 when there is nothing left to renew. */
static gint64
renew (TtlKeeper *self, Run *run, Renewal *renewal, gint64 now_ns)
{
  Hold *hold = &renewal->hold;
  ttl_autofd fd = -1;
  struct timespec times[2] = { { .tv_nsec = UTIME_OMIT } };
  TtlIdentity identity;
  gint64 mtime_ns, ttl_ns;
  struct stat st;
  int res = run_enter (run, self->store, hold);

  if (res < 0)
    return res == -ESTALE || res == -ENOENT ? 0 : now_ns + TTL_DURATION_MIN_NS;
  fd = openat (ttl_dir_fd (run->dir), hold->backing, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0)
    return errno == ENOENT ? 0 : now_ns + TTL_DURATION_MIN_NS;
  if (ttl_identity_and_stat (fd, &identity, &st) < 0
      || !ttl_identity_equal (&identity, &hold->identity))
    return 0;
  ttl_ns = ttl_of (self, run, hold, &st);
  if (ttl_ns < 0)
    return now_ns + TTL_DURATION_MIN_NS;
  if (ttl_ns == TTL_DURATION_INF)
    return TTL_DEADLINE_NEVER;
  run->early_ns = MIN (run->early_ns, ttl_ns / EARLY);
  /* What was just put or renewed needs nothing yet; a lease that somebody made longer on purpose is left so. */
  mtime_ns = ttl_store_renewed (self->store, &st);
  if (mtime_ns > now_ns - ttl_ns / 6)
    return MIN (mtime_ns, now_ns) + ttl_ns / 3;
  now_ns = run_stamp (run, self);
  times[1] = ttl_ns_timespec (now_ns);
  if (utimensat (fd, "", times, AT_EMPTY_PATH) < 0)
    {
      if (ttl_log_first_time ("renew"))
        g_warning ("%s: is held but cannot be renewed: %s", hold->backing, g_strerror (errno));
      return now_ns + ttl_ns / 6;
    }
  renewal->renewed = TRUE;
  renewal->ends = ttl_lease_deadline (now_ns, ttl_ns);
  return now_ns + ttl_ns / 3;
}

/* Takes what is due, at most a round of it. */
static guint
take_round (TtlKeeper *self, gint64 now_ns, Renewal *round)
{
  TTL_LOCKED (&self->lock);
  guint n = 0;
  guint64 id;

  while (n < ROUND)
    {
      g_autofree char *none = NULL;
      TtlDeadline deadline;
      Hold *hold;

      if (!ttl_expiry_pop (self->due, now_ns, &id, &none, &deadline))
        break;
      hold = g_hash_table_lookup (self->holds, &id);
      if (hold == NULL)
        continue;
      hold->replan = FALSE;
      round[n] = (Renewal){ .hold = *hold };
      round[n].hold.bucket = ttl_bucket_ref (hold->bucket);
      round[n].hold.backing = g_strdup (hold->backing);
      n++;
    }
  return n;
}

/* Plans the next renewal; an owned entry with nothing left to renew is nobody's any more. */
static void
plan_locked (TtlKeeper *self, const Renewal *renewal)
{
  Hold *hold = g_hash_table_lookup (self->holds, &renewal->hold.id);

  if (hold == NULL)
    return;
  hold->own_ns = renewal->hold.own_ns;
  hold->own_known = renewal->hold.own_known;
  if (hold->replan) /* it is due again, by another TTL */
    return;
  if (renewal->next_ns > 0)
    ttl_expiry_set (self->due, hold->id, "", renewal->next_ns);
  else if (hold->owned)
    drop_locked (self, hold->id);
}

static void
finish_round (TtlKeeper *self, Renewal *round, guint n)
{
  {
    TTL_LOCKED (&self->lock);
    for (guint i = 0; i < n; i++)
      plan_locked (self, &round[i]);
  }
  for (guint i = 0; i < n; i++)
    {
      Renewal *renewal = &round[i];

      /* Otherwise the reaper would find each of them where it has long been renewed. */
      if (renewal->renewed)
        ttl_reaper_note (self->store->reaper, renewal->hold.bucket, renewal->hold.backing,
                         renewal->ends);
      ttl_bucket_unref (renewal->hold.bucket);
      g_free (renewal->hold.backing);
    }
}

/* What is nearly due is taken along once something is: then all that is held wakes us some sixty times in a TTL, however
 * much it is. */
gint64
ttl_keeper_run (TtlKeeper *self, gint64 now_ns)
{
  Run run = { .early_ns = G_MAXINT64 };
  gint64 early_ns = 0;
  Renewal round[ROUND];
  guint n;

  while ((n = take_round (self, now_ns + early_ns, round)) > 0)
    {
      for (guint i = 0; i < n; i++)
        round[i].next_ns = renew (self, &run, &round[i], ttl_store_now (self->store));
      run_leave_bucket (&run);
      finish_round (self, round, n);
      early_ns = run.early_ns == G_MAXINT64 ? 0 : run.early_ns;
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

guint64
ttl_keeper_count (TtlKeeper *self)
{
  TTL_LOCKED (&self->lock);

  return g_hash_table_size (self->holds);
}

static gboolean
may_be_held (TtlKeeper *self, ino_t ino)
{
  TTL_LOCKED (&self->lock);

  return g_hash_table_contains (self->inos, ino_key (ino));
}

gboolean
ttl_keeper_rescue (TtlKeeper *self, int dir_fd, const char *backing, ino_t ino, gint64 now_ns)
{
  const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, ttl_ns_timespec (now_ns) };
  ttl_autofd fd = -1;
  TtlIdentity identity;

  if (!may_be_held (self, ino))
    return FALSE;
  fd = openat (dir_fd, backing, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  return fd >= 0 && ttl_identity_of_fd (fd, &identity) == 0 && is_held (self, &identity)
         && utimensat (fd, "", times, AT_EMPTY_PATH) == 0;
}

gboolean
ttl_keeper_has_renewed (TtlKeeper *self, const struct stat *st)
{
  const gint64 mtime_ns = ttl_timespec_ns (&st->st_mtim);
  TTL_LOCKED (&self->lock);

  if (!g_hash_table_contains (self->inos, ino_key (st->st_ino)))
    return FALSE;
  for (guint i = 0; i < STAMPS; i++)
    if (self->stamps[(self->next_stamp - 1 - i) % STAMPS] == mtime_ns)
      return TRUE;
  return FALSE;
}

void
ttl_keeper_attributes_changed (TtlKeeper *self, ino_t ino)
{
  TTL_LOCKED (&self->lock);

  if ((ino == 0 || g_hash_table_contains (self->inos, ino_key (ino))) && ++self->own_known == 0)
    self->own_known = 1;
}

void
ttl_keeper_recheck (TtlKeeper *self)
{
  TTL_LOCKED (&self->lock);
  GHashTableIter iter;
  gpointer hold;

  if (++self->own_known == 0)
    self->own_known = 1;
  g_hash_table_iter_init (&iter, self->holds);
  while (g_hash_table_iter_next (&iter, NULL, &hold))
    {
      ((Hold *)hold)->replan = TRUE;
      ttl_expiry_set (self->due, ((Hold *)hold)->id, "", 0);
    }
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

  self->wakes_ns = now_ns + for_ns;
  if (!self->stop && for_ns > 0 && ttl_expiry_next (self->due) >= MIN (next_ns, self->wakes_ns))
    pthread_cond_timedwait (&self->wake, &self->lock, &until);
  self->wakes_ns = G_MININT64;
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
