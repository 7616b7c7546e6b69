/* Opening a key for writing and changing nothing changes nothing: not the value, not the lease, not
 * the revision. */
#include "mount.h"

TestSuite (opening, .init = mount_setup, .fini = mount_teardown, .timeout = 60);

static void
assert_unchanged_by (int flags)
{
  gint64 mtime;
  const char *revision;
  int fd;

  assert_ok (put (at ("k"), "value"));
  mtime = mtime_ns (at ("k"));
  revision = xattr (at ("k"), "user.ttlfs.revision"); /* NULL as long as there is no such thing */
  sleep_ms (20);
  fd = open (at ("k"), flags, 0666);
  assert_ok (fd);
  if ((flags & O_ACCMODE) == O_RDWR)
    cr_assert_str_eq (get_fd (fd), "value");
  assert_ok (close (dup (fd)));
  assert_ok (close (fd));
  assert_witnessed (at ("k"), "value");
  cr_assert_eq (mtime_ns (at ("k")), mtime, "the lease was renewed");
  cr_assert (g_strcmp0 (xattr (at ("k"), "user.ttlfs.revision"), revision) == 0);
}

Test (opening, for_writing_changes_nothing) { assert_unchanged_by (O_WRONLY); }

Test (opening, for_reading_and_writing_changes_nothing) { assert_unchanged_by (O_RDWR); }

Test (opening, for_appending_changes_nothing)
{
  assert_unchanged_by (O_WRONLY | O_APPEND | O_CREAT);
}

Test (opening, with_o_creat_changes_nothing_when_it_is_there)
{
  assert_unchanged_by (O_RDWR | O_CREAT);
}

Test (opening, from_the_shell_changes_nothing)
{
  gint64 mtime;

  assert_ok (put (at ("k"), "value"));
  mtime = mtime_ns (at ("k"));
  assert_shells (": >> k; : <> k; exec 5>> k; exec 5>&-; test \"$(cat k)\" = value");
  cr_assert_eq (mtime_ns (at ("k")), mtime);
}
