/* The backing file system is remounted read-only under a mount, as an administrator or a disk with errors does it: every
 * change is EROFS, reading goes on, and once it is writable again so is the mount. */
#include "mount.h"

#include <sys/mount.h>

#define DISK "/media" /* any directory that is always there: only this test sees it covered */

static unsigned long remount_flags;

/* The disk goes away with the last process that can see it. */
static void
prepare_disk (void)
{
  if (geteuid () != 0)
    cr_skip ("needs root, to remount a file system");
  mount_unseen ();
}

static void
mount_on_disk (void)
{
  g_setenv ("TTLFS_TEST_DIR", DISK, TRUE);
  mount_setup ();
  assert_ok (put (at ("k"), "old"));
  assert_ok (mkdir (at ("b"), 0777));
}

static void
mount_on_a_file_system (void)
{
  prepare_disk ();
  assert_ok (mount ("disk", DISK, "tmpfs", 0, NULL));
  mount_on_disk ();
}

/* The file system under test cannot be remounted, since others use it; a way to it can. */
static void
mount_on_a_view (void)
{
  const char *test_dir = g_getenv ("TTLFS_TEST_DIR");

  prepare_disk ();
  assert_ok (mount (test_dir != NULL ? test_dir : g_get_tmp_dir (), DISK, NULL, MS_BIND, NULL));
  remount_flags = MS_BIND;
  mount_on_disk ();
}

/* What the daemon has open for writing keeps it from becoming read-only, as for every program: it has to let go. */
static void
make_read_only (void)
{
  cr_assert (EVENTUALLY (
                 2000, mount (NULL, DISK, NULL, MS_REMOUNT | MS_RDONLY | remount_flags, NULL) == 0),
             "remount,ro: %s", g_strerror (errno));
}

static void
make_writable (void)
{
  assert_ok (mount (NULL, DISK, NULL, MS_REMOUNT | remount_flags, NULL));
}

static void
teardown (void)
{
  if (work_dir () != NULL)
    make_writable (); /* so that what is there can be removed */
  mount_teardown ();
}

TestSuite (a_file_system_turned_read_only, .init = mount_on_a_file_system, .fini = teardown,
           .timeout = 60);
TestSuite (a_view_turned_read_only, .init = mount_on_a_view, .fini = teardown, .timeout = 60);

static void
assert_read_only (void)
{
  assert_errno (put (at ("k"), "new"), EROFS);
  assert_errno (put (at ("other"), "new"), EROFS);
  assert_errno (put_with (at ("k"), O_APPEND, "more"), EROFS);
  assert_errno (put_with (at ("other"), O_CREAT | O_EXCL, "new"), EROFS);
  assert_errno (truncate (at ("k"), 0), EROFS);
  assert_errno (utimensat (AT_FDCWD, at ("k"), NULL, 0), EROFS);
  assert_errno (chmod (at ("k"), 0600), EROFS);
  assert_errno (unlink (at ("k")), EROFS);
  assert_errno (rename (at ("k"), at ("other")), EROFS);
  assert_errno (link (at ("k"), at ("other")), EROFS);
  assert_errno (mkdir (at ("c"), 0777), EROFS);
  assert_errno (rmdir (at ("b")), EROFS);
  assert_errno (set_xattr (at ("k"), "user.ttlfs.ttl", "1m"), EROFS);
}

static void
assert_can_be_read (void)
{
  assert_witnessed (at ("k"), "old");
  cr_assert_str_eq (listing (at (".")), "b\nk\n");
  cr_assert_str_eq (listing (at ("b")), "");
  cr_assert_not_null (xattr (at ("k"), "user.ttlfs.remaining"));
  assert_absent (at ("other"));
}

static void
assert_works (void)
{
  assert_ok (put (at ("k"), "new"));
  assert_witnessed (at ("k"), "new");
  assert_ok (utimensat (AT_FDCWD, at ("k"), NULL, 0));
  assert_ok (rename (at ("k"), at ("other")));
  assert_ok (unlink (at ("other")));
  assert_ok (mkdir (at ("c"), 0777));
  assert_ok (put (at ("c/k"), "value"));
  assert_value (raw ("c/k"), "value");
  assert_ok (rmdir (at ("b")));
  cr_assert_str_eq (listing (at (".")), "c\n");
  assert_eventually (2000, count_scratch (backing_dir ()) == 0); /* the reaper takes its time */
}

static void
assert_refuses_and_recovers (void)
{
  for (int i = 0; i < 2; i++)
    {
      make_read_only ();
      assert_read_only ();
      assert_can_be_read ();
      make_writable ();
    }
  assert_works ();
}

Test (a_file_system_turned_read_only, refuses_every_change_until_it_is_writable_again)
{
  assert_refuses_and_recovers ();
}

Test (a_view_turned_read_only, refuses_every_change_until_it_is_writable_again)
{
  assert_refuses_and_recovers ();
}

/* Opened before and written after. A draft that could not even be begun is told at once, and leaves nothing to publish. */
static void
assert_the_writer_is_told (void)
{
  int fd = open (at ("k"), O_WRONLY | O_CLOEXEC);

  assert_ok (fd);
  make_read_only ();
  assert_errno (pwrite (fd, "new", 3, 0), EROFS);
  assert_witnessed (at ("k"), "old");
  assert_ok (close (fd));
  assert_witnessed (at ("k"), "old");
  make_writable ();
  assert_works ();
}

Test (a_file_system_turned_read_only, is_what_a_write_reports) { assert_the_writer_is_told (); }

Test (a_view_turned_read_only, is_what_a_write_reports) { assert_the_writer_is_told (); }

/* The writer that waits until it can be written again loses nothing. */
Test (a_file_system_turned_read_only, lets_a_writer_try_again)
{
  int fd = open (at ("k"), O_WRONLY | O_CLOEXEC);

  assert_ok (fd);
  make_read_only ();
  assert_errno (pwrite (fd, "new", 3, 0), EROFS);
  make_writable ();
  cr_assert_eq (pwrite (fd, "new", 3, 0), 3);
  assert_ok (fsync (fd));
  assert_witnessed (at ("k"), "new");
  assert_ok (close (fd));
  assert_works ();
}

/* Nothing can be renewed or removed; what has ended is gone all the same, and removed once that is possible. */
Test (a_file_system_turned_read_only, shows_nothing_past_its_deadline)
{
  gint64 put_ns;

  assert_ok (put (at ("short"), "value"));
  assert_ok (set_xattr (at ("short"), "user.ttlfs.ttl", "700ms"));
  put_ns = mtime_ns (at ("short"));
  make_read_only ();
  sleep_until (put_ns + 700 * MS);
  assert_absent (at ("short"));
  assert_stays (300, !exists (at ("short")));
  assert_can_be_read ();
  cr_assert (exists (raw ("short")));
  make_writable ();
  assert_eventually (5000, !exists (raw ("short")));
  assert_works ();
}

Test (a_file_system_turned_read_only, does_not_keep_the_daemon_from_ending)
{
  make_read_only ();
  assert_can_be_read ();
  mount_stop (mount_number (1));
  make_writable ();
  mount_start ("ttl=1h");
  assert_can_be_read ();
}
