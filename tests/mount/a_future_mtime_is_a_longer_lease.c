/* deadline = mtime + TTL, so an mtime in the future keeps the key for longer. */
#include "mount.h"

static void
mount_with_a_short_ttl (void)
{
  mount_setup_with ("ttl=300ms");
}

TestSuite (a_future_mtime, .init = mount_with_a_short_ttl, .fini = mount_teardown, .timeout = 60);

Test (a_future_mtime, is_a_longer_lease)
{
  gint64 mtime, deadline;

  assert_ok (put (at ("k"), "value"));
  mtime = now_ns () + SECOND;
  assert_ok (set_mtime_ns (at ("k"), mtime));
  cr_assert_eq (mtime_ns (at ("k")) / MS,
                mtime / MS); /* finer than that is the file system's choice */
  deadline = mtime_ns (at ("k")) + 300 * MS;
  while (TRUE)
    {
      gint64 before = now_ns ();
      gboolean seen = exists (at ("k"));

      cr_assert (!seen || before < deadline, "seen after its deadline");
      if (!seen)
        break;
    }
  cr_assert (now_ns () >= deadline, "missing before its deadline");
}

Test (a_future_mtime, of_an_hour_keeps_the_key)
{
  assert_bash ("echo v > k; touch -d '+1 hour' k");
  assert_stays (1000, exists (at ("k")));
  assert_value (at ("k"), "v\n");
}

Test (a_future_mtime, is_shortened_by_a_touch)
{
  assert_bash ("echo v > k; touch -d '+1 hour' k; touch k");
  sleep_until (mtime_ns (raw ("k")) + 300 * MS);
  assert_absent (at ("k"));
}

Test (a_future_mtime, is_shortened_by_a_put)
{
  assert_bash ("echo v > k; touch -d '+1 hour' k; echo w > k");
  sleep_until (mtime_ns (raw ("k")) + 300 * MS);
  assert_absent (at ("k"));
}
