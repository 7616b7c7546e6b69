/* Real input: a tree of headers, by cp, rsync and tar, identical while it lives and gone without a
 * trace after. */
#include "mount.h"

#define TREE "/usr/include/linux"

static void
mount_with_a_minute (void)
{
  mount_setup ();
  cr_assert (exists (TREE), TREE " is missing: install linux-libc-dev");
  assert_ok (mkdir (at ("b"), 0777));
  assert_ok (set_xattr (at ("b"), "user.ttlfs.ttl", "10m"));
}

TestSuite (a_tree, .init = mount_with_a_minute, .fini = mount_teardown, .timeout = 600);

static void
assert_same_then_gone (void)
{
  assert_bash ("diff -r " TREE " b/linux");
  assert_bash (
      "cd " TREE
      "; find . -type f | sort > $TMP/expected; cd $MNT/b/linux; find . -type f | sort | cmp "
      "$TMP/expected -");
  cr_assert_eq (count_scratch (backing_dir ()), 0);
  assert_ok (set_xattr (at ("b"), "user.ttlfs.ttl", "500ms"));
  sleep_ms (500); /* no file in it was put or renewed less than that ago */
  cr_assert_str_eq (bash ("find b -type f").out, "");
  assert_eventually (3000, count_files (backing_dir ()) == 0);
  assert_bash ("test $(find b -type d | wc -l) = $((1 + $(find " TREE " -type d | wc -l)))");
  assert_bash ("rm -r b/linux");
}

/* The times of the tree are years old, and are kept or renewed by every tool in its own way. */
Test (a_tree, copied_by_cp_is_the_same_then_gone)
{
  assert_bash ("cp -r " TREE " b");
  assert_same_then_gone ();
}

Test (a_tree, copied_by_cp_a_is_the_same_then_gone)
{
  assert_bash ("cp -a " TREE " b");
  assert_same_then_gone ();
}

Test (a_tree, copied_by_rsync_is_the_same_then_gone)
{
  need ("rsync");
  assert_bash ("rsync -a " TREE " b");
  assert_same_then_gone ();
}

Test (a_tree, unpacked_by_tar_is_the_same_then_gone)
{
  assert_bash ("tar -C /usr/include -cf - linux | tar -C b -xf -");
  assert_same_then_gone ();
}

Test (a_tree, copied_by_rsync_twice_is_left_as_it_is)
{
  need ("rsync");
  assert_bash ("rsync -a " TREE " b; rsync -rc --out-format=%n " TREE
               " b | grep -v '/$' > $TMP/changed; "
               "! test -s $TMP/changed");
}
