#define G_LOG_DOMAIN "ttlfs"
#include "settings.h"

#include "cleanup.h"
#include "keyname.h"
#include "log.h"

#include <fcntl.h>
#include <linux/limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#define FILE_MAX 1024
#define LINES_MAX \
  8 /* publications of one key that can be on their way at a time without losing a TTL */

struct TtlSettings
{
  int root_fd;
  gboolean xattrs;
};

TtlSettings *
ttl_settings_new (int root_fd, gboolean xattrs)
{
  TtlSettings *self = g_new0 (TtlSettings, 1);

  self->root_fd = root_fd;
  self->xattrs = xattrs;
  return self;
}

void
ttl_settings_free (TtlSettings *self)
{
  g_free (self);
}

static int
parse (const char *text, gsize len, const char *whose, TtlDuration *own_out)
{
  if (ttl_duration_parse (text, len, own_out) == 0)
    return 0;
  if (ttl_log_first_time (whose))
    g_warning ("%s: its TTL setting cannot be read and is ignored; set %s again", whose, TTL_XATTR);
  return -ENODATA;
}

/* ---- in xattrs ---- */

/* getxattr(2) and its kin know no directory descriptors, so a name has to begin with a way through /proc, and that costs
 * more than all the rest. Linux 6.13 has a call that does; libraries have not yet, and what guards a container may refuse it. */
#ifndef SYS_getxattrat
#ifdef __alpha__
#define SYS_getxattrat 574
#else
#define SYS_getxattrat 464
#endif
#endif

typedef struct /* the kernel's struct xattr_args */
{
  guint64 value __attribute__ ((aligned (8)));
  guint32 size;
  guint32 flags;
} XattrArgs;

/* As getxattr(2) of @name in @dir_fd, following no symlink. -ENOSYS: to be asked the other way. */
static ssize_t
get_xattr_at (int dir_fd, const char *name, void *value_out, gsize size)
{
  static gint lacking; /* atomic */
  XattrArgs args = { .value = (guintptr)value_out, .size = (guint32)size };
  ssize_t len;

  if (g_atomic_int_get (&lacking))
    return -ENOSYS;
  len = syscall (SYS_getxattrat, dir_fd, name, AT_SYMLINK_NOFOLLOW, TTL_XATTR, &args, sizeof args);
  if (len >= 0)
    return len;
  if (errno == ENOSYS)
    g_atomic_int_set (&lacking, TRUE);
  /* A guard that does not know the call refuses it; so does a file, to which the other way leads as well. */
  return errno == EPERM || errno == EACCES ? -ENOSYS : -errno;
}

typedef char ProcPath[48 + TTL_NAME_MAX];

static const char *
proc_path (ProcPath path, int dir_fd, const char *name)
{
  g_snprintf (path, sizeof (ProcPath), "/proc/self/fd/%d%s%s", dir_fd, name[0] ? "/" : "", name);
  return path;
}

static gboolean
lists_ttl (const char *path, gboolean is_bucket)
{
  g_autofree char *names = g_malloc (XATTR_LIST_MAX);
  ssize_t len = is_bucket ? listxattr (path, names, XATTR_LIST_MAX)
                          : llistxattr (path, names, XATTR_LIST_MAX);

  for (const char *name = names; len > 0 && name < names + len; name += strlen (name) + 1)
    if (strcmp (name, TTL_XATTR) == 0)
      return TRUE;
  return FALSE;
}

static int
get_xattr (int dir_fd, const char *name, TtlDuration *own_out)
{
  ProcPath path;
  char text[TTL_DURATION_TEXT_MAX];
  ssize_t len = get_xattr_at (dir_fd, name[0] ? name : ".", text, sizeof text);

  /* The bucket itself is reached through the magic link, so the link must be followed; a key must not be. */
  if (len == -ENOSYS)
    {
      proc_path (path, dir_fd, name);
      len = name[0] ? lgetxattr (path, TTL_XATTR, text, sizeof text)
                    : getxattr (path, TTL_XATTR, text, sizeof text);
      len = len < 0 ? -errno : len;
    }
  if (len >= 0)
    return parse (text, len, name[0] ? name : "a bucket", own_out);
  if (len == -ERANGE)
    return parse ("", 0, name[0] ? name : "a bucket", own_out);
  if (len == -ENODATA || len == -ENOENT || len == -ENOTSUP)
    return -ENODATA;
  if (len != -EACCES && len != -EPERM)
    return (int)len;
  /* Not for us to read; the names can always be read, and mostly this one is not among them. */
  return lists_ttl (path, name[0] == '\0') ? -EACCES : -ENODATA;
}

static int
set_xattr (int dir_fd, const char *name, const TtlDuration *own)
{
  ProcPath path;
  int res;

  proc_path (path, dir_fd, name);
  if (own != NULL)
    res = name[0] ? lsetxattr (path, TTL_XATTR, own->text, strlen (own->text), 0)
                  : setxattr (path, TTL_XATTR, own->text, strlen (own->text), 0);
  else
    res = name[0] ? lremovexattr (path, TTL_XATTR) : removexattr (path, TTL_XATTR);
  return res < 0 ? -errno : 0;
}

/* ---- under .ttlfs/settings ----
 *
 * Names here are below the root, and no component of one is ever a symlink that is followed: where a peer may write in the
 * backing directory, it must not lead the daemon out of it. */

static int
step (int dir_fd, const char *name, gboolean create)
{
  const int flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  int fd = openat (dir_fd, name, flags);

  if (fd < 0 && errno == ENOENT && create && (mkdirat (dir_fd, name, 0755) == 0 || errno == EEXIST))
    fd = openat (dir_fd, name, flags);
  return fd < 0 ? -errno : fd;
}

/* The directory @dir, made where it is missing if @create, or -errno. */
static int
open_dir (const TtlSettings *self, const char *dir, gboolean create)
{
  ttl_autofd fd = step (self->root_fd, ".", FALSE);

  while (fd >= 0 && *dir != '\0')
    {
      TtlName name;
      gsize len = strcspn (dir, "/");
      int next;

      if (len >= sizeof name)
        return -ENAMETOOLONG;
      memcpy (name, dir, len);
      name[len] = '\0';
      next = step (fd, name, create);
      ttl_clear_fd (&fd);
      fd = next;
      dir += len;
      dir += *dir == '/';
    }
  return ttl_steal_fd (&fd);
}

/* The same of the directory that @file is in, *@name_out. */
static int
open_parent (const TtlSettings *self, const char *file, gboolean create, const char **name_out)
{
  g_autofree char *dir = g_path_get_dirname (file);

  *name_out = strrchr (file, '/') + 1;
  return open_dir (self, dir, create);
}

/* Most are read, and of these most are not there: one call does for the whole way, where the kernel and what guards a container
 * have it and the way is no longer than PATH_MAX. What is no file, such as a FIFO, is not waited for. */
static int
open_file (const TtlSettings *self, const char *file)
{
  const struct open_how how = { .flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
                                .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
  int fd = (int)syscall (SYS_openat2, self->root_fd, file, &how, sizeof how);
  ttl_autofd dir_fd = -1;
  const char *name;

  if (fd >= 0 || (errno != ENOSYS && errno != EPERM && errno != EAGAIN && errno != ENAMETOOLONG))
    return fd < 0 ? -errno : fd;
  dir_fd = open_parent (self, file, FALSE, &name);
  if (dir_fd < 0)
    return dir_fd;
  fd = openat (dir_fd, name, (int)how.flags);
  return fd < 0 ? -errno : fd;
}

/* The directory that mirrors the bucket at @path. */
static char *
mirror_dir (const char *path)
{
  GString *dir = g_string_new (TTL_RESERVED_NAME "/settings");

  for (const char *at = path; *at != '\0';)
    {
      gsize len = strcspn (at, "/");

      g_string_append (dir, at[0] == '%' ? "/%" : "/");
      g_string_append_len (dir, at, len);
      at += len;
      at += *at == '/';
    }
  return g_string_free (dir, FALSE);
}

static char *
bucket_file (TtlBucket *bucket)
{
  g_autofree char *path = ttl_bucket_dup_path (bucket);
  g_autofree char *dir = mirror_dir (path);

  return g_strdup_printf ("%s/%%ttl", dir);
}

static char *
key_file (TtlBucket *bucket, const char *backing)
{
  g_autofree char *path = ttl_bucket_dup_path (bucket);
  g_autofree char *dir = mirror_dir (path);

  return g_strdup_printf ("%s/%%keys/%s", dir, backing);
}

/* Replaces @file as a whole: a reader finds the old text or the new one. */
static int
write_file (const TtlSettings *self, const char *file, const char *text)
{
  const gssize len = strlen (text);
  const char *name;
  ttl_autofd dir_fd = open_parent (self, file, TRUE, &name);
  ttl_autofd fd = -1;
  TtlName scratch;
  int res = 0;

  if (dir_fd < 0)
    return dir_fd;
  g_snprintf (scratch, sizeof scratch, "%%new-%08x%08x", g_random_int (), g_random_int ());
  fd = openat (dir_fd, scratch, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0644);
  if (fd < 0)
    return -errno;
  errno = EIO; /* for a write that is short */
  if (write (fd, text, len) != len || fsync (fd) < 0
      || renameat (dir_fd, scratch, dir_fd, name) < 0)
    res = -errno;
  if (res < 0)
    (void)unlinkat (dir_fd, scratch, 0);
  return res;
}

/* Where there can be no file there is no setting: its name is longer than that of what it would be about. */
static int
none_or (int err)
{
  return err == ENOENT || err == ENOTDIR || err == ENAMETOOLONG || err == ELOOP ? -ENODATA : -err;
}

static int
remove_file (const TtlSettings *self, const char *file)
{
  const char *name;
  ttl_autofd dir_fd = open_parent (self, file, FALSE, &name);

  if (dir_fd < 0)
    return none_or (-dir_fd);
  return unlinkat (dir_fd, name, 0) < 0 ? none_or (errno) : 0;
}

/* The lines of a file of settings. 0, -ENODATA when there are none, -errno when nobody can tell. */
static int
read_lines (const TtlSettings *self, const char *file, char ***lines_out)
{
  ttl_autofd fd = open_file (self, file);
  char text[FILE_MAX + 1];
  struct stat st;
  ssize_t len;

  if (fd < 0)
    return none_or (-fd);
  if (fstat (fd, &st) < 0)
    return -errno;
  if (!S_ISREG (st.st_mode))
    return -ENODATA;
  len = read (fd, text, FILE_MAX);
  if (len < 0)
    return -errno;
  text[len] = '\0';
  *lines_out = g_strsplit (g_strchomp (text), "\n", -1);
  return 0;
}

/* Whether @line, "30s 1234", is about the file @ino. */
static gboolean
is_about (const char *line, ino_t ino)
{
  const char *space = strchr (line, ' ');

  return space != NULL && g_ascii_strtoull (space + 1, NULL, 10) == ino;
}

static int
read_bucket_file (const TtlSettings *self, const char *file, TtlDuration *own_out)
{
  g_auto (GStrv) lines = NULL;
  int res = read_lines (self, file, &lines);

  if (res < 0)
    return res;
  return parse (lines[0] != NULL ? lines[0] : "", lines[0] != NULL ? strlen (lines[0]) : 0, file,
                own_out);
}

static int
read_key_file (const TtlSettings *self, const char *file, ino_t ino, TtlDuration *own_out)
{
  g_auto (GStrv) lines = NULL;
  int res = read_lines (self, file, &lines);

  if (res < 0)
    return res;
  for (char **line = lines; *line != NULL; line++)
    if (is_about (*line, ino))
      return parse (*line, strchr (*line, ' ') - *line, file, own_out);
  return -ENODATA;
}

/* Writes the lines of @file anew: first @own for the file @ino (NULL: no such line), then those of before that are about
 * other files. -ENODATA when there was nothing to take away. */
static int
change_key_file (const TtlSettings *self, const char *file, ino_t ino, const TtlDuration *own)
{
  g_auto (GStrv) lines = NULL;
  g_autoptr (GString) text = g_string_new (NULL);
  gboolean had = FALSE;
  int n = 0, res = read_lines (self, file, &lines);

  if (res < 0 && res != -ENODATA)
    return res;
  if (own != NULL)
    g_string_append_printf (text, "%s %" G_GUINT64_FORMAT "\n", own->text, (guint64)ino);
  for (char **line = lines; line != NULL && *line != NULL; line++)
    {
      if (is_about (*line, ino))
        had = TRUE;
      else if (n++ < LINES_MAX)
        g_string_append_printf (text, "%s\n", *line);
    }
  if (own == NULL && !had)
    return -ENODATA;
  if (text->len > 0)
    return write_file (self, file, text->str);
  return remove_file (self, file);
}

/* Other mounts watch the directory, not our settings: an event makes them look again. The kernel sends IN_ATTRIB when
 * both times are set, and something else for one of them; the mtime is set to what it was, where that is allowed. */
static void
nudge_watchers (TtlBucket *bucket)
{
  g_autoptr (TtlDir) dir = NULL;
  struct timespec times[2] = { { .tv_nsec = UTIME_NOW } };
  struct stat st;

  if (ttl_bucket_open (bucket, &dir) < 0 || fstat (ttl_dir_fd (dir), &st) < 0)
    return;
  times[1] = st.st_mtim;
  if (utimensat (ttl_dir_fd (dir), ".", times, 0) < 0)
    (void)utimensat (ttl_dir_fd (dir), ".", NULL, 0);
}

/* ---- either ---- */

/* Behind the root's descriptor there is no directory once its file system has been unmounted (lost.c): then there only seems
 * to be no setting, and whoever still has a bucket open must not end a lease by that. */
static int
unless_cut_off (const TtlSettings *self, int res)
{
  struct stat st;

  if (res != -ENODATA || (fstat (self->root_fd, &st) == 0 && S_ISDIR (st.st_mode)))
    return res;
  return -EIO;
}

int
ttl_settings_get_bucket (TtlSettings *self, TtlBucket *bucket, TtlDuration *own_out)
{
  g_autofree char *file = NULL;
  g_autoptr (TtlDir) dir = NULL;
  int res;

  if (!self->xattrs)
    return unless_cut_off (self, read_bucket_file (self, file = bucket_file (bucket), own_out));
  res = ttl_bucket_open (bucket, &dir);
  if (res < 0)
    return res;
  return get_xattr (ttl_dir_fd (dir), "", own_out);
}

int
ttl_settings_get_open (TtlSettings *self, TtlBucket *bucket, const char *backing, int fd, ino_t ino,
                       TtlDuration *own_out)
{
  g_autofree char *file = NULL;
  char text[TTL_DURATION_TEXT_MAX];
  ssize_t len;

  if (!self->xattrs)
    return unless_cut_off (self,
                           read_key_file (self, file = key_file (bucket, backing), ino, own_out));
  len = fgetxattr (fd, TTL_XATTR, text, sizeof text);
  if (len >= 0)
    return parse (text, len, backing, own_out);
  if (errno == ERANGE)
    return parse ("", 0, backing, own_out);
  return errno == ENODATA || errno == ENOTSUP ? -ENODATA : -errno;
}

int
ttl_settings_get_key (TtlSettings *self, TtlBucket *bucket, int dir_fd, const char *backing,
                      ino_t ino, TtlDuration *own_out)
{
  g_autofree char *file = NULL;

  if (self->xattrs)
    return get_xattr (dir_fd, backing, own_out);
  return unless_cut_off (self,
                         read_key_file (self, file = key_file (bucket, backing), ino, own_out));
}

int
ttl_settings_set_bucket (TtlSettings *self, TtlBucket *bucket, const TtlDuration *own)
{
  g_autofree char *file = NULL;
  g_autoptr (TtlDir) dir = NULL;
  int res;

  if (!self->xattrs)
    {
      file = bucket_file (bucket);
      res = own != NULL ? write_file (self, file, own->text) : remove_file (self, file);
      nudge_watchers (bucket);
      return res;
    }
  res = ttl_bucket_open (bucket, &dir);
  return res < 0 ? res : set_xattr (ttl_dir_fd (dir), "", own);
}

int
ttl_settings_set_key (TtlSettings *self, TtlBucket *bucket, int dir_fd, const char *backing,
                      ino_t ino, const TtlDuration *own)
{
  g_autofree char *file = NULL;

  if (self->xattrs)
    return set_xattr (dir_fd, backing, own);
  return change_key_file (self, file = key_file (bucket, backing), ino, own);
}

int
ttl_settings_set_draft (TtlSettings *self, TtlBucket *bucket, const char *backing, int fd,
                        const TtlDuration *own)
{
  g_autofree char *file = NULL;
  struct stat st;

  if (self->xattrs && own != NULL)
    return fsetxattr (fd, TTL_XATTR, own->text, strlen (own->text), 0) < 0 ? -errno : 0;
  if (self->xattrs)
    return fremovexattr (fd, TTL_XATTR) < 0 && errno != ENODATA ? -errno : 0;
  if (own == NULL)
    return 0; /* a setting for the old inode does not hold for the new one */
  if (fstat (fd, &st) < 0)
    return -errno;
  file = key_file (bucket, backing);
  return change_key_file (self, file, st.st_ino, own);
}

void
ttl_settings_copy_key (TtlSettings *self, TtlBucket *from, const char *from_backing, TtlBucket *to,
                       const char *to_backing, ino_t ino)
{
  g_autofree char *source = NULL;
  g_autofree char *target = NULL;
  TtlDuration own;

  if (self->xattrs)
    return;
  source = key_file (from, from_backing);
  if (read_key_file (self, source, ino, &own) < 0)
    return;
  target = key_file (to, to_backing);
  (void)change_key_file (self, target, ino, &own);
}

void
ttl_settings_drop_key (TtlSettings *self, TtlBucket *bucket, const char *backing, ino_t ino)
{
  g_autofree char *file = NULL;

  if (!self->xattrs && ino != 0)
    (void)change_key_file (self, file = key_file (bucket, backing), ino, NULL);
}

void
ttl_settings_move_bucket (TtlSettings *self, const char *from_path, const char *to_path)
{
  g_autofree char *from = NULL;
  g_autofree char *to = NULL;
  ttl_autofd from_fd = -1;
  ttl_autofd to_fd = -1;
  const char *from_name, *to_name;

  if (self->xattrs)
    return;
  ttl_settings_drop_bucket (self, to_path);
  from = mirror_dir (from_path);
  to = mirror_dir (to_path);
  from_fd = open_parent (self, from, FALSE, &from_name);
  if (from_fd < 0 || faccessat (from_fd, from_name, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
    return;
  to_fd = open_parent (self, to, TRUE, &to_name);
  if (to_fd < 0 || renameat (from_fd, from_name, to_fd, to_name) < 0)
    g_warning ("%s: its TTL settings could not follow it to %s: %s", from_path, to_path,
               g_strerror (to_fd < 0 ? -to_fd : errno));
}

/* Both are there then. */
static int
exchange_dirs (int a_fd, const char *a, int b_fd, const char *b)
{
  TtlName aside;

  if (renameat2 (a_fd, a, b_fd, b, RENAME_EXCHANGE) == 0)
    return 0;
  g_snprintf (aside, sizeof aside, "%%aside-%08x", g_random_int ());
  return renameat (a_fd, a, a_fd, aside) < 0 || renameat (b_fd, b, a_fd, a) < 0
                 || renameat (a_fd, aside, b_fd, b) < 0
             ? -errno
             : 0;
}

void
ttl_settings_exchange_buckets (TtlSettings *self, const char *a_path, const char *b_path)
{
  g_autofree char *a = NULL;
  g_autofree char *b = NULL;
  ttl_autofd a_dir = -1;
  ttl_autofd b_dir = -1;
  ttl_autofd a_fd = -1;
  ttl_autofd b_fd = -1;
  const char *a_name, *b_name;
  int res = 0;

  if (self->xattrs)
    return;
  a = mirror_dir (a_path);
  b = mirror_dir (b_path);
  a_dir = open_dir (self, a, TRUE);
  b_dir = open_dir (self, b, TRUE);
  a_fd = open_parent (self, a, FALSE, &a_name);
  b_fd = open_parent (self, b, FALSE, &b_name);
  if (a_dir < 0 || b_dir < 0 || a_fd < 0 || b_fd < 0)
    res = MIN (MIN (a_dir, b_dir), MIN (a_fd, b_fd));
  else
    res = exchange_dirs (a_fd, a_name, b_fd, b_name);
  if (res < 0)
    g_warning ("%s, %s: their TTL settings could not be exchanged: %s", a_path, b_path,
               g_strerror (-res));
}

static void
remove_all_in (int parent_fd, const char *name)
{
  g_autoptr (DIR) dir = ttl_opendir_at (parent_fd, name);
  const struct dirent *item;

  if (dir == NULL)
    return;
  while ((item = readdir (dir)) != NULL)
    (void)unlinkat (dirfd (dir), item->d_name, 0);
  (void)unlinkat (parent_fd, name, AT_REMOVEDIR);
}

/* Removes a mirror directory: its %ttl, its %keys, and, as the bucket was empty, nothing else. */
void
ttl_settings_drop_bucket (TtlSettings *self, const char *path)
{
  g_autofree char *dir = NULL;
  ttl_autofd parent_fd = -1;
  ttl_autofd fd = -1;
  const char *name;

  if (self->xattrs)
    return;
  dir = mirror_dir (path);
  parent_fd = open_parent (self, dir, FALSE, &name);
  fd = parent_fd >= 0 ? step (parent_fd, name, FALSE) : -1;
  if (fd < 0)
    return;
  (void)unlinkat (fd, "%ttl", 0);
  remove_all_in (fd, "%keys");
  (void)unlinkat (parent_fd, name, AT_REMOVEDIR);
}
