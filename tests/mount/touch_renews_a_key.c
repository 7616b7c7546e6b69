/* Setting the mtime to now is a renewal: for whoever may write the key, from any tool. */
#include "mount.h"

static void
mount_with_a_second (void)
{
  mount_setup_with ("ttl=1s");
}

TestSuite (touch, .init = mount_with_a_second, .fini = mount_teardown, .timeout = 60);

static int
touch_by_path (const char *path)
{
  return utimensat (AT_FDCWD, path, NULL, 0);
}

/* Four leases long, renewed every fifth of one; then one more lease and no longer. */
static void
assert_renewed_by (int (*renew) (const char *))
{
  const char *path = at ("k");
  gint64 end, deadline;

  assert_ok (put (path, "value"));
  end = now_ns () + 4 * SECOND;
  while (now_ns () < end)
    {
      gint64 next = now_ns () + 200 * MS;

      assert_ok (renew (path));
      deadline = mtime_ns (path) + SECOND;
      while (now_ns () < next)
        {
          cr_assert (exists (path) || now_ns () >= deadline, "a renewed key is missing");
          cr_assert (exists (raw ("k")) || now_ns () >= deadline, "a renewed key was reaped");
          sleep_ms (2);
        }
    }
  assert_value (path, "value");
  deadline = mtime_ns (path) + SECOND;
  sleep_until (deadline);
  assert_absent (path);
  assert_eventually (100, !exists (raw ("k")));
}

Test (touch, renews_a_key_by_its_path) { assert_renewed_by (touch_by_path); }

static int
touch_by_descriptor (const char *path)
{
  int fd = open (path, O_WRONLY);
  int result = fd < 0 ? -1 : futimens (fd, NULL);

  if (fd >= 0)
    close (fd);
  return result;
}

Test (touch, renews_a_key_by_a_descriptor) { assert_renewed_by (touch_by_descriptor); }

static int
touch_raw (const char *path)
{
  (void)path;
  return utimensat (AT_FDCWD, raw ("k"), NULL, 0);
}

Test (touch, in_the_backing_directory_renews_a_key) { assert_renewed_by (touch_raw); }

static int
put_again (const char *path)
{
  return put (path, "value");
}

Test (touch, is_not_needed_where_the_value_is_put_again) { assert_renewed_by (put_again); }

Test (touch, sets_the_mtime_to_now)
{
  gint64 before, mtime;

  assert_ok (put (at ("k"), "value"));
  sleep_ms (50);
  before = now_ns ();
  assert_ok (touch_by_path (at ("k")));
  mtime = mtime_ns (at ("k"));
  cr_assert (mtime >= before - 15 * MS && mtime <= now_ns (), "mtime is %ld us off",
             (long)((mtime - before) / 1000)); /* kernel timestamps lag by a tick or two */
}

Test (touch, of_a_missing_key_makes_an_empty_one)
{
  assert_bash ("touch k; test -e k; test ! -s k; touch -c l; ! test -e l");
}

Test (touch, from_the_shell_renews)
{
  assert_shells (
      "echo v > k; for i in 1 2 3 4 5 6 7 8; do sleep 0.2; touch k; done; test \"$(cat k)\" = v");
}

Test (touch, of_the_atime_alone_renews_nothing)
{
  struct timespec times[2] = { { .tv_nsec = UTIME_NOW }, { .tv_nsec = UTIME_OMIT } };
  gint64 mtime;

  assert_ok (put (at ("k"), "value"));
  mtime = mtime_ns (at ("k"));
  sleep_ms (50);
  assert_ok (utimensat (AT_FDCWD, at ("k"), times, 0));
  cr_assert_eq (mtime_ns (at ("k")), mtime);
}

Test (touch, does_not_disturb_the_value_or_its_readers)
{
  int fd;

  assert_ok (put (at ("k"), "value"));
  fd = open (at ("k"), O_RDONLY);
  assert_ok (fd);
  assert_ok (touch_by_path (at ("k")));
  cr_assert_str_eq (get_fd (fd), "value");
  assert_value (at ("k"), "value");
  assert_ok (close (fd));
}

Test (touch, through_another_mount_renews)
{
  mount_start ("ttl=1s");
  assert_ok (put (at ("k"), "value"));
  assert_eventually (500, exists (at2 ("k")));
  for (int i = 0; i < 10; i++)
    {
      sleep_ms (300);
      assert_ok (touch_by_path (at2 ("k")));
    }
  assert_value (at ("k"), "value");
}
