#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "expiry.h"

#define MEMORY_PER_ENTRY 160 /* beside the name */

/* Takes out the earliest entry and says which it was, "bucket:name@deadline", or NULL. */
static const char *
pop (TtlExpiry *expiry, gint64 now_ns)
{
  static char text[512];
  g_autofree char *name = NULL;
  guint64 bucket;
  TtlDeadline deadline;

  if (!ttl_expiry_pop (expiry, now_ns, &bucket, &name, &deadline))
    return NULL;
  g_snprintf (text, sizeof text, "%" G_GUINT64_FORMAT ":%s@%" G_GINT64_FORMAT, bucket, name,
              deadline);
  return text;
}

Test (expiry, has_no_next_deadline_when_empty)
{
  g_autoptr (TtlExpiry) expiry = ttl_expiry_new ();

  cr_assert_eq (ttl_expiry_next (expiry), TTL_DEADLINE_NEVER);
  cr_assert_eq (ttl_expiry_count (expiry), 0);
}

Test (expiry, gives_nothing_when_empty)
{
  g_autoptr (TtlExpiry) expiry = ttl_expiry_new ();

  cr_assert_null (pop (expiry, G_MAXINT64));
}

Test (expiry, gives_nothing_before_the_deadline)
{
  g_autoptr (TtlExpiry) expiry = ttl_expiry_new ();

  ttl_expiry_set (expiry, 1, "k", 1000);
  cr_assert_null (pop (expiry, 999));
  cr_assert_eq (ttl_expiry_count (expiry), 1);
}

Test (expiry, gives_an_entry_at_its_deadline)
{
  g_autoptr (TtlExpiry) expiry = ttl_expiry_new ();

  ttl_expiry_set (expiry, 1, "k", 1000);
  cr_assert_str_eq (pop (expiry, 1000), "1:k@1000");
}

Test (expiry, gives_an_entry_once)
{
  g_autoptr (TtlExpiry) expiry = ttl_expiry_new ();

  ttl_expiry_set (expiry, 1, "k", 1000);
  cr_assert_not_null (pop (expiry, 1000));
  cr_assert_null (pop (expiry, 1000));
  cr_assert_eq (ttl_expiry_count (expiry), 0);
}

Test (expiry, gives_the_earliest_first)
{
  g_autoptr (TtlExpiry) expiry = ttl_expiry_new ();

  ttl_expiry_set (expiry, 1, "b", 2);
  ttl_expiry_set (expiry, 1, "c", 3);
  ttl_expiry_set (expiry, 1, "a", 1);
  cr_assert_str_eq (pop (expiry, 3), "1:a@1");
  cr_assert_str_eq (pop (expiry, 3), "1:b@2");
  cr_assert_str_eq (pop (expiry, 3), "1:c@3");
}

Test (expiry, knows_deadlines_before_the_epoch)
{
  g_autoptr (TtlExpiry) expiry = ttl_expiry_new ();

  ttl_expiry_set (expiry, 1, "b", 0);
  ttl_expiry_set (expiry, 1, "a", G_MININT64);
  cr_assert_str_eq (pop (expiry, G_MININT64), "1:a@-9223372036854775808");
  cr_assert_null (pop (expiry, -1));
}

Test (expiry, tells_the_same_name_in_two_buckets_apart)
{
  g_autoptr (TtlExpiry) expiry = ttl_expiry_new ();

  ttl_expiry_set (expiry, 1, "k", 10);
  ttl_expiry_set (expiry, G_MAXUINT64, "k", 20);
  ttl_expiry_remove (expiry, 1, "k");
  cr_assert_str_eq (pop (expiry, 20), "18446744073709551615:k@20");
}

Test (expiry, tells_names_apart_that_begin_alike)
{
  g_autoptr (TtlExpiry) expiry = ttl_expiry_new ();

  ttl_expiry_set (expiry, 1, "12345678", 10);
  ttl_expiry_set (expiry, 1, "1234567", 20);
  ttl_expiry_set (expiry, 1, "123456789", 30);
  cr_assert_eq (ttl_expiry_count (expiry), 3);
}

Test (expiry, keeps_its_own_copy_of_the_name)
{
  g_autoptr (TtlExpiry) expiry = ttl_expiry_new ();
  char name[] = "k";

  ttl_expiry_set (expiry, 1, name, 10);
  name[0] = 'x';
  cr_assert_str_eq (pop (expiry, 10), "1:k@10");
}

Test (expiry, holds_names_of_any_length)
{
  g_autoptr (TtlExpiry) expiry = ttl_expiry_new ();
  char name[256] = "";

  for (int len = 1; len <= 255; len++)
    {
      name[len - 1] = 'x';
      ttl_expiry_set (expiry, 1, name, len);
    }
  cr_assert_eq (ttl_expiry_count (expiry), 255);
  for (int len = 1; len <= 255; len++)
    {
      g_autofree char *expected = g_strdup_printf ("1:%.*s@%d", len, name, len);

      cr_assert_str_eq (pop (expiry, 255), expected);
    }
}

Test (expiry, moves_an_entry_to_a_later_deadline)
{
  g_autoptr (TtlExpiry) expiry = ttl_expiry_new ();

  ttl_expiry_set (expiry, 1, "a", 1);
  ttl_expiry_set (expiry, 1, "b", 2);
  ttl_expiry_set (expiry, 1, "a", 3);
  cr_assert_str_eq (pop (expiry, 3), "1:b@2");
  cr_assert_str_eq (pop (expiry, 3), "1:a@3");
}

Test (expiry, moves_an_entry_to_an_earlier_deadline)
{
  g_autoptr (TtlExpiry) expiry = ttl_expiry_new ();

  ttl_expiry_set (expiry, 1, "a", 1);
  ttl_expiry_set (expiry, 1, "b", 2);
  ttl_expiry_set (expiry, 1, "b", 0);
  cr_assert_str_eq (pop (expiry, 3), "1:b@0");
  cr_assert_eq (ttl_expiry_count (expiry), 1);
}

Test (expiry, does_not_hold_what_never_ends)
{
  g_autoptr (TtlExpiry) expiry = ttl_expiry_new ();

  cr_assert_not (ttl_expiry_set (expiry, 1, "k", TTL_DEADLINE_NEVER));
  cr_assert_eq (ttl_expiry_count (expiry), 0);
}

Test (expiry, lets_go_of_an_entry_that_becomes_infinite)
{
  g_autoptr (TtlExpiry) expiry = ttl_expiry_new ();

  ttl_expiry_set (expiry, 1, "k", 10);
  cr_assert_not (ttl_expiry_set (expiry, 1, "k", TTL_DEADLINE_NEVER));
  cr_assert_eq (ttl_expiry_count (expiry), 0);
  cr_assert_eq (ttl_expiry_next (expiry), TTL_DEADLINE_NEVER);
}

Test (expiry, forgets_a_removed_entry)
{
  g_autoptr (TtlExpiry) expiry = ttl_expiry_new ();

  ttl_expiry_set (expiry, 1, "a", 1);
  ttl_expiry_set (expiry, 1, "b", 2);
  ttl_expiry_remove (expiry, 1, "a");
  cr_assert_eq (ttl_expiry_next (expiry), 2);
}

Test (expiry, does_not_mind_removing_what_it_never_had)
{
  g_autoptr (TtlExpiry) expiry = ttl_expiry_new ();

  ttl_expiry_set (expiry, 1, "a", 1);
  ttl_expiry_remove (expiry, 1, "b");
  ttl_expiry_remove (expiry, 2, "a");
  cr_assert_eq (ttl_expiry_count (expiry), 1);
}

Test (expiry, asks_for_a_wake_when_the_first_entry_arrives)
{
  g_autoptr (TtlExpiry) expiry = ttl_expiry_new ();

  cr_assert (ttl_expiry_set (expiry, 1, "a", G_MAXINT64 - 1));
}

Test (expiry, asks_for_a_wake_when_the_earliest_deadline_comes_closer)
{
  g_autoptr (TtlExpiry) expiry = ttl_expiry_new ();

  ttl_expiry_set (expiry, 1, "a", 10);
  cr_assert (ttl_expiry_set (expiry, 1, "b", 9));
  cr_assert (ttl_expiry_set (expiry, 1, "a", 8));
  cr_assert (ttl_expiry_set (expiry, 1, "a", 7));
}

Test (expiry, asks_for_no_wake_when_the_earliest_deadline_stays)
{
  g_autoptr (TtlExpiry) expiry = ttl_expiry_new ();

  ttl_expiry_set (expiry, 1, "a", 10);
  cr_assert_not (ttl_expiry_set (expiry, 1, "b", 10));
  cr_assert_not (ttl_expiry_set (expiry, 1, "a", 10));
}

Test (expiry, asks_for_no_wake_when_the_earliest_deadline_moves_away)
{
  g_autoptr (TtlExpiry) expiry = ttl_expiry_new ();

  ttl_expiry_set (expiry, 1, "a", 10);
  cr_assert_not (ttl_expiry_set (expiry, 1, "a", 11));
}

/* --- a million entries --- */

static void
set_numbered (TtlExpiry *expiry, guint number)
{
  char name[24];

  g_snprintf (name, sizeof name, "%020u", number);
  /* Neither rising nor falling: the heap has to work. */
  ttl_expiry_set (expiry, 1, name, (gint64)(number * 2654435761u));
}

static void
assert_within_bound (const TtlExpiry *expiry)
{
  gsize bound = ttl_expiry_count (expiry) * (MEMORY_PER_ENTRY + 20);

  cr_assert_leq (ttl_expiry_memory (expiry), bound, "%zu bytes for %zu entries",
                 ttl_expiry_memory (expiry), (gsize)ttl_expiry_count (expiry));
}

Test (expiry, holds_a_million_entries_within_the_memory_bound, .timeout = 60)
{
  g_autoptr (TtlExpiry) expiry = ttl_expiry_new ();

  for (guint i = 1; i <= 1000000; i++)
    {
      set_numbered (expiry, i);
      if (i % 10000 == 0)
        assert_within_bound (expiry);
    }
  cr_assert_eq (ttl_expiry_count (expiry), 1000000);
}

Test (expiry, stays_within_the_memory_bound_while_a_million_entries_go, .timeout = 60)
{
  g_autoptr (TtlExpiry) expiry = ttl_expiry_new ();

  for (guint i = 1; i <= 1000000; i++)
    set_numbered (expiry, i);
  for (guint i = 1000000; i > 10000; i--)
    {
      if (i % 10000 == 0)
        assert_within_bound (expiry);
      if (pop (expiry, G_MAXINT64) == NULL)
        cr_assert_fail ("nothing to give with %u left", i);
    }
}

Test (expiry, gives_back_its_memory_when_it_is_empty_again)
{
  g_autoptr (TtlExpiry) expiry = ttl_expiry_new ();
  gsize empty_bytes = ttl_expiry_memory (expiry);

  for (guint i = 0; i < 100000; i++)
    set_numbered (expiry, i);
  while (pop (expiry, G_MAXINT64) != NULL)
    ;
  cr_assert_leq (ttl_expiry_memory (expiry), 2 * empty_bytes);
}

/* --- against a naive list --- */

#define N_KEYS 2000
#define N_BUCKETS 5
#define N_OPS 100000

/* When key number i, which is name i / N_BUCKETS in bucket i % N_BUCKETS, ends. */
typedef struct
{
  TtlDeadline deadline[N_KEYS];
  guint count;
  GRand *rand; /* borrowed */
  guint32 seed;
  guint op;
} Model;

#define check(model, what) \
  do \
    { \
      if (!(what)) \
        cr_assert_fail ("TTLFS_TEST_SEED=%u, operation %u: not %s", (model)->seed, (model)->op, \
                        #what); \
    } \
  while (0)

/* A new seed each time, so that every run looks at new cases; a failure names the one to repeat. */
static guint32
get_seed (void)
{
  const char *text = g_getenv ("TTLFS_TEST_SEED");

  return text != NULL ? (guint32)strtoul (text, NULL, 10) : g_random_int ();
}

static TtlDeadline
model_next (const Model *model)
{
  TtlDeadline next = TTL_DEADLINE_NEVER;

  for (guint i = 0; i < N_KEYS; i++)
    next = MIN (next, model->deadline[i]);
  return next;
}

static void
model_set (Model *model, guint key, TtlDeadline deadline)
{
  model->count -= model->deadline[key] != TTL_DEADLINE_NEVER;
  model->deadline[key] = deadline;
  model->count += deadline != TTL_DEADLINE_NEVER;
}

static void
set_in_both (Model *model, TtlExpiry *expiry, guint key, TtlDeadline deadline)
{
  TtlDeadline before = model_next (model);
  char name[16];
  gboolean wake;

  g_snprintf (name, sizeof name, "k%u", key / N_BUCKETS);
  model_set (model, key, deadline);
  if (deadline == TTL_DEADLINE_NEVER && g_rand_boolean (model->rand))
    ttl_expiry_remove (expiry, key % N_BUCKETS, name);
  else
    {
      wake = ttl_expiry_set (expiry, key % N_BUCKETS, name, deadline);
      check (model, wake == (model_next (model) < before));
    }
}

static void
pop_from_both (Model *model, TtlExpiry *expiry, gint64 now_ns)
{
  TtlDeadline next = model_next (model);
  g_autofree char *name = NULL;
  guint64 bucket;
  TtlDeadline deadline;
  guint key;

  if (!ttl_expiry_pop (expiry, now_ns, &bucket, &name, &deadline))
    {
      check (model, next == TTL_DEADLINE_NEVER || now_ns < next);
      return;
    }
  check (model, next <= now_ns);
  check (model, deadline == next);

  /* Of several that end together any one will do, so the model follows. */
  key = (guint)strtoul (name + 1, NULL, 10) * N_BUCKETS + (guint)bucket;
  check (model, key < N_KEYS && model->deadline[key] == deadline);
  model_set (model, key, TTL_DEADLINE_NEVER);
}

/* Tides of 10,000 operations, so that the index grows and shrinks through several sizes; few
 * distinct deadlines, so that many are equal. */
static void
step (Model *model, TtlExpiry *expiry)
{
  gboolean ebb = model->op / 10000 % 2 == 1;
  guint key = (guint)g_rand_int_range (model->rand, 0, N_KEYS);
  gint64 time_ns = g_rand_int_range (model->rand, -500, 500);
  int dice = g_rand_int_range (model->rand, 0, 10);

  if (dice < (ebb ? 2 : 7))
    set_in_both (model, expiry, key, time_ns);
  else if (dice < 8)
    set_in_both (model, expiry, key, TTL_DEADLINE_NEVER);
  else
    pop_from_both (model, expiry, ebb ? 500 : time_ns);
}

Test (expiry, does_what_a_naive_list_does, .timeout = 60)
{
  g_autoptr (TtlExpiry) expiry = ttl_expiry_new ();
  guint32 seed = get_seed ();
  g_autoptr (GRand) rand = g_rand_new_with_seed (seed);
  Model model = { .rand = rand, .seed = seed };

  for (guint i = 0; i < N_KEYS; i++)
    model.deadline[i] = TTL_DEADLINE_NEVER;

  for (model.op = 0; model.op < N_OPS; model.op++)
    {
      step (&model, expiry);
      check (&model, ttl_expiry_count (expiry) == model.count);
      check (&model, ttl_expiry_next (expiry) == model_next (&model));
    }
  while (model.count > 0)
    pop_from_both (&model, expiry, G_MAXINT64 - 1);
  check (&model, ttl_expiry_count (expiry) == 0);
}
