/* receivers - the threads that read /dev/fuse; session.h says how they share the work.
 *
 * Owns them and their watcher, while ttl_receivers_run() runs. Its mutex is a leaf, and held by nobody who serves. */
#pragma once

#include "fs.h"

#include <linux/fuse.h>

typedef struct TtlReceivers TtlReceivers;

/* @look is shown each request before it is served, and returns whether it is to be served at all. */
TtlReceivers *ttl_receivers_new (struct fuse_session *session,
                                 gboolean (*look) (const struct fuse_in_header *header,
                                                   gpointer data),
                                 gpointer data);
/* Until the session has been told to exit, and every request that was received is served. 0, or the -errno with which the device
 * failed. */
int ttl_receivers_run (TtlReceivers *self);
/* Makes the session exit, from any thread. */
void ttl_receivers_stop (TtlReceivers *self);
void ttl_receivers_free (TtlReceivers *self);
