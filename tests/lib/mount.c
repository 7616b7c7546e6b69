#include "mount.h"

#include "janitor.h"
#include "report.h"

#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#define FUSE_MAGIC 0x65735546
#define PLACES 4
#define STOP_MS 10000

struct TestMount
{
  pid_t pid; /* 0: nothing is mounted here */
  char *dir;
  char *log_path;
};

static TestMount places[PLACES];
static char *work, *backing;
static Janitor *janitor;

const char *
ttlfs_program (void)
{
  const char *program = g_getenv ("TTLFS_BIN");

  return program != NULL ? program : g_getenv ("TTLFS_BUILT");
}

static char *
make_dir (const char *parent, const char *what)
{
  char *path = g_strdup_printf ("%s/ttlfs-%s.XXXXXX", parent, what);

  cr_assert (g_mkdtemp_full (path, 0755) != NULL, "%s: %s", path, g_strerror (errno));
  return path;
}

static void
make_places (void)
{
  for (int i = 0; i < PLACES; i++)
    {
      places[i].dir
          = i == 0 ? g_strdup_printf ("%s/mnt", work) : g_strdup_printf ("%s/mnt%d", work, i + 1);
      places[i].log_path = report_log_path (i + 1);
      assert_ok (mkdir (places[i].dir, 0755));
    }
}

void
mount_prepare (void)
{
  const char *test_dir = g_getenv ("TTLFS_TEST_DIR");

  if (access ("/dev/fuse", F_OK) < 0)
    cr_skip ("there is no /dev/fuse");
  cr_assert (ttlfs_program () != NULL, "TTLFS_BIN does not name the daemon to test");
  umask (022);
  work = make_dir (g_get_tmp_dir (), "test");
  backing = make_dir (test_dir != NULL ? test_dir : g_get_tmp_dir (), "backing");
  janitor = janitor_new (work, backing);
  make_places ();
  g_setenv ("MNT", places[0].dir, TRUE);
  g_setenv ("MNT2", places[1].dir, TRUE);
  g_setenv ("BACKING", backing, TRUE);
  g_setenv ("TTLFS", ttlfs_program (), TRUE);
  g_setenv ("TMP", work, TRUE);
  g_setenv ("HOME", work, TRUE);
  g_setenv ("LC_ALL", "C", TRUE);
  witness_start ();
}

void
mount_setup_with (const char *options)
{
  mount_prepare ();
  mount_start (options);
}

void
mount_setup (void)
{
  mount_setup_with ("ttl=1h");
}

static gboolean talking; /* the daemon started next logs every request */

TestMount *
mount_start_talking (const char *options)
{
  TestMount *self;

  talking = TRUE;
  self = mount_start (options);
  talking = FALSE;
  return self;
}

/* In the child: never returns. */
static void
become_daemon (const TestMount *self, const char *options)
{
  const char *program = ttlfs_program ();
  const char *more = g_getenv ("TTLFS_TEST_OPTIONS");
  int log = open (self->log_path, O_WRONLY | O_CREAT | O_APPEND, 0600);

  prctl (PR_SET_PDEATHSIG, SIGKILL);
  dup2 (log, STDOUT_FILENO);
  dup2 (log, STDERR_FILENO);
  close_range (3, ~0U, CLOSE_RANGE_CLOEXEC);
  execl (program, program, talking ? "-d" : "-f", "-o", more != NULL ? more : "", "-o",
         options != NULL ? options : "", backing, self->dir, NULL);
  dprintf (STDERR_FILENO, "%s: %s\n", program, g_strerror (errno));
  _exit (127);
}

gboolean
is_mounted (const char *dir)
{
  struct statfs fs;

  /* A dead daemon's mount answers ENOTCONN: it is there all the same. */
  return statfs (dir, &fs) < 0 ? errno != ENOENT : fs.f_type == FUSE_MAGIC;
}

static void
wait_until_it_answers (TestMount *self)
{
  while (!is_mounted (self->dir) || !exists (self->dir))
    {
      int status;

      if (waitpid (self->pid, &status, WNOHANG) == self->pid)
        {
          self->pid = 0;
          cr_assert_fail ("the daemon ended before it answered: %s", mount_log (self));
        }
      sleep_ms (1);
    }
}

TestMount *
mount_start (const char *options)
{
  TestMount *self = NULL;

  for (int i = PLACES - 1; i >= 0; i--)
    if (places[i].pid == 0)
      self = &places[i];
  cr_assert (self != NULL, "too many mounts");
  self->pid = fork ();
  if (self->pid == 0)
    become_daemon (self, options);
  wait_until_it_answers (self);
  return self;
}

/* The sanitizers' runtime wants to be loaded first, but need not be. */
Faults *
mount_start_on_bad_ground (const char *options, const Faults *faults)
{
  g_autofree char *asan = g_strdup (g_getenv ("ASAN_OPTIONS"));
  g_autofree char *path = g_strdup_printf ("%s/faults", work);
  int fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  Faults *shared;

  assert_ok (fd);
  assert_ok (ftruncate (fd, sizeof *shared));
  shared = mmap (NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  cr_assert (shared != MAP_FAILED);
  assert_ok (close (fd));
  *shared = *faults;
  g_setenv ("FAULTS", path, TRUE);
  g_setenv ("LD_PRELOAD", g_getenv ("TTLFS_FAULTS"), TRUE);
  g_setenv ("ASAN_OPTIONS",
            text ("%s:verify_asan_link_order=0", asan != NULL ? asan : "detect_leaks=1"), TRUE);
  mount_start (options);
  g_unsetenv ("LD_PRELOAD");
  if (asan != NULL)
    g_setenv ("ASAN_OPTIONS", asan, TRUE);
  return shared;
}

TestMount *
mount_number (int number)
{
  return &places[number - 1];
}

/* -1 when it does not end in time. */
static int
wait_with_limit (TestMount *self)
{
  gint64 limit = now_ns () + tolerance_ns (STOP_MS);
  int status;

  while (waitpid (self->pid, &status, WNOHANG) == 0)
    {
      if (now_ns () > limit)
        return -1;
      sleep_ms (1);
    }
  return WIFEXITED (status) ? WEXITSTATUS (status) : 128 + WTERMSIG (status);
}

static gboolean
sanitizer_complained (const char *log)
{
  return strstr (log, "ERROR: AddressSanitizer") != NULL
         || strstr (log, "ERROR: LeakSanitizer") != NULL || strstr (log, "runtime error:") != NULL
         || strstr (log, "WARNING: ThreadSanitizer") != NULL;
}

int
mount_wait (TestMount *self)
{
  int status = wait_with_limit (self);

  if (status < 0)
    {
      kill (self->pid, SIGKILL);
      waitpid (self->pid, NULL, 0);
    }
  self->pid = 0;
  cr_assert (status >= 0, "the daemon did not end within %d s", STOP_MS / 1000);
  cr_assert (!sanitizer_complained (mount_log (self)), "a sanitizer complained");
  return status;
}

/* What holds it open (a process that is just ending) has a moment to let go. */
static int
unmount (const char *dir)
{
  return EVENTUALLY (2000, umount2 (dir, UMOUNT_NOFOLLOW) == 0 || errno != EBUSY)
                 && !is_mounted (dir)
             ? 0
             : -1;
}

static int
unmount_as_user (const char *dir, const char *how)
{
  return EVENTUALLY (2000, run ("fusermount3", how, dir, NULL).status == 0) ? 0 : -1;
}

void
mount_stop (TestMount *self)
{
  int result = geteuid () == 0 ? unmount (self->dir) : unmount_as_user (self->dir, "-u");

  if (result < 0)
    {
      mount_kill (self);
      cr_assert_fail ("%s could not be unmounted", self->dir);
    }
  result = mount_wait (self);
  cr_assert_eq (result, 0, "the daemon ended with status %d", result);
}

void
mount_kill (TestMount *self)
{
  kill (self->pid, SIGKILL);
  waitpid (self->pid, NULL, 0);
  self->pid = 0;
  if (geteuid () == 0)
    umount2 (self->dir, MNT_DETACH);
  else
    unmount_as_user (self->dir, "-uz");
}

static void
stop_all (void)
{
  for (int i = 0; i < PLACES; i++)
    if (places[i].pid != 0)
      mount_stop (&places[i]);
}

void
mount_teardown (void)
{
  if (janitor == NULL)
    return;
  witness_stop ();
  assert_ok (chdir ("/"));
  stop_all (); /* where it fails, the janitor goes on when this process ends */
  janitor_finish (g_steal_pointer (&janitor));
}

void
mount_teardown_covered (void)
{
  if (work_dir () != NULL)
    umount2 (backing_dir (), MNT_DETACH); /* in the way of the janitor, and of no daemon's end */
  mount_teardown ();
}

void
mount_unseen (void)
{
  assert_ok (unshare (CLONE_NEWNS));
  assert_ok (mount (NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
}

pid_t
mount_pid (TestMount *self)
{
  return self->pid;
}

const char *
mount_log (TestMount *self)
{
  const char *log = get (self->log_path);

  return log != NULL ? log : "";
}

long
mount_resident_kb (TestMount *self)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/statm", (int)self->pid);
  g_autofree char *statm = NULL;
  long total = 0, pages = 0;

  cr_assert (g_file_get_contents (path, &statm, NULL, NULL));
  cr_assert_eq (sscanf (statm, "%ld %ld", &total, &pages), 2);
  return pages * (sysconf (_SC_PAGESIZE) / 1024);
}

gboolean
mount_is_sanitized (TestMount *self)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/maps", (int)self->pid);
  g_autofree char *maps = NULL;

  cr_assert (g_file_get_contents (path, &maps, NULL, NULL));
  return strstr (maps, "libasan") != NULL || strstr (maps, "libtsan") != NULL;
}

const char *
at (const char *name)
{
  return text ("%s/%s", places[0].dir, name);
}

const char *
at2 (const char *name)
{
  return text ("%s/%s", places[1].dir, name);
}

const char *
raw (const char *name)
{
  return text ("%s/%s", backing, name);
}

const char *
backing_dir (void)
{
  return backing;
}

const char *
work_dir (void)
{
  return work;
}

gboolean
backing_has_xattrs (void)
{
  char value[8];

  return lgetxattr (backing, "user.ttlfs.test", value, sizeof value) >= 0 || errno == ENODATA;
}

void
need_root (void)
{
  if (geteuid () != 0)
    cr_skip ("needs root, to act as several users");
}
