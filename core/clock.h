/* clock - what time it is, for every decision about a lease.
 *
 * Owns a source of time: the machine's CLOCK_REALTIME, or a hand-turned one for tests. Takes no lock: reading
 * is a single load or system call. Nothing else in core/ or fs/ calls clock_gettime(); a caller reads
 * the clock once, at the top of an operation, and hands the value down as now_ns. */
#pragma once

#include <glib.h>

#define TTL_NS_PER_MS G_GINT64_CONSTANT (1000000)
#define TTL_NS_PER_S G_GINT64_CONSTANT (1000000000)

typedef struct TtlClock TtlClock;

/* The machine's clock. Never fails. Free with ttl_clock_free(). */
TtlClock *ttl_clock_new (void);
/* A clock that stands at @now_ns until ttl_clock_set() or ttl_clock_advance() moves it. */
TtlClock *ttl_clock_new_manual (gint64 now_ns);
void ttl_clock_free (TtlClock *self);

/* Nanoseconds since the epoch, CLOCK_REALTIME: what mtimes are compared with. */
gint64 ttl_clock_now (const TtlClock *self);
/* Nanoseconds of CLOCK_MONOTONIC, for waiting and for measuring; a manual clock counts its advances. */
gint64 ttl_clock_monotonic (const TtlClock *self);

/* Manual clocks only. A set() is a step of the wall clock: the monotonic reading stays. advance() moves both. */
void ttl_clock_set (TtlClock *self, gint64 now_ns);
void ttl_clock_advance (TtlClock *self, gint64 by_ns);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TtlClock, ttl_clock_free)
