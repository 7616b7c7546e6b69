/* Whoever has a value open goes on with that value, by read() and by mmap(), whatever happens to
 * the key. */
#include "mount.h"

#include <sys/mman.h>

#define LEN 65536 /* several pages, so that some are first touched after the change */

TestSuite (a_reader, .init = mount_setup, .fini = mount_teardown, .timeout = 60);

static char *
filled (char with)
{
  return g_strnfill (LEN, with);
}

static void
assert_all (const char *bytes, char expected)
{
  for (gsize i = 0; i < LEN; i++)
    cr_assert_eq (bytes[i], expected, "byte %zu is '%c', expected '%c'", i, bytes[i], expected);
}

static int
open_old (void)
{
  g_autofree char *old = filled ('o');
  int fd;

  assert_ok (put (at ("k"), old));
  fd = open (at ("k"), O_RDONLY);
  assert_ok (fd);
  return fd;
}

static void
put_new (void)
{
  g_autofree char *new = filled ('n');

  assert_ok (put (at ("k"), new));
}

Test (a_reader, keeps_its_version_after_a_put)
{
  int fd = open_old ();

  put_new ();
  assert_all (get_fd (fd), 'o');
  assert_all (get (at ("k")), 'n');
  assert_all (witness_get (at ("k")), 'n');
  assert_all (get_fd (fd), 'o');
  assert_ok (close (fd));
}

Test (a_reader, in_the_midst_of_reading_goes_on_with_its_version)
{
  int fd = open_old ();
  char half[LEN];

  cr_assert_eq (read (fd, half, 1000), 1000);
  put_new ();
  cr_assert_eq (read (fd, half + 1000, LEN - 1000), LEN - 1000);
  assert_all (half, 'o');
  assert_ok (close (fd));
}

Test (a_reader, keeps_its_version_when_the_new_one_is_shorter)
{
  int fd = open_old ();
  struct stat st;

  assert_ok (put (at ("k"), "short"));
  assert_ok (fstat (fd, &st));
  assert_all (get_fd (fd), 'o');
  assert_value (at ("k"), "short");
  assert_ok (close (fd));
}

Test (a_reader, keeps_its_version_after_an_append_and_a_truncation)
{
  int fd = open_old ();

  assert_ok (put_with (at ("k"), O_APPEND, "more"));
  cr_assert_eq (strlen (get_fd (fd)), LEN);
  assert_ok (truncate (at ("k"), 10));
  assert_all (get_fd (fd), 'o');
  assert_ok (close (fd));
}

Test (a_reader, keeps_its_version_after_an_unlink)
{
  int fd = open_old ();

  assert_ok (unlink (at ("k")));
  assert_absent (at ("k"));
  assert_all (get_fd (fd), 'o');
  put_new ();
  assert_all (get_fd (fd), 'o');
  assert_ok (close (fd));
}

Test (a_reader, keeps_its_version_after_a_rename_over_it)
{
  int fd = open_old ();

  assert_ok (put (at ("other"), "other"));
  assert_ok (rename (at ("other"), at ("k")));
  assert_all (get_fd (fd), 'o');
  assert_value (at ("k"), "other");
  assert_ok (close (fd));
}

Test (a_reader, keeps_its_version_when_a_raw_peer_puts)
{
  int fd = open_old ();

  assert_ok (put_raw (raw ("k"), "peer"));
  assert_eventually (1000, g_strcmp0 (get (at ("k")), "peer") == 0);
  assert_all (get_fd (fd), 'o');
  assert_ok (close (fd));
}

static void
assert_mapping_stays (int protection_flags)
{
  int fd = open_old ();
  char *map = mmap (NULL, LEN, PROT_READ, protection_flags, fd, 0);

  cr_assert (map != MAP_FAILED, "mmap: %s", g_strerror (errno));
  cr_assert_eq (map[0], 'o');
  put_new ();
  assert_all (map, 'o');
  assert_all (get (at ("k")), 'n');
  assert_ok (munmap (map, LEN));
  assert_ok (close (fd));
}

Test (a_reader, keeps_its_private_mapping) { assert_mapping_stays (MAP_PRIVATE); }

Test (a_reader, keeps_its_shared_mapping) { assert_mapping_stays (MAP_SHARED); }

Test (a_reader, that_maps_after_the_put_maps_what_it_opened)
{
  int fd = open_old ();
  char *map;

  put_new ();
  map = mmap (NULL, LEN, PROT_READ, MAP_SHARED, fd, 0);
  cr_assert (map != MAP_FAILED, "mmap: %s", g_strerror (errno));
  assert_all (map, 'o');
  assert_ok (munmap (map, LEN));
  assert_ok (close (fd));
}

Test (a_reader, of_each_of_ten_versions_keeps_its_own)
{
  int fds[10];

  for (int i = 0; i < 10; i++)
    {
      assert_ok (put (at ("k"), text ("version %d", i)));
      fds[i] = open (at ("k"), O_RDONLY);
      assert_ok (fds[i]);
    }
  for (int i = 0; i < 10; i++)
    {
      cr_assert_str_eq (get_fd (fds[i]), text ("version %d", i));
      assert_ok (close (fds[i]));
    }
}

Test (a_reader, sees_nothing_of_a_draft_on_its_key)
{
  int reader = open_old (), writer = open (at ("k"), O_WRONLY);

  assert_ok (writer);
  assert_ok (write_all (writer, "draft"));
  assert_all (get_fd (reader), 'o');
  assert_ok (close (writer));
  assert_all (get_fd (reader), 'o');
  assert_ok (close (reader));
}
