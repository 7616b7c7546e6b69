/* The checker can tell histories of a good store from those of a bad one. Times are in microseconds here. */
#include "checker.h"

#include <criterion/criterion.h>
#include <string.h>

#define US G_GINT64_CONSTANT (1000)
#define TTL (1000 * US)
#define FOREVER HISTORY_INF

static GArray *ops;

static void
setup (void)
{
  ops = g_array_new (FALSE, FALSE, sizeof (Op));
}

static void
teardown (void)
{
  g_array_unref (ops);
}

TestSuite (checker, .init = setup, .fini = teardown);
TestSuite (tokens);
TestSuite (shrinking, .init = setup, .fini = teardown);

static Op *
add (OpVerb verb, gint64 from, gint64 to, OpResult result)
{
  Op op = { .verb = verb,
            .result = result,
            .client = (int)ops->len,
            .invoked_ns = from * US,
            .returned_ns = to * US };

  op.mtime_from_ns = op.invoked_ns;
  op.mtime_to_ns = op.returned_ns;
  g_array_append_val (ops, op);
  return &g_array_index (ops, Op, ops->len - 1);
}

static Op *
writes (OpVerb verb, gint64 from, gint64 to, int token)
{
  Op *op = add (verb, from, to, OP_DONE);

  op->token = token;
  return op;
}

static Op *
put (gint64 from, gint64 to, int token)
{
  return writes (OP_PUT, from, to, token);
}

/* Tokens, 0 last; none: absent. */
static void
get (gint64 from, gint64 to, int first, int second)
{
  Op *op = add (OP_GET, from, to, first != 0 ? OP_DONE : OP_ABSENT);

  op->tokens[0] = (gint16)first;
  op->tokens[1] = (gint16)second;
  op->n_tokens = (first != 0) + (second != 0);
}

static void
stat_key (gint64 from, gint64 to, gint64 size, gint64 mtime)
{
  Op *op = add (OP_STAT, from, to, OP_DONE);

  op->size = size;
  op->mtime_from_ns = op->mtime_to_ns = mtime * US;
}

static Op *
raw (Op *op)
{
  op->door = OP_RAW;
  return op;
}

static CheckVerdict
verdict (gint64 ttl_ns)
{
  return checker_check ((const Op *)(gpointer)ops->data, ops->len, ttl_ns, NULL);
}

#define assert_good(ttl) cr_assert_eq (verdict (ttl), CHECK_LINEARIZABLE)
#define assert_bad(ttl) cr_assert_eq (verdict (ttl), CHECK_WRONG)

/* @read: the token of the version that it may replace. */
static void
replace (gint64 from, gint64 to, int read, int token, OpResult result)
{
  Op *op = add (OP_REPLACE, from, to, result);

  op->token = token;
  op->tokens[0] = (gint16)read;
  op->n_tokens = 1;
}

/* ---- without leases ---- */

Test (checker, accepts_nothing_at_all) { assert_good (FOREVER); }

Test (checker, accepts_a_get_of_what_was_put)
{
  put (0, 10, 1);
  get (20, 30, 1, 0);
  assert_good (FOREVER);
}

Test (checker, refuses_a_put_that_was_lost)
{
  put (0, 10, 1);
  get (20, 30, 0, 0);
  assert_bad (FOREVER);
}

Test (checker, refuses_a_value_that_nobody_put)
{
  put (0, 10, 1);
  get (20, 30, 2, 0);
  assert_bad (FOREVER);
}

Test (checker, refuses_a_value_before_its_put)
{
  get (0, 10, 1, 0);
  put (20, 30, 1);
  assert_bad (FOREVER);
}

Test (checker, accepts_either_value_while_a_put_runs)
{
  put (0, 10, 1);
  put (20, 50, 2);
  get (25, 30, 1, 0);
  get (35, 40, 2, 0);
  assert_good (FOREVER);
}

Test (checker, refuses_an_old_value_behind_a_new_one)
{
  put (0, 10, 1);
  put (20, 50, 2);
  get (25, 30, 2, 0);
  get (35, 40, 1, 0);
  assert_bad (FOREVER);
}

Test (checker, refuses_two_readers_that_saw_two_puts_in_two_orders)
{
  put (0, 100, 1);
  put (0, 100, 2);
  get (10, 20, 1, 0);
  get (30, 40, 2, 0);
  get (50, 60, 1, 0);
  assert_bad (FOREVER);
}

Test (checker, refuses_a_delete_that_came_back)
{
  put (0, 10, 1);
  add (OP_DELETE, 20, 30, OP_DONE);
  get (40, 50, 1, 0);
  assert_bad (FOREVER);
}

Test (checker, refuses_two_deletes_of_one_put)
{
  put (0, 10, 1);
  add (OP_DELETE, 20, 50, OP_DONE);
  add (OP_DELETE, 20, 50, OP_DONE);
  assert_bad (FOREVER);
}

Test (checker, refuses_a_delete_of_nothing_and_an_absence_of_something)
{
  add (OP_DELETE, 0, 10, OP_DONE);
  assert_bad (FOREVER);
  ops->len = 0;
  put (0, 10, 1);
  add (OP_DELETE, 20, 30, OP_ABSENT);
  assert_bad (FOREVER);
}

Test (checker, refuses_a_listing_without_the_key_or_with_a_ghost)
{
  put (0, 10, 1);
  add (OP_LIST, 20, 30, OP_ABSENT);
  assert_bad (FOREVER);
  ops->len = 0;
  add (OP_LIST, 0, 10, OP_DONE);
  assert_bad (FOREVER);
}

Test (checker, refuses_what_is_wrong_in_itself)
{
  put (0, 10, 1);
  add (OP_GET, 20, 30, OP_WRONG);
  assert_bad (FOREVER);
}

/* ---- appends ---- */

Test (checker, accepts_appends_in_either_order)
{
  writes (OP_APPEND, 0, 50, 1);
  writes (OP_APPEND, 0, 50, 2);
  get (60, 70, 2, 1);
  assert_good (FOREVER);
}

Test (checker, refuses_a_lost_append)
{
  writes (OP_APPEND, 0, 50, 1);
  writes (OP_APPEND, 0, 50, 2);
  get (60, 70, 2, 0);
  assert_bad (FOREVER);
}

Test (checker, refuses_an_append_to_what_was_deleted)
{
  put (0, 10, 1);
  add (OP_DELETE, 20, 30, OP_DONE);
  writes (OP_APPEND, 40, 50, 2);
  get (60, 70, 1, 2);
  assert_bad (FOREVER);
}

/* ---- one winner ---- */

Test (checker, accepts_one_winner)
{
  writes (OP_CREATE, 0, 50, 1);
  writes (OP_CREATE, 0, 50, 2)->result = OP_EXISTS;
  get (60, 70, 1, 0);
  assert_good (FOREVER);
}

Test (checker, refuses_two_winners)
{
  writes (OP_CREATE, 0, 50, 1);
  writes (OP_CREATE, 0, 50, 2);
  assert_bad (FOREVER);
}

Test (checker, refuses_no_winner)
{
  writes (OP_CREATE, 0, 50, 1)->result = OP_EXISTS;
  writes (OP_CREATE, 0, 50, 2)->result = OP_EXISTS;
  assert_bad (FOREVER);
}

Test (checker, accepts_that_a_claim_is_exclusive_and_not_seen)
{
  add (OP_CLAIM, 0, 10, OP_DONE);
  add (OP_CLAIM, 20, 30, OP_EXISTS);
  writes (OP_CREATE, 20, 30, 7)->result = OP_EXISTS;
  get (20, 30, 0, 0);
  writes (OP_PUBLISH, 40, 50, 1);
  get (60, 70, 1, 0);
  assert_good (FOREVER);
}

Test (checker, refuses_two_claims)
{
  add (OP_CLAIM, 0, 10, OP_DONE);
  add (OP_CLAIM, 20, 30, OP_DONE);
  assert_bad (FOREVER);
}

Test (checker, refuses_a_claim_that_is_seen)
{
  add (OP_CLAIM, 0, 10, OP_DONE);
  get (20, 30, 1, 0);
  writes (OP_PUBLISH, 40, 50, 1);
  assert_bad (FOREVER);
}

Test (checker, refuses_a_create_beside_a_claim)
{
  add (OP_CLAIM, 0, 10, OP_DONE);
  writes (OP_CREATE, 20, 30, 2);
  writes (OP_PUBLISH, 40, 50, 1);
  assert_bad (FOREVER);
}

Test (checker, accepts_a_put_over_a_claim)
{
  add (OP_CLAIM, 0, 10, OP_DONE);
  put (20, 30, 2);
  get (32, 34, 2, 0);
  writes (OP_PUBLISH, 40, 50, 1);
  get (60, 70, 1, 0);
  assert_good (FOREVER);
}

/* ---- leases ---- */

Test (checker, accepts_an_end_at_the_deadline)
{
  put (0, 10, 1);
  get (900, 990, 1, 0);
  get (1010, 1020, 0, 0);
  assert_good (TTL);
}

Test (checker, refuses_a_value_that_has_surely_expired)
{
  put (0, 10, 1);
  get (1010, 1020, 1, 0);
  assert_bad (TTL);
}

Test (checker, refuses_an_absence_that_is_surely_early)
{
  put (0, 10, 1);
  get (500, 999, 0, 0);
  assert_bad (TTL);
}

Test (checker, accepts_both_where_the_mtime_is_not_known_well_enough)
{
  put (0, 10, 1);
  get (1009, 1015, 1, 0);
  assert_good (TTL);
  ops->len = 0;
  put (0, 10, 1);
  get (990, 1001, 0, 0);
  assert_good (TTL);
}

Test (checker, refuses_a_value_at_its_very_deadline)
{
  put (0, 10, 1);
  stat_key (20, 30, (gint64)token_size (1), 5);
  get (1004, 1020, 1, 0);
  assert_good (TTL);
  get (1005, 1021, 1, 0);
  assert_bad (TTL);
}

Test (checker, refuses_what_is_seen_after_an_end_was_seen)
{
  put (0, 100, 1);
  get (1010, 1020, 0, 0);
  get (1030, 1040, 1, 0);
  assert_bad (TTL);
}

Test (checker, refuses_an_absence_while_an_earlier_look_pins_the_lease)
{
  put (0, 100, 1);
  stat_key (110, 120, (gint64)token_size (1), 90);
  get (1000, 1080, 0, 0);
  assert_bad (TTL);
}

Test (checker, refuses_an_mtime_outside_its_put_and_another_size)
{
  put (0, 10, 1);
  stat_key (20, 30, (gint64)token_size (1), 15);
  assert_bad (TTL);
  ops->len = 0;
  put (0, 10, 1);
  stat_key (20, 30, (gint64)token_size (1) - 1, 5);
  assert_bad (TTL);
}

Test (checker, accepts_a_longer_life_after_a_touch)
{
  put (0, 10, 1);
  add (OP_TOUCH, 800, 810, OP_DONE);
  get (1500, 1510, 1, 0);
  get (1820, 1830, 0, 0);
  assert_good (TTL);
}

Test (checker, refuses_a_touch_that_changed_nothing)
{
  put (0, 10, 1);
  add (OP_TOUCH, 800, 810, OP_DONE);
  get (1500, 1510, 0, 0);
  assert_bad (TTL);
}

Test (checker, refuses_a_touch_that_raised_the_dead)
{
  put (0, 10, 1);
  get (1020, 1030, 0, 0);
  add (OP_TOUCH, 1015, 1050, OP_DONE);
  get (1060, 1070, 1, 0);
  assert_bad (TTL);
}

Test (checker, refuses_an_append_to_the_dead)
{
  put (0, 10, 1);
  writes (OP_APPEND, 1020, 1030, 2);
  get (1040, 1050, 1, 2);
  assert_bad (TTL);
}

Test (checker, accepts_an_append_in_the_place_of_the_dead)
{
  put (0, 10, 1);
  writes (OP_APPEND, 1020, 1030, 2);
  get (1040, 1050, 2, 0);
  assert_good (TTL);
}

Test (checker, refuses_that_the_dead_keep_their_name)
{
  put (0, 10, 1);
  writes (OP_CREATE, 1020, 1030, 2)->result = OP_EXISTS;
  assert_bad (TTL);
}

Test (checker, refuses_a_renewal_that_is_no_operation)
{
  put (0, 10, 1);
  get (1005, 1008, 1, 0);
  put (1500, 1510, 2);
  stat_key (1520, 1530, (gint64)token_size (2), 1525);
  assert_bad (TTL);
}

Test (checker, accepts_that_a_claim_ends_with_its_lease_and_refuses_that_it_does_so_before)
{
  add (OP_CLAIM, 0, 10, OP_DONE);
  add (OP_CLAIM, 1020, 1030, OP_DONE);
  assert_good (TTL);
  ops->len = 0;
  add (OP_CLAIM, 0, 10, OP_DONE);
  add (OP_CLAIM, 500, 510, OP_DONE);
  assert_bad (TTL);
}

Test (checker, accepts_that_a_renewal_was_seen_and_taken_back)
{
  put (0, 10, 1);
  get (1030, 1040, 1, 0);
  assert_bad (TTL);
  add (OP_TOUCH, 1005, 1035, OP_ABSENT);
  assert_good (TTL);
  add (OP_DELETE, 1025, 1034, OP_DONE);
  assert_good (TTL);
  get (1050, 1060, 1, 0);
  assert_bad (TTL);
}

/* ---- raw peers ---- */

Test (checker, accepts_that_a_raw_peer_finds_the_dead)
{
  put (0, 10, 1);
  raw (writes (OP_CREATE, 1020, 1030, 2));
  g_array_index (ops, Op, 1).result = OP_EXISTS;
  raw (add (OP_DELETE, 1040, 1050, OP_DONE));
  assert_good (TTL);
}

Test (checker, accepts_that_a_raw_touch_raises_the_dead)
{
  put (0, 10, 1);
  get (1020, 1030, 0, 0);
  raw (add (OP_TOUCH, 1040, 1050, OP_DONE));
  get (1060, 1070, 1, 0);
  assert_good (TTL);
}

/* Where it is 1 ms, a file may be off its name for 25 ms. */
Test (checker, accepts_that_a_raw_touch_raises_the_dead_a_moment_later)
{
  put (0, 10, 1);
  raw (add (OP_TOUCH, 1040, 1050, OP_DONE))->mtime_to_ns = 30000 * US;
  get (1060, 1070, 0, 0);
  get (1080, 26040, 1, 0);
  assert_good (TTL);
}

Test (checker, refuses_that_a_raw_touch_raises_the_dead_much_later)
{
  put (0, 10, 1);
  raw (add (OP_TOUCH, 1040, 1050, OP_DONE))->mtime_to_ns = 30000 * US;
  get (26060, 26070, 0, 0);
  get (26080, 26090, 1, 0);
  assert_bad (TTL);
}

Test (checker, refuses_that_a_raw_touch_in_time_is_to_no_effect_at_first)
{
  put (0, 10, 1);
  raw (add (OP_TOUCH, 500, 510, OP_DONE));
  get (1020, 1030, 0, 0);
  get (1040, 1050, 1, 0);
  assert_bad (TTL);
}

Test (checker, refuses_that_a_raw_touch_raises_what_another_has_replaced)
{
  put (0, 10, 1);
  raw (add (OP_TOUCH, 1040, 1050, OP_DONE))->mtime_to_ns = 30000 * US;
  put (1060, 1070, 2);
  get (2080, 2090, 0, 0);
  get (2100, 2110, 2, 0);
  assert_bad (TTL);
}

Test (checker, refuses_that_a_raw_delete_raises_the_dead)
{
  put (0, 10, 1);
  raw (add (OP_DELETE, 20, 30, OP_DONE));
  raw (add (OP_TOUCH, 40, 50, OP_DONE));
  assert_bad (TTL);
}

Test (checker, accepts_that_a_raw_peer_misses_a_key_but_not_that_it_takes_its_name)
{
  put (0, 10, 1);
  add (OP_GET, 20, 30, OP_ABSENT)->door = OP_RAW;
  get (40, 50, 1, 0);
  assert_good (TTL);
  assert_bad (FOREVER);
  writes (OP_CREATE, 60, 70, 2)->door = OP_RAW;
  assert_bad (TTL);
}

Test (checker, judges_a_raw_value_by_the_mtime_of_its_scratch)
{
  Op *op = put (500, 510, 1);

  op->door = OP_RAW;
  op->mtime_from_ns = op->mtime_to_ns = 0;
  get (990, 999, 1, 0);
  get (1000, 1001, 0, 0);
  assert_good (TTL);
  get (1000, 1002, 1, 0);
  assert_bad (TTL);
}

Test (checker, accepts_a_glimpse_of_what_loses_to_a_raw_put)
{
  put (0, 10, 1);
  replace (20, 60, 1, 3, OP_STALE);
  get (40, 50, 3, 0);
  stat_key (40, 50, (gint64)token_size (3), 5);
  assert_bad (FOREVER);
  raw (writes (OP_PUT, 25, 35, 2));
  assert_good (FOREVER);
  get (70, 80, 2, 0);
  assert_good (FOREVER);
  get (90, 100, 3, 0);
  assert_bad (FOREVER);
}

Test (checker, accepts_a_glimpse_of_an_append_that_a_raw_put_overtakes)
{
  put (0, 10, 1);
  writes (OP_APPEND, 20, 60, 3);
  get (30, 35, 1, 3);
  get (40, 45, 2, 0);
  get (70, 80, 2, 3);
  assert_bad (FOREVER);
  raw (writes (OP_PUT, 25, 45, 2));
  assert_good (FOREVER);
  get (90, 100, 1, 3);
  assert_bad (FOREVER);
}

Test (checker, refuses_an_append_that_loses_a_raw_put)
{
  put (0, 10, 1);
  writes (OP_APPEND, 20, 60, 3);
  raw (writes (OP_PUT, 25, 45, 2));
  get (70, 80, 2, 3);
  assert_good (FOREVER);
  get (90, 100, 1, 3);
  assert_bad (FOREVER);
}

Test (checker, accepts_that_what_is_unsure_was_or_was_not)
{
  put (0, 10, 1);
  add (OP_DELETE, 20, 30, OP_UNSURE);
  get (40, 50, 1, 0);
  assert_good (FOREVER);
  get (60, 70, 0, 0);
  assert_bad (FOREVER);
}

/* ---- the report ---- */

Test (shrinking, leaves_what_contradicts_itself_and_no_more)
{
  GArray *part;

  put (0, 10, 1);
  get (12, 14, 1, 0);
  add (OP_LIST, 15, 16, OP_DONE);
  add (OP_DELETE, 20, 30, OP_DONE);
  get (32, 34, 0, 0);
  get (40, 50, 1, 0);
  put (60, 70, 2);
  get (80, 90, 2, 0);
  part = checker_shrink ((const Op *)(gpointer)ops->data, ops->len, FOREVER);
  cr_assert_eq (part->len, 3);
  cr_assert_eq (g_array_index (part, Op, 0).verb, OP_PUT);
  cr_assert_eq (g_array_index (part, Op, 1).verb, OP_DELETE);
  cr_assert_eq (g_array_index (part, Op, 2).verb, OP_GET);
  g_array_unref (part);
}

Test (shrinking, keeps_what_had_begun_as_unsure)
{
  GArray *part;

  put (0, 10, 1);
  put (20, 100, 2);
  get (30, 40, 0, 0);
  part = checker_shrink ((const Op *)(gpointer)ops->data, ops->len, FOREVER);
  cr_assert_eq (part->len, 3);
  cr_assert_eq (g_array_index (part, Op, 1).result, OP_UNSURE);
  g_array_unref (part);
}

/* ---- values ---- */

Test (tokens, come_back_in_their_order)
{
  char value[65536];
  gint16 read[HISTORY_TOKENS_MAX];
  gsize len = 0;

  for (int token = 1; token <= 9; token++)
    {
      token_write (token, value + len);
      len += token_size (token);
    }
  cr_assert_eq (tokens_read (value, len, read), 9);
  for (int i = 0; i < 9; i++)
    cr_assert_eq (read[i], i + 1);
}

Test (tokens, that_are_torn_or_mixed_are_noticed)
{
  char value[65536], other[65536];
  gint16 read[HISTORY_TOKENS_MAX];
  int token = 1;

  while (token_size (token) < 1000)
    token++;
  token_write (token, value);
  cr_assert_eq (tokens_read (value, token_size (token) - 1, read), -1);
  cr_assert_eq (tokens_read (value, 3, read), -1);
  cr_assert_eq (tokens_read (value + 1, token_size (token) - 1, read), -1);
  memcpy (other, value, token_size (token));
  memset (other + 500, 0, 100);
  cr_assert_eq (tokens_read (other, token_size (token), read), -1);
  cr_assert_eq (tokens_read ("", 0, read), 0);
}

/* ---- conditional puts ---- */

Test (checker, accepts_a_replacement_of_what_was_read)
{
  put (0, 10, 1);
  replace (20, 30, 1, 2, OP_DONE);
  get (40, 50, 2, 0);
  assert_good (FOREVER);
}

Test (checker, refuses_a_replacement_of_something_else)
{
  put (0, 10, 1);
  put (12, 14, 3);
  replace (20, 30, 1, 2, OP_DONE);
  assert_bad (FOREVER);
}

Test (checker, refuses_two_replacements_of_one_version)
{
  put (0, 10, 1);
  replace (20, 30, 1, 2, OP_DONE);
  replace (20, 30, 1, 3, OP_DONE);
  assert_bad (FOREVER);
}

Test (checker, accepts_that_one_of_two_replacements_is_stale)
{
  put (0, 10, 1);
  replace (20, 30, 1, 2, OP_DONE);
  replace (20, 30, 1, 3, OP_STALE);
  get (40, 50, 2, 0);
  assert_good (FOREVER);
}

Test (checker, refuses_a_replacement_that_is_stale_without_a_reason)
{
  put (0, 10, 1);
  replace (20, 30, 1, 2, OP_STALE);
  assert_bad (FOREVER);
}

Test (checker, refuses_a_replacement_that_creates)
{
  put (0, 10, 1);
  add (OP_DELETE, 12, 14, OP_DONE);
  replace (20, 30, 1, 2, OP_DONE);
  assert_bad (FOREVER);
}

Test (checker, refuses_a_replacement_long_after_the_lease)
{
  put (0, 10, 1);
  replace (1100, 1110, 1, 2, OP_DONE);
  assert_bad (TTL);
}
