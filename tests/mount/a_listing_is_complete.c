/* readdir() returns every key that was there throughout, once, whatever else comes and goes
 * meanwhile. */
#include "mount.h"

#include <dirent.h>
#include <signal.h>

#define KEYS 5000

TestSuite (a_listing, .init = mount_setup, .fini = mount_teardown, .timeout = 300);

static void
put_keys (int n)
{
  for (int i = 0; i < n; i++)
    {
      char path[512];

      g_snprintf (path, sizeof path, "%s/stable%%2D%d", backing_dir (), i);
      assert_ok (put (path, "value"));
    }
}

static void
assert_complete (int n)
{
  g_autofree guint8 *seen = g_malloc0 ((gsize)n);
  DIR *dir = opendir (at ("."));
  struct dirent *entry;

  cr_assert (dir != NULL, "%s", g_strerror (errno));
  while ((entry = readdir (dir)) != NULL)
    {
      int number;

      if (sscanf (entry->d_name, "stable-%d", &number) != 1)
        continue;
      cr_assert (number >= 0 && number < n, "unknown key %s", entry->d_name);
      cr_assert (seen[number] == 0, "%s is listed twice", entry->d_name);
      cr_assert_eq (entry->d_type, DT_REG);
      seen[number] = 1;
    }
  closedir (dir);
  for (int i = 0; i < n; i++)
    cr_assert (seen[i], "stable-%d is not listed", i);
}

Test (a_listing, of_five_thousand_keys_is_complete)
{
  put_keys (KEYS);
  assert_eventually (5000, count_listed (at (".")) == KEYS);
  assert_complete (KEYS);
}

Test (a_listing, is_complete_while_keys_come_and_go)
{
  pid_t pids[2];

  put_keys (KEYS);
  assert_eventually (5000, count_listed (at (".")) == KEYS);
  pids[0] = spawn_bash ("i=0; while :; do i=$((i + 1)); echo v > come-$((i % 50)); rm -f "
                        "come-$(((i + 25) % 50)); done");
  pids[1] = spawn_bash (
      "cd $BACKING; i=0; while :; do i=$((i + 1)); echo v > .tmp_x; mv .tmp_x go$((i % 50)); "
      "rm -f go$(((i + 25) % 50)); done");
  for (int i = 0; i < 20; i++)
    assert_complete (KEYS);
  for (int i = 0; i < 2; i++)
    {
      kill (pids[i], SIGKILL);
      wait_for (pids[i]);
    }
}

Test (a_listing, is_rewound_to_what_is_there_now)
{
  DIR *dir;
  struct dirent *entry;
  int n = 0;

  assert_ok (put (at ("a"), "value"));
  dir = opendir (at ("."));
  while (readdir (dir) != NULL)
    n++;
  cr_assert_eq (n, 3); /* with "." and ".." */
  assert_ok (put (at ("b"), "value"));
  assert_ok (unlink (at ("a")));
  rewinddir (dir);
  n = 0;
  while ((entry = readdir (dir)) != NULL)
    {
      cr_assert_str_neq (entry->d_name, "a");
      n += strcmp (entry->d_name, "b") == 0;
    }
  closedir (dir);
  cr_assert_eq (n, 1);
}

Test (a_listing, goes_on_from_every_place_that_telldir_named)
{
  enum
  {
    N = 300
  };
  DIR *dir;
  long places[N + 2];
  char *names[N + 2];
  int n = 0;

  put_keys (N);
  assert_eventually (2000, count_listed (at (".")) == N);
  dir = opendir (at ("."));
  while (TRUE)
    {
      long place = telldir (dir);
      struct dirent *entry = readdir (dir);

      if (entry == NULL)
        break;
      cr_assert (n < N + 2, "too many entries");
      places[n] = place;
      names[n++] = g_strdup (entry->d_name);
    }
  cr_assert_eq (n, N + 2);
  for (int i = n - 1; i >= 0; i -= 7)
    {
      struct dirent *entry;

      seekdir (dir, places[i]);
      entry = readdir (dir);
      cr_assert (entry != NULL);
      cr_assert_str_eq (entry->d_name, names[i]);
    }
  for (int i = 0; i < n; i++)
    g_free (names[i]);
  closedir (dir);
}

Test (a_listing, agrees_with_stat)
{
  DIR *dir;
  struct dirent *entry;

  assert_bash ("mkdir b; for i in $(seq 50); do echo $i > k-$i; done");
  dir = opendir (at ("."));
  while ((entry = readdir (dir)) != NULL)
    {
      struct stat st;

      assert_ok (stat_of (at (entry->d_name), &st));
      cr_assert_eq (entry->d_type, (st.st_mode & S_IFMT) >> 12, "%s", entry->d_name);
      if (strcmp (entry->d_name, "..") != 0)
        cr_assert_eq (entry->d_ino, st.st_ino, "%s: %lu and %lu", entry->d_name,
                      (unsigned long)entry->d_ino, (unsigned long)st.st_ino);
    }
  closedir (dir);
}

Test (a_listing, works_for_ls_find_du_and_df)
{
  assert_bash ("mkdir -p b/c; echo v > k-1; echo v > b/k.2; head -c 100000 /dev/zero > b/c/k3");
  assert_bash ("test \"$(ls)\" = \"$(printf 'b\\nk-1')\"");
  assert_bash ("test $(ls -la | wc -l) = 5");
  assert_bash ("test $(ls -laR | grep -c k) = 3");
  assert_bash ("test \"$(find . -type f | sort)\" = \"$(printf './b/c/k3\\n./b/k.2\\n./k-1')\"");
  assert_bash ("test $(find . -name 'k*' -size +90k) = ./b/c/k3");
  assert_bash ("test $(du -sk --apparent-size b/c/k3 | cut -f1) = 98; du -s . > /dev/null");
  assert_bash ("df . > $TMP/df; grep -q \"$MNT\" $TMP/df; df -i . > /dev/null");
  assert_bash ("ls -l k-1 | grep -q '^-rw-r--r-- 1 '");
}
