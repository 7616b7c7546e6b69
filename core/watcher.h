/* watcher - knows what happens in the backing directory, whoever does it.
 *
 * Owns: one inotify instance, a watch and a bucket reference for each directory below the root, and one thread. It
 * scans each directory once it watches it, so that nothing falls between; after an overflow it scans all of them again.
 * Where inotify cannot see everything (a network file system) or its limits are reached, directories are scanned
 * periodically instead, with a RESYNC each time, and the log says so once. What it learns goes to the reaper's index and
 * to the listeners. A directory that a peer moves out of the root is let go at once: nothing in it is ours any more. */
#pragma once

#include "store.h"

typedef struct TtlWatcher TtlWatcher;

typedef enum
{
  TTL_EVENT_PUT,    /* a key has a new value or a new name */
  TTL_EVENT_RENEW,  /* its times or attributes changed */
  TTL_EVENT_DELETE, /* it was removed, replaced by nothing, or it expired */
  TTL_EVENT_BUCKET, /* a bucket appeared or went, with all below it; backing is its name. What was in one that
                     * appeared follows, as BUCKET and PUT (a PUT may then come twice) */
  TTL_EVENT_RESYNC, /* events were lost: list again */
  TTL_EVENT_ATTRS,  /* of the bucket itself: mode, owner, times or its TTL; backing is NULL */
} TtlEventKind;

typedef struct
{
  TtlEventKind kind;
  TtlBucket *bucket;   /* borrowed; NULL with RESYNC */
  const char *backing; /* borrowed; NULL with ATTRS and RESYNC */
} TtlEvent;

/* Called from the watcher's thread, in the order of the events, with no lock held. Must not block for long. */
typedef void (*TtlListener) (const TtlEvent *event, gpointer data);

TtlWatcher *ttl_watcher_new (TtlStore *store); /* starts at once */
void ttl_watcher_free (TtlWatcher *self);      /* stops; no listener runs afterwards */

/* Returns a number for remove_listener(). After remove_listener() returns the listener is not called again. */
guint ttl_watcher_add_listener (TtlWatcher *self, TtlListener listener, gpointer data);
void ttl_watcher_remove_listener (TtlWatcher *self, guint id);

/* Whether a change of @bucket's directory would have been noticed; FALSE for NULL @self. */
gboolean ttl_watcher_sees (TtlWatcher *self, TtlBucket *bucket);
/* Fills what a watcher knows: the scan, and how many directories there are. */
void ttl_watcher_get_status (TtlWatcher *self, TtlStoreStatus *status_out);
/* The root is another directory: everything anew. */
void ttl_watcher_restart (TtlWatcher *self);
/* Blocks until every directory below the root has been scanned once. */
void ttl_watcher_wait_ready (TtlWatcher *self);
TtlWatcher *ttl_store_watcher (TtlStore *store); /* NULL without background threads */
