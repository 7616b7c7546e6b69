#include "report.h"

#include "files.h"

#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <criterion/stats.h>
#include <stdio.h>

#define SHOWN_BYTES 20000 /* from the end */

static char *
log_path (pid_t runner, const char *suite, const char *test, int number)
{
  return g_strdup_printf ("%s/ttlfs-log.%d.%s.%s.%d", g_get_tmp_dir (), runner, suite, test,
                          number);
}

char *
report_log_path (int number)
{
  return log_path (getppid (), criterion_current_suite->name, criterion_current_test->name, number);
}

static void
print_log (const struct criterion_test *test, int number, const char *path)
{
  gsize len;
  g_autofree char *log = get_bytes (path, &len);

  if (log == NULL || len == 0)
    return;
  fprintf (stderr, "---- log of daemon %d of %s::%s ----\n%s----\n", number, test->category,
           test->name, len > SHOWN_BYTES ? log + len - SHOWN_BYTES : log);
}

static void
settle (struct criterion_test_stats *stats, struct criterion_suite_stats *suite,
        struct criterion_global_stats *all)
{
  if (stats->failed_asserts > 0 && stats->test_status == CR_STATUS_PASSED)
    {
      stats->test_status = CR_STATUS_FAILED;
      suite->tests_failed++;
      suite->tests_passed--;
      all->tests_failed++;
      all->tests_passed--;
    }
  for (int number = 1; number <= 4; number++)
    {
      g_autofree char *path
          = log_path (getpid (), stats->test->category, stats->test->name, number);

      if (stats->test_status == CR_STATUS_FAILED || stats->crashed || stats->timed_out)
        print_log (stats->test, number, path);
      unlink (path);
    }
}

ReportHook (POST_ALL) (struct criterion_global_stats *all)
{
  for (struct criterion_suite_stats *suite = all->suites; suite != NULL; suite = suite->next)
    for (struct criterion_test_stats *test = suite->tests; test != NULL; test = test->next)
      settle (test, suite, all);
}
