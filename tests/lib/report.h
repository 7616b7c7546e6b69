/* report - what a failed test leaves to read.
 *
 * Runs hooks in Criterion's own process (the parent of every test): a test that failed, crashed or
 * timed out has its daemons' logs printed behind the results, and a failed check in .fini counts as
 * a failure, which Criterion 2.4 itself reports and then passes. */
#pragma once

/* Where the log of the running test's daemon @number belongs. Free with g_free(). */
char *report_log_path (int number);
