#include "keyname.h"

#include <errno.h>
#include <string.h>

/* A name being written: what does not fit is noted, not stored. */
typedef struct
{
  char *to; /* a TtlName */
  gsize len;
  gboolean overflow;
} Writer;

static void
put_byte (Writer *w, char c)
{
  if (w->len < TTL_NAME_MAX)
    w->to[w->len++] = c;
  else
    w->overflow = TRUE;
}

static void
put_escape (Writer *w, char c)
{
  static const char digits[] = "0123456789ABCDEF";

  put_byte (w, '%');
  put_byte (w, digits[(guchar)c >> 4]);
  put_byte (w, digits[(guchar)c & 0xf]);
}

/* A byte in its backing spelling. */
static void
put_backing (Writer *w, char c)
{
  if (g_ascii_isalnum (c))
    put_byte (w, c);
  else
    put_escape (w, c);
}

static int
finish (Writer *w)
{
  w->to[w->len] = '\0';
  return w->overflow ? -ENAMETOOLONG : 0;
}

/* Upper case only: lower-case hex is never an escape. */
static gboolean
is_hex (char c)
{
  return g_ascii_isdigit (c) || (c >= 'A' && c <= 'F');
}

/* Whether the @len bytes at @s begin with what a reader takes for an escape. */
static gboolean
is_escape (const char *s, gsize len)
{
  return len >= 3 && s[0] == '%' && is_hex (s[1]) && is_hex (s[2]);
}

/* Reads one byte, escaped or not, and returns how many it took of the @len (at least 1) at @s. */
static gsize
read_byte (const char *s, gsize len, char *byte_out)
{
  if (!is_escape (s, len))
    {
      *byte_out = s[0];
      return 1;
    }
  *byte_out = (char)(g_ascii_xdigit_value (s[1]) << 4 | g_ascii_xdigit_value (s[2]));
  return 3;
}

static gboolean
is_word (const char *s, gsize len, const char *word)
{
  return len == strlen (word) && memcmp (s, word, len) == 0;
}

static gboolean
is_scratch (const char *s, gsize len)
{
  return len >= strlen (TTL_SCRATCH_PREFIX)
         && memcmp (s, TTL_SCRATCH_PREFIX, strlen (TTL_SCRATCH_PREFIX)) == 0;
}

/* Whether a directory can hold a file of that name. */
static gboolean
is_file_name (const char *s, gsize len)
{
  return len > 0 && memchr (s, '/', len) == NULL && memchr (s, '\0', len) == NULL
         && !is_word (s, len, ".") && !is_word (s, len, "..");
}

static int
copy_name (const char *s, gsize len, TtlName name_out)
{
  if (!is_file_name (s, len))
    return -EINVAL;
  if (len > TTL_NAME_MAX)
    return -ENAMETOOLONG;
  memcpy (name_out, s, len);
  name_out[len] = '\0';
  return 0;
}

/* The plain spelling of a key, either way. */
static int
copy_plain_key (const char *s, gsize len, TtlName name_out)
{
  return is_scratch (s, len) ? -EINVAL : copy_name (s, len, name_out);
}

TtlNameKind
ttl_keyname_kind (TtlNames names, const char *backing)
{
  gsize len = strlen (backing);
  TtlName key;

  if (is_scratch (backing, len))
    return len <= TTL_NAME_MAX ? TTL_NAME_SCRATCH : TTL_NAME_FOREIGN;
  return ttl_keyname_decode (names, backing, key, &len) == 0 ? TTL_NAME_KEY : TTL_NAME_FOREIGN;
}

int
ttl_keyname_from_shown (TtlNames names, const char *shown, TtlName backing_out)
{
  gsize len = strlen (shown);
  Writer w = { .to = backing_out };
  char byte;

  /* A slash cannot come from the kernel; copied verbatim it would lead out of the bucket. */
  if (len == 0 || strchr (shown, '/') != NULL)
    return -EINVAL;
  if (names == TTL_NAMES_PLAIN || is_scratch (shown, len))
    return copy_name (shown, len, backing_out);

  for (gsize i = 0; i < len;)
    {
      i += read_byte (shown + i, len - i, &byte);
      put_backing (&w, byte);
    }
  return finish (&w);
}

/* How many leading dots of a key cannot be shown as they are. */
static gsize
count_hidden_dots (const char *key, gsize len, gboolean in_root)
{
  if (is_word (key, len, ".."))
    return 2;
  if (is_word (key, len, ".") || is_scratch (key, len)
      || (in_root && is_word (key, len, TTL_RESERVED_NAME)))
    return 1;
  return 0;
}

void
ttl_keyname_to_shown (TtlNames names, const char *backing, gboolean in_root, TtlName shown_out)
{
  Writer w = { .to = shown_out };
  TtlName key;
  gsize len = 0;
  int r = ttl_keyname_decode (names, backing, key, &len);
  gsize dots = 0;

  shown_out[0] = '\0';
  g_return_if_fail (r == 0);

  if (names == TTL_NAMES_ENCODED)
    dots = count_hidden_dots (key, len, in_root);

  for (gsize i = 0; i < len; i++)
    {
      /* Looking ahead in the key is as good as in the shown name: whatever is written for the
       * bytes that follow begins with them or with '%', and so never adds a hex digit. */
      if (names == TTL_NAMES_ENCODED
          && (i < dots || key[i] == '/' || key[i] == '\0' || is_escape (key + i, len - i)))
        put_escape (&w, key[i]);
      else
        put_byte (&w, key[i]);
    }

  /* It fits: no byte is longer here than in the backing name. */
  r = finish (&w);
  g_assert (r == 0);
}

int
ttl_keyname_encode (TtlNames names, const char *key, gsize len, TtlName backing_out)
{
  Writer w = { .to = backing_out };

  if (len == 0)
    return -EINVAL;
  if (names == TTL_NAMES_PLAIN)
    return copy_plain_key (key, len, backing_out);

  /* Stops at the limit, so that a key of any length costs no more than one that fits. */
  for (gsize i = 0; i < len && !w.overflow; i++)
    put_backing (&w, key[i]);
  return finish (&w);
}

int
ttl_keyname_decode (TtlNames names, const char *backing, TtlName key_out, gsize *len_out)
{
  gsize len = strlen (backing);
  Writer w = { .to = key_out };
  char byte;

  if (len == 0 || len > TTL_NAME_MAX)
    return -EINVAL;
  if (names == TTL_NAMES_PLAIN)
    {
      *len_out = len;
      return copy_plain_key (backing, len, key_out);
    }

  for (gsize i = 0; i < len;)
    {
      gsize taken = read_byte (backing + i, len - i, &byte);

      /* Canonical: letters and digits as they are, and everything else escaped. */
      if (g_ascii_isalnum (byte) != (taken == 1))
        return -EINVAL;
      put_byte (&w, byte);
      i += taken;
    }
  *len_out = w.len;
  return finish (&w);
}
