/* session - takes requests from the kernel and has them served by several threads, in an order that can be relied on.
 *
 * The kernel sends RELEASE asynchronously, but queues it before the close() that caused it returns. A publication that
 * happens in RELEASE must nevertheless be seen by the next command. So:
 *
 *   requests are taken from the device one at a time, and a RELEASE that has something to publish, or a lock to give up, is entered
 *   in a list, *pending*, while the next one has not been taken yet;
 *   a request taken later is not served before every RELEASE that was pending when it was taken has been served.
 *
 * Whatever a process asks for after a close() was taken after that close's RELEASE, so it sees what was published. Requests
 * of open descriptions (READ, WRITE, FLUSH, RELEASE) and those that forget do not wait: a RELEASE never waits, so
 * the wait always ends. The rule needs nothing from the transport but that one queue is read in order. */
#pragma once

#include "fs.h"

typedef struct TtlSession TtlSession;

/* Mounted and able to answer. @args: what libfuse understands. NULL with @error set. */
TtlSession *ttl_session_new (struct fuse_args *args, const char *mountpoint, TtlFs *fs,
                             GError **error);
/* Serves until the file system is unmounted (returns 0) or ttl_session_stop() is called; -errno when the device fails. */
int ttl_session_run (TtlSession *self, guint threads);
/* Safe from any thread. */
void ttl_session_stop (TtlSession *self);
void ttl_session_free (TtlSession *self); /* unmounts */
