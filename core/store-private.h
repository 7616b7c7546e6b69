/* store-private - what the modules that make up the store share among themselves. Not for fs/ or tests of behaviour. */
#pragma once

#include "commit.h"
#include "expiry.h"
#include "settings.h"
#include "store.h"

typedef struct TtlReaper TtlReaper;
typedef struct TtlKeeper TtlKeeper;
typedef struct TtlWatcher TtlWatcher;

struct TtlDraftObserver; /* draft.h */

struct TtlStore /* everything is constant after ttl_store_open(); what changes has its own lock */
{
  TtlClock *clock;
  TtlStoreOptions options;
  TtlRootCaps caps;
  guint64 connection_id;
  char *root_path; /* absolute */
  int root_fd; /* the number; another directory may come to stand behind it, see ttl_store_find_root() */
  pthread_mutex_t lost_lock; /* outside of every order: held while the root is looked for */
  gint64 lost_us;            /* when it was looked for last; guarded by lost_lock */
  int mount; /* the one that the root was opened through, -1 if not known; guarded by lost_lock */
  gboolean root_is_mount; /* the root is where something is mounted */
  TtlTree *tree;
  TtlSettings *settings;
  TtlCommits *commits;
  TtlReaper *reaper;
  TtlKeeper *keeper;
  TtlWatcher *watcher;               /* NULL without background threads */
  struct TtlDraftObserver *observer; /* owned; NULL: none */
};

/* Which file a name stands for: survives a rename, and is not mistaken for a later file with the same inode number
 * where the file system records when files were made. */
typedef struct
{
  ino_t ino;
  gint64 born_ns; /* 0 where it is not known */
} TtlIdentity;

int ttl_identity_of_fd (int fd, TtlIdentity *identity_out);
/* Both at once. @st_out: number, mode, links, size and times. */
int ttl_identity_and_stat (int fd, TtlIdentity *identity_out, struct stat *st_out);
int ttl_identity_of_name (int dir_fd, const char *name, TtlIdentity *identity_out);
gboolean ttl_identity_equal (const TtlIdentity *a, const TtlIdentity *b);

/* core/lost.c: a TtlTreeLost, @data being the store. */
int ttl_store_find_root (gpointer data);
/* What is mounted has changed. TRUE when the root is not among it any more. */
gboolean ttl_store_mounts_changed (TtlStore *self);

/* A new scratch name, unlike any other. */
void ttl_scratch_name (const char *purpose, TtlName name_out);

/* When the file @st was renewed last: its mtime, by today's clock where that has been set since. */
gint64 ttl_store_renewed (TtlStore *self, const struct stat *st);

/* The lease of the file @st called @backing: fills ttl and deadline. A claim (symlink) has its bucket's TTL. */
void ttl_store_lease_of (TtlStore *self, TtlBucket *bucket, int dir_fd, const char *backing,
                         const struct stat *st, TtlDuration *ttl_out, TtlDeadline *deadline_out);

/* The same for one of many in a bucket whose TTL has just been asked for. */
TtlDeadline ttl_store_deadline_in (TtlStore *self, TtlBucket *bucket, const TtlDuration *bucket_ttl,
                                   int dir_fd, const char *backing, const struct stat *st);

/* Looks at @backing in an open directory: -ENOENT when absent (then
 * entry_out->st.st_ino is 0), expired, or not a regular file of ours. */
int ttl_store_examine (TtlStore *self, TtlBucket *bucket, int dir_fd, const char *backing,
                       gint64 now_ns, TtlEntry *entry_out);

/* The same for who holds no commit lock: to judge a file a reaper takes it off its name, and puts it back if it is live after
 * all, so what is absent is looked for once more when none is doing that. */
int ttl_store_examine_twice (TtlStore *self, TtlBucket *bucket, int dir_fd, const char *backing,
                             gint64 now_ns, TtlEntry *entry_out);

/* -EPERM when @shown is the reserved name at the root. */
int ttl_store_check_reserved (TtlBucket *bucket, const char *shown);
/* -EINVAL when @shown is empty or has a slash in it, and would lead out of its bucket. */
int ttl_store_check_component (const char *shown);
/* Whether @shown is "." or "..". */
gboolean ttl_store_is_dots (const char *shown);
/* -EROFS when nothing may be changed through this store. */
int ttl_store_check_writable (TtlStore *self);
/* Whether a value may take the name @backing: -EISDIR when a directory has it, -EPERM when something else does that is
 * neither a value nor a claim, and is therefore left alone. */
int ttl_store_check_place (TtlStore *self, int dir_fd, const char *backing);

/* The TTL of the file that @st is of, where it has @ttl_ns by its own or its bucket's. */
gint64 ttl_store_ttl_of (const struct stat *st, gint64 ttl_ns);

/* An expired file that was taken off its name. */
typedef struct
{
  TtlName name;      /* what it is called until it is judged */
  struct stat seen;  /* as it was when it was condemned: the renaming has changed its ctime */
  gboolean replaced; /* another file has had its name since: it does not come back */
} TtlCapture;

/* Removes the file called @backing if it has expired (whatever it is: key, scratch or claim), never a live one.
 * 0 when the name is free now, -EBUSY when something live stands there, -errno. The commit lock may be held. */
int ttl_store_remove_expired (TtlStore *self, TtlBucket *bucket, int dir_fd, const char *backing,
                              gint64 now_ns);
/* The same in two steps, for whoever has time: a peer's utimensat() may have found the file before its name went.
 * capture: 0 with the name that it has until judge(), -EBUSY, -ENOENT (the name is free), -errno.
 * judge: 0 when it is gone, -EBUSY when it turned out to be live and is back under its name, -errno (likewise). */
int ttl_store_capture_expired (TtlStore *self, TtlBucket *bucket, int dir_fd, const char *backing,
                               gint64 now_ns, TtlCapture *capture_out);
int ttl_store_judge_captured (TtlStore *self, TtlBucket *bucket, int dir_fd, const char *backing,
                              gint64 now_ns, const TtlCapture *capture);
/* Whether @name is one that capture() gives. */
gboolean ttl_store_is_captured (const char *name);
/* The same of this store's: whoever captured it also sees to what becomes of it. */
gboolean ttl_store_has_captured (const TtlStore *self, const char *name);
/* Removes the file called @backing if it still is @identity. 0, -ENOENT when it is gone or another. */
int ttl_store_remove_identity (TtlStore *self, TtlBucket *bucket, int dir_fd, const char *backing,
                               const TtlIdentity *identity);
/* renameat2 (RENAME_NOREPLACE), or link and unlink where the file system cannot. */
int ttl_rename_noreplace (int from_fd, const char *from, int to_fd, const char *to);

/* Says once that peers cannot follow a TTL below one second. */
void ttl_store_note_ttl (const TtlDuration *ttl);

/* Whether the symlink @st called @backing is a claim of a mount (draft.h), which ends with its lease. */
gboolean ttl_store_is_claim (TtlStore *self, int dir_fd, const char *backing);

/* Whether a regular file with a value stands under @backing (a claim does not count), expired or not. */
gboolean ttl_store_has_value (TtlStore *self, TtlBucket *bucket, const char *backing);

/* Says once of each name that is neither a bucket nor a key that it was found, and left alone. */
void ttl_store_note_foreign (TtlBucket *bucket, const char *name);
