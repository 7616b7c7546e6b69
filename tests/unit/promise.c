/* What may be promised to the kernel, and for how long. */
#include "promise.h"
#include "clock.h"

#include <criterion/criterion.h>

#define NOW (G_GINT64_CONSTANT (1800000000) * TTL_NS_PER_S)

static gint64
promised_us (gint64 left_ms)
{
  return ttl_promise_us (NOW + left_ms * TTL_NS_PER_MS, NOW);
}

Test (promise, ends_well_before_the_lease)
{
  for (gint64 left_ms = 0; left_ms < 20000; left_ms++)
    cr_assert_leq (promised_us (left_ms), MAX (left_ms * 1000 - 200000, 0), "of %ld ms",
                   (long)left_ms);
}

Test (promise, is_not_made_near_the_end)
{
  cr_expect_eq (promised_us (0), 0);
  cr_expect_eq (promised_us (219), 0);
  cr_expect_eq (promised_us (-5000), 0);
  cr_expect_gt (promised_us (220), 0);
}

Test (promise, lasts_ten_seconds_at_most)
{
  cr_expect_eq (promised_us (3600 * 1000), 10 * G_USEC_PER_SEC);
  cr_expect_eq (ttl_promise_us (TTL_DEADLINE_NEVER, NOW), 10 * G_USEC_PER_SEC);
}

Test (promise, a_stamp_moves_with_its_name_alone)
{
  TtlPromises *promises = ttl_promises_new ();
  const TtlStamp k = ttl_promises_stamp (promises, 1, "k");
  const TtlStamp l = ttl_promises_stamp (promises, 1, "l");

  cr_expect (ttl_promises_is_unchanged (promises, 1, "k", &k));
  ttl_promises_move_stamp (promises, 1, "k");
  cr_expect_not (ttl_promises_is_unchanged (promises, 1, "k", &k));
  cr_expect (ttl_promises_is_unchanged (promises, 1, "l", &l));
  cr_expect_not (ttl_promises_is_all_unchanged (promises, &l));
  ttl_promises_free (promises);
}

Test (promise, everything_moves_after_a_loss_of_events)
{
  TtlPromises *promises = ttl_promises_new ();
  const TtlStamp stamp = ttl_promises_stamp (promises, 7, "k");

  ttl_promises_move_all_stamps (promises);
  cr_expect_not (ttl_promises_is_unchanged (promises, 7, "k", &stamp));
  ttl_promises_free (promises);
}

Test (promise, is_none_before_the_session_runs)
{
  TtlPromises *promises = ttl_promises_new ();
  const TtlStamp stamp = ttl_promises_stamp (promises, 1, "k");

  cr_expect_not (ttl_promises_may_be_made (promises));
  cr_expect_eq (ttl_promises_note_absence (promises, 1, "k", &stamp), 0);
  cr_expect_not (ttl_promises_end_absence (promises, 1, "k"));
  ttl_promises_free (promises);
}
