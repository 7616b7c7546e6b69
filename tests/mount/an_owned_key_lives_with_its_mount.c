/* keepalive=owned: what was put through this mount is renewed while it is mounted and removed at a
 * clean unmount, but only as long as the value is still the one that was put here. */
#include "mount.h"

static void
mount_owned (void)
{
  mount_setup_with ("ttl=1s,keepalive=owned");
}

TestSuite (an_owned_key, .init = mount_owned, .fini = mount_teardown, .timeout = 60);

Test (an_owned_key, lives_without_a_descriptor)
{
  gint64 end;

  for (int i = 0; i < 50; i++)
    assert_ok (put (at (text ("k-%d", i)), "value"));
  end = now_ns () + 4 * SECOND;
  while (now_ns () < end)
    {
      for (int i = 0; i < 50; i++)
        assert_ok (stat_of (at (text ("k-%d", i)), NULL));
      sleep_ms (10);
    }
  cr_assert_eq (count_listed (at (".")), 50);
}

Test (an_owned_key, is_removed_at_a_clean_unmount)
{
  assert_ok (set_xattr (at ("."), "user.ttlfs.ttl", "1h"));
  assert_bash ("mkdir b; echo v > k; echo v > b/k-1; : > empty");
  assert_eventually (1000, count_files (backing_dir ())
                               == 3); /* beside the mount nobody waits for a RELEASE */
  mount_stop (mount_number (1));
  cr_assert_eq (count_files (backing_dir ()), 0);
  cr_assert (exists (raw ("b")), "buckets belong to nobody");
}

Test (an_owned_key, that_a_peer_has_put_since_is_left)
{
  assert_ok (set_xattr (at ("."), "user.ttlfs.ttl", "1h"));
  assert_bash ("echo mine > a; echo mine > b; echo mine > c");
  assert_ok (put_raw (raw ("b"), "theirs"));
  assert_eventually (1000, g_strcmp0 (get (at ("b")), "theirs") == 0);
  assert_ok (put_raw (raw ("c"), "theirs")); /* and one the daemon may not have noticed */
  mount_stop (mount_number (1));
  cr_assert (!exists (raw ("a")));
  assert_value (raw ("b"), "theirs");
  assert_value (raw ("c"), "theirs");
}

Test (an_owned_key, that_a_peer_has_put_since_is_not_renewed)
{
  gint64 deadline;

  assert_ok (put (at ("k"), "mine"));
  sleep_ms (1500);
  assert_value (at ("k"), "mine");
  assert_ok (put_raw (raw ("k"), "theirs"));
  deadline = mtime_ns (raw ("k")) + SECOND;
  assert_eventually (500, g_strcmp0 (get (at ("k")), "theirs") == 0);
  sleep_until (deadline);
  assert_absent (at ("k"));
}

Test (an_owned_key, that_was_removed_stays_removed)
{
  assert_bash ("echo v > k; sleep 0.5; rm k");
  assert_stays (1500, !exists (at ("k")));
}

Test (an_owned_key, moves_with_a_rename)
{
  assert_bash ("echo v > a; mv a b");
  assert_stays (2500, exists (at ("b")));
  mount_stop (mount_number (1));
  cr_assert_eq (count_files (backing_dir ()), 0);
}

Test (an_owned_key, put_by_another_mount_belongs_to_that)
{
  gint64 deadline;

  mount_start ("ttl=1s,keepalive=none");
  assert_ok (put (at2 ("k"), "value"));
  deadline = mtime_ns (at2 ("k")) + SECOND;
  sleep_until (deadline);
  assert_absent (at ("k"));
}

Test (an_owned_key, is_what_the_mount_put_last)
{
  assert_ok (set_xattr (at ("."), "user.ttlfs.ttl", "1h"));
  assert_ok (put_raw (raw ("k"), "theirs"));
  assert_eventually (1000, exists (at ("k")));
  assert_ok (put (at ("k"), "mine"));
  mount_stop (mount_number (1));
  cr_assert (!exists (raw ("k")));
}
