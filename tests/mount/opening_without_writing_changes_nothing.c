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

/* Who has created a key and written nothing has nothing to put over what somebody else has put there since. */
Test (opening, what_is_not_there_leaves_what_others_put_since)
{
  assert_bash ("cd $MNT; flock a sh -c 'echo 1 > a'; test \"$(cat a)\" = 1");
  assert_bash ("cd $MNT; (flock 9; echo 1 > b) 9<>b; test \"$(cat b)\" = 1");
  assert_bash ("cd $MNT; bash -c 'exec 9>c; sleep 0.3' & sleep 0.1; echo 1 > c; wait; test \"$(cat "
               "c)\" = 1");
  assert_bash ("cd $MNT; bash -c 'exec 9<>d; sleep 0.3' & sleep 0.1; echo 1 > e; mv e d; wait; "
               "test \"$(cat d)\" = 1");
  assert_bash ("cd $MNT; for i in 1 2 3; do flock f sh -c 'n=$(cat f 2>&-); echo $((n + 1)) > f'; "
               "done; test \"$(cat f)\" = 3");
  assert_bash ("cd $MNT; bash -c 'exec 9<>g; sleep 0.3; touch g' & sleep 0.1; echo 1 > g; wait; "
               "test \"$(cat g)\" = 1");
}
