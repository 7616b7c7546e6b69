/* expiry - which lease ends next: an index from (bucket, backing name) to a deadline.
 *
 * A 4-ary heap of entries that are also found by hash, so that a deadline can move. It is a hint, not the truth:
 * whoever takes an entry that is due looks at the file again, and puts it back if it was renewed; a
 * renewal therefore costs the index nothing. Entries that never expire are not in it.
 *
 * Owns its entries: one allocation each, the name inline, at most 160 bytes beside the name with everything counted
 * (heap slot and hash slot too), at a million entries. Not thread-safe: the reaper's lock guards it. Reads no clock. */
#pragma once

#include "lease.h"

typedef struct TtlExpiry TtlExpiry;

TtlExpiry *ttl_expiry_new (void);
void ttl_expiry_free (TtlExpiry *self);

/* Notes that @name in bucket number @bucket ends at @deadline, replacing what was known of it;
 * TTL_DEADLINE_NEVER takes it out. TRUE when the earliest deadline of all is now an earlier one, that is, when a
 * sleeping reaper must be woken. */
gboolean ttl_expiry_set (TtlExpiry *self, guint64 bucket, const char *name, TtlDeadline deadline);
void ttl_expiry_remove (TtlExpiry *self, guint64 bucket, const char *name);

/* The earliest deadline, TTL_DEADLINE_NEVER when the index is empty. */
TtlDeadline ttl_expiry_next (const TtlExpiry *self);
/* Takes out one entry that has expired at @now_ns, earliest first. FALSE when there is none.
 * On TRUE the caller frees *@name_out with g_free(). */
gboolean ttl_expiry_pop (TtlExpiry *self, gint64 now_ns, guint64 *bucket_out, char **name_out,
                         TtlDeadline *deadline_out);

guint64 ttl_expiry_count (const TtlExpiry *self);
/* Bytes held, all allocations counted as malloc_usable_size() sees them: what the memory test reads. */
gsize ttl_expiry_memory (const TtlExpiry *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TtlExpiry, ttl_expiry_free)
