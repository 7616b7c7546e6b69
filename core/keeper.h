/* keeper - renews leases for as long as somebody holds them: every third of the TTL.
 *
 * Two kinds of entries. Held: a description that stays open for writing after its first publication; the holder says
 * when it ends. Owned: with TTL_KEEPALIVE_OWNED, whatever was put through this store; ours until the key becomes
 * another file, and removed at the end. Both are renewed only while the name still stands for the very file
 * that was published, so a value that somebody else put since is neither kept alive nor removed.
 *
 * Many are renewed together: what is due within a 64th of its TTL goes along with what is due. A renewal is four system calls
 * (open, look, renew, close); the new deadline is noted in the reaper's index at once, and the event that it makes is
 * recognised by the watcher, so that none of the two has work of its own.
 *
 * Owns its table (lock of order 4) and one thread. Holds no descriptors: 100,000 holds cost memory only. */
#pragma once

#include "store.h"

typedef struct TtlKeeper TtlKeeper;

TtlKeeper *ttl_keeper_new (TtlStore *store);
void ttl_keeper_start (TtlKeeper *self);
void ttl_keeper_stop (TtlKeeper *self);
void ttl_keeper_free (TtlKeeper *self);

/* Renews the file @fd, which stands under @backing now (@fd may be opened with O_PATH, and be a symlink), first at
 * @first_ns, then every third of its TTL. Returns a number for release(), 0 on failure. */
guint64 ttl_keeper_hold (TtlKeeper *self, TtlBucket *bucket, const char *backing, int fd,
                         gint64 first_ns);
void ttl_keeper_release (TtlKeeper *self, guint64 hold); /* 0 is ignored */
/* The held file got another name. */
void ttl_keeper_moved (TtlKeeper *self, guint64 hold, TtlBucket *bucket, const char *backing);

/* The file @fd was put under @backing through this store; does nothing without TTL_KEEPALIVE_OWNED. */
void ttl_keeper_own (TtlKeeper *self, TtlBucket *bucket, const char *backing, int fd);
/* What was owned as @from is @to now. */
void ttl_keeper_own_moved (TtlKeeper *self, TtlBucket *from, const char *from_backing,
                           TtlBucket *to, const char *to_backing);
/* What was owned as one of the two is the other now. */
void ttl_keeper_own_exchanged (TtlKeeper *self, TtlBucket *a, const char *a_backing, TtlBucket *b,
                               const char *b_backing);
void ttl_keeper_remove_owned (TtlKeeper *self);
guint64 ttl_keeper_count (TtlKeeper *self); /* of what is renewed */

/* The file @backing in the directory @dir_fd, whose number is @ino, has expired by its times. TRUE when it is held, or owned: then its renewal
 * is late (the daemon was stopped, or the machine slept), not given up, and it has been renewed now. */
gboolean ttl_keeper_rescue (TtlKeeper *self, int dir_fd, const char *backing, ino_t ino,
                            gint64 now_ns);

/* Whether a file that has these times got them by our own renewal, which has been noted everywhere. */
gboolean ttl_keeper_has_renewed (TtlKeeper *self, const struct stat *st);
/* The file of that number may have another TTL of its own now; 0: any. */
void ttl_keeper_attributes_changed (TtlKeeper *self, ino_t ino);

/* TTLs have changed: every renewal is planned anew. */
void ttl_keeper_recheck (TtlKeeper *self);
/* Renews what is due at @now_ns; returns when the next is. */
gint64 ttl_keeper_run (TtlKeeper *self, gint64 now_ns);
