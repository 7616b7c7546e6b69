#include "daemon.h"

#include "files.h"

#include <linux/close_range.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#define FUSE_MAGIC 0x65735546
#define PATIENCE_NS (20 * SECOND)

struct TestDaemon
{
  pid_t pid;
  char *dir;
  char *log;
};

const char *
daemon_program (void)
{
  const char *program = g_getenv ("TTLFS_BIN");

  return program != NULL ? program : g_getenv ("TTLFS_BUILT");
}

/* In the child: never returns. */
static void
become_daemon (const TestDaemon *self, const char *options, const char *backing)
{
  const char *program = daemon_program ();
  const char *more = g_getenv ("TTLFS_TEST_OPTIONS");
  int log = open (self->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
  sigset_t none;

  sigemptyset (&none);
  sigprocmask (SIG_SETMASK, &none, NULL);
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  setsid (); /* Ctrl-C is for the test, which then ends us in its own way */
  dup2 (log, STDOUT_FILENO);
  dup2 (log, STDERR_FILENO);
  close_range (3, ~0U, CLOSE_RANGE_CLOEXEC);
  execl (program, program, "-f", "-o", more != NULL ? more : "", "-o",
         options != NULL ? options : "", backing, self->dir, NULL);
  dprintf (STDERR_FILENO, "%s: %s\n", program, g_strerror (errno));
  _exit (127);
}

static gboolean
answers (const char *dir)
{
  struct statfs fs;
  struct stat st;

  return statfs (dir, &fs) == 0 && fs.f_type == FUSE_MAGIC && stat (dir, &st) == 0;
}

static void
free_daemon (TestDaemon *self)
{
  g_free (self->dir);
  g_free (self->log);
  g_free (self);
}

static void
print_log (const TestDaemon *self, const char *why)
{
  g_autofree char *log = NULL;

  if (!g_file_get_contents (self->log, &log, NULL, NULL))
    log = g_strdup ("");
  fprintf (stderr, "the daemon at %s %s; its log:\n%s\n", self->dir, why, log);
}

TestDaemon *
daemon_start (const char *options, const char *backing, const char *dir, const char *log)
{
  TestDaemon *self = g_new0 (TestDaemon, 1);
  gint64 limit = now_ns () + PATIENCE_NS;

  self->dir = g_strdup (dir);
  self->log = g_strdup (log);
  self->pid = fork ();
  if (self->pid == 0)
    become_daemon (self, options, backing);
  while (!answers (dir))
    {
      gboolean ended = waitpid (self->pid, NULL, WNOHANG) == self->pid;

      if (ended || now_ns () > limit)
        {
          print_log (self, ended ? "ended before it answered" : "does not answer");
          if (!ended)
            {
              kill (self->pid, SIGKILL);
              waitpid (self->pid, NULL, 0);
            }
          free_daemon (self);
          return NULL;
        }
      sleep_ms (1);
    }
  return self;
}

pid_t
daemon_pid (const TestDaemon *self)
{
  return self->pid;
}

gboolean
daemon_runs (const TestDaemon *self)
{
  siginfo_t info = { 0 };

  return waitid (P_PID, (id_t)self->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0
         && info.si_pid == 0;
}

static gboolean
unmount (const char *dir)
{
  for (int i = 0; i < 500; i++)
    {
      if (umount2 (dir, UMOUNT_NOFOLLOW) == 0)
        return TRUE;
      if (errno != EBUSY)
        break;
      sleep_ms (10); /* a process that is just ending has it open */
    }
  if (geteuid () != 0)
    {
      g_autofree char *command = g_strdup_printf ("fusermount3 -u '%s'", dir);
      return system (command) == 0;
    }
  return FALSE;
}

static gboolean
sanitizer_complained (const TestDaemon *self)
{
  g_autofree char *log = NULL;

  return g_file_get_contents (self->log, &log, NULL, NULL)
         && (strstr (log, "Sanitizer") != NULL || strstr (log, "runtime error:") != NULL);
}

gboolean
daemon_stop (TestDaemon *self)
{
  gint64 limit = now_ns () + PATIENCE_NS;
  gboolean well = unmount (self->dir);
  int status = -1;

  while (well && waitpid (self->pid, &status, WNOHANG) == 0 && now_ns () < limit)
    sleep_ms (1);
  if (status == -1)
    {
      kill (self->pid, SIGKILL);
      waitpid (self->pid, NULL, 0);
      daemon_detach (self->dir);
    }
  well = well && status == 0 && !sanitizer_complained (self);
  if (!well)
    print_log (self, status == -1 ? "could not be unmounted" : "did not end well");
  free_daemon (self);
  return well;
}

void
daemon_kill (TestDaemon *self)
{
  kill (self->pid, SIGKILL);
  waitpid (self->pid, NULL, 0);
  free_daemon (self);
}

void
daemon_detach (const char *dir)
{
  g_autofree char *command = NULL;

  if (umount2 (dir, MNT_DETACH) == 0 || errno == EINVAL || geteuid () == 0)
    return;
  command = g_strdup_printf ("fusermount3 -uz '%s'", dir);
  if (system (command) != 0)
    perror (dir);
}
