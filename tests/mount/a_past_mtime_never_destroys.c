/* Tools that keep the times of what they copy must not destroy it: where a past mtime would end the
 * lease it renews to now; where the lease is long enough it is kept as it was set. */
#include "mount.h"

static void
mount_with_ten_seconds (void)
{
  mount_setup_with ("ttl=10s");
}

TestSuite (a_past_mtime, .init = mount_with_ten_seconds, .fini = mount_teardown, .timeout = 60);

static void
assert_renewed (const char *path, gint64 since_ns)
{
  gint64 mtime = mtime_ns (path);

  cr_assert (mtime >= since_ns - 15 * MS && mtime <= now_ns (), "mtime is %ld ms before the call",
             (long)((since_ns - mtime) / MS));
}

Test (a_past_mtime, that_would_end_the_lease_renews_it)
{
  gint64 before;

  assert_ok (put (at ("k"), "value"));
  before = now_ns ();
  assert_ok (set_mtime_ns (at ("k"), before - 3600 * SECOND));
  assert_witnessed (at ("k"), "value");
  assert_renewed (at ("k"), before);
  before = now_ns ();
  assert_ok (set_mtime_ns (at ("k"), 0));
  assert_witnessed (at ("k"), "value");
  assert_renewed (at ("k"), before);
}

Test (a_past_mtime, of_exactly_one_ttl_ago_renews)
{
  gint64 before;

  assert_ok (put (at ("k"), "value"));
  before = now_ns ();
  assert_ok (set_mtime_ns (at ("k"), before - 10 * SECOND));
  assert_witnessed (at ("k"), "value");
  assert_renewed (at ("k"), before);
}

Test (a_past_mtime, that_leaves_a_lease_is_kept)
{
  gint64 mtime = now_ns () - 4 * SECOND;

  assert_ok (put (at ("k"), "value"));
  assert_ok (set_mtime_ns (at ("k"), mtime));
  cr_assert_eq (mtime_ns (at ("k")) / MS, mtime / MS);
}

Test (a_past_mtime, is_kept_with_inf)
{
  assert_ok (mkdir (at ("b"), 0777));
  assert_ok (set_xattr (at ("b"), "user.ttlfs.ttl", "inf"));
  assert_ok (put (at ("b/k"), "value"));
  assert_ok (set_mtime_ns (at ("b/k"), 86400 * SECOND));
  cr_assert_eq (mtime_ns (at ("b/k")), 86400 * SECOND);
}

Test (a_past_mtime, set_on_a_draft_does_not_end_it)
{
  struct timespec times[2] = { { .tv_sec = 86400 }, { .tv_sec = 86400 } };
  gint64 before = now_ns ();
  int fd = open (at ("k"), O_WRONLY | O_CREAT, 0666);

  assert_ok (fd);
  assert_ok (write_all (fd, "value"));
  assert_ok (futimens (fd, times));
  assert_ok (close (fd));
  assert_witnessed (at ("k"), "value");
  assert_renewed (at ("k"), before);
}

Test (a_past_mtime, on_a_bucket_is_just_kept)
{
  assert_ok (mkdir (at ("b"), 0777));
  assert_ok (set_mtime_ns (at ("b"), 86400 * SECOND));
  cr_assert_eq (mtime_ns (at ("b")), 86400 * SECOND);
}

Test (a_past_mtime, by_touch_is_no_end)
{
  assert_bash ("echo v > k; touch -d '1 hour ago' k; test \"$(cat k)\" = v; sleep 0.2; test "
               "\"$(cat k)\" = v");
}

Test (a_past_mtime, by_cp_p_is_no_end)
{
  assert_bash (
      "echo v > $TMP/f; touch -d '2001-02-03' $TMP/f; cp -p $TMP/f k; cmp $TMP/f k; sleep 0.2; cmp "
      "$TMP/f k; cp -a $TMP/f l; cmp $TMP/f l");
}

Test (a_past_mtime, by_tar_is_no_end)
{
  assert_bash (
      "mkdir $TMP/d; echo v > $TMP/d/f-1; touch -d '2001-02-03' $TMP/d/f-1 $TMP/d; tar -C $TMP -cf "
      "$TMP/d.tar d; tar -xf $TMP/d.tar; diff -r d $TMP/d; sleep 0.2; diff -r d $TMP/d");
}

Test (a_past_mtime, by_rsync_is_no_end)
{
  need ("rsync");
  assert_bash (
      "mkdir $TMP/d; echo v > $TMP/d/f-1; touch -d '2001-02-03' $TMP/d/f-1 $TMP/d; rsync -rt "
      "$TMP/d .; "
      "diff -r d $TMP/d; sleep 0.2; diff -r d $TMP/d; rsync -a $TMP/d .; diff -r d $TMP/d");
}
