#define G_LOG_DOMAIN "ttlfs"
#include "root.h"

#include "cleanup.h"
#include "clock.h"
#include "keyname.h"

#include <fcntl.h>
#include <gio/gio.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#define MARKER_XATTR "user.ttlfs.version"
#define MARKER_FILE TTL_RESERVED_NAME "/version"
#define LAYOUT_VERSION "1"

static gboolean
fail (GError **error, int err, const char *path, const char *what)
{
  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (err), "%s: %s: %s", path, what,
               g_strerror (err));
  return FALSE;
}

static gboolean
has_user_xattrs (int fd, gboolean read_only)
{
  static const char *const probe = "user.ttlfs.probe";
  char value[1];

  if (fgetxattr (fd, probe, value, sizeof value) < 0 && errno != ENODATA && errno != ERANGE)
    return FALSE;
  if (read_only)
    return TRUE;
  /* A full disk is no reason to look for the settings elsewhere than every other mount does. */
  if (fsetxattr (fd, probe, "", 0, 0) < 0)
    return errno != ENOTSUP;
  (void)fremovexattr (fd, probe);
  return TRUE;
}

static gboolean
is_local (int fd)
{
  static const guint32 remote[] = {
    NFS_SUPER_MAGIC,
    SMB_SUPER_MAGIC,
    CIFS_SUPER_MAGIC,
    SMB2_SUPER_MAGIC,
    V9FS_MAGIC,
    CEPH_SUPER_MAGIC,
    AFS_SUPER_MAGIC,
    CODA_SUPER_MAGIC,
    FUSE_SUPER_MAGIC,
    0x47504653 /* GPFS */,
    0x0bd00bd0 /* Lustre */,
    0x7461636f /* OCFS2 */,
    0x01161970 /* GFS2 */,
  };
  struct statfs fs;

  if (fstatfs (fd, &fs) < 0)
    return FALSE;
  for (gsize i = 0; i < G_N_ELEMENTS (remote); i++)
    if ((guint32)fs.f_type == remote[i])
      return FALSE;
  return TRUE;
}

/* Links an unnamed file to @name, as a publication does. */
static gboolean
can_link_tmpfile (int fd, const char *name)
{
  ttl_autofd file = openat (fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  char proc[32];

  if (file < 0)
    return FALSE;
  g_snprintf (proc, sizeof proc, "/proc/self/fd/%d", file);
  return linkat (AT_FDCWD, proc, fd, name, AT_SYMLINK_FOLLOW) == 0;
}

/* What the nanoseconds of a timestamp come back as. */
static gint64
probe_granularity (int fd, const char *name)
{
  struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { 1000000001, 123456789 } };
  struct stat st;

  if (utimensat (fd, name, times, 0) < 0 || fstatat (fd, name, &st, 0) < 0)
    return TTL_NS_PER_S;
  for (gint64 unit = 1; unit < TTL_NS_PER_S; unit *= 10)
    if (st.st_mtim.tv_nsec == 123456789 / unit * unit)
      return unit;
  return TTL_NS_PER_S;
}

static void
probe (int fd, gboolean read_only, TtlRootCaps *caps)
{
  char a[64], b[64];

  caps->xattrs = has_user_xattrs (fd, read_only);
  caps->local = is_local (fd);
  caps->granularity_ns = 1;
  if (read_only)
    return;

  g_snprintf (a, sizeof a, TTL_SCRATCH_PREFIX "probe_a_%08x", g_random_int ());
  g_snprintf (b, sizeof b, TTL_SCRATCH_PREFIX "probe_b_%08x", g_random_int ());
  caps->tmpfile = can_link_tmpfile (fd, a);
  if (!caps->tmpfile)
    {
      ttl_autofd file G_GNUC_UNUSED = openat (fd, a, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    }
  caps->granularity_ns = probe_granularity (fd, a);
  caps->links = linkat (fd, a, fd, b, 0) == 0;
  if (caps->links)
    (void)unlinkat (fd, b, 0);
  caps->noreplace = renameat2 (fd, a, fd, b, RENAME_NOREPLACE) == 0;
  (void)unlinkat (fd, a, 0);
  (void)unlinkat (fd, b, 0);
}

static gboolean
has_marker (int fd)
{
  struct stat st;

  return fgetxattr (fd, MARKER_XATTR, NULL, 0) >= 0
         || fstatat (fd, MARKER_FILE, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static int
set_marker (int fd, gboolean xattrs)
{
  if (xattrs)
    return fsetxattr (fd, MARKER_XATTR, LAYOUT_VERSION, strlen (LAYOUT_VERSION), 0) < 0 ? -errno
                                                                                        : 0;
  if (mkdirat (fd, TTL_RESERVED_NAME, 0755) < 0 && errno != EEXIST)
    return -errno;

  ttl_autofd file = openat (fd, MARKER_FILE, O_CREAT | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0644);
  if (file < 0)
    return -errno;
  return write (file, LAYOUT_VERSION "\n", 2) < 0 ? -errno : 0;
}

/* 1 when there is nothing to lose in it, 0 when there is, -errno. */
static int
is_empty (int fd)
{
  g_autoptr (DIR) dir = ttl_opendir_at (fd, ".");
  struct dirent *entry;

  if (dir == NULL)
    return -errno;
  while ((errno = 0, entry = readdir (dir)) != NULL)
    if (strcmp (entry->d_name, ".") != 0 && strcmp (entry->d_name, "..") != 0
        && strcmp (entry->d_name, "lost+found") != 0)
      return 0;
  return errno == 0 ? 1 : -errno;
}

static gboolean
claim (int fd, const char *path, TtlRootFlags flags, const TtlRootCaps *caps, GError **error)
{
  int res;

  if (has_marker (fd))
    return TRUE;
  res = is_empty (fd);
  if (res < 0)
    return fail (error, -res, path, "cannot list the backing directory");
  if (res == 0 && !(flags & TTL_ROOT_ADOPT))
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_EMPTY,
                   "%s: is not empty and was never a ttlfs root; the files in it would be removed "
                   "when their "
                   "TTL ends. Choose an empty directory, or say -o adopt if that is what you want",
                   path);
      return FALSE;
    }
  if (flags & TTL_ROOT_READ_ONLY)
    return TRUE;
  res = set_marker (fd, caps->xattrs);
  return res == 0 || fail (error, -res, path, "cannot mark it as a ttlfs root");
}

gboolean
ttl_root_open (const char *path, TtlRootFlags flags, int *fd_out, TtlRootCaps *caps_out,
               GError **error)
{
  gboolean read_only = (flags & TTL_ROOT_READ_ONLY) != 0;
  ttl_autofd fd = -1;
  TtlRootCaps caps = { 0 };

  if (flags & TTL_ROOT_CREATE && g_mkdir_with_parents (path, 0777) < 0)
    return fail (error, errno, path, "cannot create the backing directory");
  fd = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT)
    return fail (error, ENOENT, path,
                 "the backing directory does not exist; make it with mkdir first");
  if (fd < 0)
    return fail (error, errno, path, "cannot open the backing directory");
  if (!read_only && faccessat (fd, ".", W_OK | X_OK, AT_EACCESS) < 0)
    return fail (error, errno, path, "cannot write in the backing directory");

  /* Before anything is written: a directory that we refuse stays as it was. */
  caps.xattrs = has_user_xattrs (fd, TRUE);
  if (!claim (fd, path, flags, &caps, error))
    return FALSE;
  probe (fd, read_only, &caps);
  *caps_out = caps;
  *fd_out = ttl_steal_fd (&fd);
  return TRUE;
}

gint64
ttl_root_now (int root_fd, const TtlRootCaps *caps)
{
  ttl_autofd file = -1;
  struct stat st;
  char name[64];

  if (caps->tmpfile)
    file = openat (root_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  else
    {
      g_snprintf (name, sizeof name, TTL_SCRATCH_PREFIX "clock_%08x", g_random_int ());
      file = openat (root_fd, name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    }
  if (file < 0 || fstat (file, &st) < 0)
    return -errno;
  if (!caps->tmpfile)
    (void)unlinkat (root_fd, name, 0);
  return ttl_timespec_ns (&st.st_mtim);
}
