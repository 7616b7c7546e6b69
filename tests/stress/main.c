/* ttlfs_stress - two mounts and a raw peer on one root, all at once, for TTLFS_STRESS_SECONDS (10).
 *
 * What is checked, all the time, by readers through both mounts and in the backing directory:
 *   - a value is whole: one that somebody put there, never empty, torn or mixed (value.h);
 *   - keys with one owner show what that owner's history allows: nothing replaced or deleted,
 *     nothing missing before its deadline, nothing at or after it (journal.h); through the other
 *     mount with 250 ms of slack, through its own none;
 *   - keys that are held open are never missing, with a peer's reaper about;
 *   - O_EXCL and link have one winner among both mounts and the peer;
 *   - listings show keys and nothing else; no operation fails but with ENOENT or EEXIST, or takes
 *     longer than 5 s;
 *   - at the end everything expires, nothing is left in the backing directory, and both daemons end
 *     with status 0.
 *
 * Prints a summary and what went wrong. Status: 0, 1 for a violation, 77 where there is no
 * /dev/fuse. TTLFS_BIN, TTLFS_TEST_DIR and TTLFS_TEST_SLOW as in ../lib/. */
#include "daemon.h"
#include "files.h"
#include "janitor.h"
#include "stress.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define STUCK_MS 5000

static GArray *actors; /* pid_t */

static void *
share (gsize len)
{
  void *memory = mmap (NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

  if (memory == MAP_FAILED)
    g_error ("mmap: %s", g_strerror (errno));
  return memory;
}

static char *
make_dir (const char *parent, const char *what)
{
  char *path = g_strdup_printf ("%s/ttlfs-%s.XXXXXX", parent, what);

  if (g_mkdtemp_full (path, 0755) == NULL)
    g_error ("%s: %s", path, g_strerror (errno));
  return path;
}

/* TRUE in the new process. */
static gboolean
is_new_actor (void)
{
  pid_t pid = fork ();

  if (pid < 0)
    g_error ("fork: %s", g_strerror (errno));
  if (pid > 0)
    {
      g_array_append_val (actors, pid);
      return FALSE;
    }
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  g_random_set_seed ((guint32)getpid () ^ (guint32)now_ns ());
  actor_is (actors->len);
  return TRUE;
}

#define START(act) \
  do \
    if (is_new_actor ()) \
      { \
        act; \
        _exit (0); \
      } \
  while (0)

static gboolean
all_held (void)
{
  for (guint key = 0; key < HELD; key++)
    if (world->held_ready[key] == 0)
      return FALSE;
  return TRUE;
}

static void
start_actors (void)
{
  for (guint key = 0; key < HELD; key++)
    START (act_holder (key % 2 == 0 ? VIA_A : VIA_B, key));
  if (!EVENTUALLY (5000, all_held ()))
    complain ("the held keys could not be put");
  sleep_ms (300); /* until the other mount knows them */
  for (guint key = 0; key < OWNED; key++)
    START (act_owner (key));
  for (Via via = VIA_A; via < VIAS; via++)
    {
      START (act_contender (via, via));
      START (act_locker (via));
      START (act_reader (via));
    }
  START (act_reaper ());
}

static void
watch (gint64 end_ns)
{
  gboolean told[ACTORS] = { FALSE };

  while (now_ns () < end_ns)
    {
      for (guint i = 0; i < ACTORS; i++)
        {
          gint64 since = __atomic_load_n (&world->busy_since_ns[i], __ATOMIC_ACQUIRE);

          if (since == 0 || now_ns () - since < tolerance_ns (STUCK_MS) || told[i])
            continue;
          complain ("stuck: %s", world->busy_with[i]);
          told[i] = TRUE;
        }
      sleep_ms (50);
    }
}

static void
stop_actors (void)
{
  gint64 limit = now_ns () + tolerance_ns (STUCK_MS);

  __atomic_store_n (&world->stop, 1, __ATOMIC_RELEASE);
  for (guint i = 0; i < actors->len; i++)
    {
      pid_t pid = g_array_index (actors, pid_t, i);
      int status;

      while (waitpid (pid, &status, WNOHANG) == 0)
        {
          if (now_ns () > limit)
            kill (pid, SIGKILL);
          sleep_ms (1);
        }
      if (!WIFEXITED (status) || WEXITSTATUS (status) != 0)
        complain ("actor %u ended with %s %d", i, WIFEXITED (status) ? "status" : "signal",
                  WIFEXITED (status) ? WEXITSTATUS (status) : WTERMSIG (status));
    }
}

/* Nobody renews anything any more: a TTL later there is nothing. */
static void
check_end (void)
{
  sleep_until (now_ns () + TTL_NS);
  for (Via via = VIA_A; via < VIA_RAW; via++)
    if (count_listed (roots[via]) != 0)
      complain ("%s lists a TTL after the end: %s", roots[via], listing (roots[via]));
  if (!EVENTUALLY (1000, count_files (roots[VIA_RAW]) == 0))
    complain ("%u files are left in the backing directory: %s", count_files (roots[VIA_RAW]),
              listing (roots[VIA_RAW]));
}

static int
summarise (int seconds)
{
  static const char *const words[DEEDS]
      = { "puts",     "gets",  "deletes",       "touches",
          "listings", "locks", "times missing", "reaped by a peer" };

  printf ("ttlfs_stress: %d s:", seconds);
  for (Deed deed = 0; deed < DEEDS; deed++)
    printf ("%s %" G_GUINT64_FORMAT " %s", deed > 0 ? "," : "", world->deeds[deed], words[deed]);
  printf ("; %d violations\n", world->violations);
  for (int i = 0; i < MIN (world->told, COMPLAINTS); i++)
    printf ("  %s\n", world->complaints[i]);
  return world->violations > 0;
}

static void
open_world (const char *work, const char *backing)
{
  world = share (sizeof *world);
  for (guint key = 0; key < OWNED; key++)
    journals[key] = journal_at (share (journal_size ()));
  roots[VIA_A] = keep (g_strdup_printf ("%s/a", work));
  roots[VIA_B] = keep (g_strdup_printf ("%s/b", work));
  roots[VIA_RAW] = backing;
  actors = g_array_new (FALSE, FALSE, sizeof (pid_t));
}

static TestDaemon *
mount_at (const char *dir, const char *backing)
{
  TestDaemon *daemon;

  if (mkdir (dir, 0755) < 0)
    g_error ("%s: %s", dir, g_strerror (errno));
  daemon = daemon_start ("ttl=1s", backing, dir, text ("%s.log", dir));
  if (daemon == NULL)
    exit (1); /* it has been said why; the janitor cleans up */
  return daemon;
}

int
main (void)
{
  const char *test_dir = g_getenv ("TTLFS_TEST_DIR"), *duration = g_getenv ("TTLFS_STRESS_SECONDS");
  int seconds = duration != NULL ? atoi (duration) : 10, status;
  g_autofree char *work = make_dir (g_get_tmp_dir (), "stress");
  g_autofree char *backing = make_dir (test_dir != NULL ? test_dir : g_get_tmp_dir (), "backing");
  Janitor *janitor = janitor_new (work, backing);
  TestDaemon *daemons[2];

  if (access ("/dev/fuse", F_OK) < 0)
    {
      printf ("ttlfs_stress: there is no /dev/fuse\n");
      janitor_finish (janitor);
      return 77;
    }
  open_world (work, backing);
  for (int i = 0; i < 2; i++)
    daemons[i] = mount_at (roots[i], backing);
  start_actors ();
  watch (now_ns () + seconds * SECOND);
  stop_actors ();
  check_end ();
  for (int i = 0; i < 2; i++)
    if (!daemon_stop (daemons[i]))
      complain ("a daemon did not end well");
  status = summarise (seconds);
  g_array_free (actors, TRUE);
  janitor_finish (janitor);
  return status;
}
