/* batch - ids that are handed over a little after the first of them has come: all at once, and each once.
 *
 * What the kernel is to be told of comes in crowds, and often for the same node again; and who has noticed it should not wait
 * until the kernel has been told.
 *
 * Owns the set of what has come, and while started a thread. Locks: a leaf, never held while ids are handed over. */
#pragma once

#include <glib.h>

typedef struct TtlBatch TtlBatch;

/* @ids: an array of guint64, borrowed. FALSE: nothing more is wanted, and what comes from then on is dropped. */
typedef gboolean (*TtlBatchTake) (const GArray *ids, gpointer data);

/* @name: of the thread, a constant. @wait_us: from the first of a batch to its handing over. @most: of them at a time, what goes
 * beyond is dropped; 0: all. */
TtlBatch *ttl_batch_new (const char *name, gulong wait_us, guint most, TtlBatchTake take,
                         gpointer data);
void ttl_batch_free (TtlBatch *self); /* stops */

gboolean ttl_batch_start (TtlBatch *self); /* FALSE: no thread can be had */
/* What has not been handed over by now never is. */
void ttl_batch_stop (TtlBatch *self);
/* Cheap; does nothing while stopped. */
void ttl_batch_add (TtlBatch *self, guint64 id);
