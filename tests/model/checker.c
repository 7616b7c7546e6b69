#include "checker.h"

#include <string.h>

#define CONFIGS_MAX 3000000
#define TAKEN_NS \
  (25 * G_GINT64_CONSTANT (1000000)) /* so long a reaper has a file that it took off its name */

/* ---- values: rows of tokens, interned, so that two are equal when their numbers are ---- */

typedef struct
{
  guint32 rest; /* the value without its last token */
  int token;
  gint64 size;
} Value;

#define NOTHING 0 /* the empty row, and also what nobody can have read */

static guint32
value_with (GArray *values, guint32 rest, int token)
{
  Value value = { .rest = rest, .token = token };

  for (guint32 i = 1; i < values->len; i++)
    {
      const Value *known = &g_array_index (values, Value, i);
      if (known->rest == rest && known->token == token)
        return i;
    }
  value.size = g_array_index (values, Value, rest).size + (gint64)token_size (token);
  g_array_append_val (values, value);
  return values->len - 1;
}

static guint32
value_read (GArray *values, const Op *op)
{
  guint32 value = NOTHING;

  for (int i = 0; i < op->n_tokens; i++)
    value = value_with (values, value, op->tokens[i]);
  return value;
}

/* ---- the store that does one thing at a time ----
 *
 *   absent --put--> live --deadline--> dead --reaped--> absent
 *                    ^                   |
 *                    `----raw touch------'        a raw peer may find the file until it is reaped
 *
 * A claim stands beside absent and dead: the name is taken, and nothing is seen. */

typedef enum
{
  ABSENT,
  LIVE,
  DEAD,
} Life;

typedef struct
{
  gint64 now;        /* nothing later takes effect before this */
  gint64 mtime_from; /* LIVE: bounds of the value's mtime */
  gint64 mtime_to;
  gint64 claim_lasts; /* until then at least; 0: no claim */
  guint32 value;
  guint32 life;
} State;

#define STATES_MAX 8 /* that one operation can lead to */

typedef struct
{
  State states[STATES_MAX];
  guint n;
} Outcomes;

typedef struct
{
  const Op *ops;
  guint n_ops;
  gint64 ttl;
  guint32 *read;                   /* by op: the value that it read */
  guint64 glimpses;                /* a set of ops */
  gint64 since[HISTORY_OPS_MAX];   /* by op: it does not take effect before this, ... */
  guint64 behind[HISTORY_OPS_MAX]; /* ... and only after these: a set of ops */
  gint64 until[HISTORY_OPS_MAX];   /* nor after this */
  GArray *values;
  GHashTable *tried; /* set of Config */
  guint8 order[HISTORY_OPS_MAX];
  guint8 best[HISTORY_OPS_MAX];
  guint best_len;
} Search;

static gint64
deadline (const Search *self, gint64 mtime)
{
  return self->ttl == HISTORY_INF ? HISTORY_INF : mtime + self->ttl;
}

static void
come_out (Outcomes *out, const State *state)
{
  if (state->now != HISTORY_INF)
    out->states[out->n++] = *state;
}

/* Seen alive now. FALSE when its lease has surely ended. */
static gboolean
see_alive (const Search *self, State *state)
{
  if (state->life != LIVE)
    return FALSE;
  if (self->ttl != HISTORY_INF)
    state->mtime_from = MAX (state->mtime_from, state->now - self->ttl + 1);
  return state->mtime_from <= state->mtime_to;
}

/* The deadline passes, as early as it can. FALSE when there is none. */
static gboolean
expire (const Search *self, State *state)
{
  if (state->life != LIVE || self->ttl == HISTORY_INF)
    return FALSE;
  state->now = MAX (state->now, deadline (self, state->mtime_from));
  state->life = DEAD;
  return TRUE;
}

static State
renewed (const Op *op, State state)
{
  state.life = LIVE;
  state.mtime_from = op->mtime_from_ns;
  state.mtime_to = op->mtime_to_ns;
  return state;
}

static State
written (const Op *op, State state, guint32 value)
{
  state.value = value;
  state.claim_lasts = 0;
  return renewed (op, state);
}

static State
emptied (State state)
{
  return (State){ .now = state.now, .claim_lasts = state.claim_lasts };
}

/* A claim ends with its lease when nobody renews it in time; by then it may be gone. */
static gboolean
may_lack_claim (State *state)
{
  if (state->claim_lasts != 0)
    state->now = MAX (state->now, state->claim_lasts);
  state->claim_lasts = 0;
  return state->now != HISTORY_INF;
}

static void
put (Search *self, const Op *op, State state, Outcomes *out)
{
  state = written (op, state, value_with (self->values, NOTHING, op->token));
  come_out (out, &state);
}

static void
add_append (Search *self, const Op *op, State state, guint32 rest, Outcomes *out)
{
  state = written (op, state, value_with (self->values, rest, op->token));
  come_out (out, &state);
}

/* It finds out what there is, writes that and its own, and gives it the name: where the lease ends in between, others see
 * nothing for a moment, and then the whole. */
static void
append (Search *self, const Op *op, State state, Outcomes *out)
{
  if (state.life != LIVE)
    add_append (self, op, state, NOTHING, out);
  else if (see_alive (self, &state))
    add_append (self, op, state, state.value, out);
  if (state.life == DEAD && state.mtime_to != 0 && state.mtime_to >= op->invoked_ns - self->ttl)
    add_append (self, op, state, state.value, out);
}

/* As with an append, the lease may end between the look and the rename. */
static void
replace_version (Search *self, const Op *op, State state, Outcomes *out)
{
  const gboolean is_it = state.value == self->read[op - self->ops];
  const gboolean just_ended
      = state.life == DEAD && state.mtime_to != 0 && state.mtime_to >= op->invoked_ns - self->ttl;

  if (op->result == OP_STALE)
    {
      if (state.life != LIVE || !is_it)
        come_out (out, &state);
    }
  else if (is_it && (just_ended || see_alive (self, &state)))
    add_append (self, op, state, NOTHING, out);
}

/* The name was free: no value, no claim. */
static void
take_name (Search *self, const Op *op, State state, Outcomes *out)
{
  if (state.life == LIVE || !may_lack_claim (&state))
    return;
  if (op->verb == OP_CLAIM)
    {
      state = emptied (state);
      state.claim_lasts = deadline (self, op->invoked_ns);
    }
  else
    state = written (op, state, value_with (self->values, NOTHING, op->token));
  come_out (out, &state);
}

/* It was not. A file that has expired keeps a raw peer from making it. */
static void
name_taken (Search *self, const Op *op, State state, Outcomes *out)
{
  if (see_alive (self, &state) || state.claim_lasts != 0
      || (op->door == OP_RAW && state.life == DEAD))
    come_out (out, &state);
}

/* To look at a file once more before it goes for good, a reaper takes its name away for a moment. Mounts know of that;
 * a raw peer may find nothing then, where leases end at all, and it means nothing. */
static gboolean
means_nothing (const Search *self, const Op *op)
{
  return op->door == OP_RAW && op->result == OP_ABSENT && self->ttl != HISTORY_INF;
}

static void delete (Search *self, const Op *op, State state, Outcomes *out)
{
  gboolean alive;

  if (means_nothing (self, op))
    {
      come_out (out, &state);
      return;
    }
  alive = see_alive (self, &state);
  if (op->result == OP_DONE && op->door == OP_RAW)
    {
      if (alive || state.life == DEAD || state.claim_lasts != 0)
        {
          state.claim_lasts = 0;
          state = emptied (state);
          come_out (out, &state);
        }
    }
  else if (op->result == OP_DONE && alive)
    {
      state = emptied (state);
      come_out (out, &state);
    }
  else if (op->result == OP_ABSENT && state.life != LIVE && op->door != OP_RAW)
    come_out (out, &state); /* the file of one that has expired may still be there */
  else if (op->result == OP_ABSENT && state.life != LIVE && may_lack_claim (&state))
    {
      state = emptied (state);
      come_out (out, &state);
    }
}

/* What has expired a peer may find, and renew, before it is reaped; or when it has just been taken off its name, which it gets back
 * then, unless another one has it. */
static gboolean
can_be_renewed_beside (const Search *self, const Op *op, const State *state)
{
  if (state->now <= op->returned_ns)
    return state->life != ABSENT;
  return state->life == DEAD && deadline (self, state->mtime_from) <= op->returned_ns;
}

static void
touch (Search *self, const Op *op, State state, Outcomes *out)
{
  if (op->result == OP_ABSENT)
    {
      if (state.life != LIVE || means_nothing (self, op))
        come_out (out, &state);
      return;
    }
  if (op->door == OP_RAW ? can_be_renewed_beside (self, op, &state) : see_alive (self, &state))
    {
      State touched = renewed (op, state);
      come_out (out, &touched);
    }
}

static void
look (Search *self, const Op *op, State state, Outcomes *out)
{
  guint i = (guint)(op - self->ops);

  if (op->result == OP_ABSENT)
    {
      if (state.life != LIVE || means_nothing (self, op))
        come_out (out, &state);
      return;
    }
  if (state.life != LIVE || (op->verb == OP_GET && state.value != self->read[i]))
    return;
  if (op->verb == OP_STAT)
    {
      if (g_array_index (self->values, Value, state.value).size != op->size)
        return;
      state.mtime_from = MAX (state.mtime_from, op->mtime_from_ns);
      state.mtime_to = MIN (state.mtime_to, op->mtime_from_ns);
    }
  if (self->ttl != HISTORY_INF && op->door != OP_RAW) /* however old it is */
    state.mtime_from = MAX (state.mtime_from, op->invoked_ns - self->ttl + 1);
  if (see_alive (self, &state))
    come_out (out, &state);
}

static gboolean
is_beside (const Op *a, const Op *b, gint64 lag_ns)
{
  return a->invoked_ns <= b->returned_ns + lag_ns && b->invoked_ns <= a->returned_ns + lag_ns;
}

static gboolean
is_raw_put_beside (const Search *self, const Op *op)
{
  for (guint i = 0; i < self->n_ops; i++)
    if (self->ops[i].door == OP_RAW && !op_is_look (&self->ops[i])
        && (self->ops[i].verb == OP_PUT || self->ops[i].verb == OP_CREATE)
        && is_beside (&self->ops[i], op, checker_lag_ns))
      return TRUE;
  return FALSE;
}

/* What a mount does only to the version that is expected, it finds out to have done to another when its own is in place: a raw
 * peer was quicker. It puts that one back, and is done, or, to append, begins anew; but for a moment the loser was to be seen. */
static gboolean
can_have_lost (const Op *op)
{
  return (op->verb == OP_REPLACE && op->result == OP_STALE) || op->verb == OP_APPEND;
}

/* An append shows behind whatever it found at first. */
static gboolean
shows (const Op *op, const Op *loser)
{
  const gint64 size = (gint64)token_size (loser->token);

  if (op->verb == OP_TOUCH) /* of that, which then was for nothing */
    return op->door == OP_RAW && op->result == OP_DONE;
  if (op->verb == OP_GET)
    return op->n_tokens > 0 && op->tokens[op->n_tokens - 1] == loser->token
           && (op->n_tokens == 1 || loser->verb == OP_APPEND);
  return op->verb == OP_STAT && (loser->verb == OP_APPEND ? op->size >= size : op->size == size);
}

static gboolean
is_glimpse (const Search *self, const Op *op)
{
  for (guint i = 0; i < self->n_ops; i++)
    {
      const Op *loser = &self->ops[i];

      if (can_have_lost (loser) && shows (op, loser) && is_beside (loser, op, checker_lag_ns)
          && is_raw_put_beside (self, loser))
        return TRUE;
    }
  return FALSE;
}

/* A renewal through a mount that finds out when it is done that the lease had ended is taken back, and comes to nothing; but for a
 * moment the key was alive again. */
static const Op *
find_renewal_undone_beside (const Search *self, const Op *op)
{
  for (guint i = 0; i < self->n_ops; i++)
    if (self->ops[i].verb == OP_TOUCH && self->ops[i].result == OP_ABSENT
        && self->ops[i].door != OP_RAW && is_beside (&self->ops[i], op, 0))
      return &self->ops[i];
  return NULL;
}

/* What @op can have done to @state. */
static void
apply (Search *self, const Op *op, State state, Outcomes *out)
{
  switch (op->verb)
    {
    case OP_PUT:
    case OP_PUBLISH:
      put (self, op, state, out);
      return;
    case OP_REPLACE:
      replace_version (self, op, state, out);
      return;
    case OP_APPEND:
      append (self, op, state, out);
      return;
    case OP_CLAIM:
    case OP_CREATE:
      if (op->result == OP_EXISTS)
        name_taken (self, op, state, out);
      else
        take_name (self, op, state, out);
      return;
    case OP_DELETE:
      delete (self, op, state, out);
      return;
    case OP_TOUCH:
      touch (self, op, state, out);
      return;
    case OP_GET:
    case OP_STAT:
    case OP_LIST:
      look (self, op, state, out);
      return;
    }
}

/* The same, with @dead alive again for a moment, if it can have been. */
static void
apply_to_revived (Search *self, const Op *op, State dead, Outcomes *out)
{
  const Op *renewal = find_renewal_undone_beside (self, op);
  guint n = out->n;
  State revived = dead;

  if (renewal == NULL)
    return;
  revived.life = LIVE;
  revived.mtime_from = renewal->invoked_ns;
  revived.mtime_to = renewal->returned_ns;
  apply (self, op, revived, out);
  if (op_is_look (op)) /* which it was for that moment only */
    for (; n < out->n; n++)
      out->states[n] = dead;
}

/* The same, with the deadline passing before it or not. */
static void
apply_any (Search *self, const Op *op, const State *state, Outcomes *out)
{
  State then = *state;
  Op done = *op;
  const Op *asked = op;

  out->n = 0;
  then.now = MAX (then.now, self->since[op - self->ops]);
  if (op->result == OP_UNSURE || self->glimpses >> (op - self->ops) & 1)
    {
      State untouched = *state;

      come_out (out, &untouched);
      if (op_is_look (op))
        return;
      done.result = OP_DONE;
      asked = &done;
    }
  apply (self, asked, then, out);
  if (expire (self, &then))
    apply (self, asked, then, out);
  if (then.life == DEAD)
    apply_to_revived (self, asked, then, out);
}

/* ---- the search ---- */

typedef struct
{
  guint64 done; /* set of ops */
  State state;
} Config;

static guint
config_hash (gconstpointer data)
{
  const guint64 *words = data;
  guint64 hash = 0;

  for (gsize i = 0; i < sizeof (Config) / sizeof *words; i++)
    hash = (hash ^ words[i]) * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);
  return (guint)(hash >> 32);
}

static gboolean
config_equal (gconstpointer a, gconstpointer b)
{
  return memcmp (a, b, sizeof (Config)) == 0;
}

G_STATIC_ASSERT (sizeof (State) == 4 * sizeof (gint64) + 2 * sizeof (guint32)); /* no padding */

static gboolean
is_new (Search *self, guint64 done, const State *state)
{
  Config *config = g_new (Config, 1);

  *config = (Config){ .done = done, .state = *state };
  return g_hash_table_add (self->tried, config);
}

/* The earliest return of what is not @done: nothing else takes effect after it. */
static gint64
limit_of (const Search *self, guint64 done)
{
  gint64 limit = HISTORY_INF;

  for (guint i = 0; i < self->n_ops; i++)
    if (!(done >> i & 1))
      limit = MIN (limit, self->until[i]);
  return limit;
}

static gboolean
too_hard (const Search *self)
{
  return g_hash_table_size (self->tried) >= CONFIGS_MAX;
}

static gboolean
search (Search *self, guint64 done, guint depth, const State *state)
{
  gint64 limit = limit_of (self, done);

  if (depth > self->best_len)
    {
      self->best_len = depth;
      memcpy (self->best, self->order, depth);
    }
  if (depth == self->n_ops)
    return TRUE;
  for (guint i = 0; i < self->n_ops; i++)
    {
      const Op *op = &self->ops[i];
      guint64 with = done | G_GUINT64_CONSTANT (1) << i;
      Outcomes out;

      if (done >> i & 1 || self->since[i] > limit || self->behind[i] & ~done)
        continue;
      apply_any (self, op, state, &out);
      self->order[depth] = (guint8)i;
      for (guint j = 0; j < out.n; j++)
        if (out.states[j].now <= limit && !too_hard (self) && is_new (self, with, &out.states[j])
            && search (self, with, depth + 1, &out.states[j]))
          return TRUE;
    }
  return FALSE;
}

gint64 checker_lag_ns;

/* Whether it may be the kernel that has answered. */
static gboolean
may_lag (const Op *op)
{
  return op->door != OP_RAW
         && (op_is_look (op) || op->result == OP_ABSENT || op->result == OP_STALE);
}

static void
find_bounds (Search *self, guint i)
{
  const Op *op = &self->ops[i];

  self->since[i] = op->invoked_ns;
  self->until[i] = op->returned_ns;
  self->behind[i] = 0;
  if (op->verb == OP_TOUCH && op->door == OP_RAW && op->returned_ns != HISTORY_INF)
    self->until[i] += TAKEN_NS;
  if (checker_lag_ns == 0 || !may_lag (op))
    return;
  self->since[i] -= checker_lag_ns;
  for (guint j = 0; j < self->n_ops; j++)
    if (self->ops[j].place == op->place && self->ops[j].returned_ns <= op->invoked_ns
        && !may_lag (&self->ops[j]))
      self->behind[i] |= G_GUINT64_CONSTANT (1) << j;
}

CheckVerdict
checker_check (const Op *ops, guint n_ops, gint64 ttl_ns, GArray *order_out)
{
  Search self = { .ops = ops, .n_ops = n_ops, .ttl = ttl_ns };
  const State beginning = { 0 };
  const Value nothing = { 0 };
  CheckVerdict verdict;

  g_return_val_if_fail (n_ops <= HISTORY_OPS_MAX, CHECK_TOO_HARD);
  self.values = g_array_new (FALSE, FALSE, sizeof (Value));
  g_array_append_val (self.values, nothing);
  self.read = g_new0 (guint32, n_ops + 1);
  for (guint i = 0; i < n_ops; i++)
    {
      self.read[i] = value_read (self.values, &ops[i]);
      find_bounds (&self, i);
      self.glimpses |= (guint64)is_glimpse (&self, &ops[i]) << i;
    }
  self.tried = g_hash_table_new_full (config_hash, config_equal, g_free, NULL);

  verdict = search (&self, 0, 0, &beginning) ? CHECK_LINEARIZABLE
            : too_hard (&self)               ? CHECK_TOO_HARD
                                             : CHECK_WRONG;
  for (guint i = 0; order_out != NULL && i < self.best_len; i++)
    {
      guint index = self.best[i];
      g_array_append_val (order_out, index);
    }
  for (guint i = 0; i < n_ops; i++)
    if (ops[i].result == OP_WRONG)
      verdict = CHECK_WRONG;
  g_hash_table_unref (self.tried);
  g_array_unref (self.values);
  g_free (self.read);
  return verdict;
}

/* ---- what is wrong, in few words ---- */

static gint
by_return (gconstpointer a, gconstpointer b)
{
  const Op *x = a, *y = b;

  return x->returned_ns < y->returned_ns ? -1 : x->returned_ns > y->returned_ns;
}

static gint
by_invocation (gconstpointer a, gconstpointer b)
{
  const Op *x = a, *y = b;

  return x->invoked_ns < y->invoked_ns ? -1 : x->invoked_ns > y->invoked_ns;
}

static gboolean
is_wrong (const GArray *ops, gint64 ttl_ns)
{
  return checker_check ((const Op *)(gpointer)ops->data, ops->len, ttl_ns, NULL) == CHECK_WRONG;
}

/* The first @n to return, and what had begun by then. */
static GArray *
prefix (const GArray *ops, guint n)
{
  GArray *part = g_array_new (FALSE, FALSE, sizeof (Op));
  gint64 end = g_array_index (ops, Op, n - 1).returned_ns;

  for (guint i = 0; i < ops->len; i++)
    {
      Op op = g_array_index (ops, Op, i);

      if (i >= n)
        {
          if (op.invoked_ns > end || op_is_look (&op))
            continue;
          op.result = OP_UNSURE;
          op.returned_ns = HISTORY_INF;
        }
      g_array_append_val (part, op);
    }
  return part;
}

static GArray *
shortest_prefix (const GArray *ops, gint64 ttl_ns)
{
  for (guint n = 1; n < ops->len; n++)
    {
      g_autoptr (GArray) part = prefix (ops, n);
      if (is_wrong (part, ttl_ns))
        return g_steal_pointer (&part);
    }
  return prefix (ops, ops->len);
}

GArray *
checker_shrink (const Op *ops, guint n_ops, gint64 ttl_ns)
{
  g_autoptr (GArray) all = g_array_new (FALSE, FALSE, sizeof (Op));
  GArray *part;

  g_array_append_vals (all, ops, n_ops);
  g_array_sort (all, by_return);
  part = shortest_prefix (all, ttl_ns);
  for (guint i = part->len; i > 0; i--)
    {
      Op left_out = g_array_index (part, Op, i - 1);

      if (!op_is_look (&left_out))
        continue;
      g_array_remove_index (part, i - 1);
      if (!is_wrong (part, ttl_ns))
        g_array_insert_val (part, i - 1, left_out);
    }
  g_array_sort (part, by_invocation);
  return part;
}
