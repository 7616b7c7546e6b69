/* A daemon in a container cannot see the processes outside: the kernel calls them all process 0.
 * They are still different programs. */
#include "mount.h"

#include <signal.h>

#define WORDS 3000
#define LINES 100

/* The daemon has a pid namespace of its own. A sanitizer that looks for leaks would look for itself
 * in the /proc of another one. */
static void
mount_from_a_container (void)
{
  const char *wrapper;

  if (geteuid () != 0)
    cr_skip ("needs root, to make a pid namespace");
  mount_prepare ();
  wrapper = text ("%s/ttlfs", work_dir ());
  assert_ok (put (wrapper, text ("#!/bin/sh\n"
                                 "export ASAN_OPTIONS=\"$ASAN_OPTIONS:detect_leaks=0\"\n"
                                 "exec unshare --pid --fork --kill-child '%s' \"$@\"\n",
                                 ttlfs_program ())));
  assert_ok (chmod (wrapper, 0755));
  g_setenv ("TTLFS_BIN", wrapper, TRUE);
  mount_start ("ttl=1h");
}

TestSuite (callers_without_a_pid, .init = mount_from_a_container, .fini = mount_teardown,
           .timeout = 120);

typedef struct
{
  int number;
  gint64 until_ns; /* or from when */
  const char *path;
} Caller;

static pid_t
start (Caller *self, int (*body) (const void *))
{
  return start_child (ANY_USER, body, self);
}

/* WORDS times the same letter. */
static int
put_values (const void *data)
{
  const Caller *self = data;

  for (int i = 0; now_ns () < self->until_ns; i++)
    {
      g_autofree char *value = g_strnfill (WORDS + i % 5000, (char)('a' + (i + self->number) % 26));

      if (put (self->path, value) < 0)
        return errno;
    }
  return 0;
}

/* 0, an errno, or 200 for an empty value and 201 for a mixed one. */
static int
get_values (const void *data)
{
  const Caller *self = data;

  while (now_ns () < self->until_ns)
    {
      gsize len;
      g_autofree char *value = get_bytes (self->path, &len);

      if (value == NULL)
        return errno;
      if (len < WORDS)
        return 200;
      if (strspn (value, (char[]){ value[0], '\0' }) != len)
        return 201;
    }
  return 0;
}

Test (callers_without_a_pid, never_get_an_empty_or_mixed_value)
{
  Caller callers[6];
  pid_t pids[6];

  assert_ok (put (at ("k"), keep (g_strnfill (WORDS, 'a'))));
  for (int i = 0; i < 6; i++)
    {
      callers[i]
          = (Caller){ .number = i * 13, .until_ns = now_ns () + 3 * SECOND, .path = at ("k") };
      pids[i] = start (&callers[i], i < 2 ? put_values : get_values);
    }
  for (int i = 0; i < 6; i++)
    {
      int status = wait_for (pids[i]);

      cr_assert_eq (status, 0, "%s: %d (%s)", i < 2 ? "writer" : "reader", status,
                    g_strerror (status));
    }
}

Test (callers_without_a_pid, see_what_they_put_in_the_next_command)
{
  assert_shells ("i=0; while test $i -lt 200; do i=$((i + 1)); echo value-$i > k; got=$(cat k); "
                 "test \"$got\" = value-$i || { echo \"$i: $got, then $(cat k)\"; exit 1; }; done");
  assert_bash ("for i in $(seq 100); do (echo a; /bin/echo b) > g; "
               "test \"$(cat g)\" = \"$(printf 'a\\nb')\" || exit 1; done");
}

/* Another file of that name which is open to be written, in another bucket or another file system, is not the one that was closed. */
Test (callers_without_a_pid, see_what_they_put_beside_an_open_file_of_the_same_name)
{
  assert_bash (
      "mkdir b; exec 8>b/k 9>$TMP/k; echo something >&8; "
      "i=0; while test $i -lt 300; do i=$((i + 1)); (echo a; /bin/echo $i) > k; got=$(cat k); "
      "test \"$got\" = \"$(printf \"a\\n$i\")\" || { echo \"$i: $got\"; exit 1; }; done");
}

/* /dev/stdout leads to the very file, whoever looks the path up again. */
Test (callers_without_a_pid, open_their_descriptors_again)
{
  assert_shells ("echo value | tee /dev/stdout > k && test -s k || exit 1; "
                 "exec 9<>l; echo value >&9; test \"$(cat /dev/fd/9)\" = value || exit 2");
}

static int
append_lines (const void *data)
{
  const Caller *self = data;

  for (int i = 0; i < LINES; i++)
    if (put_with (self->path, O_CREAT | O_APPEND, text ("%d %d\n", self->number, i)) < 0)
      return errno;
  return 0;
}

Test (callers_without_a_pid, append_side_by_side)
{
  Caller callers[2];
  pid_t pids[2];
  int next[2] = { 0 };
  g_auto (GStrv) lines = NULL;

  for (int i = 0; i < 2; i++)
    {
      callers[i] = (Caller){ .number = i, .path = at ("log") };
      pids[i] = start (&callers[i], append_lines);
    }
  for (int i = 0; i < 2; i++)
    cr_assert_eq (wait_for (pids[i]), 0);
  lines = g_strsplit (get (at ("log")), "\n", -1);
  for (char **line = lines; **line != '\0'; line++)
    {
      int writer, number;

      cr_assert_eq (sscanf (*line, "%1d %d", &writer, &number), 2, "torn: '%s'", *line);
      cr_assert (writer == 0 || writer == 1);
      cr_assert_eq (number, next[writer]++, "writer %d lost a line before '%s'", writer, *line);
    }
  cr_assert_eq (next[0], LINES);
  cr_assert_eq (next[1], LINES);
}

/* 0: won, 200: lost. */
static int
claim (const void *data)
{
  const Caller *self = data;

  sleep_until (self->until_ns);
  if (put_with (self->path, O_CREAT | O_EXCL, text ("%d", self->number)) == 0)
    return 0;
  return errno == EEXIST ? 200 : errno;
}

Test (callers_without_a_pid, have_one_winner_of_o_excl)
{
  for (int round = 0; round < 20; round++)
    {
      Caller callers[8];
      pid_t pids[8];
      int winner = -1;
      const char *path = at (text ("lock%d", round));
      gint64 start_ns = now_ns () + 20 * MS;

      for (int i = 0; i < 8; i++)
        {
          callers[i] = (Caller){ .number = i, .until_ns = start_ns, .path = path };
          pids[i] = start (&callers[i], claim);
        }
      for (int i = 0; i < 8; i++)
        {
          int status = wait_for (pids[i]);

          cr_assert (status == 0 || status == 200, "%s", g_strerror (status));
          cr_assert (status != 0 || winner < 0, "both %d and %d won", winner, i);
          winner = status == 0 ? i : winner;
        }
      cr_assert (winner >= 0, "nobody won");
      assert_value (path, text ("%d", winner));
    }
}

static int
write_and_stay (const void *data)
{
  const Caller *self = data;
  int fd = open (self->path, O_WRONLY | O_TRUNC | O_CLOEXEC);

  if (fd < 0 || write_all (fd, "written") < 0 || put (at ("ready"), "") < 0)
    return 1;
  for (;;)
    pause ();
}

/* Nobody can tell how such a caller ended: its last close publishes what it has written, as with any other file. */
Test (callers_without_a_pid, publish_what_they_had_written_when_they_were_killed)
{
  Caller caller = { .path = at ("k") };
  pid_t pid;

  assert_ok (put (at ("k"), "old"));
  pid = start (&caller, write_and_stay);
  assert_eventually (5000, exists (at ("ready")));
  assert_witnessed (at ("k"), "old");
  assert_ok (kill (pid, SIGKILL));
  cr_assert_eq (wait_for (pid), 128 + SIGKILL);
  assert_eventually (1000, g_strcmp0 (get (at ("k")), "written") == 0);
  assert_witnessed (at ("k"), "written");
}

static int
publish_and_stay (const void *data)
{
  const Caller *self = data;
  int fd = open (self->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);

  if (fd < 0 || write_all (fd, "held") < 0 || fsync (fd) < 0)
    return 1;
  for (;;)
    pause ();
}

Test (callers_without_a_pid, hold_a_key_until_they_end)
{
  Caller caller = { .path = at ("k") };
  pid_t pid;

  assert_ok (set_xattr (at ("."), "user.ttlfs.ttl", "1s"));
  pid = start (&caller, publish_and_stay);
  assert_eventually (5000, exists (at ("k")));
  assert_stays (2500, exists (at ("k")));
  assert_ok (kill (pid, SIGKILL));
  cr_assert_eq (wait_for (pid), 128 + SIGKILL);
  assert_eventually (2000, !exists (at ("k")));
}
