/* What has expired goes, and nothing else. */
#include "fixture.h"

#include <pthread.h>
#include <sys/mount.h>

TestSuite (reaper, .init = store_setup, .fini = store_teardown, .timeout = 60);

#define TTL (10 * SECOND) /* of the store */

static TtlDeadline
run_reaper (void)
{
  return ttl_reaper_run (store->reaper, now ());
}

Test (reaper, removes_a_key_at_its_deadline)
{
  gint64 put_at = now ();

  assert_is (put_key (root, "k", "v"), 0);
  cr_assert_eq (run_reaper (), put_at + TTL);
  advance (TTL - 1);
  cr_assert_eq (run_reaper (), put_at + TTL);
  cr_assert (exists (raw ("k")));
  advance (1);
  cr_assert_eq (run_reaper (), TTL_DEADLINE_NEVER);
  cr_assert_not (exists (raw ("k")));
  cr_assert_eq (ttl_reaper_removed (store->reaper), 1);
  cr_assert_eq (ttl_reaper_known (store->reaper), 0);
  cr_assert_eq (count_files (root_dir ()), 0);
}

Test (reaper, knows_every_key_that_was_put_renamed_linked_or_touched)
{
  const TtlAttrs touch = { .set_mtime = TRUE, .mtime_ns = now () + SECOND };

  assert_is (put_key (root, "a", "v"), 0);
  assert_is (ttl_store_rename (store, root, "a", bucket ("b"), "c", 0, now ()), 0);
  assert_is (ttl_store_link (store, bucket ("b"), "c", root, "d", now (), NULL, NULL), 0);
  cr_assert_eq (ttl_reaper_known (store->reaper), 2);
  assert_is (ttl_store_set_attrs (store, root, "d", &touch, now ()), 0);
  advance (TTL + SECOND);
  (void)run_reaper ();
  cr_assert_eq (count_files (root_dir ()), 0);
}

Test (reaper, removes_all_that_end_together_whatever_bucket_they_are_in)
{
  for (int i = 0; i < 1000; i++)
    put_raw_at (text ("k%d", i), "v", now () - TTL);
  for (int i = 0; i < 3; i++)
    {
      bucket (text ("b%d", i));
      for (int j = 0; j < 100; j++)
        put_raw_at (text ("b%d/k%d", i, j), "v", now () - TTL + (j == 0));
    }
  ttl_reaper_rescan (store->reaper, root);
  cr_assert_eq (run_reaper (), now () + 1);
  cr_assert_eq (ttl_reaper_removed (store->reaper), 1297);
  cr_assert_eq (count_files (root_dir ()), 3);
}

Test (reaper, forgets_a_key_that_was_deleted)
{
  assert_is (put_key (root, "k", "v"), 0);
  assert_is (ttl_store_delete (store, root, "k", now ()), 0);
  cr_assert_eq (ttl_reaper_known (store->reaper), 0);
}

Test (reaper, knows_nothing_of_what_never_ends)
{
  set_ttl (root, "inf");
  assert_is (put_key (root, "k", "v"), 0);
  cr_assert_eq (run_reaper (), TTL_DEADLINE_NEVER);
  cr_assert_eq (ttl_reaper_known (store->reaper), 0);
}

Test (reaper, leaves_what_a_peer_has_renewed)
{
  assert_is (put_key (root, "k", "v"), 0);
  advance (TTL);
  assert_ok (set_mtime_ns (raw ("k"), now () - 1));
  cr_assert_eq (run_reaper (), now () + TTL - 1);
  assert_key (root, "k", "v");
  cr_assert_eq (ttl_reaper_removed (store->reaper), 0);
}

Test (reaper, leaves_what_a_peer_has_put_instead)
{
  assert_is (put_key (root, "k", "old"), 0);
  advance (TTL);
  assert_ok (put_raw (raw ("k"), "new"));
  assert_ok (set_mtime_ns (raw ("k"), now ()));
  (void)run_reaper ();
  assert_key (root, "k", "new");
}

Test (reaper, finds_what_was_there_before)
{
  put_raw_at ("old", "v", now () - TTL);
  put_raw_at ("live", "v", now () - TTL + 1);
  put_raw_at (".tmp_old", "v", now () - TTL);
  put_raw_at (".tmp_live", "v", now () - TTL + 1);
  bucket ("b/c");
  put_raw_at ("b/c/old", "v", now () - TTL);
  ttl_reaper_rescan (store->reaper, root);
  cr_assert_eq (run_reaper (), now () + 1);
  cr_assert_eq (count_files (root_dir ()), 2);
  cr_assert (exists (raw ("live")));
  cr_assert (exists (raw (".tmp_live")));
}

Test (reaper, leaves_alone_what_is_foreign)
{
  put_raw_at ("not-canonical", "v", now () - 100 * TTL);
  assert_ok (symlink ("/etc/passwd", raw ("link")));
  assert_ok (mkfifo (raw ("fifo"), 0644));
  assert_ok (set_mtime_ns (raw ("fifo"), now () - 100 * TTL));
  bucket ("b");
  assert_ok (set_mtime_ns (raw ("b"), now () - 100 * TTL));
  ttl_reaper_rescan (store->reaper, root);
  advance (1000 * TTL);
  (void)run_reaper ();
  cr_assert (exists (raw ("not-canonical")));
  cr_assert (exists (raw ("link")));
  cr_assert (exists (raw ("fifo")));
  cr_assert (exists (raw ("b")));
}

Test (reaper, follows_no_symlink)
{
  assert_ok (mkdir (raw ("b"), 0755));
  assert_ok (symlink ("b", raw ("link")));
  put_raw_at ("b/k", "v", now ());
  ttl_reaper_rescan (store->reaper, root);
  (void)run_reaper ();
  cr_assert_eq (ttl_reaper_known (store->reaper), 1);
}

Test (reaper, removes_what_another_one_had_captured_when_it_died)
{
  put_raw_at (".tmp_reap0123456789abcdef", "v", now () - TTL);
  ttl_reaper_rescan (store->reaper, root);
  (void)run_reaper ();
  cr_assert_eq (count_scratch (root_dir ()), 1, "that one may still be there, and look at it");
  advance (SECOND);
  (void)run_reaper ();
  cr_assert_eq (count_scratch (root_dir ()), 0);
}

Test (reaper, removes_claims_that_nobody_renews)
{
  assert_ok (symlink (".tmp_claim0123456789abcdef", raw ("k")));
  assert_ok (symlink (".tmp_claim0123456789abcdef", raw (".tmp_k")));
  ttl_reaper_rescan (store->reaper, root);
  (void)run_reaper ();
  cr_assert (exists (raw ("k")));
  advance (TTL);
  (void)run_reaper ();
  cr_assert_not (exists (raw ("k")));
  cr_assert_not (exists (raw (".tmp_k")));
}

Test (reaper, sees_a_shorter_ttl)
{
  TtlBucket *inner = bucket ("b/c");

  assert_is (put_key (inner, "k", "v"), 0);
  set_ttl (bucket ("b"), "1s");
  cr_assert_eq (run_reaper (), now () + SECOND);
  advance (SECOND);
  (void)run_reaper ();
  cr_assert_not (exists (raw ("b/c/k")));
}

Test (reaper, sees_a_longer_ttl)
{
  assert_is (put_key (root, "k", "v"), 0);
  set_ttl (root, "1h");
  advance (TTL);
  (void)run_reaper ();
  assert_key (root, "k", "v");
}

Test (reaper, sees_the_ttl_of_a_bucket_that_was_moved)
{
  TtlBucket *moved = bucket ("b");

  assert_is (put_key (moved, "k", "v"), 0);
  set_ttl (bucket ("short"), "1s");
  assert_is (ttl_store_rename (store, root, "b", bucket ("short"), "b", 0, now ()), 0);
  advance (SECOND);
  (void)run_reaper ();
  cr_assert_not (exists (raw ("short/b/k")));
}

Test (reaper, does_not_touch_what_a_peer_has_moved_out_of_the_root)
{
  g_autofree char *outside = g_strconcat (root_dir (), ".outside", NULL);
  const char *kept = text ("%s/k", outside);

  assert_is (put_key (bucket ("a/b"), "k", "v"), 0);
  assert_ok (rename (raw ("a/b"), outside));
  advance (TTL);
  (void)run_reaper ();
  assert_value (kept, "v");
  assert_ok (unlink (kept));
  assert_ok (rmdir (outside));
}

Test (reaper, tries_again_where_it_could_not_remove)
{
  become_user ();
  assert_is (put_key (bucket ("b"), "k", "v"), 0);
  assert_ok (chmod (raw ("b"), 0500));
  advance (TTL);
  cr_assert_eq (run_reaper (), now () + SECOND);
  assert_ok (chmod (raw ("b"), 0700));
  advance (SECOND - 1);
  (void)run_reaper ();
  cr_assert (exists (raw ("b/k")));
  advance (1);
  (void)run_reaper ();
  cr_assert_not (exists (raw ("b/k")));
}

Test (reaper, does_not_spin_on_what_it_cannot_remove)
{
  const char *mountpoint = raw ("k");

  if (getuid () != 0)
    cr_skip ("needs root");
  assert_is (put_key (root, "k", "v"), 0);
  if (mount (mountpoint, mountpoint, NULL, MS_BIND, NULL) < 0)
    cr_skip ("cannot mount here");
  advance (TTL);
  cr_assert_eq (run_reaper (), now () + SECOND);
  assert_ok (umount (mountpoint));
  advance (SECOND);
  (void)run_reaper ();
  cr_assert_not (exists (mountpoint));
}

/* ---- races, with a peer that takes no locks ---- */

typedef struct
{
  char *path, *scratch;
  gint64 live_ns, dead_ns;
  gboolean (*renew) (const char *path, const char *scratch, gint64 live_ns, gint64 dead_ns);
  gint stop;
  gboolean failed;
} Peer;

static void *
be_a_peer (void *data)
{
  Peer *peer = data;

  while (!g_atomic_int_get (&peer->stop) && !peer->failed)
    peer->failed = !peer->renew (peer->path, peer->scratch, peer->live_ns, peer->dead_ns);
  return NULL;
}

/* The reaper's own thread looks at the key all the time, while the peer does its part over and over. */
static void
reap_against (gboolean (*renew) (const char *, const char *, gint64, gint64))
{
  gint64 end_ns = now_ns () + 2 * SECOND;

  Peer peer = { .path = g_build_filename (root_dir (), "k", NULL),
                .scratch = g_build_filename (root_dir (), ".tmp_peer", NULL),
                .live_ns = now (),
                .dead_ns = now () - TTL,
                .renew = renew };
  pthread_t thread;

  ttl_reaper_start (store->reaper);
  cr_assert_eq (pthread_create (&thread, NULL, be_a_peer, &peer), 0);
  while (now_ns () < end_ns)
    ttl_reaper_note (store->reaper, root, "k", now ());
  g_atomic_int_set (&peer.stop, TRUE);
  pthread_join (thread, NULL);
  ttl_reaper_stop (store->reaper);
  cr_assert_not (peer.failed);
  cr_assert_eq (count_scratch (root_dir ()), 0, "what was captured was put back or removed");
  g_free (peer.path);
  g_free (peer.scratch);
}

static gboolean
put_at (const char *path, const char *scratch, gint64 at_ns)
{
  return put (scratch, "whole") == 0 && set_mtime_ns (scratch, at_ns) == 0
         && rename (scratch, path) == 0;
}

/* An expired value is replaced by a live one: that must be there, if not at the very instant of a look at it. */
static gboolean
replace_by_live (const char *path, const char *scratch, gint64 live_ns, gint64 dead_ns)
{
  if (!put_at (path, scratch, dead_ns) || !put_at (path, scratch, live_ns))
    return FALSE;
  g_usleep (20);
  return EVENTUALLY (2000, exists (path));
}

Test (reaper, never_takes_what_a_peer_puts_at_that_moment)
{
  reap_against (replace_by_live);
  assert_value (raw ("k"), "whole");
}

/* An expired value comes back to life in place. */
static gboolean
renew_in_place (const char *path, const char *scratch, gint64 live_ns, gint64 dead_ns)
{
  if (!put_at (path, scratch, dead_ns))
    return FALSE;
  if (set_mtime_ns (path, live_ns) < 0)
    return errno == ENOENT; /* the reaper was first */
  g_usleep (20);
  return EVENTUALLY (2000, exists (path));
}

Test (reaper, never_takes_what_a_peer_renews_at_that_moment) { reap_against (renew_in_place); }

/* ---- steps of the clock ---- */

Test (reaper, removes_nothing_that_has_time_left_when_the_clock_is_set)
{
  const gint64 hour = 3600 * TTL_NS_PER_S;

  assert_is (put_key (root, "k", "v"), 0);
  advance (TTL / 2);
  step (hour);
  ttl_reaper_run (store->reaper, now ());
  assert_key (root, "k", "v");
  advance (TTL / 2);
  ttl_reaper_run (store->reaper, now ());
  cr_assert_not (exists (raw ("k")));
}

Test (reaper, keeps_nothing_whose_time_is_over_when_the_clock_is_set_back)
{
  const gint64 hour = 3600 * TTL_NS_PER_S;

  assert_is (put_key (root, "k", "v"), 0);
  advance (TTL / 2);
  step (-hour);
  ttl_reaper_run (store->reaper, now ());
  assert_key (root, "k", "v");
  advance (TTL / 2);
  assert_no_key (root, "k");
  ttl_reaper_run (store->reaper, now ());
  cr_assert_not (exists (raw ("k")));
}
