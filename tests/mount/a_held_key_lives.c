/* A key lives for as long as somebody keeps it open for writing, and no longer than a TTL after
 * that. */
#include "delay.h"
#include "mount.h"

#include <signal.h>

static void
mount_with_a_second (void)
{
  mount_setup_with ("ttl=1s");
}

TestSuite (a_held_key, .init = mount_with_a_second, .fini = mount_teardown, .timeout = 120);

/* Continuously there, with that value, for @seconds; never a moment missing. */
static void
assert_held (const char *path, const char *value, int seconds)
{
  gint64 end = now_ns () + seconds * SECOND;

  while (now_ns () < end)
    {
      gsize len;
      g_autofree char *found = get_bytes (path, &len);

      cr_assert (found != NULL, "the held key is missing: %s", g_strerror (errno));
      cr_assert_str_eq (found, value);
      sleep_ms (1);
    }
}

static void
assert_ends_within_a_ttl (const char *path, const char *raw_path)
{
  gint64 deadline;

  sleep_ms (tolerance_ns (10) / MS); /* it may just have been renewed */
  deadline = mtime_ns (path) + SECOND;
  cr_assert (deadline <= now_ns () + SECOND, "it was renewed into the future");
  sleep_until (deadline);
  assert_absent (path);
  assert_eventually (100, !exists (raw_path));
}

Test (a_held_key, lives_as_long_as_its_holder_and_ends_a_ttl_after_it_was_killed)
{
  pid_t pid = spawn_bash ("exec 9>svc; echo alive >&9; exec sleep 60");

  assert_eventually (2000, exists (at ("svc")));
  assert_held (at ("svc"), "alive\n", 4);
  kill (pid, SIGKILL);
  wait_for (pid);
  assert_ends_within_a_ttl (at ("svc"), raw ("svc"));
}

Test (a_held_key, ends_a_ttl_after_it_was_closed)
{
  int fd = open (at ("svc"), O_WRONLY | O_CREAT, 0666);

  assert_ok (fd);
  assert_ok (write_all (fd, "alive"));
  assert_ok (fsync (fd));
  assert_held (at ("svc"), "alive", 3);
  assert_ok (close (fd));
  assert_ends_within_a_ttl (at ("svc"), raw ("svc"));
}

/* Who goes by the mtime alone, and asks all the time, finds each renewal as soon as a change by somebody else. */
Test (a_held_key, shows_its_renewals)
{
  gint64 delays[7], before;
  int fd = open (at ("svc"), O_WRONLY | O_CREAT, 0666);

  assert_ok (fd);
  assert_ok (write_all (fd, "alive"));
  assert_ok (fsync (fd));
  for (guint i = 0; i < G_N_ELEMENTS (delays); i++)
    {
      before = mtime_ns (at ("svc"));
      assert_eventually (1000, mtime_ns (at ("svc")) >= before && mtime_ns (raw ("svc")) > before);
      delays[i] = DELAY (mtime_ns (at ("svc")) > before);
    }
  assert_usually_within (10, delays);
  assert_ok (close (fd));
}

Test (a_held_key, lives_with_a_ttl_of_fifty_milliseconds)
{
  int fd;

  assert_ok (set_xattr (at ("."), "user.ttlfs.ttl", "50ms"));
  fd = open (at ("svc"), O_WRONLY | O_CREAT, 0666);
  assert_ok (fd);
  assert_ok (write_all (fd, "alive"));
  assert_ok (close (dup (fd)));
  assert_held (at ("svc"), "alive", 2);
  assert_ok (close (fd));
}

Test (a_held_key, lives_with_many_others)
{
  enum
  {
    N = 500
  };
  int fds[N];
  gint64 end;

  for (int i = 0; i < N; i++)
    {
      fds[i] = open (at (text ("svc-%d", i)), O_WRONLY | O_CREAT, 0666);
      assert_ok (fds[i]);
      assert_ok (write_all (fds[i], "alive"));
      assert_ok (close (dup (fds[i])));
    }
  end = now_ns () + 3 * SECOND;
  while (now_ns () < end)
    for (int i = 0; i < N; i++)
      assert_ok (stat_of (at (text ("svc-%d", i)), NULL));
  cr_assert_eq (count_listed (at (".")), N);
  for (int i = 0; i < N; i++)
    assert_ok (close (fds[i]));
}

Test (a_held_key, is_kept_from_a_peers_reaper)
{
  const gint64 ttl
      = MIN (tolerance_ns (1000), 2 * SECOND); /* a renewal may wait for a slow journal */
  gint64 end = now_ns () + 3 * ttl;
  int fd;

  assert_ok (set_xattr (at ("."), "user.ttlfs.ttl", text ("%dms", (int)(ttl / MS))));
  fd = open (at ("svc"), O_WRONLY | O_CREAT, 0666);
  assert_ok (fd);
  assert_ok (write_all (fd, "alive"));
  assert_ok (fsync (fd));
  while (now_ns () < end)
    {
      gint64 before = now_ns (), mtime = mtime_ns (raw ("svc"));

      cr_assert (mtime >= 0 && mtime + ttl > before, "a peer would have reaped it");
      sleep_ms (5);
    }
  assert_ok (close (fd));
}

Test (a_held_key, that_is_removed_stays_removed)
{
  int fd = open (at ("svc"), O_WRONLY | O_CREAT, 0666);

  assert_ok (fd);
  assert_ok (write_all (fd, "alive"));
  assert_ok (fsync (fd));
  assert_bash ("rm svc");
  assert_stays (1500, !exists (at ("svc")));
  assert_ok (close (fd));
  assert_absent (at ("svc"));
}

Test (a_held_key, that_a_raw_peer_removed_stays_removed)
{
  int fd = open (at ("svc"), O_WRONLY | O_CREAT, 0666);

  assert_ok (fd);
  assert_ok (write_all (fd, "alive"));
  assert_ok (fsync (fd));
  assert_ok (unlink (raw ("svc")));
  assert_eventually (1000, !exists (at ("svc")));
  assert_stays (1500, !exists (raw ("svc")));
  assert_ok (close (fd));
}

Test (a_held_key, is_held_under_its_new_name)
{
  int fd = open (at ("a"), O_WRONLY | O_CREAT, 0666);

  assert_ok (fd);
  assert_ok (write_all (fd, "alive"));
  assert_ok (fsync (fd));
  assert_bash ("mv a b");
  assert_held (at ("b"), "alive", 3);
  assert_absent (at ("a"));
  assert_ok (close (fd));
  assert_ends_within_a_ttl (at ("b"), raw ("b"));
}

Test (a_held_key, that_somebody_else_has_put_keeps_that_value)
{
  int fd = open (at ("svc"), O_WRONLY | O_CREAT, 0666);

  assert_ok (fd);
  assert_ok (write_all (fd, "mine"));
  assert_ok (fsync (fd));
  assert_bash ("echo theirs > svc");
  sleep_ms (700);
  assert_value (at ("svc"), "theirs\n");
  assert_ok (close (fd));
  cr_assert (g_strcmp0 (get (at ("svc")), "mine") != 0);
}

Test (a_held_key, is_not_held_by_readers)
{
  int fd;
  gint64 deadline;

  assert_ok (put (at ("k"), "value"));
  deadline = mtime_ns (at ("k")) + SECOND;
  fd = open (at ("k"), O_RDONLY);
  assert_ok (fd);
  sleep_until (deadline);
  assert_absent (at ("k"));
  assert_ok (close (fd));
}

Test (a_held_key, is_one_that_was_published)
{
  int fd;
  gint64 deadline;

  assert_ok (put (at ("k"), "value"));
  deadline = mtime_ns (at ("k")) + SECOND;
  fd = open (at ("k"), O_WRONLY);
  assert_ok (fd);
  sleep_until (deadline); /* nothing was published through the descriptor: it holds nothing */
  assert_absent (at ("k"));
  assert_ok (close (fd));
  assert_absent (at ("k"));
}

Test (a_held_key, is_renewed_on_and_on_by_a_writer_that_writes_on)
{
  int fd = open (at ("log"), O_WRONLY | O_CREAT | O_APPEND, 0666);
  g_autoptr (GString) expected = g_string_new (NULL);

  assert_ok (fd);
  for (int i = 0; i < 10; i++)
    {
      assert_ok (write_all (fd, "line\n"));
      assert_ok (fsync (fd));
      g_string_append (expected, "line\n");
      sleep_ms (300);
      assert_value (at ("log"), expected->str);
    }
  assert_ok (close (fd));
}

Test (a_held_key, is_not_held_with_keepalive_none)
{
  pid_t pid;
  gint64 deadline;

  mount_stop (mount_number (1));
  mount_start ("ttl=1s,keepalive=none");
  pid = spawn_bash ("exec 9>svc; echo alive >&9; exec sleep 60");
  assert_eventually (2000, exists (at ("svc")));
  deadline = mtime_ns (at ("svc")) + SECOND;
  sleep_until (deadline);
  assert_absent (at ("svc"));
  kill (pid, SIGKILL);
  wait_for (pid);
  assert_absent (at ("svc"));
}
