/* remove - how files leave the backing directory: the one way that cannot take a live one with it. */
#define G_LOG_DOMAIN "ttlfs"
#include "store-private.h"

#include "cleanup.h"
#include "keeper.h"
#include "log.h"
#include "reaper.h"
#include "urgent.h"

#include <fcntl.h>
#include <stdio.h>

#define CAPTURED "reap"    /* .tmp_reap...: on its way out */
#define CAPTURE_ATTEMPTS 8 /* while peers replace it by what has expired, too */

int
ttl_rename_noreplace (int from_fd, const char *from, int to_fd, const char *to)
{
  if (renameat2 (from_fd, from, to_fd, to, RENAME_NOREPLACE) == 0)
    return 0;
  if (errno != EINVAL && errno != ENOSYS)
    return -errno;
  if (linkat (from_fd, from, to_fd, to, 0) == 0)
    return unlinkat (from_fd, from, 0) < 0 ? -errno : 0;
  if (errno != EPERM)
    return -errno;
  /* A directory: the worst that a rename can replace is an empty one. */
  if (faccessat (to_fd, to, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
    return -EEXIST;
  return renameat (from_fd, from, to_fd, to) < 0 ? -errno : 0;
}

/* Between a look at a name and its removal anybody may renew or replace the file; peers take no locks. So it is
 * captured first, under a name that nobody knows, looked at there, and put back if it turns out to be live:
 *
 *   key --rename--> .tmp_reap... --still to be removed--> unlink
 *                        `---------no: live----> back under its name, unless a newer one stands there, or did
 *
 * The reaper waits a little before the second look, since a peer's renewal may have found the file under its old name.
 * A kill in between leaves scratch, which ends with its lease. A symlink can only be a claim: what else a peer makes is
 * left alone. */
typedef struct
{
  TtlStore *store;
  TtlBucket *bucket;
  const char *backing;         /* its own name: where its settings are looked up */
  const TtlIdentity *identity; /* remove if it is this file, or, NULL, ... */
  gint64 now_ns;               /* ... if it has expired by now */
} Verdict;

static gboolean
is_unchanged (const struct stat *now, const struct stat *then)
{
  return now->st_ino == then->st_ino && now->st_mtim.tv_sec == then->st_mtim.tv_sec
         && now->st_mtim.tv_nsec == then->st_mtim.tv_nsec;
}

static gboolean
is_identity (const Verdict *verdict, int dir_fd, const char *name)
{
  TtlIdentity identity;

  return ttl_identity_of_name (dir_fd, name, &identity) == 0
         && ttl_identity_equal (&identity, verdict->identity);
}

/* *@seen is the file as it was at the last look, or zero; and as it is at this one. */
static gboolean
is_condemned (const Verdict *verdict, int dir_fd, const char *name, struct stat *seen)
{
  TtlDeadline deadline;
  TtlDuration ttl;
  struct stat st;
  int res;

  if (verdict->identity != NULL)
    return is_identity (verdict, dir_fd, name);
  if (fstatat (dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
    return FALSE;
  if (is_unchanged (&st, seen))
    st.st_ctim
        = seen->st_ctim; /* which tells on which side of a step of the clock it was renewed */
  *seen = st;
  if (!S_ISREG (st.st_mode)
      && !(S_ISLNK (st.st_mode) && ttl_store_is_claim (verdict->store, dir_fd, name)))
    return FALSE;
  res = ttl_settings_get_key (verdict->store->settings, verdict->bucket, dir_fd, name, st.st_ino,
                              &ttl);
  if (res == -ENODATA && !verdict->store->caps.xattrs)
    res = ttl_settings_get_key (verdict->store->settings, verdict->bucket, dir_fd, verdict->backing,
                                st.st_ino, &ttl);
  if (res == -ENODATA)
    ttl_store_bucket_ttl (verdict->store, verdict->bucket, &ttl);
  else if (res < 0)
    return FALSE;
  deadline = ttl_lease_deadline (ttl_store_renewed (verdict->store, &st),
                                 ttl_store_ttl_of (&st, ttl.ns));
  return ttl_lease_expired (deadline, verdict->now_ns)
         && !ttl_keeper_rescue (verdict->store->keeper, dir_fd, name, st.st_ino, verdict->now_ns);
}

static int
remove_captured (const Verdict *verdict, int dir_fd, const char *captured, ino_t ino)
{
  if (unlinkat (dir_fd, captured, 0) < 0)
    return errno == ENOENT ? 0 : -errno;
  ttl_settings_drop_key (verdict->store->settings, verdict->bucket, verdict->backing, ino);
  return 0;
}

static void
put_back (const Verdict *verdict, int dir_fd, const char *captured)
{
  int res = ttl_rename_noreplace (dir_fd, captured, dir_fd, verdict->backing);

  if (res == -EEXIST)
    (void)unlinkat (dir_fd, captured, 0); /* replaced meanwhile: it would be gone anyway */
  else if (res < 0 && res != -ENOENT)
    {
      g_warning ("%s: cannot be put back, and is called %s now: %s", verdict->backing, captured,
                 g_strerror (-res));
      ttl_reaper_look (verdict->store->reaper, verdict->bucket, captured);
    }
}

/* By its beginning the watcher knows that it was us. */
static void
captured_prefix (const TtlStore *self, char *prefix, gsize size)
{
  g_snprintf (prefix, size, CAPTURED "%08x-", (guint32)self->connection_id);
}

static void
captured_name (const TtlStore *self, TtlName name_out)
{
  char prefix[sizeof CAPTURED + 16];

  captured_prefix (self, prefix, sizeof prefix);
  ttl_scratch_name (prefix, name_out);
}

/* Whether what is called @name is what was condemned. */
static gboolean
is_as_seen (const Verdict *verdict, int dir_fd, const char *name, const TtlCapture *capture)
{
  struct stat st;

  if (verdict->identity != NULL)
    return is_identity (verdict, dir_fd, name);
  return fstatat (dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0
         && is_unchanged (&st, &capture->seen);
}

/* Takes what was condemned off its name. Peers take no lock: what one of them puts there after the last look is taken as well,
 * and put back, but whoever looks for the key meanwhile finds it absent, or creates it. So this is urgent.
 * -EAGAIN when something else stands there (again), or nothing. */
static int
take_off (const Verdict *verdict, int dir_fd, TtlCapture *capture)
{
  g_auto (TtlUrgent) urgent G_GNUC_UNUSED = ttl_urgent_begin ();

  if (!is_as_seen (verdict, dir_fd, verdict->backing, capture))
    return -EAGAIN;
  if (renameat (dir_fd, verdict->backing, dir_fd, capture->name) < 0)
    return errno == EBUSY ? -EPERM : -errno; /* a mount point, say: nothing live */
  if (is_as_seen (verdict, dir_fd, capture->name, capture))
    return 0;
  put_back (verdict, dir_fd, capture->name);
  return -EAGAIN;
}

/* A name that was captured already, by a reaper that did not live to judge it, is as good as any. */
static int
capture (const Verdict *verdict, int dir_fd, TtlCapture *out)
{
  int res = -EAGAIN;

  for (int attempt = 0; attempt < CAPTURE_ATTEMPTS && res == -EAGAIN; attempt++)
    {
      *out = (TtlCapture){ 0 };
      captured_name (verdict->store, out->name);
      if (!is_condemned (verdict, dir_fd, verdict->backing, &out->seen))
        return faccessat (dir_fd, verdict->backing, F_OK, AT_SYMLINK_NOFOLLOW) < 0
                       && errno == ENOENT
                   ? -ENOENT
                   : -EBUSY;
      if (ttl_store_is_captured (verdict->backing))
        {
          g_strlcpy (out->name, verdict->backing, sizeof (TtlName));
          return 0;
        }
      res = take_off (verdict, dir_fd, out);
    }
  return res == -EAGAIN ? -EBUSY : res;
}

static int
judge (const Verdict *verdict, int dir_fd, const TtlCapture *captured)
{
  struct stat seen = captured->seen;
  int res;

  if (!captured->replaced && !is_condemned (verdict, dir_fd, captured->name, &seen))
    {
      put_back (verdict, dir_fd, captured->name);
      return -EBUSY;
    }
  res = remove_captured (verdict, dir_fd, captured->name,
                         verdict->identity != NULL ? verdict->identity->ino : seen.st_ino);
  if (res < 0)
    put_back (verdict, dir_fd, captured->name); /* where the next try finds it */
  return res;
}

gboolean
ttl_store_is_captured (const char *name)
{
  return g_str_has_prefix (name, TTL_SCRATCH_PREFIX CAPTURED);
}

gboolean
ttl_store_has_captured (const TtlStore *self, const char *name)
{
  char prefix[sizeof CAPTURED + 16];

  if (!ttl_store_is_captured (name))
    return FALSE;
  captured_prefix (self, prefix, sizeof prefix);
  return g_str_has_prefix (name + strlen (TTL_SCRATCH_PREFIX), prefix);
}

int
ttl_store_capture_expired (TtlStore *self, TtlBucket *bucket, int dir_fd, const char *backing,
                           gint64 now_ns, TtlCapture *capture_out)
{
  const Verdict verdict = { .store = self, .bucket = bucket, .backing = backing, .now_ns = now_ns };
  int res = ttl_store_check_writable (self);

  return res < 0 ? res : capture (&verdict, dir_fd, capture_out);
}

int
ttl_store_judge_captured (TtlStore *self, TtlBucket *bucket, int dir_fd, const char *backing,
                          gint64 now_ns, const TtlCapture *captured)
{
  const Verdict verdict = { .store = self, .bucket = bucket, .backing = backing, .now_ns = now_ns };

  return judge (&verdict, dir_fd, captured);
}

int
ttl_store_remove_expired (TtlStore *self, TtlBucket *bucket, int dir_fd, const char *backing,
                          gint64 now_ns)
{
  TtlCapture captured;
  int res = ttl_store_capture_expired (self, bucket, dir_fd, backing, now_ns, &captured);

  if (res == 0)
    res = ttl_store_judge_captured (self, bucket, dir_fd, backing, now_ns, &captured);
  return res == -ENOENT ? 0 : res;
}

int
ttl_store_remove_identity (TtlStore *self, TtlBucket *bucket, int dir_fd, const char *backing,
                           const TtlIdentity *identity)
{
  const Verdict verdict
      = { .store = self, .bucket = bucket, .backing = backing, .identity = identity };
  TtlCapture captured;
  int res = capture (&verdict, dir_fd, &captured);

  if (res == 0)
    res = judge (&verdict, dir_fd, &captured);
  return res == -EBUSY ? -ENOENT : res;
}

/* ---- the verbs ---- */

int
ttl_store_delete (TtlStore *self, TtlBucket *bucket, const char *backing, gint64 now_ns)
{
  g_autoptr (TtlDir) dir = NULL;
  g_auto (TtlCommit) commit = TTL_COMMIT_INIT;
  TtlEntry entry;
  int res = ttl_store_check_writable (self);

  if (res == 0)
    res = ttl_bucket_open (bucket, &dir);
  if (res < 0)
    return res;
  ttl_commit_begin (self->commits, bucket, ttl_dir_fd (dir), backing, TTL_COMMIT_SHARED, &commit);
  res = ttl_store_examine (self, bucket, ttl_dir_fd (dir), backing, now_ns, &entry);
  if (res < 0)
    return res;
  if (unlinkat (ttl_dir_fd (dir), backing, 0) < 0)
    return -errno;
  ttl_settings_drop_key (self->settings, bucket, backing, entry.st.st_ino);
  ttl_reaper_forget (self->reaper, bucket, backing);
  return 0;
}

static gboolean
is_empty (int fd)
{
  g_autoptr (DIR) dir = ttl_opendir_at (fd, ".");
  const struct dirent *item;

  if (dir == NULL)
    return FALSE;
  while ((item = readdir (dir)) != NULL)
    if (!ttl_store_is_dots (item->d_name))
      return FALSE;
  return TRUE;
}

/* Gives what mkdirat() has just made its owner. By a descriptor, and only when it looks as it was made: a peer that may
 * write in the backing directory can put something else under the name meanwhile, which must not become its own by this. */
static int
give_bucket (int dir_fd, const char *name, uid_t uid, gid_t gid, mode_t mode)
{
  ttl_autofd fd = openat (dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  struct stat st;

  if (fd < 0)
    return errno == ELOOP || errno == ENOTDIR ? -ENOENT : -errno;
  if (fstat (fd, &st) < 0)
    return -errno;
  if ((st.st_uid != geteuid () && st.st_uid != uid) || !is_empty (fd))
    return -ENOENT;
  return fchown (fd, uid, gid) < 0 || fchmod (fd, mode) < 0 ? -errno : 0;
}

int
ttl_store_mkdir (TtlStore *self, TtlBucket *parent, const char *name, const TtlOwner *owner,
                 gint64 now_ns, TtlBucket **bucket_out)
{
  g_autoptr (TtlDir) dir = NULL;
  g_autoptr (TtlBucket) bucket = NULL;
  g_auto (TtlCommit) commit = TTL_COMMIT_INIT;
  TtlName backing;
  TtlEntry entry;
  struct stat st;
  int res = ttl_store_check_writable (self);

  if (res == 0)
    res = ttl_store_check_component (name);
  if (res == 0 && ttl_store_is_dots (name))
    res = -EEXIST;
  if (res == 0)
    res = ttl_store_check_reserved (parent, name);
  if (res == 0)
    res = ttl_bucket_open (parent, &dir);
  if (res < 0)
    return res;
  if (strlen (name) > TTL_NAME_MAX || ttl_bucket_depth (parent) >= TTL_DEPTH_MAX)
    return -ENAMETOOLONG;
  /* Against a reaper that is about to take what has expired under this very name, and would take the directory. */
  ttl_commit_begin (self->commits, parent, ttl_dir_fd (dir), name, TTL_COMMIT_EXCLUSIVE, &commit);
  /* A key shown under this name is in the way; one that has expired is not, even if their names are the same. */
  if (ttl_keyname_from_shown (self->options.names, name, backing) == 0)
    {
      if (ttl_store_examine (self, parent, ttl_dir_fd (dir), backing, now_ns, &entry) == 0)
        return -EEXIST;
      (void)ttl_store_remove_expired (self, parent, ttl_dir_fd (dir), name, now_ns);
    }
  if (mkdirat (ttl_dir_fd (dir), name, 0700) < 0)
    return -errno;

  /* A directory with the setgid bit gives its group to what is made in it, and the bit to directories. */
  if (fstatat (ttl_dir_fd (dir), "", &st, AT_EMPTY_PATH) < 0)
    return -errno;
  res = give_bucket (ttl_dir_fd (dir), name, owner->uid,
                     st.st_mode & S_ISGID ? st.st_gid : owner->gid,
                     (owner->mode & 01777) | (st.st_mode & S_ISGID));
  if (res < 0 && res != -ENOENT)
    (void)unlinkat (ttl_dir_fd (dir), name, AT_REMOVEDIR);
  if (res < 0)
    return res;
  res = ttl_bucket_get_child (parent, name, &bucket);
  if (res < 0)
    return res;
  *bucket_out = g_steal_pointer (&bucket);
  return 0;
}

/* Scratch and claims are nobody's content: whoever still writes them finds the bucket gone, as after rmdir anywhere. */
static gboolean
is_nobodys (TtlStore *self, int dir_fd, const char *name, const struct stat *st)
{
  return S_ISLNK (st->st_mode)
             ? ttl_store_is_claim (self, dir_fd, name)
             : S_ISREG (st->st_mode)
                   && ttl_keyname_kind (self->options.names, name) == TTL_NAME_SCRATCH;
}

/* What is called @name in a bucket that is to go. 0 when it is out of the way, or would be with @remove. */
static int
purge_one (TtlStore *self, TtlBucket *bucket, int dir_fd, const char *name, gboolean remove,
           gint64 now_ns)
{
  TtlEntry entry;
  struct stat st;
  int res;

  if (ttl_store_is_dots (name) || fstatat (dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
    return 0;
  if (is_nobodys (self, dir_fd, name, &st))
    return remove && unlinkat (dir_fd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
  if (!S_ISREG (st.st_mode) || ttl_keyname_kind (self->options.names, name) != TTL_NAME_KEY
      || ttl_store_examine (self, bucket, dir_fd, name, now_ns, &entry) == 0)
    return -ENOTEMPTY;
  if (!remove)
    return 0;
  res = ttl_store_remove_expired (self, bucket, dir_fd, name, now_ns);
  return res == -EBUSY ? -ENOTEMPTY : res;
}

/* Removes what does not count as content, unless there is something that does. Returns 0 when nothing was left. */
static int
purge (TtlStore *self, TtlBucket *bucket, gboolean remove, gint64 now_ns)
{
  g_autoptr (TtlDir) dir = NULL;
  g_autoptr (DIR) names = NULL;
  struct dirent *item;
  int res = ttl_bucket_open (bucket, &dir);

  if (res < 0)
    return res;
  names = ttl_opendir_at (ttl_dir_fd (dir), ".");
  if (names == NULL)
    return -errno;
  while ((errno = 0, item = readdir (names)) != NULL)
    {
      res = purge_one (self, bucket, dirfd (names), item->d_name, remove, now_ns);
      if (res < 0)
        return res;
    }
  return -errno;
}

int
ttl_store_rmdir (TtlStore *self, TtlBucket *parent, const char *name, gint64 now_ns)
{
  g_autoptr (TtlDir) dir = NULL;
  g_autoptr (TtlBucket) bucket = NULL;
  g_autofree char *path = NULL;
  TtlEntry entry;
  int res = ttl_store_check_writable (self);

  if (res == 0)
    res = ttl_store_lookup (self, parent, name, now_ns, &entry);
  if (res == 0 && entry.kind != TTL_ENTRY_BUCKET)
    return -ENOTDIR;
  if (res == 0)
    res = ttl_bucket_open (parent, &dir);
  if (res == 0)
    res = ttl_bucket_get_child (parent, name, &bucket);
  if (res < 0)
    return res;

  path = ttl_bucket_dup_path (bucket);
  for (int attempt = 0; attempt < 8; attempt++)
    {
      if (unlinkat (ttl_dir_fd (dir), name, AT_REMOVEDIR) == 0)
        {
          ttl_bucket_removed (bucket);
          ttl_bucket_forget_dir (bucket);
          ttl_settings_drop_bucket (self->settings, path);
          return 0;
        }
      if (errno != ENOTEMPTY && errno != EEXIST)
        return -errno;
      res = purge (self, bucket, FALSE, now_ns);
      if (res == 0)
        res = purge (self, bucket, TRUE, now_ns);
      if (res < 0)
        return res;
    }
  return -ENOTEMPTY;
}
