#define G_LOG_DOMAIN "ttlfs"
#include "store-private.h"

#include "cleanup.h"
#include "log.h"
#include "mounts.h"
#include "watcher.h"

#include <fcntl.h>
#include <gio/gio.h>
#include <sys/eventfd.h>

#define LOOK_EVERY_US 50000 /* for a root that has gone */

static gboolean
is_removed (int fd)
{
  struct stat st;

  return fstat (fd, &st) < 0 || st.st_nlink == 0;
}

/* A file system that somebody wants to have back stays in use for as long as we have its root open. Behind the number there
 * is something now that leads nowhere (-ENOTDIR to whoever is just using it). */
static void
let_go (TtlStore *self)
{
  ttl_autofd nothing = eventfd (0, EFD_CLOEXEC);

  if (nothing >= 0)
    (void)dup3 (nothing, self->root_fd, O_CLOEXEC);
}

gboolean
ttl_store_mounts_changed (TtlStore *self)
{
  TTL_LOCKED (&self->lost_lock);

  if (self->mount >= 0 && !ttl_tree_root_is_cut_off (self->tree)
      && !ttl_mount_is_there (self->mount))
    {
      ttl_tree_root_cut_off (self->tree);
      let_go (self);
    }
  return ttl_tree_root_is_cut_off (self->tree);
}

/* A mount point without its file system is no place to put anything, however empty it is: it would be covered later. */
static gboolean
is_bare_mount_point (const TtlStore *self)
{
  struct stat there;

  return self->root_is_mount && !ttl_mount_begins_at (self->root_path)
         && (stat (self->root_path, &there) < 0 || !ttl_tree_root_was (self->tree, &there));
}

static gboolean
can_do_the_same (const TtlRootCaps *a, const TtlRootCaps *b)
{
  return a->xattrs == b->xattrs && a->tmpfile == b->tmpfile && a->noreplace == b->noreplace
         && a->links == b->links && a->local == b->local && a->granularity_ns == b->granularity_ns;
}

/* What stands at the root's path, if it can take the root's place. */
static int
open_successor (TtlStore *self, gboolean unmounted, int *fd_out)
{
  g_autoptr (GError) error = NULL;
  ttl_autofd fd = -1;
  TtlRootCaps caps;

  if (unmounted && is_bare_mount_point (self))
    return -EIO;
  if (!ttl_root_open (self->root_path, self->options.root_flags & ~TTL_ROOT_CREATE, &fd, &caps,
                      &error))
    {
      if (!g_error_matches (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND)
          && ttl_log_first_time (error->message))
        g_warning ("%s", error->message);
      return -EIO;
    }
  if (unmounted && !can_do_the_same (&caps, &self->caps))
    {
      if (ttl_log_first_time ("another kind of file system"))
        g_warning ("%s: there is another kind of file system now; unmount and mount ttlfs again",
                   self->root_path);
      return -EIO;
    }
  *fd_out = ttl_steal_fd (&fd);
  return 0;
}

/* The backing directory has been removed, or its file system unmounted. Nothing that was in it is absent: it cannot be
 * reached (-EIO). If there is a directory in its place again, one that could be mounted, it is taken, under the
 * descriptor number that everybody knows. */
int
ttl_store_find_root (gpointer data)
{
  TtlStore *self = data;
  const gint64 now_us = g_get_monotonic_time ();
  ttl_autofd fd = -1;
  gboolean unmounted;
  int res;
  TTL_LOCKED (&self->lost_lock);

  unmounted = ttl_tree_root_is_cut_off (self->tree);
  if (!unmounted && !is_removed (self->root_fd))
    return 0;
  if (self->lost_us == 0)
    g_warning ("%s: the backing directory has been %s; waiting for it to come back",
               self->root_path, unmounted ? "unmounted" : "removed");
  else if (now_us - self->lost_us < LOOK_EVERY_US)
    return -EIO;
  self->lost_us = now_us;
  res = open_successor (self, unmounted, &fd);
  if (res < 0)
    return res;
  if (dup3 (fd, self->root_fd, O_CLOEXEC) < 0)
    return -errno;
  self->mount = ttl_mount_of (self->root_fd);
  ttl_tree_root_replaced (self->tree);
  if (self->watcher != NULL)
    ttl_watcher_restart (self->watcher);
  self->lost_us = 0;
  g_message ("%s: the backing directory is back", self->root_path);
  return 0;
}
