/* libfaketime sets all clocks of a daemon, as it does for anybody's tests, an hour forward and back again: a lease has the
 * time left that it had. a_step_of_the_clock_ends_nothing.c has the rest: clocks set one by one, and the file system's. */
#include "mount.h"

#include <glob.h>

static void
set_clock (const char *offset)
{
  assert_ok (put_raw (text ("%s/clock", work_dir ()), offset)); /* read anew with every question */
}

static const char *
libfaketime (void)
{
  glob_t found;
  const char *path;

  cr_assert_eq (glob ("/usr/lib/*/faketime/libfaketimeMT.so.1", 0, NULL, &found), 0,
                "libfaketime is not installed");
  path = text ("%s", found.gl_pathv[0]);
  globfree (&found);
  return path;
}

/* The address sanitizer's runtime wants to be loaded first, but need not be. The thread sanitizer does not see the mutex that
 * libfaketime gives up and takes again in its pthread_cond_timedwait(): what it would say here is wrong. */
static void
mount_in_a_faked_time (void)
{
  const char *asan = g_getenv ("ASAN_OPTIONS");
  const char *tsan = g_getenv ("TSAN_OPTIONS");
  g_autofree char *old_asan = g_strdup (asan);

  mount_prepare ();
  set_clock ("+0");
  g_setenv ("FAKETIME_TIMESTAMP_FILE", text ("%s/clock", work_dir ()), TRUE);
  g_setenv ("FAKETIME_NO_CACHE", "1", TRUE);
  g_setenv ("LD_PRELOAD", libfaketime (), TRUE);
  g_setenv ("ASAN_OPTIONS", text ("%s:verify_asan_link_order=0", asan != NULL ? asan : ""), TRUE);
  g_setenv ("TSAN_OPTIONS", text ("%s:report_bugs=0", tsan != NULL ? tsan : ""), TRUE);
  mount_start ("ttl=2s");
  g_unsetenv ("LD_PRELOAD");
  if (old_asan != NULL)
    g_setenv ("ASAN_OPTIONS", old_asan, TRUE);
}

TestSuite (a_faked_clock, .init = mount_in_a_faked_time, .fini = mount_teardown, .timeout = 120);

/* What is held and what has just been put live, what has ended stays dead. */
static void
assert_leases_go_on (const char *offset)
{
  gint64 put_ns;

  assert_ok (put (at ("old"), "value"));
  put_ns = now_ns ();
  set_clock (offset);
  assert_stays (1000, exists (at ("old")) && exists (at ("held")));
  assert_ok (put (at ("new"), "value"));
  assert_stays (500, exists (at ("new")) && exists (at ("held")));
  sleep_until (put_ns + 2 * SECOND + tolerance_ns (60));
  assert_absent (at ("old"));
  assert_eventually (4000, !exists (at ("new")));
  assert_absent (at ("old"));
  cr_assert (exists (at ("held")));
}

Test (a_faked_clock, that_is_set_forward_and_back_ends_nothing_early_and_revives_nothing)
{
  int fd = open (at ("held"), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);

  assert_ok (fd);
  assert_ok (write_all (fd, "held"));
  assert_ok (fsync (fd));
  assert_leases_go_on ("+3600");
  assert_leases_go_on ("+0");
  assert_ok (close (fd));
  assert_eventually (4000, !exists (at ("held")));
}
