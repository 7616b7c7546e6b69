/* A mistyped path must not cost anybody their files: only an empty directory, a marked one, or -o
 * adopt. */
#include "mount.h"

TestSuite (a_directory, .init = mount_prepare, .fini = mount_teardown, .timeout = 60);

static Output
try_to_mount (const char *options)
{
  return run (ttlfs_program (), "-o", options, backing_dir (), at ("."), NULL);
}

/* A daemon that was started in the background is no child: it ends when its mount does. */
static void
unmount_background (void)
{
  assert_bash ("cd /; if test $(id -u) = 0; then umount $MNT; else fusermount3 -u $MNT; fi");
}

Test (a_directory, that_is_empty_is_taken)
{
  mount_start ("ttl=1h");
  assert_ok (put (at ("k"), "value"));
  assert_value (raw ("k"), "value");
}

Test (a_directory, that_holds_foreign_files_is_refused_and_untouched)
{
  Output output;
  const char *before;
  gint64 mtime;

  assert_bash ("cd $BACKING; echo precious > thesis; mkdir photos; echo image > photos/1; touch -d "
               "'1 year ago' "
               "thesis photos/1 photos");
  before
      = bash (
            "cd $BACKING; find . -printf '%p %s %m %T@\\n' | sort; getfattr -d -m - . 2> /dev/null")
            .out;
  mtime = mtime_ns (raw ("thesis"));
  output = try_to_mount ("ttl=100ms");
  cr_assert_neq (output.status, 0);
  cr_assert (strstr (output.err, "adopt") != NULL, "the message is no help: %s", output.err);
  cr_assert (strstr (output.err, backing_dir ()) != NULL, "the message names no directory: %s",
             output.err);
  cr_assert (!is_mounted (at (".")));
  sleep_ms (500);
  cr_assert_eq (mtime_ns (raw ("thesis")), mtime);
  assert_value (raw ("thesis"), "precious\n");
  cr_assert_str_eq (
      bash ("cd $BACKING; find . -printf '%p %s %m %T@\\n' | sort; getfattr -d -m - . 2> "
            "/dev/null")
          .out,
      before);
}

Test (a_directory, that_holds_only_a_hidden_file_is_refused)
{
  assert_ok (put (raw (".hidden"), "precious"));
  cr_assert_neq (try_to_mount ("ttl=1h").status, 0);
}

Test (a_directory, is_taken_with_adopt)
{
  assert_ok (put (raw ("k"), "value"));
  assert_ok (mkdir (raw ("b"), 0777));
  assert_ok (put (raw ("b/worker%2D1"), "value"));
  mount_start ("adopt,ttl=1h");
  assert_value (at ("k"), "value");
  assert_value (at ("b/worker-1"), "value");
}

Test (a_directory, once_adopted_needs_no_adopt)
{
  assert_ok (put (raw ("k"), "value"));
  mount_stop (mount_start ("adopt,ttl=1h"));
  mount_start ("ttl=1h");
  assert_value (at ("k"), "value");
}

Test (a_directory, once_mounted_is_taken_again)
{
  mount_start ("ttl=1h");
  assert_ok (put (at ("k"), "value"));
  mount_stop (mount_number (1));
  mount_start ("ttl=1h");
  assert_value (at ("k"), "value");
}

Test (a_directory, is_not_changed_where_files_cannot_have_attributes)
{
  mount_start ("ttl=1h");
  assert_ok (mkdir (at ("b"), 0777));
  assert_ok (set_xattr (at ("b"), "user.ttlfs.ttl", "5m"));
  assert_ok (put (at ("b/k"), "value"));
  cr_assert_str_eq (listing (raw ("b")), "k\n"); /* settings are never kept inside a bucket */
  cr_assert_str_eq (listing (at (".")), "b\n");
}

Test (a_directory, that_is_marked_starts_in_the_background)
{
  Output output = try_to_mount ("ttl=1h");

  cr_assert_eq (output.status, 0, "%s", output.err);
  assert_ok (put (at ("k"), "value"));
  assert_value (raw ("k"), "value");
  unmount_background ();
}
