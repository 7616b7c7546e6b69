/* session - takes requests from the kernel, over io_uring or /dev/fuse, and has them served.
 *
 * /dev/fuse: a few threads receive, half as many as there are CPUs, and each serves what it has received at once, so that a
 * request costs no wake-up beside the kernel's own. (One request, one thread: a second that waits in the device as well
 * is woken for every other request, with its cache cold.) What takes long (a disk, a network file system, a lock)
 * must not keep the others waiting, so those who receive are watched:
 *
 *   receiving --request--> serving --done--> receiving
 *                             |
 *                             '--still at it one tick later--> replaced --done--> parked, or ended
 *
 * Each that receives has a *permit*. The watcher, a thread that looks once a millisecond, takes the permit of one that has
 * been with the same request since the last look, and gives it to a parked thread or a new one. Nothing is locked for
 * that: the state of a thread is one atomic word, which the thread and the watcher change by compare-and-exchange.
 * While no request comes the watcher sleeps; the next one wakes it.
 *
 * io_uring (libfuse 3.18, Linux 6.14, and turned on there): libfuse has one queue and one thread for each CPU, and the thread
 * serves what comes in its queue. /dev/fuse then brings only FORGETs, and news of interrupts. A request that waits for a
 * lock occupies its place in the queue, and there are QUEUE_DEPTH of those; see ops-lock.c.
 *
 * Neither promises an order; order.h has it. */
#pragma once

#include "fs.h"

typedef enum
{
  TTL_TRANSPORT_ANY, /* io_uring where it can be had */
  TTL_TRANSPORT_URING,
  TTL_TRANSPORT_DEVICE,
} TtlTransport;

typedef struct TtlSession TtlSession;

/* Mounted and able to answer. @args: what libfuse understands. NULL with @error set. */
TtlSession *ttl_session_new (struct fuse_args *args, const char *mountpoint, TtlFs *fs,
                             TtlTransport transport, GError **error);
/* Serves until the file system is unmounted or ttl_session_stop() is called: TRUE; FALSE with @error set when the device
 * fails. To be called once. */
gboolean ttl_session_run (TtlSession *self, GError **error);
/* Safe from any thread. */
void ttl_session_stop (TtlSession *self);
void ttl_session_free (TtlSession *self); /* unmounts */
