/* truncate(2), ftruncate(2) and truncate(1) shorten and lengthen a value. */
#include "mount.h"

TestSuite (truncating, .init = mount_setup, .fini = mount_teardown, .timeout = 60);

Test (truncating, by_path_is_seen_at_once)
{
  assert_ok (put (at ("k"), "0123456789"));
  assert_ok (truncate (at ("k"), 4));
  assert_witnessed (at ("k"), "0123");
  assert_ok (truncate (at ("k"), 0));
  assert_witnessed (at ("k"), "");
}

Test (truncating, longer_adds_zeroes)
{
  gsize len;
  g_autofree char *bytes = NULL;

  assert_ok (put (at ("k"), "ab"));
  assert_ok (truncate (at ("k"), 5));
  bytes = get_bytes (at ("k"), &len);
  cr_assert_eq (len, 5);
  cr_assert (memcmp (bytes, "ab\0\0\0", 5) == 0);
}

Test (truncating, by_descriptor_is_published_at_close)
{
  int fd;

  assert_ok (put (at ("k"), "0123456789"));
  fd = open (at ("k"), O_WRONLY);
  assert_ok (fd);
  assert_ok (ftruncate (fd, 3));
  assert_witnessed (at ("k"), "0123456789");
  assert_ok (close (fd));
  assert_witnessed (at ("k"), "012");
}

Test (truncating, shrinking_and_growing_again_leaves_zeroes)
{
  gsize len;
  g_autofree char *bytes = NULL;
  int fd;

  assert_ok (put (at ("k"), "0123456789"));
  fd = open (at ("k"), O_RDWR);
  assert_ok (fd);
  assert_ok (ftruncate (fd, 3));
  assert_ok (ftruncate (fd, 6));
  assert_ok (close (fd));
  bytes = get_bytes (at ("k"), &len);
  cr_assert_eq (len, 6);
  cr_assert (memcmp (bytes, "012\0\0\0", 6) == 0);
}

Test (truncating, works_from_the_shell)
{
  assert_bash ("rm -f k; truncate -s 100 k; test $(stat -c %s k) = 100");
  assert_bash ("echo 0123456789 > k; truncate -s 4 k; test $(cat k) = 0123");
}

Test (truncating, a_missing_key_fails) { assert_errno (truncate (at ("missing"), 0), ENOENT); }
