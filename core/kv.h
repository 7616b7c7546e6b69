/* kv - a store for a program that thinks in keys and bytes rather than in files: what NVIDIA Dynamo's FileStore offers,
 * on the same layout, so that its processes and ours can share a root.
 *
 *   FileStore               here
 *   FileStore::new          ttl_kv_open: makes the directory; renews what was put through it; TTL 10 s
 *   get_or_create_bucket    ttl_kv_get_or_create_bucket
 *   get_bucket              ttl_kv_get_bucket
 *   insert                  ttl_kv_insert: revision 0 creates, any other puts
 *   get, delete, entries    ttl_kv_get, ttl_kv_delete, ttl_kv_entries
 *   watch                   ttl_kv_watch, ttl_kv_watch_next
 *   connection_id           ttl_kv_connection_id
 *   shutdown                ttl_kv_shutdown: removes what is still ours
 *
 * Owns a store with its background threads. Thread-safe, but for a TtlKvWatch, which has one user at a time. Keys are any
 * bytes, at least one; a bucket's name is a path of components, "v1/instances", or "" for the root. Where a key is given
 * back it has its bucket's name in front: "v1/instances/worker-1".
 *
 * Functions return 0 or -errno; besides what they name, what store.h says every verb may return. */
#pragma once

#include "store.h"

typedef struct TtlKv TtlKv;
typedef struct TtlKvBucket TtlKvBucket;
typedef struct TtlKvWatch TtlKvWatch;

/* @ttl NULL: 10 s. NULL with @error set in words for a person, as ttl_store_open(). */
TtlKv *ttl_kv_open (const char *path, const TtlDuration *ttl, GError **error);
/* Deletes the entries that were put through it and that nobody has put since, and frees it. Every bucket and every
 * watch must have been given back. */
void ttl_kv_shutdown (TtlKv *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TtlKv, ttl_kv_shutdown)

guint64 ttl_kv_connection_id (const TtlKv *self);
TtlStore *ttl_kv_store (TtlKv *self); /* borrowed */

/* Makes what is missing of the path. @ttl becomes the bucket's own; NULL leaves it the one that it has or inherits.
 * -EINVAL for a name with an empty component, "." or "..", -EPERM for the reserved one, -ENAMETOOLONG,
 * -EEXIST where a component is a key, -ENOTDIR where it is something foreign. */
int ttl_kv_get_or_create_bucket (TtlKv *self, const char *name, const TtlDuration *ttl,
                                 TtlKvBucket **bucket_out);
/* -ENOENT when there is none, -EINVAL as above. */
int ttl_kv_get_bucket (TtlKv *self, const char *name, TtlKvBucket **bucket_out);
void ttl_kv_bucket_free (TtlKvBucket *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TtlKvBucket, ttl_kv_bucket_free)

/* The bucket may be removed and made again between calls, by anybody: each finds it by its name. While it is not there,
 * they all return -ENOENT. */

/* @revision 0: -EEXIST where a live entry stands; one winner among all processes. Otherwise whatever stands there is
 * replaced. Readers see all of the value or none. -EINVAL for the empty key, -ENAMETOOLONG. */
int ttl_kv_insert (TtlKvBucket *self, const void *key, gsize key_len, const void *value,
                   gsize value_len, guint64 revision);
/* -ENOENT; -ENOMEM. On 0 the caller owns *@value_out. */
int ttl_kv_get (TtlKvBucket *self, const void *key, gsize key_len, GBytes **value_out);
/* -ENOENT when it is absent or expired. */
int ttl_kv_delete (TtlKvBucket *self, const void *key, gsize key_len);

typedef struct
{
  GBytes *key; /* with the bucket's name in front */
  GBytes *value;
} TtlKvEntry;

/* Every live key of the bucket itself, not of those below it, in no order. On 0 the caller owns *@entries_out, of
 * TtlKvEntry: g_ptr_array_unref() frees them too. */
int ttl_kv_entries (TtlKvBucket *self, GPtrArray **entries_out);

typedef enum
{
  TTL_KV_PUT,
  TTL_KV_DELETE, /* deleted, expired, or its bucket is gone */
} TtlKvEventKind;

typedef struct
{
  TtlKvEventKind kind;
  GBytes *key;   /* with the bucket's name in front */
  GBytes *value; /* NULL with DELETE */
} TtlKvEvent;

void ttl_kv_event_clear (TtlKvEvent *event);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TtlKvEvent, ttl_kv_event_clear)

/* Follows the bucket of that name, which need not be there yet or all the time. Events begin with a PUT for each key
 * that is there. They tell the state, not the history: whoever is slow misses values that were replaced meanwhile, never the
 * last one, and a DELETE comes only for a key whose PUT came. A renewal is no event. */
TtlKvWatch *ttl_kv_watch (TtlKvBucket *bucket);
void ttl_kv_watch_free (TtlKvWatch *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TtlKvWatch, ttl_kv_watch_free)
/* Waits for the next event: 1 with *@event_out filled, for ttl_kv_event_clear(); 0 when @timeout_ms has passed; -errno when
 * the backing directory cannot be read just now, and nothing is lost: call again. */
int ttl_kv_watch_next (TtlKvWatch *self, gint64 timeout_ms, TtlKvEvent *event_out);
