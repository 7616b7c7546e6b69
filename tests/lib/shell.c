#include "shell.h"

#include "cleanup.h"
#include "mount.h"

#include <grp.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static void
become (uid_t uid)
{
  if (uid == ANY_USER)
    return;
  if (setgroups (0, NULL) < 0 || setresgid (uid, uid, uid) < 0 || setresuid (uid, uid, uid) < 0)
    _exit (126);
  prctl (PR_SET_DUMPABLE, 1); /* so that its own /proc stays its own, as after a login */
}

/* In the child: never returns. */
static void
execute (const char *const *argv, uid_t uid, int out, int err)
{
  int null = open ("/dev/null", O_RDWR);

  prctl (PR_SET_PDEATHSIG, SIGKILL);
  dup2 (null, STDIN_FILENO);
  dup2 (out >= 0 ? out : null, STDOUT_FILENO);
  dup2 (err >= 0 ? err : null, STDERR_FILENO);
  close_range (3, ~0U, 0);
  if (chdir (at (".")) < 0 && chdir (work_dir ()) < 0)
    _exit (125);
  become (uid);
  prctl (PR_SET_PDEATHSIG, SIGKILL); /* setuid clears it */
  execvp (argv[0], (char *const *)argv);
  _exit (127);
}

int
wait_for (pid_t pid)
{
  int status;

  while (waitpid (pid, &status, 0) < 0)
    if (errno != EINTR)
      return -1;
  return WIFEXITED (status) ? WEXITSTATUS (status) : 128 + WTERMSIG (status);
}

/* Reads @out and @err until both are closed by whoever holds them. */
static void
collect (int out, int err, GString *out_text, GString *err_text)
{
  struct pollfd fds[2] = { { .fd = out, .events = POLLIN }, { .fd = err, .events = POLLIN } };
  GString *texts[2] = { out_text, err_text };

  while (fds[0].fd >= 0 || fds[1].fd >= 0)
    {
      if (poll (fds, 2, -1) < 0)
        continue;
      for (int i = 0; i < 2; i++)
        {
          char chunk[4096];
          ssize_t n;

          if (fds[i].fd < 0 || fds[i].revents == 0)
            continue;
          n = read (fds[i].fd, chunk, sizeof chunk);
          if (n > 0)
            g_string_append_len (texts[i], chunk, n);
          else
            fds[i].fd = -1;
        }
    }
}

static Output
run_argv (const char *const *argv, uid_t uid)
{
  int out[2], err[2];
  GString *out_text = g_string_new (NULL), *err_text = g_string_new (NULL);
  Output output;
  pid_t pid;

  assert_ok (pipe2 (out, O_CLOEXEC));
  assert_ok (pipe2 (err, O_CLOEXEC));
  pid = fork ();
  if (pid == 0)
    execute (argv, uid, out[1], err[1]);
  close (out[1]);
  close (err[1]);
  collect (out[0], err[0], out_text, err_text);
  close (out[0]);
  close (err[0]);
  output.status = wait_for (pid);
  output.out = keep (g_string_free (out_text, FALSE));
  output.err = keep (g_string_free (err_text, FALSE));
  return output;
}

Output
shell_run (const char *shell, const char *script)
{
  return run_argv ((const char *const[]){ shell, "-c", script, NULL }, ANY_USER);
}

Output
bash (const char *script)
{
  return shell_run ("bash", script);
}

Output
bash_as (uid_t uid, const char *script)
{
  return run_argv ((const char *const[]){ "bash", "-c", script, NULL }, uid);
}

Output
run (const char *program, ...)
{
  g_autoptr (GPtrArray) argv = g_ptr_array_new ();
  va_list args;

  va_start (args, program);
  for (const char *arg = program; arg != NULL; arg = va_arg (args, const char *))
    g_ptr_array_add (argv, (gpointer)arg);
  va_end (args);
  g_ptr_array_add (argv, NULL);
  return run_argv ((const char *const *)argv->pdata, ANY_USER);
}

pid_t
spawn_bash (const char *script)
{
  pid_t pid = fork ();

  if (pid == 0)
    execute ((const char *const[]){ "bash", "-c", script, NULL }, ANY_USER, -1, -1);
  return pid;
}

pid_t
start_child (uid_t uid, int (*body) (const void *), const void *data)
{
  pid_t pid = fork ();

  if (pid == 0)
    {
      become (uid);
      prctl (PR_SET_PDEATHSIG, SIGKILL); /* behind become(): setuid clears it */
      _exit (body (data));
    }
  return pid;
}

int
in_child (uid_t uid, int (*body) (const void *), const void *data)
{
  return wait_for (start_child (uid, body, data));
}

gboolean
have (const char *program)
{
  g_autofree char *path = g_find_program_in_path (program);

  return path != NULL;
}

void
need (const char *program)
{
  cr_assert (have (program), "%s is not installed", program);
}
