/* lease - when an entry ends, as plain arithmetic on times it is handed.
 *
 * Owns nothing: a deadline is a value. Takes no lock, does no I/O, reads no clock.
 * An entry is live while now < deadline; at now == deadline it has expired. */
#pragma once

#include <glib.h>

typedef gint64 TtlDeadline; /* nanoseconds, CLOCK_REALTIME; the type names the clock */
#define TTL_DEADLINE_NEVER G_MAXINT64

/* Saturates: a sum past G_MAXINT64 means "never", and so does an infinite @ttl_ns. */
TtlDeadline ttl_lease_deadline (gint64 renewed_ns, gint64 ttl_ns);

/* The only place that decides expiry; reader, lister and reaper all ask here. */
gboolean ttl_lease_expired (TtlDeadline deadline, gint64 now_ns);

/* The mtime to store when somebody asks for @wanted_ns: as wanted while that leaves a live lease, now
 * otherwise (contract section 3: a past mtime never destroys data). */
gint64 ttl_lease_mtime (gint64 wanted_ns, gint64 ttl_ns, gint64 now_ns);
