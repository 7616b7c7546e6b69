#include "value.h"

#include <stdio.h>
#include <string.h>

#define HEAD_SIZE 48

static gsize
body_size (guint32 number)
{
  static const gsize sizes[] = { 0, 10, 500, 4096 - HEAD_SIZE, 5000, 20000, 70000, 300000 };

  return sizes[number * 2654435761U >> 11 & 7];
}

static guint32
next (guint32 *state)
{
  *state ^= *state << 13;
  *state ^= *state >> 17;
  *state ^= *state << 5;
  return *state;
}

char *
value_make (guint32 number, int key, gsize *len_out)
{
  gsize len = HEAD_SIZE + (body_size (number) & ~(gsize)3);
  char *value = g_malloc (len + 1);
  guint32 state = number | 1;

  g_snprintf (value, HEAD_SIZE + 1, "ttlfs-crash %08x k%02d %08zx %08x     \n", number, key, len,
              ~number);
  for (gsize at = HEAD_SIZE; at < len; at += sizeof state)
    {
      guint32 word = next (&state);
      memcpy (value + at, &word, sizeof word);
    }
  *len_out = len;
  return value;
}

guint32
value_number (const char *value, gsize len, int key, const char **why_out)
{
  g_autofree char *expected = NULL;
  char head[HEAD_SIZE + 1] = "";
  gsize expected_len;
  guint32 number;
  int of_key;

  *why_out = len == 0 ? "it is empty" : "it has no head";
  if (len < HEAD_SIZE)
    return 0;
  memcpy (head, value, HEAD_SIZE);
  if (sscanf (head, "ttlfs-crash %x k%d", &number, &of_key) != 2)
    return 0;
  *why_out = "it belongs to another key";
  if (of_key != key)
    return 0;
  expected = value_make (number, key, &expected_len);
  *why_out = len < expected_len ? "it is cut short" : "it is too long";
  if (len != expected_len)
    return 0;
  *why_out = "it is torn";
  return memcmp (value, expected, len) == 0 ? number : 0;
}

void
record_make (guint32 number, char out[RECORD_SIZE])
{
  char text[RECORD_SIZE + 1];

  g_snprintf (text, sizeof text, "append %08x %08x %08x ....\n", number, ~number,
              number * 2654435761U);
  memcpy (out, text, RECORD_SIZE);
}

GArray *
records_read (const char *value, gsize len, const char **why_out)
{
  g_autoptr (GArray) numbers = g_array_new (FALSE, FALSE, sizeof (guint32));

  *why_out = len == 0 ? "it is empty" : "it ends within a record";
  if (len == 0 || len % RECORD_SIZE != 0)
    return NULL;
  *why_out = "a record is torn";
  for (const char *at = value; at < value + len; at += RECORD_SIZE)
    {
      char expected[RECORD_SIZE], text[RECORD_SIZE + 1] = "";
      guint32 number;

      memcpy (text, at, RECORD_SIZE);
      if (sscanf (text, "append %x", &number) != 1)
        return NULL;
      record_make (number, expected);
      if (memcmp (at, expected, RECORD_SIZE) != 0)
        return NULL;
      g_array_append_val (numbers, number);
    }
  return g_steal_pointer (&numbers);
}
