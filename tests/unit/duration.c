#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "clock.h"
#include "duration.h"

/* What @text means in nanoseconds, or a negative errno. */
static gint64
parse (const char *text)
{
  TtlDuration duration;
  int r = ttl_duration_parse (text, strlen (text), &duration);

  return r == 0 ? duration.ns : r;
}

static void
assert_formats (gint64 ns, const char *expected)
{
  char text[TTL_DURATION_TEXT_MAX];
  gsize len = ttl_duration_format (ns, text);

  cr_assert_str_eq (text, expected, "%" G_GINT64_FORMAT " became %s", ns, text);
  cr_assert_eq (len, strlen (expected));
}

Test (duration, knows_every_unit)
{
  cr_assert_eq (parse ("500ms"), 500 * TTL_NS_PER_MS);
  cr_assert_eq (parse ("10s"), 10 * TTL_NS_PER_S);
  cr_assert_eq (parse ("5m"), 300 * TTL_NS_PER_S);
  cr_assert_eq (parse ("2h"), 7200 * TTL_NS_PER_S);
  cr_assert_eq (parse ("1d"), 86400 * TTL_NS_PER_S);
  cr_assert_eq (parse ("inf"), TTL_DURATION_INF);
}

Test (duration, keeps_the_text_as_it_was_written)
{
  TtlDuration duration;

  cr_assert_eq (ttl_duration_parse ("060s", 4, &duration), 0);
  cr_assert_str_eq (duration.text, "060s");
}

Test (duration, needs_no_nul_behind_the_text)
{
  TtlDuration duration;

  cr_assert_eq (ttl_duration_parse ("10sx", 3, &duration), 0);
  cr_assert_str_eq (duration.text, "10s");
}

Test (duration, refuses_a_nul_in_the_text)
{
  TtlDuration duration;

  cr_assert_eq (ttl_duration_parse ("10s", 4, &duration), -EINVAL);
  cr_assert_eq (ttl_duration_parse ("10\0s", 4, &duration), -EINVAL);
}

Test (duration, refuses_what_is_not_digits_and_a_unit)
{
  static const char *const wrong[]
      = { "",     "s",     "10",   "+10s", "-10s", " 10s", "10s ",     "10 s", "1.5s",
          "1,5s", "1e3s",  "0x9s", "10S",  "10us", "10ns", "10w",      "10ss", "10sm",
          "1h5m", "10s\n", "INF",  "Inf",  "-inf", "+inf", "infinity", "inf ", "infs" };

  for (gsize i = 0; i < G_N_ELEMENTS (wrong); i++)
    cr_assert_eq (parse (wrong[i]), -EINVAL, "\"%s\" was accepted", wrong[i]);
}

Test (duration, may_be_50_ms_and_no_less)
{
  cr_assert_eq (parse ("50ms"), TTL_DURATION_MIN_NS);
  cr_assert_eq (parse ("49ms"), -EINVAL);
}

Test (duration, may_not_be_zero_in_any_unit)
{
  cr_assert_eq (parse ("0ms"), -EINVAL);
  cr_assert_eq (parse ("0s"), -EINVAL);
  cr_assert_eq (parse ("0d"), -EINVAL);
}

Test (duration, may_be_the_longest_that_fits_and_no_longer)
{
  cr_assert_eq (parse ("9223372036854ms"), 9223372036854 * TTL_NS_PER_MS);
  cr_assert_eq (parse ("9223372036855ms"), -EINVAL);
  cr_assert_eq (parse ("9223372036s"), 9223372036 * TTL_NS_PER_S);
  cr_assert_eq (parse ("9223372037s"), -EINVAL);
  cr_assert_eq (parse ("106751d"), TTL_NS_PER_S * 86400 * 106751);
  cr_assert_eq (parse ("106752d"), -EINVAL);
}

Test (duration, refuses_a_number_that_would_wrap_around)
{
  cr_assert_eq (parse ("18446744073810ms"), -EINVAL);      /* 2^64 ns and 100 ms */
  cr_assert_eq (parse ("18446744084s"), -EINVAL);          /* 2^64 ns and 10 s */
  cr_assert_eq (parse ("18446744073709551616s"), -EINVAL); /* 2^64 */
  cr_assert_eq (parse ("18446744073709551626s"), -EINVAL); /* 2^64 + 10 */
  cr_assert_eq (parse ("9999999999999999999999d"), -EINVAL);
}

Test (duration, may_be_23_bytes_long_and_no_longer)
{
  cr_assert_eq (parse ("0000000000000000000010s"), 10 * TTL_NS_PER_S);
  cr_assert_eq (parse ("00000000000000000000010s"), -EINVAL);
}

Test (duration, leaves_the_result_alone_when_it_refuses)
{
  TtlDuration duration = { .ns = 7, .text = "before" };

  cr_assert_eq (ttl_duration_parse ("49ms", 4, &duration), -EINVAL);
  cr_assert_eq (duration.ns, 7);
  cr_assert_str_eq (duration.text, "before");
}

Test (duration, is_written_in_the_largest_unit_that_divides_it)
{
  assert_formats (90 * TTL_NS_PER_S, "90s");
  assert_formats (60 * TTL_NS_PER_S, "1m");
  assert_formats (7200 * TTL_NS_PER_S, "2h");
  assert_formats (90 * 60 * TTL_NS_PER_S, "90m");
  assert_formats (86400 * TTL_NS_PER_S, "1d");
  assert_formats (1500 * TTL_NS_PER_MS, "1500ms");
}

Test (duration, is_written_rounded_down_to_a_millisecond)
{
  assert_formats (TTL_NS_PER_MS, "1ms");
  assert_formats (2 * TTL_NS_PER_MS - 1, "1ms");
  assert_formats (TTL_NS_PER_S + 1, "1s");
  assert_formats (TTL_DURATION_INF - 1, "9223372036854ms");
}

Test (duration, is_written_as_no_milliseconds_when_less_than_one_is_left)
{
  assert_formats (TTL_NS_PER_MS - 1, "0ms");
  assert_formats (0, "0ms");
  assert_formats (-1, "0ms");
  assert_formats (G_MININT64, "0ms");
}

Test (duration, is_written_as_inf_when_infinite) { assert_formats (TTL_DURATION_INF, "inf"); }

Test (duration, means_the_same_after_it_was_written)
{
  for (gint64 ms = 50; ms < G_MAXINT64 / TTL_NS_PER_MS; ms += 1 + ms / 500)
    {
      char text[TTL_DURATION_TEXT_MAX];

      ttl_duration_format (ms * TTL_NS_PER_MS, text);
      cr_assert_eq (parse (text), ms * TTL_NS_PER_MS, "%s", text);
    }
}
