#define G_LOG_DOMAIN "ttlfs"
#include "draft-private.h"

#include "access.h"
#include "attrs.h"
#include "cleanup.h"
#include "copy.h"
#include "keeper.h"
#include "reaper.h"

#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <sys/xattr.h>

#define CLAIM_PREFIX TTL_SCRATCH_PREFIX "claim"

/* ---- claims ----
 *
 * O_CREAT | O_EXCL must have one winner at the call while the value appears later. The claim is a symlink to
 * nowhere under the key's own backing name: making it is exclusive for everybody, a peer's link() and O_EXCL too;
 * nobody takes it for a value; and the publication replaces it by rename. */

gboolean
ttl_store_is_claim (TtlStore *self G_GNUC_UNUSED, int dir_fd, const char *backing)
{
  char target[sizeof CLAIM_PREFIX];

  return readlinkat (dir_fd, backing, target, sizeof target) == sizeof target
         && memcmp (target, CLAIM_PREFIX, sizeof CLAIM_PREFIX - 1) == 0;
}

/* @name "": what @dir_fd itself was opened on. */
static gboolean
is_ours (TtlDraft *self, int dir_fd, const char *name)
{
  TtlName target;
  ssize_t len = readlinkat (dir_fd, name, target, sizeof target - 1);

  return len > 0 && (gsize)len == strlen (self->claim) && memcmp (target, self->claim, len) == 0;
}

static int
make_claim (TtlDraft *self, int dir_fd, gint64 now_ns)
{
  int res;

  ttl_scratch_name ("claim", self->claim);
  for (int attempt = 0; attempt < 4; attempt++)
    {
      ttl_autofd fd = -1;

      if (symlinkat (self->claim, dir_fd, self->backing) == 0)
        {
          fd = openat (dir_fd, self->backing, O_PATH | O_NOFOLLOW | O_CLOEXEC);
          if (fd >= 0 && is_ours (self, fd, "")) /* a put may have replaced it already */
            self->claim_hold
                = ttl_keeper_hold (self->store->keeper, self->bucket, self->backing, fd, now_ns);
          return 0;
        }
      if (errno != EEXIST)
        break;
      res = ttl_store_remove_expired (self->store, self->bucket, dir_fd, self->backing, now_ns);
      if (res < 0)
        {
          self->claim[0] = '\0';
          return res == -EBUSY ? -EEXIST : res;
        }
      errno = EEXIST;
    }
  res = -errno;
  self->claim[0] = '\0';
  return res;
}

void
ttl_draft_drop_claim (TtlDraft *self)
{
  g_autoptr (TtlDir) dir = NULL;
  TtlIdentity identity;

  if (self->claim[0] == '\0')
    return;
  ttl_keeper_release (self->store->keeper, self->claim_hold);
  self->claim_hold = 0;
  if (ttl_bucket_open (self->bucket, &dir) == 0 && is_ours (self, ttl_dir_fd (dir), self->backing)
      && ttl_identity_of_name (ttl_dir_fd (dir), self->backing, &identity) == 0)
    (void)ttl_store_remove_identity (self->store, self->bucket, ttl_dir_fd (dir), self->backing,
                                     &identity);
  self->claim[0] = '\0';
}

/* ---- the private file ---- */

int
ttl_draft_make_file (TtlDraft *self, int dir_fd, int *fd_out, TtlName scratch_out)
{
  int fd;

  scratch_out[0] = '\0';
  if (self->store->caps.tmpfile)
    fd = openat (dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  else
    {
      ttl_scratch_name ("", scratch_out);
      fd = openat (dir_fd, scratch_out, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    }
  if (fd < 0)
    return -errno;
  *fd_out = fd;
  return 0;
}

void
ttl_draft_drop_own (TtlDraft *self)
{
  g_autoptr (TtlDir) dir = NULL;

  ttl_clear_fd (&self->own_fd);
  ttl_keeper_release (self->store->keeper, self->scratch_hold);
  self->scratch_hold = 0;
  if (self->scratch[0] != '\0' && ttl_bucket_open (self->bucket, &dir) == 0)
    (void)unlinkat (ttl_dir_fd (dir), self->scratch, 0);
  self->scratch[0] = '\0';
}

void
ttl_draft_reset_set (TtlDraft *self)
{
  self->mode_set = self->owner_set = self->mtime_set = self->ttl_set = FALSE;
  g_clear_pointer (&self->xattrs_set, g_hash_table_unref);
}

static int
own (int fd, uid_t uid, gid_t gid, mode_t mode)
{
  struct stat st;

  if (fstat (fd, &st) < 0)
    return -errno;
  if ((st.st_uid != uid || st.st_gid != gid) && fchown (fd, uid, gid) < 0)
    return -errno;
  return fchmod (fd, mode & 07777) < 0 ? -errno : 0; /* after fchown(), which clears bits */
}

mode_t
ttl_draft_written_mode (const TtlDraft *self, mode_t mode)
{
  if (self->writer.uid == 0)
    return mode;
  return mode & ~(mode & S_IXGRP ? S_ISUID | S_ISGID : S_ISUID);
}

/* A new file has its maker's owner, and the group of a directory with the setgid bit. */
static int
give_owner (TtlDraft *self, int dir_fd, int fd)
{
  struct stat dir;
  gid_t gid = self->owner.gid;

  if (self->base.st_ino != 0)
    return own (fd, self->base.st_uid, self->base.st_gid,
                ttl_draft_written_mode (self, self->base.st_mode));
  if (fstatat (dir_fd, "", &dir, AT_EMPTY_PATH) < 0)
    return -errno;
  if (dir.st_mode & S_ISGID)
    gid = dir.st_gid;
  return own (fd, self->owner.uid, gid, self->owner.mode);
}

/* Takes the private file over. Where it has a name, that is kept from expiring under our hands. */
void
ttl_draft_take_own (TtlDraft *self, int fd, const char *scratch)
{
  guint64 hold = 0;

  if (scratch[0] != '\0')
    hold = ttl_keeper_hold (self->store->keeper, self->bucket, scratch, fd,
                            ttl_store_now (self->store));
  ttl_draft_put_back_own (self, fd, scratch, hold, FALSE);
}

void
ttl_draft_put_back_own (TtlDraft *self, int fd, const char *scratch, guint64 hold, gboolean spent)
{
  struct stat st = { 0 };

  (void)fstat (fd, &st);
  self->own_fd = fd;
  self->spent = spent;
  __atomic_store_n (&self->own_ino, st.st_ino, __ATOMIC_SEQ_CST);
  g_strlcpy (self->scratch, scratch, sizeof (TtlName));
  self->scratch_hold = hold;
}

/* clean -> draft: a private file, with the base's content when @keep. Without a base there is nothing to keep: what is
 * appended then goes behind whatever others append first. */
static int
begin (TtlDraft *self, gboolean keep)
{
  g_autoptr (TtlDir) dir = NULL;
  ttl_autofd fd = -1;
  TtlName scratch;
  int res = ttl_bucket_open (self->bucket, &dir);

  if (res == 0)
    res = ttl_draft_make_file (self, ttl_dir_fd (dir), &fd, scratch);
  if (res < 0)
    return res;
  res = give_owner (self, ttl_dir_fd (dir), fd);
  if (res == 0 && self->base_fd >= 0)
    res = ttl_copy_xattrs (self->base_fd, fd, NULL);
  if (res == 0 && keep && self->base_fd >= 0)
    res = ttl_copy_content (self->base_fd, fd);
  if (res < 0)
    {
      if (scratch[0] != '\0')
        (void)unlinkat (ttl_dir_fd (dir), scratch, 0);
      return res;
    }
  ttl_draft_take_own (self, ttl_steal_fd (&fd), scratch);
  self->append_from = self->append && keep ? self->base.st_size : -1;
  g_atomic_int_set (&self->dirty, !self->orphan);
  if (self->store->observer != NULL)
    self->store->observer->begun (self, self->store->observer->data);
  return 0;
}

void
ttl_store_set_draft_observer (TtlStore *store, const TtlDraftObserver *observer)
{
  g_free (store->observer);
  store->observer = observer != NULL ? g_memdup2 (observer, sizeof *observer) : NULL;
}

/* ---- opening ---- */

static int
open_base (TtlDraft *self, gboolean content_needed, gint64 now_ns)
{
  TtlEntry entry;
  int fd = -1;
  int res = ttl_store_open_value (self->store, self->bucket, self->backing, now_ns, &fd, &entry);

  /* Writable but not readable, for a daemon that is not root: its attributes are all that we need. */
  if (res == -EACCES && !content_needed)
    res = ttl_store_stat (self->store, self->bucket, self->backing, now_ns, &entry);
  if (res < 0)
    return res;
  self->base_fd = fd;
  self->base = entry.st;
  if (fd >= 0)
    self->base_ttl = entry.own;
  return 0;
}

static int
open_exclusive (TtlDraft *self)
{
  g_autoptr (TtlDir) dir = NULL;
  g_auto (TtlCommit) commit = TTL_COMMIT_INIT;
  int res = ttl_bucket_open (self->bucket, &dir);

  if (res < 0)
    return res;
  ttl_commit_begin (self->store->commits, self->bucket, ttl_dir_fd (dir), self->backing,
                    TTL_COMMIT_EXCLUSIVE, &commit);
  return make_claim (self, ttl_dir_fd (dir), ttl_store_now (self->store));
}

/* There is no live value. 0 when one can be made. */
static int
open_new (TtlDraft *self)
{
  g_autoptr (TtlDir) dir = NULL;
  int res = ttl_bucket_open (self->bucket, &dir);

  return res < 0 ? res : ttl_store_check_place (self->store, ttl_dir_fd (dir), self->backing);
}

/* Whether the name is one that a value can have: where names are plain, the reserved one would be. */
static int
check_name (TtlDraft *self)
{
  int res = ttl_store_check_reserved (self->bucket, self->backing);

  if (res == 0 && ttl_keyname_kind (self->store->options.names, self->backing) == TTL_NAME_FOREIGN)
    res = -EINVAL;
  return res;
}

static TtlDraft *
new_draft (TtlStore *store, TtlBucket *bucket, const char *backing, int flags)
{
  TtlDraft *self = g_new0 (TtlDraft, 1);

  self->store = store;
  self->bucket = ttl_bucket_ref (bucket);
  g_strlcpy (self->backing, backing, sizeof (TtlName));
  self->append = (flags & O_APPEND) != 0;
  self->base_fd = self->own_fd = -1;
  self->append_from = -1;
  return self;
}

int
ttl_draft_open (TtlStore *store, TtlBucket *bucket, const char *backing, int flags,
                const TtlOwner *owner, gint64 now_ns, TtlDraft **draft_out)
{
  return ttl_draft_open_found (store, bucket, backing, flags, owner, owner, now_ns, draft_out);
}

int
ttl_draft_open_found (TtlStore *store, TtlBucket *bucket, const char *backing, int flags,
                      const TtlOwner *owner, const TtlOwner *writer, gint64 now_ns,
                      TtlDraft **draft_out)
{
  g_autoptr (TtlDraft) self = new_draft (store, bucket, backing, flags);
  int res;

  self->owner = *owner;
  self->writer = *writer;
  res = ttl_store_check_writable (store);
  if (res == 0)
    res = check_name (self);
  if (res < 0)
    return res;
  if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
    res = open_exclusive (self);
  else
    {
      res = open_base (self, !(flags & O_TRUNC), now_ns);
      if (res == -ENOENT && flags & O_CREAT)
        res = open_new (self);
    }
  if (res == 0 && (flags & O_TRUNC || self->base.st_ino == 0))
    res = begin (self, !(flags & O_TRUNC));
  if (res < 0)
    return res;
  *draft_out = g_steal_pointer (&self);
  return 0;
}

/* A private copy of what @other holds unpublished, as the version to start from. */
static int
copy_base (TtlDraft *self, TtlDraft *other)
{
  g_autoptr (TtlDir) dir = NULL;
  ttl_autofd fd = -1;
  TtlName scratch;
  int res = ttl_bucket_open (self->bucket, &dir);

  if (res == 0)
    res = ttl_draft_make_file (self, ttl_dir_fd (dir), &fd, scratch);
  if (res < 0)
    return res;
  if (scratch[0] != '\0')
    (void)unlinkat (ttl_dir_fd (dir), scratch, 0);
  res = ttl_copy_xattrs (ttl_draft_fd (other), fd, NULL);
  if (res == 0)
    res = ttl_copy_content (ttl_draft_fd (other), fd);
  if (res == 0 && fstat (fd, &self->base) < 0)
    res = -errno;
  self->base_fd = ttl_steal_fd (&fd);
  return res;
}

int
ttl_draft_open_like (TtlDraft *other, int flags, const TtlOwner *writer, TtlDraft **draft_out)
{
  g_autoptr (TtlDraft) self = new_draft (other->store, other->bucket, other->backing, flags);
  struct stat st;
  int res = 0;

  self->owner = other->owner;
  self->writer = *writer;
  self->base_ttl = other->ttl_set ? other->ttl : other->base_ttl;

  if (fstat (ttl_draft_fd (other), &st) < 0)
    return -errno;
  if (!(flags & O_TRUNC))
    res = copy_base (self, other);
  self->base.st_ino = st.st_ino;
  self->base.st_mode = st.st_mode;
  self->base.st_uid = st.st_uid;
  self->base.st_gid = st.st_gid;
  if (res == 0 && flags & O_TRUNC)
    res = begin (self, FALSE);
  if (res < 0)
    return res;
  *draft_out = g_steal_pointer (&self);
  return 0;
}

int
ttl_draft_open_version (TtlStore *store, TtlBucket *bucket, const char *backing, int fd_take,
                        int flags, const TtlOwner *writer, TtlDraft **draft_out)
{
  ttl_autofd fd = fd_take;
  g_autoptr (TtlDraft) self = NULL;
  struct stat st;
  int res = ttl_store_check_writable (store);

  if (res == 0 && fstat (fd, &st) < 0)
    res = -errno;
  if (res < 0)
    return res;
  self = new_draft (store, bucket, backing, flags);
  self->owner = (TtlOwner){ .uid = st.st_uid, .gid = st.st_gid, .mode = st.st_mode & 07777 };
  self->writer = *writer;
  self->base = st;
  self->base_fd = ttl_steal_fd (&fd);
  if (flags & O_TRUNC)
    res = begin (self, FALSE);
  if (res < 0)
    return res;
  *draft_out = g_steal_pointer (&self);
  return 0;
}

/* ---- who may ---- */

gboolean
ttl_draft_may (const TtlDraft *self, const struct stat *st, mode_t wanted)
{
  return ttl_access_is_same (&self->base, st) || ttl_access_may (&self->writer, st, wanted);
}

void
ttl_draft_restart (TtlDraft *self, gint64 now_ns)
{
  ttl_draft_drop_claim (self);
  ttl_draft_drop_own (self);
  ttl_draft_reset_set (self);
  ttl_clear_fd (&self->base_fd);
  self->append_from = -1;
  self->touched = FALSE;
  if (open_base (self, TRUE, now_ns) < 0)
    (void)begin (self, FALSE); /* gone again: there must be something to read and write */
  g_atomic_int_set (&self->dirty, FALSE);
}

void
ttl_draft_refresh (TtlDraft *self, gint64 now_ns)
{
  int older = self->base_fd;
  TtlEntry entry;

  if (self->orphan || (self->own_fd >= 0 && self->touched))
    return;
  if (ttl_store_stat (self->store, self->bucket, self->backing, now_ns, &entry) < 0)
    return; /* removed meanwhile: it goes on with what it has */
  if (entry.st.st_ino != self->base.st_ino && !ttl_draft_may (self, &entry.st, 6))
    return; /* likewise where it is not for who opened another */
  if (self->own_fd >= 0)
    {
      if (entry.st.st_ino != self->base.st_ino) /* created or truncated before that was put */
        ttl_draft_restart (self, now_ns);
      return;
    }
  self->base_fd = -1;
  if (open_base (self, TRUE, now_ns) == 0)
    ttl_clear_fd (&older);
  else
    self->base_fd = older;
}

void
ttl_draft_free (TtlDraft *self)
{
  ttl_keeper_release (self->store->keeper, self->hold);
  ttl_draft_drop_claim (self);
  ttl_draft_drop_own (self);
  ttl_clear_fd (&self->base_fd);
  ttl_draft_reset_set (self);
  ttl_bucket_unref (self->bucket);
  g_free (self);
}

/* ---- asking ---- */

gboolean
ttl_draft_is_dirty (TtlDraft *self)
{
  return g_atomic_int_get (&self->dirty);
}

gboolean
ttl_draft_is_touched (TtlDraft *self)
{
  return self->touched;
}

gboolean
ttl_draft_is_new (TtlDraft *self)
{
  return self->base.st_ino == 0;
}

gboolean
ttl_draft_is_append (TtlDraft *self)
{
  return self->append;
}

const struct stat *
ttl_draft_version (const TtlDraft *self)
{
  return &self->base;
}

gboolean
ttl_draft_put (TtlDraft *self, ino_t ino)
{
  return ino != 0 && __atomic_load_n (&self->own_ino, __ATOMIC_SEQ_CST) == ino;
}

const struct stat *
ttl_draft_leaves_version (const TtlDraft *self)
{
  return self->orphan || self->rebased || self->base.st_ino == 0 ? NULL : &self->base;
}

TtlBucket *
ttl_draft_bucket (TtlDraft *self)
{
  return self->bucket;
}

const char *
ttl_draft_backing (TtlDraft *self)
{
  return self->backing;
}

int
ttl_draft_fd (TtlDraft *self)
{
  return self->own_fd >= 0 ? self->own_fd : self->base_fd;
}

int
ttl_draft_stat (TtlDraft *self, struct stat *st_out)
{
  if (fstat (ttl_draft_fd (self), st_out) < 0)
    return -errno;
  if (st_out->st_nlink == 0 && !self->orphan)
    st_out->st_nlink = 1;
  if (self->mtime_set)
    st_out->st_mtim = ttl_ns_timespec (self->mtime_ns);
  return 0;
}

/* ---- changing ---- */

int
ttl_draft_change (TtlDraft *self, gboolean keep, int *fd_out)
{
  int res;

  self->before.own = self->own_fd >= 0;
  self->before.touched = self->touched;
  self->before.written = self->written;
  self->before.refused = self->refused;
  self->before.mtime_set = self->mtime_set;
  self->before.dirty = ttl_draft_is_dirty (self);
  self->before.append_from = self->append_from;
  res = self->before.own ? 0 : begin (self, keep);
  if (res < 0)
    return res;
  self->append_from = -1;
  self->touched = self->written = TRUE;
  self->refused = FALSE;
  self->mtime_set = FALSE; /* a write moves the mtime on */
  g_atomic_int_set (&self->dirty, !self->orphan);
  *fd_out = self->own_fd;
  return 0;
}

void
ttl_draft_change_failed (TtlDraft *self)
{
  if (!self->before.own && self->base_fd >= 0)
    ttl_draft_drop_own (self);
  self->touched = self->before.touched;
  self->written = self->before.written;
  self->refused = self->before.refused;
  self->mtime_set = self->before.mtime_set;
  self->append_from = self->before.append_from;
  g_atomic_int_set (&self->dirty, self->before.dirty);
}

void
ttl_draft_spoil (TtlDraft *self, int err)
{
  self->spoiled = err;
  self->spoiled_at = -1;
}

/* What was missing has been written after all. */
static void
mend (TtlDraft *self, gint64 offset, gint64 len)
{
  if (self->spoiled != 0 && offset <= self->spoiled_at && self->spoiled_at < offset + len)
    self->spoiled = 0;
}

static ssize_t
write_all (TtlDraft *self, int fd, const char *data, gsize len, gint64 offset)
{
  gsize done = 0;

  while (done < len)
    {
      ssize_t n = pwrite (fd, data + done, len - done, offset + (gint64)done);

      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        {
          int err = n < 0 ? errno : ENOSPC;
          gint64 gap = offset + (gint64)done;

          /* Two gaps are more than one retry can be seen to fill. */
          self->spoiled_at = self->spoiled != 0 && self->spoiled_at != gap ? -1 : gap;
          self->spoiled = err;
          return done > 0 ? (ssize_t)done : -err;
        }
      done += n;
    }
  mend (self, offset, len);
  return done;
}

ssize_t
ttl_draft_write (TtlDraft *self, const void *data, gsize len, gint64 offset)
{
  gint64 append_from;
  struct stat st;
  int fd, res = self->own_fd >= 0 ? 0 : begin (self, TRUE);

  if (res < 0)
    return res;
  append_from = self->append_from;
  res = ttl_draft_change (self, TRUE, &fd);
  if (res < 0)
    return res;
  if (offset == TTL_WRITE_AT_END)
    {
      if (fstat (fd, &st) < 0)
        return -errno;
      offset = st.st_size;
      self->append_from = append_from;
    }
  return write_all (self, fd, data, len, offset);
}

int
ttl_draft_resize (TtlDraft *self, gint64 size_bytes)
{
  int fd, res = ttl_draft_change (self, size_bytes > 0, &fd);

  if (res == 0 && ftruncate (fd, size_bytes) < 0)
    {
      res = -errno;
      ttl_draft_change_failed (self);
    }
  if (res == 0 && size_bytes == 0)
    self->spoiled = 0;
  return res;
}

void
ttl_draft_discard (TtlDraft *self)
{
  gint64 append_from = self->append_from;

  if (self->own_fd < 0)
    return;
  ttl_draft_drop_own (self);
  ttl_draft_reset_set (self);
  self->touched = self->written = FALSE;
  self->spoiled = 0;
  if (self->base_fd < 0 && begin (self, FALSE) == 0) /* there must be something to read and write */
    self->append_from = append_from;
  g_atomic_int_set (&self->dirty, FALSE);
}

static gint64
ttl_in_force (TtlDraft *self)
{
  const TtlDuration *own = self->ttl_set ? &self->ttl : &self->base_ttl;
  TtlDuration inherited;

  if (own->ns != 0)
    return own->ns;
  ttl_store_bucket_ttl (self->store, self->bucket, &inherited);
  return inherited.ns;
}

/* While clean, attributes are set on the version itself, as on any file that is open. One that has expired must not come
 * back to life by it: its name goes first; and when a reaper has it already under another one, which it would bring back
 * what is renewed from, it is not renewed: -ENOENT. */
static int
let_go_if_expired (TtlDraft *self, const TtlAttrs *attrs, gint64 now_ns)
{
  g_autoptr (TtlDir) dir = NULL;
  struct stat st;
  TtlEntry entry;
  int res = ttl_bucket_open (self->bucket, &dir);

  if (res < 0)
    return 0;
  res = ttl_store_examine (self->store, self->bucket, ttl_dir_fd (dir), self->backing, now_ns,
                           &entry);
  if (res == -ENOENT)
    (void)ttl_store_remove_expired (self->store, self->bucket, ttl_dir_fd (dir), self->backing,
                                    now_ns);
  if (!attrs->set_mtime || self->base_fd < 0 || fstat (self->base_fd, &st) < 0 || st.st_nlink == 0)
    return 0;
  return ttl_lease_expired (
             ttl_lease_deadline (ttl_store_renewed (self->store, &st), ttl_in_force (self)), now_ns)
             ? -ENOENT
             : 0;
}

/* A file that was made without a name is linked to one, but what is done to it through the descriptor that it was
 * made by goes unseen by inotify. So it is opened again, by its name, before anybody shall notice a change. */
static void
open_by_name (TtlDraft *self)
{
  g_autoptr (TtlDir) dir = NULL;
  ttl_autofd fd = -1;
  struct stat st;

  if (!self->published || self->own_fd >= 0 || ttl_bucket_open (self->bucket, &dir) < 0)
    return;
  fd = openat (ttl_dir_fd (dir), self->backing, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0 || fstat (fd, &st) < 0 || st.st_ino != self->base.st_ino)
    return;
  ttl_clear_fd (&self->base_fd);
  self->base_fd = ttl_steal_fd (&fd);
}

static int
set_times (TtlDraft *self, int fd, const TtlAttrs *attrs, gint64 now_ns)
{
  struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_nsec = UTIME_OMIT } };
  gint64 ttl_ns = ttl_in_force (self);

  if (attrs->set_atime)
    times[0] = ttl_ns_timespec (attrs->atime_ns);
  if (attrs->set_mtime)
    times[1] = ttl_ns_timespec (ttl_lease_mtime (attrs->mtime_ns, ttl_ns, now_ns));
  if (futimens (fd, times) < 0)
    return -errno;
  if (self->own_fd >= 0 && attrs->set_mtime)
    {
      self->mtime_set = TRUE;
      self->mtime_ns = attrs->mtime_ns;
    }
  else if (attrs->set_mtime)
    ttl_reaper_look (self->store->reaper, self->bucket, self->backing);
  return 0;
}

int
ttl_draft_set_attrs (TtlDraft *self, const TtlAttrs *attrs, gint64 now_ns)
{
  int fd, res = 0;

  if (self->own_fd < 0)
    res = let_go_if_expired (self, attrs, now_ns);
  else
    self->touched = TRUE;
  if (res < 0)
    return res;
  open_by_name (self);
  fd = ttl_draft_fd (self);
  if (attrs->set_uid || attrs->set_gid)
    {
      if (fchown (fd, attrs->set_uid ? attrs->uid : (uid_t)-1,
                  attrs->set_gid ? attrs->gid : (gid_t)-1)
          < 0)
        return -errno;
      self->owner_set = self->own_fd >= 0;
    }
  if (attrs->set_mode)
    {
      if (fchmod (fd, attrs->mode & 07777) < 0)
        return -errno;
      self->mode_set = self->own_fd >= 0;
    }
  return attrs->set_atime || attrs->set_mtime ? set_times (self, fd, attrs, now_ns) : 0;
}

/* ---- xattrs ---- */

static void
note_xattr (TtlDraft *self, const char *name)
{
  self->touched = TRUE;
  if (self->xattrs_set == NULL)
    self->xattrs_set = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_hash_table_add (self->xattrs_set, g_strdup (name));
}

static gboolean
has_own_ttl (const TtlDraft *self)
{
  return (self->ttl_set ? self->ttl.ns : self->base_ttl.ns) != 0;
}

/* The TTL of a published version is set by name, if the name still stands for it. */
static int
set_ttl (TtlDraft *self, const TtlDuration *own, gint64 now_ns)
{
  const TtlAccess access
      = { .who = self->writer, .version = self->base, .wanted = TTL_ACCESS_WRITE };
  TtlEntry entry;
  int res;

  if (self->own_fd >= 0)
    {
      self->ttl_set = TRUE;
      self->ttl = own != NULL ? *own : (TtlDuration){ 0 };
      self->touched = TRUE;
      if (self->store->caps.xattrs && own == NULL)
        (void)fremovexattr (self->own_fd, TTL_XATTR);
      return 0;
    }
  res = ttl_store_stat (self->store, self->bucket, self->backing, now_ns, &entry);
  if (res < 0 || entry.st.st_ino != self->base.st_ino)
    return res < 0 ? res : -ESTALE;
  res = own != NULL ? ttl_store_set_xattr (self->store, self->bucket, self->backing, TTL_XATTR,
                                           own->text, strlen (own->text), 0, now_ns, &access)
                    : ttl_store_remove_xattr (self->store, self->bucket, self->backing, TTL_XATTR,
                                              now_ns, &access);
  if (res == 0)
    self->base_ttl = own != NULL ? *own : (TtlDuration){ 0 };
  return res;
}

static int
set_condition (TtlDraft *self, const char *value, gsize size, int flags)
{
  if (size != TTL_REVISION_LEN)
    return -EINVAL;
  for (gsize i = 0; i < size; i++)
    if (!g_ascii_isxdigit (value[i]) || g_ascii_isupper (value[i]))
      return -EINVAL;
  if (flags & XATTR_CREATE && self->if_match[0] != '\0')
    return -EEXIST;
  if (flags & XATTR_REPLACE && self->if_match[0] == '\0')
    return -ENODATA;
  memcpy (self->if_match, value, size);
  self->if_match[size] = '\0';
  self->touched |= self->own_fd >= 0; /* the close is to tell */
  return 0;
}

int
ttl_draft_set_xattr (TtlDraft *self, const char *name, const void *value, gsize size, int flags,
                     gint64 now_ns)
{
  TtlDuration own;
  int res;

  switch (ttl_xattr_kind (name))
    {
    case TTL_XATTR_PLAIN:
      open_by_name (self);
      if (fsetxattr (ttl_draft_fd (self), name, value, size, flags) < 0)
        return -errno;
      if (self->own_fd >= 0)
        note_xattr (self, name);
      return 0;
    case TTL_XATTR_TTL:
      res = ttl_duration_parse (value, size, &own);
      if (res == 0 && flags & XATTR_CREATE && has_own_ttl (self))
        res = -EEXIST;
      if (res == 0 && flags & XATTR_REPLACE && !has_own_ttl (self))
        res = -ENODATA;
      return res < 0 ? res : set_ttl (self, &own, now_ns);
    case TTL_XATTR_IF_MATCH:
      return set_condition (self, value, size, flags);
    case TTL_XATTR_FOREIGN:
      return -ENOTSUP;
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
ttl_draft_remove_xattr (TtlDraft *self, const char *name, gint64 now_ns)
{
  TtlXattrKind kind = ttl_xattr_kind (name);

  if (kind == TTL_XATTR_FOREIGN)
    return -ENOTSUP;
  if (kind == TTL_XATTR_TTL)
    return has_own_ttl (self) ? set_ttl (self, NULL, now_ns) : -ENODATA;
  if (kind == TTL_XATTR_IF_MATCH)
    {
      gboolean had_one = self->if_match[0] != '\0';

      self->if_match[0] = '\0';
      return had_one ? 0 : -ENODATA;
    }
  if (kind != TTL_XATTR_PLAIN)
    return -EPERM;
  open_by_name (self);
  if (fremovexattr (ttl_draft_fd (self), name) < 0)
    return -errno;
  if (self->own_fd >= 0)
    note_xattr (self, name);
  return 0;
}

static ssize_t
give_text (const char *text, void *value_out, gsize size)
{
  return ttl_xattr_give (text, strlen (text), value_out, size);
}

ssize_t
ttl_draft_get_xattr (TtlDraft *self, const char *name, void *value_out, gsize size, gint64 now_ns)
{
  TtlRevision revision;
  TtlXattrKind kind = ttl_xattr_kind (name);
  const TtlDuration *own = self->ttl_set ? &self->ttl : &self->base_ttl;
  TtlDuration ttl;
  struct stat st;
  ssize_t res;

  if (kind == TTL_XATTR_FOREIGN)
    return -ENOTSUP;
  if (kind == TTL_XATTR_PLAIN)
    {
      res = fgetxattr (ttl_draft_fd (self), name, value_out, size);
      return res < 0 ? -errno : res;
    }
  if (kind == TTL_XATTR_IF_MATCH)
    return self->if_match[0] != '\0' ? give_text (self->if_match, value_out, size) : -ENODATA;
  if (kind == TTL_XATTR_REVISION)
    {
      if (self->base_fd < 0)
        return -ENODATA;
      res = ttl_revision_of_fd (self->base_fd, revision);
      return res < 0 ? res : give_text (revision, value_out, size);
    }
  if (own->ns != 0)
    ttl = *own;
  else
    ttl_store_bucket_ttl (self->store, self->bucket, &ttl);
  if (ttl_draft_stat (self, &st) < 0)
    return -EIO;
  return ttl_xattr_virtual (kind, &ttl,
                            ttl_lease_deadline (ttl_store_renewed (self->store, &st), ttl.ns),
                            now_ns, value_out, size);
}

ssize_t
ttl_draft_list_xattr (TtlDraft *self, char *names_out, gsize size)
{
  g_autofree char *names = g_malloc (XATTR_LIST_MAX);
  ssize_t len = flistxattr (ttl_draft_fd (self), names, XATTR_LIST_MAX);

  if (len < 0 && errno != ENOTSUP)
    return -errno;
  len = ttl_xattr_filter (names, MAX (len, 0));
  if (has_own_ttl (self))
    len = ttl_xattr_add_ttl (names, len, XATTR_LIST_MAX);
  return len < 0 ? len : ttl_xattr_give (names, len, names_out, size);
}

/* ---- names ---- */

/* The private file's scratch name is in the key's bucket, wherever that is. */
static void
bring_scratch (TtlDraft *self, TtlBucket *to)
{
  g_autoptr (TtlDir) from_dir = NULL;
  g_autoptr (TtlDir) to_dir = NULL;

  if (self->scratch[0] == '\0' || to == self->bucket)
    return;
  if (ttl_bucket_open (self->bucket, &from_dir) == 0 && ttl_bucket_open (to, &to_dir) == 0)
    (void)renameat (ttl_dir_fd (from_dir), self->scratch, ttl_dir_fd (to_dir), self->scratch);
  ttl_keeper_moved (self->store->keeper, self->scratch_hold, to, self->scratch);
}

void
ttl_draft_moved (TtlDraft *self, TtlBucket *bucket, const char *backing)
{
  ttl_draft_drop_claim (self); /* it was one on the name that is left behind */
  bring_scratch (self, bucket);
  ttl_bucket_ref (bucket);
  ttl_bucket_unref (self->bucket);
  self->bucket = bucket;
  g_strlcpy (self->backing, backing, sizeof (TtlName));
  ttl_keeper_moved (self->store->keeper, self->hold, bucket, backing);
}

void
ttl_draft_orphan (TtlDraft *self)
{
  self->orphan = TRUE;
  g_atomic_int_set (&self->dirty, FALSE);
  ttl_keeper_release (self->store->keeper, self->hold);
  self->hold = 0;
  ttl_draft_drop_claim (self);
}
