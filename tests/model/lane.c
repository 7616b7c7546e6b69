#include "lane.h"

#include "checker.h"
#include "client.h"
#include "times.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define REPORTS_MAX 5          /* told in full; the others are counted */
#define STUCK_NS (60 * SECOND) /* a history should have ended by then */
#define SLOW_NS (5 * SECOND)   /* no operation may take longer */
#define AGREE_NS (5 * SECOND)  /* for both mounts to know a new bucket's TTL */
#define CLOCK_STEP_NS (1 * MS)

typedef struct /* what a lane and its clients share */
{
  Plan plan;
  Shared shared;
  Record records[PLAN_CLIENTS];
  char bucket[32];
  sem_t start[PLAN_CLIENTS];
  sem_t done;
} Table;

typedef struct
{
  Board *board;
  Table *table;
  pid_t clients[PLAN_CLIENTS];
  char dirs[3][320]; /* the bucket in both mounts and in the backing directory */
} Lane;

static void *
share (gsize size)
{
  void *memory = mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

  return memory != MAP_FAILED ? memory : NULL;
}

Board *
board_new (void)
{
  Board *self = share (sizeof *self);

  g_assert (self != NULL);
  sem_init (&self->printing, 1, 1);
  return self;
}

/* ---- clients ---- */

static void
name_dirs (Lane *self)
{
  g_snprintf (self->dirs[0], sizeof self->dirs[0], "%s/%s", self->board->mounts[0],
              self->table->bucket);
  g_snprintf (self->dirs[1], sizeof self->dirs[1], "%s/%s", self->board->mounts[1],
              self->table->bucket);
  g_snprintf (self->dirs[2], sizeof self->dirs[2], "%s/%s", self->board->backing,
              self->table->bucket);
}

static void
client_main (Lane *self, int number)
{
  Client client = { .plan = &self->table->plan,
                    .number = number,
                    .mounts = { self->dirs[0], self->dirs[1] },
                    .backing = self->dirs[2],
                    .shared = &self->table->shared,
                    .record = &self->table->records[number] };

  prctl (PR_SET_PDEATHSIG, SIGKILL);
  prctl (PR_SET_TIMERSLACK, 1UL); /* who waits for a moment is there when it comes */
  for (;;)
    {
      while (sem_wait (&self->table->start[number]) < 0)
        continue;
      name_dirs (self);
      client_run (&client);
      sem_post (&self->table->done);
    }
}

static void
start_clients (Lane *self)
{
  sem_init (&self->table->done, 1, 0);
  for (int i = 0; i < PLAN_CLIENTS; i++)
    {
      sem_init (&self->table->start[i], 1, 0);
      self->clients[i] = fork ();
      if (self->clients[i] == 0)
        client_main (self, i);
    }
}

/* FALSE when a client does not come back. */
static gboolean
run_clients (Lane *self)
{
  gint64 limit = now_ns () + STUCK_NS;
  const struct timespec until = { .tv_sec = limit / SECOND };

  self->table->shared = (Shared){ 0 };
  for (int i = 0; i < PLAN_CLIENTS; i++)
    sem_post (&self->table->start[i]);
  for (int i = 0; i < PLAN_CLIENTS; i++)
    while (sem_timedwait (&self->table->done, &until) < 0)
      if (errno == ETIMEDOUT)
        return FALSE;
  return TRUE;
}

/* ---- buckets ---- */

static gboolean
knows_ttl (const char *dir, const char *ttl)
{
  char value[32];
  ssize_t len = getxattr (dir, "user.ttlfs.ttl", value, sizeof value);

  return len == (ssize_t)strlen (ttl) && memcmp (value, ttl, (gsize)len) == 0;
}

static gboolean
make_bucket (Lane *self)
{
  const gint64 ttl_ns = self->table->plan.ttl_ns;
  gint64 limit;
  char ttl[24] = "inf";

  if (ttl_ns != HISTORY_INF)
    g_snprintf (ttl, sizeof ttl, "%" G_GINT64_FORMAT "ms", ttl_ns / MS);
  if (mkdir (self->dirs[0], 0777) < 0
      || setxattr (self->dirs[0], "user.ttlfs.ttl", ttl, strlen (ttl), 0) < 0)
    return FALSE;
  limit = now_ns () + AGREE_NS;
  while (!knows_ttl (self->dirs[0], ttl) || !knows_ttl (self->dirs[1], ttl))
    {
      if (now_ns () > limit)
        return FALSE;
      sleep_ms (1);
    }
  return TRUE;
}

static void
remove_bucket (Lane *self)
{
  DIR *dir = opendir (self->dirs[2]);
  struct dirent *item;

  while (dir != NULL && (item = readdir (dir)) != NULL)
    if (strcmp (item->d_name, ".") != 0 && strcmp (item->d_name, "..") != 0)
      unlinkat (dirfd (dir), item->d_name, 0);
  if (dir != NULL)
    closedir (dir);
  rmdir (self->dirs[1]);
}

/* ---- verdicts ---- */

static void
count (guint64 *counter, guint64 by)
{
  __atomic_add_fetch (counter, by, __ATOMIC_RELAXED);
}

static GArray *
history_of_key (const Table *table, int key)
{
  GArray *ops = g_array_new (FALSE, FALSE, sizeof (Op));

  for (int i = 0; i < PLAN_CLIENTS; i++)
    for (guint j = 0; j < table->records[i].n_ops; j++)
      if (table->records[i].ops[j].key == key)
        g_array_append_val (ops, table->records[i].ops[j]);
  return ops;
}

static const Op *
ops_of (const GArray *array)
{
  return (const Op *)(gpointer)array->data;
}

static void
print_ops (GString *out, const GArray *ops, gint64 origin_ns)
{
  for (guint i = 0; i < ops->len; i++)
    op_print (out, &g_array_index (ops, Op, i), origin_ns);
}

static void
print_order (GString *out, const GArray *ops, gint64 ttl_ns, gint64 origin_ns)
{
  g_autoptr (GArray) order = g_array_new (FALSE, FALSE, sizeof (guint));

  checker_check (ops_of (ops), ops->len, ttl_ns, order);
  g_string_append_printf (out, "as far as an order could be found (%u of %u):\n", order->len,
                          ops->len);
  for (guint i = 0; i < order->len; i++)
    op_print (out, &g_array_index (ops, Op, g_array_index (order, guint, i)), origin_ns);
}

static void
print_report (Lane *self, const char *text)
{
  while (sem_wait (&self->board->printing) < 0)
    continue;
  fputs (text, stdout);
  fflush (stdout);
  sem_post (&self->board->printing);
}

static void fail (Lane *self, const char *format, ...) G_GNUC_PRINTF (2, 3);

static void
fail (Lane *self, const char *format, ...)
{
  g_autofree char *what = NULL;
  g_autofree char *text = NULL;
  va_list args;

  count (&self->board->failed, 1);
  if (self->board->failed > REPORTS_MAX)
    return;
  va_start (args, format);
  what = g_strdup_vprintf (format, args);
  va_end (args);
  text = g_strdup_printf ("FAILED: seed %" G_GUINT64_FORMAT
                          " (model --histories 1 --seed %" G_GUINT64_FORMAT "): %s\n",
                          self->table->plan.seed, self->table->plan.seed, what);
  print_report (self, text);
}

static char *
describe (Lane *self, int key, const GArray *ops, CheckVerdict verdict)
{
  const gint64 ttl_ns = self->table->plan.ttl_ns;
  g_autoptr (GString) out = g_string_new (NULL);
  g_autoptr (GArray) part = NULL;
  gint64 origin_ns = G_MAXINT64;

  for (guint i = 0; i < ops->len; i++)
    origin_ns = MIN (origin_ns, g_array_index (ops, Op, i).invoked_ns);
  g_string_append_printf (out, "the history of k%d (ttl ", key);
  if (ttl_ns == HISTORY_INF)
    g_string_append (out, "inf");
  else
    g_string_append_printf (out, "%" G_GINT64_FORMAT " ms", ttl_ns / MS);
  if (verdict == CHECK_TOO_HARD)
    {
      g_string_append (out, ") is too hard to check:\n");
      print_ops (out, ops, origin_ns);
      return g_strdup (out->str);
    }
  part = checker_shrink (ops_of (ops), ops->len, ttl_ns);
  g_string_append (out, ") cannot be of a store that does one thing at a time (times in ms):\n");
  print_ops (out, part, origin_ns);
  print_order (out, part, ttl_ns, origin_ns);
  return g_strdup (out->str);
}

/* FALSE when it is wrong, and reported. */
static gboolean
check_key (Lane *self, int key)
{
  g_autoptr (GArray) ops = history_of_key (self->table, key);
  CheckVerdict verdict = checker_check (ops_of (ops), ops->len, self->table->plan.ttl_ns, NULL);
  g_autofree char *text = NULL;

  count (&self->board->ops, ops->len);
  for (guint i = 0; i < ops->len; i++)
    {
      const Op *op = &g_array_index (ops, Op, i);
      gint64 took_ns = op->returned_ns - op->invoked_ns;

      if (took_ns > self->board->slowest_ns)
        self->board->slowest_ns = took_ns;
      if (took_ns > SLOW_NS)
        {
          fail (self, "an operation of k%d took %.1f s", key, (double)took_ns / SECOND);
          return FALSE;
        }
    }
  if (verdict == CHECK_LINEARIZABLE)
    return TRUE;
  text = describe (self, key, ops, verdict);
  fail (self, "%s", text);
  return FALSE;
}

static gint64
wall_minus_steady (void)
{
  struct timespec steady;

  clock_gettime (CLOCK_MONOTONIC, &steady);
  return now_ns () - steady.tv_sec * SECOND - steady.tv_nsec;
}

/* FALSE when the lane cannot go on. */
static gboolean
run_history (Lane *self, guint64 seed)
{
  gint64 clock = wall_minus_steady ();
  gboolean well = TRUE;

  plan_draw (&self->table->plan, seed);
  g_snprintf (self->table->bucket, sizeof self->table->bucket, "h%016" G_GINT64_MODIFIER "x", seed);
  name_dirs (self);
  if (!make_bucket (self))
    {
      fail (self, "the bucket %s cannot be made, or the mounts do not agree on its ttl: %s\n",
            self->dirs[0], g_strerror (errno));
      return FALSE;
    }
  if (!run_clients (self))
    {
      for (int i = 0; i < PLAN_CLIENTS; i++)
        fail (self, "client %d is at %s, and does not come back", i, self->table->records[i].doing);
      return FALSE;
    }
  for (int i = 0; i < PLAN_CLIENTS; i++)
    count (&self->board->moot, self->table->records[i].moot);
  remove_bucket (self);
  if (ABS (wall_minus_steady () - clock) > CLOCK_STEP_NS)
    {
      count (&self->board->stepped, 1);
      return TRUE;
    }
  for (int key = 0; key < self->table->plan.n_keys && well; key++)
    well = check_key (self, key);
  if (well)
    count (&self->board->passed, 1);
  return TRUE;
}

static void
lane_main (Board *board)
{
  Lane self = { .board = board, .table = share (sizeof (Table)) };

  prctl (PR_SET_PDEATHSIG, SIGKILL);
  if (self.table == NULL)
    _exit (1);
  start_clients (&self);
  while (!board->stop)
    {
      guint64 i = __atomic_fetch_add (&board->next, 1, __ATOMIC_RELAXED);

      if (i >= board->histories)
        break;
      if (!run_history (&self, board->seed + i))
        _exit (1);
    }
  _exit (0); /* the clients go with it */
}

pid_t
lane_start (Board *board)
{
  pid_t pid = fork ();

  if (pid == 0)
    lane_main (board);
  return pid;
}
