#include <criterion/criterion.h>

#include "duration.h"
#include "lease.h"

Test (lease, is_live_until_just_before_its_deadline)
{
  cr_assert_not (ttl_lease_expired (ttl_lease_deadline (1000, 500), 1499));
}

Test (lease, has_expired_at_its_deadline)
{
  cr_assert (ttl_lease_expired (ttl_lease_deadline (1000, 500), 1500));
}

Test (lease, stays_expired_after_its_deadline)
{
  cr_assert (ttl_lease_expired (ttl_lease_deadline (1000, 500), G_MAXINT64));
}

Test (lease, can_end_at_the_last_nanosecond_before_never)
{
  TtlDeadline deadline = ttl_lease_deadline (G_MAXINT64 - 501, 500);

  cr_assert_eq (deadline, G_MAXINT64 - 1);
  cr_assert (ttl_lease_expired (deadline, G_MAXINT64 - 1));
}

Test (lease, never_ends_when_the_sum_does_not_fit)
{
  cr_assert_eq (ttl_lease_deadline (G_MAXINT64 - 500, 501), TTL_DEADLINE_NEVER);
  cr_assert_eq (ttl_lease_deadline (G_MAXINT64, G_MAXINT64 - 1), TTL_DEADLINE_NEVER);
}

Test (lease, never_ends_with_an_infinite_ttl)
{
  cr_assert_eq (ttl_lease_deadline (0, TTL_DURATION_INF), TTL_DEADLINE_NEVER);
  cr_assert_eq (ttl_lease_deadline (1, TTL_DURATION_INF), TTL_DEADLINE_NEVER);
}

Test (lease, never_ends_with_an_infinite_ttl_on_a_file_from_before_the_epoch)
{
  cr_assert_eq (ttl_lease_deadline (-1, TTL_DURATION_INF), TTL_DEADLINE_NEVER);
  cr_assert_eq (ttl_lease_deadline (G_MININT64, TTL_DURATION_INF), TTL_DEADLINE_NEVER);
}

Test (lease, can_have_ended_before_the_epoch)
{
  cr_assert_eq (ttl_lease_deadline (-1000, 500), -500);
  cr_assert_eq (ttl_lease_deadline (G_MININT64, 1), G_MININT64 + 1);
}

Test (lease, that_never_ends_is_live_at_the_end_of_time)
{
  cr_assert_not (ttl_lease_expired (TTL_DEADLINE_NEVER, G_MAXINT64));
}

Test (lease, takes_a_future_mtime_as_wanted)
{
  cr_assert_eq (ttl_lease_mtime (2000, 500, 1000), 2000);
}

Test (lease, takes_a_past_mtime_as_wanted_while_it_leaves_one_nanosecond)
{
  cr_assert_eq (ttl_lease_mtime (501, 500, 1000), 501);
}

Test (lease, renews_to_now_where_a_past_mtime_would_end_it)
{
  cr_assert_eq (ttl_lease_mtime (500, 500, 1000), 1000);
  cr_assert_eq (ttl_lease_mtime (0, 500, 1000), 1000);
  cr_assert_eq (ttl_lease_mtime (G_MININT64, 500, 1000), 1000);
}

Test (lease, takes_any_past_mtime_when_it_is_infinite)
{
  cr_assert_eq (ttl_lease_mtime (0, TTL_DURATION_INF, 1000), 0);
  cr_assert_eq (ttl_lease_mtime (-1, TTL_DURATION_INF, 1000), -1);
}
