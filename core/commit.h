/* commit - makes the steps of one publication or removal a single one, among threads and among mounts.
 *
 * Owns an array of mutexes: each key hashes to one (its stripe). Among mounts the lock is flock() on the bucket's
 * directory: shared for a put, which is one rename in the end, and for a renewal, which needs the file to stay where it
 * is; exclusive for what looks before it acts (append, claim, reap). Raw peers take no locks, so nothing may rely on a
 * commit lock to keep *them* out.
 *
 * A lock on the directory that is not granted within two seconds is done without, and the log says so once: anybody who
 * can read the backing directory could otherwise stop every mount of it. */
#pragma once

#include "bucket.h"

#include <pthread.h>

typedef struct TtlCommits TtlCommits;

typedef enum
{
  TTL_COMMIT_SHARED,
  TTL_COMMIT_EXCLUSIVE,
} TtlCommitMode;

typedef struct /* on the stack of whoever holds it */
{
  pthread_mutex_t *first, *second; /* second is NULL unless two keys are locked */
  int lock_fd, other_lock_fd;      /* descriptors that hold flock(), -1 for none */
} TtlCommit;

TtlCommits *ttl_commits_new (void);
void ttl_commits_free (TtlCommits *self);

void ttl_commit_begin (TtlCommits *self, TtlBucket *bucket, int dir_fd, const char *backing,
                       TtlCommitMode mode, TtlCommit *commit_out);
/* Two keys at once, in an order that cannot deadlock. */
void ttl_commit_begin_two (TtlCommits *self, TtlBucket *a, int a_fd, const char *a_backing,
                           TtlBucket *b, int b_fd, const char *b_backing, TtlCommit *commit_out);
/* For many keys of one bucket, one after the other: the directory's lock alone, exclusively, and then each key in turn, which is
 * FALSE when somebody is in the middle of changing it: whoever has a key may be waiting for the directory, so nobody who has
 * the directory waits for a key. To be given back soon, and at once when it is waited for. */
void ttl_commit_begin_dir (int dir_fd, TtlCommit *commit_out);
gboolean ttl_commit_try_key (TtlCommits *self, TtlBucket *bucket, const char *backing,
                             TtlCommit *commit);
void ttl_commit_end_key (TtlCommit *commit);
/* Whether any thread of this process waits for a directory's lock. */
gboolean ttl_commit_is_waited_for (void);
/* Waits, for no longer than that, until none does: for who would otherwise have the lock again before they have woken up. */
void ttl_commit_let_pass (gint64 at_most_us);
void ttl_commit_end (TtlCommit *commit);
/* Waits until nobody is in the middle of an exclusive step in the directory, and keeps others from beginning one until
 * ttl_clear_fd() of what is returned; -1 when that takes longer than 20 ms or cannot be done. For who holds no commit lock. */
int ttl_commit_settle (int dir_fd);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TtlCommit, ttl_commit_end)
#define TTL_COMMIT_INIT \
  { \
    NULL, NULL, -1, -1 \
  }
