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

/* A sanitizer keeps what was freed for a while. */
static gboolean
daemon_is_sanitized (void)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/maps", (int)mount_pid (mount_number (1)));
  g_autofree char *maps = NULL;

  cr_assert (g_file_get_contents (path, &maps, NULL, NULL));
  return strstr (maps, "libasan") != NULL || strstr (maps, "libtsan") != NULL;
}

/* In kB. */
static long
resident (void)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/statm", (int)mount_pid (mount_number (1)));
  g_autofree char *statm = NULL;
  long total = 0, pages = 0;

  cr_assert (g_file_get_contents (path, &statm, NULL, NULL));
  cr_assert_eq (sscanf (statm, "%ld %ld", &total, &pages), 2);
  return pages * (sysconf (_SC_PAGESIZE) / 1024);
}

Test (memory, is_given_back_when_leases_end)
{
  long after_two, after_eight;

  for (int round = 0; round < 2; round++)
    put_and_look (round);
  assert_eventually (10000, count_listed (at (".")) == 0);
  after_two = resident ();
  for (int round = 2; round < 8; round++)
    put_and_look (round);
  assert_eventually (10000, count_listed (at (".")) == 0);
  sleep_ms (100);
  after_eight = resident ();
  /* A node is half a kilobyte, and each put and look may leave two. */
  if (kernel_can_be_told () && !daemon_is_sanitized ())
    cr_assert (after_eight - after_two < 6 * KEYS / 4, "%ld kB more for %d keys that are gone",
               after_eight - after_two, 6 * KEYS);
}
