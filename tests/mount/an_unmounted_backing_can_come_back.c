/* umount -l of the backing file system takes it away from everybody who comes by its path: then it is gone for the mount as
 * well, and nothing goes where nobody would find it. Once there is a file system again the mount goes on. */
#include "mount.h"

#include <sys/mount.h>

#define DISK "disk"

/* The backing directory is a mount point: of a part of the file system under test, which can come back as it was. */
static void
mount_disk (void)
{
  assert_ok (mount (raw (DISK), backing_dir (), NULL, MS_BIND, NULL));
}

static void
mount_on_a_disk (void)
{
  if (geteuid () != 0)
    cr_skip ("needs root, to mount and unmount a file system");
  mount_unseen ();
  mount_prepare ();
  assert_ok (mkdir (raw (DISK), 0777));
  mount_disk ();
  mount_start ("ttl=1h");
}

static void
unmount_disk (void)
{
  assert_ok (umount2 (backing_dir (), MNT_DETACH));
}

TestSuite (an_unmounted_backing, .init = mount_on_a_disk, .fini = mount_teardown_covered,
           .timeout = 60);

static gboolean
is_unreachable (const char *name)
{
  return stat_of (at (name), NULL) < 0 && errno == EIO;
}

static void
assert_unreachable (void)
{
  assert_eventually (2000, is_unreachable ("never seen"));
  assert_eventually (100, is_unreachable ("k"));
  assert_errno (put (at ("k"), "value"), EIO);
  assert_errno (put (at ("new"), "value"), EIO);
  assert_errno (mkdir (at ("bucket"), 0777), EIO);
  assert_errno (put (at ("b/k"), "value"), EIO);
  errno = 0;
  cr_assert (listing (at (".")) == NULL);
  cr_assert_eq (errno, EIO, "listing: %s", g_strerror (errno));
}

Test (an_unmounted_backing, is_an_error_and_nothing_goes_below_it)
{
  assert_ok (mkdir (at ("b"), 0777));
  assert_ok (put (at ("k"), "value"));
  assert_ok (put (at ("b/k"), "value"));
  unmount_disk ();
  assert_unreachable ();
  cr_assert_str_eq (listing (backing_dir ()), DISK "\n");
  assert_value (raw (DISK "/k"), "value");
  assert_value (raw (DISK "/b/k"), "value");
  cr_assert (!exists (raw (DISK "/new")));
}

/* An empty directory is what most mount points are: it is not taken for the file system that belongs on it. */
Test (an_unmounted_backing, is_not_replaced_by_an_empty_mount_point)
{
  mount_stop (mount_number (1));
  unmount_disk ();
  cr_assert_eq (run ("rm", "-rf", raw (DISK), NULL).status, 0);
  assert_ok (mount ("disk", backing_dir (), "tmpfs", 0, NULL));
  mount_start ("ttl=1h");
  assert_ok (put (at ("k"), "value"));
  unmount_disk ();
  assert_unreachable ();
  assert_stays (300, is_unreachable ("new"));
  cr_assert_str_eq (listing (backing_dir ()), "");
  cr_assert_null (xattr (backing_dir (), "user.ttlfs.version"));
}

Test (an_unmounted_backing, goes_on_with_all_that_was_there_when_it_is_back)
{
  assert_ok (mkdir (at ("b"), 0777));
  for (int i = 0; i < 3; i++)
    {
      assert_ok (put (at ("k"), text ("value %d", i)));
      assert_ok (put (at ("b/k"), text ("value %d", i)));
      unmount_disk ();
      assert_unreachable ();
      mount_disk ();
      assert_eventually (2000, !is_unreachable ("k"));
      assert_value (at ("k"), text ("value %d", i));
      assert_value (at ("b/k"), text ("value %d", i));
    }
  assert_ok (put (at ("b/new"), "value"));
  assert_value (raw ("b/new"), "value");
  assert_ok (put_raw (raw ("b/peer"), "value"));
  assert_value (at ("b/peer"), "value");
}

/* Another file system on the same path is what peers see from now on. */
Test (an_unmounted_backing, is_replaced_by_what_is_mounted_there_then)
{
  mount_stop (mount_number (1));
  unmount_disk ();
  assert_ok (mount ("first", backing_dir (), "tmpfs", 0, NULL));
  mount_start ("ttl=1h");
  assert_ok (mkdir (at ("b"), 0777));
  assert_ok (put (at ("b/old"), "value"));
  unmount_disk ();
  assert_ok (mount ("second", backing_dir (), "tmpfs", 0, NULL));
  /* Likely with the inode number of b; before it was noticed, it may have gone where b is. */
  assert_eventually (2000, (mkdir (at ("c"), 0777), exists (raw ("c"))));
  assert_ok (put (at ("k"), "new"));
  assert_value (raw ("k"), "new");
  assert_absent (at ("b"));
  cr_assert_str_eq (listing (at (".")), "c\nk\n");
  assert_ok (mkdir (at ("b"), 0777));
  assert_ok (put (at ("b/k"), "of b"));
  assert_ok (put (at ("c/k"), "of c"));
  assert_value (raw ("b/k"), "of b");
  assert_value (raw ("c/k"), "of c");
}

/* The leases of what came back end, and a peer's changes are noticed: it is watched as before. */
Test (an_unmounted_backing, is_watched_again_once_it_is_back)
{
  assert_ok (put (at ("k"), "value"));
  assert_ok (set_xattr (at ("."), "user.ttlfs.ttl", "1s"));
  assert_ok (put (at ("before"), "value"));
  unmount_disk ();
  assert_unreachable ();
  mount_disk ();
  assert_eventually (2000, !is_unreachable ("k"));
  assert_ok (put_raw (raw ("peer"), "value"));
  assert_eventually (5000, count_files (backing_dir ()) == 0); /* nobody asks: the reaper knows */
}

/* Held by a descriptor that was opened before: its renewals go where the key is now. */
Test (an_unmounted_backing, has_its_keys_held_on_once_it_is_back)
{
  int fd = open (at ("held"), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);

  assert_ok (fd);
  assert_ok (set_xattr (at ("."), "user.ttlfs.ttl", "2s"));
  assert_ok (write_all (fd, "held"));
  assert_ok (fsync (fd));
  unmount_disk ();
  assert_unreachable ();
  mount_disk ();
  assert_eventually (1000, !is_unreachable ("held"));
  assert_stays (3000, exists (at ("held")));
  assert_ok (close (fd));
  assert_eventually (5000, !exists (raw ("held")));
}

/* What could not be published while its file system was away is an error at the latest at the close, never half a value. */
Test (an_unmounted_backing, leaves_whole_values_and_drafts_that_fail)
{
  int lost, kept;

  assert_ok (put (at ("k"), "old"));
  assert_ok (put (at ("l"), "old"));
  lost = open (at ("k"), O_WRONLY | O_TRUNC | O_CLOEXEC);
  kept = open (at ("l"), O_WRONLY | O_TRUNC | O_CLOEXEC);
  assert_ok (lost);
  assert_ok (kept);
  assert_ok (write_all (lost, "new"));
  assert_ok (write_all (kept, "new"));
  unmount_disk ();
  assert_unreachable ();
  assert_errno (close (lost), EIO);
  mount_disk ();
  assert_eventually (2000, !is_unreachable ("k"));
  assert_witnessed (at ("l"), "old");
  if (close (kept) == 0) /* a draft that has a scratch name finds its way */
    assert_witnessed (at ("l"), "new");
  else
    {
      cr_assert_eq (errno, EIO, "close: %s", g_strerror (errno));
      assert_witnessed (at ("l"), "old");
    }
  assert_witnessed (at ("k"), "old");
}

Test (an_unmounted_backing, does_not_keep_the_daemon_from_ending)
{
  assert_ok (put (at ("k"), "value"));
  unmount_disk ();
  assert_unreachable ();
  mount_stop (mount_number (1));
}

/* Nothing of a file system that was taken away stays in use, so that the disk can be had. */
Test (an_unmounted_backing, is_let_go)
{
  const char *left = text ("ls -l /proc/%d/fd | grep '> /$'", (int)mount_pid (mount_number (1)));

  assert_ok (mkdir (at ("b"), 0777));
  assert_ok (put (at ("b/k"), "value"));
  unmount_disk ();
  assert_unreachable ();
  /* Cut off, the root of a file system has no path but its own. */
  assert_eventually (2000, bash (left).status == 1);
  mount_disk ();
  assert_eventually (2000, !is_unreachable ("k"));
  assert_value (at ("b/k"), "value");
}
