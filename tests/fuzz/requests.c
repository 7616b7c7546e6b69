/* Requests as the kernel may send them, in any order, to the real operations.
 *
 * The first line's first byte chooses the options, its second how it ends. Each line after it is one step: a letter that
 * says which (see steps), and its arguments, a byte each, counted from the digit 0; what is missing is 0. Nodes and handles are
 * numbered in the order of the replies that gave them. So inputs can be written, and read, as text.
 *
 * What the kernel guarantees holds here too: handles are those of replies and are not used once released, a node with an open
 * handle is not forgotten, nothing is forgotten more often than it was told. */
#include "fuzz.h"
#include "keeper.h"
#include "reaper.h"
#include "store-private.h"
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

#define STEPS_MAX 200
#define RAW 0xc0 /* an argument from here on is not an index: what follows is taken as it is */
#define READ_MOST 8192

typedef struct
{
  guint64 id;
  guint64 lookups;
  guint handles; /* open on it */
  mode_t type;
  guint64 parent; /* where it was found last */
  char *name;
} Known;

typedef struct
{
  guint64 fh;
  Known *node;
  guint waits; /* locks that are waited for through it */
} Handle;

typedef struct
{
  guint64 unique;
  Handle *handle;
} Wait;

typedef struct
{
  Root root;
  TtlFs *fs;
  Wire *wire;
  GPtrArray *nodes; /* Known; the first is the root */
  GPtrArray *files; /* Handle */
  GPtrArray *dirs;  /* Handle */
  GArray *waits;
  GHashTable *gone; /* ids that were forgotten: never given again */
} World;

static void
known_free (gpointer data)
{
  Known *self = data;

  g_free (self->name);
  g_free (self);
}

/* ---- arguments ---- */

static const char *const names[] = {
  "a",   "b",    "c",      "d",      "worker-1.json", "a%2Fb",  "%",        "%41",
  "%2e", "A%zz", ".tmp_x", ".tmp_y", "%2Etmp_x",      ".ttlfs", "%2Ettlfs", "worker%2D1%2Ejson",
  "%2D", "-",    ".",      "..",     "%2E",           "%00",    "\xff\xfe", "lost+found",
  "a b", "%25",  "a/b",    "",
};

static char *
take_name (Bytes *line)
{
  const guint8 n = bytes_take_number (line);

  if (n >= RAW)
    return bytes_take_string (line, 20);
  if (n == G_N_ELEMENTS (names)) /* as long as a name, or its backing name, can be and longer */
    {
      const gsize len = 83 + bytes_take_number (line) % 4;
      return g_strnfill (len, '-');
    }
  if (n == G_N_ELEMENTS (names) + 1)
    return g_strnfill (253 + bytes_take_number (line) % 5, 'n');
  return g_strdup (names[n % G_N_ELEMENTS (names)]);
}

static Known *
take_node (World *self, Bytes *line)
{
  return g_ptr_array_index (self->nodes, bytes_take_number (line) % self->nodes->len);
}

/* A node's id, or one that was never given, or is gone. */
static guint64
take_id (World *self, Bytes *line)
{
  if (line->left > 0 && (guint8)(line->at[0] - '0') >= RAW)
    return bytes_take (line) * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15) >> bytes_take (line) % 64;
  return take_node (self, line)->id;
}

static Handle *
take_handle (GPtrArray *from, Bytes *line)
{
  const guint8 n = bytes_take_number (line);

  return from->len > 0 ? g_ptr_array_index (from, n % from->len) : NULL;
}

static guint64
take_offset (Bytes *line)
{
  static const guint64 offsets[] = { 0,
                                     1,
                                     2,
                                     10,
                                     511,
                                     4095,
                                     4096,
                                     65536,
                                     1 << 20,
                                     (4 << 20) - 1,
                                     4 << 20,
                                     G_MAXINT32,
                                     (guint64)G_MAXINT64 - 8192,
                                     G_MAXINT64 };

  return offsets[bytes_take_number (line) % G_N_ELEMENTS (offsets)];
}

static guint32
take_size (Bytes *line)
{
  static const guint32 sizes[] = { 0, 1, 3, 10, 24, 32, 64, 152, 160, 200, 512, 4096, READ_MOST };

  return sizes[bytes_take_number (line) % G_N_ELEMENTS (sizes)];
}

/* No transfer goes past the largest offset. */
static guint32
take_size_at (Bytes *line, guint64 offset)
{
  const guint64 size = take_size (line);

  return (guint32)MIN (size, G_MAXINT64 - offset);
}

static gint64
take_time (Bytes *line)
{
  static const gint64 times[]
      = { 0, 1, 50, 500, 1000, 2000, 3333, 5000, 10000, 11000, 60000, 3600000, 86400000 };

  return times[bytes_take_number (line) % G_N_ELEMENTS (times)] * TTL_NS_PER_MS;
}

static int
take_open_flags (Bytes *line)
{
  static const int flags[] = { O_RDONLY,
                               O_WRONLY,
                               O_RDWR,
                               O_WRONLY | O_TRUNC,
                               O_RDWR | O_TRUNC,
                               O_WRONLY | O_APPEND,
                               O_RDWR | O_APPEND,
                               O_RDONLY | O_TRUNC,
                               O_WRONLY | O_EXCL,
                               O_RDWR | O_EXCL,
                               O_WRONLY | O_APPEND | O_TRUNC };

  return flags[bytes_take_number (line) % G_N_ELEMENTS (flags)];
}

/* ---- what replies tell ---- */

static Known *
find_node (World *self, guint64 id)
{
  for (guint i = 0; i < self->nodes->len; i++)
    {
      Known *node = g_ptr_array_index (self->nodes, i);
      if (node->id == id)
        return node;
    }
  return NULL;
}

/* What the kernel would answer with an I/O error. */
static void
check_attr (const struct fuse_attr *attr)
{
  fuzz_assert (S_ISREG (attr->mode) || S_ISDIR (attr->mode));
  fuzz_assert (attr->size <= G_MAXINT64);
  fuzz_assert (attr->atimensec < TTL_NS_PER_S && attr->mtimensec < TTL_NS_PER_S
               && attr->ctimensec < TTL_NS_PER_S);
}

/* An entry that counts a lookup. */
static Known *
learn (World *self, const struct fuse_entry_out *entry, guint64 parent, const char *name)
{
  Known *node;

  check_attr (&entry->attr);
  fuzz_assert (entry->nodeid != 0 && entry->nodeid != FUSE_ROOT_ID);
  fuzz_assert (!g_hash_table_contains (self->gone, &entry->nodeid));
  node = find_node (self, entry->nodeid);
  if (node == NULL)
    {
      node = g_new0 (Known, 1);
      node->id = entry->nodeid;
      node->type = entry->attr.mode & S_IFMT;
      g_ptr_array_add (self->nodes, node);
    }
  fuzz_assert (node->type
               == (entry->attr.mode & S_IFMT)); /* or the kernel calls it a stale inode */
  node->lookups++;
  node->parent = parent;
  g_free (node->name);
  node->name = g_strdup (name);
  return node;
}

/* The node of the entry that came last, or NULL: an error, or nothing there. */
static Known *
learn_reply (World *self, guint64 parent, const char *name)
{
  const Reply *reply = wire_reply (self->wire);
  struct fuse_entry_out entry;

  fuzz_assert (reply->answered);
  if (reply->error < 0)
    return NULL;
  memcpy (&entry, reply->data, sizeof entry);
  return learn (self, &entry, parent, name);
}

static Handle *
learn_handle (GPtrArray *handles, Known *node, const guint8 *data)
{
  struct fuse_open_out open;
  Handle *handle = g_new0 (Handle, 1);

  memcpy (&open, data, sizeof open);
  fuzz_assert (open.fh != 0);
  for (guint i = 0; i < handles->len; i++)
    fuzz_assert (((Handle *)g_ptr_array_index (handles, i))->fh != open.fh);
  handle->fh = open.fh;
  handle->node = node;
  node->handles++;
  g_ptr_array_add (handles, handle);
  return handle;
}

static void
check_done (World *self)
{
  fuzz_assert (wire_reply (self->wire)->answered);
}

static void
check_attr_reply (World *self, guint64 id)
{
  const Reply *reply = wire_reply (self->wire);
  const Known *node = find_node (self, id);
  struct fuse_attr_out out;

  fuzz_assert (reply->answered);
  if (reply->error < 0)
    return;
  memcpy (&out, reply->data, sizeof out);
  check_attr (&out.attr);
  fuzz_assert (node != NULL && node->type == (out.attr.mode & S_IFMT));
}

/* ---- names ---- */

static Known *
lookup (World *self, guint64 parent, const char *name)
{
  wire_begin (self->wire, FUSE_LOOKUP, parent);
  wire_put_name (self->wire, name);
  wire_send (self->wire, 0);
  return learn_reply (self, parent, name);
}

static void
step_lookup (World *self, Bytes *line)
{
  const guint64 parent = take_id (self, line);
  g_autofree char *name = take_name (line);

  (void)lookup (self, parent, name);
}

/* Takes up to @times lookups off; never the last one of a node that is open. */
static guint64
unlearn (World *self, Known *node, guint64 times)
{
  const guint64 most = node->id == FUSE_ROOT_ID ? 0 : node->lookups - (node->handles > 0 ? 1 : 0);
  const guint64 n = MIN (times, most);

  node->lookups -= n;
  if (node->lookups == 0)
    {
      g_hash_table_add (self->gone, g_memdup2 (&node->id, sizeof node->id));
      g_ptr_array_remove (self->nodes, node);
    }
  return n;
}

static void
step_forget (World *self, Bytes *line)
{
  Known *node = take_node (self, line);
  const guint64 id = node->id;
  const struct fuse_forget_in body = { unlearn (self, node, bytes_take_number (line) + 1) };

  if (body.nlookup == 0)
    return;
  wire_begin (self->wire, FUSE_FORGET, id);
  wire_put (self->wire, &body, sizeof body);
  wire_send (self->wire, 0);
}

static void
step_batch_forget (World *self, Bytes *line)
{
  struct fuse_batch_forget_in body = { 0 };
  struct fuse_forget_one ones[8];

  while (line->left > 0 && body.count < G_N_ELEMENTS (ones))
    {
      Known *node = take_node (self, line);
      const guint64 id = node->id, n = unlearn (self, node, 1);

      if (n > 0)
        ones[body.count++] = (struct fuse_forget_one){ id, n };
    }
  wire_begin (self->wire, FUSE_BATCH_FORGET, 0);
  wire_put (self->wire, &body, sizeof body);
  wire_put (self->wire, ones, body.count * sizeof *ones);
  wire_send (self->wire, 0);
}

static guint32
take_mode (Bytes *line)
{
  static const guint32 modes[] = { 0644, 0600, 0755, 0, 0444, 04755, 02777, 0666 };

  return modes[bytes_take_number (line) % G_N_ELEMENTS (modes)];
}

static void
step_mknod (World *self, Bytes *line)
{
  static const guint32 types[] = { S_IFREG, S_IFREG, S_IFREG, S_IFIFO, S_IFCHR, S_IFSOCK, 0 };
  const guint64 parent = take_id (self, line);
  g_autofree char *name = take_name (line);
  struct fuse_mknod_in body = { .mode = take_mode (line), .umask = 022 };

  body.mode |= types[bytes_take_number (line) % G_N_ELEMENTS (types)];
  wire_begin (self->wire, FUSE_MKNOD, parent);
  wire_put (self->wire, &body, sizeof body);
  wire_put_name (self->wire, name);
  wire_send (self->wire, 0);
  (void)learn_reply (self, parent, name);
}

static void
step_mkdir (World *self, Bytes *line)
{
  const guint64 parent = take_id (self, line);
  g_autofree char *name = take_name (line);
  const struct fuse_mkdir_in body = { .mode = take_mode (line) | 0100, .umask = 022 };
  const Known *made;

  wire_begin (self->wire, FUSE_MKDIR, parent);
  wire_put (self->wire, &body, sizeof body);
  wire_put_name (self->wire, name);
  wire_send (self->wire, 0);
  made = learn_reply (self, parent, name);
  fuzz_assert (made == NULL || S_ISDIR (made->type));
}

static void
remove_name (World *self, Bytes *line, guint32 opcode)
{
  const guint64 parent = take_id (self, line);
  g_autofree char *name = take_name (line);

  wire_begin (self->wire, opcode, parent);
  wire_put_name (self->wire, name);
  wire_send (self->wire, 0);
  check_done (self);
}

static void
step_unlink (World *self, Bytes *line)
{
  remove_name (self, line, FUSE_UNLINK);
}

static void
step_rmdir (World *self, Bytes *line)
{
  remove_name (self, line, FUSE_RMDIR);
}

static void
step_rename (World *self, Bytes *line)
{
  const guint64 from = take_id (self, line);
  g_autofree char *name = take_name (line);
  const struct fuse_rename_in body = { take_id (self, line) };
  g_autofree char *newname = take_name (line);

  wire_begin (self->wire, FUSE_RENAME, from);
  wire_put (self->wire, &body, sizeof body);
  wire_put_name (self->wire, name);
  wire_put_name (self->wire, newname);
  wire_send (self->wire, 0);
  check_done (self);
}

static void
step_rename2 (World *self, Bytes *line)
{
  const guint64 from = take_id (self, line);
  g_autofree char *name = take_name (line);
  const guint64 to = take_id (self, line);
  g_autofree char *newname = take_name (line);
  const struct fuse_rename2_in body = { .newdir = to, .flags = bytes_take_number (line) % 8 };

  wire_begin (self->wire, FUSE_RENAME2, from);
  wire_put (self->wire, &body, sizeof body);
  wire_put_name (self->wire, name);
  wire_put_name (self->wire, newname);
  wire_send (self->wire, 0);
  check_done (self);
}

static void
step_link (World *self, Bytes *line)
{
  const struct fuse_link_in body = { take_id (self, line) };
  const guint64 parent = take_id (self, line);
  g_autofree char *name = take_name (line);

  wire_begin (self->wire, FUSE_LINK, parent);
  wire_put (self->wire, &body, sizeof body);
  wire_put_name (self->wire, name);
  wire_send (self->wire, 0);
  (void)learn_reply (self, parent, name);
}

static void
step_symlink (World *self, Bytes *line)
{
  const guint64 parent = take_id (self, line);
  g_autofree char *name = take_name (line);

  wire_begin (self->wire, FUSE_SYMLINK, parent);
  wire_put_name (self->wire, name);
  wire_put_name (self->wire, "a");
  wire_send (self->wire, 0);
  (void)learn_reply (self, parent, name);
}

/* ---- attributes ---- */

static void
step_getattr (World *self, Bytes *line)
{
  const guint64 id = take_id (self, line);
  const struct fuse_getattr_in body = { 0 };

  wire_begin (self->wire, FUSE_GETATTR, id);
  wire_put (self->wire, &body, sizeof body);
  wire_send (self->wire, 0);
  check_attr_reply (self, id);
}

static void
step_setattr (World *self, Bytes *line)
{
  const guint64 now_ns = (guint64)ttl_store_now (self->root.store);
  guint64 id = take_id (self, line);
  const guint32 low = bytes_take_number (line), high = bytes_take_number (line);
  const guint64 time_ns = now_ns + (guint64)take_time (line) * (high & 2 ? -1 : 1);
  struct fuse_setattr_in body = {
    .valid = low & (FATTR_MODE | FATTR_UID | FATTR_GID | FATTR_SIZE | FATTR_ATIME | FATTR_MTIME),
    .mtime = high & 4 ? take_offset (line) : time_ns / TTL_NS_PER_S,
    .mtimensec = time_ns % TTL_NS_PER_S,
    .size = take_offset (line),
    .mode = take_mode (line),
    .uid = geteuid (),
    .gid = getegid (),
  };
  const Handle *handle = high & 1 ? take_handle (self->files, line) : NULL;

  body.atime = body.mtime;
  if (low & 0x40)
    body.valid |= FATTR_ATIME_NOW | FATTR_MTIME_NOW | FATTR_ATIME | FATTR_MTIME;
  if (handle != NULL)
    {
      body.valid |= FATTR_FH;
      body.fh = handle->fh;
      id = handle->node->id;
    }
  wire_begin (self->wire, FUSE_SETATTR, id);
  wire_put (self->wire, &body, sizeof body);
  wire_send (self->wire, 0);
  check_attr_reply (self, id);
}

static void
step_statfs (World *self, Bytes *line)
{
  wire_begin (self->wire, FUSE_STATFS, take_id (self, line));
  wire_send (self->wire, 0);
  check_done (self);
}

static char *
take_attribute (Bytes *line)
{
  static const char *const attributes[] = { "user.ttlfs.ttl",
                                            "user.a",
                                            "user.b",
                                            "user.ttlfs.remaining",
                                            "user.ttlfs.expires",
                                            "user.ttlfs.version",
                                            "user.ttlfs.",
                                            "user.",
                                            "security.capability",
                                            "system.posix_acl_access",
                                            "trusted.a" };
  const guint8 n = bytes_take_number (line);

  return n >= RAW ? bytes_take_string (line, 30)
                  : g_strdup (attributes[n % G_N_ELEMENTS (attributes)]);
}

static char *
take_attribute_value (Bytes *line)
{
  static const char *const values[]
      = { "2s", "50ms", "49ms", "inf", "1d", "", "10s\n", "500ms", "1m", "-1s", "106751d" };
  const guint8 n = bytes_take_number (line);

  return n >= RAW ? bytes_take_string (line, 60) : g_strdup (values[n % G_N_ELEMENTS (values)]);
}

static void
step_setxattr (World *self, Bytes *line)
{
  const guint64 id = take_id (self, line);
  g_autofree char *name = take_attribute (line);
  g_autofree char *value = take_attribute_value (line);
  const struct fuse_setxattr_in body
      = { .size = (guint32)strlen (value), .flags = bytes_take_number (line) % 4 };

  wire_begin (self->wire, FUSE_SETXATTR, id);
  wire_put (self->wire, &body, FUSE_COMPAT_SETXATTR_IN_SIZE);
  wire_put_name (self->wire, name);
  wire_put (self->wire, value, body.size);
  wire_send (self->wire, 0);
  check_done (self);
}

static void
step_getxattr (World *self, Bytes *line)
{
  const guint64 id = take_id (self, line);
  g_autofree char *name = take_attribute (line);
  const struct fuse_getxattr_in body = { .size = take_size (line) };

  wire_begin (self->wire, FUSE_GETXATTR, id);
  wire_put (self->wire, &body, sizeof body);
  wire_put_name (self->wire, name);
  wire_send (self->wire, body.size);
  check_done (self);
}

static void
step_listxattr (World *self, Bytes *line)
{
  const guint64 id = take_id (self, line);
  const struct fuse_getxattr_in body = { .size = take_size (line) };

  wire_begin (self->wire, FUSE_LISTXATTR, id);
  wire_put (self->wire, &body, sizeof body);
  wire_send (self->wire, body.size);
  check_done (self);
}

static void
step_removexattr (World *self, Bytes *line)
{
  const guint64 id = take_id (self, line);
  g_autofree char *name = take_attribute (line);

  wire_begin (self->wire, FUSE_REMOVEXATTR, id);
  wire_put_name (self->wire, name);
  wire_send (self->wire, 0);
  check_done (self);
}

/* ---- files ---- */

/* 0, or the error. */
static int
open_node (World *self, guint64 id, int flags)
{
  const struct fuse_open_in body = { .flags = (guint32)flags };
  const Reply *reply = wire_reply (self->wire);
  Known *node = find_node (self, id);

  wire_begin (self->wire, FUSE_OPEN, id);
  wire_put (self->wire, &body, sizeof body);
  wire_send (self->wire, 0);
  fuzz_assert (reply->answered && (reply->error < 0 || node != NULL));
  if (reply->error == 0)
    (void)learn_handle (self->files, node, reply->data);
  return reply->error;
}

/* After ESTALE the kernel looks the path up again, once, and opens what it finds. It opens regular files alone. */
static void
step_open (World *self, Bytes *line)
{
  const guint64 id = take_id (self, line);
  const int flags = take_open_flags (line);
  const Known *node = find_node (self, id);
  g_autofree char *name = NULL;

  if (node != NULL && S_ISDIR (node->type))
    return;
  name = node != NULL ? g_strdup (node->name) : NULL;
  if (open_node (self, id, flags) != -ESTALE || name == NULL || bytes_take_number (line) == 1)
    return;
  node = lookup (self, node->parent, name);
  if (node != NULL && !S_ISDIR (node->type))
    (void)open_node (self, node->id, flags);
}

static void
step_create (World *self, Bytes *line)
{
  const guint64 parent = take_id (self, line);
  g_autofree char *name = take_name (line);
  const struct fuse_create_in body = { .flags = (guint32)take_open_flags (line) | O_CREAT,
                                       .mode = S_IFREG | take_mode (line),
                                       .umask = 022 };
  const Reply *reply = wire_reply (self->wire);
  Known *node;

  wire_begin (self->wire, FUSE_CREATE, parent);
  wire_put (self->wire, &body, sizeof body);
  wire_put_name (self->wire, name);
  wire_send (self->wire, 0);
  node = learn_reply (self, parent, name);
  fuzz_assert (node == NULL || S_ISREG (node->type));
  if (node != NULL)
    (void)learn_handle (self->files, node, reply->data + sizeof (struct fuse_entry_out));
}

static void
step_read (World *self, Bytes *line)
{
  const Handle *handle = take_handle (self->files, line);
  const guint64 offset = take_offset (line);
  const guint32 size = take_size_at (line, offset);
  const struct fuse_read_in body
      = { .fh = handle != NULL ? handle->fh : 0, .offset = offset, .size = size };

  if (handle == NULL)
    return;
  wire_begin (self->wire, FUSE_READ, handle->node->id);
  wire_put (self->wire, &body, sizeof body);
  wire_send (self->wire, size);
  check_done (self);
}

static void
step_write (World *self, Bytes *line)
{
  const Handle *handle = take_handle (self->files, line);
  const guint64 offset = take_offset (line);
  const guint32 size = take_size_at (line, offset);
  const guint8 how = bytes_take_number (line);
  g_autofree char *content = g_strnfill (size, (char)('a' + how % 26));
  const struct fuse_write_in body = { .fh = handle != NULL ? handle->fh : 0,
                                      .offset = offset,
                                      .size = size,
                                      .flags = how & 0x20 ? 0 : O_APPEND,
                                      .write_flags = how & 0x40 ? FUSE_WRITE_CACHE : 0 };
  const Reply *reply = wire_reply (self->wire);
  struct fuse_write_out out;

  if (handle == NULL)
    return;
  wire_begin (self->wire, FUSE_WRITE, handle->node->id);
  wire_put (self->wire, &body, sizeof body);
  wire_put (self->wire, content, size);
  wire_send (self->wire, size);
  check_done (self);
  if (reply->error < 0)
    return;
  memcpy (&out, reply->data, sizeof out);
  fuzz_assert (out.size <= size);
}

static void
step_fallocate (World *self, Bytes *line)
{
  const Handle *handle = take_handle (self->files, line);
  const guint64 offset = take_offset (line), length = take_offset (line);
  struct fuse_fallocate_in body = { .fh = handle != NULL ? handle->fh : 0,
                                    .offset = offset,
                                    .length = MIN (length, G_MAXINT64 - offset),
                                    .mode = bytes_take_number (line) };

  if (handle == NULL)
    return;
  if (!(body.mode & FALLOC_FL_PUNCH_HOLE))
    body.length = MIN (body.length, 1 << 20); /* these take real room */
  wire_begin (self->wire, FUSE_FALLOCATE, handle->node->id);
  wire_put (self->wire, &body, sizeof body);
  wire_send (self->wire, 0);
  check_done (self);
}

static void
step_lseek (World *self, Bytes *line)
{
  const Handle *handle = take_handle (self->files, line);
  const guint64 offset = take_offset (line);
  const struct fuse_lseek_in body
      = { .fh = handle != NULL ? handle->fh : 0,
          .offset = offset,
          .whence = bytes_take_number (line) & 1 ? SEEK_DATA : SEEK_HOLE };

  if (handle == NULL)
    return;
  wire_begin (self->wire, FUSE_LSEEK, handle->node->id);
  wire_put (self->wire, &body, sizeof body);
  wire_send (self->wire, 0);
  check_done (self);
}

static void
step_copy (World *self, Bytes *line)
{
  const Handle *in = take_handle (self->files, line), *out = take_handle (self->files, line);
  const guint64 off_in = take_offset (line), off_out = take_offset (line);
  const guint64 len = take_offset (line);
  struct fuse_copy_file_range_in body = { .off_in = off_in, .off_out = off_out };

  if (in == NULL || out == NULL)
    return;
  body.fh_in = in->fh;
  body.fh_out = out->fh;
  body.nodeid_out = out->node->id;
  body.len = MIN (len, G_MAXINT64 - MAX (off_in, off_out));
  wire_begin (self->wire, FUSE_COPY_FILE_RANGE, in->node->id);
  wire_put (self->wire, &body, sizeof body);
  wire_send (self->wire, 0);
  check_done (self);
}

static void
step_fsync (World *self, Bytes *line)
{
  const Handle *handle = take_handle (self->files, line);
  const struct fuse_fsync_in body = { .fh = handle != NULL ? handle->fh : 0 };

  if (handle == NULL)
    return;
  wire_begin (self->wire, FUSE_FSYNC, handle->node->id);
  wire_put (self->wire, &body, sizeof body);
  wire_send (self->wire, 0);
  check_done (self);
}

static void
step_flush (World *self, Bytes *line)
{
  const Handle *handle = take_handle (self->files, line);
  const struct fuse_flush_in body
      = { .fh = handle != NULL ? handle->fh : 0, .lock_owner = 1 + bytes_take_number (line) % 3 };

  if (handle == NULL)
    return;
  wire_begin (self->wire, FUSE_FLUSH, handle->node->id);
  wire_put (self->wire, &body, sizeof body);
  wire_send (self->wire, 0);
  check_done (self);
}

static void
release (World *self, GPtrArray *from, Handle *handle)
{
  const struct fuse_release_in body = { .fh = handle->fh };

  wire_begin (self->wire, from == self->dirs ? FUSE_RELEASEDIR : FUSE_RELEASE, handle->node->id);
  wire_put (self->wire, &body, sizeof body);
  wire_send (self->wire, 0);
  check_done (self);
  handle->node->handles--;
  g_ptr_array_remove (from, handle);
}

/* A description that a lock is waited for through is in use: it is not released. */
static void
step_release (World *self, Bytes *line)
{
  Handle *handle = take_handle (self->files, line);

  if (handle != NULL && handle->waits == 0)
    release (self, self->files, handle);
}

/* ---- locks ---- */

static struct fuse_lk_in
take_lock (const Handle *handle, Bytes *line)
{
  static const guint32 types[] = { F_RDLCK, F_WRLCK, F_UNLCK };
  const guint8 how = bytes_take_number (line);
  const guint64 a = take_offset (line), b = take_offset (line);
  const gboolean is_flock = how % 6 >= 3;
  const guint8 owner = bytes_take_number (line);

  return (struct fuse_lk_in){
    .fh = handle->fh,
    .owner = is_flock ? handle->fh : 1 + owner % 3u,
    .lk = { .start = MIN (a, b), .end = MAX (a, b), .type = types[how % 3], .pid = 1 },
    .lk_flags = is_flock ? FUSE_LK_FLOCK : 0,
  };
}

static void
lock (World *self, Bytes *line, guint32 opcode)
{
  Handle *handle = take_handle (self->files, line);
  struct fuse_lk_in body;
  guint64 unique;

  if (handle == NULL)
    return;
  body = take_lock (handle, line);
  wire_begin (self->wire, opcode, handle->node->id);
  wire_put (self->wire, &body, sizeof body);
  unique = wire_send (self->wire, 0);
  if (wire_reply (self->wire)->answered)
    return;
  fuzz_assert (opcode == FUSE_SETLKW);
  handle->waits++;
  g_array_append_val (self->waits, ((Wait){ unique, handle }));
}

static void
step_getlk (World *self, Bytes *line)
{
  lock (self, line, FUSE_GETLK);
}

static void
step_setlk (World *self, Bytes *line)
{
  lock (self, line, FUSE_SETLK);
}

static void
step_setlkw (World *self, Bytes *line)
{
  lock (self, line, FUSE_SETLKW);
}

static void
note_ended_waits (World *self)
{
  for (guint i = self->waits->len; i-- > 0;)
    {
      const Wait wait = g_array_index (self->waits, Wait, i);

      if (wire_waits (self->wire, wait.unique))
        continue;
      wait.handle->waits--;
      g_array_remove_index (self->waits, i);
    }
}

static void
interrupt (World *self, guint index)
{
  const struct fuse_interrupt_in body = { g_array_index (self->waits, Wait, index).unique };

  wire_begin (self->wire, FUSE_INTERRUPT, 0);
  wire_put (self->wire, &body, sizeof body);
  wire_send (self->wire, 0);
  fuzz_assert (!wire_waits (self->wire, body.unique));
  note_ended_waits (self);
}

static void
step_interrupt (World *self, Bytes *line)
{
  const guint8 n = bytes_take_number (line);

  if (self->waits->len > 0)
    interrupt (self, n % self->waits->len);
}

/* ---- directories ---- */

static void
step_opendir (World *self, Bytes *line)
{
  const guint64 id = take_id (self, line);
  const struct fuse_open_in body = { .flags = O_RDONLY | O_DIRECTORY };
  const Reply *reply = wire_reply (self->wire);
  Known *node = find_node (self, id);

  wire_begin (self->wire, FUSE_OPENDIR, id);
  wire_put (self->wire, &body, sizeof body);
  wire_send (self->wire, 0);
  check_done (self);
  if (reply->error < 0)
    return;
  fuzz_assert (node != NULL && S_ISDIR (node->type));
  (void)learn_handle (self->dirs, node, reply->data);
}

/* As the kernel reads it: an entry that it would choke on is a bug. */
static void
check_listing (World *self, const Handle *handle, const guint8 *data, gsize len, gboolean plus)
{
  const gsize offset = plus ? offsetof (struct fuse_direntplus, dirent) : 0;

  while (len > 0)
    {
      struct fuse_entry_out entry = { 0 };
      struct fuse_dirent dirent;
      g_autofree char *name = NULL;
      gsize size;

      fuzz_assert (len >= offset + FUSE_NAME_OFFSET);
      memcpy (&dirent, data + offset, FUSE_NAME_OFFSET);
      size = FUSE_DIRENT_ALIGN (offset + FUSE_NAME_OFFSET + dirent.namelen);
      fuzz_assert (dirent.namelen > 0 && dirent.namelen <= TTL_NAME_MAX && size <= len);
      name = g_strndup ((const char *)data + offset + FUSE_NAME_OFFSET, dirent.namelen);
      fuzz_assert (strlen (name) == dirent.namelen && strchr (name, '/') == NULL);
      if (plus)
        memcpy (&entry, data, sizeof entry);
      if (entry.nodeid != 0)
        {
          fuzz_assert (strcmp (name, ".") != 0 && strcmp (name, "..") != 0);
          (void)learn (self, &entry, handle->node->id, name);
        }
      data += size;
      len -= size;
    }
}

static void
read_dir (World *self, Bytes *line, gboolean plus)
{
  const Handle *handle = take_handle (self->dirs, line);
  const guint32 size = take_size (line) + 1; /* the kernel never asks for nothing */
  const struct fuse_read_in body = { .fh = handle != NULL ? handle->fh : 0,
                                     .size = size,
                                     .offset = bytes_take_number (line) % 16 };
  const Reply *reply = wire_reply (self->wire);

  if (handle == NULL)
    return;
  wire_begin (self->wire, plus ? FUSE_READDIRPLUS : FUSE_READDIR, handle->node->id);
  wire_put (self->wire, &body, sizeof body);
  wire_send (self->wire, size);
  check_done (self);
  if (reply->error == 0)
    check_listing (self, handle, reply->data, reply->len, plus);
}

static void
step_readdir (World *self, Bytes *line)
{
  read_dir (self, line, FALSE);
}

static void
step_readdirplus (World *self, Bytes *line)
{
  read_dir (self, line, TRUE);
}

static void
step_fsyncdir (World *self, Bytes *line)
{
  const Handle *handle = take_handle (self->dirs, line);
  const struct fuse_fsync_in body = { .fh = handle != NULL ? handle->fh : 0 };

  if (handle == NULL)
    return;
  wire_begin (self->wire, FUSE_FSYNCDIR, handle->node->id);
  wire_put (self->wire, &body, sizeof body);
  wire_send (self->wire, 0);
  check_done (self);
}

static void
step_releasedir (World *self, Bytes *line)
{
  Handle *handle = take_handle (self->dirs, line);

  if (handle != NULL)
    release (self, self->dirs, handle);
}

/* ---- what is not a request ---- */

static void
step_advance (World *self, Bytes *line)
{
  ttl_clock_advance (self->root.clock, take_time (line));
}

static void
step_clock (World *self, Bytes *line)
{
  const gint64 by_ns = take_time (line);
  const gint64 sign = bytes_take_number (line) & 1 ? -1 : 1;

  ttl_clock_set (self->root.clock, ttl_store_now (self->root.store) + sign * by_ns);
}

static void
step_reap (World *self, Bytes *line G_GNUC_UNUSED)
{
  (void)ttl_reaper_run (self->root.store->reaper, ttl_store_now (self->root.store));
}

static void
step_keep (World *self, Bytes *line G_GNUC_UNUSED)
{
  (void)ttl_keeper_run (self->root.store->keeper, ttl_store_now (self->root.store));
}

/* A thread of this process, another process, one that we cannot see, one that is no more. */
static void
step_caller (World *self, Bytes *line)
{
  const guint32 pids[] = { (guint32)getpid (), (guint32)getppid (), 0, G_MAXINT32 - 1, 1 };

  wire_set_caller (self->wire, pids[bytes_take_number (line) % G_N_ELEMENTS (pids)]);
}

/* A release or forget that nobody hears is one all the same. */
static void
step_lose (World *self, Bytes *line G_GNUC_UNUSED)
{
  wire_lose_next (self->wire);
}

/* ---- a peer in the backing directory ---- */

static char *
take_path (World *self, Bytes *line)
{
  static const char *const files[]
      = { "a", "b", "c", "d", "worker%2D1%2Ejson", ".tmp_x", "%", "A%zz", "worker-1.json", "%2D" };
  const guint8 dir = bytes_take_number (line), file = bytes_take_number (line);
  const char *name = files[file % G_N_ELEMENTS (files)];

  return dir % 3 == 0 ? g_build_filename (self->root.path, name, NULL)
                      : g_build_filename (self->root.path, dir % 3 == 1 ? "d" : "d/d", name, NULL);
}

static void
step_peer_puts (World *self, Bytes *line)
{
  g_autofree char *path = take_path (self, line);
  const gint64 mtime_ns = ttl_store_now (self->root.store) - take_time (line);
  const struct timespec times[2] = { ttl_ns_timespec (mtime_ns), ttl_ns_timespec (mtime_ns) };
  const int fd
      = open (path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);

  if (fd < 0)
    return;
  (void)!write (fd, "peer", 4);
  (void)futimens (fd, times);
  (void)close (fd);
}

static void
step_peer_removes (World *self, Bytes *line)
{
  g_autofree char *path = take_path (self, line);

  (void)remove (path);
}

static void
step_peer_makes_dir (World *self, Bytes *line)
{
  g_autofree char *path = take_path (self, line);

  (void)mkdir (path, 0755);
}

static void
step_peer_moves (World *self, Bytes *line)
{
  g_autofree char *from = take_path (self, line);
  g_autofree char *to = take_path (self, line);

  (void)rename (from, to);
}

static void
step_peer_links (World *self, Bytes *line)
{
  static const char *const targets[] = { "a", ".", "..", "d", "ttlfs-claim" };
  g_autofree char *path = take_path (self, line);

  (void)!symlink (targets[bytes_take_number (line) % G_N_ELEMENTS (targets)], path);
}

/* ---- the whole ---- */

static const struct
{
  char letter;
  void (*run) (World *self, Bytes *line);
} steps[] = {
  { 'l', step_lookup },         { 'f', step_forget },      { 'F', step_batch_forget },
  { 'g', step_getattr },        { 'a', step_setattr },     { 'k', step_mknod },
  { 'd', step_mkdir },          { 'u', step_unlink },      { 'r', step_rmdir },
  { 'm', step_rename },         { 'M', step_rename2 },     { 'h', step_link },
  { 's', step_symlink },        { 'S', step_statfs },      { 'x', step_setxattr },
  { 'X', step_getxattr },       { 'L', step_listxattr },   { 'z', step_removexattr },
  { 'o', step_open },           { 'c', step_create },      { 'R', step_read },
  { 'w', step_write },          { 'A', step_fallocate },   { 'E', step_lseek },
  { 'C', step_copy },           { 'y', step_fsync },       { 'e', step_flush },
  { 'q', step_release },        { 'n', step_getlk },       { 'N', step_setlk },
  { 'W', step_setlkw },         { 'i', step_interrupt },   { 'D', step_opendir },
  { 't', step_readdir },        { 'T', step_readdirplus }, { 'Y', step_fsyncdir },
  { 'Q', step_releasedir },     { '+', step_advance },     { '-', step_clock },
  { 'v', step_reap },           { 'V', step_keep },        { '@', step_caller },
  { '!', step_lose },           { 'p', step_peer_puts },   { 'P', step_peer_removes },
  { 'b', step_peer_makes_dir }, { 'B', step_peer_moves },  { 'j', step_peer_links },
};

/* Every byte is some step, so that no change of an input is lost. */
static void
do_line (World *self, Bytes line)
{
  const guint8 letter = bytes_take (&line);
  gsize which = letter % G_N_ELEMENTS (steps);

  for (gsize i = 0; i < G_N_ELEMENTS (steps); i++)
    if (steps[i].letter == letter)
      which = i;
  steps[which].run (self, &line);
  note_ended_waits (self);
}

static World
world_new (guint8 variant)
{
  World self = { .root = root_new (variant),
                 .nodes = g_ptr_array_new_with_free_func (known_free),
                 .files = g_ptr_array_new_with_free_func (g_free),
                 .dirs = g_ptr_array_new_with_free_func (g_free),
                 .waits = g_array_new (FALSE, FALSE, sizeof (Wait)),
                 .gone = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL) };
  Known *top = g_new0 (Known, 1);

  *top = (Known){ .id = FUSE_ROOT_ID, .lookups = 1, .type = S_IFDIR };
  g_ptr_array_add (self.nodes, top);
  self.fs = ttl_fs_new (self.root.store);
  self.wire = wire_new (self.fs);
  return self;
}

/* Orderly: everything is closed and forgotten, and no node is left. Otherwise the kernel just goes; but nobody waits for a
 * lock any more. */
static void
world_clear (World *self, gboolean orderly)
{
  while (self->waits->len > 0)
    interrupt (self, 0);
  while (orderly && self->files->len > 0)
    release (self, self->files, g_ptr_array_index (self->files, 0));
  while (orderly && self->dirs->len > 0)
    release (self, self->dirs, g_ptr_array_index (self->dirs, 0));
  while (orderly && self->nodes->len > 1)
    {
      Bytes all = { (const guint8 *)"1\xff", 2 };
      step_forget (self, &all);
    }
  fuzz_assert (!orderly || ttl_nodes_count (self->fs->nodes) == 1);
  wire_free (self->wire);
  ttl_fs_free (self->fs); /* and with it the store */
  root_clear (&self->root);
  g_ptr_array_unref (self->files);
  g_ptr_array_unref (self->dirs);
  g_ptr_array_unref (self->nodes);
  g_array_unref (self->waits);
  g_hash_table_unref (self->gone);
}

int
LLVMFuzzerInitialize (int *argc G_GNUC_UNUSED, char ***argv G_GNUC_UNUSED)
{
  fuzz_quiet ();
  return 0;
}

int
LLVMFuzzerTestOneInput (const guint8 *data, size_t size)
{
  Bytes bytes = { data, size };
  Bytes first = bytes_take_part (&bytes, '\n');
  const guint before = count_descriptors ();
  World world = world_new (bytes_take_number (&first));

  for (guint i = 0; bytes.left > 0 && i < STEPS_MAX; i++)
    do_line (&world, bytes_take_part (&bytes, '\n'));
  world_clear (&world, bytes_take_number (&first) != 1);
  fuzz_assert (count_descriptors () == before);
  return 0;
}
