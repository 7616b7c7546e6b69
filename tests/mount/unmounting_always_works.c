/* Where nothing is open umount works at once, whatever went on before; umount -l works with anything open; and a daemon
 * that is killed leaves nobody waiting. */
#include "mount.h"

#include <dirent.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/wait.h>

#define WORKERS 6
#define ROUNDS 8

TestSuite (unmounting, .init = mount_setup, .fini = mount_teardown, .timeout = 120);

typedef struct
{
  int number;
  gint64 until_ns;
} Worker;

/* Puts, gets, lists and deletes, and leaves no descriptor open. 0 or an errno. */
static int
work_hard (const void *data)
{
  const Worker *self = data;

  for (int i = 0; now_ns () < self->until_ns; i++)
    {
      const char *own = at (text ("key-%d-%d", self->number, i % 20)), *shared = at ("shared");

      if (put (own, "value") < 0 || put (shared, own) < 0 || get (shared) == NULL
          || listing (at (".")) == NULL || (i % 3 == 0 && unlink (own) < 0))
        return errno;
    }
  return 0;
}

/* One attempt: EBUSY is a failure. */
static int
unmount_once (const char *dir)
{
  if (geteuid () == 0)
    return umount2 (dir, UMOUNT_NOFOLLOW);
  return run ("fusermount3", "-u", dir, NULL).status == 0 ? 0 : -1;
}

static void
detach (const char *dir)
{
  if (geteuid () == 0)
    assert_ok (umount2 (dir, MNT_DETACH));
  else
    cr_assert_eq (run ("fusermount3", "-u", "-z", dir, NULL).status, 0);
}

Test (unmounting, works_at_once_after_heavy_load)
{
  for (int round = 0; round < ROUNDS; round++)
    {
      Worker workers[WORKERS];
      pid_t pids[WORKERS];

      for (int i = 0; i < WORKERS; i++)
        {
          workers[i] = (Worker){ i, now_ns () + 200 * MS };
          pids[i] = start_child (ANY_USER, work_hard, &workers[i]);
        }
      for (int i = 0; i < WORKERS; i++)
        {
          int status = wait_for (pids[i]);

          cr_assert_eq (status, 0, "%s", g_strerror (status));
        }
      assert_ok (unmount_once (g_getenv ("MNT")));
      cr_assert_eq (mount_wait (mount_number (1)), 0);
      mount_start ("ttl=1h");
    }
  cr_assert_eq (count_scratch (backing_dir ()), 0);
}

Test (unmounting, lazily_with_files_open_ends_the_daemon_when_they_are_closed)
{
  int writer, reader, directory;
  pid_t daemon = mount_pid (mount_number (1));

  assert_ok (put (at ("k"), "old"));
  assert_ok (mkdir (at ("b"), 0777));
  reader = open (at ("k"), O_RDONLY | O_CLOEXEC);
  writer = open (at ("k"), O_WRONLY | O_TRUNC | O_CLOEXEC);
  directory = open (at ("b"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  assert_ok (reader);
  assert_ok (writer);
  assert_ok (directory);
  assert_ok (write_all (writer, "new"));
  detach (g_getenv ("MNT"));
  cr_assert (!is_mounted (g_getenv ("MNT")));
  cr_assert_str_eq (get_fd (reader), "old");
  assert_ok (write_all (writer, " value"));
  assert_ok (close (writer));
  assert_value (raw ("k"), "new value");
  cr_assert_str_eq (get_fd (reader), "old");
  assert_ok (close (reader));
  cr_assert_eq (waitpid (daemon, NULL, WNOHANG), 0, "the daemon ended too early");
  assert_ok (close (directory));
  cr_assert_eq (mount_wait (mount_number (1)), 0);
  cr_assert_eq (count_scratch (backing_dir ()), 0);
}

typedef enum
{
  BY_STAT,
  BY_PUT,
  BY_GET,
  BY_LIST,
  BY_LOCK,
  BY_FSYNC,
  WAYS,
} Way;

typedef struct
{
  Way way;
  int fd; /* open for writing, with something unpublished */
} Caller;

static int
call (const Caller *self)
{
  switch (self->way)
    {
    case BY_STAT:
      return stat_of (at ("k"), NULL);
    case BY_PUT:
      return put (at ("new"), "value");
    case BY_GET:
      return get (at ("k")) == NULL ? -1 : 0;
    case BY_LIST:
      return listing (at (".")) == NULL ? -1 : 0;
    case BY_LOCK:
      return flock (self->fd, LOCK_EX); /* which the test process has */
    default:
      return fsync (self->fd);
    }
}

/* The errno that ended it; 0 when nothing did within a minute. */
static int
call_until_it_fails (const void *data)
{
  gint64 end_ns = now_ns () + 60 * SECOND;

  while (now_ns () < end_ns)
    if (call (data) < 0)
      return errno;
  return 0;
}

/* Starts a caller of every kind; each opens what it needs itself, for a lock to be its own. */
static void
start_callers (pid_t *pids, Caller *callers)
{
  for (int i = 0; i < WAYS; i++)
    {
      callers[i].way = (Way)i;
      callers[i].fd = open (at ("k"), O_RDWR | O_CLOEXEC);
      assert_ok (callers[i].fd);
      assert_ok (write_all (callers[i].fd, "draft"));
      pids[i] = start_child (ANY_USER, call_until_it_fails, &callers[i]);
    }
}

static void
assert_all_are_told (const pid_t *pids)
{
  for (int i = 0; i < WAYS; i++)
    {
      int status = 0;

      /* Who only asks what the kernel was promised is told when the promise ends. */
      cr_assert (EVENTUALLY (20000, waitpid (pids[i], &status, WNOHANG) == pids[i]),
                 "caller %d is stuck", i);
      cr_assert (WIFEXITED (status));
      status = WEXITSTATUS (status);
      /* The last: what was just being sent over io_uring. */
      cr_assert (status == ENOTCONN || status == ECONNABORTED || status == ECANCELED,
                 "caller %d was told: %s", i, g_strerror (status));
    }
}

static void
assert_a_killed_daemon_leaves_nobody_waiting (gboolean stopped_before)
{
  Caller callers[WAYS];
  pid_t pids[WAYS], daemon = mount_pid (mount_number (1));
  int locked;

  assert_ok (put (at ("k"), "old"));
  locked = open (at ("k"), O_RDONLY | O_CLOEXEC);
  assert_ok (locked);
  assert_ok (flock (locked, LOCK_EX));
  start_callers (pids, callers);
  sleep_ms (200);
  if (stopped_before)
    {
      assert_ok (kill (daemon, SIGSTOP)); /* now each of them waits for an answer */
      sleep_ms (200);
    }
  assert_ok (kill (daemon, SIGKILL));
  assert_all_are_told (pids);
  cr_assert_eq (mount_wait (mount_number (1)), 128 + SIGKILL);
  for (int i = 0; i < WAYS; i++)
    close (callers[i].fd);
  close (locked);
  detach (g_getenv ("MNT"));
  assert_ok (put (raw ("other"), "value"));
  mount_start ("ttl=1h");
  assert_value (at ("other"), "value");
}

Test (unmounting, a_killed_daemon_that_was_at_work_leaves_nobody_waiting)
{
  assert_a_killed_daemon_leaves_nobody_waiting (FALSE);
}

Test (unmounting, a_killed_daemon_that_did_not_answer_leaves_nobody_waiting)
{
  assert_a_killed_daemon_leaves_nobody_waiting (TRUE);
}
