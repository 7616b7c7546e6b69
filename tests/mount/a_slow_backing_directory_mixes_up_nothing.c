/* Whatever comes between two system calls of the daemon: here some of them begin so late that it does. */
#include "cleanup.h"
#include "mount.h"

#define WRITERS 8
#define SECONDS 3

static Faults *faults;

/* Nothing to be slow yet. */
static void
mount_with_a_second (void)
{
  mount_prepare ();
  faults = mount_start_on_bad_ground ("ttl=1s", &(Faults){ 0 });
}

static void
slow_down (int calls, int us, int one_in)
{
  faults->slow_us = us;
  faults->slow_one_in = one_in;
  __atomic_store_n (&faults->slow, calls, __ATOMIC_RELEASE);
}

TestSuite (slow, .init = mount_with_a_second, .fini = mount_teardown, .timeout = 120);

static const int ways_to_open[]
    = { O_CREAT, O_CREAT | O_APPEND, O_CREAT | O_TRUNC, O_CREAT | O_RDWR };

static int
open_and_close (const void *data)
{
  gint64 until = now_ns () + SECONDS * 1000 * MS;

  for (int i = *(const int *)data; now_ns () < until; i++)
    {
      int way = ways_to_open[i % (int)G_N_ELEMENTS (ways_to_open)];
      int fd = open (at ("k"), way & O_RDWR ? way : way | O_WRONLY, 0666);

      if (fd < 0 || (i % 3 != 0 && write_all (fd, "abc") < 0) || close (fd) < 0)
        return errno;
    }
  return 0;
}

Test (slow, opens_of_many_writers_each_have_their_draft)
{
  pid_t pids[WRITERS];
  int first[WRITERS];

  slow_down (FAULT_OPEN, 500, 4);
  for (int i = 0; i < WRITERS; i++)
    {
      first[i] = i;
      pids[i] = start_child (ANY_USER, open_and_close, &first[i]);
    }
  for (int i = 0; i < WRITERS; i++)
    cr_expect_eq (wait_for (pids[i]), 0);
  assert_ok (put (at ("k"), "value"));
  assert_witnessed (at ("k"), "value");
}

static int
touch_k (const void *data G_GNUC_UNUSED)
{
  return utimensat (AT_FDCWD, at ("k"), NULL, 0) < 0 ? errno : 0;
}

/* The reaper looks, a peer renews, a client finds it renewed, the reaper takes it away, and another peer takes the name. */
Test (slow, touches_renew_what_stands_there_afterwards)
{
  gint64 ends, began;
  pid_t toucher;
  int res;

  assert_ok (put (at ("k"), "old"));
  ends = mtime_ns (raw ("k")) + 1000 * MS;
  sleep_until (ends - 100 * MS);
  slow_down (FAULT_NAME, 100000, 0);
  assert_ok (put (raw (".tmp_peer"), "new"));
  sleep_until (ends + 30 * MS);
  slow_down (FAULT_NAME | FAULT_TIMES, 100000, 0);
  assert_ok (utimensat (AT_FDCWD, raw ("k"), NULL, 0));
  began = now_ns ();
  toucher = start_child (ANY_USER, touch_k, NULL);
  while (link (raw (".tmp_peer"), raw ("k")) < 0 && now_ns () < ends + 500 * MS)
    g_usleep (1000);
  res = wait_for (toucher);
  cr_assert (res == 0 || res == ENOENT, "%s", g_strerror (res));
  if (res == 0)
    cr_assert_geq (mtime_ns (raw ("k")), began - 10 * MS);
}

/* A peer renews by a descriptor what the reaper has just taken off its name. It may come back; but not after it was replaced, and
 * what replaced it was deleted. */
Test (slow, renewals_bring_back_nothing_that_was_replaced)
{
  gint64 ends;
  int fd;

  for (int i = 0; i < 3; i++)
    {
      assert_ok (put (raw ("k"), "old"));
      ends = mtime_ns (raw ("k")) + 1000 * MS;
      fd = open (raw ("k"), O_RDONLY | O_CLOEXEC);
      assert_ok (fd);
      sleep_until (ends - 1 * MS);
      while (exists (raw ("k")) && now_ns () < ends + 1000 * MS)
        ;
      assert_ok (futimens (fd, NULL));
      assert_ok (close (fd));
      assert_ok (put (at ("k"), "new"));
      assert_ok (unlink (at ("k")));
      assert_stays (60, !exists (raw ("k")));
    }
}

static int
make_bucket (const void *data G_GNUC_UNUSED)
{
  return mkdir (at ("b"), 0777) < 0 ? errno : 0;
}

/* A peer that may write in the backing directory puts somebody else's file in the place of the bucket that is just made. */
Test (slow, mkdir_gives_nothing_away_that_it_has_not_made)
{
  static const char *const whats[] = { "file", "dir" };

  need_root ();
  assert_ok (chmod (at ("."), 0777));
  assert_ok (put (raw ("file"), "secret"));
  assert_ok (mkdir (raw ("dir"), 0700));
  assert_ok (put (raw ("dir/k"), "secret"));
  for (guint i = 0; i < G_N_ELEMENTS (whats); i++)
    {
      gint64 until = now_ns () + 2000 * MS;
      struct stat st;
      pid_t maker;
      int res;

      slow_down (FAULT_OPEN, 100000, 0);
      maker = start_child (12345, make_bucket, NULL);
      while (!exists (raw ("b")) && now_ns () < until)
        g_usleep (100);
      assert_ok (rename (raw ("b"), raw ("made")));
      assert_ok (rename (raw (whats[i]), raw ("b")));
      res = wait_for (maker);
      slow_down (0, 0, 0);
      cr_expect_eq (res, ENOENT, "%s: %s", whats[i], g_strerror (res));
      assert_ok (stat_of (raw ("b"), &st));
      cr_expect_eq (st.st_uid, 0, "%s is %u's now", whats[i], st.st_uid);
      assert_ok (rename (raw ("b"), raw (whats[i])));
      assert_ok (rmdir (raw ("made")));
    }
}

static gint64 close_at;

static int
append_to_k (const void *data G_GNUC_UNUSED)
{
  int fd = open (at ("k"), O_WRONLY | O_APPEND | O_CREAT, 0666);

  if (fd < 0 || write_all (fd, "+") < 0)
    return errno;
  sleep_until (close_at);
  return close (fd) < 0 ? errno : 0;
}

static pid_t
start_appender (gint64 when)
{
  close_at = when;
  return start_child (ANY_USER, append_to_k, NULL);
}

/* The append looks at "old", then the peer acts, then the append goes on. */
static void
assert_overtaken_append (int (*peer) (void), const char *expected)
{
  for (int i = 0; i < 3; i++)
    {
      gint64 when = now_ns () + 100 * MS;
      pid_t appender;

      assert_ok (put (at ("k"), "old"));
      slow_down (FAULT_NAME, 60000, 0);
      appender = start_appender (when);
      sleep_until (when + 30 * MS);
      assert_ok (peer ());
      cr_expect_eq (wait_for (appender), 0);
      slow_down (0, 0, 0);
      assert_witnessed (at ("k"), expected);
      cr_assert_eq (count_scratch (raw (".")), 0);
    }
}

static int
put_as_a_peer (void)
{
  return put_raw (raw ("k"), "of a peer");
}

static int
delete_as_a_peer (void)
{
  return unlink (raw ("k"));
}

/* A peer, who takes no lock, is quicker: by a put, ... */
Test (slow, appends_go_behind_what_a_peer_puts_meanwhile)
{
  assert_overtaken_append (put_as_a_peer, "of a peer+");
}

/* ... by a deletion, ... */
Test (slow, appends_bring_back_nothing_that_a_peer_deletes_meanwhile)
{
  assert_overtaken_append (delete_as_a_peer, "+");
}

static int
create_k (const void *data G_GNUC_UNUSED)
{
  int fd = open (at ("k"), O_WRONLY | O_CREAT | O_EXCL, 0666);

  sleep_until (close_at + 500 * MS);
  return fd < 0 || close (fd) < 0 ? errno : 0;
}

/* ... by a put over what somebody has created and has not written yet, ... */
Test (slow, appends_go_behind_what_a_peer_puts_over_a_claim)
{
  for (int i = 0; i < 3; i++)
    {
      gint64 when = now_ns () + 100 * MS;
      pid_t appender = start_appender (when);
      pid_t creator = start_child (ANY_USER, create_k, NULL);

      sleep_until (when - 20 * MS);
      slow_down (FAULT_NAME, 60000, 0);
      sleep_until (when + (30 + 60 * i) * MS);
      assert_ok (put_as_a_peer ());
      cr_expect_eq (wait_for (appender), 0);
      assert_witnessed (at ("k"), "of a peer+");
      cr_expect_eq (wait_for (creator), 0);
      slow_down (0, 0, 0);
      assert_ok (unlink (at ("k")));
      cr_assert_eq (count_scratch (raw (".")), 0);
    }
}

/* ... by a put, and the deletion of that at some moment while the append goes behind it: no mode of it stays, ... */
Test (slow, appends_keep_nothing_of_what_a_peer_puts_and_deletes)
{
  for (int i = 0; i < 8; i++)
    {
      gint64 when = now_ns () + 100 * MS;
      pid_t appender;

      assert_ok (put (at ("k"), "old"));
      assert_ok (chmod (at ("k"), 0640));
      assert_ok (put (raw (".tmp_peer"), "of a peer"));
      assert_ok (chmod (raw (".tmp_peer"), 0604));
      slow_down (FAULT_NAME, 60000, 0);
      appender = start_appender (when);
      sleep_until (when + 30 * MS);
      assert_ok (rename (raw (".tmp_peer"), raw ("k")));
      sleep_until (when + (90 + 60 * i) * MS);
      assert_ok (unlink (raw ("k")));
      cr_expect_eq (wait_for (appender), 0);
      slow_down (0, 0, 0);
      if (exists (raw ("k"))) /* the append was not there first */
        {
          assert_witnessed (at ("k"), "+");
          cr_assert_eq (mode_of (raw ("k")), 0640);
        }
      cr_assert_eq (count_scratch (raw (".")), 0);
    }
}

static ino_t
inode_at (const char *path)
{
  struct stat st;

  return stat_of (path, &st) < 0 ? 0 : st.st_ino;
}

/* FALSE when it is not called that any more. */
static gboolean
renew_inode (const char *path, ino_t ino)
{
  ttl_autofd fd = open (path, O_RDONLY | O_CLOEXEC);
  struct stat st;

  return fd >= 0 && fstat (fd, &st) == 0 && st.st_ino == ino && futimens (fd, NULL) == 0
         && inode_at (path) == ino;
}

/* ... or by a renewal of what had just ended. That the reaper is busy with another key then, and lets the append go first, is
 * what makes it find an ended one. */
Test (slow, appends_go_behind_what_a_peer_renews_meanwhile)
{
  for (int i = 0; i < 5; i++)
    {
      gboolean renewed;
      pid_t appender;
      gint64 ends;
      ino_t ino;

      assert_ok (put (at ("other"), "v"));
      g_usleep (20000);
      assert_ok (put (at ("k"), "old"));
      ino = inode_at (raw ("k"));
      ends = mtime_ns (raw ("k")) + 1000 * MS;
      appender = start_appender (ends + 1 * MS);
      sleep_until (ends - 100 * MS);
      slow_down (FAULT_NAME, 60000, 0);
      sleep_until (ends + 70 * MS);
      renewed = renew_inode (raw ("k"), ino);
      cr_expect_eq (wait_for (appender), 0);
      slow_down (0, 0, 0);
      assert_witnessed (at ("k"), renewed ? "old+" : "+");
    }
}

/* Values of one letter each, of many lengths, until the moment that it is told. */
static int
put_raw_until (const void *data)
{
  const gint64 until = *(const gint64 *)data;

  for (int i = 0; now_ns () < until; i++)
    {
      char value[64];

      g_snprintf (value, sizeof value, "%.*s", 1 + i * 7 % 40,
                  i % 2 ? "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                        : "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb");
      if (put_raw (raw ("k"), value) < 0)
        return errno;
      g_usleep (500);
    }
  return 0;
}

static void
assert_appended_once_or_replaced (const char *value)
{
  gsize len = strspn (value, (char[]){ value[0], '\0' });

  cr_assert (value[0] == 'a' || value[0] == 'b', "'%s'", value);
  cr_assert (value[len] == '\0' || strcmp (value + len, "+") == 0, "'%s'", value);
}

/* It is told in the end, when a peer is quicker each time. */
Test (slow, appends_beside_a_peer_that_puts_all_the_time_are_whole)
{
  static const int calls[] = { FAULT_OPEN, FAULT_NAME, FAULT_OPEN | FAULT_NAME };

  for (guint i = 0; i < 12; i++)
    {
      gint64 until = now_ns () + 150 * MS;
      pid_t appender, peer;
      int res;

      assert_ok (put (at ("k"), "a"));
      slow_down (calls[i % G_N_ELEMENTS (calls)], 2000, 1);
      appender = start_appender (until - 100 * MS);
      peer = start_child (ANY_USER, put_raw_until, &until);
      res = wait_for (appender);
      cr_expect (res == 0 || res == EBUSY, "%s", g_strerror (res));
      cr_expect_eq (wait_for (peer), 0);
      slow_down (0, 0, 0);
      assert_appended_once_or_replaced (get (raw ("k")));
      cr_assert_eq (count_scratch (raw (".")), 0);
    }
}
