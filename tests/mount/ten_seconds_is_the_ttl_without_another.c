/* Nobody has said anything: a key lives for ten seconds. */
#include "mount.h"

static void
mount_without_options (void)
{
  mount_setup_with (NULL);
}

TestSuite (ten_seconds, .init = mount_without_options, .fini = mount_teardown, .timeout = 60);

Test (ten_seconds, is_the_ttl_without_another)
{
  gint64 deadline;

  assert_ok (put (at ("k"), "value"));
  cr_assert_str_eq (xattr (at ("k"), "user.ttlfs.ttl"), "10s");
  deadline = mtime_ns (at ("k")) + 10 * SECOND;
  sleep_until (deadline - 200 * MS);
  cr_assert (exists (at ("k")) || now_ns () >= deadline);
  sleep_until (deadline);
  assert_absent (at ("k"));
}
