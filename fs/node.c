#include "node.h"

#include "cleanup.h"

#include <fcntl.h>

#define ROOT_ID 1        /* FUSE_ROOT_ID */
#define INTENTS_MAX 4096 /* threads between an ESTALE and their second OPEN */
#define SEVERAL (-1)
/* So long may somebody sleep between two looks at an inode. */
#define STILL_READ_US 20000
/* So far apart may a deadline come out that is reckoned twice, by two clocks. TTL_PROMISE_LATE_US has room for it. */
#define RECKONED_TWICE_US 20000
#define NEW_US (1 * G_USEC_PER_SEC) /* in which a question that a CREATE overtook arrives */
#define JUST_US 5000 /* no longer lie a LOOKUP and what it was made for apart, as a rule */
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

  gint64 entry_until_us; /* monotonic; until then the kernel may believe that a path leads here */
  gint64 attrs_until_us; /* likewise; that it knows the attributes */
  gint64 recalled_us;    /* when they were taken back last */
  pid_t attrs_to;        /* the only thread to which they were promised; SEVERAL */
  guint promised;        /* how often attributes were promised */
  gboolean
      taken_over; /* draft: it was the key's value node, and others may still come to it by its path */
  gint64 new_until_us; /* draft: monotonic; see set_new() */
  gboolean disturbed;  /* draft: see disturb() */
  gint64 refused_us;   /* monotonic; see refuse_once() */
  struct stat seen;    /* value, draft before its OPEN: what the kernel was told last */
  ino_t told_ino;      /* by this number the kernel knows the inode, and /proc shows it */
  struct stat version; /* value: what it stands for; st_ino == 0 before the first open tells */
  gboolean opened;     /* value: the kernel may have pages of `version` */
  gboolean retired;    /* value: not in by_key any more */
  gboolean private;    /* value: never was, and only one caller was told of it */
  GArray *fds; /* value: descriptors of readers, borrowed from their handles; NULL while empty */

  TtlWriter *writer; /* draft: owns a reference; NULL before its OPEN and after the last close */
  TtlWriter *
      origin; /* draft, before its OPEN: what it starts from; owns a reference; `seen` is its attributes */
  int origin_fd; /* likewise: the version that it starts from; -1 for none */
};

typedef struct
{
  guint64 node_id; /* what the thread tried to open, or asked about */
  ino_t
      bucket_ino; /* the kernel may forget the bucket on its way back to it, and it may get another id */
  char *backing;
  gboolean to_write;
  guint64 draft_id; /* the node it was given in the lookup, 0 before */
  gint64 since_us;
} Intent;

struct TtlNodes
{
  pthread_mutex_t lock;  /* order 3; guards all below */
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

/* A value is not written to in place; where a peer does it all the same, it is another version by its size at least. */
static gboolean
is_same_version (const struct stat *a, const struct stat *b)
{
  return a->st_ino == b->st_ino && a->st_size == b->st_size;
}

/* The kernel is told @st; what is seen may have been looked at before what was seen already. (A change of attributes moves the
 * ctime.) */
static void
see_locked (TtlNode *node, const struct stat *st)
{
  node->told_ino = st->st_ino;
  if (!is_same_version (&node->seen, st)
      || ttl_timespec_ns (&st->st_ctim) >= ttl_timespec_ns (&node->seen.st_ctim))
    node->seen = *st;
}

static void
tell_locked (TtlNode *node, const struct stat *st)
{
  node->told_ino = st->st_ino;
  node->seen = *st;
}

static void value_changed_locked (TtlNode *node, const struct stat *st, const TtlNode *told,
                                  gint64 until_us, TtlRecall *recall);

TtlNode *
ttl_nodes_ensure_value (TtlNodes *self, TtlBucket *bucket, const char *backing,
                        const struct stat *st, TtlRecall *recall_out)
{
  TTL_LOCKED (&self->lock);
  TtlNode *node = find_value_locked (self, bucket, backing);

  *recall_out = (TtlRecall){ 0 };
  if (node != NULL && !is_same_version (&node->version, st))
    {
      value_changed_locked (node, st, NULL, 0, recall_out);
      if (recall_out->n_attrs > 0 || recall_out->entries)
        return NULL;
      detach_locked (node);
      node = NULL;
    }
  if (node == NULL)
    {
      node = add_locked (self, TTL_NODE_VALUE, bucket, backing);
      g_hash_table_insert (self->by_key, &node->place, node);
    }
  see_locked (node, st);
  if (!node->opened)
    node->version = *st;
  return told_locked (node);
}

TtlNode *
ttl_nodes_add_private (TtlNodes *self, TtlBucket *bucket, const char *backing,
                       const struct stat *st)
{
  TTL_LOCKED (&self->lock);
  TtlNode *node = add_locked (self, TTL_NODE_VALUE, bucket, backing);

  node->version = *st;
  tell_locked (node, st);
  node->private = node->retired = TRUE;
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

static void
recall_attrs_locked (TtlNode *node, TtlRecall *recall)
{
  if (node->attrs_until_us <= g_get_monotonic_time ()
      || recall->n_attrs >= G_N_ELEMENTS (recall->attrs))
    return;
  recall->attrs[recall->n_attrs].id = node->id;
  recall->attrs[recall->n_attrs++].promised = node->promised;
}

/* Who has the node open asks by descriptor, and a path must not lead to it beyond @until_us. */
static void
recall_entry_locked (TtlNode *node, gint64 until_us, TtlRecall *recall)
{
  if (node->entry_until_us <= MAX (until_us + RECKONED_TWICE_US, g_get_monotonic_time ()))
    return;
  recall->entries = TRUE;
  recall->entry_of = node->id;
  recall->promised = node->promised;
}

static gboolean
is_misled_locked (const TtlNode *node)
{
  if (node->kind == TTL_NODE_DRAFT)
    return node->taken_over || node->new_until_us > g_get_monotonic_time ();
  return node->kind == TTL_NODE_VALUE && node->retired && node->fds == NULL
         && node->entry_until_us > g_get_monotonic_time ();
}

static void
add_fd_locked (TtlNode *node, int fd)
{
  if (node->fds == NULL)
    node->fds = g_array_new (FALSE, FALSE, sizeof (int));
  g_array_append_val (node->fds, fd);
}

/* The kernel reads by the size that it knows: where it was told another one than the opened version's, it forgets it. */
TtlOpenVerdict
ttl_node_open_value (TtlNode *node, const struct stat *st, int fd, gint64 until_us,
                     TtlRecall *recall_out)
{
  TTL_LOCKED (&node->table->lock);
  TtlOpenVerdict verdict = TTL_OPEN_FRESH;

  *recall_out = (TtlRecall){ 0 };
  if (!is_same_version (&node->version, st) || is_misled_locked (node))
    return TTL_OPEN_OTHER;
  if (node->opened && is_same_content (&node->version, st))
    verdict = TTL_OPEN_CACHED;
  if (!is_same_content (&node->seen, st))
    recall_attrs_locked (node, recall_out);
  recall_entry_locked (node, until_us, recall_out);
  node->version = *st;
  node->opened = TRUE;
  add_fd_locked (node, fd);
  return verdict;
}

void
ttl_node_open_other (TtlNode *node, int fd, TtlRecall *recall_out)
{
  TTL_LOCKED (&node->table->lock);

  *recall_out = (TtlRecall){ 0 };
  recall_entry_locked (node, 0, recall_out);
  add_fd_locked (node, fd);
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
ttl_node_is_of (TtlNode *node, const struct stat *st)
{
  TTL_LOCKED (&node->table->lock);

  return is_same_version (&node->version, st);
}

void
ttl_node_get_seen (TtlNode *node, struct stat *st_out)
{
  TTL_LOCKED (&node->table->lock);

  *st_out = node->seen;
}

void
ttl_node_set_seen (TtlNode *node, const struct stat *st)
{
  TTL_LOCKED (&node->table->lock);

  tell_locked (node, st);
}

void
ttl_node_told (TtlNode *node, const struct stat *st)
{
  TTL_LOCKED (&node->table->lock);

  node->told_ino = st->st_ino;
}

ino_t
ttl_node_told_ino (TtlNode *node)
{
  TTL_LOCKED (&node->table->lock);

  return node->told_ino;
}

void
ttl_node_get_inos (TtlNode *node, ino_t inos_out[2])
{
  TTL_LOCKED (&node->table->lock);

  inos_out[0] = node->told_ino;
  inos_out[1] = node->version.st_ino;
}

void
ttl_node_saw (TtlNode *node, const struct stat *st)
{
  TTL_LOCKED (&node->table->lock);

  if (is_same_version (&node->version, st))
    see_locked (node, st);
}

/* Of what is open, or has become a writer's, the kernel may have been told other attributes than those. */
TtlAccess
ttl_node_access (TtlNode *node, const TtlOwner *who, guint wanted)
{
  TtlAccess access = { .who = *who, .wanted = wanted };
  TTL_LOCKED (&node->table->lock);

  access.version = node->kind == TTL_NODE_DRAFT && !node->taken_over ? node->seen : node->version;
  access.told = node->seen;
  access.is_told = node->fds == NULL && !node->taken_over;
  return access;
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

gboolean
ttl_node_is_of_writer (TtlNode *node, const TtlWriter *writer)
{
  TTL_LOCKED (&node->table->lock);

  return node->writer == writer;
}

/* From here until writer_gone() it is in the table of drafts. */
static void
give_writer_locked (TtlNode *node, TtlWriter *writer)
{
  g_assert (node->kind == TTL_NODE_DRAFT && node->writer == NULL);
  node->writer = ttl_writer_ref (writer);
  attach_draft_locked (node);
}

gboolean
ttl_node_set_writer (TtlNode *node, TtlWriter *writer)
{
  TTL_LOCKED (&node->table->lock);

  if (node->kind != TTL_NODE_DRAFT || node->writer != NULL)
    return FALSE;
  give_writer_locked (node, writer);
  return TRUE;
}

void
ttl_node_writer_gone (TtlNode *node, TtlWriter *writer, const struct stat *st)
{
  {
    TTL_LOCKED (&node->table->lock);
    if (node->writer != writer)
      return;
    detach_draft_locked (node);
    node->writer = NULL;
    if (st != NULL && !node->disturbed && node->fds == NULL
        && !g_hash_table_contains (node->table->by_key, &node->place))
      {
        node->version = *st;
        node->opened = node->retired = node->private = node->taken_over = FALSE;
        g_atomic_int_set (&node->kind, TTL_NODE_VALUE);
        g_hash_table_insert (node->table->by_key, &node->place, node);
      }
  }
  ttl_writer_unref (writer);
}

void
ttl_node_set_new (TtlNode *node)
{
  TTL_LOCKED (&node->table->lock);

  node->new_until_us = g_get_monotonic_time () + NEW_US;
}

gboolean
ttl_node_is_new (TtlNode *node)
{
  TTL_LOCKED (&node->table->lock);

  return node->kind == TTL_NODE_DRAFT && !node->taken_over
         && node->new_until_us > g_get_monotonic_time ();
}

void
ttl_node_disturb (TtlNode *node)
{
  TTL_LOCKED (&node->table->lock);

  node->disturbed = TRUE;
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
  return intent != NULL && intent->bucket_ino == ttl_bucket_ino (bucket)
         && strcmp (intent->backing, backing) == 0 && !is_old (NULL, (gpointer)intent, &now_us);
}

/* NULL when there are too many. */
static Intent *
intend_locked (TtlNodes *self, TtlNode *node, pid_t tid, gboolean to_write, gint64 now_us)
{
  Intent *intent;

  if (g_hash_table_size (self->intents) >= INTENTS_MAX)
    g_hash_table_foreach_remove (self->intents, is_old, &now_us);
  if (g_hash_table_size (self->intents) >= INTENTS_MAX)
    return NULL;
  intent = g_new0 (Intent, 1);
  intent->bucket_ino = ttl_bucket_ino (node->bucket);
  intent->backing = g_strdup (node->backing);
  intent->node_id = node->id;
  intent->to_write = to_write;
  intent->since_us = now_us;
  g_hash_table_replace (self->intents, GINT_TO_POINTER (tid), intent);
  return intent;
}

gboolean
ttl_nodes_intend (TtlNodes *self, TtlNode *node, pid_t tid, gboolean to_write)
{
  gint64 now_us = g_get_monotonic_time ();
  TTL_LOCKED (&self->lock);
  Intent *intent = g_hash_table_lookup (self->intents, GINT_TO_POINTER (tid));

  if (tid <= 0)
    return TRUE;
  if (is_of (intent, node->bucket, node->backing, now_us) && intent->to_write == to_write
      && intent->node_id == node->id)
    return FALSE;
  return intend_locked (self, node, tid, to_write, now_us) != NULL;
}

void
ttl_nodes_sent_back (TtlNodes *self, TtlNode *node, pid_t tid)
{
  gint64 now_us = g_get_monotonic_time ();
  TTL_LOCKED (&self->lock);

  if (tid > 0)
    (void)intend_locked (self, node, tid, FALSE, now_us);
}

void
ttl_nodes_answered (TtlNodes *self, TtlNode *node, pid_t tid)
{
  TTL_LOCKED (&self->lock);
  Intent *intent = tid > 0 && node->private
                       ? g_hash_table_lookup (self->intents, GINT_TO_POINTER (tid))
                       : NULL;

  if (intent != NULL && !intent->to_write)
    g_hash_table_remove (self->intents, GINT_TO_POINTER (tid));
}

gboolean
ttl_nodes_was_sent_back (TtlNodes *self, TtlBucket *bucket, const char *backing, pid_t tid)
{
  gint64 now_us = g_get_monotonic_time ();
  TTL_LOCKED (&self->lock);
  Intent *intent = tid > 0 ? g_hash_table_lookup (self->intents, GINT_TO_POINTER (tid)) : NULL;

  return is_of (intent, bucket, backing, now_us) && !intent->to_write;
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
ttl_node_refuse_once (TtlNode *node)
{
  gint64 now_us = g_get_monotonic_time ();
  TTL_LOCKED (&node->table->lock);

  if (node->private || node->refused_us + JUST_US > now_us)
    return FALSE;
  node->refused_us = now_us;
  return TRUE;
}

gboolean
ttl_node_is_private (TtlNode *node)
{
  TTL_LOCKED (&node->table->lock);

  return node->private;
}

gboolean
ttl_node_convert (TtlNode *node)
{
  TTL_LOCKED (&node->table->lock);

  if (node->fds != NULL || node->kind != TTL_NODE_VALUE || !node->private)
    return FALSE;
  g_atomic_int_set (&node->kind, TTL_NODE_DRAFT);
  return TRUE;
}

/* Whether somebody may be reading what the kernel knows of its attributes. */
static gboolean
are_attrs_read_locked (const TtlNode *node)
{
  return MAX (node->attrs_until_us, node->recalled_us + STILL_READ_US) > g_get_monotonic_time ();
}

static void
promise_attrs_locked (TtlNode *node, gint64 until_us, pid_t to)
{
  if (!are_attrs_read_locked (node))
    node->attrs_to = to;
  else if (node->attrs_to != to)
    node->attrs_to = SEVERAL;
  node->attrs_until_us = MAX (node->attrs_until_us, until_us);
}

static gboolean
may_be_taken_over_locked (const TtlNode *node, pid_t tid, gboolean truncates)
{
  return node->kind == TTL_NODE_VALUE && !node->retired && node->fds == NULL
         && (!truncates || node->attrs_to == tid || !are_attrs_read_locked (node));
}

gboolean
ttl_node_may_be_taken_over (TtlNode *node, pid_t tid, gboolean truncates)
{
  TTL_LOCKED (&node->table->lock);

  return may_be_taken_over_locked (node, tid, truncates);
}

gboolean
ttl_node_take_over (TtlNode *node, pid_t tid, gboolean truncates, TtlWriter *writer,
                    TtlRecall *recall_out)
{
  TTL_LOCKED (&node->table->lock);

  *recall_out = (TtlRecall){ 0 };
  if (!may_be_taken_over_locked (node, tid, truncates))
    return FALSE;
  recall_attrs_locked (node, recall_out);
  g_hash_table_remove (node->table->by_key, &node->place);
  g_atomic_int_set (&node->kind, TTL_NODE_DRAFT);
  node->taken_over = TRUE;
  give_writer_locked (node, writer);
  return TRUE;
}

void
ttl_node_set_origin (TtlNode *node, const struct stat *st, TtlWriter *writer, int fd_take)
{
  ttl_autofd old_fd = -1;
  TtlWriter *old;

  {
    TTL_LOCKED (&node->table->lock);
    tell_locked (node, st);
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

/* ---- promises ---- */

static gboolean
has_unpublished_locked (TtlNodes *self, const Place *place)
{
  GPtrArray *drafts = g_hash_table_lookup (self->drafts, place);

  for (guint i = 0; drafts != NULL && i < drafts->len; i++)
    if (ttl_draft_is_dirty (((TtlNode *)g_ptr_array_index (drafts, i))->writer->draft))
      return TRUE;
  return FALSE;
}

gboolean
ttl_nodes_has_unpublished (TtlNodes *self, TtlBucket *bucket, const char *backing)
{
  const Place place = { ttl_bucket_id (bucket), backing };
  TTL_LOCKED (&self->lock);

  return has_unpublished_locked (self, &place);
}

void
ttl_nodes_begun (TtlNodes *self, TtlBucket *bucket, const char *backing, TtlRecall *recall_out)
{
  const Place place = { ttl_bucket_id (bucket), backing };
  TTL_LOCKED (&self->lock);
  TtlNode *value = g_hash_table_lookup (self->by_key, &place);

  *recall_out = (TtlRecall){ 0 };
  if (value != NULL)
    recall_attrs_locked (value, recall_out);
}

guint
ttl_node_promise (TtlNode *node, TtlPromises *promises, const TtlStamp *stamp,
                  const struct stat *st, gint64 for_us, guint what, pid_t to)
{
  TTL_LOCKED (&node->table->lock);
  gint64 until_us = g_get_monotonic_time () + for_us + TTL_PROMISE_LATE_US;
  gboolean unchanged;

  if (node->kind == TTL_NODE_BUCKET)
    unchanged = ttl_promises_is_unchanged (promises, node->place.bucket_id, "", stamp);
  else
    unchanged
        = node->kind == TTL_NODE_VALUE && !node->retired && is_same_version (&node->version, st)
          && st->st_nlink == 1 /* what happens to another name of it would show here */
          && !has_unpublished_locked (node->table, &node->place)
          && ttl_promises_is_unchanged (promises, node->place.bucket_id, node->backing, stamp);
  if (!unchanged || for_us <= 0 || !ttl_promises_may_be_made (promises))
    return 0;
  tell_locked (node, st);
  node->promised++;
  if (what & TTL_PROMISE_ATTRS)
    promise_attrs_locked (node, until_us, to);
  if (what & TTL_PROMISE_ENTRY)
    node->entry_until_us = MAX (node->entry_until_us, until_us);
  return what;
}

void
ttl_node_promise_draft (TtlNode *node, const struct stat *st, gint64 for_us, pid_t to)
{
  TTL_LOCKED (&node->table->lock);

  tell_locked (node, st);
  node->promised++;
  promise_attrs_locked (node, g_get_monotonic_time () + for_us + TTL_PROMISE_LATE_US, to);
}

gboolean
ttl_node_is_misled (TtlNode *node)
{
  TTL_LOCKED (&node->table->lock);

  return is_misled_locked (node);
}

gboolean
ttl_node_is_remembered (TtlNode *node)
{
  TTL_LOCKED (&node->table->lock);

  return node->entry_until_us > g_get_monotonic_time ();
}

void
ttl_node_recall_attrs (TtlNode *node, TtlRecall *recall_out)
{
  TTL_LOCKED (&node->table->lock);

  *recall_out = (TtlRecall){ 0 };
  recall_attrs_locked (node, recall_out);
}

void
ttl_node_recall_entry (TtlNode *node, TtlRecall *recall_out)
{
  TTL_LOCKED (&node->table->lock);

  *recall_out = (TtlRecall){ 0 };
  recall_entry_locked (node, 0, recall_out);
}

gboolean
ttl_node_is_same_stat (const struct stat *a, const struct stat *b)
{
  return is_same_content (a, b) && a->st_mode == b->st_mode && a->st_nlink == b->st_nlink
         && a->st_uid == b->st_uid && a->st_gid == b->st_gid;
}

void
ttl_nodes_recalled (TtlNodes *self, const TtlRecall *recall)
{
  TTL_LOCKED (&self->lock);
  TtlNode *node;

  for (guint i = 0; i < recall->n_attrs; i++)
    {
      node = g_hash_table_lookup (self->by_id, &recall->attrs[i].id);
      if (node != NULL && node->promised == recall->attrs[i].promised)
        {
          node->attrs_until_us = 0;
          node->recalled_us = g_get_monotonic_time ();
        }
    }
  node = recall->entry_of != 0 ? g_hash_table_lookup (self->by_id, &recall->entry_of) : NULL;
  if (node != NULL && node->promised == recall->promised)
    node->entry_until_us = 0;
  node = recall->over != 0 ? g_hash_table_lookup (self->by_id, &recall->over) : NULL;
  if (node != NULL && node->kind == TTL_NODE_VALUE && !node->retired)
    detach_locked (node);
}

/* Of a version that has been replaced the attributes need not be taken back from who reads it. */
static void
value_changed_locked (TtlNode *node, const struct stat *st, const TtlNode *told, gint64 until_us,
                      TtlRecall *recall)
{
  const gboolean is_over = st == NULL || !is_same_version (&node->version, st);

  if (node->fds != NULL)
    recall_entry_locked (node, is_over ? 0 : until_us, recall);
  if (node != told && (node->fds == NULL || !is_over))
    recall_attrs_locked (node, recall);
  if (is_over)
    recall->over = node->id;
}

/* Paths may lead to the draft's node for as long as it shows to its process what everybody sees. The watcher may tell of a
 * publication before its author does. */
static void
draft_changed_locked (TtlNode *node, const TtlDraft *by, const struct stat *st, TtlRecall *recall)
{
  if (by != NULL && node->writer->draft == by)
    {
      node->version = node->seen = *st;
      recall_attrs_locked (node, recall);
    }
  if (st == NULL
      || (node->version.st_ino != st->st_ino && !ttl_draft_put (node->writer->draft, st->st_ino)))
    recall_entry_locked (node, 0, recall);
}

void
ttl_nodes_changed (TtlNodes *self, TtlBucket *bucket, const char *backing, const TtlDraft *by,
                   const struct stat *st, const TtlNode *told, gint64 until_us,
                   TtlRecall *recall_out)
{
  const Place place = { ttl_bucket_id (bucket), backing };
  TTL_LOCKED (&self->lock);
  TtlNode *value = g_hash_table_lookup (self->by_key, &place);
  GPtrArray *drafts = g_hash_table_lookup (self->drafts, &place);

  *recall_out = (TtlRecall){ 0 };
  if (value != NULL)
    value_changed_locked (value, st, told, until_us, recall_out);
  for (guint i = 0; drafts != NULL && i < drafts->len; i++)
    draft_changed_locked (g_ptr_array_index (drafts, i), by, st, recall_out);
}

gboolean
ttl_nodes_is_promised (TtlNodes *self, TtlBucket *bucket, const char *backing,
                       struct stat *told_out)
{
  const Place place = { ttl_bucket_id (bucket), backing };
  gint64 now_us = g_get_monotonic_time ();
  TTL_LOCKED (&self->lock);
  TtlNode *value = g_hash_table_lookup (self->by_key, &place);
  GPtrArray *drafts = g_hash_table_lookup (self->drafts, &place);

  gboolean promised;

  told_out->st_ino = 0;
  promised = value != NULL && MAX (value->entry_until_us, value->attrs_until_us) > now_us;
  if (value != NULL)
    *told_out = value->seen;
  for (guint i = 0; drafts != NULL && i < drafts->len; i++)
    promised |= ((TtlNode *)g_ptr_array_index (drafts, i))->entry_until_us > now_us;
  return promised;
}

void
ttl_nodes_bucket_changed (TtlNodes *self, TtlBucket *bucket, TtlRecall *recall_out)
{
  guint64 id = ttl_bucket_id (bucket);
  TTL_LOCKED (&self->lock);
  TtlNode *node = g_hash_table_lookup (self->by_bucket, &id);

  *recall_out = (TtlRecall){ 0 };
  if (node != NULL)
    recall_attrs_locked (node, recall_out);
}

GArray *
ttl_nodes_dup_promised_buckets (TtlNodes *self)
{
  GArray *ids = g_array_new (FALSE, FALSE, sizeof (guint64));
  gint64 now_us = g_get_monotonic_time ();
  TTL_LOCKED (&self->lock);
  GHashTableIter iter;
  gpointer node;

  g_hash_table_iter_init (&iter, self->by_bucket);
  while (g_hash_table_iter_next (&iter, NULL, &node))
    if (((TtlNode *)node)->attrs_until_us > now_us)
      g_array_append_val (ids, ((TtlNode *)node)->id);
  return ids;
}

gboolean
ttl_nodes_is_bucket_promised (TtlNodes *self, TtlBucket *bucket)
{
  TtlRecall recall;

  ttl_nodes_bucket_changed (self, bucket, &recall);
  return recall.n_attrs != 0;
}

gboolean
ttl_nodes_knows_version (TtlNodes *self, TtlBucket *bucket, const char *backing,
                         const struct stat *st)
{
  const Place place = { ttl_bucket_id (bucket), backing };
  TTL_LOCKED (&self->lock);
  TtlNode *value = g_hash_table_lookup (self->by_key, &place);
  GPtrArray *drafts = g_hash_table_lookup (self->drafts, &place);

  if (value != NULL && is_same_version (&value->version, st))
    return TRUE;
  for (guint i = 0; drafts != NULL && i < drafts->len; i++)
    {
      TtlNode *node = g_ptr_array_index (drafts, i);

      if (node->version.st_ino == st->st_ino || ttl_draft_put (node->writer->draft, st->st_ino))
        return TRUE;
    }
  return FALSE;
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
