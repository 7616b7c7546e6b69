/* clock - what time it is, for every decision about a lease.
 *
 * A lease is a file's mtime and a TTL, so it is judged by the clock that gives files their mtimes: the backing file
 * system's, which is the *reference*. Usually that is this machine's CLOCK_REALTIME; on a network file system it is
 * its server's, and a process may have been given a clock of its own. The clock asks the reference when it begins, from
 * time to time where that is another machine's, and whenever its own readings give it reason to: the wall clock and the
 * monotonic clock moved apart by 100 ms, or nobody had read them for two seconds (a SIGSTOP). Between two questions it
 * adds what CLOCK_REALTIME says has passed.
 *
 * Steps. When the reference itself has been moved (somebody set the clock; the machine was suspended, which the monotonic
 * clock does not count), mtimes from before are on another time line. Every such step is remembered and said once in the
 * log, and ttl_clock_in_present() moves an old mtime to the present line: what had a minute left when the clock was
 * set has a minute left. Leases thus neither end by a step forward nor last longer by a step back. Which line a
 * file's times are of is told by the times alone (see there), so nothing has to be written, and all mounts agree.
 *
 * Thread-safe. A reading costs three clock readings and no lock; what needs the reference takes a leaf lock (order 6).
 * Nothing else in core/ or fs/ calls clock_gettime(); a caller reads the clock once, at the top of an
 * operation, and hands the value down as now_ns. */
#pragma once

#include <glib.h>
#include <time.h>

#define TTL_NS_PER_MS G_GINT64_CONSTANT (1000000)
#define TTL_NS_PER_S G_GINT64_CONSTANT (1000000000)
#define TTL_CLOCK_STEP_NS (100 * TTL_NS_PER_MS) /* less is taken for the reference's granularity */

/* Of a file's times. What is too far away is as far as can be. */
static inline gint64
ttl_timespec_ns (const struct timespec *ts)
{
  return ts->tv_sec >= G_MAXINT64 / TTL_NS_PER_S   ? G_MAXINT64
         : ts->tv_sec <= G_MININT64 / TTL_NS_PER_S ? G_MININT64
                                                   : ts->tv_sec * TTL_NS_PER_S + ts->tv_nsec;
}

static inline struct timespec
ttl_ns_timespec (gint64 ns)
{
  gint64 nsec = ns % TTL_NS_PER_S;
  gint64 sec = ns / TTL_NS_PER_S;

  return nsec < 0 ? (struct timespec){ sec - 1, nsec + TTL_NS_PER_S }
                  : (struct timespec){ sec, nsec };
}

typedef struct TtlClock TtlClock;

/* What the reference says now, nanoseconds since the epoch; negative when it cannot be asked. */
typedef gint64 (*TtlClockReference) (gpointer data);

/* The machine's clock. Never fails. Free with ttl_clock_free(). */
TtlClock *ttl_clock_new (void);
/* A clock that stands at @now_ns until ttl_clock_set() or ttl_clock_advance() moves it. */
TtlClock *ttl_clock_new_manual (gint64 now_ns);
void ttl_clock_free (TtlClock *self);

/* Before any thread uses it. Without a reference the wall clock stands for it; while it cannot be asked, the monotonic
 * clock does. @trust_ns: for how long it is believed to go as we do. */
void ttl_clock_set_reference (TtlClock *self, TtlClockReference reference, gpointer data,
                              gint64 trust_ns);

/* Nanoseconds since the epoch by the reference: what mtimes are compared with. */
gint64 ttl_clock_now (TtlClock *self);
/* Nanoseconds of CLOCK_MONOTONIC, for waiting and for measuring; a manual clock counts its advances. */
gint64 ttl_clock_monotonic (const TtlClock *self);

/* A file's mtime as it would be, had the clock never been stepped. The file was renewed before a step forward if its mtime
 * or ctime is no later than the step; before a step back if its ctime has not come yet. (After a step back of an hour, what
 * was renewed more than an hour before it, or is renamed or given another mode after it, cannot be told from what is new,
 * and lives up to an hour longer.) */
gint64 ttl_clock_in_present (TtlClock *self, gint64 mtime_ns, gint64 ctime_ns);

/* How often time was found to have jumped, by a step or by an error of this process's own clock: plans that were made
 * before in wall time are to be made again. */
guint ttl_clock_jumps (const TtlClock *self);

/* Manual clocks only. A set() is a step of the wall clock: the monotonic reading stays. advance() moves both. */
void ttl_clock_set (TtlClock *self, gint64 now_ns);
void ttl_clock_advance (TtlClock *self, gint64 by_ns);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TtlClock, ttl_clock_free)
