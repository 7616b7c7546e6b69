#include "plan.h"

#define MS G_GINT64_CONSTANT (1000000)

/* splitmix64: the same everywhere and forever, which GLib does not promise of its own. */
static guint64
draw (guint64 *state)
{
  guint64 z = *state += G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);

  z = (z ^ z >> 30) * G_GUINT64_CONSTANT (0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * G_GUINT64_CONSTANT (0x94d049bb133111eb);
  return z ^ z >> 31;
}

static guint
below (guint64 *state, guint limit)
{
  return (guint)(draw (state) >> 33) % limit;
}

/* What there is to do, and how often of a hundred; for whom has no mount and cannot, the nearest that he can. */
static const struct
{
  guint weight;
  OpVerb verb;
  How how;
  OpVerb raw_verb;
  How raw_how;
} menu[] = {
  { 10, OP_PUT, BY_CLOSE, OP_PUT, BY_RENAME },
  { 3, OP_PUT, BY_FSYNC, OP_PUT, BY_RENAME },
  { 4, OP_PUT, BY_RENAME, OP_PUT, BY_RENAME },
  { 9, OP_CLAIM, BY_CLOSE, OP_CREATE, BY_LINK },
  { 4, OP_CREATE, BY_LINK, OP_CREATE, BY_LINK },
  { 4, OP_CREATE, BY_NOREPLACE, OP_CREATE, BY_NOREPLACE },
  { 9, OP_APPEND, BY_CLOSE, OP_GET, BY_DESCRIPTOR },
  { 9, OP_DELETE, BY_NAME, OP_DELETE, BY_NAME },
  { 7, OP_TOUCH, BY_NAME, OP_TOUCH, BY_DESCRIPTOR },
  { 4, OP_TOUCH, BY_DESCRIPTOR, OP_TOUCH, BY_DESCRIPTOR },
  { 6, OP_REPLACE, BY_CLOSE, OP_GET, BY_DESCRIPTOR },
  { 11, OP_GET, BY_DESCRIPTOR, OP_GET, BY_DESCRIPTOR },
  { 10, OP_STAT, BY_NAME, OP_GET, BY_DESCRIPTOR },
  { 10, OP_LIST, BY_NAME, OP_GET, BY_DESCRIPTOR },
};

static gboolean
writes (OpVerb verb)
{
  return verb == OP_PUT || verb == OP_CLAIM || verb == OP_CREATE || verb == OP_APPEND
         || verb == OP_REPLACE;
}

static void
choose_verb (guint64 *state, const Plan *plan, Door door, Step *step)
{
  guint at = below (state, 100), i = 0;

  while (at >= menu[i].weight)
    at -= menu[i++].weight;
  step->verb = door == DOOR_RAW ? menu[i].raw_verb : menu[i].verb;
  step->how = door == DOOR_RAW ? menu[i].raw_how : menu[i].how;
  if (!plan->appends && step->verb == OP_APPEND)
    {
      step->verb = OP_PUT;
      step->how = BY_CLOSE;
    }
}

static void
choose_think (guint64 *state, gint64 ttl_ns, Step *step)
{
  guint at = below (state, 100);

  step->think = at < 30                            ? THINK_NOT
                : at < 50                          ? THINK_TOGETHER
                : at < 70 || ttl_ns == HISTORY_INF ? THINK_SHORTLY
                : at < 97                          ? THINK_TILL_END
                                                   : THINK_OF_NOTHING;
  switch (step->think)
    {
    case THINK_NOT:
    case THINK_TOGETHER:
      step->think_ns = 0;
      break;
    case THINK_SHORTLY:
      step->think_ns = below (state, 1000000);
      break;
    case THINK_TILL_END: /* half of them very close to it */
      step->think_ns = below (state, 2) == 0 ? (gint64)below (state, 400000) - 200000
                                             : (gint64)below (state, 6000000) - 3000000;
      break;
    case THINK_OF_NOTHING:
      step->think_ns = ttl_ns / 1000 * below (state, 900);
      break;
    }
}

void
plan_draw (Plan *plan, guint64 seed)
{
  static const gint64 ttls[]
      = { HISTORY_INF, HISTORY_INF, 50 * MS, 50 * MS, 80 * MS, 100 * MS, 200 * MS };
  guint64 state = seed;
  int token = 0;

  *plan = (Plan){ .seed = seed };
  plan->ttl_ns = ttls[below (&state, G_N_ELEMENTS (ttls))];
  plan->n_keys = 1 + (int)below (&state, HISTORY_KEYS_MAX);
  plan->appends = below (&state, 2) == 0;
  for (int i = 0; i < PLAN_CLIENTS; i++)
    plan->doors[i] = i == PLAN_CLIENTS - 1 && below (&state, 2) == 0 ? DOOR_RAW
                     : below (&state, 8) == 0                        ? DOOR_RAW
                                                                     : (Door)below (&state, 2);
  for (int i = 0; i < PLAN_CLIENTS; i++)
    for (int j = 0; j < PLAN_STEPS; j++)
      {
        Step *step = &plan->steps[i][j];

        choose_verb (&state, plan, plan->doors[i], step);
        choose_think (&state, plan->ttl_ns, step);
        step->key = (int)below (&state, (guint)plan->n_keys);
        step->token = writes (step->verb) ? ++token : 0;
        step->hold_ns = below (&state, 3) == 0 ? below (&state, 2000000) : 0;
      }
}
