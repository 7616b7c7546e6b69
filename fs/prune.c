#define G_LOG_DOMAIN "ttlfs"
#include "prune.h"

#include "batch.h"
#include "log.h"

#include <errno.h>
#include <linux/fuse.h>
#include <sys/uio.h>

#define COLLECT_US 10000 /* for others, and for the kernel to be done with what it closes */
#define IDS_MAX 65536    /* more than that are left to memory pressure */
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
  int device_fd; /* constant while the batch is started */
  TtlBatch *batch;
};

/* FALSE when the kernel knows nothing of it. */
static gboolean
tell (TtlPrune *self, const guint64 *ids, guint n)
{
  NotifyPrune prune = { .count = n };
  struct fuse_out_header header = { .error = NOTIFY_PRUNE };
  struct iovec parts[]
      = { { &header, sizeof header }, { &prune, sizeof prune }, { (void *)ids, n * sizeof *ids } };

  for (gsize i = 0; i < G_N_ELEMENTS (parts); i++)
    header.len += (guint32)parts[i].iov_len;
  if (writev (self->device_fd, parts, G_N_ELEMENTS (parts)) >= 0)
    return TRUE;
  return errno != EINVAL && errno != ENOSYS && errno != ENODEV;
}

static gboolean
take (const GArray *ids, gpointer data)
{
  gboolean knows = TRUE;

  for (guint i = 0; i < ids->len && knows; i += BATCH)
    knows = tell (data, &g_array_index (ids, guint64, i), MIN (BATCH, ids->len - i));
  if (!knows)
    ttl_debug ("this kernel takes no FUSE_NOTIFY_PRUNE; it forgets by itself when it needs memory");
  return knows;
}

TtlPrune *
ttl_prune_new (void)
{
  TtlPrune *self = g_new0 (TtlPrune, 1);

  self->batch = ttl_batch_new ("ttlfs-prune", COLLECT_US, IDS_MAX, take, self);
  return self;
}

void
ttl_prune_free (TtlPrune *self)
{
  ttl_batch_free (self->batch);
  g_free (self);
}

void
ttl_prune_start (TtlPrune *self, int device_fd)
{
  self->device_fd = device_fd;
  (void)ttl_batch_start (self->batch);
}

void
ttl_prune_stop (TtlPrune *self)
{
  ttl_batch_stop (self->batch);
}

void
ttl_prune_add (TtlPrune *self, guint64 id)
{
  ttl_batch_add (self->batch, id);
}
