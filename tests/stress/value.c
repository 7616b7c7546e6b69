#include "value.h"

#include <stdio.h>
#include <string.h>

#define HEADER "ttlfs value %10u %20" G_GUINT64_FORMAT " %10" G_GSIZE_FORMAT " %08x\n"
#define HEADER_LEN (12 + 11 + 21 + 11 + 8 + 1)

static guint32
mix (guint32 x)
{
  x ^= x >> 16;
  x *= 0x7feb352dU;
  x ^= x >> 15;
  x *= 0x846ca68bU;
  return x ^ (x >> 16);
}

static guint32
checksum (const char *bytes, gsize len)
{
  guint32 sum = 2166136261U;

  for (gsize i = 0; i < len; i++)
    sum = (sum ^ (guchar)bytes[i]) * 16777619U;
  return sum;
}

/* Mostly short; one in sixteen of some pages, one in two hundred of many. */
static gsize
choose_len (guint32 seed)
{
  if (seed % 200 == 7)
    return HEADER_LEN + mix (seed) % (VALUE_MAX - HEADER_LEN);
  if (seed % 16 == 3)
    return HEADER_LEN + mix (seed) % 20000;
  return HEADER_LEN + mix (seed) % 300;
}

gsize
value_make (guint writer, guint64 number, char *out)
{
  guint32 seed = mix (writer * 7919U + (guint32)number);
  gsize len = choose_len (seed);
  char header[128];

  for (gsize i = HEADER_LEN; i < len; i++)
    out[i] = (char)('a' + (seed = seed * 1103515245U + 12345U) / 65536U % 26U);
  g_snprintf (header, sizeof header, HEADER, writer, number, len,
              checksum (out + HEADER_LEN, len - HEADER_LEN));
  memcpy (out, header, HEADER_LEN);
  out[len] = '\0';
  return len;
}

gboolean
value_parse (const char *bytes, gsize len, ValueId *id_out, const char **why_out)
{
  guint32 sum;

  *why_out = "it is empty";
  if (len == 0)
    return FALSE;
  *why_out = "it has no header";
  if (len < HEADER_LEN
      || sscanf (bytes, "ttlfs value %u %" G_GUINT64_FORMAT " %" G_GSIZE_FORMAT " %x\n",
                 &id_out->writer, &id_out->number, &id_out->len, &sum)
             != 4)
    return FALSE;
  *why_out = "its length is not what its header says";
  if (len != id_out->len)
    return FALSE;
  *why_out = "its checksum is wrong";
  return checksum (bytes + HEADER_LEN, len - HEADER_LEN) == sum;
}
