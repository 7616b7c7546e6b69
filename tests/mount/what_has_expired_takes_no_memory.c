/* Keys come and go for ever, under ever new names: the daemon does not grow with them. */
#include "mount.h"

#include <stdio.h>
#include <sys/utsname.h>

#define KEYS 1000

static void
mount_short (void)
{
  mount_setup_with ("ttl=300ms");
}

TestSuite (memory, .init = mount_short, .fini = mount_teardown, .timeout = 300);

/* Before Linux 6.18 a file system cannot tell the kernel to forget an inode without the danger of a deadlock. */
static gboolean
kernel_can_be_told (void)
{
  struct utsname name;
  int major = 0, minor = 0;

  uname (&name);
  sscanf (name.release, "%d.%d", &major, &minor);
  return major > 6 || (major == 6 && minor >= 18);
}

static void
put_and_look (int round)
{
  for (int i = 0; i < KEYS; i++)
    {
      const char *path = at (text ("service-%d-%d", round, i));

      assert_ok (put (path, "v"));
      assert_ok (stat_of (path, NULL));
    }
}

/* All leases have ended, and the kernel has been told; on a busy machine that comes late, and what was taken meanwhile stays with
 * the process. */
static void
settle (void)
{
  assert_eventually (10000, count_listed (at (".")) == 0);
  sleep_ms (tolerance_ns (100) / MS);
}

Test (memory, is_given_back_when_leases_end)
{
  long after_four, after_ten;

  for (int round = 0; round < 4; round++) /* with all the threads and arenas that it needs */
    put_and_look (round);
  settle ();
  after_four = mount_resident_kb (mount_number (1));
  for (int round = 4; round < 10; round++)
    {
      put_and_look (round);
      if (round % 2 == 1)
        settle ();
    }
  after_ten = mount_resident_kb (mount_number (1));
  /* A node is half a kilobyte, and each put and look may leave two. On a busy machine more of them live at a time. */
  if (kernel_can_be_told () && !mount_is_sanitized (mount_number (1)))
    cr_assert (after_ten - after_four < 6 * KEYS / 2, "%ld kB more for %d keys that are gone",
               after_ten - after_four, 6 * KEYS);
}
