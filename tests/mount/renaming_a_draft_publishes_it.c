/* "Write a temporary file, rename it over the real one": the value appears with the rename, also
 * while it is open. */
#include "mount.h"

TestSuite (renaming_a_draft, .init = mount_setup, .fini = mount_teardown, .timeout = 60);

Test (renaming_a_draft, publishes_it_under_the_new_name)
{
  int fd = open (at ("k.new"), O_WRONLY | O_CREAT | O_EXCL, 0666);

  assert_ok (fd);
  assert_ok (write_all (fd, "value"));
  assert_hidden (at ("k.new"));
  assert_ok (rename (at ("k.new"), at ("k")));
  assert_witnessed (at ("k"), "value");
  assert_hidden (at ("k.new"));
  assert_ok (close (fd));
  assert_witnessed (at ("k"), "value");
  assert_hidden (at ("k.new"));
}

Test (renaming_a_draft, over_an_old_value_replaces_it)
{
  int fd;

  assert_ok (put (at ("k"), "old"));
  fd = open (at ("k.new"), O_WRONLY | O_CREAT, 0666);
  assert_ok (fd);
  assert_ok (write_all (fd, "new"));
  assert_witnessed (at ("k"), "old");
  assert_ok (rename (at ("k.new"), at ("k")));
  assert_witnessed (at ("k"), "new");
  assert_ok (close (fd));
  assert_witnessed (at ("k"), "new");
}

Test (renaming_a_draft, and_writing_on_changes_the_new_name_only)
{
  int fd = open (at ("a"), O_WRONLY | O_CREAT, 0666);

  assert_ok (fd);
  assert_ok (write_all (fd, "one"));
  assert_ok (rename (at ("a"), at ("b")));
  assert_ok (write_all (fd, " two"));
  assert_witnessed (at ("b"), "one");
  assert_ok (close (fd));
  assert_witnessed (at ("b"), "one two");
  assert_hidden (at ("a"));
}

Test (renaming_a_draft, of_an_existing_key_publishes_the_draft)
{
  int fd;

  assert_ok (put (at ("a"), "old"));
  fd = open (at ("a"), O_WRONLY | O_TRUNC);
  assert_ok (fd);
  assert_ok (write_all (fd, "new"));
  assert_ok (rename (at ("a"), at ("b")));
  assert_witnessed (at ("b"), "new");
  assert_hidden (at ("a"));
  assert_ok (close (fd));
  assert_witnessed (at ("b"), "new");
  assert_hidden (at ("a"));
}

Test (renaming_a_draft, is_not_for_others)
{
  int fd = open (at ("a"), O_WRONLY | O_CREAT, 0666);

  assert_ok (fd);
  assert_ok (write_all (fd, "value"));
  cr_assert_neq (bash ("mv a b").status, 0);
  assert_hidden (at ("b"));
  assert_ok (close (fd));
  assert_witnessed (at ("a"), "value");
}

Test (renaming_a_draft, of_scratch_publishes_the_key)
{
  int fd = open (at (".tmp_17"), O_WRONLY | O_CREAT | O_EXCL, 0666);

  assert_ok (fd);
  assert_ok (write_all (fd, "value"));
  assert_ok (rename (at (".tmp_17"), at ("k")));
  assert_witnessed (at ("k"), "value");
  assert_ok (close (fd));
  assert_witnessed (at ("k"), "value");
  assert_value (raw ("k"), "value");
}
