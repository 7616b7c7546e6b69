#include "janitor.h"

#include "files.h"

#include <ftw.h>
#include <linux/close_range.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/wait.h>

struct Janitor
{
  pid_t pid;
  int pipe; /* closed by the end of this process, whatever it dies of */
};

/* Nobody waits for a daemon that hangs. */
static void
abort_connection (unsigned minor)
{
  g_autofree char *path = g_strdup_printf ("/sys/fs/fuse/connections/%u/abort", minor);
  int fd = open (path, O_WRONLY);

  if (fd < 0)
    return;
  if (write (fd, "1", 1) < 0)
    perror (path);
  close (fd);
}

static void
detach (const char *dir)
{
  g_autofree char *command = NULL;

  if (umount2 (dir, MNT_DETACH) == 0)
    return;
  command = g_strdup_printf ("fusermount3 -uz '%s'", dir);
  if (system (command) != 0)
    perror (dir);
}

/* Detaches one mount below @work; FALSE when there is none left. */
static gboolean
detach_one (const char *work)
{
  g_autofree char *table = NULL;
  g_auto (GStrv) lines = NULL;

  if (!g_file_get_contents ("/proc/self/mountinfo", &table, NULL, NULL))
    return FALSE;
  lines = g_strsplit (table, "\n", -1);
  for (char **line = lines; *line != NULL; line++)
    {
      unsigned minor;
      char dir[4096];

      if (sscanf (*line, "%*d %*d %*u:%u %*s %4095s", &minor, dir) != 2)
        continue;
      if (!g_str_has_prefix (dir, work) || dir[strlen (work)] != '/')
        continue;
      abort_connection (minor);
      detach (dir);
      return TRUE;
    }
  return FALSE;
}

static int
remove_one (const char *path, const struct stat *st, int type, struct FTW *ftw)
{
  (void)st;
  (void)ftw;
  if (type == FTW_DP || type == FTW_D)
    return rmdir (path) < 0 && errno != ENOTEMPTY && errno != EBUSY ? perror (path), 0 : 0;
  return unlink (path) < 0 && errno != ENOENT ? perror (path), 0 : 0;
}

static void
clean (const char *work, const char *backing)
{
  for (int tries = 0; tries < 16 && detach_one (work); tries++)
    continue;
  nftw (work, remove_one, 32, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
  /* A daemon that has not quite ended may still write there. */
  for (int tries = 0; tries < 100 && exists (backing); tries++)
    {
      nftw (backing, remove_one, 32, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
      if (exists (backing))
        sleep_ms (10);
    }
}

static void
wait_and_clean (int pipe, const char *work, const char *backing)
{
  char byte;
  int null = open ("/dev/null", O_RDWR);

  setsid ();
  dup2 (pipe, 3);
  dup2 (null, STDIN_FILENO);
  dup2 (null, STDOUT_FILENO);
  close_range (4, ~0U, 0);
  while (read (3, &byte, 1) < 0 && errno == EINTR)
    continue;
  close (3);
  clean (work, backing);
  _exit (0);
}

Janitor *
janitor_new (const char *work, const char *backing)
{
  Janitor *self = g_new0 (Janitor, 1);
  int ends[2];

  if (pipe2 (ends, O_CLOEXEC) < 0)
    g_error ("pipe: %s", g_strerror (errno));
  self->pid = fork ();
  if (self->pid == 0)
    {
      close (ends[1]);
      wait_and_clean (ends[0], work, backing);
    }
  close (ends[0]);
  self->pipe = ends[1];
  return self;
}

void
janitor_finish (Janitor *self)
{
  /* A byte, since a child of the test that is still there keeps the pipe open. */
  if (write (self->pipe, "", 1) < 0)
    perror ("janitor");
  close (self->pipe);
  waitpid (self->pid, NULL, 0);
  g_free (self);
}
