#define G_LOG_DOMAIN "ttlfs"
#include "attrs.h"

#include "access.h"
#include "cleanup.h"
#include "keeper.h"
#include "reaper.h"
#include "revision.h"
#include "store-private.h"

#include <fcntl.h>
#include <linux/limits.h>
#include <sys/xattr.h>

/* ---- virtual xattrs ---- */

TtlXattrKind
ttl_xattr_kind (const char *name)
{
  if (!g_str_has_prefix (name, "user."))
    return TTL_XATTR_FOREIGN;
  if (!g_str_has_prefix (name, TTL_XATTR_PREFIX))
    return TTL_XATTR_PLAIN;
  name += strlen (TTL_XATTR_PREFIX);
  return strcmp (name, "ttl") == 0         ? TTL_XATTR_TTL
         : strcmp (name, "remaining") == 0 ? TTL_XATTR_REMAINING
         : strcmp (name, "expires") == 0   ? TTL_XATTR_EXPIRES
         : strcmp (name, "revision") == 0  ? TTL_XATTR_REVISION
         : strcmp (name, "if-match") == 0  ? TTL_XATTR_IF_MATCH
         : strcmp (name, "status") == 0    ? TTL_XATTR_STATUS
                                           : TTL_XATTR_RESERVED;
}

ssize_t
ttl_xattr_give (const void *from, gsize len, void *value_out, gsize size)
{
  if (size == 0)
    return len;
  if (len > size)
    return -ERANGE;
  memcpy (value_out, from, len);
  return len;
}

static ssize_t
give_text (const char *text, void *value_out, gsize size)
{
  return ttl_xattr_give (text, strlen (text), value_out, size);
}

static char *
rfc3339 (TtlDeadline deadline)
{
  g_autoptr (GDateTime) when = g_date_time_new_from_unix_utc (deadline / TTL_NS_PER_S);
  g_autofree char *seconds = when != NULL ? g_date_time_format (when, "%Y-%m-%dT%H:%M:%S") : NULL;

  if (seconds == NULL)
    return g_strdup ("inf");
  return g_strdup_printf ("%s.%09dZ", seconds, (int)(deadline % TTL_NS_PER_S));
}

ssize_t
ttl_xattr_virtual (TtlXattrKind kind, const TtlDuration *ttl, TtlDeadline deadline, gint64 now_ns,
                   void *value_out, gsize size)
{
  char left[TTL_DURATION_TEXT_MAX];
  g_autofree char *when = NULL;

  switch (kind)
    {
    case TTL_XATTR_TTL:
      return give_text (ttl->text, value_out, size);
    case TTL_XATTR_REMAINING:
      ttl_duration_format (
          deadline == TTL_DEADLINE_NEVER ? TTL_DURATION_INF : MAX (deadline - now_ns, 0), left);
      return give_text (left, value_out, size);
    case TTL_XATTR_EXPIRES:
      when = deadline == TTL_DEADLINE_NEVER ? g_strdup ("inf") : rfc3339 (deadline);
      return give_text (when, value_out, size);
    case TTL_XATTR_PLAIN:
    case TTL_XATTR_REVISION:
    case TTL_XATTR_IF_MATCH:
    case TTL_XATTR_STATUS:
    case TTL_XATTR_RESERVED:
    case TTL_XATTR_FOREIGN:
      break;
    }
  return -ENODATA;
}

gsize
ttl_xattr_filter (char *names, gsize len)
{
  gsize kept = 0;

  for (gsize at = 0; at < len;)
    {
      gsize step = strlen (names + at) + 1;
      TtlXattrKind kind = ttl_xattr_kind (names + at);

      if (kind == TTL_XATTR_PLAIN || kind == TTL_XATTR_TTL)
        {
          memmove (names + kept, names + at, step);
          kept += step;
        }
      at += step;
    }
  return kept;
}

ssize_t
ttl_xattr_add_ttl (char *names, gsize len, gsize size)
{
  for (gsize at = 0; at < len; at += strlen (names + at) + 1)
    if (strcmp (names + at, TTL_XATTR) == 0)
      return len;
  if (len + sizeof TTL_XATTR > size)
    return -ERANGE;
  memcpy (names + len, TTL_XATTR, sizeof TTL_XATTR);
  return len + sizeof TTL_XATTR;
}

/* ---- what has a name ---- */

/* An entry or a bucket, found and open. The calls that know no descriptors reach it through a magic link, which ends at
 * that very file: nothing that is put under its name meanwhile is touched, and the bucket's mode does not matter. */
typedef struct
{
  TtlStore *store;
  TtlBucket *bucket;
  const char *backing; /* NULL for the bucket itself */
  TtlDir *dir;         /* owns a reference */
  TtlCommit commit;    /* of an entry that is to be changed; else nothing is held */
  int fd;              /* of the file, O_PATH; -1 for a bucket */
  TtlEntry entry;      /* not filled for a bucket but for ttl and deadline */
  char path[32];
} Target;

#define TARGET_INIT \
  { \
    .commit = TTL_COMMIT_INIT, .fd = -1 \
  }

static void
target_clear (Target *self)
{
  ttl_clear_fd (&self->fd);
  ttl_commit_end (&self->commit);
  g_clear_pointer (&self->dir, ttl_dir_unref);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Target, target_clear)

static int
target_find_key (Target *self, gint64 now_ns)
{
  struct stat st;
  int res, err;

  do
    {
      ttl_clear_fd (&self->fd);
      self->fd = openat (ttl_dir_fd (self->dir), self->backing, O_PATH | O_NOFOLLOW | O_CLOEXEC);
      err = self->fd < 0 ? errno : 0;
      if (err != 0 && err != ENOENT)
        return -err;
      res = ttl_store_examine_twice (self->store, self->bucket, ttl_dir_fd (self->dir),
                                     self->backing, now_ns, &self->entry);
      if (res < 0)
        return res;
      st.st_ino = 0;
      if (self->fd >= 0 && fstat (self->fd, &st) < 0)
        return -errno;
    }
  while (st.st_ino != self->entry.st.st_ino); /* replaced between the two looks */
  return 0;
}

typedef enum
{
  TO_BE_READ,
  TO_BE_CHANGED, /* -EROFS */
} TargetUse;

/* To be changed: from here on no reaper of any mount takes the file off its name. What a peer has raised from the dead just
 * then would be renewed where nobody finds it, and the caller told that it had been in time. */
static int
target_find (Target *self, TargetUse use, TtlStore *store, TtlBucket *bucket, const char *backing,
             gint64 now_ns, const TtlAccess *access)
{
  int res = use == TO_BE_CHANGED ? ttl_store_check_writable (store) : 0;

  self->store = store;
  self->bucket = bucket;
  self->backing = backing;
  if (res == 0)
    res = ttl_bucket_open (bucket, &self->dir);
  if (res < 0)
    return res;
  if (backing != NULL && use == TO_BE_CHANGED)
    ttl_commit_begin (store->commits, bucket, ttl_dir_fd (self->dir), backing, TTL_COMMIT_SHARED,
                      &self->commit);
  if (backing != NULL)
    res = target_find_key (self, now_ns);
  if (res == 0 && backing != NULL)
    res = ttl_access_check (access, &self->entry.st);
  if (res < 0)
    return res;
  if (backing == NULL)
    {
      ttl_store_bucket_ttl (store, bucket, &self->entry.ttl);
      self->entry.deadline = TTL_DEADLINE_NEVER;
    }
  g_snprintf (self->path, sizeof self->path, "/proc/self/fd/%d",
              backing != NULL ? self->fd : ttl_dir_fd (self->dir));
  return 0;
}

/* A version that somebody has open, whether or not @backing still stands for it. */
static int
target_of_open (Target *self, TtlStore *store, TtlBucket *bucket, const char *backing, int fd)
{
  int res;

  self->store = store;
  self->bucket = bucket;
  self->backing = backing;
  g_snprintf (self->path, sizeof self->path, "/proc/self/fd/%d", fd);
  if (fstat (fd, &self->entry.st) < 0)
    return -errno;
  res = ttl_bucket_open (bucket, &self->dir);
  if (res < 0) /* removed, and nothing in it has a lease */
    return 0;
  ttl_store_lease_of (store, bucket, ttl_dir_fd (self->dir), backing, &self->entry.st,
                      &self->entry.ttl, &self->entry.deadline);
  return 0;
}

/* Whether the lease that is to be renewed has ended: others may have found the entry absent by now, so that it must not come
 * back. Asked right before the renewal, and right after it, which is then taken back: no call does both in one step. */
static gboolean
comes_too_late (const Target *target)
{
  return ttl_lease_expired (target->entry.deadline, ttl_store_now (target->store));
}

/* A peer, who takes no lock, may have renewed it since it was found: then it is that lease which ends too early, or not, and
 * which a renewal that is taken back leaves behind. */
static int
look_again (Target *target)
{
  struct stat st;

  if (fstat (target->fd, &st) < 0)
    return -errno;
  if (st.st_mtim.tv_sec == target->entry.st.st_mtim.tv_sec
      && st.st_mtim.tv_nsec == target->entry.st.st_mtim.tv_nsec)
    return 0;
  target->entry.st = st;
  target->entry.deadline
      = ttl_lease_deadline (ttl_store_renewed (target->store, &st), target->entry.ttl.ns);
  return 0;
}

/* Whether the file system has made @now of @set_ns, by its granularity. */
static gboolean
is_as_set (const struct timespec *now, gint64 set_ns)
{
  static const gint64 grains[] = { 1, 100, 1000, TTL_NS_PER_MS, TTL_NS_PER_S, 2 * TTL_NS_PER_S };

  for (guint i = 0; i < G_N_ELEMENTS (grains); i++)
    if (ttl_timespec_ns (now) == set_ns - set_ns % grains[i])
      return TRUE;
  return FALSE;
}

/* Unless somebody has renewed it after us. */
static void
take_back (const Target *target, gint64 set_ns)
{
  struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, target->entry.st.st_mtim };
  struct stat st;

  if (fstat (target->fd, &st) == 0 && is_as_set (&st.st_mtim, set_ns))
    (void)utimensat (AT_FDCWD, target->path, times, 0);
}

/* What to answer then. A put may have come in between: renewed first, and put over then, it was in time. */
static int
answer_late (const Target *target)
{
  struct stat st;

  return fstatat (ttl_dir_fd (target->dir), target->backing, &st, AT_SYMLINK_NOFOLLOW) == 0
                 && st.st_ino != target->entry.st.st_ino
             ? 0
             : -ENOENT;
}

static int
set_times (Target *target, const TtlAttrs *attrs, gint64 now_ns)
{
  struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_nsec = UTIME_OMIT } };
  const gboolean renews = attrs->set_mtime && target->backing != NULL;
  gint64 mtime_ns = attrs->mtime_ns;

  if (target->backing != NULL)
    mtime_ns = ttl_lease_mtime (mtime_ns, target->entry.ttl.ns, now_ns);
  if (attrs->set_atime)
    times[0] = ttl_ns_timespec (attrs->atime_ns);
  if (attrs->set_mtime)
    times[1] = ttl_ns_timespec (mtime_ns);
  if (renews)
    {
      int res = look_again (target);

      if (res < 0)
        return res;
      if (comes_too_late (target))
        return answer_late (target);
    }
  if (utimensat (AT_FDCWD, target->path, times, 0) < 0)
    return -errno;
  if (!renews)
    return 0;
  if (comes_too_late (target))
    {
      take_back (target, mtime_ns);
      return answer_late (target);
    }
  ttl_reaper_note (target->store->reaper, target->bucket, target->backing,
                   ttl_lease_deadline (mtime_ns, target->entry.ttl.ns));
  return 0;
}

static int
set_owner_and_mode (const Target *target, const TtlAttrs *attrs)
{
  if ((attrs->set_uid || attrs->set_gid)
      && chown (target->path, attrs->set_uid ? attrs->uid : (uid_t)-1,
                attrs->set_gid ? attrs->gid : (gid_t)-1)
             < 0)
    return -errno;
  /* After the owner, since a change of owner takes the setuid bit away. */
  return attrs->set_mode && chmod (target->path, attrs->mode & 07777) < 0 ? -errno : 0;
}

int
ttl_store_set_attrs (TtlStore *self, TtlBucket *bucket, const char *backing, const TtlAttrs *attrs,
                     gint64 now_ns)
{
  g_auto (Target) target = TARGET_INIT;
  int res = target_find (&target, TO_BE_CHANGED, self, bucket, backing, now_ns, attrs->access);

  if (res == 0)
    res = set_owner_and_mode (&target, attrs);
  if (res == 0 && (attrs->set_atime || attrs->set_mtime))
    res = set_times (&target, attrs, now_ns);
  return res;
}

int
ttl_store_set_attrs_of_open (TtlStore *self, TtlBucket *bucket, const char *backing, int fd,
                             const TtlAttrs *attrs, gint64 now_ns)
{
  g_auto (Target) target = TARGET_INIT;
  struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_nsec = UTIME_OMIT } };
  int res = ttl_store_check_writable (self);

  if (res == 0)
    res = target_of_open (&target, self, bucket, backing, fd);
  if (res == 0 && attrs->set_mtime && target.entry.st.st_nlink > 0
      && ttl_lease_expired (target.entry.deadline, now_ns))
    res = -ENOENT;
  if (res == 0)
    res = set_owner_and_mode (&target, attrs);
  if (attrs->set_atime)
    times[0] = ttl_ns_timespec (attrs->atime_ns);
  if (attrs->set_mtime) /* it may be that of another name, too, whose TTL we do not know */
    times[1] = ttl_ns_timespec (target.entry.st.st_nlink > 0 ? MAX (attrs->mtime_ns, now_ns)
                                                             : attrs->mtime_ns);
  if (res == 0 && utimensat (AT_FDCWD, target.path, times, 0) < 0)
    res = -errno;
  return res;
}

ssize_t
ttl_store_get_xattr (TtlStore *self, TtlBucket *bucket, const char *backing, const char *name,
                     void *value_out, gsize size, gint64 now_ns, const TtlAccess *access)
{
  g_auto (Target) target = TARGET_INIT;
  TtlXattrKind kind = ttl_xattr_kind (name);
  TtlRevision revision;
  ssize_t res = target_find (&target, TO_BE_READ, self, bucket, backing, now_ns, access);

  if (res < 0)
    return res;
  if (kind == TTL_XATTR_FOREIGN)
    return -ENOTSUP;
  if (kind == TTL_XATTR_PLAIN)
    {
      res = getxattr (target.path, name, value_out, size);
      return res < 0 ? -errno : res;
    }
  if (backing == NULL && kind == TTL_XATTR_STATUS && ttl_bucket_is_root (bucket))
    {
      g_autofree char *status = ttl_store_dup_status (self);

      return give_text (status, value_out, size);
    }
  if (backing == NULL && kind != TTL_XATTR_TTL)
    return -ENODATA;
  if (kind == TTL_XATTR_REVISION)
    {
      res = ttl_revision_of_fd (target.fd, revision);
      return res < 0 ? res : give_text (revision, value_out, size);
    }
  return ttl_xattr_virtual (kind, &target.entry.ttl, target.entry.deadline, now_ns, value_out,
                            size);
}

static gboolean
get_own_ttl (const Target *target, TtlDuration *own_out)
{
  if (target->backing == NULL)
    return ttl_settings_get_bucket (target->store->settings, target->bucket, own_out) == 0;
  return ttl_settings_get_key (target->store->settings, target->bucket, ttl_dir_fd (target->dir),
                               target->backing, target->entry.st.st_ino, own_out)
         == 0;
}

static gboolean
has_own_ttl (const Target *target)
{
  TtlDuration own;

  return get_own_ttl (target, &own);
}

ssize_t
ttl_store_list_xattr (TtlStore *self, TtlBucket *bucket, const char *backing, char *names_out,
                      gsize size, gint64 now_ns)
{
  g_auto (Target) target = TARGET_INIT;
  g_autofree char *names = g_malloc (XATTR_LIST_MAX);
  ssize_t len = target_find (&target, TO_BE_READ, self, bucket, backing, now_ns, NULL);

  if (len < 0)
    return len;
  len = listxattr (target.path, names, XATTR_LIST_MAX);
  if (len < 0 && errno != ENOTSUP)
    return -errno;
  len = ttl_xattr_filter (names, MAX (len, 0));
  if (has_own_ttl (&target))
    len = ttl_xattr_add_ttl (names, len, XATTR_LIST_MAX);
  return len < 0 ? len : ttl_xattr_give (names, len, names_out, size);
}

static int
set_own_ttl (Target *target, const TtlDuration *own)
{
  TtlStore *store = target->store;
  int dir_fd = ttl_dir_fd (target->dir);
  TtlDuration old;
  gboolean had_one;
  int res;

  if (target->backing == NULL)
    return ttl_store_set_bucket_ttl (store, target->bucket, own);
  had_one = get_own_ttl (target, &old);
  if (comes_too_late (target))
    return answer_late (target);
  res = ttl_settings_set_key (store->settings, target->bucket, dir_fd, target->backing,
                              target->entry.st.st_ino, own);
  if (res < 0)
    return res;
  if (comes_too_late (target))
    {
      (void)ttl_settings_set_key (store->settings, target->bucket, dir_fd, target->backing,
                                  target->entry.st.st_ino, had_one ? &old : NULL);
      return answer_late (target);
    }
  if (own != NULL)
    ttl_store_note_ttl (own);
  ttl_reaper_look (store->reaper, target->bucket, target->backing);
  ttl_keeper_recheck (store->keeper);
  return 0;
}

int
ttl_store_set_xattr (TtlStore *self, TtlBucket *bucket, const char *backing, const char *name,
                     const void *value, gsize size, int flags, gint64 now_ns,
                     const TtlAccess *access)
{
  g_auto (Target) target = TARGET_INIT;
  TtlDuration own;
  int res = target_find (&target, TO_BE_CHANGED, self, bucket, backing, now_ns, access);

  if (res < 0)
    return res;
  switch (ttl_xattr_kind (name))
    {
    case TTL_XATTR_PLAIN:
      return setxattr (target.path, name, value, size, flags) < 0 ? -errno : 0;
    case TTL_XATTR_TTL:
      res = ttl_duration_parse (value, size, &own);
      if (res < 0)
        return res;
      if (flags & XATTR_CREATE && has_own_ttl (&target))
        return -EEXIST;
      if (flags & XATTR_REPLACE && !has_own_ttl (&target))
        return -ENODATA;
      return set_own_ttl (&target, &own);
    case TTL_XATTR_FOREIGN:
      return -ENOTSUP;
    case TTL_XATTR_IF_MATCH:
      return -EBADF; /* a condition is a draft's */
    case TTL_XATTR_REMAINING:
    case TTL_XATTR_EXPIRES:
    case TTL_XATTR_REVISION:
    case TTL_XATTR_STATUS:
    case TTL_XATTR_RESERVED:
      break;
    }
  return -EPERM;
}

int
ttl_store_remove_xattr (TtlStore *self, TtlBucket *bucket, const char *backing, const char *name,
                        gint64 now_ns, const TtlAccess *access)
{
  g_auto (Target) target = TARGET_INIT;
  int res = target_find (&target, TO_BE_CHANGED, self, bucket, backing, now_ns, access);

  if (res < 0)
    return res;
  switch (ttl_xattr_kind (name))
    {
    case TTL_XATTR_PLAIN:
      return removexattr (target.path, name) < 0 ? -errno : 0;
    case TTL_XATTR_TTL:
      return set_own_ttl (&target, NULL);
    case TTL_XATTR_FOREIGN:
      return -ENOTSUP;
    case TTL_XATTR_IF_MATCH:
      return -ENODATA;
    case TTL_XATTR_REMAINING:
    case TTL_XATTR_EXPIRES:
    case TTL_XATTR_REVISION:
    case TTL_XATTR_STATUS:
    case TTL_XATTR_RESERVED:
      break;
    }
  return -EPERM;
}
