/* While the backing directory is gone everything is an I/O error, not an absence; when it is back
 * the mount goes on. */
#include "mount.h"

static void
mount_with_a_short_ttl (void)
{
  mount_setup_with ("ttl=500ms");
}

TestSuite (a_removed_backing_directory, .init = mount_with_a_short_ttl, .fini = mount_teardown,
           .timeout = 60);

static void
remove_backing (void)
{
  cr_assert_eq (run ("rm", "-rf", backing_dir (), NULL).status, 0);
}

static gboolean
is_unreachable (const char *name)
{
  return stat_of (at (name), NULL) < 0 && errno == EIO;
}

static void
assert_unreachable (void)
{
  cr_assert (is_unreachable ("never seen"), "%s", g_strerror (errno));
  assert_errno (put (at ("new"), "value"), EIO);
  assert_errno (mkdir (at ("bucket"), 0777), EIO);
  errno = 0;
  cr_assert (listing (at (".")) == NULL);
  cr_assert_eq (errno, EIO, "listing: %s", g_strerror (errno));
}

/* Everything that a mount does for a key, in a backing directory that has just come back. */
static void
assert_served (void)
{
  assert_eventually (1000, put (at ("k"), "value") == 0);
  assert_value (raw ("k"), "value");
  cr_assert_str_eq (listing (at (".")), "k\n");
  assert_ok (mkdir (at ("b"), 0777));
  assert_ok (put (at ("b/k"), "value"));
  assert_value (raw ("b/k"), "value");
  assert_eventually (5000, !exists (raw ("b/k")) && !exists (raw ("k")));
}

Test (a_removed_backing_directory, is_an_error_for_whatever_is_in_it)
{
  assert_ok (put (at ("k"), "value"));
  remove_backing ();
  assert_unreachable ();
  assert_eventually (1000, is_unreachable ("k"));
  cr_assert (!exists (backing_dir ()));
}

Test (a_removed_backing_directory, is_served_again_once_it_is_back)
{
  assert_ok (put (at ("k"), "value"));
  remove_backing ();
  assert_unreachable ();
  assert_ok (mkdir (backing_dir (), 0755));
  assert_served ();
}

Test (a_removed_backing_directory, is_watched_again_once_it_is_back)
{
  remove_backing ();
  assert_unreachable ();
  assert_ok (mkdir (backing_dir (), 0755));
  assert_eventually (1000, listing (at (".")) != NULL);
  assert_ok (put_raw (raw ("peer"), "value"));
  assert_eventually (200, exists (at ("peer")));
  assert_eventually (5000, !exists (raw ("peer"))); /* nobody asks for it: the reaper knows */
  assert_ok (put_raw (raw ("k"), "one"));
  assert_eventually (200, g_strcmp0 (get (at ("k")), "one") == 0);
  assert_ok (put_raw (raw ("k"), "two"));
  assert_eventually (200, g_strcmp0 (get (at ("k")), "two") == 0);
}

Test (a_removed_backing_directory, can_come_back_more_than_once)
{
  for (int i = 0; i < 3; i++)
    {
      remove_backing ();
      assert_unreachable ();
      assert_ok (mkdir (backing_dir (), 0755));
      assert_served ();
    }
}

Test (a_removed_backing_directory, that_is_replaced_at_once_is_served)
{
  assert_ok (put (at ("old"), "value"));
  remove_backing ();
  assert_ok (mkdir (backing_dir (), 0755));
  assert_served ();
  assert_absent (at ("old"));
}

Test (a_removed_backing_directory, is_not_replaced_by_a_foreign_one)
{
  remove_backing ();
  assert_unreachable ();
  assert_ok (mkdir (backing_dir (), 0755));
  assert_ok (put (raw ("precious"), "somebody else's"));
  assert_stays (1000, is_unreachable ("precious"));
  assert_unreachable ();
  assert_value (raw ("precious"), "somebody else's");
  assert_ok (unlink (raw ("precious")));
  assert_served ();
}

Test (a_removed_backing_directory, takes_a_draft_with_it)
{
  int fd = open (at ("k"), O_WRONLY | O_CREAT, 0666);

  assert_ok (fd);
  assert_ok (write_all (fd, "value"));
  remove_backing ();
  assert_errno (close (fd), EIO);
  assert_ok (mkdir (backing_dir (), 0755));
  assert_served ();
}

Test (a_removed_backing_directory, does_not_keep_the_daemon_from_ending)
{
  remove_backing ();
  assert_unreachable ();
  mount_stop (mount_number (1));
}
