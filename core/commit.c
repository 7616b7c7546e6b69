#define G_LOG_DOMAIN "ttlfs"
#include "commit.h"

#include "cleanup.h"
#include "log.h"

#include <fcntl.h>
#include <sys/file.h>

#define STRIPES 256
#define PATIENCE_US (2 * G_USEC_PER_SEC)
#define LOOKERS_PATIENCE_US 20000

/* Threads of this process that a directory's lock keeps waiting. Among processes there is nothing to be woken by, so they look
 * again and again; when one of this process gives such a lock back they look at once. */
static gint waiting;                                     /* atomic; changed under turn */
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER; /* leaf */
static pthread_cond_t given_back = PTHREAD_COND_INITIALIZER;
static pthread_cond_t served = PTHREAD_COND_INITIALIZER; /* nobody waits any more */

struct TtlCommits
{
  pthread_mutex_t stripes[STRIPES]; /* order 1 */
};

TtlCommits *
ttl_commits_new (void)
{
  TtlCommits *self = g_new (TtlCommits, 1);

  for (int i = 0; i < STRIPES; i++)
    pthread_mutex_init (&self->stripes[i], NULL);
  return self;
}

void
ttl_commits_free (TtlCommits *self)
{
  for (int i = 0; i < STRIPES; i++)
    pthread_mutex_destroy (&self->stripes[i]);
  g_free (self);
}

static pthread_mutex_t *
stripe_of (TtlCommits *self, TtlBucket *bucket, const char *backing)
{
  return &self->stripes[(g_str_hash (backing) * 31 + ttl_bucket_id (bucket)) % STRIPES];
}

/* FALSE when it is not to be had. */
static gboolean
wait_for_dir_locked (int fd, int operation, gint64 patience_us)
{
  const gint64 began_us = g_get_monotonic_time ();
  gint64 wait_us = 20;

  while (flock (fd, operation | LOCK_NB) < 0)
    {
      if (errno != EWOULDBLOCK && errno != EINTR)
        return FALSE;
      if (g_get_monotonic_time () - began_us > patience_us)
        {
          if (patience_us == PATIENCE_US && ttl_log_first_time ("flock"))
            g_warning ("somebody holds a lock on a directory below the root; going on without it");
          return FALSE;
        }
      (void)ttl_cond_wait_us (&given_back, &turn, wait_us);
      wait_us = MIN (wait_us * 2, 500);
    }
  return TRUE;
}

/* -1 when it could not be had. */
static int
lock_dir (int dir_fd, TtlCommitMode mode, gint64 patience_us)
{
  ttl_autofd fd = openat (dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const int operation = mode == TTL_COMMIT_SHARED ? LOCK_SH : LOCK_EX;
  gboolean had;

  if (fd < 0)
    return -1;
  if (flock (fd, operation | LOCK_NB) == 0)
    return ttl_steal_fd (&fd);
  TTL_LOCKED (&turn);
  g_atomic_int_inc (&waiting);
  had = wait_for_dir_locked (fd, operation, patience_us);
  if (g_atomic_int_dec_and_test (&waiting))
    pthread_cond_broadcast (&served);
  return had ? ttl_steal_fd (&fd) : -1;
}

static void
unlock_dir (int *fd)
{
  if (*fd < 0)
    return;
  ttl_clear_fd (fd);
  if (g_atomic_int_get (&waiting) == 0)
    return;
  TTL_LOCKED (&turn);
  pthread_cond_broadcast (&given_back);
}

void
ttl_commit_begin (TtlCommits *self, TtlBucket *bucket, int dir_fd, const char *backing,
                  TtlCommitMode mode, TtlCommit *commit_out)
{
  *commit_out = (TtlCommit)TTL_COMMIT_INIT;
  commit_out->first = ttl_guard_lock (stripe_of (self, bucket, backing));
  commit_out->lock_fd = lock_dir (dir_fd, mode, PATIENCE_US);
}

void
ttl_commit_begin_two (TtlCommits *self, TtlBucket *a, int a_fd, const char *a_backing, TtlBucket *b,
                      int b_fd, const char *b_backing, TtlCommit *commit_out)
{
  pthread_mutex_t *first = stripe_of (self, a, a_backing);
  pthread_mutex_t *second = stripe_of (self, b, b_backing);

  *commit_out = (TtlCommit)TTL_COMMIT_INIT;
  commit_out->first = ttl_guard_lock (MIN (first, second));
  if (first != second)
    commit_out->second = ttl_guard_lock (MAX (first, second));
  /* Shared locks among themselves cannot deadlock, and an exclusive one is asked for with nothing else held. */
  commit_out->lock_fd = lock_dir (a_fd, TTL_COMMIT_SHARED, PATIENCE_US);
  if (a != b)
    commit_out->other_lock_fd = lock_dir (b_fd, TTL_COMMIT_SHARED, PATIENCE_US);
}

void
ttl_commit_end (TtlCommit *commit)
{
  unlock_dir (&commit->other_lock_fd);
  unlock_dir (&commit->lock_fd);
  if (commit->second != NULL)
    pthread_mutex_unlock (commit->second);
  if (commit->first != NULL)
    pthread_mutex_unlock (commit->first);
  commit->first = commit->second = NULL;
}

void
ttl_commit_begin_dir (int dir_fd, TtlCommit *commit_out)
{
  *commit_out = (TtlCommit)TTL_COMMIT_INIT;
  commit_out->lock_fd = lock_dir (dir_fd, TTL_COMMIT_EXCLUSIVE, PATIENCE_US);
}

gboolean
ttl_commit_try_key (TtlCommits *self, TtlBucket *bucket, const char *backing, TtlCommit *commit)
{
  pthread_mutex_t *stripe = stripe_of (self, bucket, backing);

  if (pthread_mutex_trylock (stripe) != 0)
    return FALSE;
  commit->first = stripe;
  return TRUE;
}

void
ttl_commit_end_key (TtlCommit *commit)
{
  pthread_mutex_unlock (commit->first);
  commit->first = NULL;
}

gboolean
ttl_commit_is_waited_for (void)
{
  return g_atomic_int_get (&waiting) > 0;
}

void
ttl_commit_let_pass (gint64 at_most_us)
{
  const gint64 until_us = g_get_monotonic_time () + at_most_us;
  gint64 left_us;

  TTL_LOCKED (&turn);
  while (g_atomic_int_get (&waiting) > 0 && (left_us = until_us - g_get_monotonic_time ()) > 0)
    (void)ttl_cond_wait_us (&served, &turn, left_us);
}

int
ttl_commit_settle (int dir_fd)
{
  return lock_dir (dir_fd, TTL_COMMIT_SHARED, LOOKERS_PATIENCE_US);
}
