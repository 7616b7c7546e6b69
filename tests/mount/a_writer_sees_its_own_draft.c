/* To the process that writes it, a draft is an ordinary open file. */
#include "mount.h"

TestSuite (a_writer, .init = mount_setup, .fini = mount_teardown, .timeout = 60);

Test (a_writer, sees_the_size_of_its_new_key)
{
  struct stat st;
  int fd = open (at ("k"), O_WRONLY | O_CREAT, 0640);

  assert_ok (fd);
  assert_ok (fstat (fd, &st));
  cr_assert_eq (st.st_size, 0);
  assert_ok (write_all (fd, "12345"));
  assert_ok (fstat (fd, &st));
  cr_assert_eq (st.st_size, 5);
  assert_ok (stat_of (at ("k"), &st)); /* by its path, too */
  cr_assert_eq (st.st_size, 5);
  cr_assert_eq (st.st_mode & 0777, 0640);
  assert_hidden (at ("k"));
  assert_ok (close (fd));
}

Test (a_writer, sees_the_size_of_its_new_value)
{
  struct stat st;
  int fd;

  assert_ok (put (at ("k"), "the old value"));
  fd = open (at ("k"), O_WRONLY | O_TRUNC);
  assert_ok (fd);
  assert_ok (fstat (fd, &st));
  cr_assert_eq (st.st_size, 0);
  assert_ok (write_all (fd, "12345"));
  assert_ok (fstat (fd, &st));
  cr_assert_eq (st.st_size, 5);
  assert_ok (stat_of (at ("k"), &st));
  cr_assert_eq (st.st_size, 5);
  assert_witnessed (at ("k"), "the old value");
  assert_ok (close (fd));
}

Test (a_writer, reads_back_what_it_wrote)
{
  int fd = open (at ("k"), O_RDWR | O_CREAT | O_TRUNC, 0666);

  assert_ok (fd);
  assert_ok (write_all (fd, "first"));
  cr_assert_str_eq (get_fd (fd), "first");
  cr_assert_eq (pwrite (fd, "F", 1, 0), 1);
  cr_assert_str_eq (get_fd (fd), "First");
  assert_hidden (at ("k"));
  assert_ok (close (fd));
}

Test (a_writer, reads_old_and_new_mixed_in_its_draft)
{
  int fd;

  assert_ok (put (at ("k"), "0123456789"));
  fd = open (at ("k"), O_RDWR);
  assert_ok (fd);
  cr_assert_str_eq (get_fd (fd), "0123456789");
  cr_assert_eq (pwrite (fd, "ab", 2, 2), 2);
  cr_assert_str_eq (get_fd (fd), "01ab456789");
  assert_witnessed (at ("k"), "0123456789");
  assert_ok (close (fd));
}

Test (a_writer, sees_times_and_mode_it_set)
{
  struct timespec times[2] = { { .tv_sec = 1900000000 }, { .tv_sec = 1900000001 } };
  struct stat st;
  int fd = open (at ("k"), O_WRONLY | O_CREAT, 0666);

  assert_ok (fd);
  assert_ok (futimens (fd, times));
  assert_ok (fchmod (fd, 0611));
  assert_ok (fstat (fd, &st));
  cr_assert_eq (st.st_mtim.tv_sec, 1900000001);
  cr_assert_eq (st.st_mode & 0777, 0611);
  assert_ok (close (fd));
  assert_ok (witness_stat (at ("k"), &st));
  cr_assert_eq (st.st_mtim.tv_sec, 1900000001);
  cr_assert_eq (st.st_mode & 0777, 0611);
}

Test (a_writer, in_python_finds_its_file_by_path)
{
  need ("python3");
  assert_bash ("python3 -c \"\n"
               "import os\n"
               "f = open('k', 'w')\n"
               "assert os.path.exists('k')\n"
               "f.write('12345'); f.flush()\n"
               "assert os.stat('k').st_size == 5\n"
               "os.chmod('k', 0o600)\n"
               "f.close()\n"
               "assert os.stat('k').st_mode & 0o777 == 0o600\n"
               "assert open('k').read() == '12345'\n"
               "\"");
}

Test (a_writer, can_go_on_after_its_first_publication)
{
  int fd = open (at ("k"), O_RDWR | O_CREAT, 0666);

  assert_ok (fd);
  assert_ok (write_all (fd, "one"));
  assert_ok (fsync (fd));
  assert_witnessed (at ("k"), "one");
  assert_ok (write_all (fd, " two"));
  assert_witnessed (at ("k"), "one");
  cr_assert_str_eq (get_fd (fd), "one two");
  assert_ok (close (fd));
  assert_witnessed (at ("k"), "one two");
}
