/* A bucket is renamed with everything in it, by the rules for directories. */
#include "mount.h"

TestSuite (rename_of_a_bucket, .init = mount_setup, .fini = mount_teardown, .timeout = 60);

static int
move (const char *from, const char *to)
{
  return rename (at (from), at (to));
}

Test (rename_of_a_bucket, takes_everything_along)
{
  assert_ok (mkdir (at ("a"), 0777));
  assert_ok (mkdir (at ("a/sub"), 0777));
  assert_ok (put (at ("a/k"), "value"));
  assert_ok (put (at ("a/sub/k-2"), "deeper"));
  assert_ok (move ("a", "b"));
  assert_absent (at ("a"));
  assert_hidden (at ("a/k"));
  assert_witnessed (at ("b/k"), "value");
  assert_witnessed (at ("b/sub/k-2"), "deeper");
  assert_value (raw ("b/sub/k%2D2"), "deeper");
  assert_ok (put (at ("b/k"), "changed"));
  assert_witnessed (at ("b/k"), "changed");
}

Test (rename_of_a_bucket, into_another_works)
{
  assert_ok (mkdir (at ("a"), 0777));
  assert_ok (mkdir (at ("b"), 0777));
  assert_ok (put (at ("a/k"), "value"));
  assert_ok (move ("a", "b/a"));
  assert_witnessed (at ("b/a/k"), "value");
}

Test (rename_of_a_bucket, keeps_its_ttl)
{
  assert_ok (mkdir (at ("a"), 0777));
  assert_ok (set_xattr (at ("a"), "user.ttlfs.ttl", "90m"));
  assert_ok (put (at ("a/k"), "value"));
  assert_ok (move ("a", "b"));
  cr_assert_str_eq (xattr (at ("b"), "user.ttlfs.ttl"), "90m");
  cr_assert_str_eq (xattr (at ("b/k"), "user.ttlfs.ttl"), "90m");
}

Test (rename_of_a_bucket, over_an_empty_one_replaces_it)
{
  assert_ok (mkdir (at ("a"), 0777));
  assert_ok (mkdir (at ("b"), 0777));
  assert_ok (put (at ("a/k"), "value"));
  assert_ok (move ("a", "b"));
  assert_absent (at ("a"));
  assert_witnessed (at ("b/k"), "value");
}

Test (rename_of_a_bucket, over_one_that_holds_something_is_refused)
{
  assert_ok (mkdir (at ("a"), 0777));
  assert_ok (mkdir (at ("b"), 0777));
  assert_ok (put (at ("b/k"), "value"));
  assert_errno (move ("a", "b"), ENOTEMPTY);
  assert_value (at ("b/k"), "value");
}

Test (rename_of_a_bucket, over_a_key_is_refused)
{
  assert_ok (mkdir (at ("a"), 0777));
  assert_ok (put (at ("k"), "value"));
  assert_errno (move ("a", "k"), ENOTDIR);
  assert_value (at ("k"), "value");
}

Test (rename_of_a_bucket, is_not_what_a_key_can_replace)
{
  assert_ok (mkdir (at ("a"), 0777));
  assert_ok (put (at ("k"), "value"));
  assert_errno (move ("k", "a"), EISDIR);
  assert_value (at ("k"), "value");
}

Test (rename_of_a_bucket, into_itself_is_refused)
{
  assert_ok (mkdir (at ("a"), 0777));
  assert_ok (mkdir (at ("a/b"), 0777));
  assert_errno (move ("a", "a/b/c"), EINVAL);
}

Test (rename_of_a_bucket, leaves_open_files_and_drafts_working)
{
  int reader, writer;

  assert_ok (mkdir (at ("a"), 0777));
  assert_ok (put (at ("a/r"), "read"));
  reader = open (at ("a/r"), O_RDONLY);
  writer = open (at ("a/w"), O_WRONLY | O_CREAT, 0666);
  assert_ok (reader);
  assert_ok (writer);
  assert_ok (write_all (writer, "written"));
  assert_ok (move ("a", "b"));
  cr_assert_str_eq (get_fd (reader), "read");
  assert_ok (close (reader));
  assert_ok (close (writer));
  assert_witnessed (at ("b/w"), "written");
  assert_absent (at ("a"));
}

Test (rename_of_a_bucket, over_one_whose_keys_have_expired_works)
{
  assert_ok (mkdir (at ("a"), 0777));
  assert_ok (mkdir (at ("b"), 0777));
  assert_ok (set_xattr (at ("b"), "user.ttlfs.ttl", "200ms"));
  assert_ok (put (at ("b/k"), "value"));
  sleep_until (mtime_ns (at ("b/k")) + 200 * MS);
  assert_ok (move ("a", "b"));
}
