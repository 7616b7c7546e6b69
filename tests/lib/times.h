/* times - the clock that leases are judged by, and waiting.
 *
 * All times are nanoseconds of CLOCK_REALTIME, as mtimes are. A deadline is mtime_ns() + TTL.
 *
 * Two environment variables adapt the suite to its machine, never the contract:
 *   TTLFS_TEST_SLOW    factor on every tolerance (default 1; a sanitized daemon sets 10)
 *   TTLFS_TEST_ROUNDS  rounds of the repeated tests (default 2000; a release runs 10000) */
#pragma once

#include <glib.h>

#define MS G_GINT64_CONSTANT (1000000)
#define SECOND G_GINT64_CONSTANT (1000000000)

gint64 now_ns (void);
/* Returns not before @when_ns, and hardly after. */
void sleep_until (gint64 when_ns);
void sleep_ms (gint64 ms);

/* What a tolerance of @ms is on this machine, in nanoseconds. */
gint64 tolerance_ns (gint64 ms);
int rounds (void);

/* The middle one and the largest of @n values; sorts them. */
gint64 median (gint64 *values, gsize n);
gint64 largest (gint64 *values, gsize n);

/* TRUE as soon as @condition is, FALSE when it has not become so within @ms (times
 * TTLFS_TEST_SLOW). */
#define EVENTUALLY(ms, condition) \
  __extension__({ \
    gint64 eventually_end_ = now_ns () + tolerance_ns (ms); \
    gboolean eventually_met_; \
    while (!(eventually_met_ = !!(condition)) && now_ns () < eventually_end_) \
      sleep_ms (1); \
    eventually_met_; \
  })

/* TRUE when @condition held at every look for @ms of real time. */
#define STAYS(ms, condition) \
  __extension__({ \
    gint64 stays_end_ = now_ns () + (ms)*MS; \
    gboolean stays_so_; \
    while ((stays_so_ = !!(condition)) && now_ns () < stays_end_) \
      sleep_ms (1); \
    stays_so_; \
  })
