/* draft - one open file description that may write: from the version it opened to the value it publishes.
 *
 *   clean --first change, or opened new or with O_TRUNC--> draft --publish--> clean (of the published version)
 *     ^                                                      `---free--> dropped
 *     `--attributes set while clean are set on the version in place
 *
 * Owns: a descriptor of the version that it started from or published last (its base), one of a private file while
 * there is something unpublished (O_TMPFILE, or a scratch name where the file system has none), the claim that an
 * O_EXCL open made on the name, and its hold at the keeper.
 *
 * What always holds: the private file is nobody else's until it is linked to the key's name, and a file that has that
 * name is never written to again. Not thread-safe: the owner of the description locks. publish() takes the commit lock. */
#pragma once

#include "store.h"

typedef struct TtlDraft TtlDraft;

/* Opens @backing for writing. @flags: O_CREAT, O_EXCL, O_TRUNC, O_APPEND as in open(2); others are ignored.
 * @owner makes the file if it is new, and writes: root may keep a setuid bit over a write, others may not; and what others may
 * not change by its mode they do not publish over (-EACCES), whatever they could change when they opened the key. With
 * O_CREAT | O_EXCL the name is claimed: one winner among all mounts and peers, with nothing to be seen of it. -ENOENT,
 * -EEXIST, and what store.h lists. */
int ttl_draft_open (TtlStore *store, TtlBucket *bucket, const char *backing, int flags,
                    const TtlOwner *owner, gint64 now_ns, TtlDraft **draft_out);
/* The same for @writer of a key that was there a moment ago: should it be gone, what it makes is its @owner's again. */
int ttl_draft_open_found (TtlStore *store, TtlBucket *bucket, const char *backing, int flags,
                          const TtlOwner *owner, const TtlOwner *writer, gint64 now_ns,
                          TtlDraft **draft_out);
/* Another description, @writer's, of the same key that starts from @other's unpublished content, as if that had been written in
 * place. @flags: O_TRUNC, O_APPEND. */
int ttl_draft_open_like (TtlDraft *other, int flags, const TtlOwner *writer, TtlDraft **draft_out);
/* Opens for writing the version that @fd, which is taken also on failure, is open on: it had the name @backing when it was
 * looked up and has lost it since. What is published is a put after that. @flags: O_TRUNC, O_APPEND. */
int ttl_draft_open_version (TtlStore *store, TtlBucket *bucket, const char *backing, int fd_take,
                            int flags, const TtlOwner *writer, TtlDraft **draft_out);
/* Drops what is unpublished, the claim and the hold. */
void ttl_draft_free (TtlDraft *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TtlDraft, ttl_draft_free)

/* Something is unpublished and must be published by the last close. Safe to ask without the owner's lock. */
gboolean ttl_draft_is_dirty (TtlDraft *self);
/* It was changed through the description, so that the opener's close publishes. */
gboolean ttl_draft_is_touched (TtlDraft *self);
/* Nothing was ever published under this name by this description, and it started from no version. */
gboolean ttl_draft_is_new (TtlDraft *self);
gboolean ttl_draft_is_append (TtlDraft *self);
/* The version that it started from or published last, borrowed; st_ino 0: none. */
const struct stat *ttl_draft_version (const TtlDraft *self);
/* The same, for as long as who wrote it knows all that it holds; NULL when something of others' is in it, or it was deleted by
 * the process that writes it. */
const struct stat *ttl_draft_leaves_version (const TtlDraft *self);
/* Whether the file @ino is the one that it has published last, or is publishing just now. Safe to ask without the owner's
 * lock. */
gboolean ttl_draft_put (TtlDraft *self, ino_t ino);

TtlBucket *ttl_draft_bucket (TtlDraft *self);   /* borrowed */
const char *ttl_draft_backing (TtlDraft *self); /* borrowed */

/* A descriptor to read the description's content from; borrowed, valid until the next change or publication. */
int ttl_draft_fd (TtlDraft *self);
/* A descriptor to change the content through; borrowed likewise. Copies the base first, if that has not been done.
 * @keep FALSE: the change is a truncation to nothing, so that there is nothing to copy. */
int ttl_draft_change (TtlDraft *self, gboolean keep, int *fd_out);
/* That change has failed, and nothing is different: then it is not to be published, either. Right after it. */
void ttl_draft_change_failed (TtlDraft *self);
/* Writes at @offset, or, TTL_WRITE_AT_END, behind the end of the content: then what other writers append meanwhile is
 * kept when this is published (what there is to be kept is decided just before: a lease that ends at that very moment
 * counts as alive). Returns the bytes written or -errno. A write that the backing file system refuses, in
 * whole or in part, spoils the draft: publishing fails with that errno until the missing bytes have been written or the
 * content has been truncated to nothing. The old value stays, and nothing half-written takes its place. */
#define TTL_WRITE_AT_END G_GINT64_CONSTANT (-1)
ssize_t ttl_draft_write (TtlDraft *self, const void *data, gsize len, gint64 offset);
int ttl_draft_resize (TtlDraft *self, gint64 size_bytes);
/* The content is known to be incomplete: publishing fails with @err. */
void ttl_draft_spoil (TtlDraft *self, int err);
/* Drops what is unpublished; the description stays, on the version that it started from or published last. */
void ttl_draft_discard (TtlDraft *self);

/* Starts from the version that has the name now, if there is one and nothing is unpublished: for whoever has waited for a
 * lock since the open, and reads now what the last holder put. */
void ttl_draft_refresh (TtlDraft *self, gint64 now_ns);

int ttl_draft_stat (TtlDraft *self, struct stat *st_out);
/* Sets attributes on the draft, or on the version in place while clean. mtime as in store.h. */
int ttl_draft_set_attrs (TtlDraft *self, const TtlAttrs *attrs, gint64 now_ns);
/* As in store.h. user.ttlfs.revision is that of the version that the description started from or published last (-ENODATA:
 * none). user.ttlfs.if-match (-EINVAL: not of a revision's form) makes the next publication conditional: it replaces the
 * version of that revision and no other, under the exclusive commit lock, and against peers, who take none, by letting
 * the two files change places and looking at what came out (see publish()). Otherwise publish() gives -ESTALE, drops what is
 * unpublished and keeps the condition. */
int ttl_draft_set_xattr (TtlDraft *self, const char *name, const void *value, gsize size, int flags,
                         gint64 now_ns);
int ttl_draft_remove_xattr (TtlDraft *self, const char *name, gint64 now_ns);
ssize_t ttl_draft_get_xattr (TtlDraft *self, const char *name, void *value_out, gsize size,
                             gint64 now_ns);
ssize_t ttl_draft_list_xattr (TtlDraft *self, char *names_out, gsize size);

typedef enum
{
  TTL_PUBLISH_DEFAULT = 0,
  TTL_PUBLISH_SYNC = 1 << 0, /* on stable storage when it returns, also what was published before */
  TTL_PUBLISH_CREATE = 1 << 1, /* -EEXIST when a live value stands there */
  TTL_PUBLISH_LAST = 1 << 2,   /* the description ends: no hold */
} TtlPublishFlags;

/* Publishes what is unpublished, with the time when it has the commit lock; 0 when there is nothing. After an error the old
 * value stands, the draft is still there, and publishing can be tried again, but not by LAST, which drops what was refused
 * and has not been changed since: who was told that it failed must not find it done afterwards. An error of the sync
 * spoils the draft, since what the kernel could not write it forgets.
 *
 * What was only appended goes behind the value that stands there, and replaces no other one, in the same way; what has
 * ended is taken away as the reaper does it. When a peer has been quicker it is tried again, 64 times (-EBUSY). Where the file
 * system cannot let two files change places (RENAME_EXCHANGE), a peer's put or deletion in between is lost. */
int ttl_draft_publish (TtlDraft *self, TtlPublishFlags flags);

/* Called by the thread that does it, with no lock of core's held: when a description gets something unpublished, and when it
 * has been published, before publish() returns. */
typedef struct TtlDraftObserver
{
  void (*begun) (TtlDraft *draft, gpointer data);
  void (*published) (TtlDraft *draft, gboolean is_new,
                     gpointer data); /* @is_new: no live value had the name */
  gpointer data;
} TtlDraftObserver;
/* Before there are drafts. One at a time; NULL: none. @observer is copied. */
void ttl_store_set_draft_observer (TtlStore *store, const TtlDraftObserver *observer);

/* The key got another name. */
void ttl_draft_moved (TtlDraft *self, TtlBucket *bucket, const char *backing);
/* The key was deleted by the process that writes it: nothing will be published. */
void ttl_draft_orphan (TtlDraft *self);
