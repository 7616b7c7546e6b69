/* A name whose encoded form is longer than a file name may be: ENAMETOOLONG, from every
 * operation. */
#include "mount.h"

TestSuite (a_long_name, .init = mount_setup, .fini = mount_teardown, .timeout = 60);

static const char *
repeated (char c, gsize n)
{
  return keep (g_strnfill (n, c));
}

Test (a_long_name, that_just_fits_works)
{
  assert_ok (put (at (repeated ('a', 255)), "value"));
  assert_value (at (repeated ('a', 255)), "value");
  assert_ok (put (at (repeated ('-', 85)), "value")); /* 85 * 3 == 255 */
  assert_value (at (repeated ('-', 85)), "value");
  cr_assert_eq (count_listed (at (".")), 2);
}

Test (a_long_name, that_does_not_fit_is_refused)
{
  const char *names[]
      = { repeated ('a', 256), repeated ('-', 86), repeated ('-', 255), repeated ('a', 1000) };

  assert_ok (put (at ("k"), "value"));
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      assert_errno (put (at (names[i]), "value"), ENAMETOOLONG);
      assert_errno (stat_of (at (names[i]), NULL), ENAMETOOLONG);
      assert_errno (rename (at ("k"), at (names[i])), ENAMETOOLONG);
      assert_errno (link (at ("k"), at (names[i])), ENAMETOOLONG);
      assert_errno (unlink (at (names[i])), ENAMETOOLONG);
    }
  cr_assert_str_eq (listing (at (".")), "k\n");
}

Test (a_long_name, of_a_bucket_is_refused)
{
  assert_ok (mkdir (at (repeated ('b', 255)), 0777));
  assert_errno (mkdir (at (repeated ('b', 256)), 0777), ENAMETOOLONG);
}
