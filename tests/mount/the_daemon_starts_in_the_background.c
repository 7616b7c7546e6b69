/* Without -f the command returns when the mount answers, or says why it does not. */
#include "mount.h"

TestSuite (the_command, .init = mount_prepare, .fini = mount_teardown, .timeout = 60);

#define UNMOUNT "cd /; if test $(id -u) = 0; then umount $MNT; else fusermount3 -u $MNT; fi"

Test (the_command, returns_when_the_mount_answers)
{
  for (int i = 0; i < 10; i++)
    {
      assert_bash ("$TTLFS -o ttl=1h $BACKING $MNT && cd $MNT && echo v > k && test \"$(cat "
                   "$BACKING/k)\" = v && "
                   "rm k");
      assert_bash (UNMOUNT);
    }
}

Test (the_command, lets_go_of_its_terminal_and_directory)
{
  /* bash() reads until the last holder of stdout and stderr has closed them. */
  Output output = bash (
      "cd $TMP; mkdir here; cd here; $TTLFS -o ttl=1h $BACKING $MNT; cd /; rmdir $TMP/here");

  cr_assert_eq (output.status, 0, "%s", output.err);
  assert_ok (put (at ("k"), "value"));
  assert_bash (UNMOUNT);
}

Test (the_command, takes_relative_paths)
{
  assert_bash ("cd $(dirname $BACKING); $TTLFS -o ttl=1h $(basename $BACKING) $MNT; cd $MNT; echo "
               "v > k; test "
               "\"$(cat $BACKING/k)\" = v");
  assert_bash ("sleep 0.1; cd $MNT; mkdir b; echo v > b/k; test \"$(cat $BACKING/b/k)\" = v");
  assert_bash (UNMOUNT);
}

Test (the_command, says_why_it_failed)
{
  Output output = bash ("$TTLFS -o ttl=1h $BACKING $MNT/missing");

  cr_assert_neq (output.status, 0);
  cr_assert (strstr (output.err, "missing") != NULL, "%s", output.err);
}

Test (the_command, shows_its_name_among_the_mounts)
{
  assert_bash ("$TTLFS -o ttl=1h,fsname=jobs $BACKING $MNT; grep -q \" $MNT fuse.ttlfs .*\" "
               "/proc/mounts; grep -q "
               "\"^jobs $MNT \" /proc/mounts");
  assert_bash (UNMOUNT);
}

Test (the_command, allows_no_setuid_programs_and_no_devices)
{
  assert_bash (
      "$TTLFS -o ttl=1h $BACKING $MNT; grep \" $MNT \" /proc/mounts | grep nosuid | grep -q nodev");
  assert_bash (UNMOUNT);
}

/* What fstab may have for any file system, whether or not it means something for this one. */
Test (the_command, takes_what_mount_hands_through)
{
  static const char *const words[]
      = { "defaults,nofail,_netdev",    "atime,diratime,relatime,strictatime",
          "noatime,nodiratime,noexec",  "norelatime,nostrictatime,exec",
          "sync,dirsync,nosuid,nodev",  "async,suid,dev,auto",
          "noauto,user,users,owner,rw", "nouser,group,default_permissions" };

  for (guint i = 0; i < G_N_ELEMENTS (words); i++)
    {
      assert_ok (setenv ("WORDS", words[i], 1));
      assert_bash ("$TTLFS -o ttl=1h,$WORDS $BACKING $MNT && cd $MNT && echo v > k && cat k");
      assert_bash (UNMOUNT);
    }
}
