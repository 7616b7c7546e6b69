#include "slice.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SAMPLES \
  (1 << 14) /* of one client in one slice; of more, every second, every fourth ... is kept */
#define LONGEST_NS (G_GINT64_CONSTANT (60) * 1000000000) /* a slice that takes longer is stuck */
#define NOTICE_NS 2000000 /* between saying when to begin and beginning */
#define LOOK_US 200

/* What one process tells; in memory shared with it. */
typedef struct
{
  char error[200];
  guint64 done;
  guint64 busy_ns;
  gint64 max_ns;
  guint32 stride; /* one sample in so many is kept */
  guint32 kept;
  guint32 samples[SAMPLES];
} Desk;

typedef struct
{
  gint here;       /* atomic; clients that are ready to begin */
  gint64 begin_ns; /* atomic; when all of them do; 0: not known yet */
  gint64 end_ns;   /* written before begin_ns */
  Desk desks[SLICE_CLIENTS];
} Room;

static Room *
room (void)
{
  static Room *it;

  if (it == NULL)
    it = mmap (NULL, sizeof *it, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (it == MAP_FAILED)
    fail ("no memory for %d clients", SLICE_CLIENTS);
  return it;
}

/* ---- in a client's process ---- */

static void
wait_for_begin (Room *self)
{
  struct timespec ts;
  gint64 begin_ns;

  g_atomic_int_inc (&self->here);
  while ((begin_ns = __atomic_load_n (&self->begin_ns, __ATOMIC_ACQUIRE)) == 0)
    g_usleep (LOOK_US);
  ts.tv_sec = begin_ns / 1000000000;
  ts.tv_nsec = begin_ns % 1000000000;
  (void)clock_nanosleep (CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
}

static void
keep_every_second (Desk *desk)
{
  for (guint i = 0; i < SAMPLES / 2; i++)
    desk->samples[i] = desk->samples[2 * i];
  desk->kept = SAMPLES / 2;
  desk->stride *= 2;
}

static void
note (Desk *desk, gint64 ns)
{
  if (desk->kept == SAMPLES)
    keep_every_second (desk);
  if (desk->done % desk->stride == 0)
    desk->samples[desk->kept++] = (guint32)MIN (ns, (gint64)G_MAXUINT32);
  desk->done++;
  desk->busy_ns += (guint64)ns;
  desk->max_ns = MAX (desk->max_ns, ns);
}

static void
work (Subject *subject, Op op, guint number, guint clients, Room *self)
{
  const SubjectClass *class = subject->class;
  Desk *desk = &self->desks[number];
  Client *client;

  fail_into (desk->error, sizeof desk->error);
  client = class->connect (subject, op, number, clients);
  if (class->ready (client)) /* once for nothing: what is hot has been touched before */
    class->run (client);
  wait_for_begin (self);
  while (class->ready (client))
    {
      const gint64 before_ns = monotonic_ns ();
      gint64 after_ns;

      class->run (client);
      after_ns = monotonic_ns ();
      note (desk, after_ns - before_ns);
      if (after_ns >= self->end_ns)
        break;
    }
  class->disconnect (client);
}

/* ---- in the parent ---- */

/* Whether all have come; no when one has ended before. */
static gboolean
all_here (Room *self, guint clients)
{
  const gint64 limit_ns = monotonic_ns () + LONGEST_NS;

  while (g_atomic_int_get (&self->here) < (gint)clients && monotonic_ns () < limit_ns)
    {
      siginfo_t info = { 0 };

      if (waitid (P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0)
        return FALSE;
      g_usleep (LOOK_US);
    }
  return g_atomic_int_get (&self->here) == (gint)clients;
}

static void
begin (Room *self, gint64 ns)
{
  const gint64 begin_ns = monotonic_ns () + NOTICE_NS;

  self->end_ns = begin_ns + ns;
  __atomic_store_n (&self->begin_ns, begin_ns, __ATOMIC_RELEASE);
}

/* Whether each has ended well by @limit_ns; those that have not are killed. */
static gboolean
wait_for_all (const pid_t *pids, guint clients, gint64 limit_ns)
{
  gboolean well = TRUE;

  for (guint i = 0; i < clients; i++)
    {
      int status = 0;
      pid_t res;

      while ((res = waitpid (pids[i], &status, WNOHANG)) == 0 && monotonic_ns () < limit_ns)
        g_usleep (LOOK_US);
      if (res == 0)
        {
          (void)kill (pids[i], SIGKILL);
          (void)waitpid (pids[i], &status, 0);
        }
      well = well && res == pids[i] && status == 0;
    }
  return well;
}

static void
start_clients (Subject *subject, const Op *ops, guint clients, Room *self, pid_t *pids_out)
{
  const pid_t parent = getpid ();

  for (guint i = 0; i < clients; i++)
    {
      pids_out[i] = fork ();
      if (pids_out[i] < 0)
        fail ("cannot start client %u", i);
      if (pids_out[i] > 0)
        continue;
      (void)prctl (PR_SET_PDEATHSIG, SIGKILL);
      if (getppid () == parent)
        work (subject, ops[i], i, clients, self);
      _exit (0);
    }
}

static const char *
first_error (Room *self, guint clients)
{
  for (guint i = 0; i < clients; i++)
    if (self->desks[i].error[0] != '\0')
      return self->desks[i].error;
  return "a client was stuck, or was killed";
}

static void
clear (Room *self, guint clients)
{
  self->here = 0;
  self->begin_ns = 0;
  for (guint i = 0; i < clients; i++)
    {
      memset (&self->desks[i], 0, G_STRUCT_OFFSET (Desk, samples));
      self->desks[i].stride = 1;
    }
}

static gboolean
is_first (const Op *ops, guint i)
{
  for (guint before = 0; before < i; before++)
    if (ops[before] == ops[i])
      return FALSE;
  return TRUE;
}

static gboolean
run_clients (Subject *subject, const Op *ops, guint clients, gint64 ns, Room *self)
{
  pid_t pids[SLICE_CLIENTS];
  gint64 limit_ns = 0; /* when they do not all come: at once */

  start_clients (subject, ops, clients, self, pids);
  if (all_here (self, clients))
    {
      limit_ns = monotonic_ns () + ns + LONGEST_NS;
      begin (self, ns);
    }
  return wait_for_all (pids, clients, limit_ns);
}

const char *
slice_run (Subject *subject, const Op *ops, guint clients, gint64 ns,
           SliceClient results_out[SLICE_CLIENTS])
{
  Room *self = room ();
  gboolean well;

  clear (self, clients);
  for (guint i = 0; i < clients; i++)
    if (is_first (ops, i))
      subject->class->prepare (subject, ops[i], clients);
  subject_settle (subject);
  well = run_clients (subject, ops, clients, ns, self);
  for (guint i = 0; i < clients; i++)
    if (is_first (ops, i))
      subject->class->clean (subject, ops[i]);
  subject_settle (subject);
  for (guint i = 0; i < clients; i++)
    {
      const Desk *desk = &self->desks[i];

      results_out[i]
          = (SliceClient){ desk->done, desk->busy_ns, desk->max_ns, desk->kept, desk->samples };
    }
  return well ? NULL : first_error (self, clients);
}
