/* The transport: chosen by itself, said in the log, forced by an option; and what must hold over each all the same. */
#include "mount.h"

#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>

#define ROUNDS 100
#define LISTED 2000
#define WAITERS 40 /* for one lock, at a time */
#define SYNCS 20

static const char *const transports[] = { "ttl=1h,io_uring=off", "ttl=1h,io_uring=auto" };

TestSuite (requests, .init = mount_prepare, .fini = mount_teardown, .timeout = 120);

#define OVER_EACH(body) \
  for (gsize i_ = 0; i_ < G_N_ELEMENTS (transports); i_++) \
    { \
      mount_start (transports[i_]); \
      body (); \
      mount_stop (mount_number (1)); \
    }

/* ---- which it is ---- */

static gboolean
log_says (const char *words)
{
  return EVENTUALLY (500, strstr (mount_log (mount_number (1)), words) != NULL);
}

Test (requests, come_by_the_way_that_the_log_names)
{
  mount_start ("io_uring=auto");
  cr_assert (log_says ("serving over "), "%s", mount_log (mount_number (1)));
}

Test (requests, come_by_the_device_where_io_uring_is_forbidden)
{
  mount_start ("io_uring=off");
  cr_assert (log_says ("serving over /dev/fuse: io_uring=off"), "%s", mount_log (mount_number (1)));
}

Test (requests, come_over_io_uring_or_the_mount_says_what_to_do)
{
  gboolean can;
  Output output;

  mount_start ("io_uring=auto");
  can = log_says ("serving over io_uring");
  mount_stop (mount_number (1));
  if (can)
    {
      mount_start ("io_uring=on");
      cr_assert (log_says ("serving over io_uring"));
      return;
    }
  output = run (ttlfs_program (), "-o", "io_uring=on", backing_dir (), at ("."), NULL);
  cr_assert_neq (output.status, 0);
  cr_assert (strstr (output.err, "io_uring=on: ") != NULL, "%s", output.err);
  cr_assert (!is_mounted (at (".")));
}

/* ---- order ---- */

static void
run_on_cpu (int cpu)
{
  cpu_set_t cpus;

  CPU_ZERO (&cpus);
  CPU_SET (cpu, &cpus);
  (void)sched_setaffinity (0, sizeof cpus,
                           &cpus); /* where there is only one, the rest of the test holds too */
}

static int
count_entries (const char *dir)
{
  DIR *stream = opendir (dir);
  int n = 0;

  while (stream != NULL && readdir (stream) != NULL)
    n++;
  if (stream != NULL)
    closedir (stream);
  return n;
}

static int
list_all_the_time (const void *data G_GNUC_UNUSED)
{
  run_on_cpu (0);
  while (getppid () != 1)
    count_entries (at ("many"));
  return 0;
}

/* Whoever serves the requests of that CPU is busy for a millisecond at a time. */
static pid_t
keep_busy (void)
{
  assert_ok (mkdir (at ("many"), 0755));
  for (int i = 0; i < LISTED; i++)
    assert_ok (put (raw (text ("many/k%d", i)), "value"));
  return start_child (ANY_USER, list_all_the_time, NULL);
}

static void
let_rest (pid_t busy)
{
  kill (busy, SIGKILL);
  wait_for (busy);
  assert_bash ("cd /; rm -r $MNT/many");
}

/* The RELEASE of an empty key is left to a CPU that is busy, and the key is asked for from another one. */
static void
close_here_and_look_there (void)
{
  const pid_t busy = keep_busy ();

  for (int i = 0; i < ROUNDS; i++)
    {
      const char *key = at (text ("k%d", i));
      int fd;

      run_on_cpu (0);
      fd = open (key, O_WRONLY | O_CREAT, 0644);
      assert_ok (fd);
      close (fd);
      run_on_cpu (1);
      cr_assert_eq (witness_stat (key, NULL), 0, "round %d", i);
      assert_ok (unlink (key));
    }
  let_rest (busy);
}

Test (requests, find_what_was_closed_on_another_cpu) { OVER_EACH (close_here_and_look_there); }

static void
unlock_here_and_lock_there (void)
{
  const pid_t busy = keep_busy ();
  int other;

  assert_ok (put (at ("k"), "value"));
  other = open (at ("k"), O_RDONLY);
  assert_ok (other);
  for (int i = 0; i < ROUNDS; i++)
    {
      int fd;

      run_on_cpu (0);
      fd = open (at ("k"), O_RDONLY);
      assert_ok (fd);
      assert_ok (flock (fd, LOCK_EX | LOCK_NB));
      close (fd);
      run_on_cpu (1);
      cr_assert_eq (flock (other, LOCK_EX | LOCK_NB), 0, "round %d: %s", i, g_strerror (errno));
      assert_ok (flock (other, LOCK_UN));
    }
  close (other);
  let_rest (busy);
}

Test (requests, for_a_lock_find_it_free_when_its_holder_has_closed)
{
  OVER_EACH (unlock_here_and_lock_there);
}

/* One that was closed but is held elsewhere is waited for by nobody: others see the old value, at once. */
static void
hold_and_look (void)
{
  gint64 began;

  assert_ok (put (at ("k"), "old"));
  assert_bash ("exec 9> k; (exec sleep 60 >&9 2>&9 </dev/null) & echo $! > $TMP/holder; exec 9>&-");
  began = now_ns ();
  assert_value (at ("k"), "old");
  cr_assert_lt (now_ns () - began, tolerance_ns (1000));
  assert_bash ("kill $(cat $TMP/holder)");
}

Test (requests, do_not_wait_for_a_draft_that_somebody_holds) { OVER_EACH (hold_and_look); }

/* ---- waiting ---- */

static int
wait_for_the_lock (const void *data G_GNUC_UNUSED)
{
  int fd = open (at ("k"), O_RDWR);

  return fd < 0 || flock (fd, LOCK_EX) < 0;
}

static void
pass_by_waiters (void)
{
  pid_t waiters[WAITERS];
  int fd;

  assert_ok (put (at ("k"), "value"));
  fd = open (at ("k"), O_RDONLY);
  assert_ok (fd);
  assert_ok (flock (fd, LOCK_EX));
  for (int i = 0; i < WAITERS; i++)
    waiters[i] = start_child (ANY_USER, wait_for_the_lock, NULL);
  sleep_ms (100);
  assert_value (at ("k"), "value");
  kill (waiters[0], SIGKILL); /* it can be killed while it waits */
  cr_assert_eq (wait_for (waiters[0]), 128 + SIGKILL);
  assert_ok (flock (fd, LOCK_UN));
  for (int i = 1; i < WAITERS; i++)
    cr_assert_eq (wait_for (waiters[i]), 0);
  close (fd);
}

Test (requests, pass_those_that_wait_for_a_lock) { OVER_EACH (pass_by_waiters); }

/* ---- after a rest ---- */

static int
sync_again_and_again (const void *data)
{
  int fd = open (at (text ("k%d", *(const int *)data)), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  int res = fd < 0 ? errno : 0;

  for (int i = 0; res == 0 && i < SYNCS; i++)
    if (write (fd, "x", 1) != 1 || fsync (fd) < 0)
      res = errno;
  return res;
}

static void
work_many_at_once (void)
{
  int numbers[WAITERS];
  pid_t pids[WAITERS];

  for (int i = 0; i < WAITERS; i++)
    {
      numbers[i] = i;
      pids[i] = start_child (ANY_USER, sync_again_and_again, &numbers[i]);
    }
  for (int i = 0; i < WAITERS; i++)
    cr_expect_eq (wait_for (pids[i]), 0);
}

/* What was done aside was replied to by threads that also wait, each, for a request to come: they must not go for as long as one
 * may. */
Test (requests, are_served_when_there_was_nothing_to_do_for_a_while)
{
  mount_start ("ttl=1h,io_uring=auto");
  for (int i = 0; i < 2; i++)
    {
      work_many_at_once ();
      sleep_ms (6000);
    }
  work_many_at_once ();
}
