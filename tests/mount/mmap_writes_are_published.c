/* What is written through a shared mapping is part of the draft: published by msync or close. */
#include "mount.h"

#include <sys/mman.h>

#define LEN 16384

TestSuite (a_mapping, .init = mount_setup, .fini = mount_teardown, .timeout = 60);

static char *
map_shared (int fd)
{
  char *map = mmap (NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

  cr_assert (map != MAP_FAILED, "mmap: %s", g_strerror (errno));
  return map;
}

Test (a_mapping, of_a_new_key_is_published_by_msync)
{
  int fd = open (at ("k"), O_RDWR | O_CREAT, 0666);
  g_autofree char *expected = g_strnfill (LEN, 'x');
  char *map;

  assert_ok (fd);
  assert_ok (ftruncate (fd, LEN));
  map = map_shared (fd);
  memset (map, 'x', LEN);
  assert_ok (msync (map, LEN, MS_SYNC));
  cr_assert (g_strcmp0 (witness_get (at ("k")), expected) == 0);
  assert_ok (munmap (map, LEN));
  assert_ok (close (fd));
  cr_assert (g_strcmp0 (witness_get (at ("k")), expected) == 0);
}

Test (a_mapping, of_an_old_value_is_published_by_close)
{
  g_autofree char *old = g_strnfill (LEN, 'o');
  const char *value;
  char *map;
  int fd;

  assert_ok (put (at ("k"), old));
  fd = open (at ("k"), O_RDWR);
  assert_ok (fd);
  map = map_shared (fd);
  cr_assert_eq (map[LEN - 1], 'o');
  memcpy (map + 5000, "new", 3);
  cr_assert (g_strcmp0 (witness_get (at ("k")), old) == 0);
  assert_ok (munmap (map, LEN));
  assert_ok (close (fd));
  value = witness_get (at ("k"));
  cr_assert_eq (strlen (value), LEN);
  cr_assert (memcmp (value + 4999, "onewo", 5) == 0);
}

Test (a_mapping, outlives_its_descriptor)
{
  int fd = open (at ("k"), O_RDWR | O_CREAT, 0666);
  char *map;

  assert_ok (fd);
  assert_ok (ftruncate (fd, LEN));
  map = map_shared (fd);
  assert_ok (close (fd));
  memset (map, 'x', LEN);
  assert_ok (munmap (map, LEN));
  assert_eventually (
      2000, g_strcmp0 (witness_get (at ("k")), text ("%s", keep (g_strnfill (LEN, 'x')))) == 0);
}

Test (a_mapping, that_is_private_changes_nothing)
{
  g_autofree char *old = g_strnfill (LEN, 'o');
  char *map;
  int fd;

  assert_ok (put (at ("k"), old));
  fd = open (at ("k"), O_RDWR);
  assert_ok (fd);
  map = mmap (NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  cr_assert (map != MAP_FAILED, "mmap: %s", g_strerror (errno));
  memset (map, 'x', LEN);
  assert_ok (munmap (map, LEN));
  assert_ok (close (fd));
  cr_assert (g_strcmp0 (witness_get (at ("k")), old) == 0);
}

Test (a_mapping, can_run_a_program)
{
  assert_bash (
      "cp /bin/true prog; chmod 755 prog; ./prog; cp /bin/false prog2; chmod 755 prog2; ! ./prog2");
}
