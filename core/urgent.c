#define G_LOG_DOMAIN "ttlfs"
#include "urgent.h"

#include <sched.h>

TtlUrgent
ttl_urgent_begin (void)
{
  const struct sched_param lowest = { .sched_priority = sched_get_priority_min (SCHED_FIFO) };

  return sched_getscheduler (0) == SCHED_OTHER && sched_setscheduler (0, SCHED_FIFO, &lowest) == 0;
}

void
ttl_urgent_end (TtlUrgent *self)
{
  const struct sched_param none = { 0 };

  if (*self)
    (void)sched_setscheduler (0, SCHED_OTHER, &none);
  *self = FALSE;
}

gboolean
ttl_urgent_is_possible (void)
{
  g_auto (TtlUrgent) urgent = ttl_urgent_begin ();

  return urgent;
}
