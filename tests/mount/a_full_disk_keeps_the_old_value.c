/* A full disk is told to the writer, and the old value stays until a whole new one takes its
 * place. */
#include "mount.h"

#include <sys/mman.h>
#include <sys/mount.h>

#define DISK "/media" /* any directory that is always there: only this test sees it covered */
#define PIECE 65536
#define BALLAST 800000 /* of the disk's 1 MB */

/* The small disk goes away with the last process that can see it. */
static void
mount_on_a_small_disk (void)
{
  if (geteuid () != 0)
    cr_skip ("needs root, to mount a small file system");
  mount_unseen ();
  assert_ok (mount ("small", DISK, "tmpfs", 0, "size=1m"));
  g_setenv ("TTLFS_TEST_DIR", DISK, TRUE);
  mount_setup ();
  assert_ok (put (at ("k"), "old"));
  assert_bash ("head -c 4194304 /dev/zero > $TMP/big");
}

TestSuite (a_full_disk, .init = mount_on_a_small_disk, .fini = mount_teardown, .timeout = 60);

/* Opens k and writes until there is no more room; *@end_out is where the content ends then. */
static int
fill_disk_through_k (int flags, off_t *end_out)
{
  g_autofree char *piece = g_strnfill (PIECE, 'n');
  int fd = open (at ("k"), flags);
  ssize_t n;

  assert_ok (fd);
  *end_out = 0;
  while ((n = write (fd, piece, PIECE)) > 0)
    *end_out += n;
  cr_assert_eq (errno, ENOSPC, "%s", g_strerror (errno));
  cr_assert (*end_out > 0);
  return fd;
}

static const char *
ballast (void)
{
  return DISK "/ballast";
}

static void
put_ballast (void)
{
  g_autofree char *bytes = g_strnfill (BALLAST, 'b');

  assert_ok (put (ballast (), bytes));
}

static void
assert_all_n (gsize len)
{
  const char *value = witness_get (at ("k"));

  cr_assert (value != NULL, "%s", g_strerror (errno));
  cr_assert_eq (strlen (value), len, "%zu bytes instead of %zu", strlen (value), len);
  cr_assert_eq (strspn (value, "n"), len);
}

Test (a_full_disk, makes_cp_fail_and_keeps_the_old_value)
{
  cr_assert_neq (bash ("cp $TMP/big k").status, 0);
  assert_witnessed (at ("k"), "old");
  cr_assert_neq (bash ("cp $TMP/big new").status, 0);
  assert_hidden (at ("new"));
}

Test (a_full_disk, makes_a_redirection_fail_and_keeps_the_old_value)
{
  cr_assert_neq (bash ("cat $TMP/big > k").status, 0);
  assert_witnessed (at ("k"), "old");
  cr_assert_neq (bash ("cat $TMP/big >> k").status, 0);
  assert_witnessed (at ("k"), "old");
}

Test (a_full_disk, keeps_nothing_of_what_failed)
{
  g_autofree char *half = g_strnfill (1 << 19, 'n');

  for (int i = 0; i < 3; i++)
    cr_assert_neq (bash ("cat $TMP/big > k; cat $TMP/big > new").status, 0);
  assert_eventually (2000, count_files (backing_dir ()) == 1);
  assert_eventually (2000, put (at ("k"), half) == 0);
  assert_all_n (1 << 19);
}

Test (a_full_disk, is_what_fsync_and_close_report)
{
  off_t end;
  int fd = fill_disk_through_k (O_WRONLY | O_TRUNC, &end);

  assert_errno (fsync (fd), ENOSPC);
  assert_witnessed (at ("k"), "old");
  assert_errno (close (fd), ENOSPC);
  assert_witnessed (at ("k"), "old");
}

Test (a_full_disk, is_what_the_close_of_an_append_reports)
{
  off_t end;
  int fd = fill_disk_through_k (O_WRONLY | O_APPEND, &end);

  assert_errno (close (fd), ENOSPC);
  assert_witnessed (at ("k"), "old");
}

Test (a_full_disk, that_gets_room_again_lets_the_writer_go_on)
{
  g_autofree char *piece = g_strnfill (PIECE, 'n');
  off_t end;
  int fd;

  put_ballast ();
  fd = fill_disk_through_k (O_WRONLY | O_TRUNC, &end);
  assert_errno (fsync (fd), ENOSPC);
  assert_ok (unlink (ballast ()));
  cr_assert_eq (write (fd, piece, PIECE), PIECE);
  assert_ok (close (fd));
  assert_all_n ((gsize)end + PIECE);
}

Test (a_full_disk, that_gets_room_again_does_not_forget_what_is_missing)
{
  off_t end;
  int fd;

  put_ballast ();
  fd = fill_disk_through_k (O_WRONLY | O_TRUNC, &end);
  assert_ok (unlink (ballast ()));
  cr_assert_eq (pwrite (fd, "n", 1, end + PIECE), 1); /* behind the gap */
  assert_errno (fsync (fd), ENOSPC);
  assert_errno (close (fd), ENOSPC);
  assert_witnessed (at ("k"), "old");
}

Test (a_full_disk, that_gets_room_again_does_not_forget_the_first_of_two_gaps)
{
  off_t end;
  int fd;

  put_ballast ();
  fd = fill_disk_through_k (O_WRONLY | O_TRUNC, &end);
  assert_errno (pwrite (fd, "n", 1, end + PIECE), ENOSPC);
  assert_ok (unlink (ballast ()));
  cr_assert_eq (pwrite (fd, "n", 1, end + PIECE), 1);
  assert_errno (close (fd), ENOSPC);
  assert_witnessed (at ("k"), "old");
}

Test (a_full_disk, has_room_for_a_new_beginning)
{
  off_t end;
  int fd = fill_disk_through_k (O_WRONLY | O_TRUNC, &end);

  assert_ok (ftruncate (fd, 0));
  cr_assert_eq (pwrite (fd, "small", 5, 0), 5);
  assert_ok (close (fd));
  assert_witnessed (at ("k"), "small");
}

Test (a_full_disk, makes_msync_fail_and_keeps_the_old_value)
{
  const gsize len = 4 << 20;
  int fd = open (at ("k"), O_RDWR);
  char *map;

  assert_ok (fd);
  assert_ok (ftruncate (fd, (off_t)len));
  map = mmap (NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  cr_assert (map != MAP_FAILED, "mmap: %s", g_strerror (errno));
  memset (map, 'n', len);
  cr_assert_lt (msync (map, len, MS_SYNC), 0, "4 MB fit on a disk of 1 MB");
  assert_witnessed (at ("k"), "old");
  assert_ok (munmap (map, len));
  close (fd); /* whether or not it is told once more */
  assert_witnessed (at ("k"), "old");
  sleep_ms (100);
  assert_witnessed (at ("k"), "old");
}

/* RLIMIT_FSIZE, by `ulimit -f` or LimitFSIZE=, is the daemon's for what it does for others; beyond it there is a signal. */
Test (a_full_disk, is_no_more_than_a_daemon_with_a_limit_of_file_size_has)
{
  const char *wrapper = text ("%s/ttlfs", work_dir ());
  int fd;

  assert_ok (
      put (wrapper, text ("#!/bin/bash\nulimit -f 1000\nexec '%s' \"$@\"\n", ttlfs_program ())));
  assert_ok (chmod (wrapper, 0755));
  g_setenv ("TTLFS_BIN", wrapper, TRUE);
  mount_start ("ttl=1h");
  assert_ok (put (at2 ("k"), "old"));
  fd = open (at2 ("k"), O_WRONLY | O_CLOEXEC);
  assert_ok (fd);
  assert_errno (ftruncate (fd, 1 << 30), EFBIG);
  assert_errno (pwrite (fd, "new", 3, 1 << 30), EFBIG);
  close (fd);
  assert_value (at2 ("k"), "old");
  assert_ok (put (at2 ("k"), "new"));
  assert_value (at2 ("k"), "new");
}
