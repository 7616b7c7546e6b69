#include "batch.h"

#include "cleanup.h"

#include <pthread.h>

struct TtlBatch
{
  const char *name;
  gulong wait_us;
  guint most;
  TtlBatchTake take;
  gpointer data;
  pthread_t thread;
  pthread_mutex_t lock; /* leaf; guards all below */
  pthread_cond_t wake;
  GHashTable *ids; /* set of guint64 */
  gboolean running;
  gboolean unwanted; /* take() has said so */
};

TtlBatch *
ttl_batch_new (const char *name, gulong wait_us, guint most, TtlBatchTake take, gpointer data)
{
  TtlBatch *self = g_new0 (TtlBatch, 1);

  self->name = name;
  self->wait_us = wait_us;
  self->most = most;
  self->take = take;
  self->data = data;
  pthread_mutex_init (&self->lock, NULL);
  pthread_cond_init (&self->wake, NULL);
  self->ids = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  return self;
}

void
ttl_batch_free (TtlBatch *self)
{
  ttl_batch_stop (self);
  g_hash_table_unref (self->ids);
  pthread_cond_destroy (&self->wake);
  pthread_mutex_destroy (&self->lock);
  g_free (self);
}

static GArray *
empty_locked (TtlBatch *self)
{
  GArray *ids = g_array_sized_new (FALSE, FALSE, sizeof (guint64), g_hash_table_size (self->ids));
  GHashTableIter iter;
  gpointer id;

  g_hash_table_iter_init (&iter, self->ids);
  while (g_hash_table_iter_next (&iter, &id, NULL))
    g_array_append_vals (ids, id, 1);
  g_hash_table_remove_all (self->ids);
  return ids;
}

/* What has come, or NULL when it is time to go. */
static GArray *
collect (TtlBatch *self)
{
  {
    TTL_LOCKED (&self->lock);
    while (self->running && g_hash_table_size (self->ids) == 0)
      pthread_cond_wait (&self->wake, &self->lock);
    if (!self->running)
      return NULL;
  }
  g_usleep (self->wait_us); /* for others */
  TTL_LOCKED (&self->lock);
  return empty_locked (self);
}

static gpointer
batch_main (gpointer data)
{
  TtlBatch *self = data;
  gboolean wanted = TRUE;
  GArray *ids;

  pthread_setname_np (pthread_self (), self->name);
  while (wanted && (ids = collect (self)) != NULL)
    {
      wanted = self->take (ids, self->data);
      g_array_unref (ids);
    }
  TTL_LOCKED (&self->lock);
  self->unwanted = !wanted;
  g_hash_table_remove_all (self->ids);
  return NULL;
}

gboolean
ttl_batch_start (TtlBatch *self)
{
  TTL_LOCKED (&self->lock); /* ids may come in already, and the thread waits for it */

  self->running = pthread_create (&self->thread, NULL, batch_main, self) == 0;
  return self->running;
}

void
ttl_batch_stop (TtlBatch *self)
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
ttl_batch_add (TtlBatch *self, guint64 id)
{
  TTL_LOCKED (&self->lock);

  if (!self->running || self->unwanted
      || (self->most != 0 && g_hash_table_size (self->ids) >= self->most))
    return;
  g_hash_table_add (self->ids, g_memdup2 (&id, sizeof id));
  if (g_hash_table_size (self->ids) == 1)
    pthread_cond_signal (&self->wake);
}
