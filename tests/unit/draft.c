/* The life of one open file description, from what it opened to what it publishes. */
#include "fixture.h"

#include "cleanup.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/xattr.h>

TestSuite (draft, .init = store_setup, .fini = store_teardown, .timeout = 60);

#define TTL (10 * SECOND) /* of the store */

static int
publish (TtlDraft *draft)
{
  return ttl_draft_publish (draft, TTL_PUBLISH_DEFAULT);
}

static const char *
content (TtlDraft *draft)
{
  return get_fd (ttl_draft_fd (draft));
}

static int
open_result (const char *shown, int flags)
{
  g_autoptr (TtlDraft) draft = NULL;

  return ttl_draft_open (store, root, key (shown), flags, owner (), now (), &draft);
}

static void
append (TtlDraft *draft, const char *what)
{
  assert_is (ttl_draft_write (draft, what, strlen (what), TTL_WRITE_AT_END), strlen (what));
}

/* ---- opening ---- */

Test (draft, opens_only_what_is_there_without_o_creat)
{
  assert_is (open_result ("k", 0), -ENOENT);
  assert_is (open_result ("k", O_TRUNC), -ENOENT);
  assert_is (open_result ("k", O_CREAT), 0);
  cr_assert_eq (count_files (root_dir ()), 0);
}

Test (draft, does_not_open_a_bucket)
{
  bucket ("b");
  assert_is (open_result ("b", 0), -ENOENT);
  assert_is (open_result ("b", O_CREAT), -EISDIR);
}

Test (draft, has_no_name_that_is_reserved)
{
  g_autoptr (TtlDraft) draft = NULL;

  reopen_store ((TtlStoreOptions){ .names = TTL_NAMES_PLAIN });
  assert_is (ttl_draft_open (store, root, ".ttlfs", O_CREAT, owner (), now (), &draft), -EPERM);
  assert_is (ttl_draft_open (store, root, "..", O_CREAT, owner (), now (), &draft), -EINVAL);
  assert_is (ttl_draft_open (store, root, "a-b", O_CREAT, owner (), now (), &draft), 0);
}

Test (draft, of_an_existing_key_starts_clean)
{
  g_autoptr (TtlDraft) draft = NULL;

  assert_is (put_key (root, "k", "old"), 0);
  draft = open_draft (root, "k", O_CREAT);
  cr_assert_not (ttl_draft_is_dirty (draft));
  cr_assert_not (ttl_draft_is_touched (draft));
  cr_assert_not (ttl_draft_is_new (draft));
  cr_assert_str_eq (content (draft), "old");
}

Test (draft, of_a_new_key_is_dirty_but_not_touched)
{
  g_autoptr (TtlDraft) draft = open_draft (root, "k", O_CREAT);

  cr_assert (ttl_draft_is_dirty (draft));
  cr_assert_not (ttl_draft_is_touched (draft));
  cr_assert (ttl_draft_is_new (draft));
  cr_assert_not (ttl_draft_is_append (draft));
  cr_assert_eq (ttl_draft_bucket (draft), root);
  cr_assert_str_eq (ttl_draft_backing (draft), "k");
}

Test (draft, of_a_truncating_open_is_dirty_but_not_touched)
{
  g_autoptr (TtlDraft) draft = NULL;

  assert_is (put_key (root, "k", "old"), 0);
  draft = open_draft (root, "k", O_TRUNC);
  cr_assert (ttl_draft_is_dirty (draft));
  cr_assert_not (ttl_draft_is_touched (draft));
  cr_assert_not (ttl_draft_is_new (draft));
  cr_assert_str_eq (content (draft), "");
  assert_key (root, "k", "old");
}

/* ---- changing and publishing ---- */

Test (draft, is_invisible_until_it_is_published)
{
  g_autoptr (TtlDraft) draft = open_draft (root, "k", O_CREAT);

  write_draft (draft, "v");
  cr_assert_str_eq (content (draft), "v");
  assert_no_key (root, "k");
  cr_assert_str_eq (names_in (root), "");
  assert_is (publish (draft), 0);
  assert_key (root, "k", "v");
  cr_assert_not (ttl_draft_is_dirty (draft));
  cr_assert_not (ttl_draft_is_touched (draft));
  cr_assert_not (ttl_draft_is_new (draft));
}

Test (draft, publishes_an_empty_new_file)
{
  g_autoptr (TtlDraft) draft = open_draft (root, "k", O_CREAT);

  assert_is (ttl_draft_publish (draft, TTL_PUBLISH_LAST), 0);
  assert_key (root, "k", "");
}

Test (draft, leaves_nothing_when_it_is_dropped)
{
  TtlDraft *draft;

  assert_is (put_key (root, "k", "old"), 0);
  draft = open_draft (root, "k", O_TRUNC);
  write_draft (draft, "new");
  ttl_draft_free (draft);
  assert_key (root, "k", "old");
  cr_assert_eq (count_files (root_dir ()), 1);
}

Test (draft, starts_from_the_current_value_when_it_is_changed)
{
  g_autoptr (TtlDraft) draft = NULL;

  assert_is (put_key (root, "k", "abcdef"), 0);
  draft = open_draft (root, "k", 0);
  write_draft (draft, "XY");
  cr_assert (ttl_draft_is_dirty (draft));
  cr_assert (ttl_draft_is_touched (draft));
  cr_assert_str_eq (content (draft), "XYcdef");
  assert_key (root, "k", "abcdef");
  assert_is (publish (draft), 0);
  assert_key (root, "k", "XYcdef");
}

Test (draft, copies_nothing_when_all_is_thrown_away)
{
  g_autoptr (TtlDraft) draft = NULL;
  int fd = -1;

  assert_is (put_key (root, "k", "abcdef"), 0);
  draft = open_draft (root, "k", 0);
  assert_is (ttl_draft_change (draft, FALSE, &fd), 0);
  cr_assert_str_eq (get_fd (fd), "");
  assert_is (publish (draft), 0);
  assert_key (root, "k", "");
}

Test (draft, that_is_clean_publishes_nothing)
{
  g_autoptr (TtlDraft) draft = NULL;
  struct stat before, after;

  assert_is (put_key (root, "k", "v"), 0);
  assert_ok (stat_of (raw ("k"), &before));
  draft = open_draft (root, "k", 0);
  advance (SECOND);
  assert_is (publish (draft), 0);
  assert_is (ttl_draft_publish (draft, TTL_PUBLISH_SYNC), 0);
  assert_ok (stat_of (raw ("k"), &after));
  cr_assert_eq (before.st_ino, after.st_ino);
  cr_assert_eq (ttl_timespec_ns (&before.st_mtim), ttl_timespec_ns (&after.st_mtim));
}

Test (draft, can_be_published_again_and_again)
{
  g_autoptr (TtlDraft) draft = open_draft (root, "k", O_CREAT);

  write_draft (draft, "1");
  assert_is (publish (draft), 0);
  write_draft (draft, "2");
  cr_assert (ttl_draft_is_dirty (draft));
  assert_key (root, "k", "1");
  assert_is (publish (draft), 0);
  assert_key (root, "k", "2");
  cr_assert_eq (count_files (root_dir ()), 1);
}

Test (draft, is_renewed_by_publishing)
{
  assert_is (put_key (root, "k", "1"), 0);
  advance (TTL - 1);
  assert_is (put_key (root, "k", "2"), 0);
  cr_assert_eq (mtime_ns (raw ("k")), now ());
  advance (TTL - 1);
  assert_key (root, "k", "2");
}

Test (draft, publishes_after_its_base_has_expired)
{
  g_autoptr (TtlDraft) draft = NULL;

  assert_is (put_key (root, "k", "old"), 0);
  draft = open_draft (root, "k", 0);
  write_draft (draft, "n");
  advance (TTL);
  assert_no_key (root, "k");
  assert_is (publish (draft), 0);
  assert_key (root, "k", "nld");
}

Test (draft, that_is_published_last_wins_whole)
{
  g_autoptr (TtlDraft) a = open_draft (root, "k", O_CREAT);
  g_autoptr (TtlDraft) b = open_draft (root, "k", O_CREAT);

  write_draft (a, "long value of a");
  write_draft (b, "b");
  assert_is (publish (a), 0);
  assert_is (publish (b), 0);
  assert_key (root, "k", "b");
  write_draft (a, "L");
  assert_is (publish (a), 0);
  assert_key (root, "k", "Long value of a");
}

Test (draft, reaches_stable_storage_when_it_is_asked_to)
{
  g_autoptr (TtlDraft) draft = open_draft (root, "k", O_CREAT);

  write_draft (draft, "v");
  assert_is (ttl_draft_publish (draft, TTL_PUBLISH_SYNC), 0);
  assert_key (root, "k", "v");
}

Test (draft, copies_a_value_with_holes)
{
  g_autoptr (TtlDraft) draft = open_draft (root, "k", O_CREAT);
  struct stat before, st;
  int fd = -1;

  assert_is (ttl_draft_change (draft, TRUE, &fd), 0);
  assert_ok (ftruncate (fd, 64 * 1024 * 1024));
  cr_assert_eq (pwrite (fd, "x", 1, 32 * 1024 * 1024), 1);
  assert_is (publish (draft), 0);
  assert_ok (stat_of (raw ("k"), &before));
  write_draft (draft, "y");
  assert_is (publish (draft), 0);
  assert_ok (stat_of (raw ("k"), &st));
  cr_assert_eq (st.st_size, 64 * 1024 * 1024);
  if (lseek (ttl_draft_fd (draft), 0, SEEK_HOLE) < st.st_size) /* otherwise nobody here can tell */
    cr_assert_leq (st.st_blocks, before.st_blocks + 16, "the holes are still holes");
  cr_assert_eq (pread (ttl_draft_fd (draft), &(char[1]){ 0 }, 1, 32 * 1024 * 1024), 1);
}

Test (draft, creates_nothing_twice_that_is_empty)
{
  g_autoptr (TtlDraft) a = open_draft (root, "k", O_CREAT);
  g_autoptr (TtlDraft) b = open_draft (root, "k", O_CREAT);

  assert_is (ttl_draft_publish (a, TTL_PUBLISH_CREATE), 0);
  assert_is (ttl_draft_publish (b, TTL_PUBLISH_CREATE), -EEXIST);
}

Test (draft, creates_only_where_nothing_live_stands_when_told_so)
{
  g_autoptr (TtlDraft) a = open_draft (root, "k", O_CREAT);
  g_autoptr (TtlDraft) b = open_draft (root, "k", O_CREAT);

  write_draft (a, "a");
  write_draft (b, "b");
  assert_is (ttl_draft_publish (a, TTL_PUBLISH_CREATE), 0);
  assert_is (ttl_draft_publish (b, TTL_PUBLISH_CREATE), -EEXIST);
  cr_assert (ttl_draft_is_dirty (b));
  assert_key (root, "k", "a");
  g_clear_pointer (&a, ttl_draft_free); /* and its hold with it */
  advance (TTL);
  assert_is (ttl_draft_publish (b, TTL_PUBLISH_CREATE), 0);
  assert_key (root, "k", "b");
}

Test (draft, has_nowhere_to_go_when_its_bucket_is_gone)
{
  g_autoptr (TtlDraft) draft = open_draft (bucket ("b"), "k", O_CREAT);

  write_draft (draft, "v");
  assert_is (ttl_store_rmdir (store, root, "b", now ()), 0);
  assert_is (publish (draft), -ENOENT);
  cr_assert (ttl_draft_is_dirty (draft));
}

Test (draft, does_not_take_the_place_of_a_bucket)
{
  g_autoptr (TtlDraft) draft = open_draft (root, "k", O_CREAT);
  struct stat before, after;

  write_draft (draft, "v");
  assert_ok (mkdir (raw ("k"), 0755));
  assert_ok (put (raw ("k/in"), "v"));
  assert_ok (stat_of (raw ("k"), &before));
  cr_assert_lt (publish (draft), 0);
  assert_ok (stat_of (raw ("k"), &after));
  cr_assert_eq (before.st_ino, after.st_ino);
  assert_value (raw ("k/in"), "v");
  cr_assert_eq (count_scratch (root_dir ()), ttl_store_caps (store)->tmpfile ? 0 : 1);
}

/* ---- O_EXCL ---- */

Test (draft, has_one_winner_with_o_excl)
{
  g_autoptr (TtlDraft) winner = open_draft (root, "k", O_CREAT | O_EXCL);

  assert_is (open_result ("k", O_CREAT | O_EXCL), -EEXIST);
  assert_is (put_key (root, "a", "v"), 0);
  assert_is (ttl_store_link (store, root, "a", root, "k", now (), NULL, NULL), -EEXIST);
  assert_is (ttl_store_rename (store, root, "a", root, "k", RENAME_NOREPLACE, now ()), -EEXIST);
  assert_errno (link (raw ("a"), raw ("k")), EEXIST);
  assert_errno (open (raw ("k"), O_CREAT | O_EXCL | O_WRONLY, 0644), EEXIST);
  write_draft (winner, "v");
  assert_is (publish (winner), 0);
  assert_key (root, "k", "v");
  assert_is (open_result ("k", O_CREAT | O_EXCL), -EEXIST);
}

Test (draft, claims_its_name_invisibly)
{
  g_autoptr (TtlDraft) draft = open_draft (root, "k", O_CREAT | O_EXCL);
  TtlEntry entry;
  int fd;

  assert_no_key (root, "k");
  cr_assert_str_eq (names_in (root), "");
  assert_is (ttl_store_stat (store, root, "k", now (), &entry), -ENOENT);
  assert_is (ttl_store_open_value (store, root, "k", now (), &fd, &entry), -ENOENT);
  assert_is (ttl_store_delete (store, root, "k", now ()), -ENOENT);
  assert_is (ttl_store_rename (store, root, "k", root, "l", 0, now ()), -ENOENT);
  assert_is (open_result ("k", 0), -ENOENT);
  cr_assert (exists (raw ("k")));
}

Test (draft, frees_the_name_that_it_claimed)
{
  TtlDraft *draft = open_draft (root, "k", O_CREAT | O_EXCL);

  ttl_draft_free (draft);
  cr_assert_not (exists (raw ("k")));
  assert_is (open_result ("k", O_CREAT | O_EXCL), 0);
}

Test (draft, claims_a_name_whose_value_has_expired)
{
  assert_is (put_key (root, "k", "old"), 0);
  advance (TTL);
  assert_is (put_key_with (root, "k", O_CREAT | O_EXCL, "new"), 0);
  assert_key (root, "k", "new");
}

Test (draft, takes_over_a_claim_that_nobody_renews)
{
  g_autoptr (TtlDraft) next = NULL;
  const struct timespec times[2] = { ttl_ns_timespec (now ()), ttl_ns_timespec (now ()) };

  /* As a daemon that dies leaves it. */
  assert_ok (symlink (".tmp_claim0123456789abcdef", raw ("k")));
  assert_ok (utimensat (AT_FDCWD, raw ("k"), times, AT_SYMLINK_NOFOLLOW));
  advance (TTL - 1);
  assert_is (open_result ("k", O_CREAT | O_EXCL), -EEXIST);
  advance (1);
  next = open_draft (root, "k", O_CREAT | O_EXCL);
  cr_assert (exists (raw ("k")));
  assert_is (open_result ("k", O_CREAT | O_EXCL), -EEXIST);
}

Test (draft, keeps_its_claim_for_as_long_as_it_is_open)
{
  g_autoptr (TtlDraft) draft = open_draft (root, "k", O_CREAT | O_EXCL);

  for (int i = 0; i < 20; i++)
    {
      (void)ttl_keeper_run (store->keeper, now ());
      ttl_reaper_look (store->reaper, root, "k");
      (void)ttl_reaper_run (store->reaper, now ());
      advance (TTL / 3);
    }
  assert_is (open_result ("k", O_CREAT | O_EXCL), -EEXIST);
}

Test (draft, is_put_over_while_it_holds_a_claim)
{
  g_autoptr (TtlDraft) draft = open_draft (root, "k", O_CREAT | O_EXCL);

  write_draft (draft, "of the winner");
  assert_ok (put_raw (raw ("k"), "of a peer"));
  assert_key (root, "k", "of a peer");
  assert_is (publish (draft), 0);
  assert_key (root, "k", "of the winner");
}

Test (draft, leaves_the_value_of_a_peer_when_it_gives_up_its_claim)
{
  TtlDraft *draft = open_draft (root, "k", O_CREAT | O_EXCL);

  assert_ok (put_raw (raw ("k"), "of a peer"));
  ttl_draft_free (draft);
  assert_key (root, "k", "of a peer");
}

Test (draft, claims_scratch_too)
{
  TtlDraft *draft = open_draft (root, ".tmp_k", O_CREAT | O_EXCL);

  assert_is (open_result (".tmp_k", O_CREAT | O_EXCL), -EEXIST);
  write_draft (draft, "v");
  assert_is (publish (draft), 0);
  ttl_draft_free (draft);
  assert_value (raw (".tmp_k"), "v");
}

Test (draft, takes_its_claim_off_the_name_that_it_leaves)
{
  g_autoptr (TtlDraft) draft = open_draft (root, "a", O_CREAT | O_EXCL);

  write_draft (draft, "v");
  ttl_draft_moved (draft, bucket ("in"), "b");
  cr_assert_not (exists (raw ("a")));
  assert_is (publish (draft), 0);
  assert_key (bucket ("in"), "b", "v");
  assert_no_key (root, "a");
}

/* ---- O_APPEND ---- */

Test (draft, appends_behind_what_is_there)
{
  assert_is (put_key (root, "k", "one "), 0);
  assert_is (put_key_with (root, "k", O_APPEND, "two"), 0);
  assert_key (root, "k", "one two");
}

Test (draft, appends_behind_what_others_have_appended)
{
  g_autoptr (TtlDraft) a = NULL;
  g_autoptr (TtlDraft) b = NULL;

  assert_is (put_key (root, "k", "0"), 0);
  a = open_draft (root, "k", O_APPEND);
  b = open_draft (root, "k", O_APPEND);
  append (a, "a");
  append (b, "b1");
  append (b, "b2");
  assert_is (publish (b), 0);
  assert_is (publish (a), 0);
  assert_key (root, "k", "0b1b2a");
  append (b, "b3");
  assert_is (publish (b), 0);
  assert_key (root, "k", "0b1b2ab3");
}

Test (draft, appends_to_a_new_key_with_others)
{
  g_autoptr (TtlDraft) a = open_draft (root, "k", O_CREAT | O_APPEND);
  g_autoptr (TtlDraft) b = open_draft (root, "k", O_CREAT | O_APPEND);

  append (a, "a");
  append (b, "b");
  assert_is (publish (a), 0);
  assert_is (publish (b), 0);
  assert_key (root, "k", "ab");
}

Test (draft, appends_to_what_a_peer_has_put)
{
  g_autoptr (TtlDraft) draft = NULL;

  assert_is (put_key (root, "k", "old"), 0);
  draft = open_draft (root, "k", O_APPEND);
  append (draft, "+");
  assert_ok (put_raw (raw ("k"), "of a peer"));
  assert_is (publish (draft), 0);
  assert_key (root, "k", "of a peer+");
}

Test (draft, appends_to_nothing_when_the_value_has_gone)
{
  g_autoptr (TtlDraft) draft = NULL;

  assert_is (put_key (root, "k", "old"), 0);
  draft = open_draft (root, "k", O_CREAT | O_APPEND);
  append (draft, "+");
  assert_is (ttl_store_delete (store, root, "k", now ()), 0);
  assert_is (publish (draft), 0);
  assert_key (root, "k", "+");
}

Test (draft, appends_in_the_place_of_the_dead)
{
  g_autoptr (TtlDraft) draft = NULL;

  assert_is (put_key (root, "k", "old"), 0);
  draft = open_draft (root, "k", O_CREAT | O_APPEND);
  append (draft, "+");
  assert_ok (set_mtime_ns (raw ("k"), 1));
  assert_is (publish (draft), 0);
  assert_key (root, "k", "+");
}

Test (draft, appends_in_the_place_of_a_claim)
{
  g_autoptr (TtlDraft) claims = open_draft (root, "k", O_CREAT | O_EXCL);
  g_autoptr (TtlDraft) draft = open_draft (root, "k", O_CREAT | O_APPEND);

  append (draft, "+");
  assert_is (publish (draft), 0);
  assert_key (root, "k", "+");
}

Test (draft, appends_to_no_directory)
{
  g_autoptr (TtlDraft) draft = open_draft (root, "k", O_CREAT | O_APPEND);

  append (draft, "+");
  assert_ok (mkdir (raw ("k"), 0755));
  assert_is (publish (draft), -EISDIR);
  assert_ok (rmdir (raw ("k")));
  assert_is (publish (draft), 0);
  assert_key (root, "k", "+");
}

Test (draft, can_be_published_when_what_was_in_its_way_has_gone)
{
  g_autoptr (TtlDraft) draft = NULL;

  assert_is (put_key (root, "k", "old"), 0);
  draft = open_draft (root, "k", O_TRUNC);
  write_draft (draft, "new");
  assert_ok (unlink (raw ("k")));
  assert_ok (mkdir (raw ("k"), 0755));
  assert_is (publish (draft), -EISDIR);
  assert_ok (rmdir (raw ("k")));
  assert_is (publish (draft), 0);
  assert_key (root, "k", "new");
}

Test (draft, appends_in_the_place_of_its_own_claim)
{
  assert_is (put_key_with (root, "k", O_CREAT | O_EXCL | O_APPEND, "+"), 0);
  assert_key (root, "k", "+");
  cr_assert_eq (count_scratch (root_dir ()), 0);
}

Test (draft, that_truncates_and_appends_starts_anew)
{
  g_autoptr (TtlDraft) draft = NULL;

  assert_is (put_key (root, "k", "old"), 0);
  draft = open_draft (root, "k", O_TRUNC | O_APPEND);
  append (draft, "a");
  assert_is (put_key (root, "k", "other"), 0);
  assert_is (publish (draft), 0);
  assert_key (root, "k", "a");
}

Test (draft, that_was_also_written_elsewhere_wins_whole)
{
  g_autoptr (TtlDraft) draft = NULL;

  assert_is (put_key (root, "k", "old"), 0);
  draft = open_draft (root, "k", O_APPEND);
  append (draft, "+");
  write_draft (draft, "X");
  assert_is (put_key (root, "k", "other"), 0);
  assert_is (publish (draft), 0);
  assert_key (root, "k", "Xld+");
}

Test (draft, keeps_what_it_has_appended_when_publishing_fails)
{
  g_autoptr (TtlDraft) draft = NULL;

  assert_is (put_key (root, "k", "0"), 0);
  draft = open_draft (root, "k", O_APPEND);
  append (draft, "a");
  assert_is (put_key_with (root, "k", O_APPEND, "b"), 0);
  /* Rebased, and then refused. */
  assert_is (ttl_draft_publish (draft, TTL_PUBLISH_CREATE), -EEXIST);
  assert_is (put_key_with (root, "k", O_APPEND, "c"), 0);
  assert_is (publish (draft), 0);
  assert_key (root, "k", "0bca");
}

/* ---- what survives a put ---- */

static const char *
user_attr (const char *shown, const char *name)
{
  char value[64];
  ssize_t len
      = ttl_store_get_xattr (store, root, key (shown), name, value, sizeof value, now (), NULL);

  return len < 0 ? NULL : text ("%.*s", (int)len, value);
}

static int
set_user_attr (const char *shown, const char *name, const char *value)
{
  return ttl_store_set_xattr (store, root, key (shown), name, value, strlen (value), 0, now (),
                              NULL);
}

static void
put_decorated (void)
{
  const TtlAttrs attrs = { .set_mode = TRUE, .mode = 0640 };

  assert_is (put_key (root, "k", "old"), 0);
  assert_is (ttl_store_set_attrs (store, root, "k", &attrs, now ()), 0);
  assert_is (set_user_attr ("k", TTL_XATTR, "1h"), 0);
  if (set_user_attr ("k", "user.a", "kept") == -ENOTSUP)
    cr_skip ("no user xattrs here");
}

Test (draft, keeps_mode_xattrs_and_ttl_over_a_put)
{
  put_decorated ();
  assert_is (put_key (root, "k", "new"), 0);
  cr_assert_eq (mode_of (raw ("k")), 0640);
  cr_assert_str_eq (user_attr ("k", "user.a"), "kept");
  cr_assert_str_eq (user_attr ("k", TTL_XATTR), "1h");
}

Test (draft, keeps_what_was_set_on_the_key_while_it_was_open)
{
  g_autoptr (TtlDraft) draft = NULL;
  const TtlAttrs attrs = { .set_mode = TRUE, .mode = 0600 };

  put_decorated ();
  draft = open_draft (root, "k", 0);
  write_draft (draft, "new");
  assert_is (ttl_store_set_attrs (store, root, "k", &attrs, now ()), 0);
  assert_is (set_user_attr ("k", "user.a", "newer"), 0);
  assert_is (set_user_attr ("k", TTL_XATTR, "2h"), 0);
  assert_is (publish (draft), 0);
  cr_assert_eq (mode_of (raw ("k")), 0600);
  cr_assert_str_eq (user_attr ("k", "user.a"), "newer");
  cr_assert_str_eq (user_attr ("k", TTL_XATTR), "2h");
}

Test (draft, keeps_the_owner_over_a_put)
{
  struct stat st;

  if (getuid () != 0)
    cr_skip ("needs root");
  assert_is (put_key (root, "k", "old"), 0);
  assert_ok (chown (raw ("k"), 12, 34));
  assert_is (put_key (root, "k", "new"), 0);
  assert_ok (stat_of (raw ("k"), &st));
  cr_assert_eq (st.st_uid, 12);
  cr_assert_eq (st.st_gid, 34);
}

Test (draft, sets_what_was_set_through_it)
{
  g_autoptr (TtlDraft) draft = NULL;
  const TtlAttrs attrs = { .set_mode = TRUE, .mode = 0600 };
  char value[16];

  put_decorated ();
  draft = open_draft (root, "k", O_TRUNC);
  cr_assert_not (ttl_draft_is_touched (draft));
  assert_is (ttl_draft_set_attrs (draft, &attrs, now ()), 0);
  cr_assert (ttl_draft_is_touched (draft));
  assert_is (ttl_draft_set_xattr (draft, "user.a", "mine", 4, 0, now ()), 0);
  assert_is (ttl_draft_set_xattr (draft, TTL_XATTR, "3h", 2, 0, now ()), 0);
  assert_is (ttl_draft_get_xattr (draft, TTL_XATTR, value, sizeof value, now ()), 2);
  cr_assert_str_eq (user_attr ("k", "user.a"), "kept");
  cr_assert_str_eq (user_attr ("k", TTL_XATTR), "1h");
  assert_is (set_user_attr ("k", "user.a", "of another"), 0);
  assert_is (publish (draft), 0);
  cr_assert_eq (mode_of (raw ("k")), 0600);
  cr_assert_str_eq (user_attr ("k", "user.a"), "mine");
  cr_assert_str_eq (user_attr ("k", TTL_XATTR), "3h");
}

Test (draft, removes_what_was_removed_through_it)
{
  g_autoptr (TtlDraft) draft = NULL;

  put_decorated ();
  draft = open_draft (root, "k", O_TRUNC);
  assert_is (ttl_draft_remove_xattr (draft, "user.a", now ()), 0);
  assert_is (ttl_draft_remove_xattr (draft, "user.a", now ()), -ENODATA);
  assert_is (ttl_draft_remove_xattr (draft, TTL_XATTR, now ()), 0);
  assert_is (ttl_draft_remove_xattr (draft, TTL_XATTR, now ()), -ENODATA);
  assert_is (publish (draft), 0);
  cr_assert_null (user_attr ("k", "user.a"));
  cr_assert_str_eq (user_attr ("k", TTL_XATTR), "10s");
}

Test (draft, gives_a_new_key_the_ttl_that_was_set_through_it)
{
  g_autoptr (TtlDraft) draft = open_draft (root, "k", O_CREAT);
  char names[64];

  assert_is (ttl_draft_set_xattr (draft, TTL_XATTR, "60s", 3, 0, now ()), 0);
  assert_is (ttl_draft_list_xattr (draft, names, sizeof names), sizeof TTL_XATTR);
  assert_is (publish (draft), 0);
  cr_assert_str_eq (ttl_of (root, "k"), "60s");
  g_clear_pointer (&draft, ttl_draft_free);
  advance (60 * SECOND - 1);
  assert_key (root, "k", "");
  advance (1);
  assert_no_key (root, "k");
}

Test (draft, sets_attributes_of_the_version_in_place_while_it_is_clean)
{
  g_autoptr (TtlDraft) draft = NULL;
  const TtlAttrs attrs
      = { .set_mode = TRUE, .mode = 0600, .set_mtime = TRUE, .mtime_ns = now () + SECOND };

  assert_is (put_key (root, "k", "v"), 0);
  draft = open_draft (root, "k", 0);
  assert_is (ttl_draft_set_attrs (draft, &attrs, now ()), 0);
  cr_assert_not (ttl_draft_is_dirty (draft));
  cr_assert_eq (mode_of (raw ("k")), 0600);
  cr_assert_eq (mtime_ns (raw ("k")), now () + SECOND);
  assert_is (ttl_draft_set_xattr (draft, TTL_XATTR, "1h", 2, 0, now ()), 0);
  cr_assert_str_eq (ttl_of (root, "k"), "1h");
}

static int
renew (TtlDraft *draft)
{
  const TtlAttrs attrs = { .set_mtime = TRUE, .mtime_ns = now () };

  return ttl_draft_set_attrs (draft, &attrs, now ());
}

Test (draft, does_not_bring_an_expired_version_back_by_its_attributes)
{
  g_autoptr (TtlDraft) draft = NULL;

  assert_is (put_key (root, "k", "v"), 0);
  draft = open_draft (root, "k", 0);
  advance (TTL);
  assert_is (renew (draft), 0);
  assert_no_key (root, "k");
}

/* Nor while a reaper has taken it off its name, and would bring back what is renewed. */
Test (draft, does_not_renew_what_a_reaper_has_taken)
{
  g_autoptr (TtlDraft) draft = NULL;

  assert_is (put_key (root, "k", "v"), 0);
  draft = open_draft (root, "k", 0);
  advance (TTL);
  assert_ok (rename (raw ("k"), raw (".tmp_reap0")));
  assert_is (renew (draft), -ENOENT);
  cr_assert_lt (mtime_ns (raw (".tmp_reap0")), now () - TTL + 1);
}

Test (draft, does_not_set_the_ttl_of_the_version_that_replaced_its_own)
{
  g_autoptr (TtlDraft) draft = NULL;

  assert_is (put_key (root, "k", "v"), 0);
  draft = open_draft (root, "k", 0);
  assert_is (put_key (root, "k", "other"), 0);
  assert_is (ttl_draft_set_xattr (draft, TTL_XATTR, "1h", 2, 0, now ()), -ESTALE);
  cr_assert_str_eq (ttl_of (root, "k"), "10s");
}

Test (draft, publishes_a_future_mtime_that_was_set_through_it)
{
  g_autoptr (TtlDraft) draft = open_draft (root, "k", O_CREAT);
  TtlAttrs attrs = { .set_mtime = TRUE, .mtime_ns = now () + 5 * TTL };
  struct stat st;

  assert_is (ttl_draft_set_attrs (draft, &attrs, now ()), 0);
  assert_is (ttl_draft_stat (draft, &st), 0);
  cr_assert_eq (ttl_timespec_ns (&st.st_mtim), attrs.mtime_ns);
  assert_is (publish (draft), 0);
  cr_assert_eq (mtime_ns (raw ("k")), attrs.mtime_ns);
}

Test (draft, publishes_now_where_a_past_mtime_would_end_the_lease)
{
  g_autoptr (TtlDraft) draft = open_draft (root, "k", O_CREAT);
  TtlAttrs attrs = { .set_mtime = TRUE, .mtime_ns = now () - TTL };

  assert_is (ttl_draft_set_attrs (draft, &attrs, now ()), 0);
  advance (SECOND);
  assert_is (publish (draft), 0);
  cr_assert_eq (mtime_ns (raw ("k")), now ());
}

Test (draft, forgets_a_mtime_that_was_set_before_it_was_written)
{
  g_autoptr (TtlDraft) draft = open_draft (root, "k", O_CREAT);
  TtlAttrs attrs = { .set_mtime = TRUE, .mtime_ns = now () + 5 * TTL };

  assert_is (ttl_draft_set_attrs (draft, &attrs, now ()), 0);
  write_draft (draft, "v");
  assert_is (publish (draft), 0);
  cr_assert_eq (mtime_ns (raw ("k")), now ());
}

Test (draft, is_the_owners_who_made_it)
{
  const TtlOwner maker = { .uid = 12, .gid = 34, .mode = 0604 };
  g_autoptr (TtlDraft) draft = NULL;
  struct stat st;

  if (getuid () != 0)
    cr_skip ("needs root");
  assert_is (ttl_draft_open (store, root, "k", O_CREAT, &maker, now (), &draft), 0);
  assert_is (ttl_draft_stat (draft, &st), 0);
  cr_assert_eq (st.st_uid, 12);
  cr_assert_eq (st.st_mode & 07777, 0604);
  cr_assert_eq (st.st_nlink, 1);
  assert_is (publish (draft), 0);
  assert_ok (stat_of (raw ("k"), &st));
  cr_assert_eq (st.st_uid, 12);
  cr_assert_eq (st.st_gid, 34);
  cr_assert_eq (st.st_mode & 07777, 0604);
}

Test (draft, takes_the_setuid_bit_away_as_writing_in_place_does)
{
  const TtlOwner user = { .uid = 12, .gid = 34, .mode = 0644 };
  g_autoptr (TtlDraft) draft = NULL;

  if (getuid () != 0)
    cr_skip ("needs root");
  assert_is (put_key (root, "k", "v"), 0);
  assert_ok (chmod (raw ("k"), 06777));
  assert_is (ttl_draft_open (store, root, "k", 0, &user, now (), &draft), 0);
  write_draft (draft, "x");
  assert_is (publish (draft), 0);
  cr_assert_eq (mode_of (raw ("k")), 0777);
}

Test (draft, refuses_xattrs_as_a_key_does)
{
  g_autoptr (TtlDraft) draft = open_draft (root, "k", O_CREAT);
  char value[64];

  assert_is (ttl_draft_set_xattr (draft, TTL_XATTR, "1", 1, 0, now ()), -EINVAL);
  assert_is (ttl_draft_set_xattr (draft, "user.ttlfs.expires", "1", 1, 0, now ()), -EPERM);
  assert_is (ttl_draft_set_xattr (draft, "user.ttlfs.other", "1", 1, 0, now ()), -EPERM);
  assert_is (ttl_draft_set_xattr (draft, "trusted.a", "1", 1, 0, now ()), -ENOTSUP);
  assert_is (ttl_draft_remove_xattr (draft, "trusted.a", now ()), -ENOTSUP);
  assert_is (ttl_draft_remove_xattr (draft, "user.ttlfs.remaining", now ()), -EPERM);
  assert_is (ttl_draft_get_xattr (draft, "trusted.a", value, sizeof value, now ()), -ENOTSUP);
  assert_is (ttl_draft_get_xattr (draft, "user.ttlfs.other", value, sizeof value, now ()),
             -ENODATA);
  assert_is (ttl_draft_get_xattr (draft, TTL_XATTR, value, sizeof value, now ()), 3);
  assert_is (ttl_draft_get_xattr (draft, TTL_XATTR, value, 2, now ()), -ERANGE);
}

Test (draft, knows_setxattr_flags_for_its_ttl)
{
  g_autoptr (TtlDraft) draft = open_draft (root, "k", O_CREAT);

  assert_is (ttl_draft_set_xattr (draft, TTL_XATTR, "1m", 2, XATTR_REPLACE, now ()), -ENODATA);
  assert_is (ttl_draft_set_xattr (draft, TTL_XATTR, "1m", 2, XATTR_CREATE, now ()), 0);
  assert_is (ttl_draft_set_xattr (draft, TTL_XATTR, "2m", 2, XATTR_CREATE, now ()), -EEXIST);
}

/* ---- other names, no name ---- */

Test (draft, publishes_under_the_name_that_it_has_now)
{
  g_autoptr (TtlDraft) draft = open_draft (root, "a", O_CREAT);

  write_draft (draft, "v");
  ttl_draft_moved (draft, bucket ("b"), "c");
  cr_assert_eq (ttl_draft_bucket (draft), bucket ("b"));
  cr_assert_str_eq (ttl_draft_backing (draft), "c");
  assert_is (publish (draft), 0);
  assert_no_key (root, "a");
  assert_key (bucket ("b"), "c", "v");
  cr_assert_eq (count_files (root_dir ()), 1);
}

Test (draft, that_is_orphaned_publishes_nothing)
{
  g_autoptr (TtlDraft) draft = open_draft (root, "k", O_CREAT | O_EXCL);
  struct stat st;

  write_draft (draft, "v");
  ttl_draft_orphan (draft);
  cr_assert_not (exists (raw ("k")));
  write_draft (draft, "w");
  cr_assert_str_eq (content (draft), "w");
  assert_is (publish (draft), 0);
  assert_no_key (root, "k");
  assert_is (ttl_draft_stat (draft, &st), 0);
}

/* ---- scratch names ---- */

Test (draft, has_no_name_where_it_needs_none)
{
  g_autoptr (TtlDraft) draft = NULL;

  if (!ttl_store_caps (store)->tmpfile)
    return; /* here it needs one */
  draft = open_draft (root, "k", O_CREAT);
  write_draft (draft, "v");
  cr_assert_eq (count_scratch (root_dir ()), 0);
}

Test (draft, keeps_its_scratch_name_from_expiring)
{
  g_autoptr (TtlDraft) draft = NULL;

  store->caps.tmpfile = FALSE;
  draft = open_draft (root, "k", O_CREAT);
  write_draft (draft, "v");
  cr_assert_eq (count_scratch (root_dir ()), 1);
  for (int i = 0; i < 20; i++)
    {
      (void)ttl_keeper_run (store->keeper, now ());
      ttl_reaper_rescan (store->reaper, root);
      (void)ttl_reaper_run (store->reaper, now ());
      advance (TTL / 3);
    }
  assert_is (publish (draft), 0);
  assert_key (root, "k", "v");
  cr_assert_eq (count_scratch (root_dir ()), 0);
}

Test (draft, keeps_both_its_scratch_name_and_what_it_published)
{
  g_autoptr (TtlDraft) draft = NULL;

  store->caps.tmpfile = FALSE;
  draft = open_draft (root, "k", O_CREAT);
  assert_is (publish (draft), 0);
  write_draft (draft, "v");
  for (int i = 0; i < 20; i++)
    {
      (void)ttl_keeper_run (store->keeper, now ());
      advance (TTL / 3);
    }
  assert_key (root, "k", "");
  cr_assert_eq (count_scratch (root_dir ()), 1);
  ttl_draft_moved (draft, bucket ("b"), "k");
  cr_assert_eq (count_scratch (raw ("b")), 1);
  assert_is (publish (draft), 0);
  assert_key (bucket ("b"), "k", "v");
}

Test (draft, drops_its_scratch_name)
{
  TtlDraft *draft;

  store->caps.tmpfile = FALSE;
  draft = open_draft (root, "k", O_CREAT);
  ttl_draft_free (draft);
  cr_assert_eq (count_scratch (root_dir ()), 0);
}

/* ---- errors ---- */

static void
limit_file_size (rlim_t bytes)
{
  struct rlimit limit;

  signal (SIGXFSZ, SIG_IGN);
  assert_ok (getrlimit (RLIMIT_FSIZE, &limit));
  limit.rlim_cur = bytes;
  assert_ok (setrlimit (RLIMIT_FSIZE, &limit));
}

Test (draft, leaves_all_as_it_was_when_the_copy_does_not_fit)
{
  g_autofree char *large = g_strnfill (100000, 'x');
  g_autoptr (TtlDraft) draft = NULL;
  int fd, res;

  assert_is (put_key (root, "k", large), 0);
  draft = open_draft (root, "k", 0);
  limit_file_size (5000);
  res = ttl_draft_change (draft, TRUE, &fd);
  limit_file_size (RLIM_INFINITY);
  if (res == 0)
    return; /* this file system shares the blocks: it fits */
  assert_is (res, -EFBIG);
  cr_assert_not (ttl_draft_is_dirty (draft));
  cr_assert_eq (count_files (root_dir ()), 1);
  write_draft (draft, "y");
  assert_is (publish (draft), 0);
}

/* Whoever opens for writing and changes nothing takes nobody's put back. */
Test (draft, has_nothing_to_publish_after_a_change_that_failed)
{
  g_autoptr (TtlDraft) draft = NULL;

  assert_is (put_key (root, "k", "old"), 0);
  draft = open_draft (root, "k", 0);
  assert_is (ttl_draft_resize (draft, -1), -EINVAL);
  cr_assert_not (ttl_draft_is_dirty (draft));
  cr_assert_str_eq (content (draft), "old");
  assert_is (put_key (root, "k", "another's"), 0);
  assert_is (publish (draft), 0);
  assert_key (root, "k", "another's");
  write_draft (draft, "new");
  assert_is (ttl_draft_resize (draft, -1), -EINVAL);
  cr_assert (ttl_draft_is_dirty (draft));
  assert_is (publish (draft), 0);
  assert_key (root, "k", "new");
}

Test (draft, keeps_the_old_value_when_an_append_does_not_fit)
{
  g_autofree char *large = g_strnfill (100000, 'x');
  g_autoptr (TtlDraft) draft = NULL;

  draft = open_draft (root, "k", O_CREAT | O_APPEND);
  append (draft, "+");
  assert_is (put_key (root, "k", large), 0);
  limit_file_size (5000);
  assert_is (publish (draft), -EFBIG);
  limit_file_size (RLIM_INFINITY);
  assert_key (root, "k", large);
  cr_assert (ttl_draft_is_dirty (draft));
  assert_is (publish (draft), 0);
  cr_assert_str_eq (key_value (root, "k") + 100000, "+");
}

Test (draft, can_be_published_after_the_directory_could_be_written_again)
{
  g_autoptr (TtlDraft) draft = NULL;

  become_user ();
  draft = open_draft (root, "k", O_CREAT);
  write_draft (draft, "v");
  assert_ok (chmod (root_dir (), 0500));
  assert_is (publish (draft), -EACCES);
  assert_ok (chmod (root_dir (), 0700));
  assert_is (publish (draft), 0);
  assert_key (root, "k", "v");
}
