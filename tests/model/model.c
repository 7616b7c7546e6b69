/* model - random concurrent histories through two mounts of one root and a raw peer, each checked to be one that a store
 * with leases could have had doing one thing at a time.
 *
 *     model [--histories N] [--operations N] [--seed S] [--seconds T] [--lanes L] [--cache]
 *
 * TTLFS_BIN names the daemon; the backing directory is made under TTLFS_TEST_DIR, or in the temporary directory.
 * History number i has seed S + i; a report names the seed of its history, and --histories 1 --seed THAT does the same
 * steps again. How they fall together is the kernel's doing, so it may take a few times.
 * With --operations, not to get there in the time is a failure.
 * The last line is the sum; the status is 0 when nothing failed and something passed. */
#include "checker.h"
#include "daemon.h"
#include "files.h"
#include "janitor.h"
#include "lane.h"
#include "times.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#define DEFAULT_SECONDS 25
#define LANES_MAX 256
#define LAG_MS 20 /* 10 ms it says, of a machine that does nothing else */

static volatile sig_atomic_t interrupted;

typedef struct
{
  gint64 histories;
  gint64 operations; /* 0: any number */
  gint64 seed;
  gint64 seconds;
  int lanes;
  gboolean cache;
} Options;

typedef struct
{
  char *work;
  char *backing;
  Janitor *janitor;
  TestDaemon *daemons[2];
  Board *board;
  pid_t lanes[LANES_MAX];
  int n_lanes;
  guint failed; /* beside the histories: daemons, lanes */
} Model;

static void
on_signal (int number)
{
  interrupted = number;
}

static gboolean
parse (int argc, char **argv, Options *options)
{
  const GOptionEntry entries[] = {
    { "histories", 0, 0, G_OPTION_ARG_INT64, &options->histories, "Stop after N histories", "N" },
    { "operations", 0, 0, G_OPTION_ARG_INT64, &options->operations, "Stop after N operations",
      "N" },
    { "seed", 0, 0, G_OPTION_ARG_INT64, &options->seed, "Seed of the first history", "S" },
    { "cache", 0, 0, G_OPTION_ARG_NONE, &options->cache,
      "Let the kernel remember, and mounts be a little behind", NULL },
    { "seconds", 0, 0, G_OPTION_ARG_INT64, &options->seconds, "Stop after T seconds", "T" },
    { "lanes", 0, 0, G_OPTION_ARG_INT, &options->lanes, "Run L histories at a time", "L" },
    { 0 },
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (GError) error = NULL;

  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error))
    {
      fprintf (stderr, "model: %s\n", error->message);
      return FALSE;
    }
  options->lanes = CLAMP (options->lanes, 1, LANES_MAX);
  return TRUE;
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

static void
prepare (Model *self, const Options *options)
{
  const char *test_dir = g_getenv ("TTLFS_TEST_DIR");

  umask (022);
  self->work = make_dir (g_get_tmp_dir (), "model");
  self->backing = make_dir (test_dir != NULL ? test_dir : g_get_tmp_dir (), "backing");
  self->janitor = janitor_new (self->work, self->backing);
  self->board = board_new ();
  self->board->seed = (guint64)options->seed;
  self->board->histories = options->histories > 0 ? (guint64)options->histories : G_MAXUINT64;
  g_strlcpy (self->board->backing, self->backing, sizeof self->board->backing);
}

/* The mounts renew nothing by themselves: a recorder would not see it. */
static gboolean
mount_both (Model *self, gboolean cache)
{
  for (int i = 0; i < 2; i++)
    {
      g_autofree char *log = g_strdup_printf ("%s/log%d", self->work, i);

      g_snprintf (self->board->mounts[i], sizeof self->board->mounts[i], "%s/mnt%d", self->work, i);
      if (mkdir (self->board->mounts[i], 0755) < 0)
        return FALSE;
      self->daemons[i] = daemon_start (cache ? "ttl=1h,keepalive=none,cache=on"
                                             : "ttl=1h,keepalive=none,cache=off",
                                       self->backing, self->board->mounts[i], log);
      if (self->daemons[i] == NULL)
        return FALSE;
    }
  return TRUE;
}

static gboolean
are_enough (const Board *board, const Options *options)
{
  return options->operations > 0 && board->ops >= (guint64)options->operations;
}

static void
watch (Model *self, const Options *options)
{
  gint64 limit = now_ns () + options->seconds * SECOND;
  int running = self->n_lanes;

  while (running > 0)
    {
      int status;
      pid_t pid;

      if (interrupted || now_ns () > limit || are_enough (self->board, options)
          || !daemon_runs (self->daemons[0]) || !daemon_runs (self->daemons[1]))
        self->board->stop = TRUE;
      while ((pid = waitpid (-1, &status, WNOHANG)) > 0)
        for (int i = 0; i < self->n_lanes; i++)
          if (self->lanes[i] == pid)
            {
              running--;
              self->failed += status != 0;
            }
      if (pid < 0)
        return;
      sleep_ms (20);
    }
}

static void
stop_both (Model *self)
{
  for (int i = 0; i < 2; i++)
    if (self->daemons[i] != NULL && !daemon_stop (g_steal_pointer (&self->daemons[i])))
      self->failed++;
}

int
main (int argc, char **argv)
{
  Options options = { .seed = g_get_real_time (),
                      .seconds = DEFAULT_SECONDS,
                      .lanes = (int)g_get_num_processors () * 8 };
  Model self = { 0 };
  const Board *board;

  if (!parse (argc, argv, &options))
    return 2;
  if (access ("/dev/fuse", F_OK) < 0 || daemon_program () == NULL)
    {
      puts (daemon_program () == NULL ? "TTLFS_BIN does not name the daemon to test"
                                      : "SKIP: there is no /dev/fuse");
      return daemon_program () == NULL ? 2 : 77;
    }
  signal (SIGINT, on_signal);
  signal (SIGTERM, on_signal);
  signal (SIGHUP, on_signal);
  if (options.cache)
    checker_lag_ns = tolerance_ns (LAG_MS);
  prepare (&self, &options);
  printf ("model: seed %" G_GINT64_FORMAT ", %d histories at a time\n", options.seed,
          options.lanes);
  fflush (stdout);
  if (mount_both (&self, options.cache))
    {
      while (self.n_lanes < options.lanes)
        self.lanes[self.n_lanes++] = lane_start (self.board);
      watch (&self, &options);
    }
  else
    self.failed++;
  stop_both (&self);
  janitor_finish (self.janitor);
  g_free (self.work);
  g_free (self.backing);

  board = self.board;
  if (options.operations > 0 && !are_enough (board, &options))
    {
      printf ("FAILED: there was not the time for %" G_GINT64_FORMAT " operations\n",
              options.operations);
      self.failed++;
    }
  printf ("model: %" G_GUINT64_FORMAT " operations, the slowest took %.1f ms; %" G_GUINT64_FORMAT
          " were moot; %" G_GUINT64_FORMAT " histories left out for a step of the clock\n",
          board->ops, (double)board->slowest_ns / MS, board->moot, board->stepped);
  printf ("%" G_GUINT64_FORMAT " passed, %" G_GUINT64_FORMAT " failed\n", board->passed,
          board->failed + self.failed + (interrupted != 0));
  return board->passed > 0 && board->failed + self.failed == 0 && !interrupted ? 0 : 1;
}
