/* fsync and fdatasync publish what has been written so far; later writes are the next draft. */
#include "mount.h"

TestSuite (fsync_, .init = mount_setup, .fini = mount_teardown, .timeout = 60);

Test (fsync_, publishes_a_new_key)
{
  int fd = open (at ("k"), O_WRONLY | O_CREAT, 0666);

  assert_ok (fd);
  assert_ok (write_all (fd, "one"));
  assert_hidden (at ("k"));
  assert_ok (fsync (fd));
  assert_witnessed (at ("k"), "one");
  assert_value (raw ("k"), "one");
  assert_ok (write_all (fd, " two"));
  assert_witnessed (at ("k"), "one");
  assert_ok (close (fd));
  assert_witnessed (at ("k"), "one two");
}

Test (fsync_, of_data_alone_publishes_too)
{
  int fd;

  assert_ok (put (at ("k"), "old"));
  fd = open (at ("k"), O_WRONLY | O_TRUNC);
  assert_ok (fd);
  assert_ok (write_all (fd, "new"));
  assert_witnessed (at ("k"), "old");
  assert_ok (fdatasync (fd));
  assert_witnessed (at ("k"), "new");
  assert_ok (close (fd));
}

Test (fsync_, without_a_change_leaves_the_lease_alone)
{
  gint64 mtime;
  int fd;

  assert_ok (put (at ("k"), "value"));
  mtime = mtime_ns (at ("k"));
  fd = open (at ("k"), O_WRONLY);
  assert_ok (fd);
  sleep_ms (20);
  assert_ok (fsync (fd));
  assert_ok (close (fd));
  cr_assert_eq (mtime_ns (at ("k")), mtime);
}

Test (fsync_, of_a_reader_and_of_a_bucket_succeeds)
{
  int fd;

  assert_ok (put (at ("k"), "value"));
  fd = open (at ("k"), O_RDONLY);
  assert_ok (fd);
  assert_ok (fsync (fd));
  assert_ok (close (fd));
  fd = open (at ("."), O_RDONLY | O_DIRECTORY);
  assert_ok (fd);
  assert_ok (fsync (fd));
  assert_ok (close (fd));
}

Test (fsync_, then_being_killed_keeps_what_was_synced)
{
  need ("python3");
  cr_assert_eq (bash ("python3 -c \"\n"
                      "import os, signal\n"
                      "fd = os.open('p', os.O_WRONLY | os.O_CREAT)\n"
                      "os.write(fd, b'synced'); os.fsync(fd); os.write(fd, b' and lost')\n"
                      "os.kill(os.getpid(), signal.SIGKILL)\n\"")
                    .status,
                137);
  assert_witnessed (at ("p"), "synced");
}
