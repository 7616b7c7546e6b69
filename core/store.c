#define G_LOG_DOMAIN "ttlfs"
#include "store-private.h"

#include "cleanup.h"
#include "keeper.h"
#include "log.h"
#include "mounts.h"
#include "reaper.h"
#include "watcher.h"

#include <fcntl.h>
#include <gio/gio.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

#define DEFAULT_TTL "10s"

/* ---- opening and closing ---- */

static guint
dirs_to_cache (void)
{
  struct rlimit limit;

  if (getrlimit (RLIMIT_NOFILE, &limit) < 0)
    return 64;
  return CLAMP (limit.rlim_cur / 4, 8, 4096);
}

static guint64
random_id (void)
{
  return (guint64)g_random_int () << 32 | g_random_int ();
}

/* ---- time ---- */

#define CLAIM_TTL_NS (10 * TTL_NS_PER_S)
#define REMOTE_TRUST_NS \
  (10 * TTL_NS_PER_S) /* for so long another machine's clock is believed to go as ours does */
#define COARSEST_NS (10 * TTL_NS_PER_MS) /* timestamps that say less are no clock */

static gint64
file_system_now (gpointer data)
{
  const TtlStore *self = data;

  return ttl_root_now (self->root_fd, &self->caps);
}

static void
tell_time_by_file_system (TtlStore *self)
{
  if (ttl_store_is_read_only (self) || self->caps.granularity_ns > COARSEST_NS)
    return;
  ttl_clock_set_reference (self->clock, file_system_now, self,
                           self->caps.local ? G_MAXINT64 : REMOTE_TRUST_NS);
}

gint64
ttl_store_renewed (TtlStore *self, const struct stat *st)
{
  return ttl_clock_in_present (self->clock, ttl_timespec_ns (&st->st_mtim),
                               ttl_timespec_ns (&st->st_ctim));
}

TtlStore *
ttl_store_open (const char *path, const TtlStoreOptions *options, GError **error)
{
  TtlStore *self;
  TtlRootCaps caps;
  int root_fd = -1;

  if (!ttl_root_open (path, options->root_flags, &root_fd, &caps, error))
    {
      if (options->clock != NULL)
        ttl_clock_free (options->clock);
      return NULL;
    }

  self = g_new0 (TtlStore, 1);
  self->options = *options;
  self->clock = options->clock != NULL ? options->clock : ttl_clock_new ();
  if (self->options.ttl.ns == 0)
    (void)ttl_duration_parse (DEFAULT_TTL, strlen (DEFAULT_TTL), &self->options.ttl);
  self->caps = caps;
  self->connection_id = random_id ();
  self->root_fd = root_fd;
  self->root_path = g_canonicalize_filename (path, NULL);
  self->mount = ttl_mount_of (root_fd);
  if (!ttl_mount_is_there (self->mount))
    self->mount = -1; /* of a place that is not shown to us: its end would not be, either */
  self->root_is_mount = ttl_mount_begins_at (self->root_path);
  if (options->clock == NULL)
    tell_time_by_file_system (self);
  pthread_mutex_init (&self->lost_lock, NULL);
  self->tree = ttl_tree_new (root_fd, dirs_to_cache ());
  ttl_tree_set_lost (self->tree, ttl_store_find_root, self);
  self->settings = ttl_settings_new (root_fd, caps.xattrs);
  self->commits = ttl_commits_new ();
  self->reaper = ttl_reaper_new (self);
  self->keeper = ttl_keeper_new (self);
  if (options->background)
    (void)ttl_watcher_new (self); /* sets self->watcher */
  if (options->background && !ttl_store_is_read_only (self))
    {
      ttl_reaper_start (self->reaper);
      ttl_keeper_start (self->keeper);
    }
  ttl_store_note_ttl (&self->options.ttl);
  return self;
}

void
ttl_store_close (TtlStore *self)
{
  if (self == NULL)
    return;
  /* Each thread may ask the other two: all of them stop before the first of them goes. */
  ttl_keeper_stop (self->keeper);
  ttl_reaper_stop (self->reaper);
  if (self->watcher != NULL)
    ttl_watcher_free (self->watcher);
  self->watcher = NULL;
  if (self->options.keepalive == TTL_KEEPALIVE_OWNED && !ttl_store_is_read_only (self))
    ttl_keeper_remove_owned (self->keeper);
  ttl_keeper_free (self->keeper);
  ttl_reaper_free (self->reaper);
  ttl_commits_free (self->commits);
  ttl_settings_free (self->settings);
  ttl_tree_free (self->tree); /* closes root_fd */
  ttl_clock_free (self->clock);
  pthread_mutex_destroy (&self->lost_lock);
  g_free (self->observer);
  g_free (self->root_path);
  g_free (self);
}

gint64
ttl_store_now (const TtlStore *self)
{
  return ttl_clock_now (self->clock);
}

const TtlRootCaps *
ttl_store_caps (const TtlStore *self)
{
  return &self->caps;
}

TtlNames
ttl_store_names (const TtlStore *self)
{
  return self->options.names;
}

gboolean
ttl_store_is_read_only (const TtlStore *self)
{
  return (self->options.root_flags & TTL_ROOT_READ_ONLY) != 0;
}

guint64
ttl_store_connection_id (const TtlStore *self)
{
  return self->connection_id;
}

TtlBucket *
ttl_store_root (TtlStore *self)
{
  return ttl_tree_root (self->tree);
}

int
ttl_store_statfs (TtlStore *self, struct statvfs *out)
{
  g_autoptr (TtlDir) dir = NULL;
  int res = ttl_bucket_open (ttl_tree_root (self->tree), &dir);

  return res < 0 ? res : fstatvfs (ttl_dir_fd (dir), out) < 0 ? -errno : 0;
}

void
ttl_store_get_status (TtlStore *self, TtlStoreStatus *status_out)
{
  *status_out = (TtlStoreStatus){
    .indexed = ttl_reaper_known (self->reaper),
    .removed = ttl_reaper_removed (self->reaper),
    .held = ttl_keeper_count (self->keeper),
  };
  if (self->watcher != NULL)
    ttl_watcher_get_status (self->watcher, status_out);
}

char *
ttl_store_dup_status (TtlStore *self)
{
  TtlStoreStatus status;

  ttl_store_get_status (self, &status);
  return g_strdup_printf ("indexed %" G_GUINT64_FORMAT "\n"
                          "removed %" G_GUINT64_FORMAT "\n"
                          "held %" G_GUINT64_FORMAT "\n"
                          "buckets_watched %" G_GUINT64_FORMAT "\n"
                          "buckets_polled %" G_GUINT64_FORMAT "\n"
                          "scanning %d\n"
                          "scanned_keys %" G_GUINT64_FORMAT "\n"
                          "scanned_buckets %" G_GUINT64_FORMAT "\n"
                          "scan_ms %" G_GINT64_FORMAT "\n",
                          status.indexed, status.removed, status.held, status.watched,
                          status.polled, status.scanning, status.scanned_names, status.scanned_dirs,
                          status.scan_ms);
}

/* ---- TTLs ---- */

void
ttl_store_note_ttl (const TtlDuration *ttl)
{
  if (ttl->ns < TTL_NS_PER_S && ttl_log_first_time ("short TTL"))
    g_message ("a TTL of %s is shorter than 1s: FileStore processes on the same root take it as 1s",
               ttl->text);
}

/* What holds where it cannot be told what does: a full descriptor table must not cost anybody a live entry. */
static const TtlDuration unknown_ttl = { .ns = TTL_DURATION_INF, .text = "inf" };

/* The bucket's own, read again when a watcher saw its directory change, or always where nobody watches. */
static void
own_ttl (TtlStore *self, TtlBucket *bucket, TtlDuration *own_out)
{
  guint stamp;
  int res;

  if (ttl_bucket_get_own_ttl (bucket, own_out, &stamp) && ttl_watcher_sees (self->watcher, bucket))
    return;
  res = ttl_settings_get_bucket (self->settings, bucket, own_out);
  if (res < 0 && res != -ENODATA)
    {
      *own_out = unknown_ttl;
      return;
    }
  if (res < 0)
    own_out->ns = 0;
  ttl_bucket_set_own_ttl (bucket, own_out->ns != 0 ? own_out : NULL, stamp);
}

void
ttl_store_bucket_ttl (TtlStore *self, TtlBucket *bucket, TtlDuration *ttl_out)
{
  g_autoptr (TtlBucket) at = ttl_bucket_ref (bucket);

  while (at != NULL)
    {
      TtlBucket *parent;

      own_ttl (self, at, ttl_out);
      if (ttl_out->ns != 0)
        return;
      parent = ttl_bucket_dup_parent (at);
      ttl_bucket_unref (at);
      at = parent;
    }
  *ttl_out = self->options.ttl;
}

int
ttl_store_set_bucket_ttl (TtlStore *self, TtlBucket *bucket, const TtlDuration *own)
{
  int res = ttl_store_check_writable (self);

  if (res == 0 && own != NULL && own->ns < TTL_DURATION_MIN_NS)
    res = -EINVAL;
  if (res == 0)
    res = ttl_settings_set_bucket (self->settings, bucket, own);
  if (res < 0)
    return res;
  if (own != NULL)
    ttl_store_note_ttl (own);
  ttl_bucket_forget_ttl (bucket);
  ttl_keeper_recheck (self->keeper);
  ttl_reaper_rescan (self->reaper, bucket);
  return 0;
}

/* A claim has none of its own. */
static int
key_ttl (TtlStore *self, TtlBucket *bucket, int dir_fd, const char *backing, const struct stat *st,
         TtlDuration *own_out)
{
  int res = S_ISREG (st->st_mode) ? ttl_settings_get_key (self->settings, bucket, dir_fd, backing,
                                                          st->st_ino, own_out)
                                  : -ENODATA;

  if (res == 0 || res == -ENODATA)
    return res;
  *own_out = unknown_ttl;
  return 0;
}

/* A claim is renewed for as long as its writer has the key open. The claim of a daemon that was killed ends soon, however long values
 * live there: nobody sees it, and the name cannot be taken. */
gint64
ttl_store_ttl_of (const struct stat *st, gint64 ttl_ns)
{
  return S_ISLNK (st->st_mode) ? MIN (ttl_ns, CLAIM_TTL_NS) : ttl_ns;
}

void
ttl_store_lease_of (TtlStore *self, TtlBucket *bucket, int dir_fd, const char *backing,
                    const struct stat *st, TtlDuration *ttl_out, TtlDeadline *deadline_out)
{
  if (key_ttl (self, bucket, dir_fd, backing, st, ttl_out) < 0)
    ttl_store_bucket_ttl (self, bucket, ttl_out);
  ttl_out->ns = ttl_store_ttl_of (st, ttl_out->ns);
  *deadline_out = ttl_lease_deadline (ttl_store_renewed (self, st), ttl_out->ns);
}

TtlDeadline
ttl_store_deadline_in (TtlStore *self, TtlBucket *bucket, const TtlDuration *bucket_ttl, int dir_fd,
                       const char *backing, const struct stat *st)
{
  TtlDuration ttl;

  if (key_ttl (self, bucket, dir_fd, backing, st, &ttl) < 0)
    ttl = *bucket_ttl;
  return ttl_lease_deadline (ttl_store_renewed (self, st), ttl_store_ttl_of (st, ttl.ns));
}

/* ---- identities and scratch names ---- */

static void
identity_from (const struct statx *stx, TtlIdentity *identity_out)
{
  identity_out->ino = stx->stx_ino;
  identity_out->born_ns = stx->stx_mask & STATX_BTIME
                              ? stx->stx_btime.tv_sec * TTL_NS_PER_S + stx->stx_btime.tv_nsec
                              : 0;
}

static int
identity_of (int fd, const char *name, int flags, TtlIdentity *identity_out)
{
  struct statx stx;

  if (statx (fd, name, flags, STATX_INO | STATX_BTIME, &stx) < 0)
    return -errno;
  identity_from (&stx, identity_out);
  return 0;
}

int
ttl_identity_and_stat (int fd, TtlIdentity *identity_out, struct stat *st_out)
{
  struct statx stx;

  if (statx (fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &stx) < 0)
    return -errno;
  identity_from (&stx, identity_out);
  *st_out = (struct stat){
    .st_ino = stx.stx_ino,
    .st_mode = stx.stx_mode,
    .st_nlink = stx.stx_nlink,
    .st_size = (off_t)stx.stx_size,
    .st_mtim = { .tv_sec = stx.stx_mtime.tv_sec, .tv_nsec = stx.stx_mtime.tv_nsec },
    .st_ctim = { .tv_sec = stx.stx_ctime.tv_sec, .tv_nsec = stx.stx_ctime.tv_nsec },
  };
  return 0;
}

int
ttl_identity_of_fd (int fd, TtlIdentity *identity_out)
{
  return identity_of (fd, "", AT_EMPTY_PATH, identity_out);
}

int
ttl_identity_of_name (int dir_fd, const char *name, TtlIdentity *identity_out)
{
  return identity_of (dir_fd, name, AT_SYMLINK_NOFOLLOW, identity_out);
}

gboolean
ttl_identity_equal (const TtlIdentity *a, const TtlIdentity *b)
{
  return a->ino == b->ino && a->born_ns == b->born_ns;
}

void
ttl_scratch_name (const char *purpose, TtlName name_out)
{
  g_snprintf (name_out, sizeof (TtlName), TTL_SCRATCH_PREFIX "%s%016" G_GINT64_MODIFIER "x",
              purpose, random_id ());
}

/* ---- looking ---- */

int
ttl_store_check_reserved (TtlBucket *bucket, const char *shown)
{
  return ttl_bucket_is_root (bucket) && strcmp (shown, TTL_RESERVED_NAME) == 0 ? -EPERM : 0;
}

int
ttl_store_check_component (const char *shown)
{
  return shown[0] == '\0' || strchr (shown, '/') != NULL ? -EINVAL : 0;
}

gboolean
ttl_store_is_dots (const char *shown)
{
  return shown[0] == '.' && (shown[1] == '\0' || (shown[1] == '.' && shown[2] == '\0'));
}

int
ttl_store_check_writable (TtlStore *self)
{
  return ttl_store_is_read_only (self) ? -EROFS : 0;
}

int
ttl_store_check_place (TtlStore *self, int dir_fd, const char *backing)
{
  struct stat st, again;

  do
    {
      if (fstatat (dir_fd, backing, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
      if (S_ISREG (st.st_mode))
        return 0;
      if (S_ISDIR (st.st_mode))
        return -EISDIR;
      if (S_ISLNK (st.st_mode) && ttl_store_is_claim (self, dir_fd, backing))
        return 0;
    } /* unless a claim became a value between the two looks */
  while (fstatat (dir_fd, backing, &again, AT_SYMLINK_NOFOLLOW) < 0 || again.st_ino != st.st_ino);
  return -EPERM;
}

void
ttl_store_note_foreign (TtlBucket *bucket, const char *name)
{
  g_autofree char *path = ttl_bucket_dup_path (bucket);
  g_autofree char *whole = g_strdup_printf ("%s%s%s", path, path[0] ? "/" : "", name);

  if (ttl_log_first_time (whole))
    g_message ("%s: neither a bucket nor a key that ttlfs or a FileStore would write; left alone",
               whole);
}

int
ttl_store_examine (TtlStore *self, TtlBucket *bucket, int dir_fd, const char *backing,
                   gint64 now_ns, TtlEntry *entry_out)
{
  TtlNameKind kind = ttl_keyname_kind (self->options.names, backing);

  entry_out->st.st_ino = 0;
  if (fstatat (dir_fd, backing, &entry_out->st, AT_SYMLINK_NOFOLLOW) < 0)
    return -errno;
  if (kind == TTL_NAME_FOREIGN || !S_ISREG (entry_out->st.st_mode))
    return -ENOENT;
  entry_out->kind = kind == TTL_NAME_SCRATCH ? TTL_ENTRY_SCRATCH : TTL_ENTRY_KEY;
  g_strlcpy (entry_out->backing, backing, sizeof (TtlName));
  ttl_store_lease_of (self, bucket, dir_fd, backing, &entry_out->st, &entry_out->ttl,
                      &entry_out->deadline);
  if (!ttl_lease_expired (entry_out->deadline, now_ns))
    return 0;
  if (!ttl_keeper_rescue (self->keeper, dir_fd, backing, entry_out->st.st_ino, now_ns)
      || fstatat (dir_fd, backing, &entry_out->st, AT_SYMLINK_NOFOLLOW) < 0)
    return -ENOENT;
  entry_out->deadline = ttl_lease_deadline (now_ns, entry_out->ttl.ns);
  return 0;
}

int
ttl_store_examine_twice (TtlStore *self, TtlBucket *bucket, int dir_fd, const char *backing,
                         gint64 now_ns, TtlEntry *entry_out)
{
  ttl_autofd lock = -1;
  int res = ttl_store_examine (self, bucket, dir_fd, backing, now_ns, entry_out);

  if (res != -ENOENT || entry_out->st.st_ino != 0)
    return res;
  lock = ttl_commit_settle (dir_fd);
  return ttl_store_examine (self, bucket, dir_fd, backing, now_ns, entry_out);
}

int
ttl_store_lookup (TtlStore *self, TtlBucket *bucket, const char *shown, gint64 now_ns,
                  TtlEntry *entry_out)
{
  g_autoptr (TtlDir) dir = NULL;
  TtlName backing;
  int res = ttl_store_check_component (shown);

  if (res == 0)
    res = ttl_bucket_open (bucket, &dir);
  if (res < 0)
    return res;
  if (ttl_store_check_reserved (bucket, shown) < 0)
    return -ENOENT;
  if (ttl_store_is_dots (shown))
    ; /* these two are in every directory, and lead out of it; the keys of that name are spelled otherwise */
  else if (fstatat (ttl_dir_fd (dir), shown, &entry_out->st, AT_SYMLINK_NOFOLLOW) == 0)
    {
      if (S_ISDIR (entry_out->st.st_mode))
        {
          entry_out->kind = TTL_ENTRY_BUCKET;
          entry_out->ttl.ns = 0;
          entry_out->deadline = TTL_DEADLINE_NEVER;
          g_strlcpy (entry_out->backing, shown, sizeof (TtlName));
          return 0;
        }
      if (!S_ISREG (entry_out->st.st_mode)
          || ttl_keyname_kind (self->options.names, shown) == TTL_NAME_FOREIGN)
        ttl_reaper_look (self->reaper, bucket, shown); /* which says so, if it is foreign */
    }
  else if (errno != ENOENT)
    return -errno;
  res = ttl_keyname_from_shown (self->options.names, shown, backing);
  return res < 0
             ? res
             : ttl_store_examine_twice (self, bucket, ttl_dir_fd (dir), backing, now_ns, entry_out);
}

int
ttl_store_stat (TtlStore *self, TtlBucket *bucket, const char *backing, gint64 now_ns,
                TtlEntry *entry_out)
{
  g_autoptr (TtlDir) dir = NULL;
  int res = ttl_bucket_open (bucket, &dir);

  return res < 0
             ? res
             : ttl_store_examine_twice (self, bucket, ttl_dir_fd (dir), backing, now_ns, entry_out);
}

int
ttl_store_stat_file (TtlStore *self G_GNUC_UNUSED, TtlBucket *bucket, const char *backing,
                     struct stat *st_out)
{
  g_autoptr (TtlDir) dir = NULL;
  int res = ttl_bucket_open (bucket, &dir);

  if (res < 0)
    return res;
  return fstatat (ttl_dir_fd (dir), backing, st_out, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

int
ttl_store_stat_bucket (TtlStore *self G_GNUC_UNUSED, TtlBucket *bucket, struct stat *st_out)
{
  g_autoptr (TtlDir) dir = NULL;
  int res = ttl_bucket_open (bucket, &dir);

  if (res < 0)
    return res;
  return fstatat (ttl_dir_fd (dir), "", st_out, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

/* What is found by one open. FALSE when that needs a closer look: absent, expired, foreign. */
static gboolean
open_live (TtlStore *self, TtlBucket *bucket, int dir_fd, const char *backing, gint64 now_ns,
           int *fd_out, TtlEntry *entry_out)
{
  const TtlNameKind kind = ttl_keyname_kind (self->options.names, backing);
  ttl_autofd fd = -1;
  int res;

  if (kind == TTL_NAME_FOREIGN)
    return FALSE;
  fd = openat (dir_fd, backing, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0 || fstat (fd, &entry_out->st) < 0 || !S_ISREG (entry_out->st.st_mode))
    return FALSE;
  res = ttl_settings_get_open (self->settings, bucket, backing, fd, entry_out->st.st_ino,
                               &entry_out->own);
  if (res < 0 && res != -ENODATA)
    return FALSE;
  if (res < 0)
    {
      entry_out->own.ns = 0;
      ttl_store_bucket_ttl (self, bucket, &entry_out->ttl);
    }
  else
    entry_out->ttl = entry_out->own;
  entry_out->deadline
      = ttl_lease_deadline (ttl_store_renewed (self, &entry_out->st), entry_out->ttl.ns);
  if (ttl_lease_expired (entry_out->deadline, now_ns))
    return FALSE;
  entry_out->kind = kind == TTL_NAME_SCRATCH ? TTL_ENTRY_SCRATCH : TTL_ENTRY_KEY;
  g_strlcpy (entry_out->backing, backing, sizeof (TtlName));
  *fd_out = ttl_steal_fd (&fd);
  return TRUE;
}

/* The file may be replaced between the look and the open: then look again, at what was opened. */
int
ttl_store_open_value (TtlStore *self, TtlBucket *bucket, const char *backing, gint64 now_ns,
                      int *fd_out, TtlEntry *entry_out)
{
  g_autoptr (TtlDir) dir = NULL;
  int res = ttl_bucket_open (bucket, &dir);

  if (res == 0 && open_live (self, bucket, ttl_dir_fd (dir), backing, now_ns, fd_out, entry_out))
    return 0;
  for (int attempt = 0; res == 0 && attempt < 64; attempt++)
    {
      ttl_autofd fd
          = openat (ttl_dir_fd (dir), backing, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
      struct stat st;

      int err = errno;

      res = ttl_store_examine_twice (self, bucket, ttl_dir_fd (dir), backing, now_ns, entry_out);
      if (res < 0)
        return res;
      if (fd < 0 && err == ENOENT)
        continue;
      if (fd < 0)
        return err == ELOOP || err == ENXIO ? -ENOENT : -err;
      if (fstat (fd, &st) < 0)
        return -errno;
      if (st.st_ino != entry_out->st.st_ino)
        continue;
      entry_out->st = st;
      if (ttl_settings_get_open (self->settings, bucket, backing, fd, st.st_ino, &entry_out->own)
          < 0)
        entry_out->own.ns = 0;
      *fd_out = ttl_steal_fd (&fd);
      return 0;
    }
  return res < 0 ? res : -EAGAIN;
}

gboolean
ttl_store_has_value (TtlStore *self G_GNUC_UNUSED, TtlBucket *bucket, const char *backing)
{
  g_autoptr (TtlDir) dir = NULL;
  struct stat st;

  return ttl_bucket_open (bucket, &dir) == 0
         && fstatat (ttl_dir_fd (dir), backing, &st, AT_SYMLINK_NOFOLLOW) == 0
         && S_ISREG (st.st_mode);
}
