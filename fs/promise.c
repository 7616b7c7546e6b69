#define G_LOG_DOMAIN "ttlfs"
#include "promise.h"

#include "batch.h"
#include "cleanup.h"
#include "clock.h"
#include "log.h"

#include <errno.h>
#include <linux/fuse.h>
#include <string.h>

/* As the kernel has it since protocol 7.44; <linux/fuse.h> may be older. */
#define NOTIFY_INC_EPOCH 8

#define STAMPS 4096
#define ABSENCES_MAX 32768
#define LONGEST_US \
  (10 * G_USEC_PER_SEC)   /* for as long the kernel goes by them when we have been killed */
#define ASKED_BEFORE 3    /* an absence is promised: `test -e k || echo v >k` asks twice */
#define SHORTEST_US 20000 /* less is not worth it */
#define SOON_US 4000

typedef struct
{
  guint64 bucket;
  gint64 asked_us; /* last, ... */
  guint asked;     /* ... and how often, not long after each other */
  gint64 until_us; /* 0: not promised so far */
  char backing[];
} Absence;

struct TtlPromises
{
  pthread_rwlock_t session_lock; /* leaf; shared by who tells the kernel */
  struct fuse_session *session;  /* guarded by session_lock; NULL while not started */
  gint possible;                 /* atomic */
  guint stamps[STAMPS];          /* atomic each */
  guint changes;                 /* atomic */
  TtlBatch *soon;
  pthread_mutex_t lock; /* leaf; guards what is below */
  GHashTable *absences; /* set of Absence, owned */
};

/* ---- absences as keys ---- */

static guint
hash_name (guint64 bucket, const char *backing)
{
  return g_str_hash (backing) * 31 + (guint)bucket;
}

static guint
absence_hash (gconstpointer data)
{
  const Absence *absence = data;

  return hash_name (absence->bucket, absence->backing);
}

static gboolean
absence_equal (gconstpointer a, gconstpointer b)
{
  const Absence *x = a, *y = b;

  return x->bucket == y->bucket && strcmp (x->backing, y->backing) == 0;
}

static Absence *
absence_new (guint64 bucket, const char *backing, gint64 asked_us)
{
  gsize size = strlen (backing) + 1;
  Absence *absence = g_malloc (sizeof *absence + size);

  absence->bucket = bucket;
  absence->asked_us = asked_us;
  absence->asked = 1;
  absence->until_us = 0;
  memcpy (absence->backing, backing, size);
  return absence;
}

/* ---- telling the kernel ---- */

/* The session must not end while the kernel is told something, and whoever tells it may be a thread of the store's, which
 * goes on for longer than the session. */
static int
increment_epoch (TtlPromises *self)
{
  const struct fuse_out_header header = { .len = sizeof header, .error = NOTIFY_INC_EPOCH };
  int res = -ENOTCONN;

  pthread_rwlock_rdlock (&self->session_lock);
  if (self->session != NULL)
    res = write (fuse_session_fd (self->session), &header, sizeof header) < 0 ? -errno : 0;
  pthread_rwlock_unlock (&self->session_lock);
  return res;
}

static int
invalidate_attrs (TtlPromises *self, guint64 node_id)
{
  int res = -ENOTCONN;

  pthread_rwlock_rdlock (&self->session_lock);
  if (self->session != NULL)
    res = fuse_lowlevel_notify_inval_inode (self->session, node_id, -1, 0);
  pthread_rwlock_unlock (&self->session_lock);
  return res;
}

static void
set_session (TtlPromises *self, struct fuse_session *session)
{
  pthread_rwlock_wrlock (&self->session_lock);
  self->session = session;
  pthread_rwlock_unlock (&self->session_lock);
}

void
ttl_promises_recall_entries (TtlPromises *self)
{
  if (!ttl_promises_may_be_made (self))
    return;
  ttl_debug ("NOTIFY all entries");
  TTL_LOCKED (
      &self->lock); /* whoever finds none promised any more must not be told before the kernel */
  g_hash_table_remove_all (self->absences);
  (void)increment_epoch (self);
}

gboolean
ttl_promises_recall_attrs (TtlPromises *self, guint64 node_id)
{
  int res;

  if (!ttl_promises_may_be_made (self))
    return TRUE;
  res = invalidate_attrs (self, node_id);
  ttl_debug ("NOTIFY attributes of %" G_GUINT64_FORMAT " -> %d", node_id, res);
  if (res == -ENOENT)
    ttl_promises_recall_entries (self);
  return res != -ENOENT;
}

void
ttl_promises_recall_attrs_soon (TtlPromises *self, guint64 node_id)
{
  ttl_batch_add (self->soon, node_id);
}

static gboolean
recall_some (const GArray *ids, gpointer data)
{
  for (guint i = 0; i < ids->len; i++)
    (void)ttl_promises_recall_attrs (data, g_array_index (ids, guint64, i));
  return TRUE;
}

/* ---- its life ---- */

TtlPromises *
ttl_promises_new (void)
{
  TtlPromises *self = g_new0 (TtlPromises, 1);

  pthread_rwlock_init (&self->session_lock, NULL);
  pthread_mutex_init (&self->lock, NULL);
  self->absences = g_hash_table_new_full (absence_hash, absence_equal, g_free, NULL);
  self->soon = ttl_batch_new ("ttlfs-notify", SOON_US, 0, recall_some, self);
  return self;
}

void
ttl_promises_free (TtlPromises *self)
{
  ttl_promises_stop (self);
  ttl_batch_free (self->soon);
  g_hash_table_unref (self->absences);
  pthread_mutex_destroy (&self->lock);
  pthread_rwlock_destroy (&self->session_lock);
  g_free (self);
}

void
ttl_promises_start (TtlPromises *self, struct fuse_session *session)
{
  int res;

  set_session (self, session);
  res = increment_epoch (self);
  if (res < 0)
    {
      g_message (
          "this kernel cannot be told of changes without risk (Linux 6.16 can), so it is not let "
          "remember names: each use of one costs a round trip");
      return;
    }
  g_atomic_int_set (&self->possible, ttl_batch_start (self->soon));
}

void
ttl_promises_stop (TtlPromises *self)
{
  g_atomic_int_set (&self->possible, FALSE);
  set_session (self, NULL);
  ttl_batch_stop (self->soon);
}

gboolean
ttl_promises_may_be_made (TtlPromises *self)
{
  return g_atomic_int_get (&self->possible);
}

gint64
ttl_promise_us (TtlDeadline deadline, gint64 now_ns)
{
  gint64 left_us = MIN (deadline / 1000 - now_ns / 1000, 2 * LONGEST_US);

  left_us -= TTL_PROMISE_LATE_US;
  return left_us < SHORTEST_US ? 0 : MIN (left_us, LONGEST_US);
}

/* ---- stamps ---- */

static guint *
stamp_of (TtlPromises *self, guint64 bucket, const char *backing)
{
  return &self->stamps[hash_name (bucket, backing) % STAMPS];
}

TtlStamp
ttl_promises_stamp (TtlPromises *self, guint64 bucket, const char *backing)
{
  return (TtlStamp){ .one = __atomic_load_n (stamp_of (self, bucket, backing), __ATOMIC_SEQ_CST),
                     .all = __atomic_load_n (&self->changes, __ATOMIC_SEQ_CST) };
}

gboolean
ttl_promises_is_unchanged (TtlPromises *self, guint64 bucket, const char *backing,
                           const TtlStamp *stamp)
{
  return __atomic_load_n (stamp_of (self, bucket, backing), __ATOMIC_SEQ_CST) == stamp->one;
}

gboolean
ttl_promises_is_all_unchanged (TtlPromises *self, const TtlStamp *stamp)
{
  return __atomic_load_n (&self->changes, __ATOMIC_SEQ_CST) == stamp->all;
}

void
ttl_promises_move_stamp (TtlPromises *self, guint64 bucket, const char *backing)
{
  __atomic_fetch_add (stamp_of (self, bucket, backing), 1, __ATOMIC_SEQ_CST);
  __atomic_fetch_add (&self->changes, 1, __ATOMIC_SEQ_CST);
}

void
ttl_promises_move_all_stamps (TtlPromises *self)
{
  for (gsize i = 0; i < STAMPS; i++)
    __atomic_fetch_add (&self->stamps[i], 1, __ATOMIC_SEQ_CST);
  __atomic_fetch_add (&self->changes, 1, __ATOMIC_SEQ_CST);
}

/* ---- absences ---- */

/* Somebody asks for names without end. To begin anew costs each of the others one look. */
static gboolean
is_full (TtlPromises *self)
{
  TTL_LOCKED (&self->lock);

  return g_hash_table_size (self->absences) >= ABSENCES_MAX;
}

gint64
ttl_promises_note_absence (TtlPromises *self, guint64 bucket, const char *backing,
                           const TtlStamp *stamp)
{
  const gint64 now_us = g_get_monotonic_time ();
  g_autofree Absence *key = absence_new (bucket, backing, now_us);
  Absence *found;

  if (!ttl_promises_may_be_made (self))
    return 0;

  if (is_full (self))
    ttl_promises_recall_entries (self);
  TTL_LOCKED (&self->lock);
  if (!ttl_promises_is_unchanged (self, bucket, backing, stamp))
    return 0;
  found = g_hash_table_lookup (self->absences, key);
  if (found == NULL)
    {
      g_hash_table_add (self->absences, g_steal_pointer (&key));
      return 0;
    }
  found->asked = found->asked_us + LONGEST_US > now_us ? found->asked + 1 : 1;
  found->asked_us = now_us;
  if (found->asked < ASKED_BEFORE)
    return 0;
  found->until_us = now_us + LONGEST_US + TTL_PROMISE_LATE_US;
  return LONGEST_US;
}

gboolean
ttl_promises_end_absence (TtlPromises *self, guint64 bucket, const char *backing)
{
  g_autofree Absence *key = absence_new (bucket, backing, 0);
  gboolean believed;
  Absence *found;
  TTL_LOCKED (&self->lock);

  found = g_hash_table_lookup (self->absences, key);
  believed = found != NULL && found->until_us > g_get_monotonic_time ();
  if (found != NULL)
    g_hash_table_remove (self->absences, key);
  return believed;
}

gboolean
ttl_promises_is_absence_noted (TtlPromises *self, guint64 bucket, const char *backing)
{
  g_autofree Absence *key = absence_new (bucket, backing, 0);
  TTL_LOCKED (&self->lock);

  return g_hash_table_contains (self->absences, key);
}
