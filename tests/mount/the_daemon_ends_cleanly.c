/* However it is told to end, it unmounts, and ends with status 0. */
#include "mount.h"

#include <signal.h>
#include <sys/file.h>

static void
mount_and_put (void)
{
  mount_setup ();
  assert_ok (put (at ("k"), "value"));
}

TestSuite (the_daemon, .init = mount_and_put, .fini = mount_teardown, .timeout = 60);

static void
assert_ended (void)
{
  cr_assert_eq (mount_wait (mount_number (1)), 0);
  cr_assert (!is_mounted (at (".")));
  cr_assert_str_eq (listing (at (".")), "");
  assert_value (raw ("k"), "value");
}

Test (the_daemon, ends_cleanly_on_sigterm)
{
  assert_ok (kill (mount_pid (mount_number (1)), SIGTERM));
  assert_ended ();
}

Test (the_daemon, ends_cleanly_on_sigint)
{
  assert_ok (kill (mount_pid (mount_number (1)), SIGINT));
  assert_ended ();
}

Test (the_daemon, ends_cleanly_on_umount)
{
  assert_bash ("cd /; if test $(id -u) = 0; then umount $MNT; else fusermount3 -u $MNT; fi");
  assert_ended ();
}

Test (the_daemon, ends_cleanly_on_fusermount)
{
  assert_bash ("cd /; fusermount3 -u $MNT");
  assert_ended ();
}

Test (the_daemon, publishes_nothing_half_written_when_told_to_end)
{
  int fd = open (at ("k"), O_WRONLY | O_TRUNC);

  assert_ok (fd);
  assert_ok (write_all (fd, "half"));
  assert_ok (kill (mount_pid (mount_number (1)), SIGTERM));
  close (fd);
  mount_wait (mount_number (1));
  cr_assert (g_strcmp0 (get (raw ("k")), "value") == 0 || g_strcmp0 (get (raw ("k")), "half") == 0);
  cr_assert_eq (count_scratch (backing_dir ()), 0);
}

static int
wait_for_lock (const void *data G_GNUC_UNUSED)
{
  int fd = open (at ("k"), O_RDWR | O_CLOEXEC);

  if (fd < 0 || put (at ("ready"), "") < 0)
    return 1;
  return flock (fd, LOCK_EX) < 0 ? errno : 0;
}

/* Nobody has interrupted them: the kernel would make an ERESTARTSYS of that, which no program knows. */
Test (the_daemon, tells_who_waits_for_a_lock_that_it_is_gone)
{
  int fd = open (at ("k"), O_RDWR | O_CLOEXEC);
  pid_t waiter;

  assert_ok (fd);
  assert_ok (flock (fd, LOCK_EX));
  waiter = start_child (ANY_USER, wait_for_lock, NULL);
  assert_eventually (5000, exists (raw ("ready")));
  sleep_ms (100);
  assert_ok (kill (mount_pid (mount_number (1)), SIGTERM));
  cr_expect_eq (wait_for (waiter), ENOTCONN);
  close (fd);
  mount_wait (mount_number (1));
}

Test (the_daemon, survives_sigpipe)
{
  assert_ok (kill (mount_pid (mount_number (1)), SIGPIPE));
  assert_value (at ("k"), "value");
}

Test (the_daemon, can_be_started_again_and_again)
{
  for (int i = 0; i < 10; i++)
    {
      mount_stop (mount_number (1));
      mount_start ("ttl=1h");
      assert_value (at ("k"), "value");
    }
}
