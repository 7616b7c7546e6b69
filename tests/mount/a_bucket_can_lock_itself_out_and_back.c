/* chmod 000 keeps everybody out of a bucket but not its owner from opening it again, also where the
 * daemon is no more than the owner itself. */
#include "mount.h"

#include <sys/mount.h>
#include <sys/sysmacros.h>

#define USER 65534 /* "nobody": fusermount3 asks for the name */

/* A /dev/fuse that a normal user may open, whatever the mode of the real one is. */
static void
open_dev_fuse_to_all (void)
{
  const char *device = text ("%s/fuse", work_dir ());

  mount_unseen ();
  assert_ok (mknod (device, S_IFCHR | 0666, makedev (10, 229)));
  assert_ok (chmod (device, 0666));
  assert_ok (mount (device, "/dev/fuse", NULL, MS_BIND, NULL));
}

/* Root becomes a normal user, whose the directories and a copy of the daemon are then. */
static void
become_a_user (void)
{
  const char *daemon = text ("%s/ttlfs", work_dir ());

  open_dev_fuse_to_all ();
  assert_bash (
      "cp \"$TTLFS\" $TMP/ttlfs && chmod 755 $TMP/ttlfs && chown -R 65534:65534 $TMP $BACKING");
  g_setenv ("TTLFS_BIN", daemon, TRUE);
  assert_ok (setresgid (USER, USER, USER));
  assert_ok (setresuid (USER, USER, USER));
}

static void
mount_as_a_user (void)
{
  mount_prepare ();
  need ("fusermount3");
  if (geteuid () == 0)
    become_a_user ();
  mount_start ("ttl=1h");
  assert_ok (mkdir (at ("b"), 0755));
  assert_ok (put (at ("b/k"), "value"));
}

TestSuite (a_bucket, .init = mount_as_a_user, .fini = mount_teardown, .timeout = 60);

Test (a_bucket, that_locked_its_owner_out_can_be_opened_again)
{
  assert_ok (chmod (at ("b"), 0));
  cr_assert_eq (mode_of (at ("b")), 0);
  cr_assert_eq (mode_of (raw ("b")), 0);
  assert_errno (open (at ("b/k"), O_RDONLY), EACCES);
  assert_errno (put (at ("b/new"), "value"), EACCES);
  cr_assert (listing (at ("b")) == NULL);
  assert_ok (chmod (at ("b"), 0755));
  cr_assert_eq (mode_of (at ("b")), 0755);
  cr_assert_str_eq (listing (at ("b")), "k\n");
  assert_value (at ("b/k"), "value");
  assert_ok (put (at ("b/new"), "value"));
  assert_value (raw ("b/new"), "value");
}

Test (a_bucket, that_locked_its_owner_out_can_be_opened_by_a_later_daemon)
{
  assert_ok (chmod (at ("b"), 0));
  mount_stop (mount_number (1));
  mount_start ("ttl=1h");
  assert_ok (put (at ("k"), "value"));
  cr_assert_eq (mode_of (at ("b")), 0);
  assert_ok (chmod (at ("b"), 0755));
  assert_value (at ("b/k"), "value");
  assert_ok (put (at ("b/new"), "value"));
}

Test (a_bucket, that_locked_its_owner_out_can_be_moved_and_removed)
{
  assert_ok (unlink (at ("b/k")));
  assert_ok (mkdir (at ("c"), 0));
  assert_ok (rename (at ("c"), at ("d")));
  cr_assert_eq (mode_of (at ("d")), 0);
  assert_ok (rmdir (at ("d")));
  assert_absent (at ("d"));
}

Test (a_bucket, around_one_that_locked_its_owner_out_goes_on)
{
  assert_ok (mkdir (at ("b/c"), 0755));
  assert_ok (put (at ("b/c/k"), "value"));
  assert_ok (chmod (at ("b/c"), 0));
  assert_ok (put (at ("b/new"), "value"));
  cr_assert_str_eq (listing (at ("b")), "c\nk\nnew\n");
  assert_ok (chmod (at ("b/c"), 0700));
  assert_value (at ("b/c/k"), "value");
}

Test (a_bucket, also_lets_a_key_lock_its_owner_out_and_back)
{
  assert_ok (chmod (at ("b/k"), 0));
  assert_errno (open (at ("b/k"), O_RDONLY), EACCES);
  assert_errno (put (at ("b/k"), "new"), EACCES);
  assert_ok (chmod (at ("b/k"), 0644));
  assert_value (at ("b/k"), "value");
  assert_ok (put (at ("b/k"), "new"));
  assert_value (at ("b/k"), "new");
}

static void
mount_as_root (void)
{
  need_root ();
  mount_setup ();
  assert_ok (chmod (at ("."), 0777));
}

TestSuite (a_mount_of_root, .init = mount_as_root, .fini = mount_teardown, .timeout = 60);

Test (a_mount_of_root, lets_another_user_lock_itself_out_and_back)
{
  Output output = bash_as (USER, "mkdir b; echo v > b/k; chmod 000 b; ! cat b/k && ! ls b && "
                                 "chmod 755 b && test $(cat b/k) = v && echo w > b/k");

  cr_assert_eq (output.status, 0, "%s", output.err);
  assert_witnessed (at ("b/k"), "w\n");
}
