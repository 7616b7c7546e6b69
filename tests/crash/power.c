#include "scenarios.h"

#include "cleanup.h"
#include "daemon.h"
#include "files.h"
#include "image.h"
#include "load.h"

#define OPTIONS "ttl=1h"
#define PATIENCE_NS (300 * MS) /* for something to become durable */

typedef struct
{
  Report *report;
  const char *type;
  Stage *stage;
  TestDaemon *daemon;
  Load *load;
  char *backing;
  char *mount;
  char *log;
} Power;

static gboolean
fail_because (Power *self, char *why)
{
  report_failure (self->report, "%s: %s", self->type, why);
  g_free (why);
  return FALSE;
}

static gboolean
prepare (Power *self, const char *work)
{
  const char *roots[JOURNAL_CLIENTS];
  const char *disk;
  char *why = NULL;

  self->stage = stage_new (work, &why);
  if (self->stage == NULL)
    return fail_because (self, why);
  disk = stage_mount_new (self->stage, self->type, &why);
  if (disk == NULL)
    return fail_because (self, why);
  self->backing = g_strdup_printf ("%s/backing", disk);
  self->mount = g_strdup_printf ("%s/power-%s", work, self->type);
  self->log = g_strdup_printf ("%s.log", self->mount);
  if (mkdir (self->backing, 0755) < 0 || mkdir (self->mount, 0755) < 0)
    return report_failure (self->report, "%s: %s", self->mount, g_strerror (errno));
  self->daemon = daemon_start (OPTIONS, self->backing, self->mount, self->log);
  if (self->daemon == NULL)
    return report_failure (self->report, "the daemon does not start on %s", self->type);
  for (int i = 0; i < JOURNAL_CLIENTS; i++)
    roots[i] = self->mount; /* what a raw peer does is not ttlfs's to make safe */
  self->load = load_new (roots, self->report->seed);
  return scenario_make_buckets (self->report, self->mount);
}

static void
make_all_durable (const char *dir)
{
  ttl_autofd fd = open (dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  if (fd >= 0)
    (void)syncfs (fd);
}

/* At any moment, or right behind a promise, before anything else may help to keep it. */
static void
await_moment (Power *self, gboolean behind_a_promise)
{
  const Journal *journal = load_journal (self->load);
  gint64 before, limit;

  g_usleep ((gulong)g_random_int_range (1000, 120000));
  before = journal_last_durable (journal);
  limit = steady_ns () + PATIENCE_NS;
  while (behind_a_promise && journal_last_durable (journal) == before && steady_ns () < limit)
    g_usleep (50);
}

static gboolean
check_snapshot (Power *self, const Incident *incident)
{
  guint32 registers[REGISTERS];
  g_autofree char *where = g_strdup_printf ("%s after the power was lost", self->type);
  g_autofree char *root = NULL;
  char *why = NULL;
  const char *dir = stage_mount_snapshot (self->stage, self->type, &why);
  gboolean well;

  if (dir == NULL)
    return fail_because (self, why);
  root = g_strdup_printf ("%s/backing", dir);
  well = verdict_check (self->report, load_journal (self->load), incident, root, SEEN_IN_BACKING,
                        where, registers);
  stage_unmount_snapshot (self->stage);
  return well;
}

/* FALSE when there is no going on. */
static gboolean
episode (Power *self, guint *confirmed)
{
  Journal *journal = load_journal (self->load);
  gboolean patient = g_random_boolean ();
  Incident incident = { .power = TRUE };
  Incident none = { .power = FALSE };
  int res;
  gboolean well;

  scenario_clear_logs (self->backing);
  make_all_durable (self->backing);
  journal_clear (journal);
  load_start (self->load, patient ? LOAD_PATIENT : LOAD_MIXED);
  await_moment (self, patient);
  incident.began_ns = steady_ns ();
  res = stage_snapshot (self->stage);
  incident.ended_ns = steady_ns ();
  if (!load_stop (self->load))
    return report_failure (self->report, "a client is stuck");
  if (res < 0)
    return report_failure (self->report, "the image cannot be cloned: %s", g_strerror (-res));
  well = check_snapshot (self, &incident);
  /* What goes on as if nothing had happened is the next episode's beginning. */
  none.began_ns = steady_ns ();
  well &= verdict_check (self->report, journal, &none, self->backing, SEEN_IN_BACKING,
                         "the running system", journal->base);
  *confirmed += journal_confirmed (journal);
  report_episode (self->report, well);
  return TRUE;
}

static void
clean_up (Power *self)
{
  if (self->load != NULL)
    load_free (self->load);
  if (self->daemon != NULL && !daemon_stop (self->daemon))
    report_episode (self->report, FALSE);
  if (self->stage != NULL)
    stage_free (self->stage);
  g_free (self->backing);
  g_free (self->mount);
  g_free (self->log);
}

void
scenario_power (Report *report, const char *work, const char *type)
{
  Power self = { .report = report, .type = type };
  gboolean going = prepare (&self, work);
  guint confirmed = 0;
  int n = 0;

  for (; going && (n == 0 || !report_time_is_up (report)); n++)
    going = episode (&self, &confirmed);
  if (!going)
    report_episode (report, FALSE);
  clean_up (&self);
  printf ("crash: %d power losses on %s, %u operations confirmed around them\n", n, type,
          confirmed);
}
