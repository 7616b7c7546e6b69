/* bucket - the directories below the root, each known by one object for as long as anybody holds it.
 *
 * Owns: the tree of TtlBucket (a child holds its parent), the cached O_PATH descriptors of the directories used last
 * (their number is bounded, whatever the number of buckets), and each bucket's cached TTL. One mutex guards all of it and
 * is never held over a system call.
 *
 * A bucket is identified by its directory's inode, so it survives a rename. Every descriptor is reached from the root one
 * component at a time, without following a symlink and without leaving the root's file system. */
#pragma once

#include "duration.h"

#include <sys/stat.h>

typedef struct TtlTree TtlTree;
typedef struct TtlBucket TtlBucket;
typedef struct TtlDir TtlDir; /* an open directory, shared by reference */

/* @root_fd is taken. @max_dirs bounds the cached descriptors (at least 8). */
TtlTree *ttl_tree_new (int root_fd, guint max_dirs);
/* Every bucket reference must have been given back. */
void ttl_tree_free (TtlTree *self);

/* What to do when the root's directory has been removed or cut off: called by whoever needs it, with no lock. It returns 0 when
 * the root's descriptor number stands for another directory by now and ttl_tree_root_replaced() was told so, and
 * otherwise what open() is to return. */
typedef int (*TtlTreeLost) (gpointer data);
void ttl_tree_set_lost (TtlTree *self, TtlTreeLost lost,
                        gpointer data); /* before there are threads */
/* The root's file system has been unmounted: it can still be used, but nobody else comes to it. */
void ttl_tree_root_cut_off (TtlTree *self);
gboolean ttl_tree_root_is_cut_off (TtlTree *self);
/* Whether @st is of the directory that the root is, or was until it was cut off. */
gboolean ttl_tree_root_was (TtlTree *self, const struct stat *st);
/* Where it is another directory than before, all buckets are gone. */
void ttl_tree_root_replaced (TtlTree *self);

TtlBucket *ttl_tree_root (TtlTree *self); /* borrowed */
/* The bucket with that id if anybody holds it: a new reference, or NULL. */
TtlBucket *ttl_tree_dup (TtlTree *self, guint64 id);
/* A reference to each bucket now known; free with g_ptr_array_unref(). */
GPtrArray *ttl_tree_dup_all (TtlTree *self);

TtlBucket *ttl_bucket_ref (TtlBucket *self);
void ttl_bucket_unref (TtlBucket *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TtlBucket, ttl_bucket_unref)

guint64 ttl_bucket_id (const TtlBucket *self); /* never reused while the tree lives */
/* Its directory's inode number: the same for a later TtlBucket of the same directory, where nobody kept this one. */
ino_t ttl_bucket_ino (TtlBucket *self);
gboolean ttl_bucket_is_root (const TtlBucket *self);
/* How many buckets lie between it and the root, itself counted: 0 for the root. */
guint ttl_bucket_depth (TtlBucket *self);
/* The path below the root without a leading slash, "" for the root. Free with g_free(). */
char *ttl_bucket_dup_path (TtlBucket *self);
TtlBucket *ttl_bucket_dup_parent (TtlBucket *self); /* a reference; NULL for the root */
/* TRUE when @self is @other or lies below it. */
gboolean ttl_bucket_is_within (TtlBucket *self, TtlBucket *other);

/* The directory, open with O_PATH. 0, or -ESTALE when what stands under its name is another directory or none,
 * -ENOENT when it was removed, or an errno of open (-EMFILE, -EIO, -EACCES). On 0 give it back with ttl_dir_unref(). */
int ttl_bucket_open (TtlBucket *self, TtlDir **dir_out);
int ttl_dir_fd (const TtlDir *self); /* valid while the reference is held; do not close */
void ttl_dir_unref (TtlDir *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TtlDir, ttl_dir_unref)

/* The bucket in the directory @name of @self, which stands there now.
 * 0, -ENOENT, -ENOTDIR (a file or symlink), -EXDEV (another file system is mounted there), or as ttl_bucket_open();
 * -ESTALE also while what we know of the two contradicts what a peer made of them: look them up again from above. */
int ttl_bucket_get_child (TtlBucket *self, const char *name, TtlBucket **child_out);

/* FALSE when the directory is not where we know it, all the way up to the root: a peer has moved or removed it. What is
 * in it then is no longer ours to touch. */
gboolean ttl_bucket_is_in_place (TtlBucket *self);
/* The bucket known as @name of @self; a reference, NULL when there is none. Does not look at the backing directory. */
TtlBucket *ttl_bucket_dup_known_child (TtlBucket *self, const char *name);
/* Drops the cached descriptor: the next open() looks at what stands under the name. */
void ttl_bucket_forget_dir (TtlBucket *self);

/* The directory was renamed. */
void ttl_bucket_moved (TtlBucket *self, TtlBucket *parent, const char *name);
/* The directory was removed: a new one with its inode number is another bucket. */
void ttl_bucket_removed (TtlBucket *self);

/* The bucket's own TTL as last read from the backing directory.
 * get: FALSE when it has to be read (again); then *@stamp_out goes to set(), which drops what was read before a
 * forget() that came in between. *@own_out has ns == 0 for "has none of its own". */
gboolean ttl_bucket_get_own_ttl (TtlBucket *self, TtlDuration *own_out, guint *stamp_out);
void ttl_bucket_set_own_ttl (TtlBucket *self, const TtlDuration *own,
                             guint stamp); /* NULL: has none */
void ttl_bucket_forget_ttl (TtlBucket *self);
