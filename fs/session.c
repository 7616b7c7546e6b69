#define G_LOG_DOMAIN "ttlfs"
#include "session.h"

#include "log.h"
#include "mounts.h"
#include "ops-ordered.h"
#include "receivers.h"
#include "uring.h"

#include <gio/gio.h>
#include <linux/fuse.h>

struct TtlSession
{
  struct fuse_session *fuse;
  TtlFs *fs; /* borrowed */
  TtlReceivers *receivers;
  gboolean insists; /* on io_uring */
  char *obstacle;   /* to io_uring; NULL: none */
  void (*ready) (gpointer data);
  gpointer ready_data;
};

/* ---- io_uring ---- */

/* Takes the decision, in the kernel's greeting. */
static void
greeted (gpointer data)
{
  TtlSession *self = data;

  if (self->obstacle == NULL && !self->fs->uring_offered)
    self->obstacle = g_strdup ("the kernel does not offer it");
  self->fs->over_uring = self->obstacle == NULL;
  if (self->insists && !self->fs->over_uring)
    {
      fuse_session_exit (self->fuse);
      return;
    }
  if (self->ready != NULL)
    self->ready (self->ready_data);
  if (self->fs->over_uring)
    g_message ("serving over io_uring");
  else
    g_message ("serving over /dev/fuse: %s", self->obstacle);
}

static gboolean
may_come_by_device (guint32 opcode)
{
  switch (opcode)
    {
    case FUSE_INIT:
    case FUSE_DESTROY:
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT:
      return TRUE;
    default:
      return FALSE;
    }
}

/* Over io_uring libfuse does not know whom an interrupt is for. */
static gboolean
look (const struct fuse_in_header *header, gpointer data)
{
  TtlSession *self = data;

  if (!self->fs->over_uring)
    return TRUE;
  if (header->opcode == FUSE_INTERRUPT)
    {
      (void)ttl_helpers_do (self->fs->helpers, ttl_fs_end_interrupted_waits, self->fs);
      return FALSE;
    }
  if (!may_come_by_device (header->opcode))
    ttl_debug ("opcode %u came by the device", header->opcode);
  return TRUE;
}

static void
ask_for_uring (struct fuse_args *args)
{
  g_autofree char *words = g_strdup_printf ("-oio_uring,io_uring_q_depth=%u", ttl_uring_depth ());

  fuse_opt_add_arg (args, words);
}

static char *
find_obstacle (TtlTransport transport)
{
  return transport == TTL_TRANSPORT_DEVICE ? g_strdup ("io_uring=off") : ttl_uring_obstacle ();
}

/* ---- the session ---- */

gboolean
ttl_session_run (TtlSession *self, GError **error)
{
  int res;

  ttl_prune_start (self->fs->prune, fuse_session_fd (self->fuse));
  if (!self->fs->no_cache)
    ttl_promises_start (self->fs->promises, self->fuse);
  res = ttl_receivers_run (self->receivers);
  ttl_order_end (self->fs->order);
  ttl_helpers_close (self->fs->helpers); /* while what they reply to is still there */
  ttl_fs_end_waits (self->fs);
  /* The session is over, and so this loop does nothing but end libfuse's threads, for which there is no other call. */
  if (self->fs->over_uring)
    (void)fuse_session_loop (self->fuse);
  ttl_promises_stop (self->fs->promises);
  ttl_prune_stop (self->fs->prune);
  if (self->insists && !self->fs->over_uring)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED, "io_uring=on: %s",
                 self->obstacle != NULL ? self->obstacle
                                        : "unmounted before the kernel said a word");
  else if (res < 0)
    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (-res),
                 "the kernel ended the session: %s", g_strerror (-res));
  else
    return TRUE;
  return FALSE;
}

void
ttl_session_stop (TtlSession *self)
{
  ttl_receivers_stop (self->receivers);
}

TtlSession *
ttl_session_new (struct fuse_args *args, const char *mountpoint, TtlFs *fs, TtlTransport transport,
                 GError **error)
{
  g_autofree char *obstacle = find_obstacle (transport);
  const struct fuse_lowlevel_ops ops = ttl_ordered_ops ();
  TtlSession *self;
  struct fuse_session *fuse;

  if (obstacle != NULL && transport == TTL_TRANSPORT_URING)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED, "io_uring=on: %s", obstacle);
      return NULL;
    }
  if (obstacle == NULL)
    ask_for_uring (args);
  fuse = fuse_session_new (args, &ops, sizeof ops, fs);
  if (fuse == NULL || fuse_session_mount (fuse, mountpoint) != 0)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED,
                   "%s: cannot mount there; the lines above say why. Is /dev/fuse there, and may "
                   "you use it?",
                   mountpoint);
      if (fuse != NULL)
        fuse_session_destroy (fuse);
      return NULL;
    }
  self = g_new0 (TtlSession, 1);
  self->fuse = fuse;
  self->fs = fs;
  fs->dev = ttl_mount_device_at (mountpoint);
  self->insists = transport == TTL_TRANSPORT_URING;
  self->obstacle = g_steal_pointer (&obstacle);
  self->receivers = ttl_receivers_new (fuse, look, self);
  self->ready = fs->ready;
  self->ready_data = fs->ready_data;
  fs->ready = greeted;
  fs->ready_data = self;
  fs->helpers = ttl_helpers_new ();
  return self;
}

void
ttl_session_free (TtlSession *self)
{
  fuse_session_unmount (self->fuse);
  fuse_session_destroy (self->fuse);
  ttl_helpers_free (g_steal_pointer (&self->fs->helpers));
  ttl_receivers_free (self->receivers);
  g_free (self->obstacle);
  g_free (self);
}
