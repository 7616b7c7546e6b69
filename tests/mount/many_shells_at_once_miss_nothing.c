/* Four shells putting and getting at once, and a reader of everything they put: no miss, no part of
 * a value. TTLFS_TEST_ROUNDS says how often. */
#include "mount.h"

#include <sys/wait.h>

#define SHELLS 4

TestSuite (many_shells, .init = mount_setup, .fini = mount_teardown, .timeout = 1800);

/* What a reader may find in shell @number's keys: "" in e; "value-N." in k; both lines in g. */
static void
assert_whole (const char *path, char what)
{
  gsize len;
  g_autofree char *value = get_bytes (path, &len);

  if (value == NULL)
    {
      cr_assert_eq (errno, ENOENT, "%s: %s", path, g_strerror (errno));
      return;
    }
  if (what == 'e')
    cr_assert_str_eq (value, "");
  if (what == 'g')
    cr_assert_str_eq (value, "a\nb\n");
  if (what == 'k')
    cr_assert (g_str_has_prefix (value, "value-") && g_str_has_suffix (value, ".\n"),
               "partial: '%s'", value);
}

static gboolean
all_ended (pid_t *pids)
{
  gboolean ended = TRUE;

  for (int i = 0; i < SHELLS; i++)
    {
      siginfo_t info = { 0 };

      waitid (P_PID, (id_t)pids[i], &info, WEXITED | WNOHANG | WNOWAIT);
      ended = ended && info.si_pid != 0;
    }
  return ended;
}

static void
run_shells (const char *shell)
{
  const char *keys[SHELLS][3];
  pid_t pids[SHELLS];

  for (int i = 0; i < SHELLS; i++)
    {
      pids[i] = spawn_bash (text (
          "exec %s -c 'i=0; while test $i -lt %d; do i=$((i + 1)); "
          "echo value-$i. > k%d; test \"$(cat k%d)\" = value-$i. || exit 11; "
          ": > e%d; test -e e%d || exit 12; rm e%d || exit 13; "
          "(echo a; /bin/echo b) > g%d; test \"$(cat g%d)\" = \"$(printf \"a\\nb\")\" || exit "
          "14; if test $((i %% 10)) = 0; then rm g%d k%d || exit 15; fi; done'",
          shell, rounds (), i, i, i, i, i, i, i, i, i));
      keys[i][0] = at (text ("k%d", i));
      keys[i][1] = at (text ("e%d", i));
      keys[i][2] = at (text ("g%d", i));
    }
  while (!all_ended (pids))
    for (int i = 0; i < SHELLS; i++)
      {
        assert_whole (keys[i][0], 'k');
        assert_whole (keys[i][1], 'e');
        assert_whole (keys[i][2], 'g');
        sleep_ms (1);
      }
  for (int i = 0; i < SHELLS; i++)
    {
      int status = wait_for (pids[i]);

      cr_assert_eq (status, 0, "%s %d ended with %d", shell, i, status);
    }
}

Test (many_shells, of_bash_miss_nothing) { run_shells ("bash"); }

Test (many_shells, of_dash_miss_nothing) { run_shells ("dash"); }
