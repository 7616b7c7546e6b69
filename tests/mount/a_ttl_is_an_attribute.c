/* user.ttlfs.ttl: what it takes, what it refuses, and that it says what holds now. */
#include "mount.h"

#include <sys/xattr.h>

#define TTL "user.ttlfs.ttl"

TestSuite (a_ttl, .init = mount_setup, .fini = mount_teardown, .timeout = 60);

Test (a_ttl, takes_what_people_write)
{
  static const char *const values[]
      = { "50ms", "500ms", "1500ms", "1s", "10s", "90s", "5m", "60m", "2h", "1d", "3650d", "inf" };

  assert_ok (put (at ("k"), "value"));
  assert_ok (set_mtime_ns (at ("k"), now_ns () + 60 * SECOND)); /* outlives the short ones */
  assert_ok (mkdir (at ("b"), 0777));
  for (guint i = 0; i < G_N_ELEMENTS (values); i++)
    {
      assert_ok (set_xattr (at ("k"), TTL, values[i]));
      cr_assert_str_eq (xattr (at ("k"), TTL), values[i]); /* as it was written */
      assert_ok (set_xattr (at ("b"), TTL, values[i]));
      cr_assert_str_eq (xattr (at ("b"), TTL), values[i]);
    }
}

Test (a_ttl, refuses_anything_else)
{
  static const char *const values[] = { "",
                                        "0",
                                        "0s",
                                        "0ms",
                                        "10",
                                        "s",
                                        "ms",
                                        "-1s",
                                        "+1s",
                                        " 10s",
                                        "10s ",
                                        "10 s",
                                        "10s\n",
                                        "1.5s",
                                        "1,5s",
                                        "10S",
                                        "10sec",
                                        "10 seconds",
                                        "1w",
                                        "1y",
                                        "1us",
                                        "INF",
                                        "Inf",
                                        "infinite",
                                        "never",
                                        "1h30m",
                                        "0x10s",
                                        "1e3s",
                                        "49ms",
                                        "1ms",
                                        "ten",
                                        "10ss",
                                        "99999999999999999999s",
                                        "106752d",
                                        "9223372036854775808ms" };

  assert_ok (put (at ("k"), "value"));
  assert_ok (mkdir (at ("b"), 0777));
  for (guint i = 0; i < G_N_ELEMENTS (values); i++)
    {
      errno = 0;
      cr_assert (set_xattr (at ("k"), TTL, values[i]) < 0 && errno == EINVAL, "'%s' on a key: %s",
                 values[i], g_strerror (errno));
      errno = 0;
      cr_assert (set_xattr (at ("b"), TTL, values[i]) < 0 && errno == EINVAL,
                 "'%s' on a bucket: %s", values[i], g_strerror (errno));
    }
  cr_assert_str_eq (xattr (at ("k"), TTL), "1h"); /* nothing has changed */
}

Test (a_ttl, of_the_mount_is_what_holds_without_another)
{
  assert_ok (put (at ("k"), "value"));
  assert_ok (mkdir (at ("b"), 0777));
  cr_assert_str_eq (xattr (at ("k"), TTL), "1h");
  cr_assert_str_eq (xattr (at ("b"), TTL), "1h");
  cr_assert_str_eq (xattr (at ("."), TTL), "1h");
}

Test (a_ttl, on_a_key_ends_it)
{
  gint64 deadline;

  assert_ok (put (at ("k"), "value"));
  assert_ok (put (at ("other"), "value"));
  assert_ok (set_xattr (at ("k"), TTL, "300ms"));
  deadline = mtime_ns (at ("k")) + 300 * MS;
  while (TRUE)
    {
      gint64 before = now_ns ();
      gboolean seen = exists (at ("k"));

      cr_assert (!seen || before < deadline, "seen after its deadline");
      if (!seen)
        break;
    }
  cr_assert (now_ns () >= deadline, "missing before its deadline");
  assert_eventually (100, !exists (raw ("k")));
  assert_value (at ("other"), "value");
}

Test (a_ttl, on_a_key_lengthens_it)
{
  assert_ok (set_xattr (at ("."), TTL, "400ms"));
  assert_ok (put (at ("k"), "value"));
  assert_ok (set_xattr (at ("k"), TTL, "1h"));
  assert_stays (1000, exists (at ("k")));
  assert_value (raw ("k"), "value");
}

Test (a_ttl, on_a_bucket_ends_what_is_in_it_already)
{
  assert_bash ("mkdir -p b/c; echo v > b/k; echo v > b/c/k");
  assert_ok (set_xattr (at ("b"), TTL, "200ms"));
  sleep_until (mtime_ns (raw ("b/c/k")) + 200 * MS);
  assert_absent (at ("b/k"));
  assert_absent (at ("b/c/k"));
  assert_eventually (200, count_files (backing_dir ()) == 0);
  cr_assert (exists (at ("b/c")));
}

Test (a_ttl, on_a_bucket_lengthens_what_is_in_it)
{
  assert_ok (mkdir (at ("b"), 0777));
  assert_ok (set_xattr (at ("b"), TTL, "500ms"));
  assert_ok (put (at ("b/k"), "value"));
  assert_ok (set_xattr (at ("b"), TTL, "1h"));
  assert_stays (1200, exists (at ("b/k")));
}

Test (a_ttl, can_be_set_through_a_descriptor)
{
  int fd;

  assert_ok (put (at ("k"), "value"));
  fd = open (at ("k"), O_RDONLY);
  assert_ok (fd);
  assert_ok (fsetxattr (fd, TTL, "7m", 2, 0));
  assert_ok (close (fd));
  cr_assert_str_eq (xattr (at ("k"), TTL), "7m");
}

Test (a_ttl, set_on_a_draft_is_published_with_it)
{
  int fd = open (at ("k"), O_WRONLY | O_CREAT, 0666);

  assert_ok (fd);
  assert_ok (fsetxattr (fd, TTL, "7m", 2, 0));
  assert_ok (write_all (fd, "value"));
  assert_hidden (at ("k"));
  assert_ok (close (fd));
  cr_assert_str_eq (xattr (at ("k"), TTL), "7m");
}

Test (a_ttl, survives_a_put_and_a_rename)
{
  assert_ok (put (at ("k"), "value"));
  assert_ok (set_xattr (at ("k"), TTL, "7m"));
  assert_ok (put (at ("k"), "changed"));
  cr_assert_str_eq (xattr (at ("k"), TTL), "7m");
  assert_bash ("echo again > k; echo more >> k");
  cr_assert_str_eq (xattr (at ("k"), TTL), "7m");
  assert_ok (rename (at ("k"), at ("l")));
  cr_assert_str_eq (xattr (at ("l"), TTL), "7m");
}

Test (a_ttl, of_a_removed_key_is_forgotten)
{
  assert_ok (put (at ("k"), "value"));
  assert_ok (set_xattr (at ("k"), TTL, "7m"));
  assert_ok (unlink (at ("k")));
  assert_ok (put (at ("k"), "value"));
  cr_assert_str_eq (xattr (at ("k"), TTL), "1h");
  assert_ok (mkdir (at ("b"), 0777));
  assert_ok (set_xattr (at ("b"), TTL, "7m"));
  assert_ok (rmdir (at ("b")));
  assert_ok (mkdir (at ("b"), 0777));
  cr_assert_str_eq (xattr (at ("b"), TTL), "1h");
}

Test (a_ttl, of_its_own_is_listed_among_the_attributes)
{
  assert_ok (put (at ("k"), "value"));
  cr_assert (!lists_xattr (at ("k"), TTL), "an inherited one would be pinned by cp -a");
  assert_ok (set_xattr (at ("k"), TTL, "7m"));
  cr_assert (lists_xattr (at ("k"), TTL));
  assert_ok (removexattr (at ("k"), TTL));
  cr_assert (!lists_xattr (at ("k"), TTL));
}

Test (a_ttl, travels_with_cp_and_its_attributes)
{
  assert_ok (put (at ("k"), "value"));
  assert_ok (set_xattr (at ("k"), TTL, "7m"));
  assert_bash ("cp --preserve=xattr k l");
  cr_assert_str_eq (xattr (at ("l"), TTL), "7m");
}

Test (a_ttl, fits_a_buffer_that_is_just_large_enough)
{
  char value[8];

  assert_ok (put (at ("k"), "value"));
  cr_assert_eq (lgetxattr (at ("k"), TTL, NULL, 0), 2);
  cr_assert_eq (lgetxattr (at ("k"), TTL, value, 2), 2);
  assert_errno (lgetxattr (at ("k"), TTL, value, 1), ERANGE);
}

Test (a_ttl, other_names_of_ours_are_refused)
{
  assert_ok (put (at ("k"), "value"));
  cr_assert (xattr (at ("k"), "user.ttlfs.nonsense") == NULL);
  cr_assert_lt (set_xattr (at ("k"), "user.ttlfs.nonsense", "x"), 0);
}
