/* The TTL that holds: the key's own, its bucket's, the nearest enclosing bucket's, the mount's, ten
 * seconds. */
#include "mount.h"

#include <sys/xattr.h>

#define TTL "user.ttlfs.ttl"

static void
mount_with_a_tree (void)
{
  mount_setup ();
  assert_bash ("mkdir -p a/b/c; echo v > k; echo v > a/k; echo v > a/b/k; echo v > a/b/c/k");
}

TestSuite (the_ttl_that_holds, .init = mount_with_a_tree, .fini = mount_teardown, .timeout = 60);

static void
assert_ttls (const char *root, const char *a, const char *b, const char *c)
{
  cr_assert_str_eq (xattr (at ("k"), TTL), root);
  cr_assert_str_eq (xattr (at ("a/k"), TTL), a);
  cr_assert_str_eq (xattr (at ("a/b/k"), TTL), b);
  cr_assert_str_eq (xattr (at ("a/b/c/k"), TTL), c);
}

Test (the_ttl_that_holds, is_the_mounts_at_first) { assert_ttls ("1h", "1h", "1h", "1h"); }

Test (the_ttl_that_holds, is_the_nearest_enclosing_buckets)
{
  assert_ok (set_xattr (at ("a"), TTL, "20m"));
  assert_ttls ("1h", "20m", "20m", "20m");
  assert_ok (set_xattr (at ("a/b/c"), TTL, "30m"));
  assert_ttls ("1h", "20m", "20m", "30m");
  assert_ok (set_xattr (at ("a/b"), TTL, "inf"));
  assert_ttls ("1h", "20m", "inf", "30m");
  assert_ok (set_xattr (at ("."), TTL, "40m"));
  assert_ttls ("40m", "20m", "inf", "30m");
}

Test (the_ttl_that_holds, is_the_keys_own_first)
{
  assert_ok (set_xattr (at ("a/b"), TTL, "20m"));
  assert_ok (set_xattr (at ("a/b/k"), TTL, "5m"));
  assert_ttls ("1h", "1h", "5m", "20m");
}

Test (the_ttl_that_holds, is_inherited_again_when_one_is_removed)
{
  assert_ok (set_xattr (at ("a"), TTL, "20m"));
  assert_ok (set_xattr (at ("a/b"), TTL, "30m"));
  assert_ok (set_xattr (at ("a/b/k"), TTL, "5m"));
  assert_ok (removexattr (at ("a/b/k"), TTL));
  assert_ttls ("1h", "20m", "30m", "30m");
  assert_ok (removexattr (at ("a/b"), TTL));
  assert_ttls ("1h", "20m", "20m", "20m");
  assert_ok (removexattr (at ("a"), TTL));
  assert_ttls ("1h", "1h", "1h", "1h");
  assert_errno (removexattr (at ("a"), TTL), ENODATA);
}

Test (the_ttl_that_holds, is_inherited_by_a_new_bucket)
{
  assert_ok (set_xattr (at ("a"), TTL, "20m"));
  assert_ok (mkdir (at ("a/new"), 0777));
  assert_ok (put (at ("a/new/k"), "value"));
  cr_assert_str_eq (xattr (at ("a/new"), TTL), "20m");
  cr_assert_str_eq (xattr (at ("a/new/k"), TTL), "20m");
}

Test (the_ttl_that_holds, changes_when_a_key_moves)
{
  assert_ok (set_xattr (at ("a"), TTL, "20m"));
  assert_ok (rename (at ("k"), at ("a/moved")));
  cr_assert_str_eq (xattr (at ("a/moved"), TTL), "20m");
  assert_ok (rename (at ("a/moved"), at ("k")));
  cr_assert_str_eq (xattr (at ("k"), TTL), "1h");
}

Test (the_ttl_that_holds, ends_a_key_that_moves_to_a_shorter_one)
{
  assert_ok (set_xattr (at ("a"), TTL, "300ms"));
  assert_ok (put (at ("k"), "value"));
  assert_ok (rename (at ("k"), at ("a/moved")));
  sleep_until (mtime_ns (raw ("a/moved")) + 300 * MS);
  assert_absent (at ("a/moved"));
}

Test (the_ttl_that_holds, is_kept_over_a_remount)
{
  assert_ok (set_xattr (at ("a"), TTL, "20m"));
  assert_ok (set_xattr (at ("a/b/k"), TTL, "5m"));
  assert_ok (set_xattr (at ("."), TTL, "40m"));
  mount_stop (mount_number (1));
  mount_start ("ttl=2h");
  assert_ttls ("40m", "20m", "5m", "20m");
}

Test (the_ttl_that_holds, without_any_is_that_of_the_mount)
{
  mount_stop (mount_number (1));
  mount_start ("ttl=2h");
  assert_ttls ("2h", "2h", "2h", "2h");
}

Test (the_ttl_that_holds, is_the_same_on_every_mount)
{
  mount_start ("ttl=2h");
  cr_assert_str_eq (xattr (at2 ("a/k"), TTL), "2h");
  assert_ok (set_xattr (at ("a"), TTL, "20m"));
  assert_eventually (1000, g_strcmp0 (xattr (at2 ("a/k"), TTL), "20m") == 0);
  assert_ok (set_xattr (at2 ("a/b/k"), TTL, "5m"));
  assert_eventually (1000, g_strcmp0 (xattr (at ("a/b/k"), TTL), "5m") == 0);
}

Test (the_ttl_that_holds, ends_keys_on_every_mount)
{
  mount_start ("ttl=2h");
  cr_assert (exists (at2 ("a/b/k")));
  assert_ok (set_xattr (at ("a"), TTL, "100ms"));
  assert_eventually (1000, !exists (at2 ("a/b/k")) && !exists (at ("a/b/k")));
  assert_eventually (1000, !exists (raw ("a/b/k")));
  cr_assert (exists (at2 ("k")));
}
