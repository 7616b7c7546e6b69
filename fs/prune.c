#define G_LOG_DOMAIN "ttlfs"
#include "prune.h"

#include "cleanup.h"
#include "log.h"

#include <linux/fuse.h>
#include <sys/uio.h>

#define COLLECT_US 10000
#define IDS_MAX 65536 /* more than that are left to memory pressure */
#define BATCH 256

/* As the kernel has them since protocol 7.45; <linux/fuse.h> may be older. */
#define NOTIFY_PRUNE 9

typedef struct
{
  guint32 count;
  guint32 padding;
  guint64 spare;
} NotifyPrune;

struct TtlPrune
{
  pthread_t thread;
  int device_fd;        /* constant while the thread runs */
  pthread_mutex_t lock; /* leaf; guards all below */
  pthread_cond_t wake;
  GArray *ids;
  gboolean running;
};

TtlPrune *
ttl_prune_new (void)
{
  TtlPrune *self = g_new0 (TtlPrune, 1);

  pthread_mutex_init (&self->lock, NULL);
  pthread_cond_init (&self->wake, NULL);
  self->ids = g_array_new (FALSE, FALSE, sizeof (guint64));
  return self;
}

void
ttl_prune_free (TtlPrune *self)
{
  ttl_prune_stop (self);
  g_array_unref (self->ids);
  pthread_cond_destroy (&self->wake);
  pthread_mutex_destroy (&self->lock);
  g_free (self);
}

/* What has been collected, or NULL when it is time to go. */
static GArray *
collect (TtlPrune *self)
{
  GArray *ids;

  {
    TTL_LOCKED (&self->lock);
    while (self->running && self->ids->len == 0)
      pthread_cond_wait (&self->wake, &self->lock);
    if (!self->running)
      return NULL;
  }
  g_usleep (COLLECT_US); /* for others, and for the kernel to be done with what it closes */
  TTL_LOCKED (&self->lock);
  ids = self->ids;
  self->ids = g_array_new (FALSE, FALSE, sizeof (guint64));
  return ids;
}

/* FALSE when the kernel knows nothing of it. */
static gboolean
tell (TtlPrune *self, guint64 *ids, guint n)
{
  NotifyPrune prune = { .count = n };
  struct fuse_out_header header = { .error = NOTIFY_PRUNE };
  struct iovec parts[]
      = { { &header, sizeof header }, { &prune, sizeof prune }, { ids, n * sizeof *ids } };

  for (gsize i = 0; i < G_N_ELEMENTS (parts); i++)
    header.len += (guint32)parts[i].iov_len;
  if (writev (self->device_fd, parts, G_N_ELEMENTS (parts)) >= 0)
    return TRUE;
  return errno != EINVAL && errno != ENOSYS && errno != ENODEV;
}

static gpointer
prune_main (gpointer data)
{
  TtlPrune *self = data;
  gboolean knows = TRUE;
  GArray *ids;

  pthread_setname_np (pthread_self (), "ttlfs-prune");
  while (knows && (ids = collect (self)) != NULL)
    {
      for (guint i = 0; i < ids->len && knows; i += BATCH)
        knows = tell (self, &g_array_index (ids, guint64, i), MIN (BATCH, ids->len - i));
      g_array_unref (ids);
    }
  if (!knows)
    ttl_debug ("this kernel takes no FUSE_NOTIFY_PRUNE; it forgets by itself when it needs memory");
  return NULL;
}

void
ttl_prune_start (TtlPrune *self, int device_fd)
{
  TTL_LOCKED (&self->lock); /* ids may come in already, and the thread waits for it */

  self->device_fd = device_fd;
  self->running = TRUE;
  self->running = pthread_create (&self->thread, NULL, prune_main, self) == 0;
}

void
ttl_prune_stop (TtlPrune *self)
{
  {
    TTL_LOCKED (&self->lock);
    if (!self->running)
      return;
    self->running = FALSE;
    pthread_cond_signal (&self->wake);
  }
  pthread_join (self->thread, NULL);
}

void
ttl_prune_add (TtlPrune *self, guint64 id)
{
  TTL_LOCKED (&self->lock);

  if (!self->running || self->ids->len >= IDS_MAX)
    return;
  g_array_append_val (self->ids, id);
  if (self->ids->len == 1)
    pthread_cond_signal (&self->wake);
}
