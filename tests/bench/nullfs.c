/* nullfs - the least that a FUSE file system can be: one empty file whose attributes are never cached.
 *
 *     nullfs [-f] [-o ...] MOUNTPOINT
 *
 * What an fstat() of it takes is what the kernel, libfuse and the two switches of context take, and nothing else: the least
 * that any request to any daemon can cost on this machine. */
#define FUSE_USE_VERSION 314

#include <errno.h>
#include <fuse_lowlevel.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_ID 2

static void
describe (fuse_ino_t ino, struct stat *st)
{
  memset (st, 0, sizeof *st);
  st->st_ino = ino;
  st->st_mode = ino == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0444;
  st->st_nlink = 1;
}

static void
op_lookup (fuse_req_t req, fuse_ino_t parent, const char *name)
{
  struct fuse_entry_param entry = { .ino = FILE_ID };

  if (strcmp (name, "file") != 0)
    {
      fuse_reply_err (req, ENOENT);
      return;
    }
  describe (FILE_ID, &entry.attr);
  fuse_reply_entry (req, &entry);
}

static void
op_getattr (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  struct stat st;

  describe (ino, &st);
  fuse_reply_attr (req, &st, 0);
}

static void
op_open (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  fuse_reply_open (req, fi);
}

static const struct fuse_lowlevel_ops ops = {
  .lookup = op_lookup,
  .getattr = op_getattr,
  .open = op_open,
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
