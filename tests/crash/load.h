/* load - client processes that do everything to a few keys at once, until they are told to stop or their mount dies.
 *
 * The keys, in two buckets below the root: long/r0.. (registers) and long/a0.. (logs), whose leases outlast the test, and
 * short/s0.., whose TTL is SHORT_TTL. The last client works in the backing directory, as a FileStore does. The processes
 * live from load_new() to load_free() and rest between episodes. */
#pragma once

#include "journal.h"

#define SHORT_TTL "500ms"

typedef enum
{
  LOAD_FAST,    /* everything at full speed, and hardly a sync, which takes long */
  LOAD_MIXED,   /* the same with more of those */
  LOAD_PATIENT, /* pauses, and only one client that syncs: nobody else's fsync helps out */
} LoadKind;

typedef struct Load Load;

/* @roots: where each client works: a mount, or for the last one the backing directory. Copied. */
Load *load_new (const char *const roots[JOURNAL_CLIENTS], guint64 seed);
void load_free (Load *self);

Journal *load_journal (Load *self); /* borrowed */
/* The journal has been cleared and its base set. */
void load_start (Load *self, LoadKind kind);
/* FALSE when a client does not come back within 20 s; the reason is on stdout. */
gboolean load_stop (Load *self);
