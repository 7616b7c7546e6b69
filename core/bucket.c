#include "bucket.h"

#include "cleanup.h"

#include <fcntl.h>

struct TtlDir
{
  gint refs; /* atomic */
  int fd;
};

struct TtlTree
{
  pthread_mutex_t lock; /* order 5 */
  GHashTable *by_ino;   /* guarded by lock; inode number -> TtlBucket, borrowed */
  GHashTable *by_id;    /* guarded by lock; id -> TtlBucket, borrowed */
  GHashTable *
      by_place; /* guarded by lock; set of TtlBucket by parent and name, the latest there; borrowed */
  GQueue open_dirs; /* guarded by lock; TtlBucket with a cached dir, used last first; borrowed */
  guint max_dirs;   /* constant */
  guint64 next_id;  /* guarded by lock */
  dev_t dev;        /* atomic; changed with lock, when the root is replaced */
  gint cut_off;     /* atomic; changed with lock */
  TtlBucket *root;  /* constant */
  TtlTreeLost lost; /* constant once set; NULL: none */
  gpointer lost_data;
};

struct TtlBucket
{
  TtlTree *tree;
  guint64 id;
  ino_t ino;
  guint refs;        /* guarded by tree->lock, as everything below */
  TtlBucket *parent; /* owns a reference; NULL for the root */
  char *name;
  gboolean gone; /* removed */
  TtlDir *dir;   /* NULL when not cached; the root's always is */
  GList *lru;    /* its link in open_dirs, NULL when not in it */
  gboolean ttl_known;
  guint ttl_stamp; /* moves with every forget() */
  TtlDuration ttl;
};

static TtlDir *
dir_new (int fd)
{
  TtlDir *self = g_new (TtlDir, 1);

  self->refs = 1;
  self->fd = fd;
  return self;
}

static TtlDir *
dir_ref (TtlDir *self)
{
  g_atomic_int_inc (&self->refs);
  return self;
}

void
ttl_dir_unref (TtlDir *self)
{
  if (!g_atomic_int_dec_and_test (&self->refs))
    return;
  close (self->fd);
  g_free (self);
}

int
ttl_dir_fd (const TtlDir *self)
{
  return self->fd;
}

static guint
place_hash (gconstpointer data)
{
  const TtlBucket *bucket = data;

  return g_str_hash (bucket->name) * 31 + g_direct_hash (bucket->parent);
}

static gboolean
place_equal (gconstpointer a, gconstpointer b)
{
  const TtlBucket *x = a, *y = b;

  return x->parent == y->parent && strcmp (x->name, y->name) == 0;
}

static void
leave_place_locked (TtlBucket *self)
{
  if (g_hash_table_lookup (self->tree->by_place, self) == self)
    g_hash_table_remove (self->tree->by_place, self);
}

static TtlBucket *
bucket_new_locked (TtlTree *tree, TtlBucket *parent, const char *name, ino_t ino)
{
  TtlBucket *self = g_new0 (TtlBucket, 1);

  self->tree = tree;
  self->id = ++tree->next_id;
  self->ino = ino;
  self->refs = 1;
  self->parent = parent;
  if (parent != NULL)
    parent->refs++;
  self->name = g_strdup (name);
  g_hash_table_replace (tree->by_ino, &self->ino, self);
  g_hash_table_insert (tree->by_id, &self->id, self);
  g_hash_table_add (tree->by_place, self);
  return self;
}

TtlTree *
ttl_tree_new (int root_fd, guint max_dirs)
{
  TtlTree *self = g_new0 (TtlTree, 1);
  struct stat st = { 0 };

  pthread_mutex_init (&self->lock, NULL);
  G_STATIC_ASSERT (sizeof (ino_t) == sizeof (gint64));
  self->by_ino = g_hash_table_new (g_int64_hash, g_int64_equal);
  self->by_id = g_hash_table_new (g_int64_hash, g_int64_equal);
  self->by_place = g_hash_table_new (place_hash, place_equal);
  g_queue_init (&self->open_dirs);
  self->max_dirs = MAX (max_dirs, 8);
  if (fstat (root_fd, &st) == 0)
    self->dev = st.st_dev;
  self->root = bucket_new_locked (self, NULL, "", st.st_ino);
  self->root->dir = dir_new (root_fd);
  return self;
}

void
ttl_tree_free (TtlTree *self)
{
  ttl_bucket_unref (self->root);
  g_warn_if_fail (g_hash_table_size (self->by_id) == 0);
  g_hash_table_unref (self->by_ino);
  g_hash_table_unref (self->by_id);
  g_hash_table_unref (self->by_place);
  pthread_mutex_destroy (&self->lock);
  g_free (self);
}

void
ttl_tree_set_lost (TtlTree *self, TtlTreeLost lost, gpointer data)
{
  self->lost = lost;
  self->lost_data = data;
}

TtlBucket *
ttl_tree_root (TtlTree *self)
{
  return self->root;
}

TtlBucket *
ttl_tree_dup (TtlTree *self, guint64 id)
{
  TTL_LOCKED (&self->lock);
  TtlBucket *bucket = g_hash_table_lookup (self->by_id, &id);

  if (bucket != NULL)
    bucket->refs++;
  return bucket;
}

GPtrArray *
ttl_tree_dup_all (TtlTree *self)
{
  GPtrArray *all = g_ptr_array_new_with_free_func ((GDestroyNotify)ttl_bucket_unref);
  TTL_LOCKED (&self->lock);
  GHashTableIter iter;
  gpointer bucket;

  g_hash_table_iter_init (&iter, self->by_id);
  while (g_hash_table_iter_next (&iter, NULL, &bucket))
    {
      ((TtlBucket *)bucket)->refs++;
      g_ptr_array_add (all, bucket);
    }
  return all;
}

TtlBucket *
ttl_bucket_ref (TtlBucket *self)
{
  TTL_LOCKED (&self->tree->lock);

  self->refs++;
  return self;
}

/* Takes the cached descriptor out; the caller gives it back once the lock is released. */
static TtlDir *
uncache_dir_locked (TtlBucket *self)
{
  if (self->lru != NULL)
    g_queue_delete_link (&self->tree->open_dirs, self->lru);
  self->lru = NULL;
  return g_steal_pointer (&self->dir);
}

static void
forget_ino_locked (TtlBucket *self)
{
  if (g_hash_table_lookup (self->tree->by_ino, &self->ino) == self)
    g_hash_table_remove (self->tree->by_ino, &self->ino);
}

void
ttl_bucket_unref (TtlBucket *self)
{
  while (self != NULL)
    {
      g_autoptr (TtlDir) dir = NULL;
      TtlBucket *parent = NULL;

      {
        TTL_LOCKED (&self->tree->lock);
        if (--self->refs > 0)
          return;
        dir = uncache_dir_locked (self);
        forget_ino_locked (self);
        leave_place_locked (self);
        g_hash_table_remove (self->tree->by_id, &self->id);
        parent = self->parent;
      }
      g_free (self->name);
      g_free (self);
      self = parent;
    }
}

guint64
ttl_bucket_id (const TtlBucket *self)
{
  return self->id;
}

ino_t
ttl_bucket_ino (TtlBucket *self)
{
  TTL_LOCKED (&self->tree->lock);

  return self->ino;
}

gboolean
ttl_bucket_is_root (const TtlBucket *self)
{
  return self == self->tree->root;
}

char *
ttl_bucket_dup_path (TtlBucket *self)
{
  GString *path = g_string_new (NULL);
  TTL_LOCKED (&self->tree->lock);

  for (TtlBucket *at = self; at->parent != NULL; at = at->parent)
    {
      if (path->len > 0)
        g_string_prepend_c (path, '/');
      g_string_prepend (path, at->name);
    }
  return g_string_free (path, FALSE);
}

TtlBucket *
ttl_bucket_dup_parent (TtlBucket *self)
{
  TTL_LOCKED (&self->tree->lock);

  if (self->parent != NULL)
    self->parent->refs++;
  return self->parent;
}

static gboolean
is_within_locked (TtlBucket *self, TtlBucket *other)
{
  for (TtlBucket *at = self; at != NULL; at = at->parent)
    if (at == other)
      return TRUE;
  return FALSE;
}

gboolean
ttl_bucket_is_within (TtlBucket *self, TtlBucket *other)
{
  TTL_LOCKED (&self->tree->lock);

  return is_within_locked (self, other);
}

/* The cached descriptor, moved to the front; NULL when there is none. */
static TtlDir *
use_cached_dir_locked (TtlBucket *self)
{
  if (self->dir == NULL)
    return NULL;
  if (self->lru != NULL)
    {
      g_queue_unlink (&self->tree->open_dirs, self->lru);
      g_queue_push_head_link (&self->tree->open_dirs, self->lru);
    }
  return dir_ref (self->dir);
}

/* Caches @dir for @self unless another thread was faster. Returns what fell out, for the caller to give back. */
static TtlDir *
cache_dir_locked (TtlBucket *self, TtlDir *dir)
{
  TtlTree *tree = self->tree;

  if (self->dir != NULL || tree->cut_off)
    return NULL;
  self->dir = dir_ref (dir);
  g_queue_push_head (&tree->open_dirs, self);
  self->lru = tree->open_dirs.head;
  if (tree->open_dirs.length <= tree->max_dirs)
    return NULL;
  return uncache_dir_locked (g_queue_peek_tail (&tree->open_dirs));
}

/* Whether @name leads exactly one directory down. */
static gboolean
is_component (const char *name)
{
  return name[0] != '\0' && strchr (name, '/') == NULL && strcmp (name, ".") != 0
         && strcmp (name, "..") != 0;
}

/* Opens the directory @name below @parent: one component, no symlink, same file system. */
static int
open_below (TtlTree *tree, TtlDir *parent, const char *name, int *fd_out, ino_t *ino_out)
{
  ttl_autofd fd = -1;
  struct stat st;

  if (!is_component (name))
    return -ENOENT;
  fd = openat (parent->fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0)
    return errno == ELOOP ? -ENOTDIR : -errno;
  if (fstat (fd, &st) < 0)
    return -errno;
  if (st.st_dev != __atomic_load_n (&tree->dev, __ATOMIC_RELAXED))
    return -EXDEV;
  *ino_out = st.st_ino;
  *fd_out = ttl_steal_fd (&fd);
  return 0;
}

/* 1: the bucket's cached directory; 0: its parent (a reference, NULL for the root) and name; -ENOENT: it was removed. */
static int
cached_or_parent (TtlBucket *self, TtlDir **dir_out, TtlBucket **parent_out, char **name_out)
{
  TTL_LOCKED (&self->tree->lock);

  if (self->gone)
    return -ENOENT;
  *dir_out = use_cached_dir_locked (self);
  if (*dir_out != NULL)
    return 1;
  *parent_out = self->parent;
  if (self->parent != NULL)
    self->parent->refs++;
  *name_out = g_strdup (self->name);
  return 0;
}

/* Opens @self, called @name, below the directory of its parent, and caches it. */
static int
open_in (TtlBucket *self, TtlDir *parent_dir, const char *name, TtlDir **dir_out)
{
  g_autoptr (TtlDir) dir = NULL;
  g_autoptr (TtlDir) evicted = NULL;
  ino_t ino = 0;
  int fd = -1;
  int res = open_below (self->tree, parent_dir, name, &fd, &ino);

  if (res < 0)
    return res == -ENOENT || res == -ENOTDIR || res == -EXDEV ? -ESTALE : res;
  dir = dir_new (fd);
  if (ino != self->ino)
    return -ESTALE;

  TTL_LOCKED (&self->tree->lock);
  evicted = cache_dir_locked (self, dir);
  *dir_out = g_steal_pointer (&dir);
  return 0;
}

static void
uncache_all_locked (TtlTree *self, GPtrArray *closed)
{
  while (self->open_dirs.length > 0)
    g_ptr_array_add (closed, uncache_dir_locked (g_queue_peek_tail (&self->open_dirs)));
}

void
ttl_tree_root_cut_off (TtlTree *self)
{
  g_autoptr (GPtrArray) closed = g_ptr_array_new_with_free_func ((GDestroyNotify)ttl_dir_unref);
  TTL_LOCKED (&self->lock);

  g_atomic_int_set (&self->cut_off, TRUE);
  uncache_all_locked (self, closed);
}

gboolean
ttl_tree_root_is_cut_off (TtlTree *self)
{
  return g_atomic_int_get (&self->cut_off);
}

gboolean
ttl_tree_root_was (TtlTree *self, const struct stat *st)
{
  TTL_LOCKED (&self->lock);

  return st->st_dev == self->dev && st->st_ino == self->root->ino;
}

/* None of the buckets is what has its inode number in another directory. */
static void
remove_all_locked (TtlTree *self)
{
  GHashTableIter iter;
  gpointer item;

  g_hash_table_iter_init (&iter, self->by_id);
  while (g_hash_table_iter_next (&iter, NULL, &item))
    if (item != self->root)
      {
        forget_ino_locked (item);
        ((TtlBucket *)item)->gone = TRUE;
      }
}

void
ttl_tree_root_replaced (TtlTree *self)
{
  g_autoptr (GPtrArray) closed = g_ptr_array_new_with_free_func ((GDestroyNotify)ttl_dir_unref);
  struct stat st;
  TTL_LOCKED (&self->lock);

  if (fstat (self->root->dir->fd, &st) < 0)
    return;
  if (st.st_dev != self->dev || st.st_ino != self->root->ino)
    remove_all_locked (self);
  forget_ino_locked (self->root);
  self->root->ino = st.st_ino;
  __atomic_store_n (&self->dev, st.st_dev, __ATOMIC_RELAXED);
  g_hash_table_replace (self->by_ino, &self->root->ino, self->root);
  uncache_all_locked (self, closed);
  g_atomic_int_set (&self->cut_off, FALSE);
}

/* A directory that has been removed stays open, and everything in it is merely absent; one whose file system was
 * unmounted stays as it was, where nobody else looks. Either would be a lie about the root. */
static int
check_root (TtlTree *self, const TtlDir *dir)
{
  struct stat st;

  if (self->lost == NULL)
    return 0;
  if (!ttl_tree_root_is_cut_off (self) && (fstat (dir->fd, &st) < 0 || st.st_nlink > 0))
    return 0;
  return self->lost (self->lost_data);
}

static int
open_root (TtlTree *self, TtlDir **dir_inout)
{
  int res = check_root (self, *dir_inout);

  if (res < 0)
    g_clear_pointer (dir_inout, ttl_dir_unref);
  return res;
}

/* Up to the nearest cached directory, then down again. A loop, since a user decides how deep the buckets nest. */
int
ttl_bucket_open (TtlBucket *self, TtlDir **dir_out)
{
  g_autoptr (GPtrArray) buckets = g_ptr_array_new_with_free_func ((GDestroyNotify)ttl_bucket_unref);
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (TtlDir) dir = NULL;
  TtlBucket *at = self, *parent = NULL;
  char *name = NULL;
  int res;

  res = cached_or_parent (self, dir_out, &parent, &name);
  if (res > 0)
    return self == self->tree->root ? open_root (self->tree, dir_out) : 0;
  while (res == 0)
    {
      g_ptr_array_add (buckets, at == self ? ttl_bucket_ref (at) : at);
      g_ptr_array_add (names, name);
      if (parent == NULL)
        return -ESTALE; /* the root, without a directory */
      at = parent;
      res = cached_or_parent (at, &dir, &parent, &name);
    }
  if (res > 0)
    res = at == self->tree->root ? check_root (self->tree, dir) : 0;
  if (at != self)
    ttl_bucket_unref (at);

  if (res < 0)
    return res;

  for (guint i = buckets->len; i > 0; i--)
    {
      TtlDir *below = NULL;

      res = open_in (g_ptr_array_index (buckets, i - 1), dir, g_ptr_array_index (names, i - 1),
                     &below);
      if (res < 0)
        return res;
      ttl_dir_unref (dir);
      dir = below;
    }
  *dir_out = g_steal_pointer (&dir);
  return 0;
}

gboolean
ttl_bucket_is_in_place (TtlBucket *self)
{
  g_autoptr (TtlBucket) at = ttl_bucket_ref (self);

  for (;;)
    {
      g_autoptr (TtlBucket) parent = NULL;
      g_autoptr (TtlDir) dir = NULL;
      g_autofree char *name = NULL;
      struct stat st;

      {
        TTL_LOCKED (&at->tree->lock);
        if (at->gone)
          return FALSE; /* what stands there may have its inode number */
        if (at->parent == NULL)
          return TRUE;
        parent = at->parent;
        parent->refs++;
        name = g_strdup (at->name);
      }
      if (ttl_bucket_open (parent, &dir) < 0
          || fstatat (dir->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_ino != at->ino
          || st.st_dev != __atomic_load_n (&at->tree->dev, __ATOMIC_RELAXED))
        return FALSE;
      ttl_bucket_unref (at);
      at = g_steal_pointer (&parent);
    }
}

TtlBucket *
ttl_bucket_dup_known_child (TtlBucket *self, const char *name)
{
  const TtlBucket there = { .parent = self, .name = (char *)name };
  TTL_LOCKED (&self->tree->lock);
  TtlBucket *child = g_hash_table_lookup (self->tree->by_place, &there);

  if (child != NULL)
    child->refs++;
  return child;
}

void
ttl_bucket_forget_dir (TtlBucket *self)
{
  g_autoptr (TtlDir) dir = NULL;
  TTL_LOCKED (&self->tree->lock);

  if (self->parent != NULL)
    dir = uncache_dir_locked (self);
}

/* Puts @self below @parent as @name, and hands out the parent that it had, for the caller to give back. FALSE when that
 * would make a circle: then what we know of @parent's own place is old (a peer moved directories about). */
static gboolean
move_locked (TtlBucket *self, TtlBucket *parent, const char *name, TtlBucket **old_parent_out)
{
  if (self->parent == NULL || is_within_locked (parent, self))
    return FALSE;
  if (self->parent == parent && strcmp (self->name, name) == 0)
    return TRUE;
  leave_place_locked (self);
  parent->refs++;
  *old_parent_out = self->parent;
  self->parent = parent;
  g_free (self->name);
  self->name = g_strdup (name);
  g_hash_table_add (self->tree->by_place, self);
  return TRUE;
}

guint
ttl_bucket_depth (TtlBucket *self)
{
  guint depth = 0;
  TTL_LOCKED (&self->tree->lock);

  for (TtlBucket *at = self; at->parent != NULL; at = at->parent)
    depth++;
  return depth;
}

int
ttl_bucket_get_child (TtlBucket *self, const char *name, TtlBucket **child_out)
{
  TtlTree *tree = self->tree;
  g_autoptr (TtlDir) parent_dir = NULL;
  g_autoptr (TtlDir) dir = NULL;
  g_autoptr (TtlDir) evicted = NULL;
  g_autoptr (TtlBucket) old_parent = NULL;
  TtlBucket *child;
  ino_t ino = 0;
  int fd = -1;
  int res = ttl_bucket_open (self, &parent_dir);

  if (res == 0)
    res = open_below (tree, parent_dir, name, &fd, &ino);
  if (res < 0)
    return res;
  dir = dir_new (fd);

  TTL_LOCKED (&tree->lock);
  child = g_hash_table_lookup (tree->by_ino, &ino);
  if (child == NULL)
    child = bucket_new_locked (tree, self, name, ino);
  else if (move_locked (child, self, name, &old_parent))
    child->refs++;
  else
    return -ESTALE;
  evicted = child->dir == NULL ? cache_dir_locked (child, dir) : NULL;
  *child_out = child;
  /* The locals are given back in reverse order: the lock first, then what fell out. */
  return 0;
}

void
ttl_bucket_moved (TtlBucket *self, TtlBucket *parent, const char *name)
{
  g_autoptr (TtlBucket) old_parent = NULL;
  TTL_LOCKED (&self->tree->lock);

  (void)move_locked (self, parent, name, &old_parent);
}

void
ttl_bucket_removed (TtlBucket *self)
{
  TTL_LOCKED (&self->tree->lock);

  if (self->parent == NULL)
    return; /* the root may come back: check_root() sees to that */
  forget_ino_locked (self);
  self->gone = TRUE;
}

gboolean
ttl_bucket_get_own_ttl (TtlBucket *self, TtlDuration *own_out, guint *stamp_out)
{
  TTL_LOCKED (&self->tree->lock);

  *stamp_out = self->ttl_stamp;
  if (self->ttl_known)
    *own_out = self->ttl;
  return self->ttl_known;
}

void
ttl_bucket_set_own_ttl (TtlBucket *self, const TtlDuration *own, guint stamp)
{
  TTL_LOCKED (&self->tree->lock);

  if (stamp != self->ttl_stamp)
    return;
  self->ttl = own != NULL ? *own : (TtlDuration){ 0 };
  self->ttl_known = TRUE;
}

void
ttl_bucket_forget_ttl (TtlBucket *self)
{
  TTL_LOCKED (&self->tree->lock);

  self->ttl_stamp++;
  self->ttl_known = FALSE;
}
