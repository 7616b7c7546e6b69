/* A value that is open stays readable after its key has expired, was removed from the backing
 * directory, or made anew. */
#include "mount.h"

#include <sys/mman.h>

static void
mount_with_a_short_ttl (void)
{
  mount_setup_with ("ttl=300ms");
}

TestSuite (an_open_descriptor, .init = mount_with_a_short_ttl, .fini = mount_teardown,
           .timeout = 60);

static int
open_until_expired (void)
{
  int fd;

  assert_ok (put (at ("k"), "value"));
  fd = open (at ("k"), O_RDONLY);
  assert_ok (fd);
  assert_eventually (5000, !exists (raw ("k")));
  assert_absent (at ("k"));
  return fd;
}

Test (an_open_descriptor, reads_on_after_expiry)
{
  int fd = open_until_expired ();
  struct stat st;

  cr_assert_str_eq (get_fd (fd), "value");
  assert_ok (fstat (fd, &st));
  cr_assert_eq (st.st_size, 5);
  assert_ok (close (fd));
}

Test (an_open_descriptor, maps_after_expiry)
{
  int fd = open_until_expired ();
  char *map = mmap (NULL, 5, PROT_READ, MAP_PRIVATE, fd, 0);

  cr_assert (map != MAP_FAILED, "mmap: %s", g_strerror (errno));
  cr_assert (memcmp (map, "value", 5) == 0);
  assert_ok (munmap (map, 5));
  assert_ok (close (fd));
}

Test (an_open_descriptor, keeps_the_old_value_when_the_key_is_made_anew)
{
  int fd = open_until_expired ();

  assert_ok (put (at ("k"), "other"));
  cr_assert_str_eq (get_fd (fd), "value");
  assert_ok (close (fd));
}

Test (an_open_descriptor, of_an_expired_key_makes_it_anew_when_it_publishes)
{
  int fd;

  assert_ok (put (at ("k"), "value"));
  fd = open (at ("k"), O_RDWR);
  assert_ok (fd);
  assert_eventually (5000, !exists (raw ("k")));
  cr_assert_eq (pwrite (fd, "V", 1, 0), 1);
  assert_absent (at ("other"));
  assert_hidden (at ("k"));
  assert_ok (close (fd));
  assert_witnessed (at ("k"), "Value");
}
