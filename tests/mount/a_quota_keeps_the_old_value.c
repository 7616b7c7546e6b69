/* A backing directory with a quota of its own, as btrfs gives it to a subvolume: whoever exceeds it is told EDQUOT, the old
 * value stays, and where something was removed there is room again. */
#include "mount.h"

#include <sys/mount.h>

#define DISK "/media" /* any directory that is always there: only this test sees it covered */
#define QUOTA (8 << 20)
#define PIECE 65536
#define LARGE 32 /* times PIECE, of which the quota has no room for five */

/* Where this kernel has no btrfs, tests/run may have been told to leave it out. */
static gboolean
may_be_left_out (void)
{
  return !g_strcmp0 (g_getenv ("TTLFS_ALLOW_MISSING_FS"), "1")
         && bash ("modprobe -q btrfs; grep -qw btrfs /proc/filesystems").status != 0;
}

static void
mount_under_a_quota (void)
{
  need_root ();
  need ("mkfs.btrfs");
  mount_unseen ();
  mount_prepare ();
  if (may_be_left_out ())
    return;
  assert_bash (text ("truncate -s 256M $TMP/image && mkfs.btrfs -q $TMP/image && "
                     "mount -o loop $TMP/image " DISK " && btrfs quota enable " DISK " && "
                     "btrfs subvolume create " DISK "/sub && btrfs qgroup limit %d " DISK "/sub && "
                     "mount --bind " DISK "/sub '%s'",
                     QUOTA, backing_dir ()));
  mount_start ("ttl=1h");
  assert_ok (put (at ("k"), "old"));
}

static void
teardown (void)
{
  mount_teardown_covered ();
  umount2 (DISK, MNT_DETACH);
}

TestSuite (a_quota, .init = mount_under_a_quota, .fini = teardown, .timeout = 120);

/* The first error that a writer of @n pieces is told: 0, or that of a write, of fsync or of close. Data that do not compress. */
static int
put_pieces (const char *path, int flags, int n)
{
  g_autofree guint32 *piece = g_new (guint32, PIECE / sizeof (guint32));
  int fd = open (path, O_WRONLY | O_CREAT | flags, 0666), err = fd < 0 ? errno : 0;

  for (int i = 0; err == 0 && i < n; i++)
    {
      for (gsize j = 0; j < PIECE / sizeof *piece; j++)
        piece[j] = g_random_int ();
      err = write (fd, piece, PIECE) == PIECE ? 0 : errno;
    }
  if (err == 0 && fsync (fd) < 0)
    err = errno;
  if (fd >= 0 && close (fd) < 0 && err == 0)
    err = errno;
  return err;
}

/* How many keys of LARGE pieces there was room for. */
static int
fill (void)
{
  for (int i = 0; i < 5; i++)
    {
      int err = put_pieces (at (text ("fill%d", i)), 0, LARGE);

      if (err == 0)
        continue;
      cr_assert_eq (err, EDQUOT, "%s", g_strerror (err));
      assert_absent (at (text ("fill%d", i)));
      return i;
    }
  cr_assert (FALSE, "the quota is not kept");
  return 0;
}

Test (a_quota, is_what_the_writer_is_told_and_the_old_value_stays)
{
  if (may_be_left_out ())
    return;
  cr_assert_gt (fill (), 0);
  cr_assert_eq (put_pieces (at ("k"), O_TRUNC, LARGE), EDQUOT);
  assert_witnessed (at ("k"), "old");
  cr_assert_eq (put_pieces (at ("k"), O_APPEND, LARGE), EDQUOT);
  assert_witnessed (at ("k"), "old");
  cr_assert_neq (bash ("head -c 4M /dev/urandom > k").status, 0);
  assert_witnessed (at ("k"), "old");
  assert_eventually (5000, count_scratch (backing_dir ()) == 0);
}

Test (a_quota, has_room_again_for_what_was_removed)
{
  if (may_be_left_out ())
    return;
  cr_assert_gt (fill (), 0);
  assert_ok (unlink (at ("fill0")));
  assert_ok (put (at ("k"), "new"));
  assert_witnessed (at ("k"), "new");
  assert_bash ("sync -f $BACKING");
  assert_eventually (30000, put_pieces (at ("again"), O_TRUNC, LARGE / 2) == 0);
}
