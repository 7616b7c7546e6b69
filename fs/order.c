#define G_LOG_DOMAIN "ttlfs"
#include "order.h"

#include "cleanup.h"
#include "log.h"

#include <fcntl.h>
#include <string.h>

#define PATIENCE_US (3 * G_USEC_PER_SEC)
#define PATIENCE_UNSEEN_US G_USEC_PER_SEC /* with one whose processes we cannot see */
#define DOUBT_US (100 * 1000)             /* with one that is only suspected */
#define LOOK_AGAIN_FIRST_US 1000 /* by then it has come, or somebody else has the descriptor */
#define LOOK_AGAIN_MAX_US 100000

struct TtlClosing
{
  GList link;        /* in TtlOrder.closing */
  TtlHandle *handle; /* alive, and the key in by_handle, until releasing */
  guint64 bucket;    /* its id */
  TtlName backing;
  pid_t opener, closer; /* threads; 0: not known to us */
  TtlLockFile *locks;   /* says which key it is; borrowed from the handle */
  int access;           /* O_RDONLY, O_WRONLY or O_RDWR */
  gint64 closed_us;
  guint64 flush;      /* the number of its last FLUSH */
  gboolean suspected; /* and never flushed */
  gboolean releasing;
};

struct TtlOrder
{
  TtlNames names;
  gint count;           /* atomic; how many are closing */
  pthread_mutex_t lock; /* guards all below */
  pthread_cond_t changed;
  GQueue closing; /* by the time of their last FLUSH */
  GHashTable *by_handle;
  guint64 flushes;
  gboolean ended;
  TtlOrderDescribe describe; /* constant once the session runs */
  gpointer data;
};

TtlOrder *
ttl_order_new (TtlNames names)
{
  TtlOrder *self = g_new0 (TtlOrder, 1);

  self->names = names;
  pthread_mutex_init (&self->lock, NULL);
  pthread_cond_init (&self->changed, NULL);
  g_queue_init (&self->closing);
  self->by_handle = g_hash_table_new (NULL, NULL);
  return self;
}

void
ttl_order_describe_with (TtlOrder *self, TtlOrderDescribe describe, gpointer data)
{
  self->describe = describe;
  self->data = data;
}

int
ttl_order_access (const TtlHandle *handle)
{
  return handle->writer == NULL ? O_RDONLY : handle->readable ? O_RDWR : O_WRONLY;
}

static void
remove_locked (TtlOrder *self, TtlClosing *closing)
{
  g_queue_unlink (&self->closing, &closing->link);
  if (!closing->releasing)
    g_hash_table_remove (self->by_handle, closing->handle);
  g_atomic_int_add (&self->count, -1);
  pthread_cond_broadcast (&self->changed);
  g_free (closing);
}

void
ttl_order_free (TtlOrder *self)
{
  while (self->closing.head != NULL)
    remove_locked (self, self->closing.head->data);
  g_hash_table_unref (self->by_handle);
  pthread_cond_destroy (&self->changed);
  pthread_mutex_destroy (&self->lock);
  g_free (self);
}

static gint64
patience_us (const TtlClosing *closing)
{
  if (closing->suspected)
    return DOUBT_US;
  return closing->opener > 0 || closing->closer > 0 ? PATIENCE_US : PATIENCE_UNSEEN_US;
}

/* Its RELEASE, should it come, has something to do, and may be on its way. */
static gboolean
is_awaited_locked (const TtlClosing *closing, gint64 now_us)
{
  if (closing->releasing)
    return TRUE;
  return now_us - closing->closed_us < patience_us (closing)
         && ttl_handle_is_awaited (closing->handle);
}

/* What has been published since, and what somebody seems to keep open, waits at the head for a FLUSH or RELEASE. */
static void
clear_locked (TtlOrder *self, gint64 now_us)
{
  while (self->closing.head != NULL && !is_awaited_locked (self->closing.head->data, now_us))
    remove_locked (self, self->closing.head->data);
}

/* ---- what is closed ---- */

static void
enter (TtlOrder *self, TtlHandle *handle, pid_t tid, gboolean suspected)
{
  TtlName backing;
  g_autoptr (TtlBucket) bucket = ttl_node_dup_place (handle->node, backing);
  TtlClosing *closing;

  TTL_LOCKED (&self->lock);
  closing = g_hash_table_lookup (self->by_handle, handle);
  if (closing != NULL && suspected)
    return;
  if (closing == NULL)
    {
      closing = g_new0 (TtlClosing, 1);
      closing->handle = handle;
      closing->link.data = closing;
      g_hash_table_insert (self->by_handle, handle, closing);
      g_atomic_int_inc (&self->count);
    }
  else
    g_queue_unlink (&self->closing, &closing->link);
  closing->bucket = ttl_bucket_id (bucket);
  memcpy (closing->backing, backing, sizeof backing);
  closing->opener = handle->opener;
  closing->closer = tid;
  closing->locks = handle->locks;
  closing->access = ttl_order_access (handle);
  closing->suspected = suspected;
  closing->closed_us = g_get_monotonic_time ();
  closing->flush = ++self->flushes;
  clear_locked (self, closing->closed_us); /* before it is there again: it is not served yet */
  g_queue_push_tail_link (&self->closing, &closing->link);
}

void
ttl_order_closing (TtlOrder *self, TtlHandle *handle, pid_t tid)
{
  if (ttl_handle_is_awaited (handle))
    enter (self, handle, tid, FALSE);
}

void
ttl_order_suspect (TtlOrder *self, TtlHandle *handle)
{
  enter (self, handle, 0, TRUE);
}

TtlClosing *
ttl_order_releasing (TtlOrder *self, TtlHandle *handle)
{
  TtlClosing *closing;

  if (ttl_order_is_quiet (self))
    return NULL;

  TTL_LOCKED (&self->lock);
  closing = g_hash_table_lookup (self->by_handle, handle);
  if (closing == NULL)
    return NULL;
  closing->releasing = TRUE;
  g_hash_table_remove (self->by_handle, handle); /* another may soon be where it was */
  return closing;
}

void
ttl_order_released (TtlOrder *self, TtlClosing *closing)
{
  if (closing == NULL)
    return;

  TTL_LOCKED (&self->lock);
  remove_locked (self, closing);
}

gboolean
ttl_order_is_quiet (TtlOrder *self)
{
  return g_atomic_int_get (&self->count) == 0;
}

/* ---- who waits for it ---- */

static gboolean
is_about (const TtlClosing *closing, const TtlPlace *place)
{
  if (place->locks != NULL && !closing->releasing && closing->locks == place->locks)
    return TRUE;
  if (place->bucket == 0)
    return TRUE;
  return closing->bucket == place->bucket
         && (place->backing[0] == '\0' || strcmp (closing->backing, place->backing) == 0);
}

static TtlClosing *
find_locked (TtlOrder *self, const TtlPlace *place, guint64 since)
{
  const gint64 now_us = g_get_monotonic_time ();

  clear_locked (self, now_us);
  for (GList *link = self->closing.head; link != NULL; link = link->next)
    {
      TtlClosing *closing = link->data;

      if (closing->flush > since)
        return NULL;
      if (is_about (closing, place) && is_awaited_locked (closing, now_us))
        return closing;
    }
  return NULL;
}

guint64
ttl_order_now (TtlOrder *self)
{
  TTL_LOCKED (&self->lock);

  return self->flushes;
}

gboolean
ttl_order_is_closing (TtlOrder *self, const TtlPlace *place, guint64 since)
{
  TTL_LOCKED (&self->lock);

  return find_locked (self, place, since) != NULL;
}

typedef struct
{
  TtlOrder *order;
  const TtlClosing *closing;
} Description;

/* @name as /proc shows it: in whichever spelling it was opened. */
static gboolean
is_its_name (const char *name, gpointer data)
{
  const Description *description = data;
  TtlName backing;

  return ttl_keyname_from_shown (description->order->names, name, backing) == 0
         && strcmp (backing, description->closing->backing) == 0;
}

/* Whether somebody has a descriptor of it, and not only of other descriptions of the same key, which look alike. @everybody: not
 * only who is likely to. */
static gboolean
is_held (TtlOrder *self, const TtlClosing *closing, gboolean everybody)
{
  Description description = { self, closing };
  TtlSought sought = { .access = closing->access, .is_it = is_its_name, .data = &description };
  guint others
      = self->describe (closing->handle, closing->locks, closing->access, &sought, self->data);
  guint n;

  if (everybody)
    n = ttl_caller_count_everybodys (&sought);
  else
    n = ttl_caller_count_open (closing->opener, &sought);
  if (!everybody && !ttl_caller_is_sibling (closing->opener, closing->closer))
    n += ttl_caller_count_open (closing->closer, &sought);
  return n > others;
}

/* Looks without the lock. FALSE when there was something to wait for, and it is not known to be held. Nobody having what is
 * suspected, where everybody can be seen, says that it was closed as well as a FLUSH does. */
static gboolean
look_locked (TtlOrder *self, TtlClosing *closing, gboolean everybody)
{
  TtlClosing seen = *closing;
  gboolean held;

  pthread_mutex_unlock (&self->lock);
  held = is_held (self, &seen, everybody);
  pthread_mutex_lock (&self->lock);
  closing = g_hash_table_lookup (self->by_handle, seen.handle);
  if (closing == NULL || closing->flush != seen.flush)
    return TRUE; /* what was seen is of the past */
  if (held && !closing->releasing)
    {
      ttl_debug ("%s: closed, and still open elsewhere", seen.backing);
      remove_locked (self, closing);
    }
  else if (!held && everybody && ttl_caller_sees_everybody ())
    closing->suspected = FALSE;
  return held;
}

void
ttl_order_wait (TtlOrder *self, const TtlPlace *place, guint64 since)
{
  gint64 pause_us = LOOK_AGAIN_FIRST_US;
  TtlClosing *closing;

  TTL_LOCKED (&self->lock);
  while (!self->ended && (closing = find_locked (self, place, since)) != NULL)
    {
      if (!closing->releasing && look_locked (self, closing, pause_us > LOOK_AGAIN_FIRST_US))
        continue;
      if (find_locked (self, place, since) == NULL)
        return;
      (void)ttl_cond_wait_us (&self->changed, &self->lock, pause_us);
      pause_us = MIN (2 * pause_us, LOOK_AGAIN_MAX_US);
    }
}

void
ttl_order_end (TtlOrder *self)
{
  TTL_LOCKED (&self->lock);

  self->ended = TRUE;
  pthread_cond_broadcast (&self->changed);
}
