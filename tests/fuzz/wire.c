#include "wire.h"
#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>

#define MINOR 38 /* of the protocol that we speak; libfuse answers with its own */

typedef struct
{
  guint32 opcode;
  gsize most;
} Asked;

struct Wire
{
  TtlFs *fs;
  struct fuse_session *session;
  guint32 pid;
  guint64 unique; /* of the request sent last */
  gboolean lose;
  GByteArray *request;
  GHashTable *asked; /* unique -> Asked: what waits for its reply */
  GByteArray *body;  /* of the reply to the request sent last */
  Reply reply;
};

static Wire *current; /* libfuse hands the TtlFs to the callbacks */

/* ---- replies ---- */

static gboolean
is_unanswered (guint32 opcode)
{
  return opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET || opcode == FUSE_INTERRUPT;
}

/* How long a body the reply has to have. */
static gboolean
is_length (const Asked *asked, gsize len)
{
  switch (asked->opcode)
    {
    case FUSE_INIT:
      return len >= FUSE_COMPAT_22_INIT_OUT_SIZE && len <= sizeof (struct fuse_init_out);
    case FUSE_LOOKUP:
    case FUSE_MKNOD:
    case FUSE_MKDIR:
    case FUSE_LINK:
    case FUSE_SYMLINK:
      return len == sizeof (struct fuse_entry_out);
    case FUSE_GETATTR:
    case FUSE_SETATTR:
      return len == sizeof (struct fuse_attr_out);
    case FUSE_OPEN:
    case FUSE_OPENDIR:
      return len == sizeof (struct fuse_open_out);
    case FUSE_CREATE:
      return len == sizeof (struct fuse_entry_out) + sizeof (struct fuse_open_out);
    case FUSE_WRITE:
    case FUSE_COPY_FILE_RANGE:
      return len == sizeof (struct fuse_write_out);
    case FUSE_READ:
    case FUSE_READDIR:
    case FUSE_READDIRPLUS:
      return len <= asked->most;
    case FUSE_GETXATTR:
    case FUSE_LISTXATTR:
      return asked->most == 0 ? len == sizeof (struct fuse_getxattr_out) : len <= asked->most;
    case FUSE_STATFS:
      return len == sizeof (struct fuse_statfs_out);
    case FUSE_GETLK:
      return len == sizeof (struct fuse_lk_out);
    case FUSE_LSEEK:
      return len == sizeof (struct fuse_lseek_out);
    default:
      return len == 0;
    }
}

static ssize_t
catch_reply (int fd G_GNUC_UNUSED, struct iovec *iov, int count, void *data G_GNUC_UNUSED)
{
  Wire *self = current;
  g_autoptr (GByteArray) message = g_byte_array_new ();
  struct fuse_out_header header;
  const Asked *asked;

  for (int i = 0; i < count; i++)
    g_byte_array_append (message, iov[i].iov_base, (guint)iov[i].iov_len);
  fuzz_assert (message->len >= sizeof header);
  memcpy (&header, message->data, sizeof header);
  fuzz_assert (header.len == message->len);
  fuzz_assert (header.error <= 0 && header.error >= -4095);
  asked = g_hash_table_lookup (self->asked, &header.unique);
  fuzz_assert (asked != NULL);
  fuzz_assert (header.error == 0 ? is_length (asked, message->len - sizeof header)
                                 : message->len == sizeof header);
  g_hash_table_remove (self->asked, &header.unique);
  if (self->lose)
    header.error = -EINTR;
  if (header.unique == self->unique)
    {
      g_byte_array_set_size (self->body, 0);
      g_byte_array_append (self->body, message->data + sizeof header,
                           message->len - (guint)sizeof header);
      self->reply = (Reply){ TRUE, header.error, self->body->len, self->body->data };
    }
  if (!self->lose)
    return message->len;
  self->lose = FALSE;
  errno = ENOENT;
  return -1;
}

static ssize_t
read_nothing (int fd G_GNUC_UNUSED, void *buf G_GNUC_UNUSED, size_t len G_GNUC_UNUSED,
              void *data G_GNUC_UNUSED)
{
  errno = ENODEV;
  return -1;
}

const Reply *
wire_reply (const Wire *self)
{
  return &self->reply;
}

gboolean
wire_waits (const Wire *self, guint64 unique)
{
  return g_hash_table_contains (self->asked, &unique);
}

/* ---- requests ---- */

void
wire_set_caller (Wire *self, guint32 pid)
{
  self->pid = pid;
}

void
wire_lose_next (Wire *self)
{
  self->lose = TRUE;
}

void
wire_begin (Wire *self, guint32 opcode, guint64 node)
{
  const struct fuse_in_header header = {
    .opcode = opcode,
    .unique = self->unique += 2, /* as the kernel counts; odd ones are for its own use */
    .nodeid = node,
    .uid = geteuid (),
    .gid = getegid (),
    .pid = self->pid,
  };

  g_byte_array_set_size (self->request, 0);
  wire_put (self, &header, sizeof header);
}

void
wire_put (Wire *self, const void *data, gsize len)
{
  if (len > 0)
    g_byte_array_append (self->request, data, (guint)len);
}

void
wire_put_name (Wire *self, const char *name)
{
  wire_put (self, name, strlen (name) + 1);
}

guint64
wire_send (Wire *self, gsize most)
{
  const gsize len = self->request->len;
  g_autofree guint8 *memory = g_malloc (len);
  const struct fuse_buf buf = { .size = len, .mem = memory };
  struct fuse_in_header *header = (struct fuse_in_header *)memory;
  Asked *asked = g_new (Asked, 1);

  memcpy (memory, self->request->data, len);
  header->len = (guint32)len;
  *asked = (Asked){ header->opcode, most };
  self->reply = (Reply){ 0 };
  if (is_unanswered (asked->opcode))
    g_free (asked);
  else
    g_hash_table_insert (self->asked, g_memdup2 (&self->unique, sizeof self->unique), asked);
  fuse_session_process_buf (self->session, &buf);
  fuzz_assert (!fuse_session_exited (self->session) || header->opcode == FUSE_DESTROY);
  return self->unique;
}

/* ---- life ---- */

static void
greet (Wire *self)
{
  const struct fuse_init_in init = {
    .major = FUSE_KERNEL_VERSION,
    .minor = MINOR,
    .max_readahead = 128 << 10,
    .flags = 0x7fffffff & ~(guint32)FUSE_INIT_EXT,
  };
  struct fuse_init_out answer = { 0 };

  wire_begin (self, FUSE_INIT, 0);
  wire_put (self, &init, sizeof init);
  (void)wire_send (self, 0);
  fuzz_assert (self->reply.answered && self->reply.error == 0);
  memcpy (&answer, self->reply.data, self->reply.len);
  fuzz_assert (answer.major == FUSE_KERNEL_VERSION);
  fuzz_assert (!(answer.flags & FUSE_SETXATTR_EXT)); /* else SETXATTR has another body */
}

Wire *
wire_new (TtlFs *fs)
{
  static const struct fuse_custom_io io = { .writev = catch_reply, .read = read_nothing };
  struct fuse_args args = FUSE_ARGS_INIT (0, NULL);
  Wire *self = g_new0 (Wire, 1);

  fuzz_assert (current == NULL);
  current = self;
  self->fs = fs;
  self->pid = (guint32)getpid ();
  self->request = g_byte_array_new ();
  self->body = g_byte_array_new ();
  self->asked = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, g_free);
  fuse_opt_add_arg (&args, "ttlfs");
  self->session = fuse_session_new (&args, &ttl_fs_ops, sizeof ttl_fs_ops, fs);
  fuzz_assert (self->session != NULL);
  fuse_opt_free_args (&args);
  fuzz_assert (fuse_session_custom_io (self->session, &io, open ("/dev/null", O_RDWR | O_CLOEXEC))
               == 0);
  greet (self);
  return self;
}

void
wire_free (Wire *self)
{
  self->lose = FALSE;
  wire_begin (self, FUSE_DESTROY, 0);
  (void)wire_send (self, 0);
  fuzz_assert (self->reply.answered && self->reply.error == 0);
  fuzz_assert (g_hash_table_size (self->asked) == 0);
  fuse_session_destroy (self->session);
  g_hash_table_unref (self->asked);
  g_byte_array_unref (self->body);
  g_byte_array_unref (self->request);
  g_free (self);
  current = NULL;
}
