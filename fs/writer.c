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
  self->process = ttl_caller_leader (opener);
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
  if (tid <= 0)
    return FALSE;
  if (tid == self->opener || tid == self->process)
    return TRUE;
  if (*process_inout == 0)
    *process_inout = ttl_caller_process (tid);
  return self->process != 0 && self->process == *process_inout;
}

void
ttl_writer_changed (TtlWriter *self, pid_t tid)
{
  if (tid > 0)
    self->last = tid;
}
