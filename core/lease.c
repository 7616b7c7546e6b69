#include "lease.h"

#include "duration.h"

TtlDeadline
ttl_lease_deadline (gint64 renewed_ns, gint64 ttl_ns)
{
  TtlDeadline deadline;

  /* Should we ever pass nonsense, err on the side that destroys nothing. */
  g_return_val_if_fail (ttl_ns >= 0, TTL_DEADLINE_NEVER);

  /* "inf" is asked for by name: added to an mtime before 1970 it would come out finite. */
  if (ttl_ns == TTL_DURATION_INF || __builtin_add_overflow (renewed_ns, ttl_ns, &deadline))
    return TTL_DEADLINE_NEVER;
  return deadline;
}

gboolean
ttl_lease_expired (TtlDeadline deadline, gint64 now_ns)
{
  return deadline != TTL_DEADLINE_NEVER && now_ns >= deadline;
}

gint64
ttl_lease_mtime (gint64 wanted_ns, gint64 ttl_ns, gint64 now_ns)
{
  return ttl_lease_expired (ttl_lease_deadline (wanted_ns, ttl_ns), now_ns) ? now_ns : wanted_ns;
}
