/* ttlfs --status says what a running mount has indexed, removed and holds. */
#include "mount.h"

#include <fcntl.h>

TestSuite (status, .init = mount_setup, .fini = mount_teardown, .timeout = 60);

static gboolean
says (const char *line)
{
  const char *status = xattr (g_getenv ("MNT"), "user.ttlfs.status");

  return status != NULL && strstr (text ("\n%s", status), text ("\n%s\n", line)) != NULL;
}

Test (status, counts_keys_and_buckets)
{
  assert_ok (mkdir (at ("b"), 0777));
  assert_ok (put (at ("b/k"), "v"));
  assert_ok (put (at ("l"), "v"));
  assert_eventually (5000, says ("indexed 2"));
  assert_eventually (5000, says ("buckets_watched 2"));
  assert_eventually (5000, says ("scanning 0"));
}

Test (status, is_printed_by_the_command)
{
  assert_ok (put (at ("k"), "v"));
  assert_eventually (5000, says ("indexed 1"));
  assert_shells ("$TTLFS --status $MNT | grep -x 'indexed 1'");
}

Test (status, is_of_the_mount_point_alone_and_not_listed)
{
  assert_ok (mkdir (at ("b"), 0777));
  cr_assert_null (xattr (at ("b"), "user.ttlfs.status"));
  cr_assert_neq (set_xattr (g_getenv ("MNT"), "user.ttlfs.status", "x"), 0);
}
