/* unlink, and what becomes of open files whose names have gone; files that never had one. */
#include "mount.h"

TestSuite (a_removed_key, .init = mount_setup, .fini = mount_teardown, .timeout = 60);

Test (a_removed_key, is_gone_for_everybody)
{
  assert_ok (put (at ("k"), "value"));
  assert_ok (unlink (at ("k")));
  assert_absent (at ("k"));
  assert_hidden (at ("k"));
  cr_assert (!exists (raw ("k")));
  assert_errno (unlink (at ("k")), ENOENT);
}

Test (a_removed_key, stays_readable_where_it_is_open)
{
  struct stat st;
  int fd;

  assert_ok (put (at ("k"), "value"));
  fd = open (at ("k"), O_RDONLY);
  assert_ok (fd);
  assert_ok (unlink (at ("k")));
  cr_assert_str_eq (get_fd (fd), "value");
  assert_ok (fstat (fd, &st));
  cr_assert_eq (st.st_size, 5);
  assert_ok (close (fd));
}

/* The idiom of programs that want a nameless temporary file. */
Test (a_removed_key, that_its_writer_removed_is_never_published)
{
  int fd = open (at ("k"), O_RDWR | O_CREAT | O_EXCL, 0600);

  assert_ok (fd);
  assert_ok (write_all (fd, "temp"));
  assert_ok (unlink (at ("k")));
  assert_ok (write_all (fd, "orary"));
  cr_assert_str_eq (get_fd (fd), "temporary");
  assert_ok (close (fd));
  assert_hidden (at ("k"));
  cr_assert_eq (count_files (backing_dir ()), 0);
}

Test (a_removed_key, whose_old_value_was_open_for_writing_stays_removed)
{
  int fd;

  assert_ok (put (at ("k"), "value"));
  fd = open (at ("k"), O_RDWR);
  assert_ok (fd);
  assert_ok (unlink (at ("k")));
  assert_ok (write_all (fd, "changed"));
  cr_assert_str_eq (get_fd (fd), "changed");
  assert_ok (close (fd));
  assert_hidden (at ("k"));
}

Test (a_removed_key, gives_its_name_to_a_new_one)
{
  int fd;

  assert_ok (put (at ("k"), "old"));
  fd = open (at ("k"), O_RDONLY);
  assert_ok (fd);
  assert_ok (unlink (at ("k")));
  assert_ok (put (at ("k"), "new"));
  cr_assert_str_eq (get_fd (fd), "old");
  assert_witnessed (at ("k"), "new");
  assert_ok (close (fd));
  assert_witnessed (at ("k"), "new");
}

Test (a_removed_key, is_what_python_and_sort_use_for_scratch)
{
  need ("python3");
  assert_bash ("python3 -c \"\n"
               "import tempfile\n"
               "f = tempfile.TemporaryFile(dir='.')\n"
               "f.write(b'x' * 100000); f.seek(0)\n"
               "assert len(f.read()) == 100000\n"
               "g = tempfile.NamedTemporaryFile(dir='.')\n"
               "g.write(b'named'); g.flush(); g.close()\n\"; test -z \"$(ls -A)\"");
  assert_bash ("seq 200000 | sort -R > $TMP/in; sort -n -S 100k -T . $TMP/in | tail -1 > last; "
               "test $(cat last) = "
               "200000; test \"$(ls)\" = last");
}

Test (a_removed_key, may_never_have_had_a_name)
{
  int fd = open (at ("."), O_TMPFILE | O_RDWR, 0666);

  if (fd < 0)
    {
      cr_assert_eq (errno, EOPNOTSUPP, "O_TMPFILE: %s", g_strerror (errno));
      return;
    }
  assert_ok (write_all (fd, "value"));
  cr_assert_str_eq (get_fd (fd), "value");
  cr_assert_str_eq (listing (at (".")), "");
  if (linkat (AT_FDCWD, text ("/proc/self/fd/%d", fd), AT_FDCWD, at ("k"), AT_SYMLINK_FOLLOW) == 0)
    assert_witnessed (at ("k"), "value");
  assert_ok (close (fd));
}

Test (a_removed_key, of_a_tree_goes_with_rm_r)
{
  assert_bash ("mkdir -p a/b/c; for i in $(seq 100); do echo $i > a/b/c/k-$i; echo $i > a/k.$i; "
               "done; rm -rf a; "
               "test -z \"$(ls -A)\"");
  cr_assert_eq (count_files (backing_dir ()), 0);
}

Test (a_removed_key, can_be_put_and_removed_a_thousand_times)
{
  for (int i = 0; i < 1000; i++)
    {
      assert_ok (put (at ("k"), "value"));
      assert_ok (unlink (at ("k")));
      assert_errno (open (at ("k"), O_RDONLY), ENOENT);
    }
}
