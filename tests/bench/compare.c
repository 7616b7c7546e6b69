#include "compare.h"

#include "samples.h"
#include "slice.h"

#include <stdio.h>

/* What is known of one operation on one subject. */
typedef struct
{
  Op op;
  Samples *samples;
  GArray *rounds_p50; /* gint64 */
  guint64 done[SLICE_CLIENTS];
  guint64 busy_ns[SLICE_CLIENTS];
  gboolean takes_part[SLICE_CLIENTS];
  gint64 max_ns;
} Cell;

/* What is run as one slice. */
typedef struct
{
  Subject *subject; /* borrowed */
  guint clients;
  Op ops[SLICE_CLIENTS];
  GPtrArray *cells; /* one for each operation in ops */
  char *error;
} Run;

static void
cell_free (gpointer data)
{
  Cell *cell = data;

  samples_free (cell->samples);
  g_array_unref (cell->rounds_p50);
  g_free (cell);
}

static void
run_free (gpointer data)
{
  Run *run = data;

  g_ptr_array_unref (run->cells);
  g_free (run->error);
  g_free (run);
}

static Cell *
ensure_cell (Run *run, Op op)
{
  Cell *cell;

  for (guint i = 0; i < run->cells->len; i++)
    {
      cell = run->cells->pdata[i];
      if (cell->op == op)
        return cell;
    }
  cell = g_new0 (Cell, 1);
  cell->op = op;
  cell->samples = samples_new ();
  cell->rounds_p50 = g_array_new (FALSE, FALSE, sizeof (gint64));
  g_ptr_array_add (run->cells, cell);
  return cell;
}

static Run *
run_new (Subject *subject, guint clients, const GArray *ops)
{
  Run *run = g_new0 (Run, 1);

  run->subject = subject;
  run->clients = clients;
  run->cells = g_ptr_array_new_with_free_func (cell_free);
  for (guint i = 0; i < clients; i++)
    {
      run->ops[i] = g_array_index (ops, Op, i % ops->len);
      ensure_cell (run, run->ops[i])->takes_part[i] = TRUE;
    }
  return run;
}

/* ---- running ---- */

static void
collect (Run *run, Cell *cell, const SliceClient *results)
{
  g_autoptr (Samples) round = samples_new ();
  gint64 p50;

  for (guint i = 0; i < run->clients; i++)
    if (cell->takes_part[i])
      {
        samples_add_all (round, results[i].samples, results[i].kept);
        samples_add_all (cell->samples, results[i].samples, results[i].kept);
        cell->done[i] += results[i].done;
        cell->busy_ns[i] += results[i].busy_ns;
        cell->max_ns = MAX (cell->max_ns, results[i].max_ns);
      }
  p50 = samples_quantile (round, 0.5);
  g_array_append_val (cell->rounds_p50, p50);
}

static void
run_once (Run *run, gint64 ns)
{
  SliceClient results[SLICE_CLIENTS];
  const char *error;

  if (run->error != NULL)
    return;
  error = slice_run (run->subject, run->ops, run->clients, ns, results);
  run->error = g_strdup (error);
  for (guint i = 0; error == NULL && i < run->cells->len; i++)
    collect (run, run->cells->pdata[i], results);
}

/* Each round begins with another subject, lest one always follow the same. */
static void
run_all (const ComparePlan *plan, GPtrArray *runs)
{
  const gint64 limit_ns = monotonic_ns () + plan->group_ns;

  for (guint round = 0; round < plan->rounds; round++)
    {
      for (guint i = 0; i < runs->len; i++)
        run_once (runs->pdata[(i + round) % runs->len], plan->slice_ns);
      if (monotonic_ns () > limit_ns)
        break;
    }
}

/* ---- telling ---- */

/* Done in the time that it took; what ready() took is not counted. */
static double
rate (const Cell *cell)
{
  double sum = 0;

  for (guint i = 0; i < SLICE_CLIENTS; i++)
    if (cell->busy_ns[i] > 0)
      sum += (double)cell->done[i] * 1e9 / (double)cell->busy_ns[i];
  return sum;
}

/* What the client that got least has done, as a share of what each would have done had all got the same. */
static double
slowest_share (const Cell *cell)
{
  guint64 sum = 0, least = G_MAXUINT64;
  guint n = 0;

  for (guint i = 0; i < SLICE_CLIENTS; i++)
    if (cell->takes_part[i])
      {
        sum += cell->done[i];
        least = MIN (least, cell->done[i]);
        n++;
      }
  return sum > 0 ? (double)least * n / (double)sum : 0;
}

static guint64
total (const Cell *cell)
{
  guint64 sum = 0;

  for (guint i = 0; i < SLICE_CLIENTS; i++)
    sum += cell->done[i];
  return sum;
}

static void
write_rounds (const Cell *cell, JsonBuilder *json)
{
  json_builder_set_member_name (json, "rounds_p50_us");
  json_builder_begin_array (json);
  for (guint i = 0; i < cell->rounds_p50->len; i++)
    json_builder_add_double_value (json, (double)g_array_index (cell->rounds_p50, gint64, i) / 1e3);
  json_builder_end_array (json);
}

static void
write_cell (const Run *run, const Cell *cell, gboolean mixed, JsonBuilder *json)
{
  json_builder_begin_object (json);
  write_string (json, "op", op_name (cell->op));
  write_string (json, "subject", run->subject->name);
  write_count (json, "clients", run->clients);
  json_builder_set_member_name (json, "mixed");
  json_builder_add_boolean_value (json, mixed);
  if (run->error != NULL)
    write_string (json, "error", run->error);
  else
    {
      write_count (json, "n", (gint64)total (cell));
      samples_write (cell->samples, json);
      write_number (json, "max_us", (double)cell->max_ns / 1e3);
      write_number (json, "ops_per_s", rate (cell));
      write_number (json, "slowest_share", slowest_share (cell));
      write_rounds (cell, json);
    }
  json_builder_end_object (json);
}

static void
write_runs (const GPtrArray *runs, gboolean mixed, JsonBuilder *json)
{
  for (guint i = 0; i < runs->len; i++)
    {
      const Run *run = runs->pdata[i];

      for (guint j = 0; j < run->cells->len; j++)
        write_cell (run, run->cells->pdata[j], mixed, json);
    }
}

/* ---- plans ---- */

static GArray *
parse_ops (const char *names)
{
  g_auto (GStrv) words = g_strsplit (names, ",", -1);
  GArray *ops = g_array_new (FALSE, FALSE, sizeof (Op));

  for (char **word = words; *word != NULL; word++)
    {
      Op op;

      if (!op_from_name (*word, &op))
        fail ("%s: there is no such operation", *word);
      g_array_append_val (ops, op);
    }
  return ops;
}

static gboolean
can_all (const Subject *subject, const GArray *ops)
{
  for (guint i = 0; i < ops->len; i++)
    if (!subject->class->can (subject, g_array_index (ops, Op, i)))
      return FALSE;
  return TRUE;
}

static void
add_runs (const ComparePlan *plan, const GArray *ops, guint clients, GPtrArray *runs)
{
  for (guint i = 0; i < plan->subjects->len; i++)
    if (can_all (plan->subjects->pdata[i], ops))
      g_ptr_array_add (runs, run_new (plan->subjects->pdata[i], clients, ops));
}

void
compare_group (const ComparePlan *plan, const char *names, guint clients, JsonBuilder *json)
{
  g_autoptr (GArray) ops = parse_ops (names);
  g_autoptr (GPtrArray) runs = g_ptr_array_new_with_free_func (run_free);

  for (guint i = 0; i < ops->len; i++)
    {
      g_autoptr (GArray) one = g_array_new (FALSE, FALSE, sizeof (Op));

      g_array_append_val (one, g_array_index (ops, Op, i));
      add_runs (plan, one, clients, runs);
    }
  run_all (plan, runs);
  write_runs (runs, FALSE, json);
}

void
compare_mixed (const ComparePlan *plan, const char *names, guint clients, JsonBuilder *json)
{
  g_autoptr (GArray) ops = parse_ops (names);
  g_autoptr (GPtrArray) runs = g_ptr_array_new_with_free_func (run_free);

  add_runs (plan, ops, clients, runs);
  run_all (plan, runs);
  write_runs (runs, TRUE, json);
}
