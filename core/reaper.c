#define G_LOG_DOMAIN "ttlfs"
#include "reaper.h"

#include "cleanup.h"
#include "keeper.h"
#include "log.h"
#include "scan.h"
#include "store-private.h"
#include "urgent.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#define LOOK_BATCH 64                 /* names noted at a time: nobody waits long for the lock */
#define BATCH 256                     /* entries per breath: a note never waits long for the lock */
#define RETRY_NS (1 * TTL_NS_PER_S)   /* after an error of the backing directory */
#define GRACE_NS (20 * TTL_NS_PER_MS) /* for a peer between finding a file and renewing it */
#define VISIT_NS (1 * TTL_NS_PER_MS)  /* for which a directory is locked at most */
#define VISIT_KEYS 4                  /* of it that are looked at whoever waits */
#define REST_US 50                    /* between two visits, for other processes */
#define REST_MAX_US 5000              /* the same, for whoever of this process waits */
#define NICENESS \
  10 /* whoever puts something goes first: nobody sees what has not been reaped yet */
#define BUSY_NS (1 * TTL_NS_PER_MS) /* until whoever changes a key just now may be done with it */
#define LONGEST_SLEEP_NS (1 * TTL_NS_PER_S) /* the wall clock may be stepped while we sleep */

typedef struct /* taken off its name, and not yet removed */
{
  TtlBucket *bucket; /* owns a reference */
  char *backing;
  TtlCapture file; /* `replaced` is guarded by the reaper's lock */
  gint64 taken_ns; /* by what time it had expired */
  gint64 judge_ns; /* when to look again, on the monotonic clock */
} Captured;

struct TtlReaper
{
  TtlStore *store; /* constant */
  pthread_t thread;
  gboolean running;     /* set before and read after the thread's life */
  gint64 grace_ns;      /* likewise */
  GQueue captured;      /* of Captured, the oldest first; only of whoever runs the reaper */
  guint jumps;          /* of the clock, that have been seen; likewise */
  pthread_mutex_t lock; /* order 4; guards all below */
  pthread_cond_t wake;
  gint64 wakes_ns; /* the thread sleeps, and wakes then by itself; G_MININT64: it does not sleep */
  TtlExpiry *index;
  GHashTable *taken;  /* "bucket id/backing" -> the last Captured of that name, borrowed */
  GQueue scans;       /* TtlBucket, each owns a reference */
  GHashTable *queued; /* those in it, borrowed: each waits there once */
  gboolean stop;
  guint64 removed;
};

TtlReaper *
ttl_reaper_new (TtlStore *store)
{
  TtlReaper *self = g_new0 (TtlReaper, 1);
  pthread_condattr_t attr;

  self->store = store;
  pthread_mutex_init (&self->lock, NULL);
  pthread_condattr_init (&attr);
  pthread_condattr_setclock (&attr, CLOCK_MONOTONIC);
  pthread_cond_init (&self->wake, &attr);
  pthread_condattr_destroy (&attr);
  self->index = ttl_expiry_new ();
  self->taken = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  self->wakes_ns = G_MININT64;
  g_queue_init (&self->scans);
  self->queued = g_hash_table_new (NULL, NULL);
  g_queue_init (&self->captured);
  return self;
}

void
ttl_reaper_note (TtlReaper *self, TtlBucket *bucket, const char *backing, TtlDeadline deadline)
{
  TTL_LOCKED (&self->lock);

  if (ttl_expiry_set (self->index, ttl_bucket_id (bucket), backing, deadline)
      && deadline < self->wakes_ns)
    pthread_cond_signal (&self->wake);
}

void
ttl_reaper_forget (TtlReaper *self, TtlBucket *bucket, const char *backing)
{
  TTL_LOCKED (&self->lock);

  ttl_expiry_remove (self->index, ttl_bucket_id (bucket), backing);
}

static char *
name_of (const TtlBucket *bucket, const char *backing)
{
  return g_strdup_printf ("%" G_GUINT64_FORMAT "/%s", ttl_bucket_id (bucket), backing);
}

static void
replaced_locked (TtlReaper *self, const char *name)
{
  Captured *captured = g_hash_table_lookup (self->taken, name);

  if (captured != NULL)
    captured->file.replaced = TRUE;
}

void
ttl_reaper_replaced (TtlReaper *self, TtlBucket *bucket, const char *backing)
{
  g_autofree char *name = NULL;
  TTL_LOCKED (&self->lock);

  if (g_hash_table_size (self->taken) == 0)
    return;
  name = name_of (bucket, backing);
  replaced_locked (self, name);
}

static void
note_taken (TtlReaper *self, Captured *captured)
{
  char *name = name_of (captured->bucket, captured->backing);
  TTL_LOCKED (&self->lock);

  replaced_locked (self, name); /* there has been another under that name */
  g_hash_table_replace (self->taken, name, captured);
}

/* From now on it is known what is to become of it. */
static void
forget_taken (TtlReaper *self, const Captured *captured)
{
  g_autofree char *name = name_of (captured->bucket, captured->backing);
  TTL_LOCKED (&self->lock);

  if (g_hash_table_lookup (self->taken, name) == captured)
    g_hash_table_remove (self->taken, name);
}

/* Everything below a root that can end: keys, scratch, and claims, which are symlinks under a key's name. */
static gboolean
can_end (TtlReaper *self, int dir_fd, const char *backing, const struct stat *st)
{
  TtlNameKind kind = ttl_keyname_kind (ttl_store_names (self->store), backing);

  if (S_ISREG (st->st_mode))
    return kind != TTL_NAME_FOREIGN;
  return S_ISLNK (st->st_mode) && kind != TTL_NAME_FOREIGN
         && ttl_store_is_claim (self->store, dir_fd, backing);
}

static void
captured_free (gpointer data)
{
  Captured *captured = data;

  ttl_bucket_unref (captured->bucket);
  g_free (captured->backing);
  g_free (captured);
}

/* When the file @st called @backing ends, which is not before @earliest_ns; TTL_DEADLINE_NEVER also when it is nothing that
 * can. What some reaper has captured is given time to be judged by that one. */
static TtlDeadline
deadline_of (TtlReaper *self, TtlBucket *bucket, const TtlDuration *bucket_ttl, int dir_fd,
             const char *backing, const struct stat *st, gint64 earliest_ns)
{
  struct stat again;

  if (!can_end (self, dir_fd, backing, st))
    {
      if (fstatat (dir_fd, backing, &again, AT_SYMLINK_NOFOLLOW) == 0
          && !can_end (self, dir_fd, backing, &again))
        ttl_store_note_foreign (
            bucket, backing); /* looked at twice: a claim may have become a value between */
      return TTL_DEADLINE_NEVER;
    }
  if (ttl_store_is_captured (backing))
    earliest_ns = MAX (earliest_ns, ttl_store_now (self->store) + RETRY_NS);
  return MAX (ttl_store_deadline_in (self->store, bucket, bucket_ttl, dir_fd, backing, st),
              earliest_ns);
}

static void
saw (TtlReaper *self, TtlBucket *bucket, int dir_fd, const char *backing, const struct stat *st,
     gint64 earliest_ns)
{
  TtlDuration ttl;

  ttl_store_bucket_ttl (self->store, bucket, &ttl);
  ttl_reaper_note (self, bucket, backing,
                   deadline_of (self, bucket, &ttl, dir_fd, backing, st, earliest_ns));
}

static void
look (TtlReaper *self, TtlBucket *bucket, int dir_fd, const char *backing, gint64 earliest_ns)
{
  struct stat st;

  if (fstatat (dir_fd, backing, &st, AT_SYMLINK_NOFOLLOW) == 0)
    saw (self, bucket, dir_fd, backing, &st, earliest_ns);
  else
    ttl_reaper_forget (self, bucket, backing);
}

void
ttl_reaper_saw (TtlReaper *self, TtlBucket *bucket, int dir_fd, const char *backing,
                const struct stat *st)
{
  saw (self, bucket, dir_fd, backing, st, G_MININT64);
}

void
ttl_reaper_look (TtlReaper *self, TtlBucket *bucket, const char *backing)
{
  g_autoptr (TtlDir) dir = NULL;

  if (ttl_bucket_open (bucket, &dir) == 0)
    look (self, bucket, ttl_dir_fd (dir), backing, G_MININT64);
}

/* At most LOOK_BATCH of them. */
static void
look_at_some (TtlReaper *self, TtlBucket *bucket, const TtlDuration *ttl, int dir_fd,
              const char *names, guint n)
{
  TtlDeadline deadlines[LOOK_BATCH];
  const char *name = names;
  gboolean earlier = FALSE;
  struct stat st;

  for (guint i = 0; i < n; i++, name += strlen (name) + 1)
    deadlines[i] = fstatat (dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0
                       ? deadline_of (self, bucket, ttl, dir_fd, name, &st, G_MININT64)
                       : TTL_DEADLINE_NEVER;

  TTL_LOCKED (&self->lock);
  name = names;
  for (guint i = 0; i < n; i++, name += strlen (name) + 1)
    earlier |= ttl_expiry_set (self->index, ttl_bucket_id (bucket), name, deadlines[i]);
  if (earlier && ttl_expiry_next (self->index) < self->wakes_ns)
    pthread_cond_signal (&self->wake);
}

void
ttl_reaper_look_at_all (TtlReaper *self, TtlBucket *bucket, int dir_fd, const char *names, guint n)
{
  TtlDuration ttl;

  ttl_store_bucket_ttl (self->store, bucket, &ttl);
  while (n > 0)
    {
      guint some = MIN (n, LOOK_BATCH);

      look_at_some (self, bucket, &ttl, dir_fd, names, some);
      for (guint i = 0; i < some; i++)
        names += strlen (names) + 1;
      n -= some;
    }
}

void
ttl_reaper_rescan (TtlReaper *self, TtlBucket *bucket)
{
  TTL_LOCKED (&self->lock);

  if (!g_hash_table_add (self->queued, bucket))
    return;
  g_queue_push_tail (&self->scans, ttl_bucket_ref (bucket));
  pthread_cond_signal (&self->wake);
}

static gboolean
queue_child (TtlBucket *bucket, const struct dirent *item, gpointer data)
{
  g_autoptr (TtlBucket) child = NULL;

  if ((item->d_type != DT_DIR && item->d_type != DT_UNKNOWN)
      || ttl_bucket_get_child (bucket, item->d_name, &child) < 0)
    return item->d_type == DT_DIR;
  ttl_reaper_rescan (data, child);
  return TRUE;
}

/* Notes every lease in @bucket; the buckets below it, which may inherit from it, are queued. */
static void
scan (TtlReaper *self, TtlBucket *bucket)
{
  g_autoptr (TtlDir) dir = NULL;

  if (ttl_bucket_open (bucket, &dir) == 0)
    (void)ttl_scan (self->store, bucket, ttl_dir_fd (dir), queue_child, self);
}

/* What has come of a file that had expired at @now_ns: 0 when it is gone. */
static void
conclude (TtlReaper *self, TtlBucket *bucket, int dir_fd, const char *backing, gint64 now_ns,
          int res)
{
  if (res == 0)
    {
      ttl_debug ("expired: %s", backing);
      TTL_LOCKED (&self->lock);
      self->removed++;
    }
  else if (res == -EBUSY) /* what has expired since @now_ns comes next time: this round ends */
    look (self, bucket, dir_fd, backing, now_ns + 1);
  else if (res != -ENOENT)
    {
      if (ttl_log_first_time ("reap"))
        g_warning ("%s: has expired but cannot be removed: %s", backing, g_strerror (-res));
      ttl_reaper_note (self, bucket, backing, now_ns + RETRY_NS);
    }
}

/* What condition variables wait by, whatever a test makes of the clock. */
static gint64
monotonic_ns (void)
{
  return g_get_monotonic_time () * 1000;
}

/* ---- one bucket at a time ----
 *
 * A directory is locked for many of its keys at once: for 4, so that it gets on whoever waits, and then for as long as nobody
 * does, up to a millisecond. If there are more, the reaper rests before it comes again: when a hundred thousand keys end at
 * one moment, puts go on in between, and they are all gone some seconds later. Nobody sees them meanwhile. */
typedef struct
{
  TtlReaper *reaper;
  TtlBucket *bucket; /* borrowed */
  TtlDir *dir;
  TtlCommit commit;
  gint64 began_ns; /* monotonic */
  guint keys;      /* so far */
} Visit;

/* -ESTALE, and what ttl_bucket_open() returns; then nothing is held. */
static int
visit_begin (Visit *self, TtlReaper *reaper, TtlBucket *bucket)
{
  int res;

  *self = (Visit){ .reaper = reaper, .bucket = bucket, .commit = TTL_COMMIT_INIT };
  res = ttl_bucket_open (bucket, &self->dir);
  if (res < 0)
    return res;
  ttl_commit_begin_dir (ttl_dir_fd (self->dir), &self->commit);
  self->began_ns = monotonic_ns ();
  return 0;
}

static gboolean
visit_goes_on (const Visit *self)
{
  return self->keys < VISIT_KEYS
         || (monotonic_ns () - self->began_ns < VISIT_NS && !ttl_commit_is_waited_for ());
}

/* @more: there will be another visit at once. */
static void
visit_end (Visit *self, gboolean more)
{
  ttl_commit_end (&self->commit);
  g_clear_pointer (&self->dir, ttl_dir_unref);
  if (more && self->reaper->grace_ns > 0)
    {
      g_usleep (REST_US);
      ttl_commit_let_pass (REST_MAX_US);
    }
}

static gboolean
visit_key (Visit *self, const char *backing)
{
  self->keys++;
  return ttl_commit_try_key (self->reaper->store->commits, self->bucket, backing, &self->commit);
}

/* The second look at a file that was captured, which is taken. */
static void
judge (Visit *visit, Captured *captured)
{
  TtlReaper *self = visit->reaper;
  int dir_fd = ttl_dir_fd (visit->dir), res;

  if (!visit_key (visit, captured->backing))
    {
      captured->judge_ns = monotonic_ns () + BUSY_NS;
      g_queue_push_tail (&self->captured, captured);
      return;
    }
  forget_taken (self, captured);
  res = ttl_store_judge_captured (self->store, captured->bucket, dir_fd, captured->backing,
                                  captured->taken_ns, &captured->file);
  conclude (self, captured->bucket, dir_fd, captured->backing, captured->taken_ns, res);
  ttl_commit_end_key (&visit->commit);
  captured_free (captured);
}

/* The oldest that was captured, if it is of @bucket (NULL: of any) and its time has come (@all: or not). */
static Captured *
peek_captured (TtlReaper *self, const TtlBucket *bucket, gboolean all, gint64 now_ns)
{
  Captured *first = g_queue_peek_head (&self->captured);

  return first != NULL && (bucket == NULL || first->bucket == bucket)
                 && (all || first->judge_ns <= now_ns)
             ? first
             : NULL;
}

/* As many as are of the bucket of @first, in one visit. */
static void
judge_some (TtlReaper *self, const Captured *first, gboolean all, gint64 now_ns)
{
  g_autoptr (TtlBucket) bucket = ttl_bucket_ref (first->bucket);
  Visit visit;
  int res = visit_begin (&visit, self, bucket);

  if (res < 0)
    {
      /* Where it is scratch among other scratch; unless the bucket is gone, and everything in it. */
      if (res != -ESTALE)
        ttl_reaper_note (self, bucket, first->file.name, first->taken_ns + RETRY_NS);
      forget_taken (self, first);
      captured_free (g_queue_pop_head (&self->captured));
      return;
    }
  do
    judge (&visit, g_queue_pop_head (&self->captured));
  while (peek_captured (self, bucket, all, now_ns) != NULL && visit_goes_on (&visit));
  visit_end (&visit, peek_captured (self, bucket, all, now_ns) != NULL);
}

/* @all: also what has time left. */
static void
judge_captured (TtlReaper *self, gboolean all)
{
  gint64 now_ns = monotonic_ns ();
  const Captured *first;

  while ((first = peek_captured (self, NULL, all, now_ns)) != NULL)
    judge_some (self, first, all, now_ns);
}

/* An entry whose last known deadline has come. */
typedef struct
{
  guint64 bucket_id;
  char *backing;
} Due;

/* Takes an entry off its name if its deadline still holds, and otherwise notes it again. */
static void
reap (Visit *visit, const char *backing, gint64 now_ns)
{
  TtlReaper *self = visit->reaper;
  int dir_fd = ttl_dir_fd (visit->dir), res;
  Captured *captured;
  TtlCapture file;

  if (!visit_key (visit, backing))
    {
      ttl_reaper_note (self, visit->bucket, backing, now_ns + BUSY_NS);
      return;
    }
  res = ttl_store_capture_expired (self->store, visit->bucket, dir_fd, backing, now_ns, &file);
  if (res < 0)
    conclude (self, visit->bucket, dir_fd, backing, now_ns, res);
  ttl_commit_end_key (&visit->commit);
  if (res < 0)
    return;
  captured = g_new (Captured, 1);
  *captured = (Captured){ .bucket = ttl_bucket_ref (visit->bucket),
                          .backing = g_strdup (backing),
                          .file = file,
                          .taken_ns = now_ns,
                          .judge_ns = monotonic_ns () + self->grace_ns };
  g_queue_push_tail (&self->captured, captured);
  note_taken (self, captured);
}

/* What is due in one bucket, in as many visits as it takes. */
static void
reap_in (TtlReaper *self, const Due *due, guint n, gint64 now_ns)
{
  g_autoptr (TtlBucket) bucket = ttl_tree_dup (self->store->tree, due->bucket_id);
  guint done = 0;

  while (bucket != NULL && done < n)
    {
      Visit visit;
      int res = visit_begin (&visit, self, bucket);

      if (res == 0 && !ttl_bucket_is_in_place (bucket))
        {
          visit_end (&visit, FALSE);
          res = -ESTALE;
        }
      if (res == -ESTALE)
        return; /* it is ours no more */
      if (res < 0)
        {
          for (; done < n; done++)
            ttl_reaper_note (self, bucket, due[done].backing, now_ns + RETRY_NS);
          return;
        }
      do
        reap (&visit, due[done++].backing, now_ns);
      while (done < n && visit_goes_on (&visit));
      visit_end (&visit, done < n);
    }
}

static gboolean
take_scan (TtlReaper *self, TtlBucket **bucket_out)
{
  TTL_LOCKED (&self->lock);

  *bucket_out = g_queue_pop_head (&self->scans);
  g_hash_table_remove (self->queued, *bucket_out);
  return *bucket_out != NULL;
}

static gboolean
take_due (TtlReaper *self, gint64 now_ns, Due *due_out)
{
  TTL_LOCKED (&self->lock);
  TtlDeadline deadline;

  return ttl_expiry_pop (self->index, now_ns, &due_out->bucket_id, &due_out->backing, &deadline);
}

static int
by_bucket (gconstpointer a, gconstpointer b)
{
  const Due *x = a, *y = b;

  return x->bucket_id < y->bucket_id ? -1 : x->bucket_id > y->bucket_id;
}

/* Captures what is due, up to a batch, bucket by bucket. TRUE when there may be more. */
static gboolean
reap_batch (TtlReaper *self, gint64 now_ns)
{
  Due due[BATCH];
  guint n = 0;

  while (n < BATCH && take_due (self, now_ns, &due[n]))
    n++;
  qsort (due, n, sizeof *due, by_bucket);
  for (guint i = 0, end; i < n; i = end)
    {
      for (end = i + 1; end < n && due[end].bucket_id == due[i].bucket_id; end++)
        ;
      reap_in (self, due + i, end - i, now_ns);
    }
  for (guint i = 0; i < n; i++)
    g_free (due[i].backing);
  return n == BATCH;
}

/* FALSE when nothing waited to be scanned. */
static gboolean
scan_one (TtlReaper *self)
{
  g_autoptr (TtlBucket) bucket = NULL;

  if (!take_scan (self, &bucket))
    return FALSE;
  scan (self, bucket);
  return TRUE;
}

static gboolean
is_stopping (TtlReaper *self)
{
  TTL_LOCKED (&self->lock);

  return self->stop;
}

/* What was planned is planned on another time line. */
static void
notice_jumps (TtlReaper *self)
{
  guint jumps = ttl_clock_jumps (self->store->clock);

  if (jumps == self->jumps)
    return;
  self->jumps = jumps;
  ttl_keeper_recheck (self->store->keeper);
  ttl_reaper_rescan (self, ttl_store_root (self->store));
}

TtlDeadline
ttl_reaper_run (TtlReaper *self, gint64 now_ns)
{
  gboolean more = TRUE;

  notice_jumps (self);
  while (more && !is_stopping (self))
    {
      gboolean scanned = scan_one (self);

      more = reap_batch (self, now_ns) || scanned;
      judge_captured (self, self->grace_ns == 0);
    }

  TTL_LOCKED (&self->lock);
  return ttl_expiry_next (self->index);
}

/* Waits for the deadline, what waits to be judged, a wake-up, or the longest sleep, whichever is first. FALSE when it is
 * time to stop. */
static gboolean
sleep_until (TtlReaper *self, TtlDeadline next)
{
  gint64 now_ns = ttl_store_now (self->store);
  TTL_LOCKED (&self->lock);
  gint64 for_ns = CLAMP (next - now_ns, 0, LONGEST_SLEEP_NS);
  const Captured *first = g_queue_peek_head (&self->captured);
  gint64 begin_ns = monotonic_ns ();
  struct timespec until;

  if (first != NULL)
    for_ns = CLAMP (first->judge_ns - begin_ns, 0, for_ns);
  until = ttl_ns_timespec (begin_ns + for_ns);
  self->wakes_ns = now_ns + for_ns;
  if (!self->stop && for_ns > 0 && self->scans.length == 0
      && ttl_expiry_next (self->index) >= MIN (next, self->wakes_ns))
    pthread_cond_timedwait (&self->wake, &self->lock, &until);
  self->wakes_ns = G_MININT64;
  return !self->stop;
}

static gpointer
reaper_main (gpointer data)
{
  TtlReaper *self = data;
  gint64 now_ns;

  pthread_setname_np (pthread_self (), "ttlfs-reaper");
  if (ttl_urgent_is_possible ()) /* a capture must not wait for its end */
    (void)setpriority (PRIO_PROCESS, (id_t)gettid (), NICENESS);
  do
    {
      now_ns = ttl_store_now (self->store);
      /* Where the keeper's thread got no time, or none of us did (a suspend, a SIGSTOP), what is held is renewed first. */
      (void)ttl_keeper_run (self->store->keeper, now_ns);
    }
  while (sleep_until (self, ttl_reaper_run (self, now_ns)));
  judge_captured (self, TRUE);
  return NULL;
}

void
ttl_reaper_start (TtlReaper *self)
{
  self->grace_ns = GRACE_NS;
  self->running = pthread_create (&self->thread, NULL, reaper_main, self) == 0;
}

void
ttl_reaper_stop (TtlReaper *self)
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

void
ttl_reaper_free (TtlReaper *self)
{
  ttl_reaper_stop (self);
  g_queue_clear_full (&self->scans, (GDestroyNotify)ttl_bucket_unref);
  g_hash_table_unref (self->queued);
  g_hash_table_unref (self->taken);
  g_queue_clear_full (&self->captured, captured_free);
  ttl_expiry_free (self->index);
  pthread_cond_destroy (&self->wake);
  pthread_mutex_destroy (&self->lock);
  g_free (self);
}

guint64
ttl_reaper_known (TtlReaper *self)
{
  TTL_LOCKED (&self->lock);

  return ttl_expiry_count (self->index);
}

guint64
ttl_reaper_removed (TtlReaper *self)
{
  TTL_LOCKED (&self->lock);

  return self->removed;
}
