/* text - strings that a test need not free.
 *
 * Owns every string handed to it until the test process ends, so that a test reads as what it
 * claims and still leaves no leak for the sanitizer to find. Not thread-safe, and not for loops of
 * millions: it only grows. */
#pragma once

#include <glib.h>

/* Takes @string, which g_free() must be able to free, and returns it. NULL passes. */
const char *keep (char *string);
/* printf into a kept string. */
const char *text (const char *format, ...) G_GNUC_PRINTF (1, 2);
