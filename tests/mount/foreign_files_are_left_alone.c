/* What neither ttlfs nor a FileStore would have written is not shown and never removed; it breaks
 * nothing. */
#include "mount.h"

#include <sys/socket.h>
#include <sys/un.h>

static void
mount_with_a_short_ttl (void)
{
  mount_setup_with ("ttl=300ms");
}

TestSuite (a_foreign_file, .init = mount_with_a_short_ttl, .fini = mount_teardown, .timeout = 60);

static const char *const foreign[]
    = { "a-b", "a.json",      "a%2fb", "%41",     "%2",        "%",
        "%2G", "caf\xc3\xa9", "a b",   ".hidden", "README.md", "%2D%2d" };

static void
make_foreign (const char *dir)
{
  for (guint i = 0; i < G_N_ELEMENTS (foreign); i++)
    assert_ok (put (text ("%s/%s", dir, foreign[i]), "foreign"));
  assert_ok (symlink ("k", text ("%s/symlink", dir)));
  assert_ok (symlink ("/", text ("%s/slash", dir)));
  assert_ok (mkfifo (text ("%s/fifo", dir), 0666));
}

static void
assert_foreign_untouched (const char *dir)
{
  struct stat st;

  for (guint i = 0; i < G_N_ELEMENTS (foreign); i++)
    assert_value (text ("%s/%s", dir, foreign[i]), "foreign");
  assert_ok (stat_of (text ("%s/symlink", dir), &st));
  cr_assert (S_ISLNK (st.st_mode));
  assert_ok (stat_of (text ("%s/fifo", dir), &st));
  cr_assert (S_ISFIFO (st.st_mode));
}

Test (a_foreign_file, is_neither_shown_nor_removed)
{
  make_foreign (backing_dir ());
  assert_ok (put (at ("k"), "value"));
  cr_assert_str_eq (listing (at (".")), "k\n");
  sleep_ms (1000);
  assert_absent (at ("k"));
  assert_foreign_untouched (backing_dir ());
}

Test (a_foreign_file, found_at_start_is_neither_shown_nor_removed)
{
  mount_stop (mount_number (1));
  assert_ok (mkdir (raw ("b"), 0777));
  make_foreign (raw ("b"));
  mount_start ("ttl=300ms");
  cr_assert_str_eq (listing (at ("b")), "");
  sleep_ms (1000);
  assert_foreign_untouched (raw ("b"));
}

Test (a_foreign_file, cannot_be_reached)
{
  make_foreign (backing_dir ());
  for (guint i = 0; i < G_N_ELEMENTS (foreign); i++)
    assert_errno (stat_of (at (foreign[i]), NULL), ENOENT);
  assert_errno (stat_of (at ("symlink"), NULL), ENOENT);
  assert_errno (stat_of (at ("slash/etc"), NULL), ENOENT);
  assert_errno (stat_of (at ("fifo"), NULL), ENOENT);
}

Test (a_foreign_file, does_not_stand_in_the_way_of_a_key)
{
  make_foreign (backing_dir ());
  assert_ok (put (at ("a-b"), "value"));
  assert_value (at ("a-b"), "value");
  assert_value (raw ("a%2Db"), "value");
  assert_value (raw ("a-b"), "foreign");
}

Test (a_foreign_file, is_reported_once)
{
  const char *log, *first;

  make_foreign (backing_dir ());
  for (int i = 0; i < 5; i++)
    listing (at ("."));
  assert_eventually (1000, strstr (mount_log (mount_number (1)), "README.md") != NULL);
  for (int i = 0; i < 5; i++)
    listing (at ("."));
  sleep_ms (500);
  log = mount_log (mount_number (1));
  first = strstr (log, "README.md");
  cr_assert (strstr (first + 1, "README.md") == NULL, "reported more than once");
}

Test (a_foreign_file, of_a_kind_that_has_no_value_cannot_be_made)
{
  struct sockaddr_un name = { .sun_family = AF_UNIX };
  int fd = socket (AF_UNIX, SOCK_STREAM, 0);

  assert_errno (symlink ("target", at ("l")), EPERM);
  assert_errno (mkfifo (at ("f"), 0666), EPERM);
  assert_errno (mknod (at ("s"), S_IFSOCK | 0666, 0), EPERM);
  if (geteuid () == 0)
    {
      assert_errno (mknod (at ("c"), S_IFCHR | 0666, 0x103), EPERM);
      assert_errno (mknod (at ("b"), S_IFBLK | 0666, 0x103), EPERM);
    }
  assert_ok (chdir (at ("."))); /* the path of a socket must be short */
  g_strlcpy (name.sun_path, "u", sizeof name.sun_path);
  assert_errno (bind (fd, (struct sockaddr *)&name, sizeof name), EPERM);
  assert_ok (chdir ("/"));
  close (fd);
  cr_assert_str_eq (listing (at (".")), "");
  cr_assert_eq (count_files (backing_dir ()), 0);
}

Test (a_foreign_file, is_not_what_mknod_makes_of_a_regular_one)
{
  assert_ok (mknod (at ("k"), S_IFREG | 0640, 0));
  assert_witnessed (at ("k"), "");
  cr_assert_eq (mode_of (at ("k")), 0640);
  assert_errno (mknod (at ("k"), S_IFREG | 0640, 0), EEXIST);
}

Test (a_foreign_file, behind_a_symlink_is_never_reaped)
{
  const char *outside = text ("%s/outside", work_dir ());

  assert_ok (mkdir (outside, 0777));
  assert_ok (put (text ("%s/k", outside), "precious"));
  assert_ok (symlink (outside, raw ("link")));
  sleep_ms (1000);
  assert_value (text ("%s/k", outside), "precious");
  mount_stop (mount_number (1));
  mount_start ("ttl=300ms");
  listing (at ("."));
  sleep_ms (1000);
  assert_value (text ("%s/k", outside), "precious");
}
