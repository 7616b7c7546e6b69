#include "mounts.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define MOUNTS "/proc/self/mountinfo"
#define MOUNTS_OF "/proc/%d/mountinfo"

int
ttl_mount_of (int fd)
{
  struct statx stx;

  if (statx (fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &stx) < 0 || !(stx.stx_mask & STATX_MNT_ID))
    return -1;
  return (int)stx.stx_mnt_id;
}

/* The line of @mount, NULL when there is none. */
static const char *
find_line (const char *mounts, int mount)
{
  const char *before;
  char number[24];

  g_snprintf (number, sizeof number, "\n%d ", mount); /* a line begins with it */
  if (g_str_has_prefix (mounts, number + 1))
    return mounts;
  before = strstr (mounts, number);
  return before != NULL ? before + 1 : NULL;
}

gboolean
ttl_mount_is_there (int mount)
{
  g_autofree char *mounts = NULL;

  if (!g_file_get_contents (MOUNTS, &mounts, NULL, NULL))
    return TRUE; /* it cannot be told */
  return find_line (mounts, mount) != NULL;
}

dev_t
ttl_mount_device (pid_t tid, int mount)
{
  g_autofree char *mounts = NULL;
  const char *line = NULL;
  unsigned major, minor;
  char path[64];

  g_snprintf (path, sizeof path, MOUNTS_OF, (int)tid);
  if (g_file_get_contents (path, &mounts, NULL, NULL))
    line = find_line (mounts, mount);
  return line != NULL && sscanf (line, "%*d %*d %u:%u", &major, &minor) == 2
             ? makedev (major, minor)
             : 0;
}

dev_t
ttl_mount_device_at (const char *path)
{
  struct statx stx;

  return statx (AT_FDCWD, path, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_INO, &stx) < 0
             ? 0
             : makedev (stx.stx_dev_major, stx.stx_dev_minor);
}

gboolean
ttl_mount_begins_at (const char *path)
{
  struct statx stx;

  return statx (AT_FDCWD, path, 0, 0, &stx) == 0 && stx.stx_attributes & STATX_ATTR_MOUNT_ROOT;
}

int
ttl_mount_open_changes (void)
{
  return open (MOUNTS, O_RDONLY | O_CLOEXEC);
}
