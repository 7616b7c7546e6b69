/* urgent - a few system calls in a row that should not be spread over time.
 *
 * What cannot be one step is at least made in as few microseconds as it takes: between begin and end the calling thread
 * runs before all that is not of a real-time policy (SCHED_FIFO of the lowest priority; sched(7)). Only ever for a handful
 * of system calls, and never while others wait to be told something. A correct result does not depend on it.
 *
 * Needs CAP_SYS_NICE, or an RLIMIT_RTPRIO of 1; without either, and for a thread that was given another policy, begin changes
 * nothing, and neither does end. A thread's
 * niceness is kept. */
#pragma once

#include <glib.h>

typedef gboolean TtlUrgent; /* whether end has something to take back */

TtlUrgent ttl_urgent_begin (void);
void ttl_urgent_end (TtlUrgent *self);

/* g_auto (TtlUrgent) ends with its block, and is FALSE to begin with. */
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TtlUrgent, ttl_urgent_end)

/* Whether this thread may be urgent at all. */
gboolean ttl_urgent_is_possible (void);
