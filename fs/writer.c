#include "writer.h"

#include "caller.h"

TtlWriter *
ttl_writer_new (TtlDraft *draft, pid_t opener)
{
  TtlWriter *self = g_new0 (TtlWriter, 1);

  self->refs = 1;
  pthread_mutex_init (&self->lock, NULL);
  self->draft = draft;
  self->opener = opener;
  return self;
}

TtlWriter *
ttl_writer_ref (TtlWriter *self)
{
  g_atomic_int_inc (&self->refs);
  return self;
}

void
ttl_writer_unref (TtlWriter *self)
{
  if (!g_atomic_int_dec_and_test (&self->refs))
    return;
  ttl_draft_free (self->draft);
  pthread_mutex_destroy (&self->lock);
  g_free (self);
}

gboolean
ttl_writer_is_of (TtlWriter *self, pid_t tid, pid_t *process_inout)
{
  gint mine;

  if (tid <= 0)
    return FALSE;
  if (tid == self->opener)
    return TRUE;
  mine = g_atomic_int_get (&self->opener_process);
  if (mine == 0)
    {
      mine = ttl_caller_process (self->opener);
      g_atomic_int_set (&self->opener_process, mine);
    }
  if (*process_inout == 0)
    *process_inout = ttl_caller_process (tid);
  return mine != 0 && mine == *process_inout;
}

void
ttl_writer_changed (TtlWriter *self, pid_t tid)
{
  if (tid > 0)
    self->last = tid;
}
