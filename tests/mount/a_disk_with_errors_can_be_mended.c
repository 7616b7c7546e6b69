/* An ext4 that finds an error on its disk turns read-only at once, with everything open in it: every writer is told, and
 * nothing is lost. Unmounted by force, checked and mounted again it serves the mount that was there all the time. */
#include "mount.h"

#include <sys/mount.h>

static const char *
image (void)
{
  return text ("%s/image", work_dir ());
}

static void
mount_disk (void)
{
  Output output = run ("mount", "-o", "loop,errors=remount-ro", image (), backing_dir (), NULL);

  cr_assert_eq (output.status, 0, "%s", output.err);
}

static void
mount_on_a_disk (void)
{
  if (geteuid () != 0)
    cr_skip ("needs root, to mount a file system");
  mount_unseen ();
  mount_prepare ();
  assert_bash ("truncate -s 64M $TMP/image && mkfs.ext4 -q -F $TMP/image");
  mount_disk ();
  mount_start ("ttl=1h");
  assert_ok (put (at ("k"), "old"));
}

TestSuite (a_disk_with_errors, .init = mount_on_a_disk, .fini = mount_teardown_covered,
           .timeout = 60);

static const char *
device (void)
{
  Output output = run ("findmnt", "-n", "-o", "SOURCE", "--mountpoint", backing_dir (), NULL);
  g_autofree char *base = g_path_get_basename (output.out);

  cr_assert_eq (output.status, 0);
  return text ("%s", g_strchomp (base));
}

static void
find_an_error (void)
{
  assert_ok (put (text ("/sys/fs/ext4/%s/trigger_fs_error", device ()), "a test"));
}

static void
sync_disk (void)
{
  int fd = open (backing_dir (), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  assert_ok (fd);
  assert_ok (syncfs (fd));
  assert_ok (close (fd));
}

static void
mend (void)
{
  assert_ok (umount2 (backing_dir (), MNT_DETACH));
  /* Of a file system that is still in use it would be the same one, errors and all, that is mounted. */
  cr_assert (EVENTUALLY (5000, run ("losetup", "-j", image (), NULL).out[0] == '\0'),
             "the disk is still in use");
  cr_assert_leq (run ("e2fsck", "-f", "-p", image (), NULL).status, 1);
  mount_disk ();
}

Test (a_disk_with_errors, is_what_write_and_fsync_and_close_report)
{
  int fd = open (at ("k"), O_WRONLY | O_TRUNC | O_CLOEXEC);
  int fresh = open (at ("fresh"), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);

  assert_ok (fd);
  assert_ok (fresh);
  assert_ok (write_all (fd, "new"));
  assert_ok (write_all (fresh, "new"));
  find_an_error ();
  assert_errno (write_all (fd, " value"), EROFS);
  assert_errno (fsync (fd), EROFS);
  assert_errno (close (fd), EROFS);
  assert_errno (close (fresh), EROFS);
  assert_witnessed (at ("k"), "old");
  assert_hidden (at ("fresh"));
  assert_errno (put (at ("k"), "new"), EROFS);
  assert_errno (unlink (at ("k")), EROFS);
  assert_witnessed (at ("k"), "old");
}

Test (a_disk_with_errors, is_served_again_once_it_is_mended)
{
  sync_disk (); /* an ext4 that stops takes with it what was not on the disk yet */
  find_an_error ();
  assert_errno (put (at ("k"), "new"), EROFS);
  mend ();
  assert_eventually (2000, exists (at ("k")));
  assert_value (at ("k"), "old");
  assert_ok (put (at ("k"), "new"));
  assert_witnessed (at ("k"), "new");
  assert_value (raw ("k"), "new");
}
