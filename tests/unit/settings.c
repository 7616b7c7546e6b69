/* Where the TTLs that users set are kept, in the files' xattrs and beside them. */
#include "fixture.h"

#include "cleanup.h"

#include <sys/resource.h>
#include <sys/xattr.h>

static TtlSettings *beside; /* as where there are no xattrs */

static void
setup (void)
{
  store_setup ();
  beside = ttl_settings_new (store->root_fd, FALSE);
}

static void
teardown (void)
{
  ttl_settings_free (beside);
  store_teardown ();
}

TestSuite (settings, .init = setup, .fini = teardown, .timeout = 60);

#define A 1000 /* inode numbers */
#define B 1001

static const char *
of_bucket (TtlBucket *in)
{
  TtlDuration own;
  int res = ttl_settings_get_bucket (beside, in, &own);

  return res < 0 ? outcome (res) : text ("%s", own.text);
}

static const char *
of_key (TtlBucket *in, const char *backing, ino_t ino)
{
  TtlDuration own;
  int res = ttl_settings_get_key (beside, in, -1, backing, ino, &own);

  return res < 0 ? outcome (res) : text ("%s", own.text);
}

static int
set_bucket (TtlBucket *in, const char *ttl)
{
  const TtlDuration own = duration (ttl);

  return ttl_settings_set_bucket (beside, in, &own);
}

static int
set_key (TtlBucket *in, const char *backing, ino_t ino, const char *ttl)
{
  const TtlDuration own = duration (ttl);

  return ttl_settings_set_key (beside, in, -1, backing, ino, &own);
}

Test (settings, are_none_at_first)
{
  cr_assert_str_eq (of_bucket (root), "ENODATA");
  cr_assert_str_eq (of_key (root, "k", A), "ENODATA");
  assert_is (ttl_settings_set_bucket (beside, root, NULL), -ENODATA);
  assert_is (ttl_settings_set_key (beside, root, -1, "k", A, NULL), -ENODATA);
}

Test (settings, of_buckets_mirror_the_buckets)
{
  TtlBucket *inner = bucket ("v1/instances");

  assert_is (set_bucket (inner, "60s"), 0);
  cr_assert_str_eq (of_bucket (inner), "60s");
  cr_assert_str_eq (of_bucket (bucket ("v1")), "ENODATA");
  assert_value (raw (".ttlfs/settings/v1/instances/%ttl"), "60s");
  cr_assert_eq (count_listed (raw ("v1/instances")), 0, "never in a bucket");
  assert_is (ttl_settings_set_bucket (beside, inner, NULL), 0);
  cr_assert_str_eq (of_bucket (inner), "ENODATA");
}

Test (settings, are_not_confused_by_buckets_that_are_called_as_they_are)
{
  assert_is (set_bucket (root, "1m"), 0);
  assert_is (set_bucket (bucket ("%ttl"), "2m"), 0);
  assert_is (set_bucket (bucket ("%%ttl"), "3m"), 0);
  assert_is (set_bucket (bucket ("%keys"), "4m"), 0);
  assert_is (set_key (root, "ttl", A, "5m"), 0);
  cr_assert_str_eq (of_bucket (root), "1m");
  cr_assert_str_eq (of_bucket (bucket ("%ttl")), "2m");
  cr_assert_str_eq (of_bucket (bucket ("%%ttl")), "3m");
  cr_assert_str_eq (of_bucket (bucket ("%keys")), "4m");
  cr_assert_str_eq (of_key (root, "ttl", A), "5m");
}

Test (settings, of_keys_belong_to_the_file)
{
  assert_is (set_key (root, "k", A, "1m"), 0);
  cr_assert_str_eq (of_key (root, "k", A), "1m");
  cr_assert_str_eq (of_key (root, "k", B), "ENODATA");
  assert_is (ttl_settings_set_key (beside, root, -1, "k", B, NULL), -ENODATA);
  assert_is (set_key (root, "k", A, "2m"), 0);
  cr_assert_str_eq (of_key (root, "k", A), "2m");
  assert_is (ttl_settings_set_key (beside, root, -1, "k", A, NULL), 0);
  cr_assert_not (exists (raw (".ttlfs/settings/%keys/k")));
}

Test (settings, take_the_longest_names)
{
  g_autofree char *longest = g_strnfill (255, 'k');

  assert_is (set_key (root, longest, A, "1m"), 0);
  cr_assert_str_eq (of_key (root, longest, A), "1m");
}

Test (settings, of_the_old_file_hold_while_a_new_one_is_on_its_way)
{
  const TtlDuration own = duration ("2m");
  struct stat st;
  ttl_autofd fd = open (raw (".tmp_draft"), O_CREAT | O_RDWR | O_CLOEXEC, 0600);

  assert_ok (fstat (fd, &st));
  assert_is (set_key (root, "k", A, "1m"), 0);
  assert_is (ttl_settings_set_draft (beside, root, "k", fd, &own), 0);
  cr_assert_str_eq (of_key (root, "k", A), "1m");
  cr_assert_str_eq (of_key (root, "k", st.st_ino), "2m");
  ttl_settings_drop_key (beside, root, "k", A);
  cr_assert_str_eq (of_key (root, "k", A), "ENODATA");
  cr_assert_str_eq (of_key (root, "k", st.st_ino), "2m");
}

Test (settings, do_not_grow_without_bound)
{
  for (int i = 1; i < 100; i++)
    assert_is (set_key (root, "k", A + i, "1m"), 0);
  cr_assert_str_eq (of_key (root, "k", A + 99), "1m");
  cr_assert_str_eq (of_key (root, "k", A + 1), "ENODATA");
}

Test (settings, follow_a_key_to_its_other_name)
{
  TtlBucket *in = bucket ("b");

  assert_is (set_key (root, "k", A, "1m"), 0);
  assert_is (set_key (in, "l", B, "2m"), 0);
  ttl_settings_copy_key (beside, root, "k", in, "l", A);
  cr_assert_str_eq (of_key (in, "l", A), "1m");
  cr_assert_str_eq (of_key (in, "l", B), "2m");
  cr_assert_str_eq (of_key (root, "k", A), "1m");
  ttl_settings_copy_key (beside, root, "none", in, "m", A);
  cr_assert_not (exists (raw (".ttlfs/settings/b/%keys/m")));
}

Test (settings, follow_a_bucket)
{
  bucket ("to");
  assert_is (set_bucket (bucket ("from"), "1m"), 0);
  assert_is (set_key (bucket ("from/in"), "k", A, "2m"), 0);
  assert_ok (rename (raw ("from"), raw ("to/moved")));
  ttl_settings_move_bucket (beside, "from", "to/moved");
  cr_assert_str_eq (of_bucket (bucket ("to/moved")), "1m");
  cr_assert_str_eq (of_key (bucket ("to/moved/in"), "k", A), "2m");
  cr_assert_not (exists (raw (".ttlfs/settings/from")));
  ttl_settings_move_bucket (beside, "to", "elsewhere/to"); /* no failure where there is nothing */
}

Test (settings, change_places_with_buckets)
{
  assert_is (set_bucket (bucket ("a"), "1m"), 0);
  bucket ("b");
  ttl_settings_exchange_buckets (beside, "a", "b");
  cr_assert_str_eq (of_bucket (bucket ("a")), "ENODATA");
  cr_assert_str_eq (of_bucket (bucket ("b")), "1m");
}

Test (settings, go_with_a_bucket)
{
  assert_is (set_bucket (bucket ("b"), "1m"), 0);
  assert_is (set_key (bucket ("b"), "k", A, "2m"), 0);
  ttl_settings_drop_bucket (beside, "b");
  cr_assert_not (exists (raw (".ttlfs/settings/b")));
}

/* A peer that may write in the root can make anything of their directory: nothing is read, written or removed through it. */
Test (settings, lead_nowhere_else_by_symlinks)
{
  g_autofree char *outside = g_strdup_printf ("%s-outside", root_dir ());
  g_autofree char *file = g_build_filename (outside, "k", NULL);
  g_autofree char *ttl = g_build_filename (outside, "%ttl", NULL);

  assert_ok (mkdir (outside, 0755));
  assert_ok (put (file, "1m 1000\n"));
  assert_ok (put (ttl, "1m"));
  bucket ("b");
  bucket ("c");
  assert_is (set_bucket (bucket ("b"), "1m"), 0);
  assert_ok (symlink (outside, raw (".ttlfs/settings/b/%keys")));
  assert_ok (symlink (outside, raw (".ttlfs/settings/c")));
  cr_expect_str_eq (of_key (bucket ("b"), "k", A), "ENODATA");
  cr_expect_str_eq (of_bucket (bucket ("c")), "ENODATA");
  cr_expect_lt (set_key (bucket ("b"), "k", A, "2m"), 0);
  cr_expect_lt (set_bucket (bucket ("c"), "2m"), 0);
  ttl_settings_drop_bucket (beside, "b");
  ttl_settings_drop_bucket (beside, "c");
  cr_expect_str_eq (get (file), "1m 1000\n");
  cr_expect_str_eq (get (ttl), "1m");
  assert_ok (unlink (file));
  assert_ok (unlink (ttl));
  assert_ok (rmdir (outside));
}

Test (settings, wait_for_nobody_who_opens_a_fifo)
{
  assert_is (set_bucket (bucket ("b"), "1m"), 0);
  assert_ok (unlink (raw (".ttlfs/settings/b/%ttl")));
  assert_ok (mkfifo (raw (".ttlfs/settings/b/%ttl"), 0644));
  cr_assert_str_eq (of_bucket (bucket ("b")), "ENODATA");
}

Test (settings, that_do_not_parse_are_none)
{
  assert_is (set_bucket (root, "1m"), 0);
  assert_is (set_key (root, "k", A, "1m"), 0);
  assert_ok (put (raw (".ttlfs/settings/%ttl"), "soon"));
  assert_ok (put (raw (".ttlfs/settings/%keys/k"), "soon 1000\n"));
  cr_assert_str_eq (of_bucket (root), "ENODATA");
  cr_assert_str_eq (of_key (root, "k", A), "ENODATA");
  assert_ok (put (raw (".ttlfs/settings/%ttl"), ""));
  assert_ok (put (raw (".ttlfs/settings/%keys/k"), "\n\n1m\n x\n"));
  cr_assert_str_eq (of_bucket (root), "ENODATA");
  cr_assert_str_eq (of_key (root, "k", A), "ENODATA");
}

Test (settings, in_xattrs_that_do_not_parse_are_none)
{
  assert_is (put_key (root, "k", "v"), 0);
  if (!ttl_store_caps (store)->xattrs)
    return; /* there are no such settings */
  assert_ok (set_xattr (raw ("k"), TTL_XATTR, "soon"));
  assert_ok (set_xattr (root_dir (), TTL_XATTR, "123456789012345678901234567890"));
  cr_assert_str_eq (ttl_of (root, "k"), "10s");
}

Test (settings, in_xattrs_stand_on_the_file_and_the_directory)
{
  assert_is (put_key (bucket ("b"), "k", "v"), 0);
  if (!ttl_store_caps (store)->xattrs)
    return; /* there are no such settings */
  set_ttl (bucket ("b"), "60s");
  assert_is (ttl_store_set_xattr (store, bucket ("b"), "k", TTL_XATTR, "1m", 2, 0, now (), NULL),
             0);
  cr_assert_str_eq (xattr (raw ("b"), TTL_XATTR), "60s");
  cr_assert_str_eq (xattr (raw ("b/k"), TTL_XATTR), "1m");
  cr_assert_not (exists (raw (".ttlfs")));
}

/* ---- what cannot be told ---- */

Test (settings, that_cannot_be_read_end_nothing)
{
  g_autoptr (TtlDir) dir = NULL;
  TtlDuration own;

  if (!ttl_store_caps (store)->xattrs)
    return; /* there are no such settings */
  become_user ();
  assert_is (put_key (root, "k", "v"), 0);
  assert_is (put_key (root, "l", "v"), 0);
  assert_is (ttl_store_set_xattr (store, root, "k", TTL_XATTR, "1h", 2, 0, now (), NULL), 0);
  assert_ok (chmod (raw ("k"), 0));
  assert_ok (chmod (raw ("l"), 0));
  assert_is (ttl_bucket_open (root, &dir), 0);
  assert_is (ttl_settings_get_key (store->settings, root, ttl_dir_fd (dir), "k", 0, &own), -EACCES);
  assert_is (ttl_settings_get_key (store->settings, root, ttl_dir_fd (dir), "l", 0, &own),
             -ENODATA);
  advance (600 * SECOND);
  (void)ttl_reaper_run (store->reaper, now ());
  cr_assert (exists (raw ("k")));
  cr_assert_not (exists (raw ("l")));
}

Test (settings, that_a_full_descriptor_table_hides_end_nothing)
{
  TtlBucket *in = bucket ("b");
  struct rlimit limit, none;

  set_ttl (in, "1h");
  assert_is (put_key (in, "k", "v"), 0);
  advance (60 * SECOND);
  ttl_bucket_forget_dir (in);
  assert_ok (getrlimit (RLIMIT_NOFILE, &limit));
  none = limit;
  none.rlim_cur = 0;
  assert_ok (setrlimit (RLIMIT_NOFILE, &none));
  ttl_reaper_note (store->reaper, in, "k", now ());
  (void)ttl_reaper_run (store->reaper, now ());
  assert_ok (setrlimit (RLIMIT_NOFILE, &limit));
  assert_key (in, "k", "v");
  advance (3600 * SECOND);
  (void)ttl_reaper_run (store->reaper, now ());
  cr_assert_not (exists (raw ("b/k")), "it is looked at again");
}
