/* fs - the file system that one mount serves: what its operations share.
 *
 * Owns the store, the nodes, the locks, and the set of open handles (guarded by handles_lock, within
 * which are only a node's lock and that of the order). Everything else is
 * constant once the session runs. An operation reads the clock once, asks the node for its place, calls one verb of
 * core, and replies; it holds no lock when it replies. */
#pragma once

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

#include "handle.h"
#include "helpers.h"
#include "locks.h"
#include "node.h"
#include "order.h"
#include "promise.h"
#include "prune.h"
#include "store.h"

typedef struct
{
  TtlStore *store;
  TtlNodes *nodes;
  TtlLocks *locks;
  TtlPrune *prune;
  TtlPromises *promises;
  gboolean no_cache; /* make none; set before the session runs */
  TtlOrder *order;
  TtlHelpers *helpers; /* while the session runs */
  dev_t dev;           /* of the mount; 0: not known. Set before the session runs */
  gboolean over_uring; /* set in the kernel's greeting, as is what follows */
  gboolean uring_offered;
  pthread_mutex_t waits_lock;
  GQueue waits;   /* ops-lock.c's; guarded by waits_lock */
  guint listener; /* at the watcher, for what is removed; 0: none */
  pthread_mutex_t handles_lock;
  GHashTable *handles; /* set of TtlHandle; guarded by handles_lock; whoever removes one frees it */
  GHashTable *dirs;    /* set of TtlDirHandle; likewise */
  void (*ready) (gpointer data); /* called once, when the kernel has greeted us */
  gpointer ready_data;
} TtlFs;

/* @store is taken. */
TtlFs *ttl_fs_new (TtlStore *store);
/* Drops what is still open, unpublished, but for what has been closed. */
void ttl_fs_free (TtlFs *self);

/* The operations; the session's user data is the TtlFs. */
extern const struct fuse_lowlevel_ops ttl_fs_ops;

static inline TtlFs *
ttl_fs_of (fuse_req_t req)
{
  return fuse_req_userdata (req);
}

static inline pid_t
ttl_fs_caller (fuse_req_t req)
{
  return fuse_req_ctx (req)->pid;
}

/* The handle that an OPEN or CREATE gave the kernel. */
static inline TtlHandle *
ttl_fs_handle (const struct fuse_file_info *fi)
{
  return (TtlHandle *)(uintptr_t)fi->fh; /* NOLINT(performance-no-int-to-ptr) */
}

/* What a lock request asks for. */
TtlLock ttl_fs_posix_lock (const struct fuse_file_info *fi, const struct flock *from);
TtlLock ttl_fs_flock (fuse_req_t req, const struct fuse_file_info *fi, int op);

/* A pinned node, or NULL after an ESTALE has been replied: then @req is gone, and what an operation wants to know of it,
 * it has to ask before. */
TtlNode *ttl_fs_get_node (fuse_req_t req, fuse_ino_t ino);
/* The same for a directory: also its bucket, a reference; ENOTDIR is replied when it is none. */
TtlBucket *ttl_fs_get_bucket (fuse_req_t req, fuse_ino_t ino);

/* Whether an OPEN or CREATE with these flags may change the content. */
static inline gboolean
ttl_fs_wants_to_write (int flags)
{
  return (flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC;
}

/* Opens for writing what the name stands for, which need not be what the kernel has checked by way of @node (NULL: nothing, since it
 * has seen no such key). @flags, @maker and @owner: as ttl_draft_open_found(), whose errors these are, and -EACCES. */
int ttl_fs_open_draft (TtlFs *self, TtlNode *node, TtlBucket *bucket, const char *backing,
                       int flags, const TtlOwner *maker, const TtlOwner *owner,
                       TtlDraft **draft_out);

/* Who a file or bucket made by this request belongs to. */
TtlOwner ttl_fs_owner (fuse_req_t req, mode_t mode);

/* The attributes of @node as thread @tid may see them, and for how long the kernel is promised them, in seconds. 0 or -errno;
 * -ESTALE: a path that leads to it has to be looked up again. */
int ttl_fs_stat (TtlFs *self, TtlNode *node, pid_t tid, gint64 now_ns, struct stat *st_out,
                 double *timeout_out);

/* The writer whose draft thread @tid's request about @node is about, a reference; NULL: about what has the name. */
TtlWriter *ttl_fs_dup_writer (TtlFs *self, TtlNode *node, pid_t tid);

/* ---- promises to the kernel (promise.h) ---- */

/* (bucket, backing) was changed by a request or beside the mount: what was promised of it is taken back. @told: a node whose
 * attributes the reply tells, or NULL. @entry: what stands there now. */
void ttl_fs_changed (TtlFs *self, TtlBucket *bucket, const char *backing, const TtlNode *told,
                     const TtlEntry *entry, gint64 now_ns);
/* The same by who does not know what stands there now: its attributes or its TTL were changed. */
void ttl_fs_lease_changed (TtlFs *self, TtlBucket *bucket, const char *backing, const TtlNode *told,
                           gint64 now_ns);
/* The attributes of a bucket have changed; @soon: it will do if that shows in some milliseconds. */
void ttl_fs_bucket_changed (TtlFs *self, TtlBucket *bucket, gboolean soon);
/* The reply tells the kernel what stands under that name now. TRUE: it was promised that nothing does. */
gboolean ttl_fs_told_name (TtlFs *self, TtlBucket *bucket, const char *name, const char *backing);
/* A request has removed or replaced the key by its name. The kernel learns of that by the reply, but others may use what it
 * remembers until then, and must not find the old version after they have put a new one. */
void ttl_fs_key_gone (TtlFs *self, TtlBucket *bucket, const char *backing);
/* The kernel knows that what it calls @name is gone: which is not all that it knows where that is not the name that is shown. */
void ttl_fs_name_gone (TtlFs *self, TtlBucket *bucket, const char *name, const char *backing);
/* A writer of the key has something unpublished, and its node has been given the writer. It will be published by a RELEASE
 * for which nobody waits; what is asked of us afterwards we answer in order, and what the kernel knows by itself would be
 * old: so nothing is promised of the key until then (ttl_node_promise() sees to that), and what was, is taken back. */
void ttl_fs_draft_begun (TtlFs *self, TtlBucket *bucket, const char *backing);
/* Thread @tid has asked about a node that no path leads to by now: TRUE when it is to be answered ESTALE and to look up again. FALSE
 * when it has a descriptor of it, for which nothing is looked up: one by O_PATH, or else we would have seen an OPEN. (Should it
 * come by the path all the same, it is told once more what was; no path leads there from then on.) */
gboolean ttl_fs_send_back (TtlFs *self, TtlNode *node, pid_t tid);
/* The key's value node for the version @st, as ttl_nodes_ensure_value(). */
TtlNode *ttl_fs_ensure_value (TtlFs *self, TtlBucket *bucket, const char *backing,
                              const struct stat *st);
/* Takes back what has to be. */
void ttl_fs_recall (TtlFs *self, const TtlRecall *recall);
/* For how long an entry may be promised, monotonic microseconds. */
gint64 ttl_fs_promise_until_us (TtlDeadline deadline, gint64 now_ns);
/* Promises what a listing of @bucket tells of a key or bucket, if nothing has changed since @stamp. */
void ttl_fs_promise_listed (TtlFs *self, TtlNode *node, TtlBucket *bucket, const TtlListItem *item,
                            const TtlStamp *stamp, struct fuse_entry_param *entry_out);

/* What @name in @bucket is for this caller, told to the kernel: the node, which the reply owns, in *@entry_out. */
int ttl_fs_lookup (TtlFs *self, TtlBucket *bucket, const char *name, pid_t tid, gint64 now_ns,
                   struct fuse_entry_param *entry_out);

/* Tells the kernel of a key or bucket that this request has just made: it is made even if somebody has removed it since. */
void ttl_fs_tell_key (TtlFs *self, TtlBucket *bucket, const char *backing, const struct stat *st,
                      pid_t tid, struct fuse_entry_param *entry_out);
void ttl_fs_tell_bucket (TtlFs *self, TtlBucket *bucket, mode_t mode,
                         struct fuse_entry_param *entry_out);

/* The backing name of a key called @name. -EPERM for the reserved name, -ENAMETOOLONG. */
int ttl_fs_backing (TtlFs *self, TtlBucket *bucket, const char *name, TtlName backing_out);

/* ops-dir.c */
void op_lookup (fuse_req_t req, fuse_ino_t parent, const char *name);
void op_forget (fuse_req_t req, fuse_ino_t ino, uint64_t nlookup);
void op_forget_multi (fuse_req_t req, size_t count, struct fuse_forget_data *forgets);
void op_mkdir (fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void op_rmdir (fuse_req_t req, fuse_ino_t parent, const char *name);
void op_unlink (fuse_req_t req, fuse_ino_t parent, const char *name);
void op_rename (fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
                const char *newname, unsigned flags);
void op_link (fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname);
void op_symlink (fuse_req_t req, const char *link, fuse_ino_t parent, const char *name);
void op_mknod (fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void op_opendir (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_readdir (fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void op_readdirplus (fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                     struct fuse_file_info *fi);
void op_releasedir (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_fsyncdir (fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);

/* ops-file.c */
void op_create (fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                struct fuse_file_info *fi);
void op_open (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_read (fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void op_write (fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
               struct fuse_file_info *fi);
void op_flush (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_release (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_fsync (fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void op_fallocate (fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
                   struct fuse_file_info *fi);
void op_lseek (fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi);
void op_copy_file_range (fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
                         struct fuse_file_info *fi_in, fuse_ino_t ino_out, off_t off_out,
                         struct fuse_file_info *fi_out, size_t len, int flags);

/* ops-attr.c */
void op_getattr (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_setattr (fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                 struct fuse_file_info *fi);
void op_statfs (fuse_req_t req, fuse_ino_t ino);
void op_getxattr (fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void op_listxattr (fuse_req_t req, fuse_ino_t ino, size_t size);
void op_setxattr (fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size,
                  int flags);
void op_removexattr (fuse_req_t req, fuse_ino_t ino, const char *name);

/* ops-lock.c */
void op_getlk (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock);
void op_setlk (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock,
               int sleep);
void op_flock (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int op);
/* Ends the waits of threads that have a signal to attend to; @data: the TtlFs. */
void ttl_fs_end_interrupted_waits (gpointer data);
/* The session is over: ends all of them. */
void ttl_fs_end_waits (TtlFs *self);
