#define G_LOG_DOMAIN "ttlfs"
#include "scan.h"

#include "cleanup.h"
#include "reaper.h"
#include "store-private.h"

#include <fcntl.h>
#include <string.h>

#define NAMES_BYTES (16 * 1024)

/* Names that wait to be looked at together. */
typedef struct
{
  char text[NAMES_BYTES];
  gsize len;
  guint n;
} Names;

static void
look_at (TtlStore *store, TtlBucket *bucket, int dir_fd, Names *names)
{
  ttl_reaper_look_at_all (store->reaper, bucket, dir_fd, names->text, names->n);
  names->len = 0;
  names->n = 0;
}

gint64
ttl_scan (TtlStore *store, TtlBucket *bucket, int dir_fd, TtlScanFound found, gpointer data)
{
  g_autoptr (DIR) dir = ttl_opendir_at (dir_fd, ".");
  g_autofree Names *names = NULL;
  struct dirent *item;
  gint64 n = 0;

  if (dir == NULL)
    return -errno;
  names = g_malloc (sizeof *names);
  names->len = 0;
  names->n = 0;
  while ((item = readdir (dir)) != NULL)
    {
      const gsize size = strlen (item->d_name) + 1;

      if (ttl_store_is_dots (item->d_name) || ttl_store_check_reserved (bucket, item->d_name) < 0
          || found (bucket, item, data))
        continue;
      if (names->len + size > sizeof names->text)
        look_at (store, bucket, dirfd (dir), names);
      memcpy (names->text + names->len, item->d_name, size);
      names->len += size;
      names->n++;
      n++;
    }
  look_at (store, bucket, dirfd (dir), names);
  return n;
}
