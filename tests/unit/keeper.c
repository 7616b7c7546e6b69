/* What is held or owned is renewed, for as long as it is that very file. */
#include "fixture.h"

#include "cleanup.h"

TestSuite (keeper, .init = store_setup, .fini = store_teardown, .timeout = 60);

#define TTL (10 * SECOND) /* of the store */

static gint64
run_keeper (void)
{
  return ttl_keeper_run (store->keeper, now ());
}

static TtlDraft *
hold_key (TtlBucket *in, const char *shown)
{
  TtlDraft *draft = open_draft (in, shown, O_CREAT);

  write_draft (draft, "v");
  assert_is (ttl_draft_publish (draft, TTL_PUBLISH_DEFAULT), 0);
  return draft;
}

/* Time passes as the keeper's thread and the reaper's would have it. */
static void
live_through (gint64 for_ns)
{
  gint64 end = now () + for_ns;

  while (now () < end)
    {
      gint64 next = run_keeper ();

      (void)ttl_reaper_run (store->reaper, now ());
      advance (CLAMP (next - now (), 1, end - now ()));
    }
  (void)run_keeper ();
  (void)ttl_reaper_run (store->reaper, now ());
}

Test (keeper, renews_what_is_held_every_third_of_its_ttl)
{
  g_autoptr (TtlDraft) draft = hold_key (root, "k");
  gint64 put_at = now ();

  cr_assert_eq (run_keeper (), put_at + TTL / 3);
  advance (TTL / 3 - 1);
  (void)run_keeper ();
  cr_assert_eq (mtime_ns (raw ("k")), put_at);
  advance (1);
  cr_assert_eq (run_keeper (), put_at + 2 * (TTL / 3));
  cr_assert_eq (mtime_ns (raw ("k")), put_at + TTL / 3);
}

Test (keeper, keeps_what_is_held_for_as_long_as_it_is)
{
  TtlDraft *draft = hold_key (root, "k");

  live_through (20 * TTL);
  assert_key (root, "k", "v");
  ttl_draft_free (draft);
  live_through (TTL);
  assert_no_key (root, "k");
}

Test (keeper, lets_go_at_the_last_close)
{
  assert_is (put_key (root, "k", "v"), 0);
  cr_assert_eq (run_keeper (), TTL_DEADLINE_NEVER);
}

Test (keeper, renews_nothing_when_it_is_told_to)
{
  g_autoptr (TtlDraft) draft = NULL;

  reopen_store ((TtlStoreOptions){ .keepalive = TTL_KEEPALIVE_NONE });
  draft = hold_key (root, "k");
  live_through (TTL);
  assert_no_key (root, "k");
}

Test (keeper, keeps_the_version_that_was_published_last)
{
  g_autoptr (TtlDraft) draft = hold_key (root, "k");

  write_draft (draft, "w");
  assert_is (ttl_draft_publish (draft, TTL_PUBLISH_DEFAULT), 0);
  live_through (3 * TTL);
  assert_key (root, "k", "w");
}

Test (keeper, keeps_what_is_published_while_more_is_written)
{
  g_autoptr (TtlDraft) draft = hold_key (root, "k");

  write_draft (draft, "w");
  live_through (3 * TTL);
  assert_key (root, "k", "v");
}

Test (keeper, does_not_renew_what_somebody_else_has_put)
{
  g_autoptr (TtlDraft) draft = hold_key (root, "k");

  assert_ok (put_raw (raw ("k"), "of a peer"));
  assert_ok (set_mtime_ns (raw ("k"), now ()));
  live_through (TTL - 1);
  assert_key (root, "k", "of a peer");
  cr_assert_eq (mtime_ns (raw ("k")), now () - TTL + 1);
  live_through (1);
  assert_no_key (root, "k");
}

Test (keeper, does_not_bring_back_what_was_deleted)
{
  g_autoptr (TtlDraft) draft = hold_key (root, "k");

  assert_is (ttl_store_delete (store, root, "k", now ()), 0);
  live_through (2 * TTL);
  assert_no_key (root, "k");
}

Test (keeper, leaves_a_lease_that_somebody_made_longer)
{
  g_autoptr (TtlDraft) draft = hold_key (root, "k");
  gint64 later = now () + 100 * TTL;

  assert_ok (set_mtime_ns (raw ("k"), later));
  live_through (3 * TTL);
  cr_assert_eq (mtime_ns (raw ("k")), later);
}

Test (keeper, takes_along_what_is_nearly_due)
{
  g_autoptr (TtlDraft) a = hold_key (root, "a");
  g_autoptr (TtlDraft) b = NULL;
  g_autoptr (TtlDraft) c = NULL;

  advance (TTL / 64);
  b = hold_key (root, "b");
  advance (1);
  c = hold_key (root, "c");
  advance (TTL / 3 - TTL / 64 - 1);
  cr_assert_eq (run_keeper (), now () + TTL / 64 + 1);
  cr_assert_eq (mtime_ns (raw ("a")), now ());
  cr_assert_eq (mtime_ns (raw ("b")), now ());
  cr_assert_eq (mtime_ns (raw ("c")), now () - TTL / 3 + TTL / 64 + 1);
}

Test (keeper, leaves_nothing_of_what_it_renews_to_the_reaper)
{
  g_autoptr (TtlDraft) draft = hold_key (root, "k");

  advance (TTL / 3);
  (void)run_keeper ();
  cr_assert_eq (ttl_reaper_run (store->reaper, now ()), now () + TTL);
}

Test (keeper, has_nothing_to_do_for_what_never_ends)
{
  g_autoptr (TtlDraft) draft = NULL;

  set_ttl (root, "inf");
  draft = hold_key (root, "k");
  (void)run_keeper ();
  advance (1000 * TTL);
  cr_assert_eq (run_keeper (), TTL_DEADLINE_NEVER);
}

Test (keeper, keeps_up_with_a_shorter_ttl)
{
  g_autoptr (TtlDraft) draft = NULL;

  set_ttl (root, "1h");
  draft = hold_key (root, "k");
  (void)run_keeper ();
  set_ttl (root, "50ms");
  (void)run_keeper ();
  live_through (SECOND);
  assert_key (root, "k", "v");
}

Test (keeper, keeps_up_with_a_shorter_ttl_of_the_key)
{
  g_autoptr (TtlDraft) draft = hold_key (root, "k");

  (void)run_keeper ();
  assert_is (ttl_store_set_xattr (store, root, "k", TTL_XATTR, "50ms", 4, 0, now (), NULL), 0);
  live_through (SECOND);
  assert_key (root, "k", "v");
}

Test (keeper, goes_with_what_it_holds_to_another_name)
{
  g_autoptr (TtlDraft) draft = hold_key (root, "k");
  TtlBucket *in = bucket ("b");

  set_ttl (in, "1s");
  (void)run_keeper ();
  assert_is (ttl_store_rename (store, root, "k", in, "l", 0, now ()), 0);
  ttl_draft_moved (draft, in, "l");
  live_through (3 * TTL);
  assert_key (in, "l", "v");
}

Test (keeper, goes_with_what_it_holds_while_more_is_written)
{
  g_autoptr (TtlDraft) draft = hold_key (root, "k");

  write_draft (draft, "w");
  assert_is (ttl_store_rename (store, root, "k", root, "l", 0, now ()), 0);
  ttl_draft_moved (draft, root, "l");
  live_through (3 * TTL);
  assert_key (root, "l", "v");
  assert_is (ttl_draft_publish (draft, TTL_PUBLISH_DEFAULT), 0);
  assert_key (root, "l", "w");
}

Test (keeper, goes_with_a_bucket_that_is_moved)
{
  g_autoptr (TtlDraft) draft = hold_key (bucket ("b"), "k");

  set_ttl (bucket ("short"), "1s");
  (void)run_keeper ();
  assert_is (ttl_store_rename (store, root, "b", bucket ("short"), "b", 0, now ()), 0);
  live_through (3 * TTL);
  assert_key (bucket ("short/b"), "k", "v");
}

Test (keeper, loses_nothing_to_our_own_reaper_after_a_standstill)
{
  g_autoptr (TtlDraft) draft = hold_key (root, "k");

  assert_is (put_key (root, "not%2Dheld", "v"), 0);
  advance (10 * TTL);
  ttl_reaper_start (store->reaper);
  cr_assert (EVENTUALLY (5000, !exists (raw ("not%2Dheld"))));
  ttl_reaper_stop (store->reaper);
  assert_key (root, "k", "v");
}

Test (keeper, knows_a_file_from_another_that_has_its_name_again)
{
  g_autoptr (TtlDraft) draft = hold_key (root, "k");

  assert_ok (rename (raw ("k"), raw ("aside")));
  assert_ok (put_raw (raw ("k"), "other"));
  assert_ok (set_mtime_ns (raw ("k"), now ()));
  advance (TTL / 3);
  (void)run_keeper ();
  cr_assert_eq (mtime_ns (raw ("k")), now () - TTL / 3);
}

/* ---- owned ---- */

static void
setup_owned (void)
{
  store_setup ();
  reopen_store ((TtlStoreOptions){ .keepalive = TTL_KEEPALIVE_OWNED });
}

TestSuite (owned, .init = setup_owned, .fini = store_teardown, .timeout = 60);

static void
close_store (void)
{
  reopen_store ((TtlStoreOptions){ .keepalive = TTL_KEEPALIVE_NONE });
}

Test (owned, is_renewed_after_its_last_close)
{
  assert_is (put_key (root, "k", "v"), 0);
  live_through (5 * TTL);
  assert_key (root, "k", "v");
}

Test (owned, is_removed_when_the_store_is_closed)
{
  assert_is (put_key (root, "k", "v"), 0);
  assert_is (put_key (bucket ("b"), "l", "v"), 0);
  put_raw_at ("of%2Da%2Dpeer", "v", now ());
  close_store ();
  cr_assert_str_eq (names_in (root), "b of-a-peer ");
  cr_assert_str_eq (names_in (bucket ("b")), "");
}

Test (owned, is_neither_renewed_nor_removed_once_somebody_else_has_put_it)
{
  assert_is (put_key (root, "k", "v"), 0);
  assert_ok (put_raw (raw ("k"), "of a peer"));
  assert_ok (set_mtime_ns (raw ("k"), now ()));
  live_through (TTL / 2);
  cr_assert_eq (mtime_ns (raw ("k")), now () - TTL / 2);
  close_store ();
  assert_key (root, "k", "of a peer");
}

Test (owned, stays_ours_under_another_name)
{
  assert_is (put_key (root, "k", "v"), 0);
  assert_is (ttl_store_rename (store, root, "k", bucket ("b"), "l", 0, now ()), 0);
  live_through (3 * TTL);
  assert_key (bucket ("b"), "l", "v");
  close_store ();
  cr_assert_eq (count_files (root_dir ()), 0);
}

Test (owned, stays_ours_when_it_is_exchanged)
{
  assert_is (put_key (root, "a", "of a"), 0);
  assert_is (put_key (root, "b", "of b"), 0);
  assert_is (ttl_store_rename (store, root, "a", root, "b", RENAME_EXCHANGE, now ()), 0);
  live_through (3 * TTL);
  assert_key (root, "a", "of b");
  assert_key (root, "b", "of a");
  close_store ();
  cr_assert_eq (count_files (root_dir ()), 0);
}

Test (owned, is_what_was_renamed_or_linked_from_scratch)
{
  assert_is (put_key (root, ".tmp_a", "v"), 0);
  assert_is (put_key (root, ".tmp_b", "v"), 0);
  assert_is (ttl_store_rename (store, root, ".tmp_a", root, "a", 0, now ()), 0);
  assert_is (ttl_store_link (store, root, ".tmp_b", root, "b", now (), NULL, NULL), 0);
  assert_is (ttl_store_delete (store, root, ".tmp_b", now ()), 0);
  live_through (3 * TTL);
  cr_assert_str_eq (names_in (root), "a b ");
  close_store ();
  cr_assert_eq (count_files (root_dir ()), 0);
}

Test (owned, is_not_what_a_peer_has_put_and_we_have_renamed)
{
  put_raw_at ("k", "v", now ());
  assert_is (ttl_store_rename (store, root, "k", root, "l", 0, now ()), 0);
  live_through (TTL / 2);
  close_store ();
  assert_key (root, "l", "v");
}

Test (owned, is_not_scratch)
{
  assert_is (put_key (root, ".tmp_a", "v"), 0);
  live_through (TTL);
  cr_assert_eq (count_files (root_dir ()), 0);
}

Test (owned, ends_with_its_deletion)
{
  assert_is (put_key (root, "k", "v"), 0);
  assert_is (ttl_store_delete (store, root, "k", now ()), 0);
  put_raw_at ("k", "of a peer", now ());
  live_through (TTL / 2);
  close_store ();
  assert_key (root, "k", "of a peer");
}
