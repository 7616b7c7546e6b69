/* A bucket as a user sees it. */
#include "fixture.h"

TestSuite (list, .init = store_setup, .fini = store_teardown, .timeout = 60);

#define TTL (10 * SECOND) /* of the store */

Test (list, shows_keys_decoded_and_buckets_as_they_are)
{
  put_raw_at ("worker%2D1", "v", now ());
  put_raw_at ("a%2Fb", "v", now ());
  bucket ("v1-x");
  cr_assert_str_eq (names_in (root), "a%2Fb v1-x worker-1 ");
}

Test (list, hides_scratch_foreign_files_claims_and_its_own)
{
  g_autoptr (TtlDraft) claim = open_draft (root, "claimed", O_CREAT | O_EXCL);

  put_raw_at (".tmp_x", "v", now ());
  put_raw_at ("not-canonical", "v", now ());
  assert_ok (symlink ("elsewhere", raw ("link")));
  assert_ok (mkfifo (raw ("fifo"), 0644));
  (void)mkdir (raw (".ttlfs"), 0755);
  cr_assert_str_eq (names_in (root), "");
}

Test (list, shows_the_reserved_name_where_it_is_not_reserved)
{
  bucket ("b/.ttlfs");
  put_raw_at ("%2Ettlfs", "v", now ());
  cr_assert_str_eq (names_in (bucket ("b")), ".ttlfs ");
  cr_assert_str_eq (names_in (root), "%2Ettlfs b ");
}

Test (list, says_what_each_is)
{
  g_autoptr (TtlList) list = NULL;
  TtlListItem item;
  int keys = 0, buckets = 0, dots = 0;

  assert_is (put_key (root, "a-b", "abc"), 0);
  bucket ("b");
  assert_is (ttl_store_list (store, root, &list), 0);
  while (ttl_list_next (list, now (), &item) == 1)
    if (item.shown[0] == '.')
      {
        dots++;
        cr_assert (S_ISDIR (item.entry.st.st_mode));
        cr_assert_neq (item.entry.st.st_ino, 0);
      }
    else if (item.entry.kind == TTL_ENTRY_KEY)
      {
        keys++;
        cr_assert_str_eq (item.entry.backing, "a%2Db");
        cr_assert_eq (item.entry.st.st_size, 3);
        cr_assert_eq (item.entry.deadline, now () + TTL);
      }
    else
      {
        buckets++;
        cr_assert_eq (item.entry.kind, TTL_ENTRY_BUCKET);
        cr_assert_eq (item.entry.deadline, TTL_DEADLINE_NEVER);
      }
  cr_assert_eq (keys, 1);
  cr_assert_eq (buckets, 1);
  cr_assert_eq (dots, 2);
}

Test (list, judges_each_entry_when_it_comes_to_it)
{
  g_autoptr (TtlList) list = NULL;
  TtlListItem item;

  assert_is (put_key (root, "k", "v"), 0);
  assert_is (ttl_store_list (store, root, &list), 0);
  advance (TTL);
  while (ttl_list_next (list, now (), &item) == 1)
    cr_assert_eq (item.shown[0], '.');
}

Test (list, shows_a_key_by_its_backing_name_where_a_bucket_has_the_other)
{
  TtlEntry entry;

  put_raw_at ("a%2Db", "v", now ());
  assert_ok (mkdir (raw ("a-b"), 0755));
  cr_assert_str_eq (names_in (root), "a%2Db a-b ");
  assert_is (ttl_store_lookup (store, root, "a%2Db", now (), &entry), 0);
  cr_assert_eq (entry.kind, TTL_ENTRY_KEY);
}

Test (list, shows_names_that_open_what_they_came_from)
{
  static const char *const keys[]
      = { "a/b", "%", "%41", "%25", ".", "..", ".tmp_x", "\xff\xfe", "a b\n", ".ttlfs", "~" };
  g_autoptr (TtlList) list = NULL;
  TtlListItem item;
  guint seen = 0;

  for (gsize i = 0; i < G_N_ELEMENTS (keys); i++)
    {
      TtlName backing;
      cr_assert_eq (ttl_keyname_encode (TTL_NAMES_ENCODED, keys[i], strlen (keys[i]), backing), 0);
      put_raw_at (backing, keys[i], now ());
    }
  assert_is (ttl_store_list (store, root, &list), 0);
  while (ttl_list_next (list, now (), &item) == 1)
    {
      TtlEntry entry;

      if (item.entry.kind != TTL_ENTRY_KEY)
        continue;
      assert_is (ttl_store_lookup (store, root, item.shown, now (), &entry), 0);
      cr_assert_str_eq (entry.backing, item.entry.backing);
      seen++;
    }
  cr_assert_eq (seen, G_N_ELEMENTS (keys));
}

Test (list, goes_on_behind_any_entry)
{
  enum
  {
    N = 300
  };
  g_autoptr (TtlList) list = NULL;
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  TtlListItem item;

  for (int i = 0; i < N; i++)
    put_raw_at (text ("k%d", i), "v", now ());
  assert_is (ttl_store_list (store, root, &list), 0);
  while (ttl_list_next (list, now (), &item) == 1)
    {
      gint64 behind = item.next_off;

      cr_assert (g_hash_table_add (seen, g_strdup (item.shown)), "%s came twice", item.shown);
      /* As the kernel does it: reads ahead, and then comes back for what did not fit. */
      (void)ttl_list_next (list, now (), &item);
      ttl_list_seek (list, behind);
    }
  cr_assert_eq (g_hash_table_size (seen), N + 2);
}

Test (list, starts_again_with_what_has_changed)
{
  g_autoptr (TtlList) list = NULL;
  TtlListItem item;
  int n = 0;

  assert_is (ttl_store_list (store, root, &list), 0);
  while (ttl_list_next (list, now (), &item) == 1)
    n++;
  assert_is (put_key (root, "k", "v"), 0);
  ttl_list_seek (list, 0);
  while (ttl_list_next (list, now (), &item) == 1)
    n--;
  cr_assert_eq (n, -1);
}

Test (list, shows_what_stays_once_while_others_come_and_go)
{
  enum
  {
    N = 200
  };
  g_autoptr (TtlList) list = NULL;
  TtlListItem item;
  int stayed = 0, i = 0;

  for (int k = 0; k < N; k++)
    put_raw_at (text ("stays%d", k), "v", now ());
  assert_is (ttl_store_list (store, root, &list), 0);
  while (ttl_list_next (list, now (), &item) == 1)
    {
      stayed += g_str_has_prefix (item.shown, "stays");
      put_raw_at (text ("comes%d", i), "v", now ());
      (void)unlink (raw (text ("comes%d", i - 10)));
      i++;
    }
  cr_assert_eq (stayed, N);
}

Test (list, has_nothing_of_a_bucket_that_is_gone)
{
  TtlBucket *gone = bucket ("b");
  TtlList *list;

  ttl_bucket_forget_dir (gone);
  assert_ok (rmdir (raw ("b")));
  assert_is (ttl_store_list (store, gone, &list), -ESTALE);
}

Test (list, is_synced)
{
  g_autoptr (TtlList) list = NULL;

  assert_is (ttl_store_list (store, root, &list), 0);
  assert_is (ttl_list_sync (list), 0);
}

Test (list, shows_plain_names_as_they_are)
{
  reopen_store ((TtlStoreOptions){ .names = TTL_NAMES_PLAIN });
  put_raw_at ("worker-1", "v", now ());
  put_raw_at ("a%2Fb", "v", now ());
  put_raw_at (".tmp_x", "v", now ());
  cr_assert_str_eq (names_in (root), "a%2Fb worker-1 ");
}
