/* A bucket that a raw peer moves out of the backing directory is somebody else's directory from then
 * on: nothing in it expires, and nothing is put there. */
#include "mount.h"

#define NOTICED_MS 100

static void
mount_with_a_short_ttl (void)
{
  mount_setup_with ("ttl=2s");
  assert_ok (mkdir (at ("b"), 0777));
}

/* Beside the backing directory, on the same file system. */
static const char *
outside (const char *name)
{
  return text ("%s.outside/%s", backing_dir (), name);
}

static void
teardown (void)
{
  if (backing_dir () != NULL)
    run ("rm", "-rf", outside (""), NULL);
  mount_teardown ();
}

TestSuite (a_moved_out_bucket, .init = mount_with_a_short_ttl, .fini = teardown, .timeout = 60);

static void
move_b_out (void)
{
  assert_ok (mkdir (outside (""), 0755));
  assert_ok (rename (raw ("b"), outside ("b")));
}

Test (a_moved_out_bucket, loses_nothing)
{
  assert_ok (mkdir (at ("b/c"), 0777));
  assert_ok (put (at ("b/k"), "value"));
  assert_ok (put (at ("b/c/k"), "value"));
  move_b_out ();
  sleep_ms (4000);
  assert_value (outside ("b/k"), "value");
  assert_value (outside ("b/c/k"), "value");
  assert_absent (at ("b"));
}

Test (a_moved_out_bucket, gets_nothing_from_who_stands_in_it)
{
  assert_ok (chdir (at ("b")));
  assert_ok (put ("before", "value"));
  move_b_out ();
  sleep_ms (NOTICED_MS);
  cr_assert_lt (put ("new", "value"), 0);
  cr_assert_lt (mkdir ("c", 0777), 0);
  cr_assert_lt (rename ("before", "after"), 0);
  cr_assert_lt (unlink ("before"), 0);
  cr_assert_str_eq (listing (outside ("b")), "before\n");
}

Test (a_moved_out_bucket, gets_nothing_from_an_open_draft)
{
  int fd = open (at ("b/k"), O_WRONLY | O_CREAT, 0666);

  assert_ok (fd);
  assert_ok (write_all (fd, "value"));
  move_b_out ();
  sleep_ms (NOTICED_MS);
  cr_assert_lt (close (fd), 0);
  assert_stays (100, g_strcmp0 (listing (outside ("b")), "") == 0);
}

Test (a_moved_out_bucket, is_not_renewed)
{
  gint64 mtime;
  int fd = open (at ("b/k"), O_WRONLY | O_CREAT, 0666);

  assert_ok (fd);
  assert_ok (write_all (fd, "value"));
  assert_ok (fsync (fd));
  move_b_out ();
  sleep_ms (NOTICED_MS);
  mtime = mtime_ns (outside ("b/k"));
  sleep_ms (2500);
  cr_assert_eq (mtime_ns (outside ("b/k")), mtime);
  close (fd);
}

Test (a_moved_out_bucket, gives_its_name_to_a_new_one)
{
  assert_ok (put (at ("b/k"), "old"));
  move_b_out ();
  assert_eventually (1000, mkdir (at ("b"), 0777) == 0);
  assert_ok (put (at ("b/k"), "new"));
  assert_witnessed (at ("b/k"), "new");
  assert_value (outside ("b/k"), "old");
}

Test (a_moved_out_bucket, that_comes_back_is_one_again)
{
  assert_ok (put (at ("b/k"), "value"));
  move_b_out ();
  sleep_ms (NOTICED_MS);
  assert_absent (at ("b"));
  assert_ok (rename (outside ("b"), raw ("back")));
  assert_eventually (1000, exists (at ("back")));
  assert_ok (put (at ("back/new"), "value"));
  assert_eventually (10000, !exists (raw ("back/new")) && !exists (raw ("back/k")));
}

/* ---- by a watcher that comes too late ---- */

static void
mount_watched_late (void)
{
  mount_prepare ();
  mount_start_on_bad_ground ("ttl=2s", &(Faults){ .slow = FAULT_WATCH, .slow_us = 300000 });
  assert_ok (mkdir (at ("b"), 0777));
}

TestSuite (a_bucket_moved_out_unseen, .init = mount_watched_late, .fini = teardown, .timeout = 60);

Test (a_bucket_moved_out_unseen, gets_nothing_from_an_open_draft)
{
  int fd = open (at ("b/k"), O_WRONLY | O_CREAT, 0666);

  assert_ok (fd);
  assert_ok (write_all (fd, "value"));
  move_b_out ();
  sleep_ms (1500);
  cr_assert_lt (close (fd), 0);
  assert_stays (100, g_strcmp0 (listing (outside ("b")), "") == 0);
}
