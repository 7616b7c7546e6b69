/* crash - kills the daemon, and cuts the power, under load, and looks what is left.
 *
 *     crash [--seconds T] [--seed S]             half of the time for kills, half for power
 *     crash --kills N [--seconds T] [--seed S]   kills alone, and that many; not to get there in the time is a failure
 *
 * TTLFS_BIN names the daemon; the backing directory of the kills is made under TTLFS_TEST_DIR, or in the temporary directory.
 * The seed fixes what the clients do; when the daemon dies between is a matter of microseconds, and chance.
 * Power loss needs root and loop devices, and is left out, with a message, where there are none.
 * The last line is the sum of episodes; the status is 0 when none failed and there were any. */
#include "daemon.h"
#include "files.h"
#include "janitor.h"
#include "scenarios.h"

#include <signal.h>
#include <stdlib.h>

#define DEFAULT_SECONDS 30

static const char *const power_types[] = { "ext4", "xfs" };

static Report report;

/* The scenario that is under way ends with its episode, and the next does not begin. */
static void
on_signal (int number)
{
  (void)number;
  report.limit_ns = 0;
}

static gboolean
parse (int argc, char **argv, gint64 *seconds, gint64 *seed, gint64 *kills)
{
  const GOptionEntry entries[] = {
    { "seconds", 0, 0, G_OPTION_ARG_INT64, seconds, "Take about T seconds in all", "T" },
    { "seed", 0, 0, G_OPTION_ARG_INT64, seed, "Seed of what the clients do", "S" },
    { "kills", 0, 0, G_OPTION_ARG_INT64, kills, "Kill N times, and cut no power", "N" },
    { 0 },
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (GError) error = NULL;

  g_option_context_add_main_entries (context, entries, NULL);
  if (g_option_context_parse (context, &argc, &argv, &error))
    return TRUE;
  fprintf (stderr, "crash: %s\n", error->message);
  return FALSE;
}

static char *
make_dir (const char *parent, const char *what)
{
  char *path = g_strdup_printf ("%s/ttlfs-%s.XXXXXX", parent, what);

  if (g_mkdtemp_full (path, 0755) == NULL)
    {
      perror (path);
      exit (1);
    }
  return path;
}

static gboolean
interrupted (void)
{
  return report.limit_ns == 0;
}

static void
give (gint64 ns)
{
  if (!interrupted ())
    report.limit_ns = steady_ns () + ns;
}

static void
lose_power (const char *work, gint64 ns)
{
  if (geteuid () != 0 || access ("/dev/loop-control", F_OK) < 0)
    {
      printf ("crash: power loss is left out: %s\n",
              geteuid () != 0 ? "it needs root" : "there are no loop devices");
      return;
    }
  for (guint i = 0; i < G_N_ELEMENTS (power_types) && !interrupted (); i++)
    {
      give (ns / (gint64)G_N_ELEMENTS (power_types));
      scenario_power (&report, work, power_types[i]);
    }
}

int
main (int argc, char **argv)
{
  const char *test_dir = g_getenv ("TTLFS_TEST_DIR");
  gint64 seconds = DEFAULT_SECONDS, seed = g_get_real_time (), kills = 0;
  g_autofree char *work = NULL;
  g_autofree char *backing = NULL;
  Janitor *janitor;
  gboolean stopped;

  if (!parse (argc, argv, &seconds, &seed, &kills))
    return 2;
  if (access ("/dev/fuse", F_OK) < 0 || daemon_program () == NULL)
    {
      puts (daemon_program () == NULL ? "TTLFS_BIN does not name the daemon to test"
                                      : "SKIP: there is no /dev/fuse");
      return daemon_program () == NULL ? 2 : 77;
    }
  umask (022);
  g_random_set_seed ((guint32)seed);
  work = make_dir (g_get_tmp_dir (), "crash");
  backing = make_dir (test_dir != NULL ? test_dir : g_get_tmp_dir (), "backing");
  janitor = janitor_new (work, backing);
  report = (Report){ .seed = (guint64)seed, .limit_ns = 1, .kills = kills };
  signal (SIGINT, on_signal);
  signal (SIGTERM, on_signal);
  signal (SIGHUP, on_signal);
  printf ("crash: seed %" G_GINT64_FORMAT "\n", seed);
  fflush (stdout);

  give (kills > 0 ? seconds * SECOND : seconds * SECOND / 2);
  scenario_kill (&report, work, backing);
  if (kills == 0)
    lose_power (work, seconds * SECOND / 2);
  stopped = interrupted ();
  janitor_finish (janitor);
  printf ("%u passed, %u failed\n", report.passed, report.failed + stopped);
  return report.passed > 0 && report.failed == 0 && !stopped ? 0 : 1;
}
