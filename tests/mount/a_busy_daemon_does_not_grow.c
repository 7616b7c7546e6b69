/* However often keys are opened, and however many names are tried that are not there, the daemon takes no more memory. */
#include "mount.h"

TestSuite (a_busy_daemon, .init = mount_setup, .fini = mount_teardown, .timeout = 300);

/* A sanitizer makes it long, and hides what is looked for. */
static int
times (void)
{
  return mount_is_sanitized (mount_number (1)) ? 20 * rounds () : 100000;
}

/* What threads keep for themselves where many requests wait for a slow disk, and little for each open or name. */
static long
tolerated_kb (void)
{
  return 16384 + 50L * times () / 1024;
}

static void
open_and_close (const char *path, int flags)
{
  int fd = open (path, flags | O_CLOEXEC);

  assert_ok (fd);
  assert_ok (close (fd));
}

/* Before anything is measured it has once done all that it does. A sanitizer keeps what was freed for a while. */
static void
assert_does_not_grow (void (*work) (int from, int n))
{
  TestMount *daemon = mount_number (1);
  long before, after;

  work (0, times () / 10);
  before = mount_resident_kb (daemon);
  work (times () / 10, times ());
  after = mount_resident_kb (daemon);
  if (!mount_is_sanitized (daemon))
    cr_assert_lt (after - before, tolerated_kb (), "%ld kB, then %ld kB", before, after);
}

static void
open_few (int from, int n)
{
  for (int i = from; i < from + n; i++)
    {
      char path[PATH_MAX];

      g_snprintf (path, sizeof path, "%s/key-%d", g_getenv ("MNT"), i % 10);
      open_and_close (path, i % 7 == 0 ? O_RDWR : O_RDONLY);
    }
}

Test (a_busy_daemon, does_not_grow_by_opening_a_few_keys)
{
  for (int i = 0; i < 10; i++)
    assert_ok (put (at (text ("key-%d", i)), "value"));
  assert_does_not_grow (open_few);
}

static void
open_many (int from, int n)
{
  for (int i = from; i < from + n; i++)
    {
      char path[PATH_MAX];

      g_snprintf (path, sizeof path, "%s/key-%d", g_getenv ("MNT"), i % 1000);
      open_and_close (path, O_RDONLY);
    }
}

Test (a_busy_daemon, does_not_grow_by_opening_many_keys)
{
  for (int i = 0; i < 1000; i++)
    assert_ok (put (at (text ("key-%d", i)), "value"));
  assert_does_not_grow (open_many);
}

static void
try_absent (int from, int n)
{
  struct stat st;

  for (int i = from; i < from + n; i++)
    {
      char path[PATH_MAX];

      g_snprintf (path, sizeof path, "%s/absent-%d", g_getenv ("MNT"), i);
      assert_errno (stat (path, &st), ENOENT);
    }
}

Test (a_busy_daemon, does_not_grow_by_names_that_are_not_there)
{
  assert_does_not_grow (try_absent);
}
