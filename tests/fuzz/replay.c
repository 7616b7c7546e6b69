/* Runs a target on the files of directories given, once each and in order: what a fuzzer has found stays found, without a
 * fuzzer. */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(char *const *)a, *(char *const *)b);
}

static GPtrArray *
dup_paths_in (const char *path)
{
  GPtrArray *paths = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    g_ptr_array_add (paths, g_build_filename (path, name, NULL));
  g_ptr_array_sort (paths, compare_names);
  return paths;
}

int
main (int argc, char **argv)
{
  guint count = 0;

  LLVMFuzzerInitialize (&argc, &argv);
  for (int i = 1; i < argc; i++)
    {
      g_autoptr (GPtrArray) paths = dup_paths_in (argv[i]);

      for (guint k = 0; k < paths->len; k++, count++)
        {
          g_autofree char *content = NULL;
          gsize len;

          printf ("%s\n", (char *)paths->pdata[k]);
          fflush (stdout); /* the last line tells which one it was */
          fuzz_assert (g_file_get_contents (paths->pdata[k], &content, &len, NULL));
          (void)LLVMFuzzerTestOneInput ((const guint8 *)content, len);
        }
    }
  return count > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
