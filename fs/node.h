/* node - what the kernel's node ids stand for.
 *
 * Three kinds:
 *   bucket  a directory; one node for as long as the kernel knows it
 *   value   one published version of a key. Readers open it, and the kernel may cache its pages and its size: when the
 *           version is replaced the node is *retired*, the key gets another one, and the readers keep theirs. (What the
 *           kernel is told of a size it may drop, when it has been told meanwhile that it is another: a node that stood for
 *           one version after the other would be read by the size of the wrong one.)
 *   draft   the private inode of one writer (writer.h). Nobody else's path lookup ends at it, so its size, times and
 *           pages are the writer's alone, by fstat() and mmap() too.
 *
 * An id is  generation << 48 | sequence : it is never given twice, and one of an earlier daemon is known as such.
 *
 * A draft node comes to be in one of three ways. CREATE makes one and replies with it. An OPEN for writing of a value
 * node that nobody else reads or looks at makes that the writer's, and the key gets another one when it is looked up next.
 * Otherwise the OPEN is answered ESTALE; the kernel then looks the path up again, once, and that LOOKUP by the same thread is
 * answered with a fresh draft node, which the second OPEN opens. The note that makes the two meet is an *intent*.
 * After the last close, a draft node becomes the key's value node if the key has no other.
 *
 * The kernel may still believe that a path leads to a node that is another's by now: the writer's, or nobody's. It is then
 * *misled*; what it asks of the node is answered ESTALE, and it looks the path up (promise.h).
 *
 * A caller of a pid namespace that we cannot see is nobody to us, and between two of its requests nothing can be kept for
 * it. Each of its LOOKUPs is therefore answered with a value node of its own, which an OPEN for writing makes a draft.
 *
 * Owns: the table of nodes, and a bucket reference and name per node. A node lives while the kernel has looked it
 * up more often than it forgot it, or while it is pinned. One mutex (order 3), never held over a system call. */
#pragma once

#include "access.h"
#include "promise.h"
#include "store.h"
#include "writer.h"

typedef struct TtlNodes TtlNodes;
typedef struct TtlNode TtlNode;

typedef enum
{
  TTL_NODE_BUCKET,
  TTL_NODE_VALUE,
  TTL_NODE_DRAFT,
} TtlNodeKind;

/* What has been promised to the kernel and does not hold any more. What is in it counts as promised until
 * ttl_nodes_recalled(): of two who change a key neither may count on the other to have told the kernel already. */
typedef struct
{
  struct
  {
    guint64 id;
    guint promised; /* how often it had been when this was written */
  } attrs[2];       /* the nodes whose attributes are others now */
  guint n_attrs;
  gboolean entries; /* all of them */
  guint64 entry_of; /* the node because of which; 0: no one */
  guint promised;   /* as above */
  guint64 over;     /* the value node that is to be retired then, 0: none */
} TtlRecall;

TtlNodes *ttl_nodes_new (TtlBucket *root, guint16 generation);
void ttl_nodes_free (TtlNodes *self);

/* A pinned node, or NULL when the id was never given or is gone: -ESTALE. */
TtlNode *ttl_nodes_get (TtlNodes *self, guint64 id);
void ttl_node_unpin (TtlNode *node);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TtlNode, ttl_node_unpin)

guint64 ttl_node_id (const TtlNode *node);
TtlNodeKind ttl_node_kind (const TtlNode *node);
/* The node's bucket (a bucket node: itself), a new reference; @backing_out, which may be NULL, gets the key's name. */
TtlBucket *ttl_node_dup_place (TtlNode *node, TtlName backing_out);

/* Each of these returns a pinned node that counts one more lookup: it is meant to be told to the kernel; where the reply
 * fails, ttl_nodes_forget() it. */
TtlNode *ttl_nodes_ensure_bucket (TtlNodes *self, TtlBucket *bucket);
/* NULL: another version is promised; do *@recall_out first, and ask again. */
TtlNode *ttl_nodes_ensure_value (TtlNodes *self, TtlBucket *bucket, const char *backing,
                                 const struct stat *st, TtlRecall *recall_out);
/* A value node that no other LOOKUP ends at. An OPEN for writing may make it a draft node, so it has an origin like one. */
TtlNode *ttl_nodes_add_private (TtlNodes *self, TtlBucket *bucket, const char *backing,
                                const struct stat *st);
TtlNode *ttl_nodes_add_draft (TtlNodes *self, TtlBucket *bucket, const char *backing);
void ttl_nodes_forget (TtlNodes *self, guint64 id, guint64 lookups);

/* ---- value nodes ---- */

typedef enum
{
  TTL_OPEN_FRESH,  /* pages of an earlier version may be cached: they must go */
  TTL_OPEN_CACHED, /* the pages are of this very version */
  TTL_OPEN_OTHER,  /* the node stands for another version that is being read: look up again */
} TtlOpenVerdict;

/* The version @st has been opened through @node with descriptor @fd; unless OTHER, call close_value() at the end. @until_us: how
 * long the version's entry may be promised, monotonic. *@recall_out: what has to be taken back before the reply. */
TtlOpenVerdict ttl_node_open_value (TtlNode *node, const struct stat *st, int fd, gint64 until_us,
                                    TtlRecall *recall_out);
/* OTHER, and nevertheless opened: the kernel does not look again. As above. */
void ttl_node_open_other (TtlNode *node, int fd, TtlRecall *recall_out);
void ttl_node_close_value (TtlNode *node, int fd);
/* Whether the version @st, which was found under its name, is the one that the node stands for. */
gboolean ttl_node_is_of (TtlNode *node, const struct stat *st);
/* What was told of it last. */
void ttl_node_get_seen (TtlNode *node, struct stat *st_out);
void ttl_node_set_seen (TtlNode *node, const struct stat *st);
/* A reply tells of the node what is @st, whatever it stands for. */
void ttl_node_told (TtlNode *node, const struct stat *st);
/* The number by which the kernel knows the inode, and /proc shows who has it open: what it was told last, which after a publication
 * is another than the new version's. 0: none. */
ino_t ttl_node_told_ino (TtlNode *node);
/* That one, and, for a reply that is on its way, that of the version that it stands for. */
void ttl_node_get_inos (TtlNode *node, ino_t inos_out[2]);
/* The node's version was found to be @st. It is told so if nothing newer was (a change of attributes moves the ctime). */
void ttl_node_saw (TtlNode *node, const struct stat *st);
/* What access @who has, by the kernel's own check of @node, to what may stand in for its version. */
TtlAccess ttl_node_access (TtlNode *node, const TtlOwner *who, guint wanted);
/* A duplicate of a descriptor that a reader of the node's version has open, or -1. */
int ttl_node_dup_fd (TtlNode *node);

/* ---- draft nodes ---- */

/* The writer, a new reference; NULL while the node waits for its OPEN or after the last close. */
TtlWriter *ttl_node_dup_writer (TtlNode *node);
gboolean ttl_node_is_of_writer (TtlNode *node, const TtlWriter *writer);
/* FALSE when another OPEN was faster: it has a writer, or had one and is a value node now. */
gboolean ttl_node_set_writer (TtlNode *node, TtlWriter *writer);
/* The last description of @writer was closed. If it was the node's: @st is of the version that it published or opened and that the
 * kernel knows the size of, so that the node may become the key's value node; NULL: none. */
void ttl_node_writer_gone (TtlNode *node, TtlWriter *writer, const struct stat *st);
/* A CREATE is to be answered with it under a name whose absence was promised. The kernel makes the name lead there a moment
 * before it forgets that promise (fuse_create_open()), so until a second later somebody else may come by his path; what he
 * asks is answered ESTALE, and the kernel looks up. The attributes of such a node must not be promised. */
void ttl_node_set_new (TtlNode *node);
gboolean ttl_node_is_new (TtlNode *node);
/* The kernel was told another size than the draft's. */
void ttl_node_disturb (TtlNode *node);
/* The draft node of (bucket, backing) with something unpublished that thread @tid's process writes: pinned and
 * with one lookup more; NULL when there is none. */
TtlNode *ttl_nodes_find_own_draft (TtlNodes *self, TtlBucket *bucket, const char *backing,
                                   pid_t tid);
/* All writers of (bucket, backing), as a GPtrArray of references. */
GPtrArray *ttl_nodes_dup_writers (TtlNodes *self, TtlBucket *bucket, const char *backing);

/* ---- intents ---- */

/* Thread @tid is about to be answered ESTALE, so that it looks up again what @node stands for; for reading, that LOOKUP is to
 * tell it of a private node. FALSE when it was answered so a moment ago for the same key and purpose and has come here again
 * (a path leads elsewhere, /dev/fd/N does not): a second ESTALE would reach the user, so it must be served as
 * it is. (For another purpose it is another open: the first ended at a LOOKUP that found nothing, which we are not told.) */
gboolean ttl_nodes_intend (TtlNodes *self, TtlNode *node, pid_t tid, gboolean to_write);
/* For callers of whom nothing can be remembered: TRUE where the node is not theirs alone, but not twice within a moment. */
gboolean ttl_node_refuse_once (TtlNode *node);
/* The same when it has asked for the node's attributes: on its way to an OPEN maybe, which may not be answered so once more. */
void ttl_nodes_sent_back (TtlNodes *self, TtlNode *node, pid_t tid);
/* Whether it is to be told of a private node, which will do for every question and every kind of OPEN. (Who comes to another
 * node has not been sent back on this way.) */
gboolean ttl_nodes_was_sent_back (TtlNodes *self, TtlBucket *bucket, const char *backing,
                                  pid_t tid);
/* The thread has been told the attributes of @node. If that is the private one, its way back has come to an end. */
void ttl_nodes_answered (TtlNodes *self, TtlNode *node, pid_t tid);
gboolean ttl_node_is_private (TtlNode *node); /* it came from add_private() */
/* Makes a value node that nobody reads, and that no other caller was told of, a draft node. */
gboolean ttl_node_convert (TtlNode *node);
/* Makes the key's value node the draft node of thread @tid's @writer. *@recall_out: its attributes, if they are promised; to be
 * taken back before the OPEN is answered. FALSE when it is not, or is read. Also when the OPEN @truncates, and the attributes
 * are promised, or were until a moment ago, to anybody else: the kernel then sets the size that it knows to 0 as soon as it has the
 * answer, and who is just reading what was promised sees that, however soon it is taken back. (When something is
 * written it sets it to more; whoever would see that has slept for a whole round trip between two lines of the kernel.) */
gboolean ttl_node_take_over (TtlNode *node, pid_t tid, gboolean truncates, TtlWriter *writer,
                             TtlRecall *recall_out);
/* Whether ttl_node_take_over() might do. */
gboolean ttl_node_may_be_taken_over (TtlNode *node, pid_t tid, gboolean truncates);
/* The draft node that thread @tid's intent to write (bucket, backing) entitles it to: pinned and with one lookup more;
 * NULL without such an intent. */
TtlNode *ttl_nodes_redeem (TtlNodes *self, TtlBucket *bucket, const char *backing, pid_t tid);
/* What a draft node on its way to its OPEN says of itself, and the draft of the same process that it starts from, a
 * reference, or NULL; without one, a descriptor of the published version that was found, or -1. */
void ttl_node_set_origin (TtlNode *node, const struct stat *st, TtlWriter *writer, int fd_take);
TtlWriter *ttl_node_dup_origin (TtlNode *node, struct stat *st_out);
int ttl_node_take_origin_fd (TtlNode *node); /* the caller's from then on */
/* The thread's OPEN has been answered for good. */
void ttl_nodes_fulfil (TtlNodes *self, pid_t tid);

/* ---- names that move ---- */

/* (from) became (to), or, with @exchange, they changed places. What stood under @to is retired. */
void ttl_nodes_moved (TtlNodes *self, TtlBucket *from, const char *from_backing, TtlBucket *to,
                      const char *to_backing, gboolean exchange);
void ttl_nodes_removed (TtlNodes *self, TtlBucket *bucket, const char *backing);

/* ---- promises (promise.h) ---- */

typedef enum
{
  TTL_PROMISE_ATTRS = 1 << 0, /* the attributes of a node */
  TTL_PROMISE_ENTRY = 1 << 1, /* that its name leads to it */
} TtlPromiseWhat;

/* Promises @what, a set, of @node to thread @to (0: to whomever) for @for_us from now, which was seen to be @st after @stamp was
 * taken; returns what of it may be promised: nothing, where it has changed, or the node is not what paths lead to. */
guint ttl_node_promise (TtlNode *node, TtlPromises *promises, const TtlStamp *stamp,
                        const struct stat *st, gint64 for_us, guint what, pid_t to);
/* The same of a new draft's attributes, which only its writer asks for. */
void ttl_node_promise_draft (TtlNode *node, const struct stat *st, gint64 for_us, pid_t to);
/* Whether the kernel may use the node for a path that does not lead to it, or to it for its owner only. */
gboolean ttl_node_is_misled (TtlNode *node);
/* Whether the kernel may use it for a path without asking. */
gboolean ttl_node_is_remembered (TtlNode *node);
/* What has to be taken back when its attributes are others, or so that no path leads to it. */
void ttl_node_recall_attrs (TtlNode *node, TtlRecall *recall_out);
void ttl_node_recall_entry (TtlNode *node, TtlRecall *recall_out);
/* Of one version, with the same attributes. */
gboolean ttl_node_is_same_stat (const struct stat *a, const struct stat *b);
/* What was in @recall has been taken back. */
void ttl_nodes_recalled (TtlNodes *self, const TtlRecall *recall);

/* What has to be taken back since (bucket, backing) was changed. @by: the draft that was published, or NULL. @st: the
 * version that stands there now, NULL for none. @told: a node whose attributes are told by the reply, or NULL. @until_us: how
 * long an entry may be promised now, monotonic. */
void ttl_nodes_changed (TtlNodes *self, TtlBucket *bucket, const char *backing, const TtlDraft *by,
                        const struct stat *st, const TtlNode *told, gint64 until_us,
                        TtlRecall *recall_out);
/* What has to be taken back since somebody has something unpublished of the key. */
void ttl_nodes_begun (TtlNodes *self, TtlBucket *bucket, const char *backing,
                      TtlRecall *recall_out);
gboolean ttl_nodes_has_unpublished (TtlNodes *self, TtlBucket *bucket, const char *backing);
/* FALSE when nothing of the key is promised. *@told_out: what was told of its value node last; st_ino 0: nothing. */
gboolean ttl_nodes_is_promised (TtlNodes *self, TtlBucket *bucket, const char *backing,
                                struct stat *told_out);
/* The bucket's own attributes, if they are promised. */
void ttl_nodes_bucket_changed (TtlNodes *self, TtlBucket *bucket, TtlRecall *recall_out);
gboolean ttl_nodes_is_bucket_promised (TtlNodes *self, TtlBucket *bucket);
/* Whether the version @st of the key is one that was told, or put, here. */
gboolean ttl_nodes_knows_version (TtlNodes *self, TtlBucket *bucket, const char *backing,
                                  const struct stat *st);
/* The ids of all bucket nodes whose attributes are promised, as an array of guint64. */
GArray *ttl_nodes_dup_promised_buckets (TtlNodes *self);

/* ---- nodes that are over ---- */

/* The id of the value node of (bucket, backing), 0 when the kernel knows of none. */
guint64 ttl_nodes_find_id (TtlNodes *self, TtlBucket *bucket, const char *backing);
/* Whether no path leads to the node again: a draft that is closed, a version that was replaced and is read by nobody. */
gboolean ttl_nodes_is_over (TtlNodes *self, guint64 id);
guint64 ttl_nodes_count (TtlNodes *self);
