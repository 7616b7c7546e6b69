#include "revision.h"

#include "cleanup.h"
#include "keyname.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define MARK_XATTR "user.ttlfs.mark"

static void
add (GChecksum *sum, const void *data, gsize len)
{
  g_checksum_update (sum, data, (gssize)len);
}

/* Not every file system has handles (overlayfs, ramfs); then the rest must do. */
static void
add_handle (GChecksum *sum, int fd)
{
  union
  {
    struct file_handle handle;
    char room[sizeof (struct file_handle) + MAX_HANDLE_SZ];
  } file = { .handle.handle_bytes = MAX_HANDLE_SZ };
  int mount_id;

  if (name_to_handle_at (fd, "", &file.handle, &mount_id, AT_EMPTY_PATH) == 0)
    add (sum, file.handle.f_handle, file.handle.handle_bytes);
}

static void
add_mark (GChecksum *sum, int fd)
{
  char path[32], mark[64];
  ssize_t len;

  g_snprintf (path, sizeof path, "/proc/self/fd/%d", fd);
  len = getxattr (path, MARK_XATTR, mark, sizeof mark);
  if (len > 0)
    add (sum, mark, (gsize)len);
}

int
ttl_revision_of_fd (int fd, TtlRevision revision_out)
{
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
  struct statx stx;

  if (statx (fd, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &stx) < 0)
    return -errno;
  add (sum, &stx.stx_ino, sizeof stx.stx_ino);
  if (stx.stx_mask & STATX_BTIME)
    {
      add (sum, &stx.stx_btime.tv_sec, sizeof stx.stx_btime.tv_sec);
      add (sum, &stx.stx_btime.tv_nsec, sizeof stx.stx_btime.tv_nsec);
    }
  add_handle (sum, fd);
  add_mark (sum, fd);
  g_strlcpy (revision_out, g_checksum_get_string (sum), sizeof (TtlRevision));
  return 0;
}

int
ttl_revision_of_name (int dir_fd, const char *name, TtlRevision revision_out)
{
  ttl_autofd fd = openat (dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

  return fd < 0 ? -errno : ttl_revision_of_fd (fd, revision_out);
}

void
ttl_revision_renew (int dir_fd, const char *name)
{
  ttl_autofd fd = openat (dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  char path[32], mark[17];

  if (fd < 0)
    return;
  g_snprintf (path, sizeof path, "/proc/self/fd/%d", fd);
  g_snprintf (mark, sizeof mark, "%08x%08x", g_random_int (), g_random_int ());
  (void)setxattr (path, MARK_XATTR, mark, strlen (mark), 0);
}
