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

/* ---- steps ---- */

#define S TTL_NS_PER_S
#define HOUR (3600 * S)

Test (clock, moves_what_was_renewed_before_a_step_forward_along)
{
  g_autoptr (TtlClock) clock = ttl_clock_new_manual (1000 * S);

  ttl_clock_advance (clock, 5 * S);
  ttl_clock_set (clock, 1005 * S + HOUR);
  cr_expect_eq (ttl_clock_now (clock), 1005 * S + HOUR);
  cr_expect_eq (ttl_clock_in_present (clock, 1001 * S, 1001 * S), 1001 * S + HOUR);
  cr_expect_eq (ttl_clock_in_present (clock, 1006 * S + HOUR, 1006 * S + HOUR), 1006 * S + HOUR);
  cr_expect_eq (ttl_clock_in_present (clock, 1001 * S, 1006 * S + HOUR), 1001 * S + HOUR,
                "another mode does not renew");
  cr_expect_eq (ttl_clock_jumps (clock), 1);
}

Test (clock, moves_what_was_renewed_before_a_step_back_along)
{
  g_autoptr (TtlClock) clock = ttl_clock_new_manual (10000 * S);

  ttl_clock_set (clock, 10000 * S - HOUR);
  cr_expect_eq (ttl_clock_now (clock), 10000 * S - HOUR);
  cr_expect_eq (ttl_clock_in_present (clock, 9999 * S, 9999 * S), 9999 * S - HOUR);
  ttl_clock_advance (clock, 5 * S);
  cr_expect_eq (ttl_clock_in_present (clock, 10003 * S - HOUR, 10003 * S - HOUR), 10003 * S - HOUR);
  cr_expect_eq (ttl_clock_jumps (clock), 1);
}

Test (clock, knows_which_of_several_steps_a_time_has_lived_through)
{
  g_autoptr (TtlClock) clock = ttl_clock_new_manual (1000 * S);

  ttl_clock_set (clock, 1000 * S + HOUR);
  (void)ttl_clock_now (clock);
  ttl_clock_advance (clock, 10 * S);
  (void)ttl_clock_now (clock);
  ttl_clock_set (clock, 1010 * S);
  cr_expect_eq (ttl_clock_now (clock), 1010 * S);
  cr_expect_eq (ttl_clock_in_present (clock, 990 * S, 990 * S), 990 * S, "both");
  cr_expect_eq (ttl_clock_in_present (clock, 1005 * S + HOUR, 1005 * S + HOUR), 1005 * S, "one");
  cr_expect_eq (ttl_clock_in_present (clock, 1010 * S, 1010 * S), 1010 * S, "none");
  cr_expect_eq (ttl_clock_jumps (clock), 2);
}

Test (clock, takes_no_notice_of_less_than_its_threshold)
{
  g_autoptr (TtlClock) clock = ttl_clock_new_manual (1000 * S);

  ttl_clock_set (clock, 1000 * S + TTL_CLOCK_STEP_NS - 1);
  cr_expect_eq (ttl_clock_now (clock), 1000 * S + TTL_CLOCK_STEP_NS - 1);
  cr_expect_eq (ttl_clock_jumps (clock), 0);
  cr_expect_eq (ttl_clock_in_present (clock, 999 * S, 999 * S), 999 * S);
}

Test (clock, remembers_the_latest_of_many_steps)
{
  g_autoptr (TtlClock) clock = ttl_clock_new_manual (0);
  gint64 before_ns = 0;

  for (int i = 1; i <= 100; i++)
    {
      before_ns = ttl_clock_now (clock);
      ttl_clock_set (clock, before_ns + HOUR);
      (void)ttl_clock_now (clock);
    }
  cr_expect_eq (ttl_clock_in_present (clock, before_ns - S, before_ns - S), before_ns - S + HOUR);
}

/* What the file system says, for the tests below. */
static gint64 said_ns;

static gint64
say (gpointer data G_GNUC_UNUSED)
{
  return said_ns;
}

Test (clock, follows_the_reference_when_it_is_hours_away)
{
  g_autoptr (TtlClock) clock = ttl_clock_new_manual (1000 * S);

  said_ns = 1000 * S + HOUR;
  ttl_clock_set_reference (clock, say, NULL, G_MAXINT64);
  cr_expect_eq (ttl_clock_now (clock), 1000 * S + HOUR);
  ttl_clock_advance (clock, S);
  cr_expect_eq (ttl_clock_now (clock), 1001 * S + HOUR);
}

Test (clock, goes_on_with_the_reference_when_its_own_wall_clock_is_set)
{
  g_autoptr (TtlClock) clock = ttl_clock_new_manual (1000 * S);

  said_ns = 1000 * S;
  ttl_clock_set_reference (clock, say, NULL, G_MAXINT64);
  ttl_clock_set (clock, 1000 * S + HOUR);
  cr_expect_eq (ttl_clock_now (clock), 1000 * S);
  cr_expect_eq (ttl_clock_in_present (clock, 999 * S, 999 * S), 999 * S);
}

Test (clock, goes_on_with_the_reference_when_all_its_own_clocks_leap)
{
  g_autoptr (TtlClock) clock = ttl_clock_new_manual (1000 * S);

  said_ns = 1000 * S;
  ttl_clock_set_reference (clock, say, NULL, G_MAXINT64);
  ttl_clock_advance (clock, HOUR);
  cr_expect_eq (ttl_clock_now (clock), 1000 * S);
  cr_expect_eq (ttl_clock_in_present (clock, 999 * S, 999 * S), 999 * S);
  cr_expect_eq (ttl_clock_jumps (clock), 1);
}

Test (clock, takes_a_long_stop_for_time_that_has_passed)
{
  g_autoptr (TtlClock) clock = ttl_clock_new_manual (1000 * S);

  said_ns = 1000 * S;
  ttl_clock_set_reference (clock, say, NULL, G_MAXINT64);
  ttl_clock_advance (clock, HOUR);
  said_ns += HOUR;
  cr_expect_eq (ttl_clock_now (clock), 1000 * S + HOUR);
  cr_expect_eq (ttl_clock_jumps (clock), 0);
}

Test (clock, sees_a_step_that_the_reference_shows_late)
{
  g_autoptr (TtlClock) clock = ttl_clock_new_manual (1000 * S);

  said_ns = 1000 * S;
  ttl_clock_set_reference (clock, say, NULL, G_MAXINT64);
  ttl_clock_set (clock, 1000 * S + HOUR);
  (void)ttl_clock_now (clock);
  ttl_clock_advance (clock, S);
  said_ns += HOUR + S;
  cr_expect_eq (ttl_clock_now (clock), 1001 * S + HOUR);
  cr_expect_eq (ttl_clock_in_present (clock, 999 * S, 999 * S), 999 * S + HOUR);
}

Test (clock, asks_again_what_is_not_to_be_trusted_for_long)
{
  g_autoptr (TtlClock) clock = ttl_clock_new_manual (1000 * S);

  said_ns = 1000 * S;
  ttl_clock_set_reference (clock, say, NULL, S);
  said_ns += HOUR; /* the server's clock was set */
  ttl_clock_advance (clock, S);
  cr_expect_eq (ttl_clock_now (clock), 1000 * S + HOUR);
  cr_expect_eq (ttl_clock_in_present (clock, 999 * S, 999 * S), 999 * S + HOUR - S);
}

Test (clock, goes_by_its_monotonic_side_while_nobody_answers)
{
  g_autoptr (TtlClock) clock = ttl_clock_new_manual (1000 * S);

  said_ns = 1000 * S;
  ttl_clock_set_reference (clock, say, NULL, G_MAXINT64);
  said_ns = -5;
  ttl_clock_set (clock, 1000 * S + HOUR);
  ttl_clock_advance (clock, S);
  cr_expect_eq (ttl_clock_now (clock), 1001 * S);
  cr_expect_eq (ttl_clock_in_present (clock, 999 * S, 999 * S), 999 * S);
}
