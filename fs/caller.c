#include "caller.h"

#include "cleanup.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

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

pid_t
ttl_caller_parent (pid_t pid)
{
  return read_status (pid, "\nPPid:");
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
