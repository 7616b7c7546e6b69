/* The machine's clock is set, or the daemon's own goes wrong: a lease has the time left that it had. */
#include "mount.h"

#include "othertime.h"

#include <signal.h>
#include <sys/mman.h>

#define HOUR (3600 * SECOND)

static OtherTime *other;

/* A mount whose daemon's time can be changed. The sanitizers' runtime wants to be loaded first, but need not be. */
static void
mount_in_another_time (void)
{
  const char *asan = g_getenv ("ASAN_OPTIONS");
  g_autofree char *old_asan = g_strdup (asan);
  int fd;

  mount_prepare ();
  fd = open (text ("%s/othertime", work_dir ()), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  assert_ok (fd);
  assert_ok (ftruncate (fd, sizeof *other));
  other = mmap (NULL, sizeof *other, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  cr_assert (other != MAP_FAILED);
  assert_ok (close (fd));
  g_setenv ("OTHERTIME", text ("%s/othertime", work_dir ()), TRUE);
  g_setenv ("LD_PRELOAD", g_getenv ("TTLFS_OTHERTIME"), TRUE);
  g_setenv ("ASAN_OPTIONS", text ("%s:verify_asan_link_order=0", asan != NULL ? asan : ""), TRUE);
  mount_start ("ttl=2s");
  g_unsetenv ("LD_PRELOAD");
  if (old_asan != NULL)
    g_setenv ("ASAN_OPTIONS", old_asan, TRUE);
}

TestSuite (a_step, .init = mount_in_another_time, .fini = mount_teardown, .timeout = 120);

static void
step (int what, gint64 by_ns)
{
  other->at_ns = now_ns ();
  other->by_ns = by_ns;
  __atomic_store_n (&other->what, what, __ATOMIC_RELEASE);
}

static int
hold (const char *name)
{
  int fd = open (at (name), O_WRONLY | O_CREAT, 0666);

  assert_ok (fd);
  assert_ok (write_all (fd, "held"));
  assert_ok (fsync (fd));
  return fd;
}

/* What is held lives, what is not ends when it would have, and what is put afterwards has a whole lease. */
static void
assert_leases_go_on (int what, gint64 by_ns)
{
  int fd = hold ("held");
  gint64 put_ns;

  assert_ok (put (at ("old"), "value"));
  put_ns = now_ns ();
  sleep_ms (200);
  step (what, by_ns);
  assert_stays (1000, exists (at ("old")) && exists (at ("held")));
  assert_ok (put (at ("new"), "value"));
  assert_stays (500, exists (at ("new")) && exists (at ("held")));
  sleep_until (put_ns + 2 * SECOND + tolerance_ns (60));
  assert_absent (at ("old"));
  /* Where the monotonic clock is wrong, whoever waits by it waits an hour, and nothing is tidied up. */
  assert_eventually (2000, what & OTHERTIME_MONOTONIC || !exists (raw ("old")));
  assert_stays (500, exists (at ("held")));
  assert_eventually (2000, !exists (at ("new")));
  assert_eventually (2000, what & OTHERTIME_MONOTONIC || !exists (raw ("new")));
  assert_stays (2500, exists (at ("held")));
  assert_ok (close (fd));
  assert_eventually (4000, !exists (at ("held")));
}

Test (a_step, of_the_machine_forward)
{
  assert_leases_go_on (OTHERTIME_WALL | OTHERTIME_FILES, HOUR);
  cr_expect_not_null (strstr (mount_log (mount_number (1)), "the clock was set forward by 3600"));
}

Test (a_step, of_the_machine_back)
{
  assert_leases_go_on (OTHERTIME_WALL | OTHERTIME_FILES, -HOUR);
  cr_expect_not_null (strstr (mount_log (mount_number (1)), "the clock was set back by 3600"));
}

Test (a_step, of_the_daemons_wall_clock_alone) { assert_leases_go_on (OTHERTIME_WALL, HOUR); }

Test (a_step, of_the_daemons_wall_clock_alone_back) { assert_leases_go_on (OTHERTIME_WALL, -HOUR); }

Test (a_step, of_all_clocks_of_the_daemon)
{
  assert_leases_go_on (OTHERTIME_WALL | OTHERTIME_MONOTONIC, HOUR);
}

Test (a_step, of_a_minute_forward_and_back_again)
{
  int fd = hold ("held");

  step (OTHERTIME_WALL | OTHERTIME_FILES, 60 * SECOND);
  assert_stays (1500, exists (at ("held")));
  __atomic_store_n (&other->what, 0, __ATOMIC_RELEASE); /* all times are right again */
  assert_stays (4500, exists (at ("held")));
  assert_ok (close (fd));
  assert_eventually (4000, !exists (raw ("held")));
}

Test (a_step, while_the_daemon_is_stopped)
{
  pid_t daemon = mount_pid (mount_number (1));
  int fd = hold ("held");

  kill (daemon, SIGSTOP);
  step (OTHERTIME_WALL | OTHERTIME_FILES, HOUR);
  sleep_ms (3000);
  kill (daemon, SIGCONT);
  assert_stays (2500, exists (at ("held")));
  assert_ok (close (fd));
}

Test (a_step, a_daemon_that_was_stopped_for_ten_ttls_has_lost_nothing_that_is_held)
{
  pid_t daemon = mount_pid (mount_number (1));
  int fd;

  assert_ok (set_xattr (at ("."), "user.ttlfs.ttl", "300ms"));
  fd = hold ("held");
  kill (daemon, SIGSTOP);
  sleep_ms (3000);
  kill (daemon, SIGCONT);
  assert_value (at ("held"), "held");
  assert_stays (1500, exists (at ("held")));
  assert_ok (close (fd));
  assert_eventually (2000, !exists (raw ("held")));
}
