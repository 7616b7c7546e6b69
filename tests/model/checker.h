/* checker - whether the history of one key could have come from a store that does one thing at a time.
 *
 * A search after Wing & Gong, with Lowe's memory of what was tried: it looks for an order of the operations and for a
 * point in time of each, between its invocation and its return, such that a store which does them one by one in that
 * order answers as was recorded. The store knows leases: a value whose mtime is m lives while the point p < m + ttl,
 * and is absent from then on.
 *
 * Of an mtime we know two bounds. What is seen later narrows them: seen alive at p, m > p - ttl; seen absent at p,
 * m <= p - ttl. So the search carries with each state the earliest possible "now" and what is left of the bounds.
 * All constraints are differences of two times, and the least solution satisfies them if any does: one pass is exact.
 * Where a renewal answered that there was nothing to renew, a value that had just ended may have lived again meanwhile.
 *
 * What is different for raw peers: their O_EXCL and delete find a file that has expired and is not yet reaped, their touch
 * may bring it back, at once or when the reaper has looked again, and where there is a TTL they may miss a key for the
 * moment in which a reaper looks at it. What they do find or make counts like anybody's. Where one has put a value just
 * when a mount was to replace another version, or to append to one, the mount's, which loses, may be seen meanwhile.
 * Owns nothing, no I/O. */
#pragma once

#include "history.h"

/* By how much a mount may be behind what is done beside it, nanoseconds; 0 (the default) where the kernel remembers nothing.
 * Then a look may take effect so much before it was asked for, but not before what was done through the same mount. Past its
 * deadline no value may be seen all the same. */
extern gint64 checker_lag_ns;

typedef enum
{
  CHECK_LINEARIZABLE,
  CHECK_WRONG,
  CHECK_TOO_HARD, /* given up: too many orders to try */
} CheckVerdict;

/* @ops: up to HISTORY_OPS_MAX operations on one key, absent at the beginning, in any order; @ttl_ns: of its
 * bucket, HISTORY_INF for none. With @order_out, a found order, or the longest part of one: indices into @ops. */
CheckVerdict checker_check (const Op *ops, guint n_ops, gint64 ttl_ns, GArray *order_out);

/* A smallest part of a wrong history that is wrong by itself: up to the first answer that cannot be, without the looks
 * that do not matter. What had not returned by then is OP_UNSURE. Free with g_array_unref(). */
GArray *checker_shrink (const Op *ops, guint n_ops, gint64 ttl_ns);
