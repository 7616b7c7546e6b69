/* value - values that tell of themselves whether they are whole, whose they are, and where they belong.
 *
 * A value is a head with its number, key and length, and a body that follows from the number byte by byte: what is torn,
 * mixed, cut or empty is noticed wherever it is. An appended key holds a row of records, each with its own check. */
#pragma once

#include <glib.h>

#define VALUE_SIZE_MAX (1 << 19)

/* The whole value, *@len_out bytes; free with g_free(). */
char *value_make (guint32 number, int key, gsize *len_out);
/* The number of a whole value of @key; 0 when it is anything else, with the reason. */
guint32 value_number (const char *value, gsize len, int key, const char **why_out);

#define RECORD_SIZE 40
void record_make (guint32 number, char out[RECORD_SIZE]);
/* The numbers in a row of records, or NULL with the reason. Free with g_array_unref(). */
GArray *records_read (const char *value, gsize len, const char **why_out);
