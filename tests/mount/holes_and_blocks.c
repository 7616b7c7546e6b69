/* lseek to data and holes, fallocate and copy_file_range work on drafts as on files, where the
 * backing can do it. */
#include "mount.h"

TestSuite (holes_and_blocks, .init = mount_setup, .fini = mount_teardown, .timeout = 60);

Test (holes_and_blocks, of_a_sparse_value_are_found)
{
  int fd = open (at ("k"), O_RDWR | O_CREAT, 0666);
  off_t data;

  assert_ok (fd);
  cr_assert_eq (pwrite (fd, "data", 4, 1 << 20), 4);
  data = lseek (fd, 0, SEEK_DATA);
  cr_assert (data >= 0 && data <= 1 << 20, "data at %ld: %s", (long)data, g_strerror (errno));
  cr_assert_eq (lseek (fd, 1 << 20, SEEK_HOLE), (1 << 20) + 4);
  assert_errno (lseek (fd, 1 << 21, SEEK_DATA), ENXIO);
  assert_ok (close (fd));
  fd = open (at ("k"), O_RDONLY);
  assert_ok (fd);
  data = lseek (fd, 0, SEEK_DATA);
  cr_assert (data >= 0 && data <= 1 << 20);
  cr_assert_eq (lseek (fd, 0, SEEK_END), (1 << 20) + 4);
  cr_assert_eq (lseek (fd, -4, SEEK_CUR), 1 << 20);
  assert_ok (close (fd));
}

Test (holes_and_blocks, of_a_sparse_value_survive_a_change)
{
  int fd = open (at ("k"), O_RDWR | O_CREAT, 0666);
  struct stat st;

  assert_ok (fd);
  assert_ok (ftruncate (fd, 64 << 20));
  cr_assert_eq (pwrite (fd, "x", 1, 32 << 20), 1);
  assert_ok (close (fd));
  fd = open (at ("k"), O_RDWR);
  assert_ok (fd);
  cr_assert_eq (pwrite (fd, "y", 1, 0), 1);
  assert_ok (close (fd));
  assert_ok (stat_of (at ("k"), &st));
  cr_assert_eq (st.st_size, 64 << 20);
  assert_bash ("test $(tr -d '\\0' < k) = yx");
}

/* What the backing file system itself says to the same call, 0 or the errno. */
static int
raw_fallocate (int mode)
{
  const char *path = text ("%s/.tmp_probe", backing_dir ());
  int fd = open (path, O_RDWR | O_CREAT, 0666), error;

  assert_ok (fd);
  assert_ok (ftruncate (fd, 1 << 16));
  error = fallocate (fd, mode, 0, 1 << 15) < 0 ? errno : 0;
  assert_ok (close (fd));
  assert_ok (unlink (path));
  return error;
}

Test (holes_and_blocks, can_be_allocated)
{
  int expected = raw_fallocate (0), fd = open (at ("k"), O_RDWR | O_CREAT, 0666);
  struct stat st;

  assert_ok (fd);
  if (expected != 0)
    {
      assert_errno (fallocate (fd, 0, 0, 100000), expected);
      assert_ok (close (fd));
      return;
    }
  assert_ok (fallocate (fd, 0, 0, 100000));
  assert_ok (fstat (fd, &st));
  cr_assert_eq (st.st_size, 100000);
  assert_hidden (at ("k"));
  assert_ok (fallocate (fd, FALLOC_FL_KEEP_SIZE, 100000, 100000));
  assert_ok (fstat (fd, &st));
  cr_assert_eq (st.st_size, 100000);
  assert_ok (close (fd));
  assert_ok (witness_stat (at ("k"), &st));
  cr_assert_eq (st.st_size, 100000);
}

Test (holes_and_blocks, can_be_punched)
{
  int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, fd;
  g_autofree char *full = g_strnfill (1 << 16, 'x');

  if (raw_fallocate (mode) != 0)
    return;
  assert_ok (put (at ("k"), full));
  fd = open (at ("k"), O_RDWR);
  assert_ok (fd);
  assert_ok (fallocate (fd, mode, 0, 1 << 15));
  cr_assert (g_strcmp0 (witness_get (at ("k")), full) == 0); /* it is a draft until it is closed */
  assert_ok (close (fd));
  assert_bash ("test $(tr -d '\\0' < k | wc -c) = 32768; test $(stat -c %s k) = 65536");
}

Test (holes_and_blocks, can_be_copied_between_keys)
{
  gsize len = 300000;
  g_autofree char *full = g_strnfill (len, 'x');
  int from, to;
  loff_t done = 0;

  assert_ok (put (at ("a"), full));
  from = open (at ("a"), O_RDONLY);
  to = open (at ("b"), O_WRONLY | O_CREAT, 0666);
  assert_ok (from);
  assert_ok (to);
  while (done < (loff_t)len)
    {
      ssize_t n = copy_file_range (from, NULL, to, NULL, len - (gsize)done, 0);

      assert_ok (n);
      cr_assert (n > 0, "it ends after %ld bytes", (long)done);
      done += n;
    }
  assert_hidden (at ("b"));
  assert_ok (close (to));
  assert_ok (close (from));
  cr_assert (g_strcmp0 (witness_get (at ("b")), full) == 0);
}

Test (holes_and_blocks, can_be_copied_over_part_of_a_key)
{
  int from, to;
  loff_t in = 2, out = 4;

  assert_ok (put (at ("a"), "0123456789"));
  assert_ok (put (at ("b"), "abcdefghij"));
  from = open (at ("a"), O_RDONLY);
  to = open (at ("b"), O_RDWR);
  assert_ok (from);
  assert_ok (to);
  cr_assert_eq (copy_file_range (from, &in, to, &out, 3, 0), 3);
  assert_witnessed (at ("b"), "abcdefghij");
  assert_ok (close (to));
  assert_ok (close (from));
  assert_witnessed (at ("b"), "abcd234hij");
}

Test (holes_and_blocks, are_counted_by_statfs)
{
  assert_bash ("test $(stat -f -c %l .) -ge 255; test $(stat -f -c %b .) -ge 0; test $(stat -f -c "
               "%S .) -gt 0");
}
