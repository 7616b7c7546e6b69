/* Buckets are directories: made, nested, removed when empty, and never expired. */
#include "mount.h"

TestSuite (a_bucket, .init = mount_setup, .fini = mount_teardown, .timeout = 60);

Test (a_bucket, is_made_and_removed)
{
  struct stat st;

  assert_ok (mkdir (at ("b"), 0750));
  assert_ok (witness_stat (at ("b"), &st));
  cr_assert (S_ISDIR (st.st_mode));
  cr_assert_eq (st.st_mode & 0777, 0750);
  cr_assert (witness_lists (at ("b")));
  assert_ok (stat_of (raw ("b"), &st));
  cr_assert (S_ISDIR (st.st_mode));
  assert_ok (rmdir (at ("b")));
  assert_absent (at ("b"));
  cr_assert (!exists (raw ("b")));
}

Test (a_bucket, holds_keys_and_buckets)
{
  assert_ok (mkdir (at ("v1"), 0777));
  assert_ok (mkdir (at ("v1/instances"), 0777));
  assert_ok (put (at ("v1/k"), "one"));
  assert_ok (put (at ("v1/instances/k"), "two"));
  assert_witnessed (at ("v1/k"), "one");
  assert_witnessed (at ("v1/instances/k"), "two");
  assert_value (raw ("v1/instances/k"), "two");
  cr_assert_str_eq (listing (at ("v1")), "instances\nk\n");
}

Test (a_bucket, is_what_the_root_is_too)
{
  assert_ok (put (at ("k"), "value"));
  assert_value (raw ("k"), "value");
  cr_assert_str_eq (listing (at (".")), "k\n");
}

Test (a_bucket, that_holds_something_is_not_removed)
{
  assert_ok (mkdir (at ("b"), 0777));
  assert_ok (put (at ("b/k"), "value"));
  assert_errno (rmdir (at ("b")), ENOTEMPTY);
  assert_value (at ("b/k"), "value");
  assert_ok (unlink (at ("b/k")));
  assert_ok (mkdir (at ("b/c"), 0777));
  assert_errno (rmdir (at ("b")), ENOTEMPTY);
  assert_ok (rmdir (at ("b/c")));
  assert_ok (rmdir (at ("b")));
}

Test (a_bucket, that_a_raw_peer_filled_is_not_removed)
{
  assert_ok (mkdir (at ("b"), 0777));
  listing (at ("b"));
  assert_ok (put_raw (raw ("b/k"), "peer"));
  assert_errno (rmdir (at ("b")), ENOTEMPTY);
  assert_value (raw ("b/k"), "peer");
}

Test (a_bucket, and_a_key_cannot_share_a_name)
{
  assert_ok (mkdir (at ("b"), 0777));
  assert_ok (put (at ("k"), "value"));
  assert_errno (mkdir (at ("b"), 0777), EEXIST);
  assert_errno (mkdir (at ("k"), 0777), EEXIST);
  assert_errno (put (at ("b"), "value"), EISDIR);
  assert_errno (unlink (at ("b")), EISDIR);
  assert_errno (rmdir (at ("k")), ENOTDIR);
  assert_errno (put (at ("k/x"), "value"), ENOTDIR);
  assert_value (at ("k"), "value");
}

/* The key's file and the directory have different names in the backing directory: it is ttlfs that
 * keeps them apart. */
Test (a_bucket, and_a_key_cannot_share_a_name_that_is_encoded)
{
  assert_ok (mkdir (at ("a-b"), 0777));
  assert_errno (put (at ("a-b"), "value"), EISDIR);
  assert_ok (put (at ("c-d"), "value"));
  assert_errno (mkdir (at ("c-d"), 0777), EEXIST);
}

Test (a_bucket, that_is_missing_gives_enoent)
{
  assert_errno (put (at ("missing/k"), "value"), ENOENT);
  assert_errno (rmdir (at ("missing")), ENOENT);
  assert_errno (mkdir (at ("missing/b"), 0777), ENOENT);
}

Test (a_bucket, does_not_expire)
{
  assert_ok (set_xattr (at ("."), "user.ttlfs.ttl", "100ms"));
  assert_ok (mkdir (at ("b"), 0777));
  assert_ok (put (at ("b/k"), "value"));
  sleep_ms (1000);
  cr_assert (exists (at ("b")) && lists (at ("b")));
  cr_assert (exists (raw ("b")));
  cr_assert_str_eq (listing (at ("b")), "");
}

Test (a_bucket, may_lie_forty_deep)
{
  g_autoptr (GString) path = g_string_new (at ("."));

  for (int i = 0; i < 40; i++)
    {
      g_string_append_printf (path, "/level-%d", i);
      assert_ok (mkdir (path->str, 0777));
    }
  g_string_append (path, "/key-1");
  assert_ok (put (path->str, "deep"));
  assert_witnessed (path->str, "deep");
  assert_bash ("test $(find . -name 'key-1' | wc -l) = 1; rm -r level-0; test -z \"$(ls -A)\"");
}

Test (a_bucket, made_by_a_raw_peer_is_one)
{
  assert_ok (mkdir (raw ("raw"), 0777));
  assert_eventually (1000, lists (at ("raw")));
  assert_ok (put (at ("raw/k-1"), "value"));
  assert_value (raw ("raw/k%2D1"), "value");
  assert_ok (unlink (at ("raw/k-1")));
  assert_ok (rmdir (at ("raw")));
  cr_assert (!exists (raw ("raw")));
}

Test (a_bucket, removed_by_a_raw_peer_is_gone)
{
  assert_ok (mkdir (at ("b"), 0777));
  listing (at ("b"));
  assert_ok (rmdir (raw ("b")));
  assert_eventually (1000, !exists (at ("b")));
  assert_errno (put (at ("b/k"), "value"), ENOENT);
  assert_ok (mkdir (at ("b"), 0777));
  assert_ok (put (at ("b/k"), "value"));
}

Test (a_bucket, counts_its_buckets_in_nlink)
{
  struct stat st;

  assert_ok (mkdir (at ("b"), 0777));
  assert_ok (stat_of (at ("b"), &st));
  cr_assert (st.st_nlink == 2 || st.st_nlink == 1, "nlink of an empty bucket is %lu",
             (unsigned long)st.st_nlink);
}

Test (a_bucket, can_be_removed_while_open)
{
  int fd;

  assert_ok (mkdir (at ("b"), 0777));
  fd = open (at ("b"), O_RDONLY | O_DIRECTORY);
  assert_ok (fd);
  assert_ok (rmdir (at ("b")));
  assert_absent (at ("b"));
  assert_errno (openat (fd, "k", O_WRONLY | O_CREAT, 0666), ENOENT);
  assert_errno (mkdirat (fd, "c", 0777), ENOENT);
  assert_ok (close (fd));
}

Test (a_bucket, can_be_removed_and_made_again)
{
  for (int i = 0; i < 50; i++)
    {
      assert_ok (mkdir (at ("b"), 0777));
      assert_ok (put (at ("b/k"), "value"));
      assert_ok (unlink (at ("b/k")));
      assert_ok (rmdir (at ("b")));
    }
  assert_bash ("mkdir -p x/y/z; echo v > x/y/k; rm -rf x; test -z \"$(ls -A)\"");
}

Test (a_bucket, removed_under_a_draft_makes_its_close_fail)
{
  int fd;

  assert_ok (mkdir (at ("b"), 0777));
  fd = open (at ("b/k"), O_WRONLY | O_CREAT, 0666);
  assert_ok (fd);
  assert_ok (write_all (fd, "value"));
  if (bash ("rmdir b").status != 0)
    {
      assert_ok (close (fd)); /* or the draft keeps it */
      assert_witnessed (at ("b/k"), "value");
      return;
    }
  cr_assert_lt (close (fd), 0);
  assert_absent (at ("b"));
}
