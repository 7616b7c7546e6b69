#include "scenarios.h"

#include "daemon.h"
#include "files.h"
#include "load.h"

#include <signal.h>

#define OPTIONS "ttl=1h"
#define MOUNTS 2
#define LEFTOVERS_EVERY 8 /* episodes; it takes a TTL to see that nothing is left */

typedef struct
{
  Report *report;
  const char *work;
  const char *backing;
  char *dirs[MOUNTS];
  char *logs[MOUNTS];
  TestDaemon *daemons[MOUNTS];
  Load *load;
} Kill;

static gboolean
start (Kill *self, int i)
{
  self->daemons[i] = daemon_start (OPTIONS, self->backing, self->dirs[i], self->logs[i]);
  return self->daemons[i] != NULL
         || report_failure (self->report, "the daemon does not start again");
}

gboolean
scenario_make_buckets (Report *report, const char *mount)
{
  g_autofree char *lasting = g_strdup_printf ("%s/long", mount);
  g_autofree char *brief = g_strdup_printf ("%s/short", mount);

  return (mkdir (lasting, 0777) == 0 && mkdir (brief, 0777) == 0
          && set_xattr (brief, "user.ttlfs.ttl", SHORT_TTL) == 0)
         || report_failure (report, "the buckets cannot be made: %s", g_strerror (errno));
}

void
scenario_clear_logs (const char *root)
{
  for (int i = 0; i < LOGS; i++)
    {
      g_autofree char *path = g_strdup_printf ("%s/long/a%d", root, i);
      unlink (path);
    }
}

static gboolean
prepare (Kill *self)
{
  const char *roots[JOURNAL_CLIENTS];

  for (int i = 0; i < MOUNTS; i++)
    {
      self->dirs[i] = g_strdup_printf ("%s/kill%d", self->work, i);
      self->logs[i] = g_strdup_printf ("%s/kill%d.log", self->work, i);
      if (mkdir (self->dirs[i], 0755) < 0 || !start (self, i))
        return report_failure (self->report, "%s: cannot be mounted", self->dirs[i]);
    }
  for (int i = 0; i < JOURNAL_CLIENTS - 1; i++)
    roots[i] = self->dirs[i % MOUNTS];
  roots[JOURNAL_CLIENTS - 1] = self->backing;
  self->load = load_new (roots, self->report->seed);
  return scenario_make_buckets (self->report, self->dirs[0]);
}

/* kill -9 at any moment, also before anything is done and while much is being published. */
static void
strike (Kill *self, int victims)
{
  g_usleep ((gulong)g_random_int_range (500, 250000));
  for (int i = 0; i < MOUNTS; i++)
    if (victims >> i & 1)
      kill (daemon_pid (self->daemons[i]), SIGKILL);
  for (int i = 0; i < MOUNTS; i++)
    if (victims >> i & 1)
      daemon_kill (g_steal_pointer (&self->daemons[i]));
}

static gboolean
look (Kill *self, const char *root, SeenIn seen_in, const char *where, guint32 base_out[REGISTERS])
{
  const Incident incident = { .power = FALSE, .began_ns = steady_ns () };

  return verdict_check (self->report, load_journal (self->load), &incident, root, seen_in, where,
                        base_out);
}

static gboolean
check_leftovers (Kill *self)
{
  g_autofree char *brief = g_strdup_printf ("%s/short", self->backing);

  return verdict_is_emptied (self->report, brief, 3000);
}

/* FALSE when there is no going on. */
static gboolean
episode (Kill *self, int number)
{
  const int victims = g_random_int_range (1, 1 << MOUNTS);
  Journal *journal = load_journal (self->load);
  guint32 base[REGISTERS], again[REGISTERS];
  gboolean well;

  scenario_clear_logs (self->backing);
  journal_clear (journal);
  load_start (self->load, LOAD_FAST);
  strike (self, victims);
  /* Who works on a dead mount comes back by itself; the others go on for a moment beside what the dead left. */
  g_usleep (20000);
  for (int i = 0; i < MOUNTS; i++)
    if (victims >> i & 1)
      daemon_detach (self->dirs[i]);
  if (!load_stop (self->load))
    return report_failure (self->report, "a client is stuck");

  well = look (self, self->backing, SEEN_IN_BACKING, "backing directory after the kill", base);
  for (int i = 0; i < MOUNTS; i++)
    if (victims >> i & 1 && !start (self, i))
      return FALSE;
  for (int i = 0; i < MOUNTS; i++)
    well &= look (self, self->dirs[i], SEEN_IN_MOUNT,
                  victims >> i & 1 ? "mounted again" : "the mount that survived", again);
  if (number % LEFTOVERS_EVERY == LEFTOVERS_EVERY - 1)
    well &= check_leftovers (self);
  memcpy (journal->base, base, sizeof base);
  report_episode (self->report, well);
  return TRUE;
}

void
scenario_kill (Report *report, const char *work, const char *backing)
{
  Kill self = { .report = report, .work = work, .backing = backing };
  gboolean going = prepare (&self);
  guint confirmed = 0;
  int n = 0;

  for (; going && (n == 0 || !report_time_is_up (report))
         && (report->kills == 0 || n < report->kills);
       n++)
    {
      going = episode (&self, n);
      confirmed += journal_confirmed (load_journal (self.load));
    }
  if (going)
    going = check_leftovers (&self);
  if (going && n < report->kills && report->limit_ns != 0)
    going = report_failure (report, "there was time for %d kills only", n);
  if (!going)
    report_episode (report, FALSE);
  if (self.load != NULL)
    load_free (self.load);
  for (int i = 0; i < MOUNTS; i++)
    {
      if (self.daemons[i] != NULL && !daemon_stop (self.daemons[i]))
        report_episode (report, FALSE);
      g_free (self.dirs[i]);
      g_free (self.logs[i]);
    }
  printf ("crash: %d kills of one daemon or two, %u operations confirmed before them\n", n,
          confirmed);
}
