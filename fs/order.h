/* order - lets the next command see what the last close published, whoever serves them and in whichever order they come.
 *
 * What is left of a draft when its last descriptor goes is published by the RELEASE, which the kernel sends asynchronously:
 * it queues it before the close() returns, but the next request may be received, or served, first. By several threads
 * that read one device that is a matter of luck; over io_uring every CPU has a queue of its own, and between two
 * queues the kernel promises nothing.
 *
 * But before each RELEASE there is a FLUSH, which close() does wait for. So, between the two, a description is *closing*:
 *
 *   open --FLUSH that leaves something unpublished, or a lock held--> closing --RELEASE served--> gone
 *    ^                                                                  |
 *    '--- somebody still has a descriptor; seen in /proc, or: too long ago
 *
 * A request about a key waits while a description of that key is closing. Which a description is, is not known after the FLUSH:
 * `: > k` closes the first of two descriptors before the last. A request that comes finds out: it looks whether the
 * process that opened the key, or the one that closed it, has another descriptor of it, then whether anybody has: of a file of
 * this mount, with this name and one of the inode's numbers, more than there are other descriptions of which the same is
 * true. If so, the close that was flushed was not the last one, and no RELEASE can be on its way before there has
 * been another FLUSH.
 *
 * Claim: a request that a process sends after a close() has returned, its own or one that it has been told of, sees what was
 * left for that close's RELEASE to publish.
 *   1. The FLUSH is entered here before it is replied to, so before the close() returns and the request is sent.
 *   2. If the close was the last, nobody has a descriptor when the request is received, so nothing that /proc shows
 *      ends the wait; and the RELEASE has been queued already, or will be without anything more being asked of us.
 *   3. So the wait ends when the RELEASE has been served, and not before, unless that takes longer than PATIENCE (3 s; 1 s where we
 *      can see neither process, so that one who has handed its descriptor on stops others no longer).
 * A request waits only for what was closing when it was received: where a key is closed all the time, that comes to an end.
 * It ends: the threads that receive do not wait here, helpers do (helpers.h); and FLUSH, RELEASE, READ and WRITE
 * are not about a key in this sense and are served at once. So the RELEASE is received whatever waits.
 *
 * What was opened to be read has no FLUSH: it would cost each get a round trip. So when such a description has a lock that is in
 * the way of a request, it is *suspected*: it counts as closing from then on, by the process that opened it, until its RELEASE
 * is served or somebody is seen to have it open. That takes no longer than DOUBT (100 ms), for nothing says that it was closed;
 * unless we may look into every process and nobody has it: then it takes as long as after a FLUSH.
 *
 * Left out: a description whose last reference is a mapping, or a message that nobody has received, has its RELEASE without
 * a FLUSH just before. Over io_uring the next command may overtake that one.
 *
 * Nothing is closing at most times, and then a request costs one load here. Owns the list of what is closing; one mutex, a
 * leaf. */
#pragma once

#include "caller.h"
#include "handle.h"

typedef struct TtlOrder TtlOrder;

/* What a request is about. Without @backing: whatever is in the bucket. Without @bucket (0): everything. With @locks: the locks of
 * a key, and its value. */
typedef struct
{
  guint64 bucket; /* its id */
  TtlName backing;
  TtlLockFile *locks;
} TtlPlace;

TtlOrder *ttl_order_new (TtlNames names);
void ttl_order_free (TtlOrder *self);

/* How a description is opened: O_RDONLY, O_WRONLY or O_RDWR. */
int ttl_order_access (const TtlHandle *handle);
/* @describe: tells in *@sought what is known of the inode of @handle, which may be gone: its device and its numbers; and returns how
 * many other descriptions that look like it are open of the key with @locks, with @access. To be called before the first FLUSH. */
typedef guint (*TtlOrderDescribe) (const TtlHandle *handle, const TtlLockFile *locks, int access,
                                   TtlSought *sought, gpointer data);
void ttl_order_describe_with (TtlOrder *self, TtlOrderDescribe describe, gpointer data);

/* Thread @tid has closed a descriptor of @handle; before the FLUSH is served. */
void ttl_order_closing (TtlOrder *self, TtlHandle *handle, pid_t tid);
/* @handle, of a reader, has a lock that is in the way of somebody. */
void ttl_order_suspect (TtlOrder *self, TtlHandle *handle);
/* Around the serving of the RELEASE, which frees @handle. What the first returns, NULL or not, is for the second. */
typedef struct TtlClosing TtlClosing;
TtlClosing *ttl_order_releasing (TtlOrder *self, TtlHandle *handle);
void ttl_order_released (TtlOrder *self, TtlClosing *closing);

/* Whether nothing at all is closing. */
gboolean ttl_order_is_quiet (TtlOrder *self);
/* The moment when a request is received, for those below: what is closed later is no concern of its. */
guint64 ttl_order_now (TtlOrder *self);
/* Whether something of @place has been closing @since, as far as is known. Does not block. */
gboolean ttl_order_is_closing (TtlOrder *self, const TtlPlace *place, guint64 since);
/* Waits until nothing has. */
void ttl_order_wait (TtlOrder *self, const TtlPlace *place, guint64 since);
/* The session is over: no RELEASE will come any more, and nobody waits. */
void ttl_order_end (TtlOrder *self);
