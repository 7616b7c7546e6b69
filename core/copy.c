#include "copy.h"

#include "cleanup.h"

#include <linux/fs.h>
#include <linux/limits.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define CHUNK (256 * 1024)

/* Where copy_file_range(2) does not work between these two files. */
static int
copy_by_hand (int from, off_t offset, gint64 len, int to, off_t to_offset)
{
  g_autofree char *buffer = g_malloc (CHUNK);

  while (len > 0)
    {
      ssize_t n = pread (from, buffer, MIN (len, CHUNK), offset);

      if (n <= 0)
        return n < 0 ? -errno : 0;
      for (ssize_t done = 0; done < n;)
        {
          ssize_t w = pwrite (to, buffer + done, n - done, to_offset + done);
          if (w < 0)
            return -errno;
          done += w;
        }
      offset += n;
      to_offset += n;
      len -= n;
    }
  return 0;
}

static int
copy_piece (int from, off_t offset, gint64 len, int to, off_t to_offset)
{
  while (len > 0)
    {
      loff_t in = offset, out = to_offset;
      ssize_t n = copy_file_range (from, &in, to, &out, len, 0);

      if (n == 0)
        return 0;
      if (n < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EIO || errno == EFBIG))
        return -errno;
      if (n < 0)
        return copy_by_hand (from, offset, len, to, to_offset);
      offset += n;
      to_offset += n;
      len -= n;
    }
  return 0;
}

int
ttl_copy_range (int from, off_t offset, gint64 len, int to)
{
  struct stat st;

  return fstat (to, &st) < 0 ? -errno : copy_piece (from, offset, len, to, st.st_size);
}

int
ttl_copy_content (int from, int to)
{
  struct stat st;
  off_t at = 0;

  if (ioctl (to, FICLONE, from) == 0)
    return 0;
  if (fstat (from, &st) < 0)
    return -errno;
  while (at < st.st_size)
    {
      off_t data = lseek (from, at, SEEK_DATA);
      off_t hole;
      int res;

      if (data < 0 && errno == ENXIO)
        break; /* nothing but a hole up to the end */
      if (data < 0)
        data = at;
      hole = lseek (from, data, SEEK_HOLE);
      if (hole < 0)
        hole = st.st_size;
      res = copy_piece (from, data, hole - data, to, data);
      if (res < 0)
        return res;
      at = hole;
    }
  return ftruncate (to, st.st_size) < 0 ? -errno : 0;
}

#define FEW_NAMES_BYTES 1024 /* the kernel clears as much as it is offered */

/* The names on @fd, or NULL; *@len_out is 0 where the file system knows no xattrs. */
static char *
list_names (int fd, ssize_t *len_out)
{
  char *names = g_malloc (FEW_NAMES_BYTES);

  *len_out = flistxattr (fd, names, FEW_NAMES_BYTES);
  if (*len_out < 0 && errno == ERANGE)
    {
      names = g_realloc (names, XATTR_LIST_MAX);
      *len_out = flistxattr (fd, names, XATTR_LIST_MAX);
    }
  if (*len_out < 0)
    *len_out = 0;
  return names;
}

static gboolean
counts (const char *name, GHashTable *except)
{
  return g_str_has_prefix (name, "user.")
         && (except == NULL || !g_hash_table_contains (except, name));
}

int
ttl_copy_xattrs (int from, int to, GHashTable *except)
{
  ssize_t from_len, to_len;
  g_autofree char *from_names = list_names (from, &from_len);
  g_autofree char *to_names = list_names (to, &to_len);
  g_autofree char *value = NULL;

  for (char *name = to_names; name < to_names + to_len; name += strlen (name) + 1)
    if (counts (name, except) && fgetxattr (from, name, NULL, 0) < 0 && errno == ENODATA)
      (void)fremovexattr (to, name);
  for (char *name = from_names; name < from_names + from_len; name += strlen (name) + 1)
    {
      ssize_t len;

      if (!counts (name, except))
        continue;
      if (value == NULL)
        value = g_malloc (XATTR_SIZE_MAX);
      len = fgetxattr (from, name, value, XATTR_SIZE_MAX);
      if (len >= 0 && fsetxattr (to, name, value, len, 0) < 0)
        return -errno;
    }
  return 0;
}
