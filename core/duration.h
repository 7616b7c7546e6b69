/* duration - a TTL as people write it: "500ms", "10s", "5m", "2h", "1d", "inf".
 *
 * Pure: owns nothing, takes no lock. The text is kept beside the number, because reading an attribute back
 * must give the bytes that were written ("60s" does not come back as "1m"). */
#pragma once

#include <glib.h>

#define TTL_DURATION_TEXT_MAX 24 /* longest accepted text, with its NUL */
#define TTL_DURATION_INF G_MAXINT64
#define TTL_DURATION_MIN_NS G_GINT64_CONSTANT (50000000) /* 50 ms: shorter leases are refused */

typedef struct
{
  gint64 ns;                        /* at least TTL_DURATION_MIN_NS; TTL_DURATION_INF for "inf" */
  char text[TTL_DURATION_TEXT_MAX]; /* NUL-terminated, as it was written */
} TtlDuration;

/* Parses the @len bytes at @text, which need no NUL: digits and one of ms, s, m, h, d, or "inf".
 * Returns 0, or -EINVAL for anything else: a sign, a space, a fraction, no unit, less than 50 ms, more
 * than fits in 63 bits of nanoseconds, longer than TTL_DURATION_TEXT_MAX - 1. @duration_out is untouched then. */
int ttl_duration_parse (const char *text, gsize len, TtlDuration *duration_out);

/* Writes @ns in the largest unit that divides it exactly ("90s", "2h", "1500ms"; below a millisecond it is
 * rounded down to one), "inf" for TTL_DURATION_INF. Returns the length without the NUL. */
gsize ttl_duration_format (gint64 ns, char text_out[TTL_DURATION_TEXT_MAX]);
