#include "duration.h"

#include <errno.h>
#include <string.h>

#include "clock.h"

/* Largest first: formatting takes the first that divides. */
static const struct
{
  const char *name;
  gint64 ns;
} units[] = {
  { "d", 24 * 60 * 60 * TTL_NS_PER_S },
  { "h", 60 * 60 * TTL_NS_PER_S },
  { "m", 60 * TTL_NS_PER_S },
  { "s", TTL_NS_PER_S },
  { "ms", TTL_NS_PER_MS },
};

static gboolean
parse_finite (const char *text, gint64 *ns_out)
{
  char *unit;
  guint64 number;

  /* g_ascii_strtoull() would let spaces and a sign pass. */
  if (!g_ascii_isdigit (text[0]))
    return FALSE;

  /* A number past 64 bits comes back as G_MAXUINT64, which is too large for every unit. */
  number = g_ascii_strtoull (text, &unit, 10);
  for (gsize i = 0; i < G_N_ELEMENTS (units); i++)
    {
      if (strcmp (unit, units[i].name) != 0)
        continue;
      if (number > (guint64)(G_MAXINT64 / units[i].ns))
        return FALSE;
      *ns_out = (gint64)number * units[i].ns;
      return TRUE;
    }
  return FALSE;
}

int
ttl_duration_parse (const char *text, gsize len, TtlDuration *duration_out)
{
  TtlDuration duration = { 0 };

  if (len == 0 || len >= sizeof duration.text || memchr (text, '\0', len) != NULL)
    return -EINVAL;

  memcpy (duration.text, text, len);
  if (strcmp (duration.text, "inf") == 0)
    duration.ns = TTL_DURATION_INF;
  else if (!parse_finite (duration.text, &duration.ns) || duration.ns < TTL_DURATION_MIN_NS)
    return -EINVAL;

  *duration_out = duration;
  return 0;
}

gsize
ttl_duration_format (gint64 ns, char text_out[TTL_DURATION_TEXT_MAX])
{
  gint64 whole_ns = ns - ns % TTL_NS_PER_MS;
  gsize i = 0;

  if (ns == TTL_DURATION_INF)
    return g_strlcpy (text_out, "inf", TTL_DURATION_TEXT_MAX);
  /* Every unit divides nothing; "0d" would be a strange way to say it. */
  if (whole_ns <= 0)
    return g_strlcpy (text_out, "0ms", TTL_DURATION_TEXT_MAX);

  while (whole_ns % units[i].ns != 0)
    i++;
  return (gsize)g_snprintf (text_out, TTL_DURATION_TEXT_MAX, "%" G_GINT64_FORMAT "%s",
                            whole_ns / units[i].ns, units[i].name);
}
