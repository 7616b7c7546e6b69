/* The tree of directories below the root. */
#include "fixture.h"

#include <dirent.h>
#include <sys/mount.h>

static TtlTree *tree;

#define MAX_DIRS 8 /* the fewest that a tree takes */

static void
setup (void)
{
  store_prepare ();
  tree = ttl_tree_new (open (root_dir (), O_RDONLY | O_DIRECTORY | O_CLOEXEC), 0);
}

static void
teardown (void)
{
  ttl_tree_free (tree);
  store_teardown ();
}

TestSuite (bucket, .init = setup, .fini = teardown, .timeout = 60);

static void
make (const char *name)
{
  assert_ok (mkdir (raw (name), 0755));
}

static TtlBucket *
get_child (TtlBucket *parent, const char *name)
{
  TtlBucket *found = NULL;

  assert_is (ttl_bucket_get_child (parent, name, &found), 0);
  return found;
}

static int
open_result (TtlBucket *of)
{
  g_autoptr (TtlDir) dir = NULL;

  return ttl_bucket_open (of, &dir);
}

static ino_t
ino_of (TtlBucket *of)
{
  g_autoptr (TtlDir) dir = NULL;
  struct stat st;

  assert_is (ttl_bucket_open (of, &dir), 0);
  assert_ok (fstat (ttl_dir_fd (dir), &st));
  return st.st_ino;
}

static ino_t
ino_at (const char *name)
{
  struct stat st;

  assert_ok (stat_of (raw (name), &st));
  return st.st_ino;
}

static const char *
path_of (TtlBucket *of)
{
  return keep (ttl_bucket_dup_path (of));
}

static guint
count_descriptors (void)
{
  return count_listed ("/proc/self/fd");
}

Test (bucket, is_known_by_one_object)
{
  g_autoptr (TtlBucket) a = NULL;
  g_autoptr (TtlBucket) again = NULL;
  g_autoptr (TtlBucket) by_id = NULL;

  make ("a");
  a = get_child (ttl_tree_root (tree), "a");
  again = get_child (ttl_tree_root (tree), "a");
  by_id = ttl_tree_dup (tree, ttl_bucket_id (a));
  cr_assert_eq (a, again);
  cr_assert_eq (a, by_id);
  cr_assert_neq (ttl_bucket_id (a), ttl_bucket_id (ttl_tree_root (tree)));
}

Test (bucket, is_forgotten_when_nobody_holds_it)
{
  TtlBucket *a;
  guint64 id;

  make ("a");
  a = get_child (ttl_tree_root (tree), "a");
  id = ttl_bucket_id (a);
  ttl_bucket_unref (a);
  cr_assert_null (ttl_tree_dup (tree, id));
  a = get_child (ttl_tree_root (tree), "a");
  cr_assert_neq (ttl_bucket_id (a), id, "ids are never used again");
  ttl_bucket_unref (a);
}

Test (bucket, knows_its_place)
{
  g_autoptr (TtlBucket) a = NULL;
  g_autoptr (TtlBucket) b = NULL;
  g_autoptr (TtlBucket) parent = NULL;
  TtlBucket *top = ttl_tree_root (tree);

  make ("a");
  make ("a/b");
  a = get_child (top, "a");
  b = get_child (a, "b");
  parent = ttl_bucket_dup_parent (b);
  cr_assert_str_eq (path_of (b), "a/b");
  cr_assert_str_eq (path_of (top), "");
  cr_assert_eq (parent, a);
  cr_assert_null (ttl_bucket_dup_parent (top));
  cr_assert (ttl_bucket_is_root (top));
  cr_assert_not (ttl_bucket_is_root (b));
  cr_assert (ttl_bucket_is_within (b, top));
  cr_assert (ttl_bucket_is_within (b, b));
  cr_assert_not (ttl_bucket_is_within (a, b));
}

Test (bucket, holds_the_buckets_around_it)
{
  TtlBucket *a, *b;
  g_autoptr (GPtrArray) all = NULL;

  make ("a");
  make ("a/b");
  a = get_child (ttl_tree_root (tree), "a");
  b = get_child (a, "b");
  ttl_bucket_unref (a);
  cr_assert_str_eq (path_of (b), "a/b");
  all = ttl_tree_dup_all (tree);
  cr_assert_eq (all->len, 3);
  ttl_bucket_unref (b);
}

Test (bucket, opens_nothing_that_is_no_directory)
{
  TtlBucket *found, *top = ttl_tree_root (tree);

  make ("a");
  assert_ok (put (raw ("file"), "v"));
  assert_ok (symlink ("a", raw ("link")));
  assert_ok (symlink ("/", raw ("out")));
  assert_is (ttl_bucket_get_child (top, "none", &found), -ENOENT);
  assert_is (ttl_bucket_get_child (top, "file", &found), -ENOTDIR);
  assert_is (ttl_bucket_get_child (top, "link", &found), -ENOTDIR);
  assert_is (ttl_bucket_get_child (top, "out", &found), -ENOTDIR);
}

Test (bucket, is_one_step_below_another)
{
  g_autoptr (TtlBucket) a = NULL;
  TtlBucket *found, *top = ttl_tree_root (tree);

  make ("a");
  make ("a/b");
  a = get_child (top, "a");
  assert_is (ttl_bucket_get_child (top, "..", &found), -ENOENT);
  assert_is (ttl_bucket_get_child (top, ".", &found), -ENOENT);
  assert_is (ttl_bucket_get_child (top, "", &found), -ENOENT);
  assert_is (ttl_bucket_get_child (top, "a/b", &found), -ENOENT);
  assert_is (ttl_bucket_get_child (a, "..", &found), -ENOENT);
}

Test (bucket, ends_where_another_file_system_begins)
{
  g_autoptr (TtlBucket) a = NULL;
  TtlBucket *found;

  if (getuid () != 0)
    cr_skip ("needs root");
  make ("a");
  a = get_child (ttl_tree_root (tree), "a");
  ttl_bucket_forget_dir (a);
  if (mount ("tmpfs", raw ("a"), "tmpfs", 0, NULL) < 0)
    cr_skip ("cannot mount here");
  assert_is (ttl_bucket_get_child (ttl_tree_root (tree), "a", &found), -EXDEV);
  assert_is (open_result (a), -ESTALE);
  cr_assert_not (ttl_bucket_is_in_place (a));
  assert_ok (umount (raw ("a")));
  assert_is (open_result (a), 0);
}

Test (bucket, keeps_few_descriptors_for_many_buckets)
{
  enum
  {
    N = 100
  };
  TtlBucket *all[N];
  guint before = count_descriptors ();

  for (int i = 0; i < N; i++)
    {
      make (text ("b%d", i));
      all[i] = get_child (ttl_tree_root (tree), text ("b%d", i));
    }
  cr_assert_leq (count_descriptors (), before + MAX_DIRS);
  for (int i = 0; i < N; i++)
    cr_assert_eq (ino_of (all[i]), ino_at (text ("b%d", i)));
  cr_assert_leq (count_descriptors (), before + MAX_DIRS);
  for (int i = 0; i < N; i++)
    ttl_bucket_unref (all[i]);
  cr_assert_eq (count_descriptors (), before);
}

Test (bucket, opens_a_deep_one_without_any_descriptor_cached)
{
  TtlBucket *at = ttl_bucket_ref (ttl_tree_root (tree));
  g_autoptr (GString) path = g_string_new (NULL);

  for (int i = 0; i < 50; i++)
    {
      TtlBucket *below;

      g_string_append (path, i == 0 ? "d" : "/d");
      make (path->str);
      below = get_child (at, "d");
      ttl_bucket_unref (at);
      at = below;
    }
  cr_assert_str_eq (path_of (at), path->str);
  ttl_bucket_forget_dir (at);
  cr_assert_eq (ino_of (at), ino_at (path->str));
  cr_assert (ttl_bucket_is_in_place (at));
  ttl_bucket_unref (at);
}

Test (bucket, keeps_a_descriptor_open_for_whoever_uses_it)
{
  g_autoptr (TtlBucket) a = NULL;
  g_autoptr (TtlDir) dir = NULL;
  struct stat st;

  make ("a");
  a = get_child (ttl_tree_root (tree), "a");
  assert_is (ttl_bucket_open (a, &dir), 0);
  for (int i = 0; i < 2 * MAX_DIRS; i++)
    {
      make (text ("b%d", i));
      ttl_bucket_unref (get_child (ttl_tree_root (tree), text ("b%d", i)));
    }
  ttl_bucket_forget_dir (a);
  assert_ok (fstat (ttl_dir_fd (dir), &st));
  cr_assert_eq (st.st_ino, ino_at ("a"));
}

Test (bucket, survives_a_rename)
{
  g_autoptr (TtlBucket) a = NULL;
  g_autoptr (TtlBucket) b = NULL;
  g_autoptr (TtlBucket) inside = NULL;

  make ("a");
  make ("a/in");
  make ("b");
  a = get_child (ttl_tree_root (tree), "a");
  b = get_child (ttl_tree_root (tree), "b");
  inside = get_child (a, "in");
  assert_ok (rename (raw ("a"), raw ("b/c")));
  ttl_bucket_moved (a, b, "c");
  cr_assert_str_eq (path_of (inside), "b/c/in");
  ttl_bucket_forget_dir (a);
  ttl_bucket_forget_dir (inside);
  cr_assert_eq (ino_of (inside), ino_at ("b/c/in"));
}

Test (bucket, is_found_where_a_peer_has_moved_it)
{
  g_autoptr (TtlBucket) a = NULL;
  g_autoptr (TtlBucket) found = NULL;

  make ("a");
  a = get_child (ttl_tree_root (tree), "a");
  ttl_bucket_forget_dir (a);
  assert_ok (rename (raw ("a"), raw ("b")));
  assert_is (open_result (a), -ESTALE);
  found = get_child (ttl_tree_root (tree), "b");
  cr_assert_eq (found, a);
  cr_assert_str_eq (path_of (a), "b");
  assert_is (open_result (a), 0);
}

Test (bucket, is_stale_when_another_directory_has_its_name)
{
  g_autoptr (TtlBucket) a = NULL;
  g_autoptr (TtlBucket) other = NULL;

  make ("a");
  a = get_child (ttl_tree_root (tree), "a");
  ttl_bucket_forget_dir (a);
  assert_ok (rename (raw ("a"), raw ("kept")));
  make ("a");
  assert_is (open_result (a), -ESTALE);
  other = get_child (ttl_tree_root (tree), "a");
  cr_assert_neq (other, a);
}

Test (bucket, is_not_in_place_when_a_peer_has_moved_what_is_around_it)
{
  g_autoptr (TtlBucket) a = NULL;
  g_autoptr (TtlBucket) b = NULL;

  make ("a");
  make ("a/b");
  a = get_child (ttl_tree_root (tree), "a");
  b = get_child (a, "b");
  cr_assert (ttl_bucket_is_in_place (b));
  assert_ok (rename (raw ("a"), raw ("c")));
  cr_assert_not (ttl_bucket_is_in_place (b));
  ttl_bucket_unref (get_child (ttl_tree_root (tree), "c"));
  cr_assert (ttl_bucket_is_in_place (b));
}

Test (bucket, never_becomes_its_own_parent)
{
  g_autoptr (TtlBucket) a = NULL;
  g_autoptr (TtlBucket) b = NULL;
  TtlBucket *found;

  make ("a");
  make ("a/b");
  a = get_child (ttl_tree_root (tree), "a");
  b = get_child (a, "b");
  /* A peer turns them inside out, and we hear of the inner one first. */
  assert_ok (rename (raw ("a/b"), raw ("b")));
  assert_ok (rename (raw ("a"), raw ("b/a")));
  assert_is (ttl_bucket_get_child (b, "a", &found), -ESTALE);
  ttl_bucket_moved (a, b, "a");
  cr_assert_str_eq (path_of (b), "a/b");
  ttl_bucket_unref (get_child (ttl_tree_root (tree), "b"));
  ttl_bucket_unref (get_child (b, "a"));
  cr_assert_str_eq (path_of (a), "b/a");
}

Test (bucket, that_was_removed_is_not_a_later_one_with_its_inode)
{
  g_autoptr (TtlBucket) a = NULL;
  g_autoptr (TtlBucket) later = NULL;

  make ("a");
  a = get_child (ttl_tree_root (tree), "a");
  ttl_bucket_removed (a);
  later = get_child (ttl_tree_root (tree), "a");
  cr_assert_neq (later, a);
}

Test (bucket, is_found_by_the_name_that_it_is_known_by)
{
  g_autoptr (TtlBucket) a = NULL;
  g_autoptr (TtlBucket) found = NULL;

  make ("a");
  cr_assert_null (ttl_bucket_dup_known_child (ttl_tree_root (tree), "a"));
  a = get_child (ttl_tree_root (tree), "a");
  found = ttl_bucket_dup_known_child (ttl_tree_root (tree), "a");
  cr_assert_eq (found, a);
}

Test (bucket, remembers_its_ttl_until_it_is_told_to_forget_it)
{
  TtlBucket *top = ttl_tree_root (tree);
  TtlDuration own = duration ("5m");
  guint stamp, old_stamp;

  cr_assert_not (ttl_bucket_get_own_ttl (top, &own, &old_stamp));
  ttl_bucket_set_own_ttl (top, &own, old_stamp);
  own.ns = 1;
  cr_assert (ttl_bucket_get_own_ttl (top, &own, &stamp));
  cr_assert_str_eq (own.text, "5m");
  ttl_bucket_set_own_ttl (top, NULL, stamp);
  cr_assert (ttl_bucket_get_own_ttl (top, &own, &stamp));
  cr_assert_eq (own.ns, 0);
  ttl_bucket_forget_ttl (top);
  cr_assert_not (ttl_bucket_get_own_ttl (top, &own, &stamp));
  ttl_bucket_set_own_ttl (top, &own, old_stamp);
  cr_assert_not (ttl_bucket_get_own_ttl (top, &own, &stamp), "what was read before is dropped");
}
