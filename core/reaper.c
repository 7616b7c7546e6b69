#define G_LOG_DOMAIN "ttlfs"
#include "reaper.h"

#include "cleanup.h"
#include "keeper.h"
#include "log.h"
#include "scan.h"
#include "store-private.h"

#include <fcntl.h>
#include <stdio.h>

#define LOOK_BATCH 64                 /* names noted at a time: nobody waits long for the lock */
#define BATCH 256                     /* entries per breath: a note never waits long for the lock */
#define RETRY_NS (1 * TTL_NS_PER_S)   /* after an error of the backing directory */
#define GRACE_NS (20 * TTL_NS_PER_MS) /* for a peer between finding a file and renewing it */
#define LONGEST_SLEEP_NS (1 * TTL_NS_PER_S) /* the wall clock may be stepped while we sleep */

typedef struct /* taken off its name, and not yet removed */
{
  TtlBucket *bucket; /* owns a reference */
  char *backing;
  TtlCapture file;
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
  TtlExpiry *index;
  GQueue scans; /* TtlBucket, each owns a reference */
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
  g_queue_init (&self->scans);
  g_queue_init (&self->captured);
  return self;
}

void
ttl_reaper_note (TtlReaper *self, TtlBucket *bucket, const char *backing, TtlDeadline deadline)
{
  TTL_LOCKED (&self->lock);

  if (ttl_expiry_set (self->index, ttl_bucket_id (bucket), backing, deadline))
    pthread_cond_signal (&self->wake);
}

void
ttl_reaper_forget (TtlReaper *self, TtlBucket *bucket, const char *backing)
{
  TTL_LOCKED (&self->lock);

  ttl_expiry_remove (self->index, ttl_bucket_id (bucket), backing);
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
  if (earlier)
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

/* The second look at a file that was captured. */
static void
judge (TtlReaper *self, const Captured *captured)
{
  g_autoptr (TtlDir) dir = NULL;
  g_auto (TtlCommit) commit = TTL_COMMIT_INIT;
  int res = ttl_bucket_open (captured->bucket, &dir);

  if (res == -ESTALE)
    return; /* gone, and everything in it */
  if (res < 0)
    {
      /* Where it is scratch among other scratch. */
      ttl_reaper_note (self, captured->bucket, captured->file.name, captured->taken_ns + RETRY_NS);
      return;
    }
  ttl_commit_begin (self->store->commits, captured->bucket, ttl_dir_fd (dir), captured->backing,
                    TTL_COMMIT_EXCLUSIVE, &commit);
  res = ttl_store_judge_captured (self->store, captured->bucket, ttl_dir_fd (dir),
                                  captured->backing, captured->taken_ns, &captured->file);
  conclude (self, captured->bucket, ttl_dir_fd (dir), captured->backing, captured->taken_ns, res);
}

/* @all: also what has time left. */
static void
judge_captured (TtlReaper *self, gboolean all)
{
  gint64 now_ns = monotonic_ns ();
  Captured *first;

  while ((first = g_queue_peek_head (&self->captured)) != NULL
         && (all || first->judge_ns <= now_ns))
    {
      judge (self, first);
      captured_free (g_queue_pop_head (&self->captured));
    }
}

/* An entry whose last known deadline has come: taken off its name if that still holds, and otherwise noted again. */
static void
reap (TtlReaper *self, guint64 bucket_id, const char *backing, gint64 now_ns)
{
  g_autoptr (TtlBucket) bucket = ttl_tree_dup (self->store->tree, bucket_id);
  g_autoptr (TtlDir) dir = NULL;
  g_auto (TtlCommit) commit = TTL_COMMIT_INIT;
  Captured *captured;
  TtlCapture file;
  int res;

  if (bucket == NULL)
    return;
  res = ttl_bucket_open (bucket, &dir);
  if (res == 0 && !ttl_bucket_is_in_place (bucket))
    res = -ESTALE;
  if (res < 0)
    {
      if (res != -ESTALE) /* otherwise it is ours no more */
        ttl_reaper_note (self, bucket, backing, now_ns + RETRY_NS);
      return;
    }
  ttl_commit_begin (self->store->commits, bucket, ttl_dir_fd (dir), backing, TTL_COMMIT_EXCLUSIVE,
                    &commit);
  res = ttl_store_capture_expired (self->store, bucket, ttl_dir_fd (dir), backing, now_ns, &file);
  if (res < 0)
    {
      conclude (self, bucket, ttl_dir_fd (dir), backing, now_ns, res);
      return;
    }
  captured = g_new (Captured, 1);
  *captured = (Captured){ .bucket = g_steal_pointer (&bucket),
                          .backing = g_strdup (backing),
                          .file = file,
                          .taken_ns = now_ns,
                          .judge_ns = monotonic_ns () + self->grace_ns };
  g_queue_push_tail (&self->captured, captured);
}

static gboolean
take_scan (TtlReaper *self, TtlBucket **bucket_out)
{
  TTL_LOCKED (&self->lock);

  *bucket_out = g_queue_pop_head (&self->scans);
  return *bucket_out != NULL;
}

static gboolean
take_due (TtlReaper *self, gint64 now_ns, guint64 *bucket_out, char **backing_out)
{
  TTL_LOCKED (&self->lock);
  TtlDeadline deadline;

  return ttl_expiry_pop (self->index, now_ns, bucket_out, backing_out, &deadline);
}

/* Captures what is due, up to a batch. TRUE when there may be more. */
static gboolean
reap_batch (TtlReaper *self, gint64 now_ns)
{
  for (int i = 0; i < BATCH; i++)
    {
      g_autofree char *backing = NULL;
      guint64 bucket_id;

      if (!take_due (self, now_ns, &bucket_id, &backing))
        return FALSE;
      reap (self, bucket_id, backing, now_ns);
    }
  return TRUE;
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
  if (!self->stop && for_ns > 0 && self->scans.length == 0 && ttl_expiry_next (self->index) >= next)
    pthread_cond_timedwait (&self->wake, &self->lock, &until);
  return !self->stop;
}

static gpointer
reaper_main (gpointer data)
{
  TtlReaper *self = data;
  gint64 now_ns;

  pthread_setname_np (pthread_self (), "ttlfs-reaper");
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
