#include "clock.h"

#include <time.h>

struct TtlClock
{
  gboolean manual; /* set in new(), constant after */
  /* Of a manual clock only. Atomic, because a test turns it while the code under test reads it. */
  gint64 now_ns;
  gint64 monotonic_ns;
};

static gint64
read_machine (clockid_t id)
{
  struct timespec ts;
  int r = clock_gettime (id, &ts);

  /* Both clocks always exist on Linux. */
  g_assert (r == 0);
  return ts.tv_sec * TTL_NS_PER_S + ts.tv_nsec;
}

TtlClock *
ttl_clock_new (void)
{
  return g_new0 (TtlClock, 1);
}

TtlClock *
ttl_clock_new_manual (gint64 now_ns)
{
  TtlClock *self = g_new0 (TtlClock, 1);

  self->manual = TRUE;
  self->now_ns = now_ns;
  return self;
}

void
ttl_clock_free (TtlClock *self)
{
  g_free (self);
}

gint64
ttl_clock_now (const TtlClock *self)
{
  if (!self->manual)
    return read_machine (CLOCK_REALTIME);
  return __atomic_load_n (&self->now_ns, __ATOMIC_SEQ_CST);
}

gint64
ttl_clock_monotonic (const TtlClock *self)
{
  if (!self->manual)
    return read_machine (CLOCK_MONOTONIC);
  return __atomic_load_n (&self->monotonic_ns, __ATOMIC_SEQ_CST);
}

void
ttl_clock_set (TtlClock *self, gint64 now_ns)
{
  g_return_if_fail (self->manual);

  __atomic_store_n (&self->now_ns, now_ns, __ATOMIC_SEQ_CST);
}

void
ttl_clock_advance (TtlClock *self, gint64 by_ns)
{
  g_return_if_fail (self->manual);
  g_return_if_fail (by_ns >= 0); /* going back is a step of the wall clock: ttl_clock_set() */

  __atomic_fetch_add (&self->now_ns, by_ns, __ATOMIC_SEQ_CST);
  __atomic_fetch_add (&self->monotonic_ns, by_ns, __ATOMIC_SEQ_CST);
}
