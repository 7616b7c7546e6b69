/* What core/keyname.h promises of names, for any bytes: the first byte chooses names=encoded or plain, and the root or
 * another bucket; the rest is the name. */
#include "fuzz.h"

#include <errno.h>
#include <string.h>

/* A backing name that a key has: what a listing shows for it opens it again. */
static void
check_key (TtlNames names, const char *backing, gboolean in_root)
{
  TtlName key, shown, again;
  gsize len = G_MAXSIZE;

  fuzz_assert (ttl_keyname_decode (names, backing, key, &len) == 0);
  fuzz_assert (len > 0 && len <= TTL_NAME_MAX && key[len] == '\0');
  fuzz_assert (ttl_keyname_encode (names, key, len, again) == 0 && strcmp (again, backing) == 0);

  ttl_keyname_to_shown (names, backing, in_root, shown);
  fuzz_assert (strlen (shown) > 0 && strlen (shown) <= TTL_NAME_MAX);
  fuzz_assert (strchr (shown, '/') == NULL);
  fuzz_assert (strcmp (shown, ".") != 0 && strcmp (shown, "..") != 0);
  fuzz_assert (!g_str_has_prefix (shown, TTL_SCRATCH_PREFIX));
  fuzz_assert (names == TTL_NAMES_PLAIN || !in_root || strcmp (shown, TTL_RESERVED_NAME) != 0);
  fuzz_assert (ttl_keyname_from_shown (names, shown, again) == 0 && strcmp (again, backing) == 0);
  fuzz_assert (ttl_keyname_from_shown (names, backing, again) == 0 && strcmp (again, backing) == 0);
}

/* A name that a user gives ends inside the bucket, and what it is does not depend on who asks. */
static void
check_shown (TtlNames names, const char *shown, gboolean in_root)
{
  TtlName backing;
  int res = ttl_keyname_from_shown (names, shown, backing);

  fuzz_assert (res == 0 || res == -EINVAL || res == -ENAMETOOLONG);
  fuzz_assert (res == 0 || shown[0] == '\0' || strchr (shown, '/') != NULL || res == -ENAMETOOLONG
               || names == TTL_NAMES_PLAIN);
  if (res < 0)
    return;
  fuzz_assert (strlen (backing) > 0 && strchr (backing, '/') == NULL);
  fuzz_assert (strcmp (backing, ".") != 0 && strcmp (backing, "..") != 0);
  switch (ttl_keyname_kind (names, backing))
    {
    case TTL_NAME_KEY:
      check_key (names, backing, in_root);
      break;
    case TTL_NAME_SCRATCH:
      fuzz_assert (g_str_has_prefix (shown, TTL_SCRATCH_PREFIX) && strcmp (shown, backing) == 0);
      break;
    case TTL_NAME_FOREIGN:
      fuzz_assert (FALSE);
    }
}

/* A key that a program gives, NUL and slashes and all. */
static void
check_bytes (TtlNames names, const char *key, gsize len, gboolean in_root)
{
  TtlName backing, decoded;
  gsize decoded_len;
  int res = ttl_keyname_encode (names, key, len, backing);

  fuzz_assert (res == 0 || res == -EINVAL || res == -ENAMETOOLONG);
  fuzz_assert (names == TTL_NAMES_PLAIN || (res == -EINVAL) == (len == 0));
  if (res < 0)
    return;
  fuzz_assert (ttl_keyname_kind (names, backing) == TTL_NAME_KEY);
  fuzz_assert (ttl_keyname_decode (names, backing, decoded, &decoded_len) == 0);
  fuzz_assert (decoded_len == len && memcmp (decoded, key, len) == 0);
  check_key (names, backing, in_root);
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
  const guint8 mode = bytes_take_number (&bytes);
  const TtlNames names = mode & 1 ? TTL_NAMES_PLAIN : TTL_NAMES_ENCODED;
  const gboolean in_root = (mode & 2) != 0;
  gsize len;
  g_autofree char *key = (char *)bytes_take_some (&bytes, G_MAXSIZE, &len);
  g_autofree char *name = g_strndup (key, len);

  check_bytes (names, key, len, in_root);
  check_shown (names, name, in_root);
  if (ttl_keyname_kind (names, name) == TTL_NAME_KEY)
    check_key (names, name, in_root);
  return 0;
}
