/* lock - the order in which locks are taken, outermost first.
 *
 *   1. commit lock      core/commit.h      one per stripe of keys, and flock() on the bucket's directory; held
 *                                          over the system calls of one publication or removal, by design:
 *                                          it is what makes them one step. Nothing that serves another key waits
 *                                          for it, and no thread holds two (rename takes both stripes in order).
 *   2. handle lock      fs/handle.c        one open file description's draft
 *   3. node table       fs/node.c          ids, lookup counts, who may see which draft
 *   4. registries       core/reaper.c, core/keeper.c, core/watcher.c      each a leaf for the others
 *   5. tree             core/bucket.c      buckets, their descriptors and TTLs
 *   6. log, clock       core/log.c, core/clock.c
 *
 * A handle's lock (2) is taken before a commit lock (1) where a handle publishes itself: the handle's lock serialises
 * the operations of one open file description and is held over its I/O; nobody who holds a commit lock
 * asks for a handle. Locks 3 to 6 are never held over a system call that can block, nor over a
 * callback, nor over a reply to the kernel. (The clock's is, over the question what time it is by the file system: rarely,
 * and nothing can go on without the answer.) */
#pragma once
