#include "node.h"

#include "cleanup.h"

#include <fcntl.h>

#define ROOT_ID 1        /* FUSE_ROOT_ID */
#define INTENTS_MAX 4096 /* threads between an ESTALE and their second OPEN */
#define CROWDED_US \
  200000 /* a node that has readers so soon after it was made will have them again */
#define INTENT_US \
  10000000 /* how long such a thread may take: a name that many open at once is looked up many times */

typedef struct
{
  guint64 bucket_id;
  const char *backing; /* borrowed from a node, or from the stack of who looks */
} Place;

struct TtlNode
{
  TtlNodes *table;
  guint64 id;
  gint kind; /* TtlNodeKind; atomic: a value node may become a draft node */
  /* guarded by table->lock from here on */
  guint64 lookups;
  guint pins;
  TtlBucket *bucket; /* owns a reference */
  char *backing;     /* NULL for buckets */
  Place place;       /* the key under which it is in the tables */

  struct stat seen;    /* value, draft before its OPEN: what the last lookup told */
  struct stat version; /* value: what it stands for; st_ino == 0 before the first open tells */
  gboolean opened;     /* value: the kernel may have pages of `version` */
  gboolean retired;    /* value: not in by_key any more */
  GArray *fds; /* value: descriptors of readers, borrowed from their handles; NULL while empty */

  TtlWriter *writer; /* draft: owns a reference; NULL before its OPEN and after the last close */
  TtlWriter *
      origin; /* draft, before its OPEN: what it starts from; owns a reference; `seen` is its attributes */
  int origin_fd; /* likewise: the version that it starts from; -1 for none */
};

typedef struct
{
  guint64 node_id; /* what the thread tried to open */
  guint64 bucket_id;
  char *backing;
  gboolean to_write;
  guint64 draft_id; /* the node it was given in the lookup, 0 before */
  gint64 since_us;
} Intent;

struct TtlNodes
{
  pthread_mutex_t lock;  /* order 2; guards all below */
  GHashTable *by_id;     /* id -> TtlNode, owned */
  GHashTable *by_bucket; /* bucket id -> bucket node, borrowed */
  GHashTable *by_key;    /* Place -> value node, borrowed */
  GHashTable *drafts;    /* Place -> GPtrArray of draft nodes that have a writer, borrowed */
  GHashTable *intents;   /* thread id -> Intent */
  guint64 prefix;
  guint64 next;
  TtlNode *root;
};

/* ---- the tables ---- */

static guint
place_hash (gconstpointer data)
{
  const Place *place = data;

  return g_str_hash (place->backing) * 31 + (guint)place->bucket_id;
}

static gboolean
place_equal (gconstpointer a, gconstpointer b)
{
  const Place *x = a, *y = b;

  return x->bucket_id == y->bucket_id && strcmp (x->backing, y->backing) == 0;
}

static void
intent_free (gpointer data)
{
  Intent *intent = data;

  g_free (intent->backing);
  g_free (intent);
}

static void
node_free (gpointer data)
{
  TtlNode *node = data;

  g_clear_pointer (&node->fds, g_array_unref);
  g_clear_pointer (&node->writer, ttl_writer_unref);
  g_clear_pointer (&node->origin, ttl_writer_unref);
  ttl_clear_fd (&node->origin_fd);
  ttl_bucket_unref (node->bucket);
  g_free (node->backing);
  g_free (node);
}

static TtlNode *
add_locked (TtlNodes *self, TtlNodeKind kind, TtlBucket *bucket, const char *backing)
{
  TtlNode *node = g_new0 (TtlNode, 1);

  node->table = self;
  node->id = self->prefix | ++self->next;
  node->origin_fd = -1;
  node->kind = (gint)kind;
  node->bucket = ttl_bucket_ref (bucket);
  node->backing = g_strdup (backing);
  node->place = (Place){ ttl_bucket_id (bucket), node->backing };
  g_hash_table_insert (self->by_id, &node->id, node);
  return node;
}

TtlNodes *
ttl_nodes_new (TtlBucket *root, guint16 generation)
{
  TtlNodes *self = g_new0 (TtlNodes, 1);

  pthread_mutex_init (&self->lock, NULL);
  self->by_id = g_hash_table_new_full (g_int64_hash, g_int64_equal, NULL, node_free);
  self->by_bucket = g_hash_table_new (g_int64_hash, g_int64_equal);
  self->by_key = g_hash_table_new (place_hash, place_equal);
  self->drafts
      = g_hash_table_new_full (place_hash, place_equal, NULL, (GDestroyNotify)g_ptr_array_unref);
  self->intents = g_hash_table_new_full (NULL, NULL, NULL, intent_free);
  self->prefix = (guint64)generation << 48;

  self->root = add_locked (self, TTL_NODE_BUCKET, root, NULL);
  g_hash_table_steal (self->by_id, &self->root->id);
  self->root->id = ROOT_ID;
  self->root->pins = 1;
  self->next = ROOT_ID;
  g_hash_table_insert (self->by_id, &self->root->id, self->root);
  g_hash_table_insert (self->by_bucket, &self->root->place.bucket_id, self->root);
  return self;
}

void
ttl_nodes_free (TtlNodes *self)
{
  g_hash_table_unref (self->intents);
  g_hash_table_unref (self->drafts);
  g_hash_table_unref (self->by_key);
  g_hash_table_unref (self->by_bucket);
  g_hash_table_unref (self->by_id);
  pthread_mutex_destroy (&self->lock);
  g_free (self);
}

static void
detach_draft_locked (TtlNode *node)
{
  GPtrArray *nodes = g_hash_table_lookup (node->table->drafts, &node->place);

  if (nodes == NULL || !g_ptr_array_remove_fast (nodes, node))
    return;
  if (nodes->len == 0)
    g_hash_table_remove (node->table->drafts, &node->place);
  else
    {
      /* The table's key is borrowed from a node; it must be one that is still in the array. */
      TtlNode *other = g_ptr_array_index (nodes, 0);
      g_ptr_array_ref (nodes);
      g_hash_table_replace (node->table->drafts, &other->place, nodes);
    }
}

static void
attach_draft_locked (TtlNode *node)
{
  GPtrArray *nodes = g_hash_table_lookup (node->table->drafts, &node->place);

  if (nodes == NULL)
    {
      nodes = g_ptr_array_new ();
      g_hash_table_insert (node->table->drafts, &node->place, nodes);
    }
  g_ptr_array_add (nodes, node);
}

/* Takes the node out of the tables by name. A value node that is out of by_key is retired. */
static void
detach_locked (TtlNode *node)
{
  TtlNodes *table = node->table;

  if (node->kind == TTL_NODE_BUCKET)
    {
      if (g_hash_table_lookup (table->by_bucket, &node->place.bucket_id) == node)
        g_hash_table_remove (table->by_bucket, &node->place.bucket_id);
    }
  else if (node->kind == TTL_NODE_VALUE)
    {
      if (!node->retired)
        g_hash_table_remove (table->by_key, &node->place);
      node->retired = TRUE;
    }
  else if (node->writer != NULL)
    detach_draft_locked (node);
}

/* Frees the node if nobody needs it; the caller lets go of the lock before it frees what is returned. */
static TtlNode *
steal_if_unused_locked (TtlNode *node)
{
  if (node->pins > 0 || node->lookups > 0)
    return NULL;
  detach_locked (node);
  g_hash_table_steal (node->table->by_id, &node->id);
  return node;
}

static TtlNode *
pin_locked (TtlNode *node)
{
  if (node != NULL)
    node->pins++;
  return node;
}

TtlNode *
ttl_nodes_get (TtlNodes *self, guint64 id)
{
  TTL_LOCKED (&self->lock);

  return pin_locked (g_hash_table_lookup (self->by_id, &id));
}

void
ttl_node_unpin (TtlNode *node)
{
  TtlNodes *self = node->table;
  TtlNode *unused;

  pthread_mutex_lock (&self->lock);
  node->pins--;
  unused = steal_if_unused_locked (node);
  pthread_mutex_unlock (&self->lock);
  if (unused != NULL)
    node_free (unused);
}

void
ttl_nodes_forget (TtlNodes *self, guint64 id, guint64 lookups)
{
  TtlNode *unused = NULL;
  TtlNode *node;

  pthread_mutex_lock (&self->lock);
  node = g_hash_table_lookup (self->by_id, &id);
  if (node != NULL)
    {
      node->lookups -= MIN (node->lookups, lookups);
      unused = steal_if_unused_locked (node);
    }
  pthread_mutex_unlock (&self->lock);
  if (unused != NULL)
    node_free (unused);
}

guint64
ttl_node_id (const TtlNode *node)
{
  return node->id;
}

TtlNodeKind
ttl_node_kind (const TtlNode *node)
{
  return (TtlNodeKind)g_atomic_int_get (&node->kind);
}

TtlBucket *
ttl_node_dup_place (TtlNode *node, TtlName backing_out)
{
  TTL_LOCKED (&node->table->lock);

  if (backing_out != NULL)
    g_strlcpy (backing_out, node->backing != NULL ? node->backing : "", sizeof (TtlName));
  return ttl_bucket_ref (node->bucket);
}

guint64
ttl_nodes_count (TtlNodes *self)
{
  TTL_LOCKED (&self->lock);

  return g_hash_table_size (self->by_id);
}

/* ---- finding and making ---- */

static TtlNode *
told_locked (TtlNode *node)
{
  node->lookups++;
  return pin_locked (node);
}

TtlNode *
ttl_nodes_ensure_bucket (TtlNodes *self, TtlBucket *bucket)
{
  TTL_LOCKED (&self->lock);
  guint64 id = ttl_bucket_id (bucket);
  TtlNode *node = g_hash_table_lookup (self->by_bucket, &id);

  if (node == NULL)
    {
      node = add_locked (self, TTL_NODE_BUCKET, bucket, NULL);
      g_hash_table_insert (self->by_bucket, &node->place.bucket_id, node);
    }
  return told_locked (node);
}

static TtlNode *
find_value_locked (TtlNodes *self, TtlBucket *bucket, const char *backing)
{
  const Place place = { ttl_bucket_id (bucket), backing };

  return g_hash_table_lookup (self->by_key, &place);
}

TtlNode *
ttl_nodes_ensure_value (TtlNodes *self, TtlBucket *bucket, const char *backing,
                        const struct stat *st)
{
  TTL_LOCKED (&self->lock);
  TtlNode *node = find_value_locked (self, bucket, backing);

  if (node != NULL && node->version.st_ino != st->st_ino && node->fds != NULL)
    {
      detach_locked (node);
      node = NULL;
    }
  if (node == NULL)
    {
      node = add_locked (self, TTL_NODE_VALUE, bucket, backing);
      g_hash_table_insert (self->by_key, &node->place, node);
    }
  node->seen = *st;
  if (node->version.st_ino != st->st_ino)
    {
      node->version = *st;
      node->opened = FALSE;
    }
  return told_locked (node);
}

TtlNode *
ttl_nodes_add_private (TtlNodes *self, TtlBucket *bucket, const char *backing,
                       const struct stat *st)
{
  TTL_LOCKED (&self->lock);
  TtlNode *node = add_locked (self, TTL_NODE_VALUE, bucket, backing);

  node->version = node->seen = *st;
  node->retired = TRUE; /* by_key never had it */
  return told_locked (node);
}

TtlNode *
ttl_nodes_add_draft (TtlNodes *self, TtlBucket *bucket, const char *backing)
{
  TTL_LOCKED (&self->lock);

  return told_locked (add_locked (self, TTL_NODE_DRAFT, bucket, backing));
}

/* ---- value nodes ---- */

static gboolean
is_same_content (const struct stat *a, const struct stat *b)
{
  return a->st_ino == b->st_ino && a->st_size == b->st_size
         && a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec
         && a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

TtlOpenVerdict
ttl_node_open_value (TtlNode *node, const struct stat *st, int fd)
{
  TTL_LOCKED (&node->table->lock);
  TtlOpenVerdict verdict = TTL_OPEN_FRESH;

  if (node->version.st_ino != st->st_ino && node->fds != NULL)
    return TTL_OPEN_OTHER;
  if (node->opened && is_same_content (&node->version, st))
    verdict = TTL_OPEN_CACHED;
  node->version = *st;
  node->opened = TRUE;
  if (node->fds == NULL)
    node->fds = g_array_new (FALSE, FALSE, sizeof (int));
  g_array_append_val (node->fds, fd);
  return verdict;
}

void
ttl_node_close_value (TtlNode *node, int fd)
{
  TTL_LOCKED (&node->table->lock);

  for (guint i = 0; node->fds != NULL && i < node->fds->len; i++)
    if (g_array_index (node->fds, int, i) == fd)
      {
        g_array_remove_index_fast (node->fds, i);
        if (node->fds->len == 0)
          g_clear_pointer (&node->fds, g_array_unref);
        return;
      }
}

gboolean
ttl_node_bind (TtlNode *node, const struct stat *st)
{
  TTL_LOCKED (&node->table->lock);

  if (node->version.st_ino == st->st_ino)
    return TRUE;
  if (node->fds != NULL)
    return FALSE;
  node->version = *st;
  node->opened = FALSE;
  return TRUE;
}

void
ttl_node_get_seen (TtlNode *node, struct stat *st_out)
{
  TTL_LOCKED (&node->table->lock);

  *st_out = node->seen;
}

int
ttl_node_dup_fd (TtlNode *node)
{
  TTL_LOCKED (&node->table->lock);

  return node->fds != NULL ? fcntl (g_array_index (node->fds, int, 0), F_DUPFD_CLOEXEC, 0) : -1;
}

/* ---- draft nodes ---- */

TtlWriter *
ttl_node_dup_writer (TtlNode *node)
{
  TTL_LOCKED (&node->table->lock);

  return node->writer != NULL ? ttl_writer_ref (node->writer) : NULL;
}

void
ttl_node_set_writer (TtlNode *node, TtlWriter *writer)
{
  TtlWriter *old;

  {
    TTL_LOCKED (&node->table->lock);
    old = node->writer;
    if (old != NULL)
      detach_draft_locked (node);
    node->writer = writer != NULL ? ttl_writer_ref (writer) : NULL;
    if (writer != NULL)
      attach_draft_locked (node);
  }
  if (old != NULL)
    ttl_writer_unref (old);
}

static GPtrArray *
dup_draft_nodes (TtlNodes *self, TtlBucket *bucket, const char *backing)
{
  GPtrArray *pinned = NULL;
  const Place place = { ttl_bucket_id (bucket), backing };
  TTL_LOCKED (&self->lock);
  GPtrArray *nodes = g_hash_table_lookup (self->drafts, &place);

  if (nodes == NULL)
    return NULL;
  pinned = g_ptr_array_new_with_free_func ((GDestroyNotify)ttl_node_unpin);
  for (guint i = 0; i < nodes->len; i++)
    g_ptr_array_add (pinned, pin_locked (g_ptr_array_index (nodes, i)));
  return pinned;
}

TtlNode *
ttl_nodes_find_own_draft (TtlNodes *self, TtlBucket *bucket, const char *backing, pid_t tid)
{
  g_autoptr (GPtrArray) nodes = dup_draft_nodes (self, bucket, backing);
  pid_t process = 0;

  for (guint i = nodes != NULL ? nodes->len : 0; i > 0; i--)
    {
      TtlNode *node = g_ptr_array_index (nodes, i - 1);
      g_autoptr (TtlWriter) writer = ttl_node_dup_writer (node);

      if (writer == NULL || !ttl_draft_is_dirty (writer->draft)
          || !ttl_writer_is_of (writer, tid, &process))
        continue;
      TTL_LOCKED (&self->lock);
      return told_locked (node);
    }
  return NULL;
}

GPtrArray *
ttl_nodes_dup_writers (TtlNodes *self, TtlBucket *bucket, const char *backing)
{
  GPtrArray *writers = g_ptr_array_new_with_free_func ((GDestroyNotify)ttl_writer_unref);
  const Place place = { ttl_bucket_id (bucket), backing };
  TTL_LOCKED (&self->lock);
  GPtrArray *nodes = g_hash_table_lookup (self->drafts, &place);

  for (guint i = 0; nodes != NULL && i < nodes->len; i++)
    g_ptr_array_add (writers, ttl_writer_ref (((TtlNode *)g_ptr_array_index (nodes, i))->writer));
  return writers;
}

/* ---- intents ---- */

/* Threads that never came back: an open that failed otherwise, or a thread that is gone. */
static gboolean
is_old (gpointer key G_GNUC_UNUSED, gpointer value, gpointer now_us)
{
  return ((Intent *)value)->since_us + INTENT_US < *(gint64 *)now_us;
}

static gboolean
is_of (const Intent *intent, TtlBucket *bucket, const char *backing, gint64 now_us)
{
  return intent != NULL && intent->bucket_id == ttl_bucket_id (bucket)
         && strcmp (intent->backing, backing) == 0 && !is_old (NULL, (gpointer)intent, &now_us);
}

gboolean
ttl_nodes_intend (TtlNodes *self, TtlNode *node, pid_t tid, gboolean to_write)
{
  gint64 now_us = g_get_monotonic_time ();
  TTL_LOCKED (&self->lock);
  Intent *intent = g_hash_table_lookup (self->intents, GINT_TO_POINTER (tid));

  if (tid <= 0)
    return TRUE;
  if (is_of (intent, node->bucket, node->backing, now_us) && intent->to_write == to_write)
    return FALSE;
  if (g_hash_table_size (self->intents) >= INTENTS_MAX)
    g_hash_table_foreach_remove (self->intents, is_old, &now_us);
  if (g_hash_table_size (self->intents) >= INTENTS_MAX)
    return FALSE;
  intent = g_new0 (Intent, 1);
  intent->bucket_id = ttl_bucket_id (node->bucket);
  intent->backing = g_strdup (node->backing);
  intent->to_write = to_write;
  intent->since_us = now_us;
  g_hash_table_replace (self->intents, GINT_TO_POINTER (tid), intent);
  return TRUE;
}

/* The kernel looks a name up twice on this way, so the second time the same node is the answer. */
TtlNode *
ttl_nodes_redeem (TtlNodes *self, TtlBucket *bucket, const char *backing, pid_t tid)
{
  gint64 now_us = g_get_monotonic_time ();
  TTL_LOCKED (&self->lock);
  Intent *intent = g_hash_table_lookup (self->intents, GINT_TO_POINTER (tid));
  TtlNode *node;

  if (tid <= 0 || !is_of (intent, bucket, backing, now_us) || !intent->to_write)
    return NULL;
  node = intent->draft_id != 0 ? g_hash_table_lookup (self->by_id, &intent->draft_id) : NULL;
  if (node == NULL)
    node = add_locked (self, TTL_NODE_DRAFT, bucket, backing);
  intent->draft_id = node->id;
  return told_locked (node);
}

gboolean
ttl_node_convert (TtlNode *node)
{
  TTL_LOCKED (&node->table->lock);

  if (node->fds != NULL || node->kind != TTL_NODE_VALUE || !node->retired)
    return FALSE;
  g_atomic_int_set (&node->kind, TTL_NODE_DRAFT);
  return TRUE;
}

void
ttl_node_set_origin (TtlNode *node, const struct stat *st, TtlWriter *writer, int fd_take)
{
  ttl_autofd old_fd = -1;
  TtlWriter *old;

  {
    TTL_LOCKED (&node->table->lock);
    node->seen = *st;
    old = node->origin;
    node->origin = writer != NULL ? ttl_writer_ref (writer) : NULL;
    old_fd = node->origin_fd;
    node->origin_fd = fd_take;
  }
  if (old != NULL)
    ttl_writer_unref (old);
}

TtlWriter *
ttl_node_dup_origin (TtlNode *node, struct stat *st_out)
{
  TTL_LOCKED (&node->table->lock);

  *st_out = node->seen;
  return node->origin != NULL ? ttl_writer_ref (node->origin) : NULL;
}

int
ttl_node_take_origin_fd (TtlNode *node)
{
  TTL_LOCKED (&node->table->lock);

  return ttl_steal_fd (&node->origin_fd);
}

void
ttl_nodes_fulfil (TtlNodes *self, pid_t tid)
{
  TTL_LOCKED (&self->lock);

  g_hash_table_remove (self->intents, GINT_TO_POINTER (tid));
}

/* ---- names that move ---- */

static void
move_locked (TtlNode *node, TtlBucket *bucket, const char *backing, GPtrArray *garbage)
{
  g_ptr_array_add (garbage, node->bucket);
  node->bucket = ttl_bucket_ref (bucket);
  g_free (node->backing);
  node->backing = g_strdup (backing);
  node->place = (Place){ ttl_bucket_id (bucket), node->backing };
}

/* Takes what stands under a name out of the tables, to be put back under another one. */
static GPtrArray *
lift_locked (TtlNodes *self, TtlBucket *bucket, const char *backing)
{
  const Place place = { ttl_bucket_id (bucket), backing };
  TtlNode *value = g_hash_table_lookup (self->by_key, &place);
  GPtrArray *drafts = g_hash_table_lookup (self->drafts, &place);
  GPtrArray *lifted = g_ptr_array_new ();

  if (value != NULL)
    {
      g_hash_table_remove (self->by_key, &place);
      g_ptr_array_add (lifted, value);
    }
  for (guint i = 0; drafts != NULL && i < drafts->len; i++)
    g_ptr_array_add (lifted, g_ptr_array_index (drafts, i));
  if (drafts != NULL)
    g_hash_table_remove (self->drafts, &place);
  return lifted;
}

static void
set_down_locked (TtlNodes *self, GPtrArray *lifted, TtlBucket *bucket, const char *backing,
                 GPtrArray *garbage)
{
  for (guint i = 0; i < lifted->len; i++)
    {
      TtlNode *node = g_ptr_array_index (lifted, i);

      move_locked (node, bucket, backing, garbage);
      if (node->kind == TTL_NODE_VALUE)
        g_hash_table_insert (self->by_key, &node->place, node);
      else
        attach_draft_locked (node);
    }
}

void
ttl_nodes_moved (TtlNodes *self, TtlBucket *from, const char *from_backing, TtlBucket *to,
                 const char *to_backing, gboolean exchange)
{
  g_autoptr (GPtrArray) garbage = g_ptr_array_new_with_free_func ((GDestroyNotify)ttl_bucket_unref);
  g_autoptr (GPtrArray) here = NULL;
  g_autoptr (GPtrArray) there = NULL;
  TTL_LOCKED (&self->lock);
  TtlNode *replaced;

  if (!exchange)
    {
      replaced = find_value_locked (self, to, to_backing);
      if (replaced != NULL)
        detach_locked (replaced);
    }
  here = lift_locked (self, from, from_backing);
  there = exchange ? lift_locked (self, to, to_backing) : g_ptr_array_new ();
  set_down_locked (self, here, to, to_backing, garbage);
  set_down_locked (self, there, from, from_backing, garbage);
}

void
ttl_nodes_removed (TtlNodes *self, TtlBucket *bucket, const char *backing)
{
  TTL_LOCKED (&self->lock);
  TtlNode *node = find_value_locked (self, bucket, backing);

  if (node != NULL)
    detach_locked (node);
}

guint64
ttl_nodes_find_id (TtlNodes *self, TtlBucket *bucket, const char *backing)
{
  TTL_LOCKED (&self->lock);
  TtlNode *node = find_value_locked (self, bucket, backing);

  return node != NULL ? node->id : 0;
}

gboolean
ttl_nodes_is_over (TtlNodes *self, guint64 id)
{
  TTL_LOCKED (&self->lock);
  TtlNode *node = g_hash_table_lookup (self->by_id, &id);

  if (node == NULL)
    return FALSE;
  return node->kind == TTL_NODE_DRAFT
             ? node->writer == NULL
             : node->kind == TTL_NODE_VALUE && node->retired && node->fds == NULL;
}
