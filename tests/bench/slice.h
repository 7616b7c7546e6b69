/* slice - some processes doing one operation on one subject, all at once, for a while.
 *
 * Owns nothing between two slices but the memory that it shares with its processes. */
#pragma once

#include "subject.h"

#define SLICE_CLIENTS 64

typedef struct
{
  guint64 done;           /* operations */
  guint64 busy_ns;        /* in which they were done */
  gint64 max_ns;          /* the longest, whether it is among the samples or not */
  guint32 kept;           /* samples */
  const guint32 *samples; /* nanoseconds; borrowed, until the next slice */
} SliceClient;

/* Of client i the operation is ops[i]. Prepares, runs for @ns (each client at least once), cleans, and waits until the subject
 * is at rest. Returns NULL, or what went wrong; borrowed, until the next slice. */
const char *slice_run (Subject *subject, const Op *ops, guint clients, gint64 ns,
                       SliceClient results_out[SLICE_CLIENTS]);
