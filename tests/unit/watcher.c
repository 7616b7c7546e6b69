/* What happens in the backing directory becomes known, whoever does it. */
#include "fixture.h"

#include <pthread.h>
#include <sys/inotify.h>

static TtlStore *live; /* on the machine's clock, with its threads */
static TtlBucket *top;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static GString *heard; /* guarded by lock; "put:k " and so on */
static guint listener;

#define SOON_MS 5000

static void
hear (const TtlEvent *event, gpointer data G_GNUC_UNUSED)
{
  static const char *const names[] = { "put", "renew", "delete", "bucket", "resync", "attrs" };
  g_autofree char *path = event->bucket != NULL ? ttl_bucket_dup_path (event->bucket) : NULL;

  pthread_mutex_lock (&lock);
  g_string_append_printf (heard, "%s:%s%s%s ", names[event->kind], path != NULL ? path : "",
                          path != NULL && path[0] != '\0' ? "/" : "",
                          event->backing != NULL ? event->backing : "");
  pthread_mutex_unlock (&lock);
}

static gboolean
has_heard (const char *what)
{
  gboolean found;

  pthread_mutex_lock (&lock);
  found = strstr (heard->str, what) != NULL;
  pthread_mutex_unlock (&lock);
  return found;
}

static const char *
all_heard (void)
{
  const char *all;

  pthread_mutex_lock (&lock);
  all = text ("%s", heard->str);
  pthread_mutex_unlock (&lock);
  return all;
}

static void
forget_all (void)
{
  pthread_mutex_lock (&lock);
  g_string_truncate (heard, 0);
  pthread_mutex_unlock (&lock);
}

#define assert_hears(what) \
  cr_assert (EVENTUALLY (SOON_MS, has_heard (what)), "no %s in: %s", what, all_heard ())

/* Everything that happened before is known now. */
static void
settle (void)
{
  static int n;
  const char *name = text ("settled%d", n++);

  assert_ok (put_raw (raw (name), ""));
  assert_hears (text ("put:%s ", name));
  assert_ok (unlink (raw (name)));
  assert_hears (text ("delete:%s ", name));
}

static void
setup (void)
{
  store_prepare ();
  heard = g_string_new (NULL);
  live = open_live_store ("1h", TTL_KEEPALIVE_HELD);
  top = ttl_store_root (live);
  listener = ttl_watcher_add_listener (ttl_store_watcher (live), hear, NULL);
}

static void
teardown (void)
{
  g_clear_pointer (&live, ttl_store_close);
  g_string_free (heard, TRUE);
  store_teardown ();
}

TestSuite (watcher, .init = setup, .fini = teardown, .timeout = 60);

static void
put_live (const char *backing)
{
  g_autoptr (TtlDraft) draft = NULL;

  assert_is (ttl_draft_open (live, top, backing, O_CREAT | O_TRUNC, owner (), ttl_store_now (live),
                             &draft),
             0);
  assert_is (ttl_draft_publish (draft, TTL_PUBLISH_LAST), 0);
}

static gboolean
is_known (const char *bucket_path)
{
  g_autoptr (GPtrArray) all = ttl_tree_dup_all (live->tree);

  for (guint i = 0; i < all->len; i++)
    {
      g_autofree char *path = ttl_bucket_dup_path (g_ptr_array_index (all, i));

      if (strcmp (path, bucket_path) == 0)
        return ttl_watcher_sees (live->watcher, g_ptr_array_index (all, i));
    }
  return FALSE;
}

Test (watcher, hears_what_we_put_and_delete)
{
  put_live ("k");
  assert_hears ("put:k ");
  forget_all ();
  put_live ("k");
  assert_hears ("put:k ");
  assert_is (ttl_store_delete (live, top, "k", ttl_store_now (live)), 0);
  assert_hears ("delete:k ");
}

Test (watcher, hears_what_a_peer_puts_in_any_way)
{
  assert_ok (put (raw ("written"), "v"));
  assert_hears ("put:written ");
  assert_ok (put_raw (raw ("renamed"), "v"));
  assert_hears ("put:renamed ");
  assert_ok (link (raw ("renamed"), raw ("linked")));
  assert_hears ("put:linked ");
}

Test (watcher, hears_what_a_peer_renews_renames_and_deletes)
{
  assert_ok (put_raw (raw ("k"), "v"));
  assert_hears ("put:k ");
  assert_ok (set_mtime_ns (raw ("k"), now_ns ()));
  assert_hears ("renew:k ");
  assert_ok (rename (raw ("k"), raw ("l")));
  assert_hears ("delete:k put:l ");
  assert_ok (unlink (raw ("l")));
  assert_hears ("delete:l ");
}

Test (watcher, hears_what_is_set_through_the_description_that_published)
{
  g_autoptr (TtlDraft) draft = NULL;
  const TtlAttrs touch = { .set_mtime = TRUE, .mtime_ns = now_ns () + SECOND };
  const TtlAttrs mode = { .set_mode = TRUE, .mode = 0600 };

  assert_is (ttl_draft_open (live, top, "k", O_CREAT, owner (), ttl_store_now (live), &draft), 0);
  assert_is (ttl_draft_publish (draft, TTL_PUBLISH_DEFAULT), 0);
  settle ();
  assert_is (ttl_draft_set_attrs (draft, &touch, ttl_store_now (live)), 0);
  assert_hears ("renew:k ");
  forget_all ();
  assert_is (ttl_draft_set_attrs (draft, &mode, ttl_store_now (live)), 0);
  assert_hears ("renew:k ");
}

Test (watcher, hears_it_within_10_ms_mostly)
{
  gint64 took[50];

  for (gsize i = 0; i < G_N_ELEMENTS (took); i++)
    {
      gint64 began = now_ns ();

      forget_all ();
      assert_ok (put_raw (raw ("k"), "v"));
      while (!has_heard ("put:k ") && now_ns () < began + 5 * SECOND)
        g_usleep (100);
      took[i] = now_ns () - began;
    }
  cr_assert_lt (median (took, G_N_ELEMENTS (took)), tolerance_ns (10));
}

Test (watcher, says_nothing_of_scratch_claims_and_foreign_files)
{
  TtlDraft *draft;

  assert_ok (put (raw (".tmp_x"), "v"));
  assert_ok (put (raw ("not-canonical"), "v"));
  assert_ok (unlink (raw (".tmp_x")));
  assert_is (ttl_draft_open (live, top, "k", O_CREAT | O_EXCL, owner (), now_ns (), &draft), 0);
  settle ();
  cr_assert_not (has_heard ("tmp"), "%s", all_heard ());
  cr_assert_not (has_heard ("not-canonical"), "%s", all_heard ());
  cr_assert_not (has_heard ("put:k "), "%s", all_heard ());
  ttl_draft_free (draft);
}

Test (watcher, hears_of_an_entry_that_expires)
{
  TtlDuration ttl = duration ("200ms");

  put_live ("k");
  assert_is (ttl_store_set_bucket_ttl (live, top, &ttl), 0);
  assert_hears ("delete:k ");
  cr_assert (EVENTUALLY (1000, count_files (root_dir ()) == 0));
}

Test (watcher, lets_what_a_peer_puts_expire)
{
  TtlDuration ttl = duration ("200ms");
  gint64 put_at;

  assert_is (ttl_store_set_bucket_ttl (live, top, &ttl), 0);
  put_at = now_ns ();
  assert_ok (put_raw (raw ("k"), "v"));
  cr_assert (EVENTUALLY (3000, !exists (raw ("k"))));
  cr_assert_geq (now_ns (), put_at + 190 * MS);
}

Test (watcher, hears_of_buckets)
{
  assert_ok (mkdir (raw ("b"), 0755));
  assert_hears ("bucket:b ");
  assert_ok (rename (raw ("b"), raw ("c")));
  assert_hears ("bucket:c ");
  assert_ok (rmdir (raw ("c")));
  cr_assert (EVENTUALLY (SOON_MS, !is_known ("c")));
}

Test (watcher, looks_into_buckets_as_deep_as_they_appear)
{
  assert_ok (mkdir (raw (".tmp_tree"), 0755));
  assert_ok (mkdir (raw (".tmp_tree/in"), 0755));
  assert_ok (put (raw (".tmp_tree/in/k"), "v"));
  assert_ok (rename (raw (".tmp_tree"), raw ("tree")));
  assert_hears ("bucket:tree ");
  assert_hears ("bucket:tree/in ");
  assert_hears ("put:tree/in/k ");
  cr_assert (EVENTUALLY (SOON_MS, is_known ("tree/in")));
  assert_ok (put_raw (raw ("tree/in/l"), "v"));
  assert_hears ("put:tree/in/l ");
}

Test (watcher, misses_nothing_in_a_bucket_that_a_peer_has_just_made)
{
  for (int i = 0; i < 100; i++)
    {
      assert_ok (mkdir (raw (text ("b%d", i)), 0755));
      assert_ok (put_raw (raw (text ("b%d/k", i)), "v"));
    }
  for (int i = 0; i < 100; i++)
    assert_hears (text ("put:b%d/k ", i));
}

Test (watcher, knows_what_was_there_before)
{
  gint64 dead = now_ns () - 7200 * SECOND;

  ttl_store_close (live);
  assert_ok (mkdir (raw ("b"), 0755));
  put_raw_at ("b/old", "v", dead);
  put_raw_at ("old", "v", dead);
  put_raw_at ("b/new", "v", now_ns ());
  live = open_live_store ("1h", TTL_KEEPALIVE_HELD);
  cr_assert (is_known ("b"), "ready means that all of it has been looked at");
  cr_assert (EVENTUALLY (SOON_MS, count_files (root_dir ()) == 1));
  assert_value (raw ("b/new"), "v");
}

Test (watcher, follows_a_ttl_that_a_peer_sets)
{
  put_live ("k");
  if (!ttl_store_caps (live)->xattrs)
    return; /* a peer has no way to set one */
  cr_assert (EVENTUALLY (SOON_MS, is_known ("")));
  assert_ok (set_xattr (root_dir (), TTL_XATTR, "100ms"));
  cr_assert (EVENTUALLY (SOON_MS, !exists (raw ("k"))));
}

Test (watcher, follows_a_ttl_that_another_store_sets)
{
  TtlStore *other = open_live_store ("1h", TTL_KEEPALIVE_HELD);
  TtlDuration ttl = duration ("100ms"), seen;

  put_live ("k");
  ttl_store_bucket_ttl (live, top, &seen);
  assert_is (ttl_store_set_bucket_ttl (other, ttl_store_root (other), &ttl), 0);
  cr_assert (EVENTUALLY (SOON_MS, (ttl_store_bucket_ttl (live, top, &seen), seen.ns == ttl.ns)));
  cr_assert (EVENTUALLY (SOON_MS, !exists (raw ("k"))));
  ttl_store_close (other);
}

Test (watcher, keeps_a_held_key_whose_ttl_a_peer_makes_shorter)
{
  g_autoptr (TtlDraft) draft = NULL;

  assert_is (ttl_draft_open (live, top, "k", O_CREAT, owner (), ttl_store_now (live), &draft), 0);
  assert_is (ttl_draft_publish (draft, TTL_PUBLISH_DEFAULT), 0);
  if (!ttl_store_caps (live)->xattrs)
    return; /* a peer has no way to set one */
  assert_ok (set_xattr (root_dir (), TTL_XATTR, "300ms"));
  cr_assert (STAYS (1500, exists (raw ("k"))));
}

Test (watcher, lets_go_of_what_a_peer_moves_out_of_the_root)
{
  g_autofree char *outside = g_strconcat (root_dir (), ".outside", NULL);
  TtlDuration ttl = duration ("300ms");

  assert_ok (mkdir (raw ("a"), 0755));
  assert_ok (mkdir (raw ("a/b"), 0755));
  assert_ok (put (raw ("a/b/k"), "v"));
  assert_hears ("bucket:a/b ");
  assert_is (ttl_store_set_bucket_ttl (live, top, &ttl), 0);
  assert_ok (rename (raw ("a"), outside));
  settle ();
  forget_all ();
  assert_ok (put (text ("%s/b/l", outside), "v"));
  settle ();
  cr_assert_not (has_heard ("/l "), "%s", all_heard ());
  cr_assert (STAYS (800, exists (text ("%s/b/k", outside))));
  cr_assert_not (is_known ("a/b"));
  assert_ok (rename (outside, raw ("back")));
  cr_assert (EVENTUALLY (SOON_MS, is_known ("back/b")));
  cr_assert (EVENTUALLY (SOON_MS, !exists (raw ("back/b/k"))), "in the root again, it expires");
}

Test (watcher, survives_an_overflow)
{
  g_autofree char *limit = NULL;
  gsize max;

  if (!g_file_get_contents ("/proc/sys/fs/inotify/max_queued_events", &limit, NULL, NULL))
    return;
  max = strtoul (limit, NULL, 10);
  if (max > 100000)
    return; /* it would take too long */
  /* A listener that does not return lets events pile up. */
  pthread_mutex_lock (&lock);
  for (gsize i = 0; i < 2 * max; i++)
    {
      assert_ok (put (raw (i % 2 ? ".tmp_a" : ".tmp_b"), ""));
      if (i == 0)
        assert_ok (put (raw ("k"), "v"));
    }
  assert_ok (mkdir (raw ("late"), 0755));
  pthread_mutex_unlock (&lock);
  assert_hears ("resync:");
  cr_assert (EVENTUALLY (SOON_MS, is_known ("late")));
  settle ();
}

static void
count (const TtlEvent *event G_GNUC_UNUSED, gpointer data)
{
  g_atomic_int_inc ((gint *)data);
}

Test (watcher, tells_nobody_who_has_been_removed)
{
  gint told = 0;
  guint id = ttl_watcher_add_listener (ttl_store_watcher (live), count, &told);
  gint before;

  settle ();
  cr_assert_gt (g_atomic_int_get (&told), 0);
  ttl_watcher_remove_listener (ttl_store_watcher (live), id);
  before = g_atomic_int_get (&told);
  settle ();
  cr_assert_eq (g_atomic_int_get (&told), before);
}

Test (watcher, sees_only_what_is_watched)
{
  cr_assert (ttl_watcher_sees (ttl_store_watcher (live), top));
  cr_assert_not (ttl_watcher_sees (NULL, top));
}
