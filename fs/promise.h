/* promise - what the kernel was told that it may answer by itself, for how long, and how that is taken back.
 *
 * Three things are promised: that a name leads to a node (an *entry*), that a node has such *attributes*, and that a name
 * leads nowhere (an *absence*). None is promised beyond the end of the lease: there is no notification that could not come
 * too late. What changes before is taken back, by whoever changed it, before the change is confirmed to its author, and by
 * the watcher's thread for what was changed beside the mount.
 *
 *   attributes   FUSE_NOTIFY_INVAL_INODE without pages. The kernel asks for them when it needs them next.
 *   an entry     is not taken back by itself as long as nobody has its node open: each use of it ends in a question about the
 *                node (its attributes were taken back), which is answered ESTALE where the path leads elsewhere by now;
 *                and then the kernel looks the path up. Where somebody has the node open, it cannot be told whether a
 *                question is by path or by descriptor, so all entries are: FUSE_NOTIFY_INC_EPOCH makes the kernel look up
 *                each name once more, when it is used next.
 *   an absence   likewise, by FUSE_NOTIFY_INC_EPOCH.
 *
 * FUSE_NOTIFY_INVAL_ENTRY is not used. It waits for the lock of the directory, whose holder may be waiting for us: a
 * daemon that is killed just then would leave both in the kernel for ever. The two that are used wait for nobody, so that a
 * request may be served by them too. Where the kernel lacks INC_EPOCH (Linux before 6.16) nothing is promised at all.
 *
 * In what order. Between looking at a file and promising what was seen it may change, and who changes it finds
 * nothing promised yet. So who looks takes a *stamp* first and promises only if it is still the same; who changes, changes
 * first, then moves the stamp, then asks what was promised. Either the one sees the stamp moved, or the other the promise.
 * A reply that is on its way when the promise in it is taken back is outdated for the kernel, too: it keeps count of
 * both notifications from the moment when it sent the request. The one exception is an inode that it does not have yet;
 * INVAL_INODE then says ENOENT, and the epoch is what is moved.
 *
 * Owns the absences promised (bounded), the stamps, and a batch of what can wait a few milliseconds. Locks: a leaf. */
#pragma once

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

#include "lease.h"

/* How late a promise may reach the kernel, which counts from then: on a busy machine both we and the caller wait for a CPU, and the
 * kernel counts in ticks. So it ends that much before the lease, and is reckoned with for that much longer. */
#define TTL_PROMISE_LATE_US 200000

typedef struct TtlPromises TtlPromises;

TtlPromises *ttl_promises_new (void);
void ttl_promises_free (TtlPromises *self); /* stops */

/* From here on something may be promised, if the kernel can be told when it changes. @session outlives stop(). */
void ttl_promises_start (TtlPromises *self, struct fuse_session *session);
void ttl_promises_stop (TtlPromises *self);
gboolean ttl_promises_may_be_made (TtlPromises *self);

/* What may be promised of a lease that ends at @deadline, as microseconds from now on; 0: nothing, its end is near. */
gint64 ttl_promise_us (TtlDeadline deadline, gint64 now_ns);

/* ---- stamps ---- */

typedef struct
{
  guint one; /* of the name that it was taken for, and of what shares its place */
  guint all;
} TtlStamp;

/* @backing "": the bucket itself. */
TtlStamp ttl_promises_stamp (TtlPromises *self, guint64 bucket, const char *backing);
gboolean ttl_promises_is_unchanged (TtlPromises *self, guint64 bucket, const char *backing,
                                    const TtlStamp *stamp);
/* Whether nothing at all has changed: for who learns what it looks at only by looking. */
gboolean ttl_promises_is_all_unchanged (TtlPromises *self, const TtlStamp *stamp);
void ttl_promises_move_stamp (TtlPromises *self, guint64 bucket, const char *backing);
void ttl_promises_move_all_stamps (TtlPromises *self);

/* ---- absences ---- */

/* How long the absence of the name may be promised, in microseconds; it has been noted then. 0: not at all, as when it is asked
 * for the first times: it is most often a CREATE that comes next, which costs a round trip more where an absence was promised
 * (ttl_node_set_new()), and whoever waits for a name asks on. */
gint64 ttl_promises_note_absence (TtlPromises *self, guint64 bucket, const char *backing,
                                  const TtlStamp *stamp);
/* The name leads somewhere now. TRUE when its absence was promised and the kernel may still believe it. */
gboolean ttl_promises_end_absence (TtlPromises *self, guint64 bucket, const char *backing);

gboolean ttl_promises_is_absence_noted (TtlPromises *self, guint64 bucket, const char *backing);

/* ---- taking back ---- */

/* Every entry and every absence. */
void ttl_promises_recall_entries (TtlPromises *self);
/* The attributes of a node that the kernel knows. FALSE when it has no inode of that number (yet): then recall_entries()
 * was done instead. */
gboolean ttl_promises_recall_attrs (TtlPromises *self, guint64 node_id);
/* The same a few milliseconds later, at once for all that comes until then: times of a bucket in which much happens. */
void ttl_promises_recall_attrs_soon (TtlPromises *self, guint64 node_id);
