#include "mounts.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define MOUNTS "/proc/self/mountinfo"

int
ttl_mount_of (int fd)
{
  struct statx stx;

  if (statx (fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &stx) < 0 || !(stx.stx_mask & STATX_MNT_ID))
    return -1;
  return (int)stx.stx_mnt_id;
}

gboolean
ttl_mount_is_there (int mount)
{
  g_autofree char *mounts = NULL;
  char number[24];

  if (!g_file_get_contents (MOUNTS, &mounts, NULL, NULL))
    return TRUE;                                      /* it cannot be told */
  g_snprintf (number, sizeof number, "\n%d ", mount); /* a line begins with it */
  return g_str_has_prefix (mounts, number + 1) || strstr (mounts, number) != NULL;
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
