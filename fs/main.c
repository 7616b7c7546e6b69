/* main - the daemon's life: options, the store, the mount, the loop, the exit status.
 *
 * Unless it is to stay in the foreground it forks at once, before there are threads; the parent waits on a pipe and
 * returns when the mount has answered the kernel's greeting, or with the child's status when it never will. */
#define G_LOG_DOMAIN "ttlfs"
#include "cleanup.h"
#include "log.h"
#include "options.h"
#include "session.h"
#include "status.h"

#include <fcntl.h>
#include <gio/gio.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

typedef struct
{
  int ready_fd; /* the parent waits at the other end; -1 in the foreground */
  gboolean foreground;
} Startup;

static void
raise_descriptor_limit (void)
{
  struct rlimit limit;

  if (getrlimit (RLIMIT_NOFILE, &limit) < 0)
    return;
  limit.rlim_cur = limit.rlim_max;
  (void)setrlimit (RLIMIT_NOFILE, &limit);
}

static gboolean
check_mountpoint (const char *path, GError **error)
{
  struct stat st;
  int err = stat (path, &st) < 0 ? errno : S_ISDIR (st.st_mode) ? 0 : ENOTDIR;

  if (err == 0)
    return TRUE;
  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (err), "%s: %s: %s", path,
               err == ENOENT ? "the mount point does not exist; make it with mkdir first"
               : err == ENOTCONN
                   ? "a mount whose daemon died is still there; fusermount3 -u it first"
                   : "cannot mount there",
               g_strerror (err));
  return FALSE;
}

/* A comma or backslash in a name must not end it. */
static char *
escape (const char *value)
{
  GString *escaped = g_string_new (NULL);

  for (; *value != '\0'; value++)
    {
      if (*value == ',' || *value == '\\')
        g_string_append_c (escaped, '\\');
      g_string_append_c (escaped, *value);
    }
  return g_string_free (escaped, FALSE);
}

static void
fill_args (const TtlOptions *options, struct fuse_args *args)
{
  g_autofree char *whole = g_canonicalize_filename (options->backing, NULL);
  g_autofree char *fsname = escape (options->fsname != NULL ? options->fsname : whole);
  g_autofree char *words = g_strdup_printf (
      "fsname=%s,subtype=ttlfs,default_permissions,nosuid,nodev%s%s%s", fsname,
      options->allow_other ? ",allow_other" : "",
      options->store.root_flags & TTL_ROOT_READ_ONLY ? ",ro" : "", options->mount_flags);

  fuse_opt_add_arg (args, "ttlfs");
  fuse_opt_add_arg (args, "-o");
  fuse_opt_add_arg (args, words);
  if (options->debug)
    fuse_opt_add_arg (args, "-d");
}

/* ---- signals ---- */

static sigset_t
end_signals (void)
{
  sigset_t set;

  sigemptyset (&set);
  sigaddset (&set, SIGTERM);
  sigaddset (&set, SIGINT);
  sigaddset (&set, SIGHUP);
  return set;
}

static gpointer
wait_for_signal (gpointer data)
{
  const sigset_t set = end_signals ();
  int signal;

  pthread_setname_np (pthread_self (), "ttlfs-signals");
  if (sigwait (&set, &signal) == 0)
    ttl_session_stop (data);
  return NULL;
}

/* ---- running ---- */

/* The kernel has greeted us: whoever started us may go on. */
static void
announce (gpointer data)
{
  Startup *startup = data;
  int null;

  if (startup->foreground)
    return;
  null = open ("/dev/null", O_RDWR);
  if (null >= 0)
    {
      (void)dup2 (null, STDIN_FILENO);
      (void)dup2 (null, STDOUT_FILENO);
      (void)dup2 (null, STDERR_FILENO);
      if (null > STDERR_FILENO)
        (void)close (null);
    }
  ttl_log_to_syslog ();
  if (write (startup->ready_fd, "", 1) < 0)
    g_warning ("nobody waits for the mount any more");
  ttl_clear_fd (&startup->ready_fd);
}

static gboolean
serve (TtlSession *session, GError **error)
{
  pthread_t signals;
  gboolean well;
  int err = pthread_create (&signals, NULL, wait_for_signal, session);

  if (err != 0)
    {
      g_set_error_literal (error, G_IO_ERROR, g_io_error_from_errno (err), g_strerror (err));
      return FALSE;
    }
  well = ttl_session_run (session, error);
  pthread_kill (signals, SIGTERM); /* it waits for just that */
  pthread_join (signals, NULL);
  return well;
}

static gboolean
run (const TtlOptions *options, Startup *startup, GError **error)
{
  struct fuse_args args = FUSE_ARGS_INIT (0, NULL);
  g_autofree char *mountpoint
      = g_canonicalize_filename (options->mountpoint, NULL); /* before chdir() */
  const sigset_t set = end_signals ();
  g_autoptr (TtlStore) store = NULL;
  TtlSession *session;
  TtlFs *fs;
  gboolean well;

  pthread_sigmask (SIG_BLOCK, &set, NULL); /* before there are threads: they all inherit it */
  signal (SIGPIPE, SIG_IGN);
  signal (SIGXFSZ, SIG_IGN); /* who writes more than RLIMIT_FSIZE allows us gets EFBIG */
  raise_descriptor_limit ();
  umask (0);
  if (!check_mountpoint (options->mountpoint, error))
    return FALSE;
  store = ttl_store_open (options->backing, &options->store, error);
  if (store == NULL)
    return FALSE;

  fs = ttl_fs_new (g_steal_pointer (&store));
  fs->ready = announce;
  fs->ready_data = startup;
  fs->no_cache = options->no_cache;
  fill_args (options, &args);
  session = ttl_session_new (&args, mountpoint, fs, options->transport, error);
  if (session != NULL && !startup->foreground)
    (void)!chdir ("/");
  well = session != NULL && serve (session, error);
  if (session != NULL)
    ttl_session_free (session);
  ttl_fs_free (fs);
  fuse_opt_free_args (&args);
  if (session != NULL && !well)
    g_prefix_error (error, "%s: ", options->mountpoint);
  return well;
}

static int
run_and_report (const TtlOptions *options, Startup *startup)
{
  g_autoptr (GError) error = NULL;

  if (run (options, startup, &error))
    return EXIT_SUCCESS;
  if (startup->ready_fd < 0 && !startup->foreground)
    g_warning ("%s", error->message); /* stderr is gone by now */
  else
    fprintf (stderr, "ttlfs: %s\n", error->message);
  return EXIT_FAILURE;
}

/* In the parent: waits for the child's word, or its end. */
static int
await (pid_t child, int fd)
{
  char word;
  int status;

  if (read (fd, &word, 1) == 1)
    return EXIT_SUCCESS;
  if (waitpid (child, &status, 0) < 0 || !WIFEXITED (status))
    return EXIT_FAILURE;
  return WEXITSTATUS (status);
}

static int
run_in_background (const TtlOptions *options)
{
  Startup startup = { .ready_fd = -1 };
  int ends[2];
  pid_t child;

  if (pipe2 (ends, O_CLOEXEC) < 0 || (child = fork ()) < 0)
    {
      fprintf (stderr, "ttlfs: cannot go to the background: %s\n", g_strerror (errno));
      return EXIT_FAILURE;
    }
  if (child > 0)
    {
      (void)close (ends[1]);
      return await (child, ends[0]);
    }
  (void)close (ends[0]);
  startup.ready_fd = ends[1];
  (void)setsid ();
  return run_and_report (options, &startup);
}

int
main (int argc, char **argv)
{
  g_auto (TtlOptions) options = { 0 };
  g_autoptr (GError) error = NULL;
  Startup startup = { .ready_fd = -1, .foreground = TRUE };

  if (!ttl_options_parse (argc, argv, geteuid () == 0, &options, &error))
    {
      fprintf (stderr, "ttlfs: %s\n", error->message);
      return 2;
    }
  if (options.help)
    {
      fputs (ttl_options_help, stdout);
      return EXIT_SUCCESS;
    }
  if (options.version)
    {
      printf ("ttlfs %s (libfuse %s)\n", TTLFS_VERSION, fuse_pkgversion ());
      return EXIT_SUCCESS;
    }
  if (options.status != NULL)
    return ttl_status_print (options.status);
  ttl_log_to_stderr (options.debug);
  return options.foreground ? run_and_report (&options, &startup) : run_in_background (&options);
}
