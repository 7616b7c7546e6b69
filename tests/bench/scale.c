#include "scale.h"

#include "subject.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define SPARE_DESCRIPTORS 64

static int
make_bucket (const char *dir, guint number)
{
  g_autofree char *path = g_strdup_printf ("%s/b%u", dir, number);
  int fd;

  if (mkdir (path, 0777) < 0)
    fail ("mkdir %s: %s", path, g_strerror (errno));
  fd = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0)
    fail ("%s: %s", path, g_strerror (errno));
  return fd;
}

void
scale_fill (const char *dir, guint count, guint per_bucket)
{
  int bucket = -1;

  for (guint i = 0; i < count; i++)
    {
      char name[32];
      int fd;

      if (i % per_bucket == 0)
        {
          if (bucket >= 0)
            (void)close (bucket);
          bucket = make_bucket (dir, i / per_bucket);
        }
      g_snprintf (name, sizeof name, "k%u", i % per_bucket);
      fd = openat (bucket, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
      if (fd < 0 || close (fd) < 0)
        fail ("%s: %s", name, g_strerror (errno));
    }
  if (bucket >= 0)
    (void)close (bucket);
}

/* Of one bucket, and of those below it. Takes @fd. */
static guint
walk (int fd)
{
  DIR *dir = fdopendir (fd);
  struct dirent *entry;
  guint n = 0;

  if (dir == NULL)
    fail ("cannot list: %s", g_strerror (errno));
  while ((entry = readdir (dir)) != NULL)
    {
      struct stat st;

      if (entry->d_name[0] == '.')
        continue;
      if (fstatat (dirfd (dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        fail ("%s: %s", entry->d_name, g_strerror (errno));
      n += S_ISDIR (st.st_mode)
               ? walk (openat (dirfd (dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC))
               : 1;
    }
  (void)closedir (dir);
  return n;
}

guint
scale_walk (const char *dir)
{
  return walk (open (dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

/* How many keys one process can have open here, as many as it may. */
static guint
raise_descriptor_limit (void)
{
  struct rlimit limit;

  if (getrlimit (RLIMIT_NOFILE, &limit) < 0)
    fail ("getrlimit: %s", g_strerror (errno));
  limit.rlim_cur = limit.rlim_max;
  (void)setrlimit (RLIMIT_NOFILE, &limit);
  return (guint)limit.rlim_cur - SPARE_DESCRIPTORS;
}

/* Closing a duplicate publishes, as the end of a shell's redirection does; the first descriptor goes on holding. */
static void
hold_one (const char *dir, guint number)
{
  g_autofree char *path = g_strdup_printf ("%s/k%u", dir, number);
  const int fd = open (path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  int again;

  if (fd < 0 || write (fd, "held", 4) != 4)
    fail ("%s: %s", path, g_strerror (errno));
  again = dup (fd);
  if (again < 0 || close (again) < 0)
    fail ("%s: %s", path, g_strerror (errno));
}

/* Holds keys @first to @end - 1 in a process of its own, which says with a byte to @told when it does, and ends with
 * its parent. */
static void
start_holder (const char *dir, guint first, guint end, int told)
{
  const pid_t parent = getpid ();
  const pid_t pid = fork ();

  if (pid < 0)
    fail ("fork: %s", g_strerror (errno));
  if (pid > 0)
    return;
  (void)prctl (PR_SET_PDEATHSIG, SIGKILL);
  for (guint i = first; i < end && getppid () == parent; i++)
    hold_one (dir, i);
  if (write (told, "", 1) != 1)
    _exit (1);
  (void)close (told); /* when another fails, the parent must meet the end of the pipe */
  for (;;)
    pause ();
}

void
scale_hold (const char *dir, guint count)
{
  const guint most = raise_descriptor_limit ();
  int ends[2];
  char byte;

  if (pipe2 (ends, O_CLOEXEC) < 0)
    fail ("pipe: %s", g_strerror (errno));
  for (guint first = 0; first < count; first += most)
    start_holder (dir, first, MIN (first + most, count), ends[1]);
  (void)close (ends[1]); /* a holder that fails is an end of the pipe before its byte */
  for (guint first = 0; first < count; first += most)
    if (read (ends[0], &byte, 1) != 1)
      fail ("%u keys cannot be held here", count);
  printf ("held %u\n", count);
  fflush (stdout);
  while (read (STDIN_FILENO, &byte, 1) > 0)
    ;
}
