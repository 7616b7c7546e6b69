#include "text.h"

static GPtrArray *kept; /* reachable for as long as the process lives, so never a leak */

const char *
keep (char *string)
{
  if (kept == NULL)
    kept = g_ptr_array_new_with_free_func (g_free);
  if (string != NULL)
    g_ptr_array_add (kept, string);
  return string;
}

const char *
text (const char *format, ...)
{
  va_list args;
  char *string;

  va_start (args, format);
  string = g_strdup_vprintf (format, args);
  va_end (args);
  return keep (string);
}
