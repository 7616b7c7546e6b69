/* rename - names that move and names that are added, with the rules of rename(2) and link(2) for what a user sees. */
#define G_LOG_DOMAIN "ttlfs"
#include "store-private.h"

#include "access.h"
#include "cleanup.h"
#include "keeper.h"
#include "reaper.h"
#include "revision.h"

#include <fcntl.h>
#include <stdio.h>

/* One end of a rename: what is there, and what it is called in the backing directory. */
typedef struct
{
  TtlBucket *bucket;
  TtlDir *dir; /* borrowed */
  TtlEntry entry;
  gboolean exists;
} End;

static int
find_end (TtlStore *self, TtlBucket *bucket, TtlDir *dir, const char *shown, gint64 now_ns,
          End *end)
{
  int res = ttl_store_check_reserved (bucket, shown);

  end->bucket = bucket;
  end->dir = dir;
  if (res < 0)
    return res;
  res = ttl_store_lookup (self, bucket, shown, now_ns, &end->entry);
  end->exists = res == 0;
  return res;
}

static int
renew_now (int dir_fd, const char *name, gint64 now_ns)
{
  const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, ttl_ns_timespec (now_ns) };

  return utimensat (dir_fd, name, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static ino_t
inode_of (int dir_fd, const char *name)
{
  struct stat st;

  return fstatat (dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? 0 : st.st_ino;
}

/* What the index, the keeper and the settings know of a key moves with it; @replaced is the file that it took the
 * place of. */
static void
follow (TtlStore *self, const End *from, const char *from_backing, const End *to,
        const char *to_backing, ino_t replaced)
{
  ttl_settings_drop_key (self->settings, from->bucket, from_backing, from->entry.st.st_ino);
  if (replaced != from->entry.st.st_ino)
    ttl_settings_drop_key (self->settings, to->bucket, to_backing, replaced);
  ttl_reaper_forget (self->reaper, from->bucket, from_backing);
  ttl_keeper_own_moved (self->keeper, from->bucket, from_backing, to->bucket, to_backing);
}

/* The time is taken when the locks have been had: what has waited for longer than a TTL would be published expired. */
static int
rename_key (TtlStore *self, End *from, End *to, unsigned flags)
{
  g_auto (TtlCommit) commit = TTL_COMMIT_INIT;
  int from_fd = ttl_dir_fd (from->dir), to_fd = ttl_dir_fd (to->dir);
  const char *a = from->entry.backing, *b = to->entry.backing;
  gboolean publishes = from->entry.kind == TTL_ENTRY_SCRATCH && to->entry.kind == TTL_ENTRY_KEY;
  ino_t replaced;
  gint64 now_ns;
  int res;

  ttl_commit_begin_two (self->commits, from->bucket, from_fd, a, to->bucket, to_fd, b, &commit);
  now_ns = ttl_store_now (self);
  res = ttl_store_examine (self, from->bucket, from_fd, a, now_ns, &from->entry);
  if (res == 0 && !(flags & RENAME_NOREPLACE))
    res = ttl_store_check_place (self, to_fd, b);
  if (res == 0 && publishes)
    res = renew_now (from_fd, a, now_ns);
  if (res < 0)
    return res;
  replaced = inode_of (to_fd, b);
  if (from->entry.kind == TTL_ENTRY_KEY)
    ttl_revision_renew (from_fd, a);
  ttl_settings_copy_key (self->settings, from->bucket, a, to->bucket, b, from->entry.st.st_ino);
  if (flags & RENAME_NOREPLACE)
    {
      res = ttl_store_remove_expired (self, to->bucket, to_fd, b, now_ns);
      if (res == 0)
        res = ttl_rename_noreplace (from_fd, a, to_fd, b);
      else if (res == -EBUSY)
        res = -EEXIST;
    }
  else
    res = renameat (from_fd, a, to_fd, b) < 0 ? -errno : 0;
  if (res < 0)
    {
      if (replaced != from->entry.st.st_ino)
        ttl_settings_drop_key (self->settings, to->bucket, b, from->entry.st.st_ino);
      return res;
    }
  follow (self, from, a, to, b, replaced);
  ttl_reaper_look (self->reaper, to->bucket, b);
  if (publishes)
    {
      ttl_autofd fd = openat (to_fd, b, O_PATH | O_NOFOLLOW | O_CLOEXEC);
      if (fd >= 0)
        ttl_keeper_own (self->keeper, to->bucket, b, fd);
    }
  return 0;
}

/* rename(2) of two names of one file does nothing, and succeeds. */
static gboolean
is_same_file (const End *from, const End *to)
{
  return to->exists && from->entry.st.st_ino == to->entry.st.st_ino
         && from->entry.kind != TTL_ENTRY_BUCKET && to->entry.kind != TTL_ENTRY_BUCKET;
}

/* Below a bucket that has moved other TTLs may hold; and where its own stands beside it, somebody may have looked for it
 * while it was on its way. */
static void
inherit_anew (TtlStore *self, TtlBucket *bucket)
{
  ttl_bucket_forget_ttl (bucket);
  ttl_keeper_recheck (self->keeper);
  ttl_reaper_rescan (self->reaper, bucket);
}

static int
rename_bucket (TtlStore *self, End *from, End *to, unsigned flags, gint64 now_ns)
{
  g_autoptr (TtlBucket) moving = NULL;
  g_autofree char *from_path = NULL;
  g_autofree char *to_path = NULL;
  const char *name = to->entry.backing;
  int res = ttl_bucket_get_child (from->bucket, from->entry.backing, &moving);

  if (res < 0)
    return res;
  if (ttl_bucket_is_within (to->bucket, moving))
    return -EINVAL;
  if (to->exists)
    {
      if (flags & RENAME_NOREPLACE)
        return -EEXIST;
      if (to->entry.kind != TTL_ENTRY_BUCKET)
        return -ENOTDIR;
      if (to->entry.st.st_ino == from->entry.st.st_ino)
        return 0;
      /* If the rename then fails, an empty bucket is gone, and nothing of a user's is lost. */
      res = ttl_store_rmdir (self, to->bucket, name, now_ns);
      if (res < 0 && res != -ENOENT)
        return res;
    }
  else
    (void)ttl_store_remove_expired (self, to->bucket, ttl_dir_fd (to->dir), name, now_ns);

  from_path = ttl_bucket_dup_path (moving);
  res = ttl_rename_noreplace (ttl_dir_fd (from->dir), from->entry.backing, ttl_dir_fd (to->dir),
                              name);
  if (res < 0)
    return res;
  ttl_bucket_moved (moving, to->bucket, name);
  to_path = ttl_bucket_dup_path (moving);
  ttl_settings_move_bucket (self->settings, from_path, to_path);
  inherit_anew (self, moving);
  return 0;
}

static int
exchange_names (const End *from, const End *to)
{
  return renameat2 (ttl_dir_fd (from->dir), from->entry.backing, ttl_dir_fd (to->dir),
                    to->entry.backing, RENAME_EXCHANGE)
                 < 0
             ? -errno
             : 0;
}

static int
exchange_buckets (TtlStore *self, const End *from, const End *to)
{
  g_autoptr (TtlBucket) a = NULL;
  g_autoptr (TtlBucket) b = NULL;
  g_autofree char *a_path = NULL;
  g_autofree char *b_path = NULL;
  int res = ttl_bucket_get_child (from->bucket, from->entry.backing, &a);

  if (res == 0)
    res = ttl_bucket_get_child (to->bucket, to->entry.backing, &b);
  if (res < 0)
    return res;
  if (a == b)
    return 0;
  if (ttl_bucket_is_within (to->bucket, a) || ttl_bucket_is_within (from->bucket, b))
    return -EINVAL;
  a_path = ttl_bucket_dup_path (a);
  b_path = ttl_bucket_dup_path (b);
  res = exchange_names (from, to);
  if (res < 0)
    return res;
  ttl_bucket_moved (a, to->bucket, to->entry.backing);
  ttl_bucket_moved (b, from->bucket, from->entry.backing);
  ttl_settings_exchange_buckets (self->settings, a_path, b_path);
  inherit_anew (self, a);
  inherit_anew (self, b);
  return 0;
}

/* Scratch that comes to stand under a key's name is published by it. */
static int
exchange_keys (TtlStore *self, End *from, End *to)
{
  g_auto (TtlCommit) commit = TTL_COMMIT_INIT;
  int from_fd = ttl_dir_fd (from->dir), to_fd = ttl_dir_fd (to->dir);
  const char *a = from->entry.backing, *b = to->entry.backing;
  ino_t a_ino, b_ino;
  gint64 now_ns;
  int res;

  ttl_commit_begin_two (self->commits, from->bucket, from_fd, a, to->bucket, to_fd, b, &commit);
  now_ns = ttl_store_now (self);
  res = ttl_store_examine (self, from->bucket, from_fd, a, now_ns, &from->entry);
  if (res == 0)
    res = ttl_store_examine (self, to->bucket, to_fd, b, now_ns, &to->entry);
  if (res == 0 && from->entry.kind != to->entry.kind)
    res = from->entry.kind == TTL_ENTRY_SCRATCH ? renew_now (from_fd, a, now_ns)
                                                : renew_now (to_fd, b, now_ns);
  if (res < 0)
    return res;
  a_ino = from->entry.st.st_ino;
  b_ino = to->entry.st.st_ino;
  ttl_revision_renew (from_fd, a);
  ttl_revision_renew (to_fd, b);
  ttl_settings_copy_key (self->settings, from->bucket, a, to->bucket, b, a_ino);
  ttl_settings_copy_key (self->settings, to->bucket, b, from->bucket, a, b_ino);
  res = exchange_names (from, to);
  if (res < 0)
    return res;
  if (a_ino != b_ino)
    {
      ttl_settings_drop_key (self->settings, from->bucket, a, a_ino);
      ttl_settings_drop_key (self->settings, to->bucket, b, b_ino);
    }
  ttl_reaper_look (self->reaper, from->bucket, a);
  ttl_reaper_look (self->reaper, to->bucket, b);
  ttl_keeper_own_exchanged (self->keeper, from->bucket, a, to->bucket, b);
  return 0;
}

/* Both must exist. Two keys or two buckets, not one of each. */
static int
exchange (TtlStore *self, End *from, End *to)
{
  if ((from->entry.kind == TTL_ENTRY_BUCKET) != (to->entry.kind == TTL_ENTRY_BUCKET))
    return -EINVAL;
  return from->entry.kind == TTL_ENTRY_BUCKET ? exchange_buckets (self, from, to)
                                              : exchange_keys (self, from, to);
}

int
ttl_store_rename (TtlStore *self, TtlBucket *from_bucket, const char *from_shown,
                  TtlBucket *to_bucket, const char *to_shown, unsigned flags, gint64 now_ns)
{
  g_autoptr (TtlDir) from_dir = NULL;
  g_autoptr (TtlDir) to_dir = NULL;
  End from, to;
  int res = ttl_store_check_writable (self);

  if (flags != 0 && flags != RENAME_NOREPLACE && flags != RENAME_EXCHANGE)
    return -EINVAL;
  if (res == 0)
    res = ttl_bucket_open (from_bucket, &from_dir);
  if (res == 0)
    res = ttl_bucket_open (to_bucket, &to_dir);
  if (res == 0)
    res = find_end (self, from_bucket, from_dir, from_shown, now_ns, &from);
  if (res < 0)
    return res;
  res = find_end (self, to_bucket, to_dir, to_shown, now_ns, &to);
  if (res == -ENAMETOOLONG && from.entry.kind == TTL_ENTRY_BUCKET
      && strlen (to_shown) <= TTL_NAME_MAX)
    res = -ENOENT; /* too long for a key, not for a bucket */
  if (res < 0 && res != -ENOENT)
    return res;
  if (flags & RENAME_EXCHANGE)
    return to.exists ? exchange (self, &from, &to) : -ENOENT;

  if (from.entry.kind == TTL_ENTRY_BUCKET)
    {
      if (ttl_store_is_dots (to_shown))
        return -EINVAL;
      if (!to.exists)
        g_strlcpy (to.entry.backing, to_shown, sizeof (TtlName));
      return rename_bucket (self, &from, &to, flags, now_ns);
    }
  if (to.exists && flags & RENAME_NOREPLACE)
    return -EEXIST;
  if (to.exists && to.entry.kind == TTL_ENTRY_BUCKET)
    return -EISDIR;
  if (is_same_file (&from, &to))
    return 0;
  if (!to.exists)
    {
      res = ttl_keyname_from_shown (self->options.names, to_shown, to.entry.backing);
      if (res < 0)
        return res;
      to.entry.kind = ttl_keyname_kind (self->options.names, to.entry.backing) == TTL_NAME_SCRATCH
                          ? TTL_ENTRY_SCRATCH
                          : TTL_ENTRY_KEY;
    }
  return rename_key (self, &from, &to, flags);
}

int
ttl_store_link (TtlStore *self, TtlBucket *from, const char *from_backing, TtlBucket *to,
                const char *to_shown, gint64 now_ns, const TtlAccess *access, TtlEntry *linked_out)
{
  g_autoptr (TtlDir) from_dir = NULL;
  g_autoptr (TtlDir) to_dir = NULL;
  g_auto (TtlCommit) commit = TTL_COMMIT_INIT;
  TtlName backing;
  TtlEntry entry;
  int res = ttl_store_check_writable (self);

  if (res == 0)
    res = ttl_bucket_open (from, &from_dir);
  if (res == 0)
    res = ttl_bucket_open (to, &to_dir);
  if (res == 0)
    res = ttl_store_check_reserved (to, to_shown);
  if (res == 0)
    res = ttl_keyname_from_shown (self->options.names, to_shown, backing);
  if (res < 0)
    return res;
  if (ttl_store_lookup (self, to, to_shown, now_ns, &entry) == 0)
    return -EEXIST;

  ttl_commit_begin_two (self->commits, from, ttl_dir_fd (from_dir), from_backing, to,
                        ttl_dir_fd (to_dir), backing, &commit);
  now_ns = ttl_store_now (self);
  res = ttl_store_examine (self, from, ttl_dir_fd (from_dir), from_backing, now_ns, &entry);
  if (res == 0)
    res = ttl_access_check (access, &entry.st);
  if (res == 0)
    res = ttl_store_remove_expired (self, to, ttl_dir_fd (to_dir), backing, now_ns);
  if (res < 0)
    return res == -EBUSY ? -EEXIST : res;
  if (entry.kind == TTL_ENTRY_SCRATCH
      && ttl_keyname_kind (self->options.names, backing) == TTL_NAME_KEY
      && (res = renew_now (ttl_dir_fd (from_dir), from_backing, now_ns)) < 0)
    return res;
  if (entry.kind == TTL_ENTRY_KEY)
    ttl_revision_renew (ttl_dir_fd (from_dir), from_backing);
  ttl_settings_copy_key (self->settings, from, from_backing, to, backing, entry.st.st_ino);
  if (linkat (ttl_dir_fd (from_dir), from_backing, ttl_dir_fd (to_dir), backing, 0) < 0)
    {
      res = -errno;
      if (inode_of (ttl_dir_fd (to_dir), backing) != entry.st.st_ino)
        ttl_settings_drop_key (self->settings, to, backing, entry.st.st_ino);
      return res;
    }
  ttl_reaper_look (self->reaper, to, backing);
  if (entry.kind == TTL_ENTRY_SCRATCH)
    {
      ttl_autofd fd = openat (ttl_dir_fd (to_dir), backing, O_PATH | O_NOFOLLOW | O_CLOEXEC);
      if (fd >= 0)
        ttl_keeper_own (self->keeper, to, backing, fd);
    }
  if (linked_out != NULL)
    {
      entry.st.st_nlink++;
      *linked_out = entry;
      g_strlcpy (linked_out->backing, backing, sizeof (TtlName));
    }
  return 0;
}
