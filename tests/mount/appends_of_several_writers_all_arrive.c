/* O_APPEND: what several writers append all arrives, each piece whole, through one mount and
 * through two. */
#include "mount.h"

#define WRITERS 4
#define LINES 150

TestSuite (appends, .init = mount_setup, .fini = mount_teardown, .timeout = 300);

static const char *
line_of (int writer, int number)
{
  static char line[128];

  g_snprintf (line, sizeof line, "%d %d %.*s\n", writer, number, 20 + number % 50,
              "------------------------------------------------------------------------------");
  return line;
}

typedef struct
{
  int number;
  const char *path;
  gboolean keeps_open; /* one descriptor with an fsync per line, or an open and close per line */
} Writer;

static int
append_lines (const void *data)
{
  const Writer *self = data;
  int fd = self->keeps_open ? open (self->path, O_WRONLY | O_CREAT | O_APPEND, 0666) : -1;

  for (int i = 0; i < LINES; i++)
    {
      const char *line = line_of (self->number, i);

      if (self->keeps_open ? write_all (fd, line) < 0 || fsync (fd) < 0
                           : put_with (self->path, O_CREAT | O_APPEND, line) < 0)
        return 1;
    }
  return self->keeps_open ? close (fd) < 0 : 0;
}

/* Every line of every writer once, in that writer's order. */
static void
assert_all_arrived (const char *path)
{
  const char *value = get (path);
  g_auto (GStrv) lines = NULL;
  int next[WRITERS] = { 0 };

  cr_assert (value != NULL, "%s", g_strerror (errno));
  lines = g_strsplit (value, "\n", -1);
  for (char **line = lines; **line != '\0'; line++)
    {
      int writer, number;

      cr_assert_eq (sscanf (*line, "%d %d ", &writer, &number), 2, "torn: '%s'", *line);
      cr_assert (writer >= 0 && writer < WRITERS);
      cr_assert_eq (number, next[writer], "writer %d: line %d where %d was next", writer, number,
                    next[writer]);
      cr_assert (g_str_has_prefix (line_of (writer, number), *line)
                     && strlen (line_of (writer, number)) == strlen (*line) + 1,
                 "torn: '%s'", *line);
      next[writer]++;
    }
  for (int i = 0; i < WRITERS; i++)
    cr_assert_eq (next[i], LINES, "%d lines of writer %d are lost", LINES - next[i], i);
}

static void
run_writers (gboolean two_mounts, gboolean keeps_open)
{
  Writer writers[WRITERS];
  pid_t pids[WRITERS];

  if (two_mounts)
    mount_start ("ttl=1h");
  for (int i = 0; i < WRITERS; i++)
    {
      writers[i] = (Writer){ .number = i,
                             .path = two_mounts && i % 2 == 1 ? at2 ("log") : at ("log"),
                             .keeps_open = keeps_open };
      pids[i] = start_child (ANY_USER, append_lines, &writers[i]);
    }
  for (int i = 0; i < WRITERS; i++)
    cr_assert_eq (wait_for (pids[i]), 0);
  assert_all_arrived (raw ("log"));
  assert_all_arrived (at ("log"));
}

Test (appends, that_open_and_close_all_arrive) { run_writers (FALSE, FALSE); }

Test (appends, that_stay_open_all_arrive) { run_writers (FALSE, TRUE); }

Test (appends, that_open_and_close_all_arrive_through_two_mounts) { run_writers (TRUE, FALSE); }

Test (appends, that_stay_open_all_arrive_through_two_mounts) { run_writers (TRUE, TRUE); }

Test (appends, of_two_open_descriptors_are_both_kept)
{
  int first, second;

  assert_ok (put (at ("k"), "old\n"));
  first = open (at ("k"), O_WRONLY | O_APPEND);
  second = open (at ("k"), O_WRONLY | O_APPEND);
  assert_ok (first);
  assert_ok (second);
  assert_ok (write_all (first, "first\n"));
  assert_ok (write_all (second, "second\n"));
  assert_ok (close (second));
  assert_witnessed (at ("k"), "old\nsecond\n");
  assert_ok (close (first));
  assert_witnessed (at ("k"), "old\nsecond\nfirst\n");
}

Test (appends, of_a_group_of_commands_are_one_piece)
{
  assert_bash (
      "for w in 1 2 3 4; do (for i in $(seq 25); do (echo begin $w; /bin/echo middle $w; echo end "
      "$w) >> log; "
      "done) & done; wait; awk '{ if ($1 == \"begin\") w = $2; else if ($2 != w) exit 1 }' log && "
      "test $(wc -l < log) = 300");
}

Test (appends, by_shells_all_arrive)
{
  assert_bash (
      "for w in 1 2 3 4; do (for i in $(seq 100); do echo $w $i >> log; done) & done; wait; "
      "test $(sort -u log | wc -l) = 400 && test $(wc -l < log) = 400");
}
