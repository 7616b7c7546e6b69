#define G_LOG_DOMAIN "ttlfs"
#include "helpers.h"

#include "cleanup.h"

#include <pthread.h>
#include <sched.h>

#define THREADS_MAX 64

typedef struct
{
  void (*work) (gpointer data);
  gpointer data;
} Task;

struct TtlHelpers
{
  cpu_set_t cpus;       /* a thread of libfuse's that hands work over may be bound to one */
  pthread_mutex_t lock; /* leaf; guards all below */
  pthread_cond_t wake;
  pthread_cond_t gone;
  GQueue tasks;
  guint threads, idle;
  gboolean ending;
};

TtlHelpers *
ttl_helpers_new (void)
{
  TtlHelpers *self = g_new0 (TtlHelpers, 1);

  if (sched_getaffinity (0, sizeof self->cpus, &self->cpus) < 0)
    CPU_ZERO (&self->cpus);
  pthread_mutex_init (&self->lock, NULL);
  pthread_cond_init (&self->wake, NULL);
  pthread_cond_init (&self->gone, NULL);
  g_queue_init (&self->tasks);
  return self;
}

void
ttl_helpers_close (TtlHelpers *self)
{
  TTL_LOCKED (&self->lock);

  self->ending = TRUE;
  pthread_cond_broadcast (&self->wake);
  while (self->threads > 0)
    pthread_cond_wait (&self->gone, &self->lock);
}

void
ttl_helpers_free (TtlHelpers *self)
{
  pthread_cond_destroy (&self->gone);
  pthread_cond_destroy (&self->wake);
  pthread_mutex_destroy (&self->lock);
  g_free (self);
}

/* NULL: it is time to go. */
static Task *
next_locked (TtlHelpers *self)
{
  self->idle++;
  while (self->tasks.length == 0 && !self->ending)
    pthread_cond_wait (&self->wake, &self->lock);
  self->idle--;
  return g_queue_pop_head (&self->tasks);
}

static gpointer
help (gpointer data)
{
  TtlHelpers *self = data;
  Task *task;

  pthread_setname_np (pthread_self (), "ttlfs-help");
  if (CPU_COUNT (&self->cpus) > 0)
    (void)sched_setaffinity (0, sizeof self->cpus, &self->cpus);

  TTL_LOCKED (&self->lock);
  while ((task = next_locked (self)) != NULL)
    {
      pthread_mutex_unlock (&self->lock);
      task->work (task->data);
      g_free (task);
      pthread_mutex_lock (&self->lock);
    }
  self->threads--;
  pthread_cond_signal (&self->gone);
  return NULL;
}

static void
add_thread_locked (TtlHelpers *self)
{
  pthread_attr_t detached;
  pthread_t thread;

  pthread_attr_init (&detached);
  pthread_attr_setdetachstate (&detached, PTHREAD_CREATE_DETACHED);
  if (pthread_create (&thread, &detached, help, self) == 0)
    self->threads++;
  pthread_attr_destroy (&detached);
}

gboolean
ttl_helpers_do (TtlHelpers *self, void (*work) (gpointer data), gpointer data)
{
  Task *task;

  TTL_LOCKED (&self->lock);
  if (self->ending)
    return FALSE;
  if (self->tasks.length >= self->idle && self->threads < THREADS_MAX)
    add_thread_locked (self);
  if (self->threads == 0)
    return FALSE;
  task = g_new (Task, 1);
  *task = (Task){ work, data };
  g_queue_push_tail (&self->tasks, task);
  pthread_cond_signal (&self->wake);
  return TRUE;
}
