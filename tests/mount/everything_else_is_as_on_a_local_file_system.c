/* Some hundred calls, each made in a directory beside the backing directory, on the same file system, and in a bucket: modes,
 * owners, sizes, links and errors are the same, but for what fs/README.md lists. */
#include "mount.h"

TestSuite (matrix, .init = mount_setup, .fini = mount_teardown, .timeout = 120);

/* The last is what POSIX leaves open: XFS says EEXIST of a directory that is not empty. */
static gboolean
is_deliberate (const char *line)
{
  return strstr (line, "ENOTEMPTY, not EEXIST") != NULL || g_str_has_prefix (line, "mkfifo: EPERM")
         || g_str_has_prefix (line, "symlink: EPERM");
}

Test (matrix, of_calls_and_errors)
{
  const char *reference = text ("%s.reference", backing_dir ());
  g_auto (GStrv) lines = NULL;
  Output output;

  need ("python3");
  assert_ok (mkdir (reference, 0777));
  assert_ok (mkdir (at ("b"), 0777));
  output = run ("python3", g_getenv ("TTLFS_MATRIX"), reference, at ("b"), NULL);
  (void)run ("rm", "-r", reference, NULL);
  cr_assert_eq (output.status, 0, "%s", output.err);
  lines = g_strsplit (output.out, "\n", 0);
  cr_assert_gt (g_strv_length (lines), 1);
  for (char **line = lines; *line != NULL; line++)
    cr_expect (**line == '\0' || is_deliberate (*line) || g_str_has_suffix (*line, " calls"), "%s",
               *line);
}
