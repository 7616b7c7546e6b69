/* locks - advisory locks on keys: what fcntl(F_SETLK) and flock() mean on a mount.
 *
 * Every writing open of a key has an inode of its own, so the kernel, which locks inodes, would
 * let two writers in. Here a lock belongs to the key's name: it holds across publications, and
 * also when the key expires, is removed or was never published. A key that is renamed leaves its
 * locks behind.
 *
 * Owns: who holds and who waits for what. No I/O, no clock, no libfuse. Thread-safe: one mutex,
 * a leaf, never held over a callback; every function may be called from any thread, also from a
 * callback.
 *
 * The rules are those of Linux:
 *   - POSIX locks are ranges of bytes. An owner's new range replaces, splits or joins what it has
 *     there, in one step; while it waits it keeps what it had. A wait that would close a circle of
 *     owners who wait for each other, over whatever keys, is refused.
 *   - A flock is one lock of an owner on the whole key. To convert it is to drop it and to ask
 *     again: whoever waits (or gets -EAGAIN) has lost the one it had. Circles are not looked for.
 *   - The two kinds do not see each other. An owner never conflicts with itself.
 *   - Waiting holds nobody up: a request is judged by what is held. When something is given back,
 *     the waiters are looked at in the order they came; each that conflicts no more has its lock.
 *
 * What always holds: the ranges of one owner do not overlap, two of one type do not touch, and
 * there are at most TTL_LOCK_MAX_RANGES of them on a key. A waiter is one blocked system call of
 * a client. So memory is bounded by what the clients have open. */
#pragma once

#include <glib.h>

/* Per owner and key. A program that locks records one by one stays far below; one that locks
 * every other byte of a file would otherwise take all our memory. */
#define TTL_LOCK_MAX_RANGES 1024

typedef struct TtlLocks TtlLocks;       /* the locks of a mount */
typedef struct TtlLockFile TtlLockFile; /* the locks of one key, shared by reference */

typedef enum
{
  TTL_LOCK_POSIX,
  TTL_LOCK_FLOCK,
} TtlLockKind;

typedef struct
{
  guint64 owner;  /* the kernel's lock owner: a process's table of files, or an open file */
  guint64 handle; /* the open file description it came through: ttl_lock_release_handle() */
  guint64 start;  /* start and end are not looked at for a flock */
  guint64 end;    /* inclusive; G_MAXINT64 and above: to the end of the file, wherever that is */
  gint32 pid;     /* told to those who ask who is in their way, nothing else */
  short type;     /* F_RDLCK, F_WRLCK or F_UNLCK */
} TtlLock;

TtlLocks *ttl_locks_new (void);
/* Every file's reference must have been given back. */
void ttl_locks_free (TtlLocks *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TtlLocks, ttl_locks_free)

/* The locks of the key @backing in the bucket with that id: a reference. */
TtlLockFile *ttl_locks_ensure_file (TtlLocks *self, guint64 bucket, const char *backing);
/* With the last reference go the locks that are left; a waiter that is left is told -EINTR, so
 * hold a reference for as long as you wait. Never the last one while another thread uses the
 * file. */
void ttl_lock_file_unref (TtlLockFile *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TtlLockFile, ttl_lock_file_unref)

/* The end of a wait: 0 (the lock is held), -ENOLCK, or -EINTR (see release_handle). Called once,
 * without any lock, in the thread that gave back what was waited for; possibly before the
 * ttl_lock_set() that returned -EINPROGRESS has returned, but never from within it. */
typedef void (*TtlLockGrant) (int res, gpointer data);

/* A name, never 0 and never used again, for a wait that may be cut short. Each must go into
 * exactly one ttl_lock_set(), which uses it up whatever it returns. It is drawn beforehand so
 * that the one who may interrupt can be told of it before the wait begins: once ttl_lock_set()
 * has returned -EINPROGRESS the request may have been answered and be gone. */
guint64 ttl_locks_new_ticket (TtlLocks *self);

/* Sets or, with F_UNLCK, gives back. @grant NULL: does not wait. @ticket 0: cannot be cancelled.
 * Returns 0 (done),
 *   -EINPROGRESS  @grant will be called, unless ttl_locks_cancel() returns TRUE; @data is taken
 *   -EAGAIN       in conflict, and @grant is NULL
 *   -EDEADLK      POSIX: would wait for one who waits, directly or not, for @wanted->owner
 *   -EINTR        would wait, but the ticket is cancelled
 *   -ENOLCK       the owner would have more than TTL_LOCK_MAX_RANGES ranges; also where an unlock
 *                 would split one
 *   -EINVAL       the type is none of the three, or start > end, or start > G_MAXINT64
 * An fcntl(F_OFD_SETLKW) looks like any other here, so it can get -EDEADLK too. */
int ttl_lock_set (TtlLockFile *self, TtlLockKind kind, const TtlLock *wanted, guint64 ticket,
                  TtlLockGrant grant, gpointer data);

/* The wait was interrupted. TRUE: it is over, its grant was not and will not be called, the
 * caller answers EINTR. FALSE: somebody else answers; it was granted just now, or the ticket's
 * ttl_lock_set() is yet to come and will return -EINTR where it would have waited. */
gboolean ttl_locks_cancel (TtlLocks *self, guint64 ticket);

/* Of the locks in the way of @wanted the one that begins first; type F_UNLCK when there is none. */
void ttl_lock_get (TtlLockFile *self, TtlLockKind kind, const TtlLock *wanted,
                   TtlLock *conflict_out);

/* Whether its owner has exclusively what @wanted makes a shared lock. */
gboolean ttl_lock_is_weaker (TtlLockFile *self, TtlLockKind kind, const TtlLock *wanted);

/* A process closes a descriptor of the key (FLUSH): its POSIX locks go, whichever descriptor
 * they came through. A thread of it that waits goes on waiting, as on Linux, where close() in
 * one thread is not heard in another. */
void ttl_lock_release_owner (TtlLockFile *self, TtlLockKind kind, guint64 owner);

/* An open file description is gone (RELEASE): every lock of both kinds that came through it
 * goes, and a waiter that is left is told -EINTR. This is what ends flocks, and
 * fcntl(F_OFD_SETLK) locks, for which the kernel sends no unlock and no FLUSH with their owner;
 * of a process's own locks none can be left by now. */
void ttl_lock_release_handle (TtlLockFile *self, guint64 handle);
