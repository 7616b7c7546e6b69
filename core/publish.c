/* publish - the one step that makes a draft the key's value.
 *
 * Everything that belongs to the value is put on the private file first (content, attributes, xattrs, TTL, mtime); then
 * the file gets the key's name, by link(2) where nothing stands there and by rename(2) otherwise. Nobody can see
 * less than all of it, and a kill at any point leaves the old value and at most a scratch name. (Between two renames of
 * what may replace only one version, and has met a peer's, the new value has the name and the peer's a scratch one.)
 *
 * What was written stays as it is until that has been done: where it must go behind another value, it is of a copy that all
 * of this is done, and each attempt makes its own. */
#define G_LOG_DOMAIN "ttlfs"
#include "draft-private.h"

#include "cleanup.h"
#include "copy.h"
#include "keeper.h"
#include "reaper.h"
#include "urgent.h"

#include <fcntl.h>
#include <stdio.h>

#define NOTHING_TO_PUT 1
#define ANOTHER_CAME 2 /* a peer was quicker: to be tried again */
#define ATTEMPTS 64

/* What the publication finds under the key's name. */
typedef struct
{
  int dir_fd;
  gboolean live;  /* a value of somebody's: entry and fd are of it */
  TtlEntry entry; /* st.st_ino also of an expired one; 0: nothing there */
  int fd;         /* -1 when it cannot be opened ... */
  int err;        /* ... and then why */
} Current;

static void
current_clear (Current *self)
{
  ttl_clear_fd (&self->fd);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Current, current_clear)

static gboolean
is_base (TtlDraft *self, const Current *current)
{
  const struct stat *now = &current->entry.st, *then = &self->base;

  return current->live && now->st_ino == then->st_ino && now->st_size == then->st_size
         && now->st_mtim.tv_sec == then->st_mtim.tv_sec
         && now->st_mtim.tv_nsec == then->st_mtim.tv_nsec;
}

static gboolean
has_base_attrs (TtlDraft *self, const Current *current)
{
  const struct stat *now = &current->entry.st, *then = &self->base;

  return is_base (self, current) && now->st_ctim.tv_sec == then->st_ctim.tv_sec
         && now->st_ctim.tv_nsec == then->st_ctim.tv_nsec;
}

static int
find_current (TtlDraft *self, gint64 now_ns, Current *current)
{
  struct stat opened;
  int res;

  current->entry.st.st_ino = 0;
  res = ttl_store_examine (self->store, self->bucket, current->dir_fd, self->backing, now_ns,
                           &current->entry);
  current->live = res == 0;
  if (res < 0)
    return res == -ENOENT ? 0 : res;
  if (has_base_attrs (self, current) && !self->spent)
    return 0; /* nothing of it is needed that we do not have */
  current->fd
      = openat (current->dir_fd, self->backing, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  current->err = current->fd < 0 ? -errno : 0;
  if (current->err == -ENOENT) /* deleted or captured just now */
    current->live = FALSE;
  if (current->fd >= 0
      && (fstat (current->fd, &opened) < 0 || opened.st_ino != current->entry.st.st_ino))
    return ANOTHER_CAME;
  return 0; /* what is not for us to read keeps its xattrs to itself */
}

/* mode, owner, xattrs and TTL survive a put: what was not set through the description is taken from the value that is
 * replaced, as it is now. */
static int
keep_attributes (TtlDraft *self, const Current *current)
{
  const struct stat *st = &current->entry.st;
  TtlDuration own = self->base_ttl;

  if (current->live && !has_base_attrs (self, current))
    {
      struct stat mine;

      if (fstat (self->own_fd, &mine) < 0)
        return -errno;
      if (!self->owner_set && (mine.st_uid != st->st_uid || mine.st_gid != st->st_gid)
          && fchown (self->own_fd, st->st_uid, st->st_gid) < 0)
        return -errno;
      if (!self->mode_set && fchmod (self->own_fd, st->st_mode & 07777) < 0)
        return -errno;
      if (current->fd >= 0)
        {
          int res = ttl_copy_xattrs (current->fd, self->own_fd, self->xattrs_set);
          if (res < 0)
            return res;
        }
      if (ttl_settings_get_key (self->store->settings, self->bucket, current->dir_fd, self->backing,
                                st->st_ino, &own)
          < 0)
        own.ns = 0;
    }
  if (self->ttl_set)
    own = self->ttl;
  self->base_ttl = own;
  if (self->ttl_set || own.ns != 0 || (current->live && !has_base_attrs (self, current)))
    return ttl_settings_set_draft (self->store->settings, self->bucket, self->backing, self->own_fd,
                                   own.ns != 0 ? &own : NULL);
  return 0;
}

/* A file system may write a new name to its journal before it writes what the file holds, and after a power cut there
 * would be a value of zeros. So the content goes first. To have started writing is not enough even where the journal waits
 * for the blocks that are allocated with it (ext4): since Linux 5.6 it allocates them as unwritten, and waits for nothing. What could not be
 * written is told here, and never again to this description: fsync(2) would then succeed. */
static int
write_content_first (TtlDraft *self)
{
  if (sync_file_range (self->own_fd, 0, 0,
                       SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE
                           | SYNC_FILE_RANGE_WAIT_AFTER)
      == 0)
    return 0;
  return errno == ENOSYS || errno == EINVAL || errno == ESPIPE
             ? 0
             : -errno; /* there is no such thing here */
}

/* What was written, while something that was made of it is the private file. */
typedef struct
{
  int fd; /* -1: nothing was made, and the private file is what was written */
  TtlName scratch;
  guint64 hold;
  gboolean spent;
  TtlDuration ttl;
} Written;

static gboolean
needs_copy (TtlDraft *self, const Current *current)
{
  if (self->spent)
    return TRUE;
  if (self->append_from < 0 || is_base (self, current))
    return FALSE;
  return current->live || self->append_from > 0;
}

static int
copy_written (TtlDraft *self, const Current *current, int fd)
{
  const gint64 from = self->append_from;
  struct stat st;
  int res = 0;

  if (fstat (self->own_fd, &st) < 0 || fchown (fd, st.st_uid, st.st_gid) < 0
      || fchmod (fd, st.st_mode & 07777) < 0)
    return -errno;
  res = ttl_copy_xattrs (self->own_fd, fd, NULL);
  if (res == 0 && from < 0)
    return ttl_copy_content (self->own_fd, fd);
  if (res == 0 && current->live)
    res = ttl_copy_content (current->fd, fd);
  return res < 0 ? res : ttl_copy_range (self->own_fd, from, st.st_size - from, fd);
}

/* Somebody put another value since this description read its own: what was appended goes behind that one. Or what was written
 * has been seen under the key's name, and has lost it to somebody: then it cannot be given another. */
static int
make_copy (TtlDraft *self, const Current *current, Written *written_out)
{
  TtlName scratch;
  int fd, res;

  if (!needs_copy (self, current))
    return 0;
  if (self->append_from >= 0 && current->live && current->fd < 0)
    return current->err; /* what others have appended would be lost */
  res = ttl_draft_make_file (self, current->dir_fd, &fd, scratch);
  if (res < 0)
    return res;
  res = copy_written (self, current, fd);
  written_out->fd = ttl_steal_fd (&self->own_fd);
  g_strlcpy (written_out->scratch, self->scratch, sizeof (TtlName));
  written_out->hold = self->scratch_hold;
  written_out->spent = self->spent;
  written_out->ttl = self->base_ttl;
  ttl_draft_take_own (self, fd, scratch);
  return res == 0 ? write_content_first (self) : res;
}

/* The copy has not become the key's value: what was written is as it was, for another attempt. */
static void
drop_copy (TtlDraft *self, Written *written)
{
  if (written->fd < 0)
    return;
  ttl_settings_drop_key (self->store->settings, self->bucket, self->backing,
                         __atomic_load_n (&self->own_ino, __ATOMIC_SEQ_CST));
  ttl_draft_drop_own (self);
  ttl_draft_put_back_own (self, ttl_steal_fd (&written->fd), written->scratch, written->hold,
                          written->spent);
  self->base_ttl = written->ttl;
}

/* It has. */
static void
drop_written (TtlDraft *self, int dir_fd, Written *written)
{
  if (written->fd < 0)
    return;
  ttl_clear_fd (&written->fd);
  ttl_keeper_release (self->store->keeper, written->hold);
  if (written->scratch[0] != '\0')
    (void)unlinkat (dir_fd, written->scratch, 0);
  self->rebased = TRUE;
}

/* Those that came with the attributes of the value that is replaced. */
static int
drop_privileges (TtlDraft *self)
{
  struct stat st;
  mode_t mode;

  if (self->mode_set)
    return 0;
  if (fstat (self->own_fd, &st) < 0)
    return -errno;
  mode = ttl_draft_written_mode (self, st.st_mode);
  return mode != st.st_mode && fchmod (self->own_fd, mode & 07777) < 0 ? -errno : 0;
}

static int
set_mtime (TtlDraft *self, gint64 now_ns)
{
  TtlDuration ttl = self->base_ttl;
  gint64 mtime_ns = now_ns;
  struct timespec times[2] = { { .tv_nsec = UTIME_OMIT } };

  if (self->mtime_set)
    {
      if (ttl.ns == 0)
        ttl_store_bucket_ttl (self->store, self->bucket, &ttl);
      mtime_ns = ttl_lease_mtime (self->mtime_ns, ttl.ns, now_ns);
    }
  times[1] = ttl_ns_timespec (mtime_ns);
  return futimens (self->own_fd, times) < 0 ? -errno : 0;
}

/* A description is older than what it is published over, or in. That must not let anybody do what the modes forbid by now: neither
 * change what somebody else has put there since, nor make a file in a bucket where he may make none, nor one in another's
 * name. */
static int
check_rights (TtlDraft *self, const Current *current)
{
  struct stat dir, mine;

  if (self->writer.uid == 0)
    return 0;
  if (current->live)
    return current->entry.st.st_ino == self->base.st_ino
                   || ttl_draft_may (self, &current->entry.st, 2)
               ? 0
               : -EACCES;
  if (self->base.st_ino == 0)
    return 0; /* as it was when it was opened */
  if (fstat (current->dir_fd, &dir) < 0 || fstat (self->own_fd, &mine) < 0)
    return -errno;
  if (!ttl_draft_may (self, &dir, 3))
    return -EACCES;
  if (mine.st_uid != self->writer.uid && !self->owner_set
      && fchown (self->own_fd, self->writer.uid, self->writer.gid) < 0 && errno != EPERM)
    return -errno;
  return 0;
}

/* Gives the private file @name, which must be free. */
static int
link_own (TtlDraft *self, int dir_fd, const char *name)
{
  char path[32];

  if (self->scratch[0] != '\0')
    return ttl_rename_noreplace (dir_fd, self->scratch, dir_fd, name);
  g_snprintf (path, sizeof path, "/proc/self/fd/%d", self->own_fd);
  if (linkat (AT_FDCWD, path, dir_fd, name, AT_SYMLINK_FOLLOW) == 0)
    return 0;
  /* The file was begun before its file system was unmounted: it has no way into the one that is mounted now. */
  return errno == EXDEV ? -EIO : -errno;
}

static ino_t
inode_of (int dir_fd, const char *name)
{
  struct stat st;

  return fstatat (dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? 0 : st.st_ino;
}

/* What the private file can be renamed from: its name, or one that it is given for this. */
static int
name_own (TtlDraft *self, int dir_fd, TtlName name_out)
{
  g_strlcpy (name_out, self->scratch, sizeof (TtlName));
  if (name_out[0] != '\0')
    return 0;
  ttl_scratch_name ("", name_out);
  return link_own (self, dir_fd, name_out);
}

/* It could not be renamed: what it was given for this is taken away again. */
static void
unname_own (TtlDraft *self, int dir_fd, const char *name)
{
  if (self->scratch[0] == '\0')
    (void)unlinkat (dir_fd, name, 0);
  self->spent = inode_of (dir_fd, name) == 0;
}

/* Gives the private file the key's name, whatever stands there. */
static int
replace (TtlDraft *self, int dir_fd)
{
  TtlName scratch;
  int res = name_own (self, dir_fd, scratch);

  if (res < 0 || renameat (dir_fd, scratch, dir_fd, self->backing) == 0)
    return res;
  res = -errno;
  unname_own (self, dir_fd, scratch);
  return res;
}

/* Whether the draft may replace what was found: never when there is nothing. */
static int
check_condition (TtlDraft *self, const Current *current)
{
  TtlRevision revision;
  int res;

  if (self->if_match[0] == '\0')
    return 0;
  if (!current->live)
    return -ESTALE;
  res = ttl_revision_of_name (current->dir_fd, self->backing, revision);
  if (res < 0)
    return res == -ENOENT ? -ESTALE : res;
  return strcmp (revision, self->if_match) == 0 ? 0 : -ESTALE;
}

/* The private file has changed places with something that it was not to replace: a peer, who takes no locks, was quicker. That
 * gets the name back, unless something else has it by then; or else what a peer puts there just when it does. @scratch is a name to be
 * rid of. */
static int
give_back (TtlDraft *self, int dir_fd, const char *scratch)
{
  struct stat mine = { 0 };
  ino_t placed, aside = inode_of (dir_fd, scratch);

  (void)fstat (self->own_fd, &mine);
  placed = mine.st_ino;
  for (int attempt = 0; attempt < 64; attempt++)
    {
      ino_t found;

      if (inode_of (dir_fd, self->backing) != placed)
        break; /* it has been replaced or deleted since, and what is set aside with it */
      if (renameat2 (dir_fd, scratch, dir_fd, self->backing, RENAME_EXCHANGE) < 0)
        {
          int res = -errno;

          if (res == -ENOENT)
            break; /* deleted meanwhile: so be it */
          g_warning ("%s: what it was cannot be put back, and is called %s now: %s", self->backing,
                     scratch, g_strerror (-res));
          return res;
        }
      found = inode_of (dir_fd, scratch);
      if (found == placed)
        break;
      placed = aside;
      aside = found;
    }
  (void)unlinkat (dir_fd, scratch, 0);
  return 0;
}

static gboolean
is_expected (TtlDraft *self, const Current *current, const char *name)
{
  TtlRevision revision;

  if (self->if_match[0] != '\0')
    return ttl_revision_of_name (current->dir_fd, name, revision) == 0
           && strcmp (revision, self->if_match) == 0;
  if (current->live)
    return inode_of (current->dir_fd, name) == current->entry.st.st_ino;
  return ttl_store_is_claim (self->store, current->dir_fd, name);
}

/* Replaces the version that if_match names, or, without one, the one that was found or a claim, and no other: ANOTHER_CAME.
 * Between the look and a plain rename a peer could put a value, which would be lost, or delete the key, which would come
 * back; so the two files change places, and what came out is looked at. That it goes, or else ends with its lease, is for
 * nobody to wait for. */
static int
replace_expected (TtlDraft *self, const Current *current)
{
  g_auto (TtlUrgent) urgent = FALSE;
  const int dir_fd = current->dir_fd;
  TtlName scratch;
  int res = name_own (self, dir_fd, scratch);

  if (res < 0)
    return res;
  urgent = ttl_urgent_begin (); /* if another one came, it is not to be seen that it was away */
  if (renameat2 (dir_fd, scratch, dir_fd, self->backing, RENAME_EXCHANGE) < 0)
    {
      res = errno == ENOENT ? ANOTHER_CAME : -errno;
      if (res == -EINVAL || res == -ENOSYS) /* cannot change places here */
        res = renameat (dir_fd, scratch, dir_fd, self->backing) < 0 ? -errno : 0;
      if (res != 0)
        unname_own (self, dir_fd, scratch);
      return res;
    }
  if (is_expected (self, current, scratch))
    {
      ttl_urgent_end (&urgent);
      (void)unlinkat (dir_fd, scratch, 0);
      return 0;
    }
  self->spent = TRUE;
  res = give_back (self, dir_fd, scratch);
  return res < 0 ? res : ANOTHER_CAME;
}

/* Nothing may be replaced but what this goes behind: not even one that had expired and that a peer has renewed since. */
static int
place_append (TtlDraft *self, const Current *current, gint64 now_ns)
{
  int res = -EEXIST;

  if (current->live)
    return replace_expected (self, current);
  if (self->claim[0] == '\0')
    res = link_own (self, current->dir_fd, self->backing);
  if (res != -EEXIST)
    return res;
  if (ttl_store_is_claim (self->store, current->dir_fd, self->backing))
    return replace_expected (self, current);
  res = ttl_store_remove_expired (self->store, self->bucket, current->dir_fd, self->backing,
                                  now_ns);
  if (res == -EBUSY)
    {
      res = ttl_store_check_place (self->store, current->dir_fd, self->backing);
      return res < 0 ? res : ANOTHER_CAME;
    }
  if (res == 0)
    res = link_own (self, current->dir_fd, self->backing);
  return res == -EEXIST ? ANOTHER_CAME : res;
}

static int
place (TtlDraft *self, TtlPublishFlags flags, const Current *current, gint64 now_ns)
{
  int res = -EEXIST;

  if (self->if_match[0] != '\0')
    {
      res = replace_expected (self, current);
      return res == ANOTHER_CAME ? -ESTALE : res;
    }
  if (flags & TTL_PUBLISH_CREATE)
    {
      res = ttl_store_remove_expired (self->store, self->bucket, current->dir_fd, self->backing,
                                      now_ns);
      if (res < 0)
        return res == -EBUSY ? -EEXIST : res;
      return link_own (self, current->dir_fd, self->backing);
    }
  if (self->append_from >= 0)
    return place_append (self, current, now_ns);
  if (!current->live && self->claim[0] == '\0')
    res = link_own (self, current->dir_fd, self->backing);
  return res == -EEXIST ? replace (self, current->dir_fd) : res;
}

static int
sync_dir (int dir_fd)
{
  ttl_autofd fd = openat (dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  return fd < 0 || fsync (fd) < 0 ? -errno : 0;
}

/* draft -> clean, of the version that now has the name. */
static void
settle (TtlDraft *self, TtlPublishFlags flags)
{
  TtlDuration ttl = self->base_ttl;
  gint64 mtime_ns;

  ttl_clear_fd (&self->base_fd);
  self->base_fd = ttl_steal_fd (&self->own_fd);
  if (fstat (self->base_fd, &self->base) < 0)
    self->base = (struct stat){ 0 };
  self->scratch[0] = '\0';
  self->claim[0] = '\0'; /* replaced by the value */
  self->touched = self->written = FALSE;
  self->published = TRUE;
  self->append_from = -1;
  self->if_match[0] = '\0'; /* it was for this once */
  ttl_draft_reset_set (self);
  g_atomic_int_set (&self->dirty, FALSE);

  if (ttl.ns == 0)
    ttl_store_bucket_ttl (self->store, self->bucket, &ttl);
  mtime_ns = ttl_timespec_ns (&self->base.st_mtim);
  ttl_reaper_note (self->store->reaper, self->bucket, self->backing,
                   ttl_lease_deadline (mtime_ns, ttl.ns));
  ttl_keeper_release (self->store->keeper, self->claim_hold);
  ttl_keeper_release (self->store->keeper, self->scratch_hold);
  ttl_keeper_release (self->store->keeper, self->hold);
  self->claim_hold = self->scratch_hold = self->hold = 0;
  if (ttl_keyname_kind (self->store->options.names, self->backing) == TTL_NAME_KEY)
    ttl_keeper_own (self->store->keeper, self->bucket, self->backing, self->base_fd);
  if (!(flags & TTL_PUBLISH_LAST) && self->store->options.keepalive != TTL_KEEPALIVE_NONE)
    self->hold
        = ttl_keeper_hold (self->store->keeper, self->bucket, self->backing, self->base_fd,
                           ttl.ns == TTL_DURATION_INF ? TTL_DEADLINE_NEVER
                                                      : ttl_lease_deadline (mtime_ns, ttl.ns / 3));
}

static int
finish_and_place (TtlDraft *self, TtlPublishFlags flags, const Current *current)
{
  gint64 now_ns;
  int res = keep_attributes (self, current);

  if (res == 0 && self->touched)
    res = drop_privileges (self);
  now_ns = ttl_store_now (self->store);
  if (res == 0)
    res = set_mtime (self, now_ns);
  return res == 0 ? place (self, flags, current, now_ns) : res;
}

/* The time is taken when the lock has been had: what has waited longer than a TTL would else be published expired. */
static int
attempt (TtlDraft *self, TtlPublishFlags flags, int dir_fd, gboolean *is_new_out)
{
  g_auto (TtlCommit) commit = TTL_COMMIT_INIT;
  g_auto (Current) current = { .dir_fd = dir_fd, .fd = -1 };
  Written written = { .fd = -1 };
  gint64 now_ns;
  int res;

  ttl_commit_begin (self->store->commits, self->bucket, dir_fd, self->backing,
                    self->append_from >= 0 || self->if_match[0] != '\0' ? TTL_COMMIT_EXCLUSIVE
                                                                        : TTL_COMMIT_SHARED,
                    &commit);
  now_ns = ttl_store_now (self->store);
  res = find_current (self, now_ns, &current);
  if (res == 0 && current.live && flags & TTL_PUBLISH_CREATE)
    res = -EEXIST;
  if (res == 0)
    res = check_condition (self, &current);
  if (res == 0)
    res = check_rights (self, &current);
  if (res == 0 && current.live && !self->written && self->base.st_ino == 0)
    {
      /* Who has created a key, and then has written nothing, has nothing to put over what somebody else has put meanwhile. */
      ttl_draft_restart (self, now_ns);
      return NOTHING_TO_PUT;
    }
  if (res == 0)
    res = make_copy (self, &current, &written);
  if (res == 0)
    res = finish_and_place (self, flags, &current);
  if (res != 0)
    {
      drop_copy (self, &written);
      return res;
    }
  drop_written (self, dir_fd, &written);
  settle (self, flags);
  *is_new_out = !current.live;
  if (current.entry.st.st_ino != self->base.st_ino)
    ttl_settings_drop_key (self->store->settings, self->bucket, self->backing,
                           current.entry.st.st_ino);
  return 0;
}

/* Peers that take no locks are quicker each time only on purpose. The lock is given up in between: others may wait for it. */
static int
publish_own (TtlDraft *self, TtlPublishFlags flags, int dir_fd, gboolean *is_new_out)
{
  int res = ANOTHER_CAME;

  for (int i = 0; i < ATTEMPTS && res == ANOTHER_CAME; i++)
    res = attempt (self, flags, dir_fd, is_new_out);
  return res == ANOTHER_CAME ? -EBUSY : res;
}

/* The slow part of a publication, before anybody has to wait for us. */
static int
prepare (TtlDraft *self, TtlPublishFlags flags)
{
  int res;

  if (flags & TTL_PUBLISH_SYNC)
    res = fdatasync (self->own_fd) < 0 ? -errno : 0;
  else
    res = write_content_first (self);
  if (res < 0)
    ttl_draft_spoil (self, -res);
  return res;
}

static int
publish (TtlDraft *self, TtlPublishFlags flags)
{
  const TtlAttrs touched = { .set_mtime = self->mtime_set, .mtime_ns = self->mtime_ns };
  g_autoptr (TtlDir) dir = NULL;
  gboolean is_new;
  int res;

  if (self->orphan)
    return 0;
  if (self->spoiled != 0)
    return -self->spoiled;
  if (!ttl_draft_is_dirty (self) && !(flags & TTL_PUBLISH_SYNC))
    return 0;
  res = ttl_bucket_open (self->bucket, &dir);
  if (res < 0)
    return res == -ESTALE ? -ENOENT : res; /* its bucket is gone: there is nowhere to put it */
  if (ttl_draft_is_dirty (self))
    {
      res = prepare (self, flags);
      if (res == 0)
        res = publish_own (self, flags, ttl_dir_fd (dir), &is_new);
      if (res == NOTHING_TO_PUT)
        return touched.set_mtime ? ttl_draft_set_attrs (self, &touched, ttl_store_now (self->store))
                                 : 0;
      if (res == 0 && self->store->observer != NULL)
        self->store->observer->published (self, is_new, self->store->observer->data);
      if (res == -ESTALE && self->if_match[0] != '\0')
        ttl_draft_discard (self); /* told now, and not tried again at the last close */
    }
  if (res < 0 || !(flags & TTL_PUBLISH_SYNC))
    return res;
  if (self->base_fd >= 0 && fsync (self->base_fd) < 0)
    return -errno;
  return sync_dir (ttl_dir_fd (dir));
}

int
ttl_draft_publish (TtlDraft *self, TtlPublishFlags flags)
{
  int res;

  if (flags & TTL_PUBLISH_LAST && self->refused)
    {
      ttl_draft_discard (self);
      self->refused = FALSE;
      return 0;
    }
  res = publish (self, flags);
  self->refused = res < 0 && ttl_draft_is_dirty (self);
  return res;
}
