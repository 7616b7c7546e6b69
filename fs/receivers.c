#define G_LOG_DOMAIN "ttlfs"
#include "receivers.h"

#include "cleanup.h"
#include "log.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>

#define WAKE_SIGNAL SIGUSR1 /* interrupts a read from the device */
#define POKE_US 20000
#define TICK_NS 1000000
#define QUIET_TICKS 4 /* so many without a request, and the watcher sleeps */
#define THREADS_MAX 128
#define LINGER_S 10
#define LOOK_S 1

/* A receiver's state: the number of the request that it serves, doubled; odd when its permit was taken meanwhile. */
#define RECEIVING 0u
#define REPLACED 1u

typedef struct
{
  TtlReceivers *set;
  GList link; /* in TtlReceivers.threads */
  pthread_t thread;
  guint state; /* atomic */
  guint seen;  /* the watcher's: the state when it last looked */
} Receiver;

struct TtlReceivers
{
  struct fuse_session *session;
  gboolean (*look) (const struct fuse_in_header *header, gpointer data);
  gpointer data;
  gint error; /* atomic; the first error of the device */
  guint
      received; /* atomic, and need not be exact: whether there was any since the watcher looked */
  gint watcher_sleeps;   /* atomic */
  pthread_mutex_t lock;  /* guards all below */
  pthread_cond_t wake;   /* of the watcher */
  pthread_cond_t permit; /* one is free */
  pthread_cond_t gone;
  GQueue threads;
  guint permits; /* not taken */
  guint parked;
  gboolean ending;
};

/* ---- one that receives ---- */

/* FALSE when it is time to go. */
static gboolean
receive (TtlReceivers *self, struct fuse_buf *buf)
{
  while (!fuse_session_exited (self->session))
    {
      int res = fuse_session_receive_buf (self->session, buf);

      if (res == -EINTR || res == -EAGAIN)
        continue;
      if (res > 0)
        return TRUE;
      if (res < 0)
        g_atomic_int_compare_and_exchange (&self->error, 0, res);
      fuse_session_exit (self->session);
    }
  return FALSE;
}

static void
wake_watcher (TtlReceivers *self)
{
  TTL_LOCKED (&self->lock);

  g_atomic_int_set (&self->watcher_sleeps, FALSE);
  pthread_cond_signal (&self->wake);
}

/* Serves with its permit, as long as it has it. FALSE: the session is over. */
static gboolean
serve_with_permit (Receiver *receiver, struct fuse_buf *buf, guint *number)
{
  TtlReceivers *self = receiver->set;

  while (receive (self, buf))
    {
      const guint serving = (*number += 2) != 0 ? *number : (*number = 2);

      g_atomic_int_set (&receiver->state, serving);
      __atomic_store_n (&self->received, __atomic_load_n (&self->received, __ATOMIC_RELAXED) + 1,
                        __ATOMIC_RELAXED);
      if (g_atomic_int_get (&self->watcher_sleeps))
        wake_watcher (self);
      if (self->look (buf->mem, self->data))
        fuse_session_process_buf (self->session, buf);
      if (!g_atomic_int_compare_and_exchange (&receiver->state, serving, RECEIVING))
        return TRUE;
    }
  return FALSE;
}

/* Waits for a permit. FALSE: it is not needed any more. */
static gboolean
park_locked (TtlReceivers *self)
{
  struct timespec until;
  int res = 0;

  clock_gettime (CLOCK_MONOTONIC, &until);
  until.tv_sec += LINGER_S;
  self->parked++;
  while (self->permits == 0 && !self->ending && res != ETIMEDOUT)
    res = self->parked == 1 ? pthread_cond_wait (&self->permit, &self->lock)
                            : pthread_cond_timedwait (&self->permit, &self->lock, &until);
  self->parked--;
  if (self->permits == 0 || self->ending)
    return FALSE;
  self->permits--;
  return TRUE;
}

static gpointer
receiver_main (gpointer data)
{
  Receiver *receiver = data;
  TtlReceivers *self = receiver->set;
  struct fuse_buf buf = { 0 };
  guint number = 0;

  pthread_setname_np (pthread_self (), "ttlfs-serve");
  {
    TTL_LOCKED (&self->lock);
    while (park_locked (self))
      {
        gboolean more;

        pthread_mutex_unlock (&self->lock);
        g_atomic_int_set (&receiver->state, RECEIVING);
        more = serve_with_permit (receiver, &buf, &number);
        pthread_mutex_lock (&self->lock);
        if (!more)
          break;
      }
  }
  free (buf.mem);
  TTL_LOCKED (&self->lock);
  g_queue_unlink (&self->threads, &receiver->link);
  g_free (receiver);
  pthread_cond_broadcast (&self->gone);
  return NULL;
}

static gboolean
add_thread_locked (TtlReceivers *self)
{
  Receiver *receiver = g_new0 (Receiver, 1);
  pthread_attr_t detached;
  int res;

  receiver->set = self;
  receiver->link.data = receiver;
  receiver->state = REPLACED;
  pthread_attr_init (&detached);
  pthread_attr_setdetachstate (&detached, PTHREAD_CREATE_DETACHED);
  res = pthread_create (&receiver->thread, &detached, receiver_main, receiver);
  pthread_attr_destroy (&detached);
  if (res == 0)
    g_queue_push_tail_link (&self->threads, &receiver->link);
  else
    g_free (receiver);
  return res == 0;
}

/* ---- the watcher ---- */

/* Takes the permits of those who serve what they served at the last look. */
static guint
replace_slow_locked (TtlReceivers *self)
{
  guint taken = 0;

  for (GList *link = self->threads.head; link != NULL; link = link->next)
    {
      Receiver *receiver = link->data;
      const guint state = g_atomic_int_get (&receiver->state);

      if (state != RECEIVING && !(state & REPLACED) && state == receiver->seen
          && g_atomic_int_compare_and_exchange (&receiver->state, state, state | REPLACED))
        taken++;
      receiver->seen = state;
    }
  return taken;
}

static void
give_permits_locked (TtlReceivers *self, guint n)
{
  self->permits += n;
  for (; n > 0; n--)
    if (self->parked >= self->permits || self->threads.length >= THREADS_MAX
        || !add_thread_locked (self))
      pthread_cond_signal (&self->permit);
}

/* Somebody has been serving since the last look or longer, without having been replaced. */
static gboolean
somebody_serves_locked (TtlReceivers *self)
{
  for (GList *link = self->threads.head; link != NULL; link = link->next)
    {
      const guint state = g_atomic_int_get (&((Receiver *)link->data)->state);

      if (state != RECEIVING && !(state & REPLACED))
        return TRUE;
    }
  return FALSE;
}

static void
sleep_until_needed_locked (TtlReceivers *self)
{
  g_atomic_int_set (&self->watcher_sleeps, TRUE);
  /* One that was received before the thread could see that we sleep. */
  if (somebody_serves_locked (self))
    g_atomic_int_set (&self->watcher_sleeps, FALSE);
  while (g_atomic_int_get (&self->watcher_sleeps) && !self->ending)
    pthread_cond_wait (&self->wake, &self->lock);
}

static gpointer
watcher_main (gpointer data)
{
  TtlReceivers *self = data;
  const struct timespec tick = { .tv_nsec = TICK_NS };
  guint quiet = 0, received = 0, now;

  pthread_setname_np (pthread_self (), "ttlfs-watch");
  for (;;)
    {
      nanosleep (&tick, NULL);

      TTL_LOCKED (&self->lock);
      if (self->ending)
        return NULL;
      give_permits_locked (self, replace_slow_locked (self));
      now = __atomic_load_n (&self->received, __ATOMIC_RELAXED);
      quiet = now == received ? quiet + 1 : 0;
      received = now;
      if (quiet >= QUIET_TICKS)
        {
          sleep_until_needed_locked (self);
          quiet = 0;
        }
    }
}

/* ---- from beginning to end ---- */

static void
ignore (int signal G_GNUC_UNUSED)
{
}

static void
catch_wake_signal (void)
{
  struct sigaction action = { .sa_handler = ignore }; /* no SA_RESTART: the read must return */

  sigaction (WAKE_SIGNAL, &action, NULL);
}

/* Until a receiver has seen the end, or ttl_receivers_stop(). libfuse's own threads only set a flag. */
static void
wait_for_end_locked (TtlReceivers *self)
{
  while (!self->ending && !fuse_session_exited (self->session))
    (void)ttl_cond_wait_us (&self->gone, &self->lock, LOOK_S * G_USEC_PER_SEC);
}

/* Threads that sleep in the device are woken, again and again: the signal may come just before the read. */
static void
end_all_locked (TtlReceivers *self)
{
  self->ending = TRUE;
  pthread_cond_broadcast (&self->permit);
  pthread_cond_broadcast (&self->wake);
  while (self->threads.length > 0)
    {
      for (GList *link = self->threads.head; link != NULL; link = link->next)
        pthread_kill (((Receiver *)link->data)->thread, WAKE_SIGNAL);
      pthread_mutex_unlock (&self->lock);
      g_usleep (POKE_US);
      pthread_mutex_lock (&self->lock);
    }
}

int
ttl_receivers_run (TtlReceivers *self)
{
  pthread_t watcher;

  catch_wake_signal ();
  if (pthread_create (&watcher, NULL, watcher_main, self) != 0)
    return -EAGAIN;
  {
    TTL_LOCKED (&self->lock);
    give_permits_locked (self, MAX (g_get_num_processors () / 2, 1));
    if (self->threads.length > 0)
      wait_for_end_locked (self);
    else
      self->error = -EAGAIN;
    end_all_locked (self);
  }
  pthread_join (watcher, NULL);
  return g_atomic_int_get (&self->error);
}

void
ttl_receivers_stop (TtlReceivers *self)
{
  fuse_session_exit (self->session);
  TTL_LOCKED (&self->lock);
  pthread_cond_broadcast (&self->gone);
}

TtlReceivers *
ttl_receivers_new (struct fuse_session *session,
                   gboolean (*look) (const struct fuse_in_header *header, gpointer data),
                   gpointer data)
{
  TtlReceivers *self = g_new0 (TtlReceivers, 1);
  pthread_condattr_t monotonic;

  self->session = session;
  self->look = look;
  self->data = data;
  pthread_condattr_init (&monotonic);
  pthread_condattr_setclock (&monotonic, CLOCK_MONOTONIC);
  pthread_mutex_init (&self->lock, NULL);
  pthread_cond_init (&self->wake, &monotonic);
  pthread_cond_init (&self->permit, &monotonic);
  pthread_cond_init (&self->gone, &monotonic);
  pthread_condattr_destroy (&monotonic);
  g_queue_init (&self->threads);
  return self;
}

void
ttl_receivers_free (TtlReceivers *self)
{
  pthread_cond_destroy (&self->gone);
  pthread_cond_destroy (&self->permit);
  pthread_cond_destroy (&self->wake);
  pthread_mutex_destroy (&self->lock);
  g_free (self);
}
