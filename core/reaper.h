/* reaper - removes from the backing directory what has expired, soon after its deadline.
 *
 * Owns: the expiry index (guarded by its lock, order 4), a queue of buckets to scan, and one thread. Costs what expires,
 * not what exists: an entry is looked at when the deadline last known of it comes, and put back if it was renewed.
 * Its thread takes an expired file off its name at once, and removes it 20 ms later, unless somebody has renewed it in
 * between who had found it before; ttl_reaper_run() called by hand removes it at once.
 *
 * Correctness does not depend on it: an expired entry is absent for every verb while its file still stands. */
#pragma once

#include "store.h"

typedef struct TtlReaper TtlReaper;

TtlReaper *ttl_reaper_new (TtlStore *store);
void ttl_reaper_start (TtlReaper *self);
void ttl_reaper_stop (TtlReaper *self);
void ttl_reaper_free (TtlReaper *self); /* stops the thread */

/* What is known of a file called @backing: its deadline, or that it is gone. */
void ttl_reaper_note (TtlReaper *self, TtlBucket *bucket, const char *backing,
                      TtlDeadline deadline);
void ttl_reaper_forget (TtlReaper *self, TtlBucket *bucket, const char *backing);
/* A file was given the name @backing: what has been taken off it does not get it back, even if it was renewed meanwhile and the
 * other one is gone again by then. */
void ttl_reaper_replaced (TtlReaper *self, TtlBucket *bucket, const char *backing);
/* Looks at one name, and notes what it finds. */
void ttl_reaper_look (TtlReaper *self, TtlBucket *bucket, const char *backing);
/* The same where it has just been looked at: it is @st. */
void ttl_reaper_saw (TtlReaper *self, TtlBucket *bucket, int dir_fd, const char *backing,
                     const struct stat *st);
/* The same for @n names in the bucket's directory, which is open as @dir_fd; each ends with a NUL, and the next begins behind
 * it. What they have in common is found out once: a scan of a million keys is made of this. */
void ttl_reaper_look_at_all (TtlReaper *self, TtlBucket *bucket, int dir_fd, const char *names,
                             guint n);
/* Every lease in @bucket, and in the buckets below it that inherit, may have another deadline now. */
void ttl_reaper_rescan (TtlReaper *self, TtlBucket *bucket);

/* Does what is due at @now_ns: what the thread does when it wakes. Returns the next deadline. */
TtlDeadline ttl_reaper_run (TtlReaper *self, gint64 now_ns);

guint64 ttl_reaper_known (TtlReaper *self);   /* entries in the index */
guint64 ttl_reaper_removed (TtlReaper *self); /* files removed so far */
