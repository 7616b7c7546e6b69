/* store - a backing directory as buckets of keys with leases: the verbs that everything else is made of.
 *
 * Owns: the root's descriptor, the tree of buckets, the settings, and the three background threads (reaper, keeper,
 * watcher). Thread-safe: every function may be called from any thread. The locks it takes are commit locks (1) and
 * below, see lock.h.
 *
 * What always holds:
 *   - An entry whose deadline has come is absent for every verb, whether or not its file is still there.
 *   - A file that becomes a key's value is complete before it gets the key's name, and is never written to in
 *     place afterwards (a peer on the backing directory may; then the change is what the peer made it).
 *   - A file leaves a key's name for good only after it was looked at under a name that nobody else knows: a key
 *     renewed or replaced at that very moment survives.
 *
 * Names: @shown is one component as a user of the mount gives it; @backing is a backing name (keyname.h) of a key or of
 * scratch. Times: @now_ns is the caller's one reading of ttl_store_now(). Results: 0 or -errno. Besides those
 * named, every verb may return what the backing directory does: -EIO, -EROFS, -EMFILE, -EACCES, -ENOSPC, -EDQUOT, and
 * -ESTALE where the bucket's directory is not where it was; those that are given a @shown name, -EINVAL when it is
 * empty or has a slash in it; those that would change something, -EROFS where the store was opened read-only. */
#pragma once

#include "bucket.h"
#include "clock.h"
#include "duration.h"
#include "keyname.h"
#include "lease.h"
#include "root.h"

#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>

typedef struct TtlStore TtlStore;

typedef enum
{
  TTL_KEEPALIVE_NONE,  /* nothing is renewed */
  TTL_KEEPALIVE_HELD,  /* what is open for writing after its first publication */
  TTL_KEEPALIVE_OWNED, /* everything put through this store; removed when it is closed */
} TtlKeepalive;

typedef struct
{
  TtlDuration ttl; /* for what has none of its own or of a bucket around it; ns == 0 means 10 s */
  TtlKeepalive keepalive;
  TtlNames names;
  TtlRootFlags root_flags;
  gboolean
      background;  /* run reaper, keeper and watcher; off in tests that turn the clock by hand */
  TtlClock *clock; /* taken; NULL for the machine's clock */
} TtlStoreOptions;

/* NULL with @error set in words for a person. Free with ttl_store_close(). */
TtlStore *ttl_store_open (const char *path, const TtlStoreOptions *options, GError **error);
/* Stops the threads and, with TTL_KEEPALIVE_OWNED, removes what is still ours. All buckets and drafts must have
 * been given back. */
void ttl_store_close (TtlStore *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TtlStore, ttl_store_close)

gint64 ttl_store_now (const TtlStore *self);
const TtlRootCaps *ttl_store_caps (const TtlStore *self);
TtlNames ttl_store_names (const TtlStore *self);
gboolean ttl_store_is_read_only (const TtlStore *self);
/* A random number, the same for as long as the store is open: who we are to other FileStore processes. */
guint64 ttl_store_connection_id (const TtlStore *self);
TtlBucket *ttl_store_root (TtlStore *self); /* borrowed */
int ttl_store_statfs (TtlStore *self, struct statvfs *out);

/* What the background work has come to. Costs a few locks, whatever the number of keys. */
typedef struct
{
  gboolean scanning; /* the directories are being read: at the start, and after events were lost */
  guint64 scanned_names;   /* by that scan so far, or by the last one */
  guint64 scanned_dirs;    /* likewise */
  gint64 scan_ms;          /* how long it has taken, or took */
  guint64 indexed;         /* files whose end is known */
  guint64 removed;         /* files that have expired and were removed since the start */
  guint64 held;            /* leases that are renewed */
  guint64 watched, polled; /* directories; polled: inotify could not have any more */
} TtlStoreStatus;

void ttl_store_get_status (TtlStore *self, TtlStoreStatus *status_out);
/* The same in lines of a word and a number, as user.ttlfs.status of the root has it. Free with g_free(). */
char *ttl_store_dup_status (TtlStore *self);

/* ---- looking ---- */

typedef enum
{
  TTL_ENTRY_BUCKET,
  TTL_ENTRY_KEY,
  TTL_ENTRY_SCRATCH,
} TtlEntryKind;

typedef struct
{
  TtlEntryKind kind;
  TtlName backing; /* a bucket's name is the same in both places */
  struct stat st;
  TtlDuration ttl; /* in force now; ns == 0 for buckets: ttl_store_bucket_ttl() knows */
  TtlDuration own; /* of ttl_store_open_value() alone: the key's own; ns == 0: none, or not known */
  TtlDeadline deadline; /* TTL_DEADLINE_NEVER for buckets */
} TtlEntry;

/* What @shown stands for: a directory of exactly that name, or else the key. -ENOENT, -ENAMETOOLONG. */
int ttl_store_lookup (TtlStore *self, TtlBucket *bucket, const char *shown, gint64 now_ns,
                      TtlEntry *entry_out);
/* The key or scratch file called @backing; -ENOENT also for a directory. */
int ttl_store_stat (TtlStore *self, TtlBucket *bucket, const char *backing, gint64 now_ns,
                    TtlEntry *entry_out);
/* Only what the backing file system says of the file, expired or not. -ENOENT. */
int ttl_store_stat_file (TtlStore *self, TtlBucket *bucket, const char *backing,
                         struct stat *st_out);
int ttl_store_stat_bucket (TtlStore *self, TtlBucket *bucket, struct stat *st_out);
/* Opens the current version for reading; it stays that version whatever happens to the key. On 0 *@fd_out is the
 * caller's and *@entry_out describes that very file. */
int ttl_store_open_value (TtlStore *self, TtlBucket *bucket, const char *backing, gint64 now_ns,
                          int *fd_out, TtlEntry *entry_out);

/* ---- changing names ---- */

/* Who makes a file or bucket, and its mode (the umask already applied). */
typedef struct
{
  uid_t uid;
  gid_t gid;
  mode_t mode;
  pid_t tid; /* a thread of theirs, for their other groups; 0: none that we can see */
} TtlOwner;

/* What the kernel has checked of a key, where its name may stand for another version by now (access.h); NULL: nothing is to be
 * asked. Who is not allowed the same with that one gets -EACCES or -EPERM. */
typedef struct TtlAccess TtlAccess;

/* Buckets nest as deep as a path can name them (PATH_MAX); what a peer made deeper is served, but not added to. */
#define TTL_DEPTH_MAX 2048
/* -EEXIST when a bucket or a live key is shown under that name, -ENAMETOOLONG, -EPERM for the reserved name.
 * A name is a bucket's even where no key could be called so (lookup() has -ENAMETOOLONG for it while it is absent). */
int ttl_store_mkdir (TtlStore *self, TtlBucket *parent, const char *name, const TtlOwner *owner,
                     gint64 now_ns, TtlBucket **bucket_out);
/* Expired keys, scratch and claims, live or not, do not keep a bucket: nobody can see them. What a user can see does, and
 * so does what is foreign; then nothing is removed. -ENOTEMPTY, -ENOENT, -ENOTDIR. */
int ttl_store_rmdir (TtlStore *self, TtlBucket *parent, const char *name, gint64 now_ns);
/* Deletes a key or scratch file. -ENOENT when it is absent or expired. */
int ttl_store_delete (TtlStore *self, TtlBucket *bucket, const char *backing, gint64 now_ns);
/* rename(2) of whatever @from_shown stands for, @flags as for renameat2: 0, RENAME_NOREPLACE or RENAME_EXCHANGE
 * (others -EINVAL). A key keeps its lease; scratch that becomes a key is published now. Errors as rename(2), and -EPERM
 * where something foreign has the name. */
int ttl_store_rename (TtlStore *self, TtlBucket *from, const char *from_shown, TtlBucket *to,
                      const char *to_shown, unsigned flags, gint64 now_ns);
/* link(2): one winner among all mounts and peers, decided here. -EEXIST, -ENOENT, -EMLINK, -EPERM. *@linked_out, which may
 * be NULL, gets what the new name stands for, also when somebody has removed it again by the time this returns. */
int ttl_store_link (TtlStore *self, TtlBucket *from, const char *from_backing, TtlBucket *to,
                    const char *to_shown, gint64 now_ns, const TtlAccess *access,
                    TtlEntry *linked_out);

/* ---- attributes of what has a name ---- */

typedef struct
{
  const TtlAccess *access; /* may be NULL */
  gboolean set_mode, set_uid, set_gid, set_atime, set_mtime;
  mode_t mode;
  uid_t uid;
  gid_t gid;
  gint64 atime_ns;
  gint64 mtime_ns; /* a renewal; what would end the lease is taken as "now" */
} TtlAttrs;

/* @backing NULL: the bucket itself. */
int ttl_store_set_attrs (TtlStore *self, TtlBucket *bucket, const char *backing,
                         const TtlAttrs *attrs, gint64 now_ns);

/* The same of the version of @backing that is open as @fd, which may have lost its name since: then they are its own
 * affair. -ENOENT for a renewal after its lease has ended, while its file still stands. */
int ttl_store_set_attrs_of_open (TtlStore *self, TtlBucket *bucket, const char *backing, int fd,
                                 const TtlAttrs *attrs, gint64 now_ns);

/* User xattrs, with the virtual ones (user.ttlfs.ttl, .remaining, .expires, .revision; .status of the root). @backing NULL: the bucket itself.
 * get, list: the length, also when @size is 0; -ERANGE when @size is too small; -ENODATA; -ENOTSUP for a name space
 * that is not user. set: @flags as for setxattr(2); -EINVAL for a TTL that does not parse; -EPERM for what is read-only;
 * -EBADF for user.ttlfs.if-match, which a draft has. */
ssize_t ttl_store_get_xattr (TtlStore *self, TtlBucket *bucket, const char *backing,
                             const char *name, void *value_out, gsize size, gint64 now_ns,
                             const TtlAccess *access);
ssize_t ttl_store_list_xattr (TtlStore *self, TtlBucket *bucket, const char *backing,
                              char *names_out, gsize size, gint64 now_ns);
int ttl_store_set_xattr (TtlStore *self, TtlBucket *bucket, const char *backing, const char *name,
                         const void *value, gsize size, int flags, gint64 now_ns,
                         const TtlAccess *access);
int ttl_store_remove_xattr (TtlStore *self, TtlBucket *bucket, const char *backing,
                            const char *name, gint64 now_ns, const TtlAccess *access);

/* The TTL that keys of @bucket without one of their own have now. */
void ttl_store_bucket_ttl (TtlStore *self, TtlBucket *bucket, TtlDuration *ttl_out);
/* -EINVAL below 50 ms. NULL: inherit again. */
int ttl_store_set_bucket_ttl (TtlStore *self, TtlBucket *bucket, const TtlDuration *own);

/* ---- listing ---- */

typedef struct TtlList TtlList;

typedef struct
{
  TtlName shown;   /* "." and ".." are among them */
  TtlEntry entry;  /* for "." and ".." only st.st_ino and st.st_mode are set */
  gint64 next_off; /* what ttl_list_seek() takes to go on behind this one */
} TtlListItem;

int ttl_store_list (TtlStore *self, TtlBucket *bucket, TtlList **list_out);
void ttl_list_free (TtlList *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TtlList, ttl_list_free)
/* @offset 0 starts again and sees what has changed since. */
void ttl_list_seek (TtlList *self, gint64 offset);
/* 1 with *@item_out filled, 0 at the end. Not thread-safe: one user at a time. Whatever was there from before
 * the list was opened until it is read to the end, and is live when it is reached, appears exactly once;
 * on btrfs, and in the largest directories on tmpfs, a key that is put over at that very moment may be missed. */
int ttl_list_next (TtlList *self, gint64 now_ns, TtlListItem *item_out);
int ttl_list_sync (TtlList *self); /* fsync of the directory */
