/* A directory becomes a root only when nothing can be lost by it. */
#include "fixture.h"

#include <sys/mount.h>
#include <sys/xattr.h>

TestSuite (root, .init = store_prepare, .fini = store_teardown, .timeout = 60);

static gboolean
open_root (const char *path, TtlRootFlags flags, TtlRootCaps *caps_out, GError **error)
{
  TtlRootCaps caps;
  int fd = -1;

  if (!ttl_root_open (path, flags, &fd, caps_out != NULL ? caps_out : &caps, error))
    return FALSE;
  close (fd);
  return TRUE;
}

static gboolean
is_marked (const char *path)
{
  return xattr (path, "user.ttlfs.version") != NULL || exists (text ("%s/.ttlfs/version", path));
}

static void
assert_refused (const char *path, TtlRootFlags flags, const char *words)
{
  g_autoptr (GError) error = NULL;

  cr_assert_not (open_root (path, flags, NULL, &error));
  cr_assert_not_null (error);
  cr_assert (strstr (error->message, path) != NULL, "no path in: %s", error->message);
  cr_assert (strstr (error->message, words) != NULL, "no '%s' in: %s", words, error->message);
}

Test (root, marks_an_empty_directory)
{
  cr_assert (open_root (root_dir (), TTL_ROOT_NONE, NULL, NULL));
  cr_assert (is_marked (root_dir ()));
  cr_assert_eq (count_files (root_dir ()), 0, "no probe is left");
}

Test (root, counts_a_directory_with_lost_and_found_as_empty)
{
  assert_ok (mkdir (raw ("lost+found"), 0700));
  cr_assert (open_root (root_dir (), TTL_ROOT_NONE, NULL, NULL));
}

Test (root, opens_a_marked_directory_with_files_in_it)
{
  cr_assert (open_root (root_dir (), TTL_ROOT_NONE, NULL, NULL));
  assert_ok (put (raw ("k"), "v"));
  cr_assert (open_root (root_dir (), TTL_ROOT_NONE, NULL, NULL));
  assert_value (raw ("k"), "v");
}

Test (root, refuses_somebody_elses_files_and_changes_nothing)
{
  struct stat before, after;
  char names[256];

  assert_ok (put (raw ("precious"), "v"));
  assert_ok (stat_of (root_dir (), &before));
  assert_refused (root_dir (), TTL_ROOT_NONE, "-o adopt");
  assert_ok (stat_of (root_dir (), &after));
  cr_assert_eq (ttl_timespec_ns (&before.st_mtim), ttl_timespec_ns (&after.st_mtim));
  cr_assert_eq (ttl_timespec_ns (&before.st_ctim), ttl_timespec_ns (&after.st_ctim));
  cr_assert_leq (listxattr (root_dir (), names, sizeof names), 0);
  cr_assert_str_eq (listing (root_dir ()), "precious\n");
}

Test (root, adopts_somebody_elses_files_when_it_is_told_to)
{
  assert_ok (put (raw ("k"), "v"));
  cr_assert (open_root (root_dir (), TTL_ROOT_ADOPT, NULL, NULL));
  cr_assert (is_marked (root_dir ()));
  assert_value (raw ("k"), "v");
  cr_assert (open_root (root_dir (), TTL_ROOT_NONE, NULL, NULL), "once is enough");
}

Test (root, says_what_to_do_where_there_is_no_directory)
{
  assert_ok (put (raw ("file"), "v"));
  assert_refused (raw ("none"), TTL_ROOT_NONE, "mkdir");
  assert_refused (raw ("file"), TTL_ROOT_NONE, "cannot open");
}

Test (root, makes_the_directory_when_it_is_told_to)
{
  cr_assert (open_root (raw ("a/b/c"), TTL_ROOT_CREATE, NULL, NULL));
  cr_assert (is_marked (raw ("a/b/c")));
}

Test (root, writes_nothing_when_it_is_read_only)
{
  TtlRootCaps caps;

  cr_assert (open_root (root_dir (), TTL_ROOT_READ_ONLY, &caps, NULL));
  cr_assert_not (is_marked (root_dir ()));
  assert_ok (put (raw ("k"), "v"));
  assert_refused (root_dir (), TTL_ROOT_READ_ONLY, "-o adopt");
  cr_assert (open_root (root_dir (), TTL_ROOT_READ_ONLY | TTL_ROOT_ADOPT, &caps, NULL));
  cr_assert_not (is_marked (root_dir ()));
}

Test (root, refuses_a_directory_that_it_may_not_write)
{
  become_user ();
  assert_ok (chmod (root_dir (), 0500));
  assert_refused (root_dir (), TTL_ROOT_NONE, "cannot write");
  assert_ok (chmod (root_dir (), 0700));
}

Test (root, finds_out_what_the_file_system_can_do)
{
  const char *path = raw ("probed");
  TtlRootCaps caps;

  cr_assert (open_root (root_dir (), TTL_ROOT_NONE, &caps, NULL));
  assert_ok (put (path, ""));
  cr_assert_eq (caps.xattrs, set_xattr (path, "user.a", "b") == 0);
  cr_assert_eq (caps.links, link (path, raw ("linked")) == 0);
  assert_ok (set_mtime_ns (path, 1000000001 * SECOND + 123456789));
  cr_assert_eq (mtime_ns (path) % SECOND, 123456789 / caps.granularity_ns * caps.granularity_ns);
}

static void
assert_caps_on (const char *type, gboolean xattrs)
{
  const char *mounted = raw ("mounted");
  TtlRootCaps caps = { 0 };
  gboolean opened, marked;

  if (getuid () != 0)
    cr_skip ("needs root");
  assert_ok (mkdir (mounted, 0755));
  if (mount (type, mounted, type, 0, NULL) < 0)
    cr_skip ("cannot mount here");
  opened = open_root (mounted, TTL_ROOT_NONE, &caps, NULL);
  marked = is_marked (mounted);
  assert_ok (umount (mounted));
  cr_assert (opened);
  cr_assert (marked);
  cr_assert_eq (caps.xattrs, xattrs);
  cr_assert (caps.links);
  cr_assert (caps.local);
}

Test (root, knows_a_file_system_without_xattrs) { assert_caps_on ("ramfs", FALSE); }

Test (root, is_marked_in_a_file_where_there_are_no_xattrs)
{
  const char *mounted = raw ("mounted");
  const char *marker;

  if (getuid () != 0)
    cr_skip ("needs root");
  assert_ok (mkdir (mounted, 0755));
  if (mount ("ramfs", mounted, "ramfs", 0, NULL) < 0)
    cr_skip ("cannot mount here");
  cr_assert (open_root (mounted, TTL_ROOT_NONE, NULL, NULL));
  marker = get (text ("%s/.ttlfs/version", mounted));
  assert_ok (put (text ("%s/k", mounted), "v"));
  cr_assert (open_root (mounted, TTL_ROOT_NONE, NULL, NULL), "it knows its own mark again");
  assert_ok (umount (mounted));
  cr_assert_str_eq (marker, "1\n");
}

/* ---- through the store ---- */

Test (root, gives_its_message_through_the_store)
{
  const TtlStoreOptions options = { 0 };
  g_autoptr (GError) error = NULL;

  assert_ok (put (raw ("precious"), "v"));
  cr_assert_null (ttl_store_open (root_dir (), &options, &error));
  cr_assert_not_null (error);
}

Test (root, takes_the_clock_also_when_it_fails)
{
  const TtlStoreOptions options = { .clock = ttl_clock_new_manual (1) };

  cr_assert_null (ttl_store_open (raw ("none"), &options, NULL));
}
