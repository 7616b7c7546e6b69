#define G_LOG_DOMAIN "ttlfs"
#include "watcher.h"

#include "cleanup.h"
#include "keeper.h"
#include "log.h"
#include "mounts.h"
#include "reaper.h"
#include "scan.h"
#include "store-private.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>

/* IN_MODIFY, since that and not IN_ATTRIB is what the kernel sends when the mtime alone is set: a renewal. */
#define WATCH_MASK \
  (IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ATTRIB | IN_MODIFY | IN_CLOSE_WRITE \
   | IN_DELETE_SELF | IN_ONLYDIR | IN_EXCL_UNLINK)
#define POLL_MS 1000 /* how often directories that cannot be watched are scanned */
#define BUFFER_BYTES (64 * 1024)
/* Events come in crowds, three or more for one put. To be woken for each would cost more than all else that a put does. */
#define GATHER_US 1000
#define SAY_US (5 * G_USEC_PER_SEC)   /* between two words about a scan that takes long */
#define QUICK_US (1 * G_USEC_PER_SEC) /* of a scan that takes less nothing is said */

typedef struct
{
  guint id;
  TtlListener listener;
  gpointer data;
} Subscription;

struct TtlWatcher
{
  TtlStore *store;  /* constant */
  int inotify_fd;   /* constant; -1 when there is none */
  int wake_fd;      /* constant; an eventfd */
  int mounts_fd;    /* constant; -1 when there is none */
  gint stopping;    /* atomic */
  pthread_t thread; /* constant */
  gboolean running; /* constant once started */

  pthread_mutex_t
      calling; /* outside of every order: held while listeners run, taken by remove_listener() */
  GArray *subscriptions;   /* of Subscription; guarded by calling */
  guint next_subscription; /* guarded by calling */

  pthread_mutex_t lock;      /* order 4; guards all below */
  pthread_cond_t ready_cond; /* ready became true */
  GHashTable *by_wd;         /* watch descriptor -> TtlBucket, owns a reference */
  GHashTable
      *watched; /* TtlBucket in by_wd, borrowed -> its watch descriptor, the last one it got */
  GHashTable *polled; /* set of TtlBucket that could not be watched; owns references */
  gboolean gaps;      /* a directory could not even be opened: there is more to find */
  gboolean ready;
  guint64 scanned_names, scanned_dirs; /* of the whole tree, this time or last time ... */
  gint64 scan_began_us,
      scan_ended_us; /* ... which went from here to there (0: goes on), monotonic */
};

/* ---- listeners ---- */

guint
ttl_watcher_add_listener (TtlWatcher *self, TtlListener listener, gpointer data)
{
  TTL_LOCKED (&self->calling);
  Subscription subscription = { ++self->next_subscription, listener, data };

  g_array_append_val (self->subscriptions, subscription);
  return subscription.id;
}

void
ttl_watcher_remove_listener (TtlWatcher *self, guint id)
{
  TTL_LOCKED (&self->calling);

  for (guint i = 0; i < self->subscriptions->len; i++)
    if (g_array_index (self->subscriptions, Subscription, i).id == id)
      {
        g_array_remove_index (self->subscriptions, i);
        return;
      }
}

static void
tell (TtlWatcher *self, TtlEventKind kind, TtlBucket *bucket, const char *backing)
{
  const TtlEvent event = { kind, bucket, backing };
  TTL_LOCKED (&self->calling);

  for (guint i = 0; i < self->subscriptions->len; i++)
    {
      const Subscription *to = &g_array_index (self->subscriptions, Subscription, i);
      to->listener (&event, to->data);
    }
}

/* ---- directories ---- */

/* A directory was not to be had: no loss where it is gone, and otherwise a reason to look again. */
static void
note_gap (TtlWatcher *self, int res)
{
  TTL_LOCKED (&self->lock);

  if (res != -ESTALE && res != -ENOENT && res != -ENOTDIR && res != -EXDEV)
    self->gaps = TRUE;
}

static void
forget_watch_locked (TtlWatcher *self, int wd)
{
  TtlBucket *bucket = g_hash_table_lookup (self->by_wd, GINT_TO_POINTER (wd));

  if (bucket == NULL)
    return;
  if (GPOINTER_TO_INT (g_hash_table_lookup (self->watched, bucket)) == wd)
    g_hash_table_remove (self->watched, bucket);
  g_hash_table_remove (self->by_wd, GINT_TO_POINTER (wd));
}

/* Starts to watch @bucket, which is open as @dir_fd, or to poll it. */
static void
watch (TtlWatcher *self, TtlBucket *bucket, int dir_fd)
{
  char path[48];
  int wd = -1;

  g_snprintf (path, sizeof path, "/proc/self/fd/%d/.", dir_fd);
  if (self->inotify_fd >= 0)
    wd = inotify_add_watch (self->inotify_fd, path, WATCH_MASK);
  if (wd < 0 && self->inotify_fd >= 0 && ttl_log_first_time ("inotify"))
    g_warning ("cannot watch every directory below the root (%s): changes made elsewhere are seen "
               "after a second at most; raise fs.inotify.max_user_watches",
               g_strerror (errno));

  ttl_bucket_forget_ttl (bucket); /* what was read before nobody would have told us of a change */
  TTL_LOCKED (&self->lock);
  if (wd >= 0)
    {
      /* One inode has one watch: added again, it comes back with the number that it has. */
      forget_watch_locked (self, wd);
      g_hash_table_insert (self->by_wd, GINT_TO_POINTER (wd), ttl_bucket_ref (bucket));
      g_hash_table_insert (self->watched, bucket, GINT_TO_POINTER (wd));
    }
  else if (!g_hash_table_contains (self->polled, bucket))
    g_hash_table_add (self->polled, ttl_bucket_ref (bucket));
}

static void
unwatch (TtlWatcher *self, int wd)
{
  TTL_LOCKED (&self->lock);

  forget_watch_locked (self, wd);
}

/* The directories that were watched so far may go on elsewhere: what happens there is nothing to us. */
static void
unwatch_all (TtlWatcher *self)
{
  GHashTableIter iter;
  gpointer wd;
  TTL_LOCKED (&self->lock);

  g_hash_table_iter_init (&iter, self->by_wd);
  while (g_hash_table_iter_next (&iter, &wd, NULL))
    (void)inotify_rm_watch (self->inotify_fd, GPOINTER_TO_INT (wd));
  g_hash_table_remove_all (self->watched);
  g_hash_table_remove_all (self->by_wd);
}

/* Tells of what was already there when a bucket appeared. */
static void
tell_of_content (TtlWatcher *self, TtlBucket *bucket, const char *name, gboolean is_bucket)
{
  if (is_bucket)
    tell (self, TTL_EVENT_BUCKET, bucket, name);
  else if (ttl_keyname_kind (ttl_store_names (self->store), name) == TTL_NAME_KEY
           && ttl_store_has_value (self->store, bucket, name))
    tell (self, TTL_EVENT_PUT, bucket, name);
}

typedef struct
{
  TtlWatcher *watcher;
  GPtrArray *todo; /* of TtlBucket, owned references */
  gboolean aloud;  /* the listeners have not heard of any of it */
} TakingIn;

static gboolean
take_in_one (TtlBucket *bucket, const struct dirent *item, gpointer data)
{
  const TakingIn *self = data;
  TtlBucket *child = NULL;
  int res = item->d_type == DT_DIR || item->d_type == DT_UNKNOWN
                ? ttl_bucket_get_child (bucket, item->d_name, &child)
                : -ENOTDIR;

  if (res == 0)
    g_ptr_array_add (self->todo, child);
  else if (res != -ENOTDIR)
    note_gap (self->watcher, res);
  if (self->aloud)
    tell_of_content (self->watcher, bucket, item->d_name, res == 0);
  return res != -ENOTDIR;
}

/* @n more names have been looked at, of a directory that is done with. */
static void
count_scanned (TtlWatcher *self, guint64 n, gint64 *said_us)
{
  const gint64 now_us = g_get_monotonic_time ();
  guint64 names, dirs;

  {
    TTL_LOCKED (&self->lock);
    names = self->scanned_names += n;
    dirs = ++self->scanned_dirs;
  }
  if (now_us - *said_us < SAY_US)
    return;
  *said_us = now_us;
  g_message ("indexing: %" G_GUINT64_FORMAT " keys in %" G_GUINT64_FORMAT " buckets so far", names,
             dirs);
}

/* Watches @bucket and everything below it, each directory before it is scanned so that nothing is missed. */
static void
take_in (TtlWatcher *self, TtlBucket *top, gboolean aloud)
{
  g_autoptr (GPtrArray) todo = g_ptr_array_new ();
  TakingIn taking_in = { .watcher = self, .todo = todo, .aloud = aloud };
  gint64 said_us = g_get_monotonic_time ();

  g_ptr_array_add (todo, ttl_bucket_ref (top));
  g_ptr_array_set_free_func (todo, (GDestroyNotify)ttl_bucket_unref);
  while (todo->len > 0 && !g_atomic_int_get (&self->stopping))
    {
      g_autoptr (TtlBucket) bucket = g_ptr_array_steal_index_fast (todo, todo->len - 1);
      g_autoptr (TtlDir) dir = NULL;
      gint64 n = ttl_bucket_open (bucket, &dir);

      if (n == 0)
        {
          watch (self, bucket, ttl_dir_fd (dir));
          n = ttl_scan (self->store, bucket, ttl_dir_fd (dir), take_in_one, &taking_in);
        }
      if (n < 0)
        note_gap (self, (int)n);
      else if (!aloud)
        count_scanned (self, (guint64)n, &said_us);
    }
}

static gboolean
is_removed (TtlBucket *bucket)
{
  g_autoptr (TtlDir) dir = NULL;
  struct stat st;

  return ttl_bucket_open (bucket, &dir) == 0 && fstat (ttl_dir_fd (dir), &st) == 0
         && st.st_nlink == 0;
}

/* A peer has moved or removed @top. Where it is found again within the root, it is taken in anew. */
static void
let_go (TtlWatcher *self, TtlBucket *top)
{
  g_autoptr (GPtrArray) known = NULL;

  if (ttl_bucket_is_in_place (top))
    return;
  if (is_removed (top)) /* so it was empty; our descriptor would keep the kernel from saying so */
    {
      ttl_bucket_removed (top);
      ttl_bucket_forget_dir (top);
      return; /* its watch ends with it */
    }
  known = ttl_tree_dup_all (self->store->tree);
  for (guint i = 0; i < known->len && !g_atomic_int_get (&self->stopping); i++)
    {
      TtlBucket *below = g_ptr_array_index (known, i);
      gpointer wd = NULL;
      gboolean watched;

      if (!ttl_bucket_is_within (below, top))
        continue;
      if (is_removed (below))
        ttl_bucket_removed (below);
      ttl_bucket_forget_dir (below);
      {
        TTL_LOCKED (&self->lock);
        watched = g_hash_table_lookup_extended (self->watched, below, NULL, &wd);
      }
      if (watched)
        (void)inotify_rm_watch (self->inotify_fd, GPOINTER_TO_INT (wd));
    }
}

static void
end_scan (TtlWatcher *self)
{
  guint64 names, dirs;
  gint64 took_us;

  {
    TTL_LOCKED (&self->lock);
    self->scan_ended_us = g_get_monotonic_time ();
    took_us = self->scan_ended_us - self->scan_began_us;
    names = self->scanned_names;
    dirs = self->scanned_dirs;
  }
  if (took_us >= QUICK_US && !g_atomic_int_get (&self->stopping))
    g_message ("indexed %" G_GUINT64_FORMAT " keys in %" G_GUINT64_FORMAT " buckets in %.1f s",
               names, dirs, (double)took_us / G_USEC_PER_SEC);
}

/* What was moved away when nobody watched its parent made no event. Of what is not in place, that which stands in what is. */
static void
let_go_unseen (TtlWatcher *self)
{
  g_autoptr (GPtrArray) known = ttl_tree_dup_all (self->store->tree);

  for (guint i = 0; i < known->len && !g_atomic_int_get (&self->stopping); i++)
    {
      TtlBucket *bucket = g_ptr_array_index (known, i);
      g_autoptr (TtlBucket) parent = ttl_bucket_dup_parent (bucket);

      if (!ttl_bucket_is_in_place (bucket) && parent != NULL && ttl_bucket_is_in_place (parent))
        let_go (self, bucket);
    }
}

/* Everything anew: at the start, after an overflow, and by the clock where nothing is watched. */
static void
take_in_all (TtlWatcher *self)
{
  g_autoptr (GPtrArray) known = ttl_tree_dup_all (self->store->tree);

  for (guint i = 0; i < known->len; i++)
    ttl_bucket_forget_ttl (g_ptr_array_index (known, i));
  ttl_keeper_attributes_changed (self->store->keeper, 0);
  {
    TTL_LOCKED (&self->lock);
    g_hash_table_remove_all (self->polled);
    self->gaps = FALSE;
    self->scanned_names = self->scanned_dirs = 0;
    self->scan_began_us = g_get_monotonic_time ();
    self->scan_ended_us = 0;
  }
  take_in (self, ttl_tree_root (self->store->tree), FALSE);
  let_go_unseen (self);
  end_scan (self);
}

gboolean
ttl_watcher_sees (TtlWatcher *self, TtlBucket *bucket)
{
  if (self == NULL || !self->store->caps.local)
    return FALSE;

  TTL_LOCKED (&self->lock);
  return g_hash_table_contains (self->watched, bucket);
}

void
ttl_watcher_get_status (TtlWatcher *self, TtlStoreStatus *status_out)
{
  TTL_LOCKED (&self->lock);
  const gint64 end_us = self->scan_ended_us != 0 ? self->scan_ended_us : g_get_monotonic_time ();

  status_out->scanning = self->scan_ended_us == 0;
  status_out->scanned_names = self->scanned_names;
  status_out->scanned_dirs = self->scanned_dirs;
  status_out->scan_ms = self->scan_began_us != 0 ? (end_us - self->scan_began_us) / 1000 : 0;
  status_out->watched = g_hash_table_size (self->watched);
  status_out->polled = g_hash_table_size (self->polled);
}

/* ---- events ---- */

static TtlBucket *
dup_watched (TtlWatcher *self, int wd)
{
  TTL_LOCKED (&self->lock);
  TtlBucket *bucket = g_hash_table_lookup (self->by_wd, GINT_TO_POINTER (wd));

  return bucket != NULL ? ttl_bucket_ref (bucket) : NULL;
}

static void
directory_event (TtlWatcher *self, TtlBucket *bucket, const struct inotify_event *event)
{
  g_autoptr (TtlBucket) child = NULL;
  g_autoptr (TtlBucket) gone = NULL;
  int res;

  if (event->mask & (IN_MOVED_FROM | IN_DELETE))
    gone = ttl_bucket_dup_known_child (bucket, event->name);
  if (gone != NULL)
    let_go (self, gone);
  if (event->mask & (IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE))
    tell (self, TTL_EVENT_BUCKET, bucket, event->name);
  if (!(event->mask & (IN_CREATE | IN_MOVED_TO)))
    return;
  res = ttl_bucket_get_child (bucket, event->name, &child);
  if (res < 0)
    {
      note_gap (self, res);
      return;
    }
  if (event->mask & IN_MOVED_TO)
    ttl_keeper_recheck (self->store->keeper); /* other TTLs may hold there */
  take_in (self, child, TRUE);
}

/* What the name of a file stands for by now. */
typedef struct
{
  gboolean there;
  struct stat st;
} Sight;

/* Looks once, for the index and for the listeners. What the keeper has renewed it has noted in the index itself. It is what the
 * file is now that counts, so a change by somebody else in between is not overlooked. */
static void
look (TtlWatcher *self, TtlBucket *bucket, const struct inotify_event *event, Sight *sight)
{
  TtlStore *store = self->store;
  g_autoptr (TtlDir) dir = NULL;

  sight->there = FALSE;
  if (ttl_bucket_open (bucket, &dir) < 0)
    return;
  sight->there = fstatat (ttl_dir_fd (dir), event->name, &sight->st, AT_SYMLINK_NOFOLLOW) == 0;
  if (!sight->there)
    {
      ttl_reaper_forget (store->reaper, bucket, event->name);
      return;
    }
  if (event->mask == IN_MODIFY && ttl_keeper_has_renewed (store->keeper, &sight->st))
    return;
  if (event->mask & IN_ATTRIB)
    ttl_keeper_attributes_changed (store->keeper, sight->st.st_ino);
  ttl_reaper_saw (store->reaper, bucket, ttl_dir_fd (dir), event->name, &sight->st);
}

static void
file_event (TtlWatcher *self, TtlBucket *bucket, const struct inotify_event *event)
{
  Sight sight;

  if (ttl_store_has_captured (self->store, event->name))
    return; /* our own reaper's doing: it knows all there is to know */
  if (event->mask & (IN_CREATE | IN_MOVED_TO))
    ttl_reaper_replaced (self->store->reaper, bucket, event->name);
  look (self, bucket, event, &sight);
  if (ttl_keyname_kind (ttl_store_names (self->store), event->name) != TTL_NAME_KEY)
    return;
  if (event->mask & (IN_DELETE | IN_MOVED_FROM))
    {
      /* Where a value stands again, its PUT says all there is to say, and may have come before: an exchange of names
       * moves the old value out after the new one has moved in. */
      if (!sight.there || !S_ISREG (sight.st.st_mode))
        tell (self, TTL_EVENT_DELETE, bucket, event->name);
    }
  else if (event->mask & (IN_ATTRIB | IN_MODIFY))
    tell (self, TTL_EVENT_RENEW, bucket, event->name);
  else if (sight.there && S_ISREG (sight.st.st_mode))
    tell (self, TTL_EVENT_PUT, bucket, event->name);
}

/* The directory itself: its TTL may be another, or it is gone. */
static void
self_event (TtlWatcher *self, TtlBucket *bucket, const struct inotify_event *event)
{
  TtlDuration before, after;
  guint stamp;

  if (event->mask & IN_DELETE_SELF)
    {
      ttl_bucket_removed (bucket);
      return;
    }
  if (!(event->mask & IN_ATTRIB))
    return;
  if (!ttl_bucket_get_own_ttl (bucket, &before, &stamp))
    before.ns = -1;
  ttl_bucket_forget_ttl (bucket);
  if (ttl_settings_get_bucket (self->store->settings, bucket, &after) < 0)
    after.ns = 0;
  if (after.ns != before.ns)
    {
      ttl_keeper_recheck (self->store->keeper);
      ttl_reaper_rescan (self->store->reaper, bucket);
    }
  tell (self, TTL_EVENT_ATTRS, bucket, NULL);
}

static void
handle (TtlWatcher *self, const struct inotify_event *event)
{
  g_autoptr (TtlBucket) bucket = NULL;

  if (event->mask & IN_Q_OVERFLOW)
    {
      g_message ("more changes in the backing directory than could be followed; scanning it again");
      take_in_all (self);
      tell (self, TTL_EVENT_RESYNC, NULL, NULL);
      return;
    }
  bucket = dup_watched (self, event->wd);
  if (bucket == NULL)
    return;
  if (event->mask & IN_IGNORED)
    unwatch (self, event->wd);
  else if (event->len == 0)
    self_event (self, bucket, event);
  else if (ttl_store_check_reserved (bucket, event->name) < 0)
    return;
  else if (event->mask & IN_ISDIR)
    directory_event (self, bucket, event);
  else
    file_event (self, bucket, event);
}

static void
read_events (TtlWatcher *self, char *buffer)
{
  ssize_t len = read (self->inotify_fd, buffer, BUFFER_BYTES);

  for (ssize_t at = 0; at < len && !g_atomic_int_get (&self->stopping);)
    {
      const struct inotify_event *event = (const struct inotify_event *)(buffer + at);

      handle (self, event);
      at += sizeof *event + event->len;
    }
}

/* -1, for ever, while everything is watched. */
static int
poll_interval (TtlWatcher *self)
{
  TTL_LOCKED (&self->lock);

  return !self->store->caps.local || self->gaps || g_hash_table_size (self->polled) > 0 ? POLL_MS
                                                                                        : -1;
}

static gpointer
watcher_main (gpointer data)
{
  TtlWatcher *self = data;
  g_autofree char *buffer = g_malloc (BUFFER_BYTES);

  pthread_setname_np (pthread_self (), "ttlfs-watcher");
  take_in_all (self);
  {
    TTL_LOCKED (&self->lock);
    self->ready = TRUE;
    pthread_cond_broadcast (&self->ready_cond);
  }
  for (;;)
    {
      struct pollfd fds[3] = { { .fd = self->wake_fd, .events = POLLIN },
                               { .fd = self->inotify_fd, .events = POLLIN },
                               { .fd = self->mounts_fd, .events = POLLPRI } };
      int n = poll (fds, 3, poll_interval (self));
      gboolean cut_off = n > 0 && fds[2].revents != 0 && ttl_store_mounts_changed (self->store);
      guint64 wakes;

      if (g_atomic_int_get (&self->stopping) || (n < 0 && errno != EINTR))
        return NULL;
      if (fds[0].revents != 0 && read (self->wake_fd, &wakes, sizeof wakes) < 0)
        return NULL;
      if (fds[0].revents != 0)
        unwatch_all (self);
      if (cut_off) /* at once: there may be much to take in */
        tell (self, TTL_EVENT_RESYNC, NULL, NULL);
      if (n == 0 || fds[0].revents != 0 || cut_off)
        {
          take_in_all (self);
          tell (self, TTL_EVENT_RESYNC, NULL, NULL);
        }
      else if (n > 0 && fds[1].revents & POLLIN)
        {
          g_usleep (GATHER_US);
          read_events (self, buffer);
        }
    }
}

/* ---- life ---- */

TtlWatcher *
ttl_watcher_new (TtlStore *store)
{
  TtlWatcher *self = g_new0 (TtlWatcher, 1);

  self->store = store;
  self->inotify_fd = inotify_init1 (IN_CLOEXEC | IN_NONBLOCK);
  self->wake_fd = eventfd (0, EFD_CLOEXEC);
  self->mounts_fd = ttl_mount_open_changes ();
  pthread_mutex_init (&self->calling, NULL);
  pthread_mutex_init (&self->lock, NULL);
  pthread_cond_init (&self->ready_cond, NULL);
  self->subscriptions = g_array_new (FALSE, FALSE, sizeof (Subscription));
  self->by_wd = g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify)ttl_bucket_unref);
  self->watched = g_hash_table_new (NULL, NULL);
  self->polled = g_hash_table_new_full (NULL, NULL, (GDestroyNotify)ttl_bucket_unref, NULL);
  if (!store->caps.local)
    g_message (
        "the backing file system is a network one: changes made elsewhere are seen after a second");
  store->watcher = self; /* before the thread that asks for it */
  self->running = pthread_create (&self->thread, NULL, watcher_main, self) == 0;
  return self;
}

void
ttl_watcher_free (TtlWatcher *self)
{
  const guint64 one = 1;

  g_atomic_int_set (&self->stopping, TRUE);
  if (self->running && write (self->wake_fd, &one, sizeof one) == sizeof one)
    pthread_join (self->thread, NULL);
  g_hash_table_unref (self->watched);
  g_hash_table_unref (self->by_wd);
  g_hash_table_unref (self->polled);
  g_array_unref (self->subscriptions);
  ttl_clear_fd (&self->inotify_fd);
  ttl_clear_fd (&self->wake_fd);
  ttl_clear_fd (&self->mounts_fd);
  pthread_cond_destroy (&self->ready_cond);
  pthread_mutex_destroy (&self->lock);
  pthread_mutex_destroy (&self->calling);
  g_free (self);
}

void
ttl_watcher_restart (TtlWatcher *self)
{
  const guint64 one = 1;

  if (write (self->wake_fd, &one, sizeof one) < 0)
    g_warning ("the watcher cannot be woken: %s", g_strerror (errno));
}

void
ttl_watcher_wait_ready (TtlWatcher *self)
{
  TTL_LOCKED (&self->lock);

  while (!self->ready)
    pthread_cond_wait (&self->ready_cond, &self->lock);
}

TtlWatcher *
ttl_store_watcher (TtlStore *store)
{
  return store->watcher;
}
