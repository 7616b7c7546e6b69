/* TTLs as people write them: what parses keeps its text, is in range, and means the same when it is written anew. */
#include "fuzz.h"

#include <errno.h>
#include <string.h>

static void
check_formatted (gint64 ns, gboolean is_exact)
{
  char text[TTL_DURATION_TEXT_MAX];
  TtlDuration again;
  gsize len = ttl_duration_format (ns, text);

  fuzz_assert (len < sizeof text && len == strlen (text));
  if (ns < TTL_DURATION_MIN_NS)
    return;
  fuzz_assert (ttl_duration_parse (text, len, &again) == 0);
  fuzz_assert (is_exact ? again.ns == ns : again.ns <= ns && ns - again.ns < TTL_NS_PER_MS);
}

int
LLVMFuzzerInitialize (int *argc G_GNUC_UNUSED, char ***argv G_GNUC_UNUSED)
{
  fuzz_quiet ();
  return 0;
}

int
LLVMFuzzerTestOneInput (const guint8 *data, size_t size)
{
  Bytes bytes = { data, size };
  TtlDuration parsed, before;
  gint64 ns = 0;
  gsize len;
  g_autofree char *text = (char *)bytes_take_some (&bytes, G_MAXSIZE, &len);
  int res;

  memset (&parsed, 0x5a, sizeof parsed);
  before = parsed;
  res = ttl_duration_parse (text, len, &parsed);
  fuzz_assert (res == 0 || res == -EINVAL);
  if (res < 0)
    fuzz_assert (memcmp (&before, &parsed, sizeof parsed) == 0);
  else
    {
      fuzz_assert (parsed.ns >= TTL_DURATION_MIN_NS);
      fuzz_assert (strlen (parsed.text) == len && memcmp (parsed.text, text, len) == 0);
      check_formatted (parsed.ns, TRUE);
    }
  memcpy (&ns, text, MIN (len, sizeof ns));
  check_formatted (ns, FALSE);
  return 0;
}
