/* What happens through one mount of a root shows up through every other within ten milliseconds. */
#include "delay.h"
#include "mount.h"

#define TIMES 40

static void
mount_twice (void)
{
  mount_setup ();
  mount_start ("ttl=1h");
}

TestSuite (the_other_mount, .init = mount_twice, .fini = mount_teardown, .timeout = 120);

Test (the_other_mount, sees_a_put)
{
  gint64 delays[TIMES];

  for (int i = 0; i < TIMES; i++)
    {
      const char *path = at2 (text ("k-%d", i));

      cr_assert (!exists (path)); /* so that its absence may be remembered */
      assert_ok (put (at (text ("k-%d", i)), "value"));
      delays[i] = DELAY (exists (path) && lists (path));
      assert_value (path, "value");
    }
  assert_usually_within (10, delays);
}

Test (the_other_mount, sees_a_changed_value)
{
  gint64 delays[TIMES];

  assert_ok (put (at ("k"), "none"));
  for (int i = 0; i < TIMES; i++)
    {
      const char *value = text ("value %d", i);

      assert_ok (put (at ("k"), value));
      delays[i] = DELAY (g_strcmp0 (get (at2 ("k")), value) == 0);
    }
  assert_usually_within (10, delays);
}

Test (the_other_mount, sees_a_delete)
{
  gint64 delays[TIMES];

  for (int i = 0; i < TIMES; i++)
    {
      assert_ok (put (at ("k"), "value"));
      DELAY (exists (at2 ("k")));
      assert_ok (unlink (at ("k")));
      delays[i] = DELAY (!exists (at2 ("k")) && !lists (at2 ("k")));
    }
  assert_usually_within (10, delays);
}

Test (the_other_mount, sees_a_touch)
{
  gint64 delays[TIMES];

  assert_ok (put (at ("k"), "value"));
  DELAY (exists (at2 ("k")));
  for (int i = 0; i < TIMES; i++)
    {
      gint64 mtime;

      sleep_ms (10);
      assert_ok (utimensat (AT_FDCWD, at ("k"), NULL, 0));
      mtime = mtime_ns (at ("k"));
      delays[i] = DELAY (mtime_ns (at2 ("k")) == mtime);
    }
  assert_usually_within (10, delays);
}

Test (the_other_mount, sees_a_rename)
{
  gint64 delays[TIMES];

  for (int i = 0; i < TIMES; i++)
    {
      assert_ok (put (at ("a"), "value"));
      DELAY (exists (at2 ("a")));
      assert_ok (rename (at ("a"), at ("b")));
      delays[i] = DELAY (exists (at2 ("b")) && !exists (at2 ("a")));
      assert_ok (unlink (at ("b")));
      DELAY (!exists (at2 ("b")));
    }
  assert_usually_within (10, delays);
}

Test (the_other_mount, sees_buckets_come_and_go)
{
  gint64 delays[TIMES];

  for (int i = 0; i < TIMES; i++)
    {
      assert_ok (mkdir (at ("b"), 0777));
      delays[i] = DELAY (exists (at2 ("b")) && lists (at2 ("b")));
      assert_ok (put (at2 ("b/k"), "value"));
      DELAY (exists (at ("b/k")));
      assert_ok (unlink (at ("b/k")));
      assert_ok (rmdir (at ("b")));
      DELAY (!exists (at2 ("b")));
    }
  assert_usually_within (10, delays);
}

Test (the_other_mount, sees_a_mode_and_an_attribute)
{
  assert_ok (put (at ("k"), "value"));
  DELAY (exists (at2 ("k")));
  assert_ok (chmod (at ("k"), 0600));
  DELAY (mode_of (at2 ("k")) == 0600);
  assert_ok (set_xattr (at ("k"), "user.ttlfs.ttl", "7m"));
  DELAY (g_strcmp0 (xattr (at2 ("k"), "user.ttlfs.ttl"), "7m") == 0);
}

Test (the_other_mount, may_be_ended_without_harm)
{
  assert_ok (put (at2 ("k"), "value"));
  mount_stop (mount_number (2));
  assert_value (at ("k"), "value");
  mount_start ("ttl=1h");
  assert_value (at2 ("k"), "value");
  mount_kill (mount_number (2));
  assert_value (at ("k"), "value");
}
