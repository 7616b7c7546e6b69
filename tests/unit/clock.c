#include <criterion/criterion.h>

#include "clock.h"

Test (clock, reads_the_machines_wall_clock)
{
  g_autoptr (TtlClock) clock = ttl_clock_new ();
  gint64 before_ns = g_get_real_time () * 1000;
  gint64 now_ns = ttl_clock_now (clock);
  gint64 after_ns = (g_get_real_time () + 1) * 1000;

  cr_assert (before_ns <= now_ns && now_ns <= after_ns);
}

Test (clock, reads_the_machines_monotonic_clock)
{
  g_autoptr (TtlClock) clock = ttl_clock_new ();
  gint64 before_ns = g_get_monotonic_time () * 1000;
  gint64 now_ns = ttl_clock_monotonic (clock);
  gint64 after_ns = (g_get_monotonic_time () + 1) * 1000;

  cr_assert (before_ns <= now_ns && now_ns <= after_ns);
}

Test (clock, never_goes_back_on_its_monotonic_side)
{
  g_autoptr (TtlClock) clock = ttl_clock_new ();
  gint64 last_ns = ttl_clock_monotonic (clock);
  gboolean went_back = FALSE;

  for (int i = 0; i < 10000; i++)
    {
      gint64 now_ns = ttl_clock_monotonic (clock);

      went_back |= now_ns < last_ns;
      last_ns = now_ns;
    }
  cr_assert_not (went_back);
}

Test (clock, stands_where_it_was_put_when_turned_by_hand)
{
  g_autoptr (TtlClock) clock = ttl_clock_new_manual (1234);

  cr_assert_eq (ttl_clock_now (clock), 1234);
  cr_assert_eq (ttl_clock_now (clock), 1234);
}

Test (clock, counts_advances_from_zero_on_its_monotonic_side)
{
  g_autoptr (TtlClock) clock = ttl_clock_new_manual (1234);

  cr_assert_eq (ttl_clock_monotonic (clock), 0);
  ttl_clock_advance (clock, 1);
  ttl_clock_advance (clock, TTL_NS_PER_S);
  cr_assert_eq (ttl_clock_monotonic (clock), TTL_NS_PER_S + 1);
}

Test (clock, moves_the_wall_clock_by_an_advance)
{
  g_autoptr (TtlClock) clock = ttl_clock_new_manual (1000);

  ttl_clock_advance (clock, TTL_NS_PER_MS);
  cr_assert_eq (ttl_clock_now (clock), TTL_NS_PER_MS + 1000);
}

Test (clock, steps_the_wall_clock_alone_when_set)
{
  g_autoptr (TtlClock) clock = ttl_clock_new_manual (1000);

  ttl_clock_advance (clock, 7);
  ttl_clock_set (clock, 5);
  cr_assert_eq (ttl_clock_now (clock), 5);
  cr_assert_eq (ttl_clock_monotonic (clock), 7);
}

Test (clock, can_stand_before_the_epoch)
{
  g_autoptr (TtlClock) clock = ttl_clock_new_manual (-1);

  cr_assert_eq (ttl_clock_now (clock), -1);
}
