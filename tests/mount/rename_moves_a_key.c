/* rename(2) and renameat2(2) of keys: atomic, with their lease, and with POSIX's rules. */
#include "mount.h"

#include <linux/fs.h>
#include <signal.h>
#include <sys/wait.h>

TestSuite (rename_, .init = mount_setup, .fini = mount_teardown, .timeout = 60);

static int
rename_with (unsigned flags, const char *from, const char *to)
{
  return renameat2 (AT_FDCWD, at (from), AT_FDCWD, at (to), flags);
}

Test (rename_, moves_a_key)
{
  assert_ok (put (at ("a"), "value"));
  assert_ok (rename_with (0, "a", "b"));
  assert_hidden (at ("a"));
  assert_witnessed (at ("b"), "value");
  cr_assert_str_eq (listing (at (".")), "b\n");
}

Test (rename_, replaces_a_key)
{
  assert_ok (put (at ("a"), "a"));
  assert_ok (put (at ("b"), "b, which is longer"));
  assert_ok (rename_with (0, "a", "b"));
  assert_hidden (at ("a"));
  assert_witnessed (at ("b"), "a");
}

Test (rename_, keeps_the_lease)
{
  gint64 mtime;

  assert_ok (put (at ("a"), "value"));
  mtime = mtime_ns (at ("a"));
  sleep_ms (20);
  assert_ok (rename_with (0, "a", "b"));
  cr_assert_eq (mtime_ns (at ("b")), mtime);
}

Test (rename_, between_buckets_moves_a_key)
{
  assert_ok (mkdir (at ("x"), 0777));
  assert_ok (mkdir (at ("y"), 0777));
  assert_ok (put (at ("x/k"), "value"));
  assert_ok (rename_with (0, "x/k", "y/k"));
  assert_hidden (at ("x/k"));
  assert_witnessed (at ("y/k"), "value");
  assert_ok (rename_with (0, "y/k", "k"));
  assert_witnessed (at ("k"), "value");
  assert_value (raw ("k"), "value");
}

Test (rename_, to_itself_changes_nothing)
{
  assert_ok (put (at ("worker-1"), "value"));
  assert_ok (rename_with (0, "worker-1", "worker-1"));
  assert_ok (rename_with (0, "worker-1", "worker%2D1")); /* two spellings of one key */
  assert_witnessed (at ("worker-1"), "value");
}

Test (rename_, of_a_missing_key_fails)
{
  assert_errno (rename_with (0, "missing", "k"), ENOENT);
  assert_ok (put (at ("k"), "value"));
  assert_errno (rename_with (0, "missing", "k"), ENOENT);
  assert_value (at ("k"), "value");
}

Test (rename_, into_a_missing_bucket_fails)
{
  assert_ok (put (at ("k"), "value"));
  assert_errno (rename_with (0, "k", "missing/k"), ENOENT);
  assert_value (at ("k"), "value");
}

Test (rename_, noreplace_moves_only_to_a_free_name)
{
  assert_ok (put (at ("a"), "a"));
  assert_ok (put (at ("b"), "b"));
  assert_errno (rename_with (RENAME_NOREPLACE, "a", "b"), EEXIST);
  assert_value (at ("a"), "a");
  assert_value (at ("b"), "b");
  assert_ok (rename_with (RENAME_NOREPLACE, "a", "c"));
  assert_hidden (at ("a"));
  assert_witnessed (at ("c"), "a");
}

Test (rename_, noreplace_respects_a_raw_peer)
{
  assert_ok (put (at ("a"), "a"));
  assert_absent (at ("b"));
  assert_ok (put_raw (raw ("b"), "peer"));
  assert_errno (rename_with (RENAME_NOREPLACE, "a", "b"), EEXIST);
}

Test (rename_, exchange_swaps_two_keys)
{
  assert_ok (put (at ("a"), "a"));
  assert_ok (put (at ("b"), "b, which is longer"));
  assert_ok (rename_with (RENAME_EXCHANGE, "a", "b"));
  assert_witnessed (at ("a"), "b, which is longer");
  assert_witnessed (at ("b"), "a");
  assert_errno (rename_with (RENAME_EXCHANGE, "a", "missing"), ENOENT);
  assert_errno (rename_with (RENAME_EXCHANGE, "missing", "a"), ENOENT);
  assert_witnessed (at ("a"), "b, which is longer");
}

/* As a file that is renamed takes its descriptors along. */
Test (rename_, exchange_takes_the_writers_along)
{
  int a, b;

  assert_ok (put (at ("a"), "a"));
  assert_ok (put (at ("b"), "b"));
  a = open (at ("a"), O_WRONLY | O_APPEND);
  b = open (at ("b"), O_WRONLY | O_APPEND);
  assert_ok (a);
  assert_ok (b);
  assert_ok (write_all (a, "+"));
  assert_ok (fsync (a));
  assert_ok (rename_with (RENAME_EXCHANGE, "a", "b"));
  assert_ok (write_all (a, "+"));
  assert_ok (write_all (b, "-"));
  assert_ok (close (a));
  assert_ok (close (b));
  assert_witnessed (at ("a"), "b-");
  assert_witnessed (at ("b"), "a++");
}

Test (rename_, refuses_flags_that_it_does_not_know)
{
  assert_ok (put (at ("a"), "a"));
  assert_errno (rename_with (RENAME_NOREPLACE | RENAME_EXCHANGE, "a", "b"), EINVAL);
  assert_errno (rename_with (RENAME_WHITEOUT, "a", "b"), EINVAL);
  assert_value (at ("a"), "a");
}

Test (rename_, of_an_open_key_leaves_its_reader_alone)
{
  int fd;

  assert_ok (put (at ("a"), "value"));
  fd = open (at ("a"), O_RDONLY);
  assert_ok (fd);
  assert_ok (rename_with (0, "a", "b"));
  cr_assert_str_eq (get_fd (fd), "value");
  assert_ok (close (fd));
}

Test (rename_, is_never_seen_half_done)
{
  pid_t pid = spawn_bash ("for i in $(seq 300); do echo $i > $MNT/t; mv $MNT/t $MNT/k; done");

  assert_eventually (5000, exists (at ("k")));
  while (kill (pid, 0) == 0)
    {
      gsize len;
      g_autofree char *value = get_bytes (at ("k"), &len);
      int status;

      cr_assert (value != NULL, "missing: %s", g_strerror (errno));
      cr_assert (len > 1 && value[len - 1] == '\n', "partial: '%s'", value);
      if (waitpid (pid, &status, WNOHANG) == pid)
        break;
    }
  assert_value (at ("k"), "300\n");
}

Test (rename_, works_by_mv)
{
  assert_shells (
      "mkdir -p d; echo v > a; mv a b; mv b d/c; test $(cat d/c) = v; mv d/c .; test $(cat c) = v; "
      "echo w > x; mv -f x c; test $(cat c) = w; echo y > y; mv -n y c; test $(cat c) = w; rm y");
}
