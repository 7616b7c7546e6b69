/* A path may be as long as the kernel takes one, through buckets with the longest names, and no longer. */
#include "mount.h"

#include <limits.h>

#define NAME 255 /* bytes */

/* The janitor names what it removes by its whole path. */
static void
teardown (void)
{
  if (work_dir () != NULL)
    bash ("rm -rf ./*");
  mount_teardown ();
}

TestSuite (a_long_path, .init = mount_setup, .fini = teardown, .timeout = 60);

/* A path of @len bytes, relative to here: its buckets are made, and have the longest names. */
static char *
make_long_path (gsize len, char letter)
{
  GString *path = g_string_new (NULL);

  while (path->len + NAME + 1 < len)
    {
      for (int i = 0; i < NAME; i++)
        g_string_append_c (path, letter);
      assert_ok (mkdir (path->str, 0777) < 0 && errno != EEXIST ? -1 : 0);
      g_string_append_c (path, '/');
    }
  while (path->len < len)
    g_string_append_c (path, letter);
  return g_string_free (path, FALSE);
}

/* Also where a TTL has to be kept in a file beside, whose path is longer still. */
static void
assert_its_lease_is_as_any_other (const char *path)
{
  cr_assert_str_eq (xattr (path, "user.ttlfs.ttl"), "1h");
  assert_ok (set_xattr (path, "user.ttlfs.ttl", "1m"));
  cr_assert_str_eq (xattr (path, "user.ttlfs.ttl"), "1m");
}

Test (a_long_path, of_path_max_works_and_of_one_more_does_not)
{
  const char *longest, *other, *too_long;

  assert_ok (chdir (at (".")));
  longest = keep (make_long_path (PATH_MAX - 1, 'a'));
  other = keep (make_long_path (PATH_MAX - 1, 'b'));
  cr_assert_eq (strlen (longest), PATH_MAX - 1);
  assert_ok (put (longest, "value"));
  assert_value (longest, "value");
  assert_ok (rename (longest, other));
  assert_value (other, "value");
  assert_errno (stat_of (longest, NULL), ENOENT);
  cr_assert (lists (other));
  assert_ok (link (other, longest));
  assert_ok (unlink (other));
  assert_its_lease_is_as_any_other (longest);
  too_long = text ("%s%c", longest, 'a');
  assert_errno (put (too_long, "value"), ENAMETOOLONG);
  assert_errno (stat_of (too_long, NULL), ENAMETOOLONG);
  assert_errno (unlink (too_long), ENAMETOOLONG);
}
