#define G_LOG_DOMAIN "ttlfs"
#include "store-private.h"

#include "cleanup.h"
#include "log.h"
#include "watcher.h"

#include <fcntl.h>
#include <gio/gio.h>

#define LOOK_EVERY_US 50000 /* for a root that has gone */

static gboolean
is_removed (int fd)
{
  struct stat st;

  return fstat (fd, &st) < 0 || st.st_nlink == 0;
}

/* The backing directory has been removed. Nothing that was in it is absent: it cannot be reached (-EIO). If there is a
 * directory in its place again, one that could be mounted, it is taken, under the descriptor number that everybody
 * knows. */
int
ttl_store_find_root (gpointer data)
{
  TtlStore *self = data;
  const gint64 now_us = g_get_monotonic_time ();
  g_autoptr (GError) error = NULL;
  ttl_autofd fd = -1;
  TtlRootCaps caps;
  TTL_LOCKED (&self->lost_lock);

  if (!is_removed (self->root_fd))
    return 0;
  if (self->lost_us == 0)
    g_warning ("%s: the backing directory has been removed; waiting for it to come back",
               self->root_path);
  else if (now_us - self->lost_us < LOOK_EVERY_US)
    return -EIO;
  self->lost_us = now_us;
  if (!ttl_root_open (self->root_path, self->options.root_flags & ~TTL_ROOT_CREATE, &fd, &caps,
                      &error))
    {
      if (!g_error_matches (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND)
          && ttl_log_first_time (error->message))
        g_warning ("%s", error->message);
      return -EIO;
    }
  if (dup3 (fd, self->root_fd, O_CLOEXEC) < 0)
    return -errno;
  ttl_tree_root_replaced (self->tree);
  if (self->watcher != NULL)
    ttl_watcher_restart (self->watcher);
  self->lost_us = 0;
  g_message ("%s: the backing directory is back", self->root_path);
  return 0;
}
