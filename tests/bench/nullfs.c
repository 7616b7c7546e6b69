/* nullfs - the least that a FUSE file system can be, and yet do what a get and a put do: what any daemon must cost here.
 *
 *     nullfs [-f] [-o ...] MOUNTPOINT
 *
 *     file     empty, its attributes never cached: an fstat() of it is one request, and takes what the kernel, libfuse and
 *              the two switches of context take, and nothing else
 *     c0 ...   64 bytes, and the kernel is told to remember everything: a get is an OPEN and a RELEASE, a put is OPEN,
 *              GETXATTR, WRITE, FLUSH and RELEASE, and nothing is done by any of them */
#define FUSE_USE_VERSION 314

#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_ID 2
#define FIRST_KEY_ID 3
#define KEYS 1000
#define VALUE_BYTES 64
#define LONG 86400.0 /* seconds */

static void
describe (fuse_ino_t ino, struct stat *st)
{
  memset (st, 0, sizeof *st);
  st->st_ino = ino;
  st->st_mode = ino == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0666;
  st->st_nlink = 1;
  st->st_size = ino >= FIRST_KEY_ID ? VALUE_BYTES : 0;
}

static double
timeout_of (fuse_ino_t ino)
{
  return ino == FILE_ID ? 0 : LONG;
}

/* 0: there is none. */
static fuse_ino_t
find (const char *name)
{
  unsigned long number;
  char *end;

  if (strcmp (name, "file") == 0)
    return FILE_ID;
  if (name[0] != 'c')
    return 0;
  number = strtoul (name + 1, &end, 10);
  return *end == '\0' && number < KEYS ? FIRST_KEY_ID + number : 0;
}

static void
op_lookup (fuse_req_t req, fuse_ino_t parent, const char *name)
{
  struct fuse_entry_param entry = { .ino = find (name) };

  if (entry.ino == 0)
    {
      fuse_reply_err (req, ENOENT);
      return;
    }
  describe (entry.ino, &entry.attr);
  entry.attr_timeout = entry.entry_timeout = timeout_of (entry.ino);
  fuse_reply_entry (req, &entry);
}

static void
op_getattr (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  struct stat st;

  describe (ino, &st);
  fuse_reply_attr (req, &st, timeout_of (ino));
}

static void
op_open (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  if ((fi->flags & O_ACCMODE) == O_RDONLY)
    fi->keep_cache = fi->noflush = 1;
  else
    fi->direct_io = 1;
  fuse_reply_open (req, fi);
}

static void
op_read (fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
  static const char value[VALUE_BYTES];

  if (ino < FIRST_KEY_ID || off >= VALUE_BYTES)
    fuse_reply_buf (req, NULL, 0);
  else
    fuse_reply_buf (req, value + off,
                    size < (size_t)(VALUE_BYTES - off) ? size : (size_t)(VALUE_BYTES - off));
}

static void
op_write (fuse_req_t req, fuse_ino_t ino, const char *bytes, size_t size, off_t off,
          struct fuse_file_info *fi)
{
  fuse_reply_write (req, size);
}

static void
op_flush (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  fuse_reply_err (req, 0);
}

static void
op_getxattr (fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
  fuse_reply_err (req, ENODATA);
}

static const struct fuse_lowlevel_ops ops = {
  .lookup = op_lookup,
  .getattr = op_getattr,
  .open = op_open,
  .read = op_read,
  .write = op_write,
  .flush = op_flush,
  .getxattr = op_getxattr,
};

static int
serve (struct fuse_session *session, const struct fuse_cmdline_opts *options)
{
  int res = 1;

  if (session == NULL || fuse_session_mount (session, options->mountpoint) != 0)
    return res;
  if (fuse_set_signal_handlers (session) == 0 && fuse_daemonize (options->foreground) == 0)
    res = fuse_session_loop (session); /* one thread: there is nothing to wait for */
  fuse_session_unmount (session);
  return res != 0;
}

int
main (int argc, char **argv)
{
  struct fuse_args args = FUSE_ARGS_INIT (argc, argv);
  struct fuse_cmdline_opts options;
  struct fuse_session *session;
  int res;

  if (fuse_parse_cmdline (&args, &options) != 0 || options.mountpoint == NULL)
    return 2;
  session = fuse_session_new (&args, &ops, sizeof ops, NULL);
  res = serve (session, &options);
  if (session != NULL)
    fuse_session_destroy (session);
  free (options.mountpoint);
  fuse_opt_free_args (&args);
  return res;
}
