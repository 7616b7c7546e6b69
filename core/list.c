/* list - a bucket's directory, read through the eyes of a user: decoded, live, nothing else. */
#define G_LOG_DOMAIN "ttlfs"
#include "store-private.h"

#include "cleanup.h"

#include <fcntl.h>

/* One getdents64() of this size takes in a directory of some 25,000 keys. On tmpfs a name that is renamed over moves to
 * the end, where a listing under way does not go any more: the fewer calls it takes, the less it can miss. */
#define BUFFER_BYTES (1024 * 1024)
/* Whoever opens directories by the thousand must not make the daemon big. */
#define BUFFER_BYTES_OF_MANY (32 * 1024)
#define MANY 64

static gint n_big; /* atomic; how many lists have a big one */

struct TtlList
{
  TtlStore *store;
  TtlBucket *bucket; /* owns a reference */
  int fd;
  char *
      buffer; /* NULL before the first read, and at the end; what is behind `at` has not been told yet */
  gsize size, at, len;
};

int
ttl_store_list (TtlStore *self, TtlBucket *bucket, TtlList **list_out)
{
  g_autoptr (TtlDir) dir = NULL;
  int fd, res = ttl_bucket_open (bucket, &dir);

  if (res < 0)
    return res;
  fd = openat (ttl_dir_fd (dir), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0)
    return -errno;
  *list_out = g_new0 (TtlList, 1);
  **list_out = (TtlList){ .store = self, .bucket = ttl_bucket_ref (bucket), .fd = fd };
  return 0;
}

static void
make_buffer (TtlList *self)
{
  const gboolean big = g_atomic_int_add (&n_big, 1) < MANY;

  if (!big)
    g_atomic_int_add (&n_big, -1);
  self->size = big ? BUFFER_BYTES : BUFFER_BYTES_OF_MANY;
  self->buffer = g_malloc (self->size);
}

static void
drop_buffer (TtlList *self)
{
  if (self->buffer != NULL && self->size == BUFFER_BYTES)
    g_atomic_int_add (&n_big, -1);
  g_clear_pointer (&self->buffer, g_free);
}

void
ttl_list_free (TtlList *self)
{
  (void)close (self->fd);
  ttl_bucket_unref (self->bucket);
  drop_buffer (self);
  g_free (self);
}

void
ttl_list_seek (TtlList *self, gint64 offset)
{
  (void)lseek (self->fd, offset, SEEK_SET);
  self->at = self->len = 0;
}

int
ttl_list_sync (TtlList *self)
{
  return fsync (self->fd) < 0 ? -errno : 0;
}

/* The next name, valid until the next call; NULL at the end, or with *@err_out set. */
static const struct dirent64 *
read_name (TtlList *self, int *err_out)
{
  const struct dirent64 *found;
  ssize_t n;

  *err_out = 0;
  if (self->at >= self->len)
    {
      if (self->buffer == NULL)
        make_buffer (self);
      n = getdents64 (self->fd, self->buffer, self->size);
      if (n <= 0)
        {
          *err_out = n < 0 ? errno : 0;
          drop_buffer (self);
          self->at = self->len = 0;
          return NULL;
        }
      self->at = 0;
      self->len = n;
    }
  found = (const struct dirent64 *)(self->buffer + self->at);
  self->at += found->d_reclen;
  return found;
}

/* A bucket and a key can be shown under one name (a peer made the bucket "a-b" beside the key a%2Db). The bucket has the
 * name; the key goes by its backing name, which opens it just as well. */
static void
show (TtlList *self, TtlListItem *item)
{
  struct stat st;

  ttl_keyname_to_shown (self->store->options.names, item->entry.backing,
                        ttl_bucket_is_root (self->bucket), item->shown);
  if (strcmp (item->shown, item->entry.backing) != 0
      && fstatat (self->fd, item->shown, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR (st.st_mode))
    g_strlcpy (item->shown, item->entry.backing, sizeof (TtlName));
}

/* FALSE when @found is nothing that a user should see. */
static gboolean
fill (TtlList *self, const struct dirent64 *found, gint64 now_ns, TtlListItem *item)
{
  int fd = self->fd;

  if (ttl_store_is_dots (found->d_name))
    {
      item->entry.kind = TTL_ENTRY_BUCKET;
      item->entry.st = (struct stat){ .st_ino = found->d_ino, .st_mode = S_IFDIR };
      g_strlcpy (item->shown, found->d_name, sizeof (TtlName));
      return TRUE;
    }
  if (ttl_store_check_reserved (self->bucket, found->d_name) < 0)
    return FALSE;
  if (found->d_type == DT_REG || found->d_type == DT_UNKNOWN)
    {
      if (ttl_keyname_kind (self->store->options.names, found->d_name) == TTL_NAME_KEY
          && ttl_store_examine (self->store, self->bucket, fd, found->d_name, now_ns, &item->entry)
                 == 0)
        {
          show (self, item);
          return TRUE;
        }
      if (found->d_type == DT_REG)
        return FALSE;
    }
  else if (found->d_type != DT_DIR)
    return FALSE;
  if (fstatat (fd, found->d_name, &item->entry.st, AT_SYMLINK_NOFOLLOW) < 0
      || !S_ISDIR (item->entry.st.st_mode))
    return FALSE;
  item->entry.kind = TTL_ENTRY_BUCKET;
  item->entry.ttl.ns = 0;
  item->entry.deadline = TTL_DEADLINE_NEVER;
  g_strlcpy (item->entry.backing, found->d_name, sizeof (TtlName));
  g_strlcpy (item->shown, found->d_name, sizeof (TtlName));
  return TRUE;
}

int
ttl_list_next (TtlList *self, gint64 now_ns, TtlListItem *item_out)
{
  const struct dirent64 *found;
  int err;

  while ((found = read_name (self, &err)) != NULL)
    {
      item_out->next_off = found->d_off;
      if (fill (self, found, now_ns, item_out))
        return 1;
    }
  return -err;
}
