/* A value may be larger than 32 bits can count, and what nobody wrote in it takes no room. */
#include "mount.h"

#define GIB (G_GINT64_CONSTANT (1) << 30)
#define SIZE (4 * GIB + 5)

TestSuite (a_large_value, .init = mount_setup, .fini = mount_teardown, .timeout = 120);

/* A ramfs has holes but cannot tell where, and would read them in for good: there, nothing is read or copied. */
static gboolean
holes_can_be_found (void)
{
  int fd = open (raw (".tmp_probe"), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  gboolean found;

  assert_ok (fd);
  assert_ok (ftruncate (fd, 1 << 20));
  found = lseek (fd, 0, SEEK_HOLE) == 0;
  assert_ok (close (fd));
  assert_ok (unlink (raw (".tmp_probe")));
  return found;
}

static void
put_large (void)
{
  int fd = open (at ("k"), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  struct stat st;

  assert_ok (fd);
  assert_ok (ftruncate (fd, SIZE));
  assert_ok (fstat (fd, &st));
  cr_assert_eq (st.st_size, SIZE);
  cr_assert_eq (pwrite (fd, "middle", 6, 2 * GIB - 3), 6); /* across the sign bit */
  cr_assert_eq (pwrite (fd, "end", 3, SIZE - 3), 3);
  assert_hidden (at ("k"));
  assert_ok (close (fd));
}

static void
assert_holds (const char *path, off_t offset, const char *expected)
{
  int fd = open (path, O_RDONLY | O_CLOEXEC);
  char found[16] = "";

  assert_ok (fd);
  cr_assert_eq (pread (fd, found, strlen (expected), offset), (ssize_t)strlen (expected));
  cr_assert_str_eq (found, expected);
  assert_ok (close (fd));
}

static void
assert_large_and_sparse (const char *path)
{
  struct stat st;

  assert_ok (stat_of (path, &st));
  cr_assert_eq (st.st_size, SIZE, "%ld bytes", (long)st.st_size);
  cr_assert_lt (st.st_blocks * 512, GIB, "%ld blocks", (long)st.st_blocks);
  assert_holds (path, 2 * GIB - 3, "middle");
  assert_holds (path, SIZE - 3, "end");
}

Test (a_large_value, comes_back_and_takes_no_room)
{
  struct stat in_mount, in_backing;

  put_large ();
  assert_large_and_sparse (at ("k"));
  assert_large_and_sparse (raw ("k"));
  assert_ok (stat_of (at ("k"), &in_mount));
  assert_ok (stat_of (raw ("k"), &in_backing));
  cr_assert_eq (in_mount.st_blocks, in_backing.st_blocks);
}

/* The mount finds data and holes where the backing file system does. */
Test (a_large_value, has_its_data_and_holes_found)
{
  const off_t from[] = { 0, 1, GIB, 2 * GIB - 3, 2 * GIB + 3, 3 * GIB, 4 * GIB, SIZE - 1 };
  int fd, raw_fd;

  put_large ();
  fd = open (at ("k"), O_RDONLY | O_CLOEXEC);
  raw_fd = open (raw ("k"), O_RDONLY | O_CLOEXEC);
  assert_ok (fd);
  assert_ok (raw_fd);
  for (guint i = 0; i < G_N_ELEMENTS (from); i++)
    {
      cr_expect_eq (lseek (fd, from[i], SEEK_DATA), lseek (raw_fd, from[i], SEEK_DATA));
      cr_expect_eq (lseek (fd, from[i], SEEK_HOLE), lseek (raw_fd, from[i], SEEK_HOLE));
    }
  cr_expect_eq (lseek (fd, 0, SEEK_END), SIZE);
  assert_errno (lseek (fd, SIZE, SEEK_DATA), ENXIO);
  assert_ok (close (raw_fd));
  assert_ok (close (fd));
}

Test (a_large_value, is_copied_without_its_holes_being_filled)
{
  put_large ();
  if (!holes_can_be_found ())
    return;
  assert_bash ("cp --sparse=always k copy && cp --reflink=never k $TMP/out && cp $TMP/out back");
  assert_large_and_sparse (at ("copy"));
  assert_large_and_sparse (raw ("back"));
}

Test (a_large_value, can_be_changed_in_one_place)
{
  int fd;

  put_large ();
  if (!holes_can_be_found ())
    return;
  fd = open (at ("k"), O_RDWR | O_CLOEXEC);
  assert_ok (fd);
  cr_assert_eq (pwrite (fd, "begin", 5, 0), 5);
  assert_ok (close (fd));
  assert_holds (at ("k"), 0, "begin");
  assert_large_and_sparse (raw ("k"));
}
