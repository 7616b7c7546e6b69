/* prune - lets the kernel know which of its inodes nobody will ask for again.
 *
 * The kernel keeps what it has looked up until it needs the memory, and we keep a node for it as long. Keys come and go by
 * their leases without a system call, and each writer has an inode of its own that is over with its last close: a mount
 * where services come and go all day would only ever grow. Ids of such nodes are collected for 10 ms and handed over at
 * once (FUSE_NOTIFY_PRUNE, Linux 6.18 and later; on an older kernel memory pressure does it). The kernel drops what is not in
 * use, and what is in use it keeps: nothing depends on it.
 *
 * Of all notifications this one alone takes no lock that a process may hold while it waits for our reply: a daemon that
 * is killed in the middle of FUSE_NOTIFY_INVAL_ENTRY can leave both waiting for ever.
 *
 * Owns a batch (batch.h). */
#pragma once

#include <glib.h>

typedef struct TtlPrune TtlPrune;

TtlPrune *ttl_prune_new (void);
void ttl_prune_free (TtlPrune *self); /* stops */

/* @device_fd: /dev/fuse, to be stopped with before it is closed. */
void ttl_prune_start (TtlPrune *self, int device_fd);
void ttl_prune_stop (TtlPrune *self);

/* The node @id is over. Cheap; may be called while stopped, which does nothing. */
void ttl_prune_add (TtlPrune *self, guint64 id);
