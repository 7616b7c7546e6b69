#define G_LOG_DOMAIN "ttlfs"
#include "session.h"

#include "cleanup.h"
#include "log.h"

#include <gio/gio.h>
#include <linux/fuse.h>
#include <signal.h>
#include <stdlib.h>

#define WAKE_SIGNAL SIGUSR1 /* interrupts a read from the device */
#define POKE_US 20000

typedef struct
{
  pthread_mutex_t lock;
  pthread_cond_t served;
  GQueue
      pending; /* sequence numbers of RELEASEs taken and not served, ascending; guarded by lock */
  guint64 sequence; /* of the one taken last; guarded by lock */
} Order;

struct TtlSession
{
  struct fuse_session *fuse;
  TtlFs *fs;              /* borrowed */
  pthread_mutex_t taking; /* held by the one thread that reads the device */
  Order order;
  gint error;   /* atomic; the first error of the device */
  gint running; /* atomic; threads that have not returned */
};

/* ---- order ---- */

/* What a request must wait for, and what waits for it; 0: nothing. */
typedef struct
{
  guint64 after;
  guint64 own;
} Turn;

static gboolean
never_waits (guint32 opcode)
{
  switch (opcode)
    {
    case FUSE_READ:
    case FUSE_WRITE:
    case FUSE_FLUSH:
    case FUSE_RELEASE:
    case FUSE_RELEASEDIR:
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT:
    case FUSE_INIT:
    case FUSE_DESTROY:
      return TRUE;
    default:
      return FALSE;
    }
}

/* Called by the thread that has just taken @buf and before the next request is taken. */
static Turn
take_turn (Order *order, const struct fuse_buf *buf)
{
  const struct fuse_in_header *header = buf->mem;
  const struct fuse_release_in *release = (const void *)(header + 1);
  Turn turn = { 0, 0 };

  if (buf->size < sizeof *header)
    return turn;
  if (header->opcode == FUSE_RELEASE && buf->size >= sizeof *header + sizeof *release)
    {
      TtlHandle *handle
          = (TtlHandle *)(uintptr_t)release->fh; /* NOLINT(performance-no-int-to-ptr) */

      if (handle != NULL && ttl_handle_is_awaited (handle))
        {
          TTL_LOCKED (&order->lock);
          turn.own = ++order->sequence;
          g_queue_push_tail (&order->pending, GSIZE_TO_POINTER (turn.own));
        }
    }
  else if (!never_waits (header->opcode))
    {
      TTL_LOCKED (&order->lock);
      turn.after = order->pending.length > 0 ? order->sequence : 0;
    }
  return turn;
}

static void
wait_turn (Order *order, Turn turn)
{
  if (turn.after == 0)
    return;

  TTL_LOCKED (&order->lock);
  while (order->pending.length > 0 && GPOINTER_TO_SIZE (order->pending.head->data) <= turn.after)
    pthread_cond_wait (&order->served, &order->lock);
}

static void
end_turn (Order *order, Turn turn)
{
  if (turn.own == 0)
    return;

  TTL_LOCKED (&order->lock);
  g_queue_remove (&order->pending, GSIZE_TO_POINTER (turn.own));
  pthread_cond_broadcast (&order->served);
}

/* ---- threads ---- */

/* One request, or FALSE when it is time to go. */
static gboolean
take (TtlSession *self, struct fuse_buf *buf, Turn *turn_out)
{
  TTL_LOCKED (&self->taking);

  for (;;)
    {
      int res;

      if (fuse_session_exited (self->fuse))
        return FALSE;
      res = fuse_session_receive_buf (self->fuse, buf);
      if (res == -EINTR || res == -EAGAIN)
        continue;
      if (res < 0)
        g_atomic_int_compare_and_exchange (&self->error, 0, res);
      if (res <= 0)
        {
          fuse_session_exit (self->fuse);
          return FALSE;
        }
      *turn_out = take_turn (&self->order, buf);
      return TRUE;
    }
}

static gpointer
serve (gpointer data)
{
  TtlSession *self = data;
  struct fuse_buf buf = { 0 };
  Turn turn;

  pthread_setname_np (pthread_self (), "ttlfs-serve");
  while (take (self, &buf, &turn))
    {
      wait_turn (&self->order, turn);
      fuse_session_process_buf (self->fuse, &buf);
      end_turn (&self->order, turn);
    }
  free (buf.mem);
  g_atomic_int_dec_and_test (&self->running);
  return NULL;
}

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

/* Waits for the end. Threads that sleep in the device are woken, again and again: the signal may come just before the
 * read. */
static void
join_all (TtlSession *self, pthread_t *threads, guint n)
{
  while (!fuse_session_exited (self->fuse))
    g_usleep (POKE_US);
  while (g_atomic_int_get (&self->running) > 0)
    {
      for (guint i = 0; i < n; i++)
        pthread_kill (threads[i], WAKE_SIGNAL);
      g_usleep (POKE_US);
    }
  for (guint i = 0; i < n; i++)
    pthread_join (threads[i], NULL);
}

int
ttl_session_run (TtlSession *self, guint threads)
{
  g_autofree pthread_t *ids = g_new0 (pthread_t, threads);
  guint started = 0;

  catch_wake_signal ();
  for (; started < threads; started++)
    {
      g_atomic_int_inc (&self->running);
      if (pthread_create (&ids[started], NULL, serve, self) != 0)
        {
          g_atomic_int_dec_and_test (&self->running);
          break;
        }
    }
  if (started == 0)
    return -EAGAIN;
  ttl_prune_start (self->fs->prune, fuse_session_fd (self->fuse));
  join_all (self, ids, started);
  ttl_prune_stop (self->fs->prune);
  return g_atomic_int_get (&self->error);
}

void
ttl_session_stop (TtlSession *self)
{
  fuse_session_exit (self->fuse);
}

TtlSession *
ttl_session_new (struct fuse_args *args, const char *mountpoint, TtlFs *fs, GError **error)
{
  TtlSession *self = g_new0 (TtlSession, 1);

  self->fs = fs;
  pthread_mutex_init (&self->taking, NULL);
  pthread_mutex_init (&self->order.lock, NULL);
  pthread_cond_init (&self->order.served, NULL);
  g_queue_init (&self->order.pending);
  self->fuse = fuse_session_new (args, &ttl_fs_ops, sizeof ttl_fs_ops, fs);
  if (self->fuse != NULL && fuse_session_mount (self->fuse, mountpoint) == 0)
    return self;
  g_set_error (
      error, G_IO_ERROR, G_IO_ERROR_FAILED,
      "%s: cannot mount there; the lines above say why. Is /dev/fuse there, and may you use it?",
      mountpoint);
  if (self->fuse != NULL)
    fuse_session_destroy (self->fuse);
  g_free (self);
  return NULL;
}

void
ttl_session_free (TtlSession *self)
{
  fuse_session_unmount (self->fuse);
  fuse_session_destroy (self->fuse);
  g_queue_clear (&self->order.pending);
  pthread_cond_destroy (&self->order.served);
  pthread_mutex_destroy (&self->order.lock);
  pthread_mutex_destroy (&self->taking);
  g_free (self);
}
