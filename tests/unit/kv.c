/* Keys and bytes, as a FileStore has them, beside processes that are FileStores. */
#include "kv.h"
#include "fixture.h"

#include <pthread.h>

#define SOON_MS 5000

static TtlKv *kv;

static void
setup (void)
{
  store_prepare ();
  kv = ttl_kv_open (root_dir (), NULL, NULL);
  cr_assert_not_null (kv);
  ttl_watcher_wait_ready (ttl_store_watcher (ttl_kv_store (kv)));
}

static void
teardown (void)
{
  g_clear_pointer (&kv, ttl_kv_shutdown);
  store_teardown ();
}

TestSuite (kv, .init = setup, .fini = teardown, .timeout = 60);

static TtlKvBucket *
make_bucket (const char *name, const char *ttl)
{
  TtlKvBucket *made = NULL;
  TtlDuration own;

  if (ttl != NULL)
    own = duration (ttl);
  assert_is (ttl_kv_get_or_create_bucket (kv, name, ttl != NULL ? &own : NULL, &made), 0);
  return made;
}

static int
insert (TtlKvBucket *in, const char *name, const char *value, guint64 revision)
{
  return ttl_kv_insert (in, name, strlen (name), value, strlen (value), revision);
}

static const char *
as_text (GBytes *bytes)
{
  gsize len;
  const char *data = g_bytes_get_data (bytes, &len);

  return text ("%.*s", (int)len, data != NULL ? data : "");
}

static const char *
value_of (TtlKvBucket *in, const char *name)
{
  g_autoptr (GBytes) value = NULL;
  int res = ttl_kv_get (in, name, strlen (name), &value);

  return res < 0 ? outcome (res) : as_text (value);
}

static const char *next (TtlKvWatch *watch);

/* As a FileStore inserts: a scratch file, then a hard link (revision 0) or a rename. */
static void
file_store_insert (const char *path, const char *value, guint64 revision)
{
  g_autofree char *dir = g_path_get_dirname (path);
  const char *scratch = text ("%s/.tmp_%08x%08x", dir, g_random_int (), g_random_int ());

  assert_ok (put (scratch, value));
  if (revision == 0)
    {
      assert_ok (link (scratch, path));
      assert_ok (unlink (scratch));
    }
  else
    assert_ok (rename (scratch, path));
}

/* ---- buckets ---- */

Test (kv, makes_buckets_with_all_that_leads_to_them)
{
  g_autoptr (TtlKvBucket) made = make_bucket ("v1/instances/x-y", NULL);

  cr_assert (exists (raw ("v1/instances/x-y")));
}

Test (kv, gets_only_buckets_that_are_there)
{
  g_autoptr (TtlKvBucket) found = NULL;

  assert_is (ttl_kv_get_bucket (kv, "v1/none", &found), -ENOENT);
  assert_ok (mkdir (raw ("v1"), 0755));
  assert_is (ttl_kv_get_bucket (kv, "v1", &found), 0);
}

Test (kv, has_the_root_for_a_bucket_without_a_name)
{
  g_autoptr (TtlKvBucket) top = make_bucket ("", NULL);
  g_autoptr (TtlKvWatch) watch = ttl_kv_watch (top);

  assert_is (insert (top, "k", "v", 0), 0);
  assert_value (raw ("k"), "v");
  cr_assert_str_eq (next (watch), "put k=v");
}

Test (kv, takes_no_name_that_leads_elsewhere)
{
  static const char *const wrong[] = { "..", "a/../b", ".", "/a", "a/", "a//b" };
  TtlKvBucket *made;

  for (gsize i = 0; i < G_N_ELEMENTS (wrong); i++)
    assert_is (ttl_kv_get_or_create_bucket (kv, wrong[i], NULL, &made), -EINVAL);
  assert_is (ttl_kv_get_or_create_bucket (kv, ".ttlfs", NULL, &made), -EPERM);
  assert_is (ttl_kv_get_bucket (kv, ".ttlfs", &made), -ENOENT);
  assert_ok (symlink ("/tmp", raw ("link")));
  assert_is (ttl_kv_get_or_create_bucket (kv, "link/a", NULL, &made), -ENOTDIR);
  assert_is (ttl_kv_get_bucket (kv, "link", &made), -ENOENT);
}

Test (kv, gives_a_bucket_its_ttl)
{
  g_autoptr (TtlKvBucket) made = make_bucket ("b", "1h");
  g_autoptr (TtlKvBucket) again = make_bucket ("b", NULL);
  TtlStore *of = ttl_kv_store (kv);
  TtlBucket *child = NULL;
  TtlDuration ttl;

  assert_is (ttl_bucket_get_child (ttl_store_root (of), "b", &child), 0);
  ttl_store_bucket_ttl (of, child, &ttl);
  cr_assert_str_eq (ttl.text, "1h");
  ttl_store_bucket_ttl (of, ttl_store_root (of), &ttl);
  cr_assert_str_eq (ttl.text, "10s");
  ttl_bucket_unref (child);
}

/* ---- insert, get, delete ---- */

Test (kv, gets_what_was_inserted)
{
  g_autoptr (TtlKvBucket) b = make_bucket ("v1/tests", NULL);

  assert_is (insert (b, "key1/multi/part", "value1", 0), 0);
  cr_assert_str_eq (value_of (b, "key1/multi/part"), "value1");
  assert_value (raw ("v1/tests/key1%2Fmulti%2Fpart"), "value1");
  cr_assert_str_eq (value_of (b, "key2"), "ENOENT");
}

Test (kv, creates_with_revision_0_and_puts_with_any_other)
{
  g_autoptr (TtlKvBucket) b = make_bucket ("b", NULL);

  assert_is (insert (b, "k", "1", 0), 0);
  assert_is (insert (b, "k", "2", 0), -EEXIST);
  cr_assert_str_eq (value_of (b, "k"), "1");
  assert_is (insert (b, "k", "3", 1), 0);
  cr_assert_str_eq (value_of (b, "k"), "3");
  assert_is (insert (b, "new", "4", 7), 0);
  cr_assert_str_eq (value_of (b, "new"), "4");
}

Test (kv, takes_any_bytes_for_keys_and_values)
{
  static const char bytes[] = "\0/\xff.%\n";
  g_autoptr (TtlKvBucket) b = make_bucket ("b", NULL);
  g_autoptr (GBytes) value = NULL;
  g_autoptr (GPtrArray) entries = NULL;

  assert_is (ttl_kv_insert (b, bytes, sizeof bytes, bytes, sizeof bytes, 0), 0);
  assert_is (ttl_kv_get (b, bytes, sizeof bytes, &value), 0);
  cr_assert_eq (g_bytes_get_size (value), sizeof bytes);
  cr_assert_arr_eq (g_bytes_get_data (value, NULL), bytes, sizeof bytes);
  assert_is (ttl_kv_entries (b, &entries), 0);
  cr_assert_eq (entries->len, 1);
  value = (g_bytes_unref (value), g_bytes_ref (((TtlKvEntry *)entries->pdata[0])->key));
  cr_assert_eq (g_bytes_get_size (value), 2 + sizeof bytes);
  cr_assert_arr_eq ((const char *)g_bytes_get_data (value, NULL) + 2, bytes, sizeof bytes);
}

Test (kv, takes_empty_values_and_no_empty_keys)
{
  g_autofree char *long_key = g_strnfill (86, '-');
  g_autoptr (TtlKvBucket) b = make_bucket ("b", NULL);

  assert_is (insert (b, "k", "", 0), 0);
  cr_assert_str_eq (value_of (b, "k"), "");
  assert_is (insert (b, "", "v", 0), -EINVAL);
  assert_is (insert (b, long_key, "v", 0), -ENAMETOOLONG);
  assert_is (ttl_kv_delete (b, "", 0), -EINVAL);
}

Test (kv, has_keys_that_look_like_something_else)
{
  static const char *const names[] = { ".", "..", ".tmp_x", ".ttlfs", "%41" };
  g_autoptr (TtlKvBucket) b = make_bucket ("b", NULL);

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    {
      assert_is (insert (b, names[i], names[i], 0), 0);
      cr_assert_str_eq (value_of (b, names[i]), names[i]);
    }
}

Test (kv, takes_large_values)
{
  enum
  {
    SIZE = 20 * 1000 * 1000
  };
  g_autoptr (TtlKvBucket) b = make_bucket ("b", NULL);
  g_autofree char *large = g_strnfill (SIZE, 'x');
  g_autoptr (GBytes) value = NULL;

  assert_is (ttl_kv_insert (b, "k", 1, large, SIZE, 0), 0);
  assert_is (ttl_kv_get (b, "k", 1, &value), 0);
  cr_assert_eq (g_bytes_get_size (value), SIZE);
  cr_assert_eq (memcmp (g_bytes_get_data (value, NULL), large, SIZE), 0);
}

Test (kv, deletes)
{
  g_autoptr (TtlKvBucket) b = make_bucket ("b", NULL);

  assert_is (insert (b, "k", "v", 0), 0);
  assert_is (ttl_kv_delete (b, "k", 1), 0);
  assert_is (ttl_kv_delete (b, "k", 1), -ENOENT);
  assert_is (insert (b, "k", "v", 0), 0);
}

Test (kv, shares_a_root_with_a_file_store)
{
  g_autoptr (TtlKvBucket) b = make_bucket ("b", NULL);

  file_store_insert (raw ("b/of%2Dits"), "its", 0);
  cr_assert_str_eq (value_of (b, "of-its"), "its");
  assert_is (insert (b, "of-its", "ours", 0), -EEXIST);
  assert_is (insert (b, "of-ours", "ours", 0), 0);
  assert_value (raw ("b/of%2Dours"), "ours");
  assert_errno (link (raw ("b/of%2Dits"), raw ("b/of%2Dours")), EEXIST);
  file_store_insert (raw ("b/of%2Dours"), "its", 1);
  cr_assert_str_eq (value_of (b, "of-ours"), "its");
}

typedef struct
{
  TtlKvBucket *bucket;
  int round, won;
} Contender;

static void *
contend (void *data)
{
  Contender *self = data;

  for (int i = 0; i < 200; i++)
    {
      char name[16];

      g_snprintf (name, sizeof name, "k%d", i);
      self->won += ttl_kv_insert (self->bucket, name, strlen (name), name, strlen (name), 0) == 0;
    }
  return NULL;
}

Test (kv, has_one_winner_of_a_create)
{
  enum
  {
    N = 4
  };
  g_autoptr (TtlKvBucket) b = make_bucket ("b", NULL);
  TtlKv *other = ttl_kv_open (root_dir (), NULL, NULL);
  g_autoptr (TtlKvBucket) b_of_other = NULL;
  Contender contenders[N] = { 0 };
  pthread_t threads[N];
  int won = 0;

  assert_is (ttl_kv_get_bucket (other, "b", &b_of_other), 0);
  for (int i = 0; i < N; i++)
    {
      contenders[i].bucket = i % 2 ? b_of_other : b;
      cr_assert_eq (pthread_create (&threads[i], NULL, contend, &contenders[i]), 0);
    }
  for (int i = 0; i < N; i++)
    {
      pthread_join (threads[i], NULL);
      won += contenders[i].won;
    }
  cr_assert_eq (won, 200);
  g_clear_pointer (&b_of_other, ttl_kv_bucket_free);
  ttl_kv_shutdown (other);
}

/* ---- entries ---- */

static int
compare_lines (gconstpointer a, gconstpointer b)
{
  return strcmp (*(char *const *)a, *(char *const *)b);
}

Test (kv, has_every_key_of_a_bucket_with_its_path)
{
  g_autoptr (TtlKvBucket) b = make_bucket ("v1/tests", NULL);
  g_autoptr (TtlKvBucket) below = make_bucket ("v1/tests/below", NULL);
  g_autoptr (GPtrArray) entries = NULL;
  g_autoptr (GPtrArray) lines = g_ptr_array_new ();

  assert_is (insert (b, "key1/multi/part", "value1", 0), 0);
  assert_is (insert (b, "key2", "value2", 0), 0);
  assert_is (insert (below, "k", "v", 0), 0);
  assert_ok (put (raw ("v1/tests/.tmp_x"), "v"));
  assert_ok (put (raw ("v1/tests/not-canonical"), "v"));
  assert_is (ttl_kv_entries (b, &entries), 0);
  cr_assert_eq (entries->len, 2);
  for (guint i = 0; i < entries->len; i++)
    {
      const TtlKvEntry *entry = entries->pdata[i];
      g_ptr_array_add (lines, (char *)text ("%s=%s", as_text (entry->key), as_text (entry->value)));
    }
  g_ptr_array_sort (lines, compare_lines);
  cr_assert_str_eq (lines->pdata[0], "v1/tests/key1/multi/part=value1");
  cr_assert_str_eq (lines->pdata[1], "v1/tests/key2=value2");
}

/* ---- leases ---- */

Test (kv, keeps_what_was_put_through_it_alive)
{
  g_autoptr (TtlKvBucket) b = make_bucket ("b", "300ms");

  assert_is (insert (b, "k", "v", 0), 0);
  cr_assert (STAYS (1500, exists (raw ("b/k"))));
}

Test (kv, lets_what_others_put_expire)
{
  g_autoptr (TtlKvBucket) b = make_bucket ("b", "300ms");

  file_store_insert (raw ("b/k"), "v", 0);
  cr_assert_str_eq (value_of (b, "k"), "v");
  cr_assert (EVENTUALLY (SOON_MS, !exists (raw ("b/k"))));
  cr_assert_str_eq (value_of (b, "k"), "ENOENT");
}

Test (kv, removes_what_is_its_own_at_shutdown)
{
  TtlKvBucket *b = make_bucket ("b", NULL);

  assert_is (insert (b, "ours", "v", 0), 0);
  assert_is (insert (b, "theirs", "v", 0), 0);
  file_store_insert (raw ("b/theirs"), "put since", 1);
  ttl_kv_bucket_free (b);
  g_clear_pointer (&kv, ttl_kv_shutdown);
  cr_assert_not (exists (raw ("b/ours")));
  assert_value (raw ("b/theirs"), "put since");
}

Test (kv, has_a_connection_id_of_its_own)
{
  TtlKv *other = ttl_kv_open (root_dir (), NULL, NULL);

  cr_assert_eq (ttl_kv_connection_id (kv), ttl_kv_connection_id (kv));
  cr_assert_neq (ttl_kv_connection_id (kv), ttl_kv_connection_id (other));
  ttl_kv_shutdown (other);
}

Test (kv, makes_its_directory_and_says_why_it_cannot)
{
  g_autoptr (GError) error = NULL;
  TtlKv *other = ttl_kv_open (raw ("new/root"), NULL, NULL);

  cr_assert_not_null (other);
  ttl_kv_shutdown (other);
  assert_ok (put (raw ("file"), "v"));
  cr_assert_null (ttl_kv_open (raw ("file"), NULL, &error));
  cr_assert_not_null (error);
}

/* ---- a bucket that goes ---- */

Test (kv, finds_a_bucket_that_was_made_again)
{
  g_autoptr (TtlKvBucket) b = make_bucket ("a/b", NULL);

  assert_is (insert (b, "k", "v", 0), 0);
  assert_ok (unlink (raw ("a/b/k")));
  assert_ok (rmdir (raw ("a/b")));
  assert_is (insert (b, "k", "v", 0), -ENOENT);
  cr_assert_str_eq (value_of (b, "k"), "ENOENT");
  assert_ok (mkdir (raw ("a/b"), 0755));
  assert_is (insert (b, "k", "w", 0), 0);
  assert_value (raw ("a/b/k"), "w");
}

/* ---- watching ---- */

static const char *
next (TtlKvWatch *watch)
{
  g_auto (TtlKvEvent) event = { 0 };
  int res = ttl_kv_watch_next (watch, SOON_MS, &event);

  if (res != 1)
    return outcome (res);
  return event.kind == TTL_KV_PUT ? text ("put %s=%s", as_text (event.key), as_text (event.value))
                                  : text ("delete %s", as_text (event.key));
}

static void
assert_quiet (TtlKvWatch *watch)
{
  g_auto (TtlKvEvent) event = { 0 };

  assert_is (ttl_kv_watch_next (watch, 100, &event), 0);
}

Test (kv, watches_from_what_is_there)
{
  g_autoptr (TtlKvBucket) b = make_bucket ("v1/tests", NULL);
  g_autoptr (TtlKvWatch) watch = NULL;

  assert_is (insert (b, "key1/multi/part", "value1", 0), 0);
  watch = ttl_kv_watch (b);
  cr_assert_str_eq (next (watch), "put v1/tests/key1/multi/part=value1");
  assert_quiet (watch);
}

Test (kv, watches_what_everybody_puts_and_deletes)
{
  g_autoptr (TtlKvBucket) b = make_bucket ("b", NULL);
  g_autoptr (TtlKvWatch) watch = ttl_kv_watch (b);

  assert_is (insert (b, "k", "1", 0), 0);
  cr_assert_str_eq (next (watch), "put b/k=1");
  assert_is (insert (b, "k", "2", 1), 0);
  cr_assert_str_eq (next (watch), "put b/k=2");
  file_store_insert (raw ("b/k"), "3", 1);
  cr_assert_str_eq (next (watch), "put b/k=3");
  assert_is (ttl_kv_delete (b, "k", 1), 0);
  cr_assert_str_eq (next (watch), "delete b/k");
  file_store_insert (raw ("b/l"), "4", 0);
  cr_assert_str_eq (next (watch), "put b/l=4");
  assert_ok (unlink (raw ("b/l")));
  cr_assert_str_eq (next (watch), "delete b/l");
  assert_quiet (watch);
}

Test (kv, watches_what_a_peer_writes_in_place)
{
  g_autoptr (TtlKvBucket) b = make_bucket ("b", NULL);
  g_autoptr (TtlKvWatch) watch = NULL;

  assert_is (insert (b, "k", "1", 0), 0);
  watch = ttl_kv_watch (b);
  cr_assert_str_eq (next (watch), "put b/k=1");
  assert_ok (put_with (raw ("b/k"), 0, "2"));
  cr_assert_str_eq (next (watch), "put b/k=2");
  assert_ok (set_mtime_ns (raw ("b/k"), now_ns ()));
  assert_quiet (watch);
}

Test (kv, watches_what_expires)
{
  g_autoptr (TtlKvBucket) b = make_bucket ("b", "200ms");
  g_autoptr (TtlKvWatch) watch = ttl_kv_watch (b);

  file_store_insert (raw ("b/k"), "v", 0);
  cr_assert_str_eq (next (watch), "put b/k=v");
  cr_assert_str_eq (next (watch), "delete b/k");
}

Test (kv, does_not_tell_of_renewals_scratch_and_other_buckets)
{
  g_autoptr (TtlKvBucket) b = make_bucket ("b", "150ms");
  g_autoptr (TtlKvBucket) other = make_bucket ("b/c", NULL);
  g_autoptr (TtlKvWatch) watch = ttl_kv_watch (b);

  assert_is (insert (b, "k", "v", 0), 0);
  cr_assert_str_eq (next (watch), "put b/k=v");
  assert_is (insert (other, "k", "v", 0), 0);
  assert_ok (put (raw ("b/.tmp_x"), "v"));
  assert_ok (unlink (raw ("b/.tmp_x")));
  for (int i = 0; i < 5; i++)
    assert_quiet (watch); /* it is renewed all the time */
}

Test (kv, watches_a_bucket_that_goes_and_comes)
{
  g_autoptr (TtlKvBucket) b = make_bucket ("a/b", NULL);
  g_autoptr (TtlKvWatch) watch = ttl_kv_watch (b);

  file_store_insert (raw ("a/b/k"), "1", 0);
  cr_assert_str_eq (next (watch), "put a/b/k=1");
  assert_ok (rename (raw ("a"), raw ("elsewhere")));
  cr_assert_str_eq (next (watch), "delete a/b/k");
  assert_ok (mkdir (raw ("a"), 0755));
  assert_ok (mkdir (raw ("a/b"), 0755));
  file_store_insert (raw ("a/b/l"), "2", 0);
  cr_assert_str_eq (next (watch), "put a/b/l=2");
  file_store_insert (raw ("a/b/m"), "3", 0);
  cr_assert_str_eq (next (watch), "put a/b/m=3");
}

Test (kv, tells_whoever_is_slow_the_last_value)
{
  g_autoptr (TtlKvBucket) b = make_bucket ("b", NULL);
  g_autoptr (TtlKvWatch) watch = ttl_kv_watch (b);
  const char *event;

  for (int i = 0; i <= 1000; i++)
    file_store_insert (raw ("b/k"), text ("%d", i), 1);
  do
    event = next (watch);
  while (strcmp (event, "put b/k=1000") != 0 && g_str_has_prefix (event, "put b/k="));
  cr_assert_str_eq (event, "put b/k=1000");
}

static void *
insert_many (void *data)
{
  for (int i = 0; i < 500; i++)
    {
      char name[16];

      g_snprintf (name, sizeof name, "k%03d", i);
      (void)ttl_kv_insert (data, name, strlen (name), name, strlen (name), 0);
    }
  return NULL;
}

Test (kv, misses_nothing_while_it_begins_to_watch)
{
  g_autoptr (TtlKvBucket) b = make_bucket ("b", NULL);
  g_autoptr (GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (TtlKvWatch) watch = NULL;
  pthread_t thread;

  cr_assert_eq (pthread_create (&thread, NULL, insert_many, b), 0);
  watch = ttl_kv_watch (b);
  while (g_hash_table_size (seen) < 500)
    {
      const char *event = next (watch);

      cr_assert (g_str_has_prefix (event, "put b/k"), "%s after %u", event,
                 g_hash_table_size (seen));
      g_hash_table_add (seen, (char *)event);
    }
  pthread_join (thread, NULL);
}
