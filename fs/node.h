/* node - what the kernel's node ids stand for.
 *
 * Three kinds:
 *   bucket  a directory; one node for as long as the kernel knows it
 *   value   one published version of a key. Readers open it, and the kernel may cache its pages: a node whose version
 *           has been replaced while somebody reads it is *retired*: the key gets another node, and the readers
 *           keep theirs with its pages. Without readers it is bound to the new version instead.
 *   draft   the private inode of one writer (writer.h). Nobody else's path lookup ends at it, so its size, times and
 *           pages are the writer's alone, by fstat() and mmap() too.
 *
 * An id is  generation << 48 | sequence : it is never given twice, and one of an earlier daemon is known as such.
 *
 * A draft node comes to be in one of two ways. CREATE makes one and replies with it. An OPEN for writing of a *value* node
 * is answered ESTALE; the kernel then looks the path up again, once, and that LOOKUP by the same thread is
 * answered with a fresh draft node, which the second OPEN opens. The note that makes the two meet is an *intent*.
 *
 * A caller of a pid namespace that we cannot see is nobody to us, and between two of its requests nothing can be kept for
 * it. Each of its LOOKUPs is therefore answered with a value node of its own, which an OPEN for writing makes a draft.
 *
 * Owns: the table of nodes, and a bucket reference and name per node. A node lives while the kernel has looked it
 * up more often than it forgot it, or while it is pinned. One mutex (order 2), never held over a system call. */
#pragma once

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
TtlNode *ttl_nodes_ensure_value (TtlNodes *self, TtlBucket *bucket, const char *backing,
                                 const struct stat *st);
/* A value node that no other LOOKUP ends at. */
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

/* The version @st has been opened through @node with descriptor @fd; unless OTHER, call close_value() at the end. */
TtlOpenVerdict ttl_node_open_value (TtlNode *node, const struct stat *st, int fd);
void ttl_node_close_value (TtlNode *node, int fd);
/* Whether the version @st, which was found under its name, is the one that the node stands for. It is made to be where
 * nobody reads an older one. */
gboolean ttl_node_bind (TtlNode *node, const struct stat *st);
/* What the last lookup that ended at the node told of it. */
void ttl_node_get_seen (TtlNode *node, struct stat *st_out);
/* A duplicate of a descriptor that a reader of the node's version has open, or -1. */
int ttl_node_dup_fd (TtlNode *node);

/* ---- draft nodes ---- */

/* The writer, a new reference; NULL while the node waits for its OPEN or after the last close. */
TtlWriter *ttl_node_dup_writer (TtlNode *node);
void ttl_node_set_writer (TtlNode *node,
                          TtlWriter *writer); /* NULL: the last description was closed */
/* The draft node of (bucket, backing) with something unpublished that thread @tid's process writes: pinned and
 * with one lookup more; NULL when there is none. */
TtlNode *ttl_nodes_find_own_draft (TtlNodes *self, TtlBucket *bucket, const char *backing,
                                   pid_t tid);
/* All writers of (bucket, backing), as a GPtrArray of references. */
GPtrArray *ttl_nodes_dup_writers (TtlNodes *self, TtlBucket *bucket, const char *backing);

/* ---- intents ---- */

/* Thread @tid is about to be answered ESTALE, so that it looks up again what @node stands for. FALSE when it was
 * answered so a moment ago for the same key and purpose: a second ESTALE would reach the user, so it must be served as
 * it is. (For another purpose it is another open: the first ended at a LOOKUP that found nothing, which we are not told.) */
gboolean ttl_nodes_intend (TtlNodes *self, TtlNode *node, pid_t tid, gboolean to_write);
/* Makes a value node that nobody reads, and that no other caller was told of, a draft node. */
gboolean ttl_node_convert (TtlNode *node);
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

/* ---- nodes that are over ---- */

/* The id of the value node of (bucket, backing), 0 when the kernel knows of none. */
guint64 ttl_nodes_find_id (TtlNodes *self, TtlBucket *bucket, const char *backing);
/* Whether no path leads to the node again: a draft that is closed, a version that was replaced and is read by nobody. */
gboolean ttl_nodes_is_over (TtlNodes *self, guint64 id);
guint64 ttl_nodes_count (TtlNodes *self);
