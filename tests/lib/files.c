#include "files.h"

#include "cleanup.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/xattr.h>

int
write_all (int fd, const char *value)
{
  gsize len = strlen (value);

  while (len > 0)
    {
      ssize_t n = write (fd, value, len);

      if (n < 0)
        return -1;
      value += n;
      len -= (gsize)n;
    }
  return 0;
}

static int
put_all (const char *path, int flags, const void *bytes, gsize len)
{
  const char *next = bytes;
  ttl_autofd fd = open (path, flags | O_WRONLY | O_CLOEXEC, 0666);

  if (fd < 0)
    return -1;
  while (len > 0)
    {
      ssize_t n = write (fd, next, len);

      if (n < 0)
        return -1;
      next += n;
      len -= (gsize)n;
    }
  return close (ttl_steal_fd (&fd));
}

int
put (const char *path, const char *value)
{
  return put_all (path, O_CREAT | O_TRUNC, value, strlen (value));
}

int
put_bytes (const char *path, const void *bytes, gsize len)
{
  return put_all (path, O_CREAT | O_TRUNC, bytes, len);
}

int
put_with (const char *path, int flags, const char *value)
{
  return put_all (path, flags, value, strlen (value));
}

int
put_raw (const char *path, const char *value)
{
  g_autofree char *dir = g_path_get_dirname (path);
  g_autofree char *scratch = g_strdup_printf ("%s/.tmp_%08x", dir, g_random_int ());

  if (put (scratch, value) < 0)
    return -1;
  return rename (scratch, path);
}

static char *
read_all (int fd, gsize *len_out)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  g_autofree guint8 *chunk = g_malloc (1 << 17);
  ssize_t n;

  while ((n = pread (fd, chunk, 1 << 17, bytes->len)) > 0)
    g_byte_array_append (bytes, chunk, (guint)n);
  if (n < 0)
    return NULL;
  *len_out = bytes->len;
  g_byte_array_append (bytes, (const guint8 *)"", 1);
  return (char *)g_byte_array_free (g_steal_pointer (&bytes), FALSE);
}

char *
get_bytes (const char *path, gsize *len_out)
{
  ttl_autofd fd = open (path, O_RDONLY | O_CLOEXEC);

  return fd < 0 ? NULL : read_all (fd, len_out);
}

const char *
get (const char *path)
{
  gsize len;

  return keep (get_bytes (path, &len));
}

const char *
get_fd (int fd)
{
  gsize len;

  return keep (read_all (fd, &len));
}

int
stat_of (const char *path, struct stat *st_out)
{
  struct stat st;

  return lstat (path, st_out != NULL ? st_out : &st);
}

gboolean
exists (const char *path)
{
  return stat_of (path, NULL) == 0;
}

gint64
mtime_ns (const char *path)
{
  struct stat st;

  return stat_of (path, &st) < 0 ? -1 : st.st_mtim.tv_sec * SECOND + st.st_mtim.tv_nsec;
}

int
set_mtime_ns (const char *path, gint64 mtime)
{
  struct timespec times[2]
      = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = mtime / SECOND, .tv_nsec = mtime % SECOND } };

  return utimensat (AT_FDCWD, path, times, 0);
}

mode_t
mode_of (const char *path)
{
  struct stat st;

  return stat_of (path, &st) < 0 ? 0 : st.st_mode & 07777;
}

static int
compare_names (const void *a, const void *b)
{
  return strcmp (*(char *const *)a, *(char *const *)b);
}

static GPtrArray *
names_in (const char *path)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (DIR) dir = opendir (path);
  struct dirent *entry;

  if (dir == NULL)
    return NULL;
  errno = 0;
  while ((entry = readdir (dir)) != NULL)
    if (strcmp (entry->d_name, ".") != 0 && strcmp (entry->d_name, "..") != 0)
      g_ptr_array_add (names, g_strdup (entry->d_name));
  if (errno != 0)
    return NULL;
  return g_steal_pointer (&names);
}

const char *
listing (const char *dir)
{
  g_autoptr (GPtrArray) names = names_in (dir);
  GString *joined;

  if (names == NULL)
    return NULL;
  g_ptr_array_sort (names, compare_names);
  joined = g_string_new (NULL);
  for (guint i = 0; i < names->len; i++)
    g_string_append_printf (joined, "%s\n", (char *)names->pdata[i]);
  return keep (g_string_free (joined, FALSE));
}

guint
count_listed (const char *dir)
{
  g_autoptr (GPtrArray) names = names_in (dir);

  return names != NULL ? names->len : 0;
}

gboolean
lists (const char *path)
{
  g_autofree char *dir = g_path_get_dirname (path);
  g_autofree char *name = g_path_get_basename (path);
  g_autoptr (GPtrArray) names = names_in (dir);

  for (guint i = 0; names != NULL && i < names->len; i++)
    if (strcmp (names->pdata[i], name) == 0)
      return TRUE;
  return FALSE;
}

static guint files_seen, scratch_seen; /* nftw() has no argument to pass them by */

static int
see_file (const char *path, const struct stat *st, int type, struct FTW *ftw)
{
  const char *name = path + ftw->base;

  if (type == FTW_D && ftw->level == 1 && strcmp (name, ".ttlfs") == 0)
    return FTW_SKIP_SUBTREE;
  if (type == FTW_F && S_ISREG (st->st_mode))
    files_seen++;
  if (type == FTW_F && g_str_has_prefix (name, ".tmp_"))
    scratch_seen++;
  return FTW_CONTINUE;
}

guint
count_files (const char *dir)
{
  files_seen = scratch_seen = 0;
  nftw (dir, see_file, 32, FTW_PHYS | FTW_ACTIONRETVAL);
  return files_seen;
}

guint
count_scratch (const char *dir)
{
  count_files (dir);
  return scratch_seen;
}

const char *
xattr (const char *path, const char *name)
{
  char value[1024];
  ssize_t len = lgetxattr (path, name, value, sizeof value);

  return len < 0 ? NULL : keep (g_strndup (value, (gsize)len));
}

int
set_xattr (const char *path, const char *name, const char *value)
{
  return lsetxattr (path, name, value, strlen (value), 0);
}

gboolean
lists_xattr (const char *path, const char *name)
{
  char names[4096];
  ssize_t len = llistxattr (path, names, sizeof names);

  for (const char *next = names; len > 0 && next < names + len; next += strlen (next) + 1)
    if (strcmp (next, name) == 0)
      return TRUE;
  return FALSE;
}
