/* Mode, owner, times and user attributes of keys and buckets, as on any file system. */
#include "mount.h"

#include <sys/xattr.h>

TestSuite (attributes, .init = mount_setup, .fini = mount_teardown, .timeout = 60);

Test (attributes, of_a_new_key_follow_the_umask)
{
  static const struct
  {
    const char *script;
    mode_t mode;
  } cases[]
      = { { "umask 022; echo v > k", 0644 }, { "umask 077; echo v > k", 0600 },
          { "umask 000; echo v > k", 0666 }, { "umask 027; install -m 755 /dev/null k", 0755 },
          { "umask 027; mkdir k", 0750 },    { "umask 000; mkdir -m 1777 k", 01777 } };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      assert_bash (text ("rm -rf k; %s", cases[i].script));
      cr_assert_eq (mode_of (at ("k")), cases[i].mode, "'%s' gives %o", cases[i].script,
                    mode_of (at ("k")));
      cr_assert_eq (mode_of (raw ("k")), cases[i].mode, "'%s' gives %o below", cases[i].script,
                    mode_of (raw ("k")));
    }
}

Test (attributes, of_a_key_are_changed_by_chmod)
{
  static const mode_t modes[] = { 0600, 0, 0777, 04755, 02750, 0444 };

  assert_ok (put (at ("k"), "value"));
  for (guint i = 0; i < G_N_ELEMENTS (modes); i++)
    {
      assert_ok (chmod (at ("k"), modes[i]));
      cr_assert_eq (mode_of (at ("k")), modes[i]);
      cr_assert_eq (mode_of (raw ("k")), modes[i]);
    }
  assert_ok (mkdir (at ("b"), 0777));
  assert_ok (chmod (at ("b"), 03775));
  cr_assert_eq (mode_of (at ("b")), 03775);
}

Test (attributes, changing_the_mode_renews_nothing)
{
  gint64 mtime;

  assert_ok (put (at ("k"), "value"));
  mtime = mtime_ns (at ("k"));
  sleep_ms (20);
  assert_ok (chmod (at ("k"), 0600));
  assert_ok (set_xattr (at ("k"), "user.ttlfs.ttl", "30m"));
  cr_assert_eq (mtime_ns (at ("k")), mtime);
}

Test (attributes, of_a_key_belong_to_who_made_it)
{
  struct stat st;

  need_root ();
  assert_ok (chmod (at ("."), 01777));
  cr_assert_eq (bash_as (1001, "echo v > k; mkdir b").status, 0);
  assert_ok (stat_of (at ("k"), &st));
  cr_assert (st.st_uid == 1001 && st.st_gid == 1001);
  assert_ok (stat_of (raw ("k"), &st));
  cr_assert (st.st_uid == 1001 && st.st_gid == 1001);
  assert_ok (stat_of (at ("b"), &st));
  cr_assert (st.st_uid == 1001 && st.st_gid == 1001);
}

Test (attributes, of_owner_are_changed_by_chown)
{
  struct stat st;

  need_root ();
  assert_ok (put (at ("k"), "value"));
  assert_ok (chmod (at ("k"), 06755));
  assert_ok (chown (at ("k"), 1001, 1002));
  assert_ok (stat_of (at ("k"), &st));
  cr_assert (st.st_uid == 1001 && st.st_gid == 1002);
  cr_assert_eq (bash_as (1003, "chown 1003 k").status, 1);
  assert_ok (chown (at ("k"), (uid_t)-1, 1004));
  assert_ok (stat_of (at ("k"), &st));
  cr_assert (st.st_uid == 1001 && st.st_gid == 1004);
}

Test (attributes, of_a_setgid_bucket_pass_on_its_group)
{
  struct stat st;

  need_root ();
  assert_ok (mkdir (at ("b"), 0777));
  assert_ok (chown (at ("b"), 0, 1234));
  assert_ok (chmod (at ("b"), 02777));
  cr_assert_eq (bash_as (1001, "echo v > b/k; mkdir b/c").status, 0);
  assert_ok (stat_of (at ("b/k"), &st));
  cr_assert_eq (st.st_gid, 1234);
  cr_assert_eq (st.st_uid, 1001);
  assert_ok (stat_of (at ("b/c"), &st));
  cr_assert_eq (st.st_gid, 1234);
  cr_assert (st.st_mode & S_ISGID, "a bucket made in it is not setgid");
}

Test (attributes, of_time_can_be_set_to_the_nanosecond_the_file_system_has)
{
  struct timespec times[2] = { { .tv_sec = 1999999999, .tv_nsec = 123456789 },
                               { .tv_sec = 2000000000, .tv_nsec = 987654321 } };
  struct stat through, below;

  assert_ok (put (at ("k"), "value"));
  assert_ok (utimensat (AT_FDCWD, at ("k"), times, 0));
  assert_ok (stat_of (at ("k"), &through));
  assert_ok (stat_of (raw ("k"), &below));
  cr_assert_eq (through.st_mtim.tv_sec, 2000000000);
  cr_assert_eq (through.st_mtim.tv_nsec, below.st_mtim.tv_nsec);
  cr_assert_eq (through.st_atim.tv_sec, 1999999999);
}

Test (attributes, of_users_can_be_stored)
{
  assert_ok (put (at ("k"), "value"));
  if (!backing_has_xattrs ())
    {
      assert_errno (set_xattr (at ("k"), "user.colour", "blue"), ENOTSUP);
      return;
    }
  assert_ok (set_xattr (at ("k"), "user.colour", "blue"));
  cr_assert_str_eq (xattr (at ("k"), "user.colour"), "blue");
  cr_assert_str_eq (xattr (raw ("k"), "user.colour"), "blue");
  cr_assert (lists_xattr (at ("k"), "user.colour"));
  assert_errno (lsetxattr (at ("k"), "user.colour", "red", 3, XATTR_CREATE), EEXIST);
  assert_ok (lsetxattr (at ("k"), "user.colour", "red", 3, XATTR_REPLACE));
  assert_ok (removexattr (at ("k"), "user.colour"));
  cr_assert (xattr (at ("k"), "user.colour") == NULL && errno == ENODATA);
  assert_errno (removexattr (at ("k"), "user.colour"), ENODATA);
  assert_errno (lsetxattr (at ("k"), "user.colour", "red", 3, XATTR_REPLACE), ENODATA);
  assert_ok (mkdir (at ("b"), 0777));
  assert_ok (set_xattr (at ("b"), "user.colour", "green"));
  cr_assert_str_eq (xattr (at ("b"), "user.colour"), "green");
}

Test (attributes, answer_access)
{
  need_root ();
  assert_ok (put (at ("k"), "value"));
  assert_ok (chmod (at ("k"), 0640));
  assert_ok (access (at ("k"), F_OK | R_OK | W_OK));
  assert_errno (access (at ("k"), X_OK), EACCES);
  cr_assert_eq (bash_as (1001, "test -e k && ! test -r k && ! test -w k && ! test -x k").status, 0);
}

Test (attributes, include_sizes_and_blocks)
{
  struct stat st, below;

  assert_bash ("head -c 1000000 /dev/zero | tr '\\0' x > k");
  assert_ok (stat_of (at ("k"), &st));
  assert_ok (stat_of (raw ("k"), &below));
  cr_assert_eq (st.st_size, 1000000);
  cr_assert_eq (st.st_blocks, below.st_blocks);
  cr_assert_eq (st.st_nlink, 1);
}
