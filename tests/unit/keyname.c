#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "keyname.h"

/* --- helpers: a spelling, or the reason why there is none --- */

static const char *
error_text (int r)
{
  return r == -EINVAL ? "EINVAL" : r == -ENAMETOOLONG ? "ENAMETOOLONG" : "?";
}

static const char *
encode_bytes (const char *key, gsize len)
{
  static TtlName backing;
  int r = ttl_keyname_encode (TTL_NAMES_ENCODED, key, len, backing);

  return r == 0 ? backing : error_text (r);
}

static const char *
encode (const char *key)
{
  return encode_bytes (key, strlen (key));
}

static const char *
from_shown (const char *shown)
{
  static TtlName backing;
  int r = ttl_keyname_from_shown (TTL_NAMES_ENCODED, shown, backing);

  return r == 0 ? backing : error_text (r);
}

static const char *
to_shown (const char *backing)
{
  static TtlName shown;

  ttl_keyname_to_shown (TTL_NAMES_ENCODED, backing, FALSE, shown);
  return shown;
}

static const char *
to_shown_in_root (const char *backing)
{
  static TtlName shown;

  ttl_keyname_to_shown (TTL_NAMES_ENCODED, backing, TRUE, shown);
  return shown;
}

static gboolean
is_canonical (const char *backing)
{
  TtlName key;
  gsize len;

  return ttl_keyname_decode (TTL_NAMES_ENCODED, backing, key, &len) == 0;
}

/* @unit repeated until it is @len bytes long. */
static char *
repeat (const char *unit, gsize len)
{
  char *text = g_malloc0 (len + 1);

  for (gsize i = 0; i < len; i++)
    text[i] = unit[i % strlen (unit)];
  return text;
}

/* --- key to backing name --- */

Test (keyname, keeps_letters_and_digits_as_they_are)
{
  cr_assert_str_eq (encode ("azAZ09"), "azAZ09");
}

Test (keyname, escapes_the_neighbours_of_letters_and_digits)
{
  cr_assert_str_eq (encode ("/:@[`{"), "%2F%3A%40%5B%60%7B");
}

Test (keyname, escapes_every_other_byte_in_upper_case)
{
  cr_assert_str_eq (encode ("key1/multi/part"), "key1%2Fmulti%2Fpart");
  cr_assert_str_eq (encode ("worker-1.json"), "worker%2D1%2Ejson");
  cr_assert_str_eq (encode ("_~"), "%5F%7E");
}

Test (keyname, escapes_bytes_and_knows_no_utf8)
{
  cr_assert_str_eq (encode ("\xc3\xa4\xff"), "%C3%A4%FF");
}

Test (keyname, escapes_a_nul) { cr_assert_str_eq (encode_bytes ("a\0b", 3), "a%00b"); }

Test (keyname, escapes_a_percent_sign_whatever_follows)
{
  cr_assert_str_eq (encode ("%41%"), "%2541%25");
}

Test (keyname, escapes_a_key_that_looks_like_scratch)
{
  cr_assert_str_eq (encode (".tmp_a"), "%2Etmp%5Fa");
}

Test (keyname, has_no_empty_key) { cr_assert_str_eq (encode (""), "EINVAL"); }

Test (keyname, fits_255_bytes_of_backing_name_and_no_more)
{
  g_autofree char *fits = repeat ("a", 255);
  g_autofree char *too_long = repeat ("a", 256);
  g_autofree char *escapes_fit = repeat ("-", 85);
  g_autofree char *escapes_too_long = repeat ("-", 86);

  cr_assert_str_eq (encode (fits), fits);
  cr_assert_str_eq (encode (too_long), "ENAMETOOLONG");
  cr_assert_eq (strlen (encode (escapes_fit)), 255);
  cr_assert_str_eq (encode (escapes_too_long), "ENAMETOOLONG");
}

Test (keyname, does_not_cut_an_escape_at_the_limit)
{
  g_autofree char *letters = repeat ("a", 253);
  g_autofree char *one_over = g_strconcat (letters, "-", NULL);

  cr_assert_str_eq (encode (one_over), "ENAMETOOLONG");
}

/* --- backing name to key --- */

Test (keyname, decodes_what_it_encoded)
{
  TtlName key;
  gsize len;

  cr_assert_eq (ttl_keyname_decode (TTL_NAMES_ENCODED, "a%00b%2F", key, &len), 0);
  cr_assert_eq (len, 4);
  cr_assert_arr_eq (key, "a\0b/", 5);
}

Test (keyname, decodes_only_canonical_names)
{
  static const char *const wrong[]
      = { "",    "a-b",    "a.b",  "worker%2d1", "%41", "%30",  "%7a",    "%", "%2",
          "%2G", "a%2Fb%", "%%2F", "%25%",       " ",   "\xc3", ".tmp_a", ".", ".." };

  for (gsize i = 0; i < G_N_ELEMENTS (wrong); i++)
    cr_assert_not (is_canonical (wrong[i]), "\"%s\" was decoded", wrong[i]);
}

Test (keyname, decodes_nothing_longer_than_a_file_name)
{
  g_autofree char *too_long = repeat ("a", 256);

  cr_assert_not (is_canonical (too_long));
}

/* --- what a file is --- */

Test (keyname, takes_a_canonical_name_for_a_key)
{
  cr_assert_eq (ttl_keyname_kind (TTL_NAMES_ENCODED, "worker%2D1"), TTL_NAME_KEY);
  cr_assert_eq (ttl_keyname_kind (TTL_NAMES_ENCODED, "%2Etmp%5Fa"), TTL_NAME_KEY);
}

Test (keyname, takes_a_name_with_the_scratch_prefix_for_scratch)
{
  cr_assert_eq (ttl_keyname_kind (TTL_NAMES_ENCODED, ".tmp_"), TTL_NAME_SCRATCH);
  cr_assert_eq (ttl_keyname_kind (TTL_NAMES_ENCODED, ".tmp_a-b%zz"), TTL_NAME_SCRATCH);
  cr_assert_eq (ttl_keyname_kind (TTL_NAMES_PLAIN, ".tmp_a"), TTL_NAME_SCRATCH);
}

Test (keyname, takes_anything_else_for_foreign)
{
  cr_assert_eq (ttl_keyname_kind (TTL_NAMES_ENCODED, "worker-1"), TTL_NAME_FOREIGN);
  cr_assert_eq (ttl_keyname_kind (TTL_NAMES_ENCODED, ".tmp"), TTL_NAME_FOREIGN);
  cr_assert_eq (ttl_keyname_kind (TTL_NAMES_ENCODED, ".ttlfs"), TTL_NAME_FOREIGN);
  cr_assert_eq (ttl_keyname_kind (TTL_NAMES_ENCODED, "lost+found"), TTL_NAME_FOREIGN);
}

/* --- backing name to shown name --- */

Test (keyname, shows_the_key)
{
  cr_assert_str_eq (to_shown ("worker%2D1%2Ejson"), "worker-1.json");
  cr_assert_str_eq (to_shown ("%C3%A4%0A%20"), "\xc3\xa4\n ");
}

Test (keyname, shows_slash_and_nul_escaped)
{
  cr_assert_str_eq (to_shown ("a%2Fb"), "a%2Fb");
  cr_assert_str_eq (to_shown ("a%00b"), "a%00b");
}

Test (keyname, shows_a_percent_sign_as_it_is_where_no_escape_follows)
{
  cr_assert_str_eq (to_shown ("100%25"), "100%");
  cr_assert_str_eq (to_shown ("%254"), "%4");
  cr_assert_str_eq (to_shown ("%252f"), "%2f");
  cr_assert_str_eq (to_shown ("%25%252F"), "%%252F");
}

Test (keyname, shows_a_percent_sign_escaped_where_it_would_decode)
{
  cr_assert_str_eq (to_shown ("%252F"), "%252F");
  cr_assert_str_eq (to_shown ("%2541"), "%2541");
}

Test (keyname, is_not_confused_by_an_escape_behind_a_percent_sign)
{
  cr_assert_str_eq (to_shown ("%25%2F"), "%%2F");
  cr_assert_str_eq (to_shown ("%252%2F"), "%2%2F");
}

Test (keyname, shows_the_directory_links_escaped)
{
  cr_assert_str_eq (to_shown ("%2E"), "%2E");
  cr_assert_str_eq (to_shown ("%2E%2E"), "%2E%2E");
  cr_assert_str_eq (to_shown ("%2E%2E%2E"), "...");
}

Test (keyname, shows_a_key_that_looks_like_scratch_with_an_escaped_dot)
{
  cr_assert_str_eq (to_shown ("%2Etmp%5F"), "%2Etmp_");
  cr_assert_str_eq (to_shown ("%2Etmp%5Fa%2Eb"), "%2Etmp_a.b");
  cr_assert_str_eq (to_shown ("%2Etmp"), ".tmp");
}

Test (keyname, shows_the_reserved_name_escaped_in_the_root)
{
  cr_assert_str_eq (to_shown_in_root ("%2Ettlfs"), "%2Ettlfs");
  cr_assert_str_eq (to_shown_in_root ("%2Ettlfs2"), ".ttlfs2");
}

Test (keyname, shows_the_reserved_name_as_it_is_elsewhere)
{
  cr_assert_str_eq (to_shown ("%2Ettlfs"), ".ttlfs");
}

/* --- shown name to backing name --- */

Test (keyname, opens_a_key_by_its_decoded_name)
{
  cr_assert_str_eq (from_shown ("worker-1.json"), "worker%2D1%2Ejson");
}

Test (keyname, opens_a_key_by_its_encoded_name)
{
  cr_assert_str_eq (from_shown ("worker%2D1%2Ejson"), "worker%2D1%2Ejson");
}

Test (keyname, opens_a_key_by_a_name_escaped_more_than_needed)
{
  cr_assert_str_eq (from_shown ("%41-%42"), "A%2DB");
}

Test (keyname, takes_lower_case_hex_literally)
{
  cr_assert_str_eq (from_shown ("a%2fb"), "a%252fb");
}

Test (keyname, takes_a_percent_sign_without_an_escape_literally)
{
  cr_assert_str_eq (from_shown ("%"), "%25");
  cr_assert_str_eq (from_shown ("%4"), "%254");
  cr_assert_str_eq (from_shown ("%%41"), "%25A");
}

Test (keyname, passes_scratch_verbatim)
{
  g_autofree char *tail = repeat ("-", 250);
  g_autofree char *longest = g_strconcat (".tmp_", tail, NULL);
  g_autofree char *too_long = g_strconcat (longest, "-", NULL);

  cr_assert_str_eq (from_shown (".tmp_a-%2D"), ".tmp_a-%2D");
  cr_assert_str_eq (from_shown (longest), longest);
  cr_assert_str_eq (from_shown (too_long), "ENAMETOOLONG");
}

Test (keyname, has_no_empty_shown_name) { cr_assert_str_eq (from_shown (""), "EINVAL"); }

Test (keyname, never_lets_a_slash_through)
{
  TtlName backing;

  cr_assert_str_eq (from_shown ("a/b"), "EINVAL");
  cr_assert_str_eq (from_shown (".tmp_/../../x"), "EINVAL");
  cr_assert_eq (ttl_keyname_from_shown (TTL_NAMES_PLAIN, "a/b", backing), -EINVAL);
}

Test (keyname, refuses_a_shown_name_whose_backing_name_does_not_fit)
{
  g_autofree char *fits = repeat ("-", 85);
  g_autofree char *too_long = repeat ("-", 86);

  cr_assert_eq (strlen (from_shown (fits)), 255);
  cr_assert_str_eq (from_shown (too_long), "ENAMETOOLONG");
}

/* --- names=plain --- */

Test (keyname, is_the_same_in_all_three_spellings_when_plain)
{
  TtlName backing, shown, key;
  gsize len;

  cr_assert_eq (ttl_keyname_from_shown (TTL_NAMES_PLAIN, "a-%2F%zz", backing), 0);
  ttl_keyname_to_shown (TTL_NAMES_PLAIN, backing, TRUE, shown);
  cr_assert_eq (ttl_keyname_decode (TTL_NAMES_PLAIN, backing, key, &len), 0);
  cr_assert_str_eq (backing, "a-%2F%zz");
  cr_assert_str_eq (shown, "a-%2F%zz");
  cr_assert_str_eq (key, "a-%2F%zz");
  cr_assert_eq (len, 8);
}

Test (keyname, takes_any_file_for_a_key_when_plain)
{
  cr_assert_eq (ttl_keyname_kind (TTL_NAMES_PLAIN, "lost+found %"), TTL_NAME_KEY);
}

Test (keyname, takes_what_names_no_file_for_foreign_when_plain)
{
  cr_assert_eq (ttl_keyname_kind (TTL_NAMES_PLAIN, "."), TTL_NAME_FOREIGN);
  cr_assert_eq (ttl_keyname_kind (TTL_NAMES_PLAIN, ".."), TTL_NAME_FOREIGN);
  cr_assert_eq (ttl_keyname_kind (TTL_NAMES_PLAIN, ""), TTL_NAME_FOREIGN);
}

Test (keyname, never_leads_out_of_the_bucket_when_plain)
{
  TtlName backing;

  cr_assert_eq (ttl_keyname_from_shown (TTL_NAMES_PLAIN, ".", backing), -EINVAL);
  cr_assert_eq (ttl_keyname_from_shown (TTL_NAMES_PLAIN, "..", backing), -EINVAL);
}

Test (keyname, refuses_a_plain_key_that_cannot_be_a_file)
{
  TtlName backing;

  cr_assert_eq (ttl_keyname_encode (TTL_NAMES_PLAIN, "", 0, backing), -EINVAL);
  cr_assert_eq (ttl_keyname_encode (TTL_NAMES_PLAIN, "a/b", 3, backing), -EINVAL);
  cr_assert_eq (ttl_keyname_encode (TTL_NAMES_PLAIN, "a\0b", 3, backing), -EINVAL);
  cr_assert_eq (ttl_keyname_encode (TTL_NAMES_PLAIN, ".", 1, backing), -EINVAL);
  cr_assert_eq (ttl_keyname_encode (TTL_NAMES_PLAIN, "..", 2, backing), -EINVAL);
}

Test (keyname, refuses_a_plain_key_that_would_be_scratch)
{
  TtlName name;
  gsize len;

  cr_assert_eq (ttl_keyname_encode (TTL_NAMES_PLAIN, ".tmp_a", 6, name), -EINVAL);
  cr_assert_eq (ttl_keyname_decode (TTL_NAMES_PLAIN, ".tmp_a", name, &len), -EINVAL);
}

Test (keyname, fits_255_plain_bytes_and_no_more)
{
  g_autofree char *text = repeat ("-", 256);
  TtlName name;
  gsize len;

  cr_assert_eq (ttl_keyname_encode (TTL_NAMES_PLAIN, text, 255, name), 0);
  cr_assert_eq (ttl_keyname_encode (TTL_NAMES_PLAIN, text, 256, name), -ENAMETOOLONG);
  cr_assert_eq (ttl_keyname_from_shown (TTL_NAMES_PLAIN, text, name), -ENAMETOOLONG);
  cr_assert_eq (ttl_keyname_decode (TTL_NAMES_PLAIN, text, name, &len), -EINVAL);
}

/* --- what holds for every byte string --- */

#define N_RANDOM 200000

/* Long enough to go past the limit also where no byte is escaped. */
#define KEY_ROOM (TTL_NAME_MAX + 8)

/* A new seed each time, so that every run looks at new cases; a failure names the one to repeat. */
static guint32
get_seed (void)
{
  const char *text = g_getenv ("TTLFS_TEST_SEED");

  return text != NULL ? (guint32)strtoul (text, NULL, 10) : g_random_int ();
}

/* Criterion reports every assertion, which takes too long for millions of them. */
#define check(seed, what, key, len) \
  do \
    { \
      if (!(what)) \
        fail (seed, #what, key, len); \
    } \
  while (0)

static void
fail (guint32 seed, const char *what, const char *key, gsize len)
{
  g_autoptr (GString) bytes = g_string_new (NULL);

  for (gsize i = 0; i < len; i++)
    g_string_append_printf (bytes, "\\x%02x", (guchar)key[i]);
  cr_assert_fail ("TTLFS_TEST_SEED=%u, \"%s\": not %s", seed, bytes->str, what);
}

/* Mostly what the rules are about, sometimes any byte. */
static char
random_byte (GRand *rand)
{
  static const char special[] = "%%%%%%0022455EEFFFaf/..tm_-G";

  if (g_rand_int_range (rand, 0, 8) == 0)
    return (char)g_rand_int_range (rand, 0, 256);
  return special[g_rand_int_range (rand, 0, sizeof special)]; /* the NUL included */
}

/* Short ones most of the time, where everything is near an edge; the others to past the limit. */
static gsize
random_key (GRand *rand, char key_out[KEY_ROOM])
{
  static const char *const prefixes[] = { ".tmp_", ".ttlfs", ".tmp", "..", "." };
  int longest = g_rand_int_range (rand, 0, 4) != 0 ? 7 : KEY_ROOM;
  gsize len = (gsize)g_rand_int_range (rand, 1, longest);
  gboolean only_letters = g_rand_int_range (rand, 0, 16) == 0;

  for (gsize i = 0; i < len; i++)
    key_out[i] = only_letters ? (char)g_rand_int_range (rand, 'a', 'z' + 1) : random_byte (rand);
  if (g_rand_int_range (rand, 0, 8) == 0)
    {
      const char *prefix = prefixes[g_rand_int_range (rand, 0, G_N_ELEMENTS (prefixes))];

      memcpy (key_out, prefix, strlen (prefix));
      len = g_rand_boolean (rand) ? strlen (prefix) : MAX (len, strlen (prefix));
    }
  return len;
}

static void
check_shown (guint32 seed, const char *key, gsize len, const char *backing, gboolean in_root)
{
  TtlName shown, back;

  ttl_keyname_to_shown (TTL_NAMES_ENCODED, backing, in_root, shown);

  /* Its own NUL ends a C string: none within shows in what the way back makes of it, below. */
  check (seed, shown[0] != '\0' && strchr (shown, '/') == NULL, key, len);
  check (seed, strcmp (shown, ".") != 0 && strcmp (shown, "..") != 0, key, len);
  check (seed, !g_str_has_prefix (shown, TTL_SCRATCH_PREFIX), key, len);
  check (seed, !in_root || strcmp (shown, TTL_RESERVED_NAME) != 0, key, len);

  check (seed, ttl_keyname_from_shown (TTL_NAMES_ENCODED, shown, back) == 0, key, len);
  check (seed, strcmp (back, backing) == 0, key, len);
}

/* All laws for one key. FALSE when its backing name does not fit, and none applies. */
static gboolean
check_key (guint32 seed, const char *key, gsize len)
{
  TtlName backing, back;
  gsize back_len = 0;
  int r = ttl_keyname_encode (TTL_NAMES_ENCODED, key, len, backing);

  if (r == -ENAMETOOLONG)
    return FALSE;
  check (seed, r == 0, key, len);
  check (seed, ttl_keyname_kind (TTL_NAMES_ENCODED, backing) == TTL_NAME_KEY, key, len);

  check (seed, ttl_keyname_decode (TTL_NAMES_ENCODED, backing, back, &back_len) == 0, key, len);
  check (seed, back_len == len && memcmp (back, key, len) == 0 && back[len] == '\0', key, len);

  check (seed, ttl_keyname_from_shown (TTL_NAMES_ENCODED, backing, back) == 0, key, len);
  check (seed, strcmp (back, backing) == 0, key, len);

  check_shown (seed, key, len, backing, TRUE);
  check_shown (seed, key, len, backing, FALSE);
  return TRUE;
}

Test (keyname, keeps_its_laws_for_every_key_of_one_or_two_bytes)
{
  for (guint i = 0; i < 256 * 256; i++)
    {
      char key[] = { (char)(i >> 8), (char)i };

      check_key (0, key, 2);
      check_key (0, key, 1);
    }
}

Test (keyname, keeps_its_laws_for_every_short_key_of_special_bytes)
{
  static const char alphabet[] = "%25Ff/.g"; /* its NUL is one of them */
  char key[6];

  for (gsize len = 1, end = sizeof alphabet; len <= sizeof key; len++, end *= sizeof alphabet)
    for (gsize n = 0; n < end; n++)
      {
        for (gsize i = 0, rest = n; i < len; i++, rest /= sizeof alphabet)
          key[i] = alphabet[rest % sizeof alphabet];
        check_key (0, key, len);
      }
}

Test (keyname, keeps_its_laws_for_random_keys, .timeout = 60)
{
  guint32 seed = get_seed ();
  g_autoptr (GRand) rand = g_rand_new_with_seed (seed);
  guint n_fitting = 0;

  for (guint i = 0; i < N_RANDOM; i++)
    {
      char key[KEY_ROOM];
      gsize len = random_key (rand, key);

      n_fitting += check_key (seed, key, len);
    }
  /* Or else the test would prove little. */
  cr_assert_gt (n_fitting, N_RANDOM / 2, "TTLFS_TEST_SEED=%u", seed);
  cr_assert_lt (n_fitting, N_RANDOM, "TTLFS_TEST_SEED=%u", seed);
}

/* Notes that @backing is shown as it is; fails when another key was already shown so. */
static void
note_shown (GHashTable *by_shown, guint32 seed, const char *backing, gboolean in_root)
{
  TtlName shown;
  const char *other;

  ttl_keyname_to_shown (TTL_NAMES_ENCODED, backing, in_root, shown);
  other = g_hash_table_lookup (by_shown, shown);
  if (other == NULL)
    g_hash_table_insert (by_shown, g_strdup (shown), g_strdup (backing));
  else if (strcmp (other, backing) != 0)
    cr_assert_fail ("TTLFS_TEST_SEED=%u, %s and %s both show as %s", seed, other, backing, shown);
}

static void
check_distinct (gboolean in_root)
{
  g_autoptr (GHashTable) by_shown = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  guint32 seed = get_seed ();
  g_autoptr (GRand) rand = g_rand_new_with_seed (seed);

  for (guint i = 0; i < N_RANDOM; i++)
    {
      char key[KEY_ROOM];
      TtlName backing;
      gsize len = random_key (rand, key);

      if (ttl_keyname_encode (TTL_NAMES_ENCODED, key, len, backing) == 0)
        note_shown (by_shown, seed, backing, in_root);
    }
}

Test (keyname, shows_distinct_keys_under_distinct_names_in_the_root, .timeout = 60)
{
  check_distinct (TRUE);
}

Test (keyname, shows_distinct_keys_under_distinct_names_in_a_bucket, .timeout = 60)
{
  check_distinct (FALSE);
}

/* What a user may type: no NUL, no slash, not empty. */
static gsize
random_typed (GRand *rand, char typed_out[KEY_ROOM])
{
  gsize len = random_key (rand, typed_out);

  for (gsize i = 0; i < len; i++)
    if (typed_out[i] == '/' || typed_out[i] == '\0')
      typed_out[i] = '%';
  typed_out[len] = '\0';
  return len;
}

Test (keyname, opens_nothing_but_keys_and_scratch_whatever_is_typed, .timeout = 60)
{
  guint32 seed = get_seed ();
  g_autoptr (GRand) rand = g_rand_new_with_seed (seed);

  for (guint i = 0; i < N_RANDOM; i++)
    {
      char typed[KEY_ROOM + 1];
      TtlName backing, again;
      gsize len = random_typed (rand, typed);
      TtlNameKind kind
          = g_str_has_prefix (typed, TTL_SCRATCH_PREFIX) ? TTL_NAME_SCRATCH : TTL_NAME_KEY;
      int r = ttl_keyname_from_shown (TTL_NAMES_ENCODED, typed, backing);

      if (r == -ENAMETOOLONG)
        continue;
      check (seed, r == 0, typed, len);
      check (seed, ttl_keyname_kind (TTL_NAMES_ENCODED, backing) == kind, typed, len);
      check (seed, ttl_keyname_from_shown (TTL_NAMES_ENCODED, backing, again) == 0, typed, len);
      check (seed, strcmp (backing, again) == 0, typed, len);
    }
}

static gboolean
check_plain_key (guint32 seed, const char *key, gsize len)
{
  TtlName backing, shown, back;
  gsize back_len = 0;

  if (ttl_keyname_encode (TTL_NAMES_PLAIN, key, len, backing) != 0)
    return FALSE;
  check (seed, ttl_keyname_kind (TTL_NAMES_PLAIN, backing) == TTL_NAME_KEY, key, len);
  check (seed, ttl_keyname_decode (TTL_NAMES_PLAIN, backing, back, &back_len) == 0, key, len);
  check (seed, back_len == len && memcmp (back, key, len) == 0, key, len);

  ttl_keyname_to_shown (TTL_NAMES_PLAIN, backing, TRUE, shown);
  check (seed, strlen (shown) == len && memcmp (shown, key, len) == 0, key, len);
  check (seed, ttl_keyname_from_shown (TTL_NAMES_PLAIN, shown, back) == 0, key, len);
  check (seed, strcmp (back, backing) == 0, key, len);
  return TRUE;
}

Test (keyname, keeps_its_laws_for_random_plain_keys, .timeout = 60)
{
  guint32 seed = get_seed ();
  g_autoptr (GRand) rand = g_rand_new_with_seed (seed);
  guint n_fitting = 0;

  for (guint i = 0; i < N_RANDOM; i++)
    {
      char key[KEY_ROOM];
      gsize len = random_key (rand, key);

      n_fitting += check_plain_key (seed, key, len);
    }
  cr_assert_gt (n_fitting, N_RANDOM / 8, "TTLFS_TEST_SEED=%u", seed);
}
