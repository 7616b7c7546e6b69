/* A put over a key replaces its file, and on some file systems that moves it about in the directory;
 * a listing shows it all the same, once. */
#include "mount.h"

#include <dirent.h>
#include <linux/magic.h>
#include <signal.h>
#include <sys/vfs.h>

#define KEYS 3000
#define LISTINGS 60

TestSuite (a_listing_under_puts, .init = mount_setup, .fini = mount_teardown, .timeout = 300);

/* Until it is killed. */
static int
put_over_all (const void *prefix)
{
  for (guint round = 0;; round++)
    for (int i = 0; i < KEYS; i++)
      {
        char path[512];

        g_snprintf (path, sizeof path, "%s/key%d", (const char *)prefix, i);
        if (put (path, round % 2 == 0 ? "even" : "odd") < 0)
          return 1;
      }
}

/* The same as a FileStore does it. */
static int
put_over_all_raw (const void *prefix)
{
  char scratch[512];

  g_snprintf (scratch, sizeof scratch, "%s/.tmp_x", (const char *)prefix);
  for (;;)
    for (int i = 0; i < KEYS; i++)
      {
        char path[512];

        g_snprintf (path, sizeof path, "%s/key%d", (const char *)prefix, i);
        if (put (scratch, "peer") < 0 || rename (scratch, path) < 0)
          return 1;
      }
}

/* What is wrong with a listing, or NULL. */
static const char *
find_fault (void)
{
  g_autofree guint8 *seen = g_malloc0 (KEYS);
  const char *fault = NULL;
  DIR *dir = opendir (at ("."));
  struct dirent *entry;

  if (dir == NULL)
    return g_strerror (errno);
  while ((entry = readdir (dir)) != NULL)
    {
      int number;

      if (entry->d_name[0] == '.')
        continue;
      if (sscanf (entry->d_name, "key%d", &number) != 1 || number < 0 || number >= KEYS)
        fault = text ("%s is listed", entry->d_name);
      else if (seen[number]++ > 0)
        fault = text ("%s is listed twice", entry->d_name);
    }
  closedir (dir);
  for (int i = 0; i < KEYS; i++)
    if (!seen[i])
      fault = text ("key%d is not listed", i);
  return fault;
}

static void
assert_complete_under (int (*puts) (const void *), const char *prefix)
{
  const char *fault = NULL;
  pid_t pid;

  for (int i = 0; i < KEYS; i++)
    {
      char path[512];

      g_snprintf (path, sizeof path, "%s/key%d", backing_dir (), i);
      assert_ok (put (path, "value"));
    }
  assert_eventually (5000, count_listed (at (".")) == KEYS);
  pid = start_child (ANY_USER, puts, prefix);
  for (int i = 0; i < LISTINGS && fault == NULL; i++)
    fault = find_fault ();
  assert_ok (kill (pid, SIGKILL)); /* first: it must not go on in a directory without a mount */
  cr_assert_eq (wait_for (pid), 128 + SIGKILL);
  cr_assert (fault == NULL, "%s", fault);
}

/* On btrfs a name that is renamed over gets a place behind the last one that a listing under way will look at, and no
 * reader of the directory can help that; core/store.h says so. */
static gboolean
loses_names_itself (const char *dir)
{
  struct statfs fs;

  return statfs (dir, &fs) == 0 && fs.f_type == BTRFS_SUPER_MAGIC;
}

Test (a_listing_under_puts, through_the_mount_misses_nothing)
{
  if (!loses_names_itself (backing_dir ()))
    assert_complete_under (put_over_all, at ("."));
}

Test (a_listing_under_puts, by_a_raw_peer_misses_nothing)
{
  if (!loses_names_itself (backing_dir ()))
    assert_complete_under (put_over_all_raw, backing_dir ());
}
