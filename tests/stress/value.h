/* value - values that betray it when they are torn, mixed, cut or not meant for the key they are
 * read from.
 *
 * A value says who wrote it, its number, its length and a checksum of the rest, which follows from
 * all that. Pure. */
#pragma once

#include <glib.h>

#define VALUE_MAX 200000

typedef struct
{
  guint writer;
  guint64 number;
  gsize len; /* of the whole value */
} ValueId;

/* Writes the value of that id (a length of its own choosing, now and then a long one) into @out,
 * VALUE_MAX + 1 bytes. Returns its length. */
gsize value_make (guint writer, guint64 number, char *out);
/* FALSE when @bytes are not exactly one value, whole; *@why_out then says what is wrong. */
gboolean value_parse (const char *bytes, gsize len, ValueId *id_out, const char **why_out);
