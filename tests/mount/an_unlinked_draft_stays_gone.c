/* A writer that removes its key goes on writing to a file without a name. */
#include "mount.h"

TestSuite (an_unlinked_draft, .init = mount_setup, .fini = mount_teardown, .timeout = 60);

static int
published_and_unlinked (void)
{
  int fd = open (at ("k"), O_RDWR | O_CREAT, 0666);

  assert_ok (fd);
  assert_ok (write_all (fd, "published"));
  assert_ok (fsync (fd));
  assert_witnessed (at ("k"), "published");
  assert_ok (unlink (at ("k")));
  return fd;
}

Test (an_unlinked_draft, is_absent_while_it_is_written)
{
  int fd = published_and_unlinked ();

  assert_absent (at ("k"));
  assert_ok (write_all (fd, " again"));
  assert_absent (at ("k"));
  assert_hidden (at ("k"));
  cr_assert_str_eq (get_fd (fd), "published again");
  assert_ok (close (fd));
}

Test (an_unlinked_draft, is_not_published_by_fsync_or_close)
{
  int fd = published_and_unlinked ();

  assert_ok (write_all (fd, " again"));
  assert_ok (fsync (fd));
  assert_absent (at ("k"));
  assert_ok (write_all (fd, " and again"));
  assert_ok (close (fd));
  assert_absent (at ("k"));
  assert_hidden (at ("k"));
  assert_stays (100, count_files (backing_dir ()) == 0);
}

Test (an_unlinked_draft, leaves_its_name_to_others)
{
  int fd = published_and_unlinked ();

  assert_ok (write_all (fd, " again"));
  assert_ok (put_with (at ("k"), O_CREAT | O_EXCL, "another"));
  assert_witnessed (at ("k"), "another");
  assert_ok (write_all (fd, " and again"));
  assert_ok (fsync (fd));
  assert_ok (close (fd));
  assert_witnessed (at ("k"), "another");
  assert_stays (100, g_strcmp0 (witness_get (at ("k")), "another") == 0);
}

Test (an_unlinked_draft, that_was_never_published_stays_gone_too)
{
  int fd = open (at ("k"), O_RDWR | O_CREAT, 0666);

  assert_ok (fd);
  assert_ok (write_all (fd, "value"));
  assert_ok (unlink (at ("k")));
  assert_ok (write_all (fd, " again"));
  assert_absent (at ("k"));
  assert_ok (put_with (at ("k"), O_CREAT | O_EXCL, "another"));
  assert_ok (close (fd));
  assert_witnessed (at ("k"), "another");
}

Test (an_unlinked_draft, is_not_held)
{
  int fd;

  assert_ok (set_xattr (at ("."), "user.ttlfs.ttl", "200ms"));
  fd = published_and_unlinked ();
  assert_ok (write_all (fd, " again"));
  assert_stays (500, count_listed (at (".")) == 0);
  assert_ok (close (fd));
}
