#include "caller.h"

#include "cleanup.h"
#include "mounts.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#define EXIT_CODE_FIELD 52 /* of /proc/PID/stat, counted from 1 */

/* Reads what fits of a small file under /proc; the length, or -1. */
static ssize_t
read_proc (pid_t tid, const char *file, char *buffer, gsize size)
{
  char path[64];
  ttl_autofd fd = -1;
  ssize_t len;

  g_snprintf (path, sizeof path, "/proc/%d/%s", (int)tid, file);
  fd = open (path, O_RDONLY | O_CLOEXEC);
  len = fd < 0 ? -1 : read (fd, buffer, size - 1);
  if (len >= 0)
    buffer[len] = '\0';
  return len;
}

/* @field with the newline before it and the colon. */
static pid_t
read_status (pid_t tid, const char *field)
{
  char text[1024];
  const char *line;

  if (tid <= 0 || read_proc (tid, "status", text, sizeof text) < 0)
    return 0;
  line = strstr (text, field);
  return line != NULL ? (pid_t)atoi (line + strlen (field)) : 0;
}

pid_t
ttl_caller_process (pid_t tid)
{
  return read_status (tid, "\nTgid:");
}

/* Without PIDFD_THREAD a pidfd can only be had of a process. */
pid_t
ttl_caller_leader (pid_t tid)
{
  ttl_autofd fd = tid > 0 ? (int)syscall (SYS_pidfd_open, tid, 0) : -1;

  return fd >= 0 ? tid : ttl_caller_process (tid);
}

pid_t
ttl_caller_parent (pid_t pid)
{
  return read_status (pid, "\nPPid:");
}

static guint64
mask_of (const char *status, const char *field)
{
  const char *line = strstr (status, field);

  return line != NULL ? strtoull (line + strlen (field), NULL, 16) : 0;
}

gboolean
ttl_caller_has_signal (pid_t tid)
{
  char text[4096];

  if (tid <= 0 || read_proc (tid, "status", text, sizeof text) < 0)
    return FALSE;
  return ((mask_of (text, "\nSigPnd:") | mask_of (text, "\nShdPnd:"))
          & ~mask_of (text, "\nSigBlk:"))
         != 0;
}

/* Lines of: first inside, first outside, how many. */
static gboolean
is_mapped (pid_t tid, uid_t uid)
{
  char text[4096];
  char *at = text;

  if (read_proc (tid, "uid_map", text, sizeof text) <= 0)
    return FALSE;
  for (; *at != '\0'; at += *at == '\n')
    {
      guint64 outside, count;

      (void)g_ascii_strtoull (at, &at, 10);
      outside = g_ascii_strtoull (at, &at, 10);
      count = g_ascii_strtoull (at, &at, 10);
      if (uid >= outside && uid - outside < count)
        return TRUE;
      at += strcspn (at, "\n");
    }
  return FALSE;
}

gboolean
ttl_caller_is_as_owner (pid_t tid, uid_t uid)
{
  char text[4096];

  if (tid <= 0 || read_proc (tid, "status", text, sizeof text) < 0)
    return FALSE;
  return (mask_of (text, "\nCapEff:") & G_GUINT64_CONSTANT (1) << CAP_FOWNER) != 0
         && is_mapped (tid, uid);
}

gboolean
ttl_caller_is_sibling (pid_t tid, pid_t other)
{
  char path[64];

  if (tid <= 0 || other <= 0)
    return FALSE;
  g_snprintf (path, sizeof path, "/proc/%d/task/%d", (int)tid, (int)other);
  return tid == other || access (path, F_OK) == 0;
}

gboolean
ttl_caller_exists (pid_t tid)
{
  char path[64];

  g_snprintf (path, sizeof path, "/proc/%d", (int)tid);
  return tid > 0 && access (path, F_OK) == 0;
}

static DIR *
open_fdinfo (pid_t tid)
{
  char path[64];

  g_snprintf (path, sizeof path, "/proc/%d/fdinfo", (int)tid);
  return tid > 0 ? opendir (path) : NULL;
}

gboolean
ttl_caller_shows_open (pid_t tid)
{
  g_autoptr (DIR) names = open_fdinfo (tid);

  return names != NULL;
}

/* Pipes and the like are of mounts that nobody sees; so is what was unmounted while it was open, but it still has a path. */
static gboolean
has_path (pid_t tid, const char *fd)
{
  char path[64], target[16];
  ssize_t len;

  g_snprintf (path, sizeof path, "/proc/%d/fd/%.16s", (int)tid, fd);
  len = readlink (path, target, sizeof target - 1);
  target[MAX (len, 0)] = '\0';
  return target[0] == '/' && !g_str_has_prefix (target, "/memfd:");
}

/* With which the descriptor was opened that @fdinfo is of; 0 where that cannot be seen. */
static int
flags_of (const char *fdinfo)
{
  const char *flags = strstr (fdinfo, "flags:");

  return flags != NULL ? (int)strtol (flags + strlen ("flags:"), NULL, 8) : 0;
}

/* The file system that the descriptor leads to; 0 where that cannot be seen. */
static dev_t
device_of (pid_t tid, const char *fdinfo)
{
  const char *mount = strstr (fdinfo, "\nmnt_id:");

  return mount != NULL ? ttl_mount_device (tid, atoi (mount + strlen ("\nmnt_id:"))) : 0;
}

static ino_t
inode_of (const char *fdinfo)
{
  const char *inode = strstr (fdinfo, "\nino:");

  return inode != NULL ? g_ascii_strtoull (inode + strlen ("\nino:"), NULL, 10) : 0;
}

static gboolean
is_file (pid_t tid, const char *fd, dev_t dev, ino_t ino, gboolean with_o_path)
{
  char path[64], text[1024];
  dev_t its;

  g_snprintf (path, sizeof path, "fdinfo/%.16s", fd);
  if (read_proc (tid, path, text, sizeof text) <= 0)
    return FALSE;
  if (!with_o_path && flags_of (text) & O_PATH)
    return FALSE;
  if (inode_of (text) != ino)
    return FALSE;
  its = dev != 0 ? device_of (tid, text) : 0;
  return its != 0 ? its == dev : has_path (tid, fd);
}

static gboolean
has_file (pid_t tid, dev_t dev, ino_t ino, gboolean with_o_path)
{
  g_autoptr (DIR) names = open_fdinfo (tid);
  struct dirent *found;

  while (names != NULL && (found = readdir (names)) != NULL)
    if (is_file (tid, found->d_name, dev, ino, with_o_path))
      return TRUE;
  return FALSE;
}

gboolean
ttl_caller_has_open (pid_t tid, dev_t dev, ino_t ino)
{
  return has_file (tid, dev, ino, TRUE);
}

gboolean
ttl_caller_has_opened (pid_t tid, dev_t dev, ino_t ino)
{
  return has_file (tid, dev, ino, FALSE);
}

gboolean
ttl_caller_is_killed (pid_t tid)
{
  char text[1024];
  const char *field;

  /* A process that exits has given up its memory before its files: "0 0 0 ..." */
  if (tid <= 0 || read_proc (tid, "statm", text, sizeof text) < 2 || strncmp (text, "0 ", 2) != 0)
    return FALSE;
  if (read_proc (tid, "stat", text, sizeof text) < 0)
    return FALSE;
  field = strrchr (text, ')'); /* the second field may hold anything */
  for (int i = 2; field != NULL && i < EXIT_CODE_FIELD; i++)
    field = strchr (field + 1, ' ');
  return field != NULL && (atoi (field + 1) & 0x7f) != 0;
}

/* ---- what a process has open ---- */

#define DELETED " (deleted)" /* so the kernel marks a name that it looks up anew, too */

/* What cannot be seen does not speak against it. */
static gboolean
is_sought (pid_t tid, const char *fd, const TtlSought *sought)
{
  char file[64], text[1024];
  dev_t dev;
  ino_t ino;

  g_snprintf (file, sizeof file, "fdinfo/%s", fd);
  if (read_proc (tid, file, text, sizeof text) <= 0 || strstr (text, "flags:") == NULL
      || (flags_of (text) & O_ACCMODE) != sought->access)
    return FALSE;
  ino = inode_of (text);
  if (ino != 0 && (sought->inos[0] != 0 || sought->inos[1] != 0) && ino != sought->inos[0]
      && ino != sought->inos[1])
    return FALSE;
  dev = sought->dev != 0 ? device_of (tid, text) : 0;
  return dev == 0 || dev == sought->dev;
}

static gboolean
fits (const char *path, const TtlSought *sought)
{
  const char *name = strrchr (path, '/');
  g_autofree char *rest = NULL;

  if (name == NULL)
    return FALSE;
  if (sought->is_it (name + 1, sought->data))
    return TRUE;
  if (!g_str_has_suffix (name, DELETED))
    return FALSE;
  rest = g_strndup (name + 1, strlen (name + 1) - strlen (DELETED));
  return sought->is_it (rest, sought->data);
}

guint
ttl_caller_count_open (pid_t tid, const TtlSought *sought)
{
  char path[64];
  g_autoptr (DIR) dir = NULL;
  const struct dirent *entry;
  guint n = 0;

  g_snprintf (path, sizeof path, "/proc/%d/fd", (int)tid);
  dir = tid > 0 ? opendir (path) : NULL;
  while (dir != NULL && (entry = readdir (dir)) != NULL)
    {
      char target[PATH_MAX];
      ssize_t len = readlinkat (dirfd (dir), entry->d_name, target, sizeof target - 1);

      if (len <= 0)
        continue;
      target[len] = '\0';
      if (fits (target, sought) && is_sought (tid, entry->d_name, sought))
        n++;
    }
  return n;
}

guint
ttl_caller_count_everybodys (const TtlSought *sought)
{
  g_autoptr (DIR) dir = opendir ("/proc");
  const struct dirent *entry;
  guint n = 0;

  while (dir != NULL && (entry = readdir (dir)) != NULL)
    {
      const pid_t pid = atoi (entry->d_name);

      if (pid > 0 && pid != getpid ())
        n += ttl_caller_count_open (pid, sought);
    }
  return n;
}

gboolean
ttl_caller_sees_everybody (void)
{
  return geteuid () == 0;
}
