/* A key's file is its bytes with everything but [A-Za-z0-9] as %XX in upper case; the mount shows
 * it decoded. */
#include "mount.h"

TestSuite (a_name, .init = mount_setup, .fini = mount_teardown, .timeout = 60);

typedef struct
{
  const char *typed, *stored, *shown;
} Name;

static const Name names[] = {
  { "plain", "plain", "plain" },
  { "Worker1", "Worker1", "Worker1" },
  { "worker-1.json", "worker%2D1%2Ejson", "worker-1.json" },
  { "key1%2Fmulti%2Fpart", "key1%2Fmulti%2Fpart", "key1%2Fmulti%2Fpart" },
  { "a_b", "a%5Fb", "a_b" },
  { "with space", "with%20space", "with space" },
  { "new\nline", "new%0Aline", "new\nline" },
  { "~", "%7E", "~" },
  { ".hidden", "%2Ehidden", ".hidden" },
  { "...", "%2E%2E%2E", "..." },
  { "..x", "%2E%2Ex", "..x" },
  { "%2E", "%2E", "%2E" },          /* the key ".", which no directory can show */
  { "%2E%2E", "%2E%2E", "%2E%2E" }, /* and ".." */
  { "100%", "100%25", "100%" },
  { "%", "%25", "%" },
  { "%%", "%25%25", "%%" },
  { "%zz", "%25zz", "%zz" },
  { "%2", "%252", "%2" },
  { "%2f", "%252f", "%2f" },     /* lower case is never an escape */
  { "%2541", "%2541", "%2541" }, /* the key "%41", which would decode to "A" */
  { "%2525", "%2525", "%2525" },
  { "a%2Db", "a%2Db", "a-b" }, /* an encoded name opens the same key */
  { "a%2Db%2Ec", "a%2Db%2Ec", "a-b.c" },
  { "\xc3\xbc", "%C3%BC", "\xc3\xbc" },
  { "\xff\xfe", "%FF%FE", "\xff\xfe" }, /* no UTF-8, no matter */
  { "-rf", "%2Drf", "-rf" },
  { "*", "%2A", "*" },
  { ".tmp", "%2Etmp", ".tmp" },
  { ".tmpx", "%2Etmpx", ".tmpx" },
  { "%2Etmp_x", "%2Etmp%5Fx", "%2Etmp_x" }, /* a key; ".tmp_x" itself is scratch */
};

Test (a_name, typed_in_the_mount_is_stored_encoded)
{
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      const Name *name = &names[i];
      const char *shown = text ("%s\n", name->shown);

      assert_ok (put (at (name->typed), name->stored));
      cr_assert_str_eq (get (raw (name->stored)), name->stored,
                        "'%s' is not stored as '%s' but\n%s", name->typed, name->stored,
                        listing (backing_dir ()));
      cr_assert_str_eq (listing (at (".")), shown, "'%s' is shown as '%s'", name->typed,
                        listing (at (".")));
      assert_value (at (name->shown), name->stored);
      assert_value (at (name->stored), name->stored);
      assert_ok (unlink (at (name->stored)));
      cr_assert_str_eq (listing (at (".")), "");
      cr_assert (!exists (raw (name->stored)));
    }
}

Test (a_name, stored_by_a_raw_peer_is_shown_decoded)
{
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      const Name *name = &names[i];
      const char *shown = text ("%s\n", name->shown);

      assert_ok (put_raw (raw (name->stored), "peer"));
      assert_eventually (1000, g_strcmp0 (listing (at (".")), shown) == 0);
      assert_value (at (name->shown), "peer");
      assert_ok (unlink (raw (name->stored)));
      assert_eventually (1000, !exists (at (name->shown)));
    }
}

Test (a_name, of_every_single_byte_makes_a_key)
{
  for (int byte = 1; byte < 256; byte++)
    {
      const char name[] = { (char)byte, '\0' };
      const char *stored
          = g_ascii_isalnum (byte) ? text ("%c", byte) : text ("%%%02X", (unsigned)byte);
      const char *typed = byte == '/' || byte == '.' ? stored : name;

      assert_ok (put (at (typed), stored));
      cr_assert_str_eq (get (raw (stored)), stored, "byte %d is not stored as '%s'", byte, stored);
      cr_assert (lists (at (typed)), "byte %d is not listed", byte);
      assert_value (at (stored), stored);
    }
  cr_assert_eq (count_listed (at (".")), 255);
  cr_assert_eq (count_files (backing_dir ()), 255);
}

Test (a_name, amid_others_may_hold_every_byte)
{
  for (int byte = 1; byte < 256; byte++)
    {
      const char *typed = byte == '/' ? "a%2Fb" : text ("a%cb", byte);
      const char *stored
          = g_ascii_isalnum (byte) ? text ("a%cb", byte) : text ("a%%%02Xb", (unsigned)byte);

      assert_ok (put (at (typed), stored));
      assert_value (raw (stored), stored);
      cr_assert (lists (at (typed)), "byte %d is not listed", byte);
    }
  cr_assert_eq (count_listed (at (".")), 255);
}

/* What a listing shows opens the key that it came from. */
Test (a_name, that_is_listed_opens)
{
  for (int i = 0; i < 500; i++)
    {
      static const char letters[] = "aZ5%%%%%2DFf.-_/ \xc3\n";
      GString *stored = g_string_new (NULL);
      guint len = 1 + g_random_int () % 8;

      for (guint j = 0; j < len; j++)
        {
          guchar byte = (guchar)letters[g_random_int () % (sizeof letters - 1)];

          if (g_ascii_isalnum (byte))
            g_string_append_c (stored, (char)byte);
          else
            g_string_append_printf (stored, "%%%02X", byte);
        }
      assert_ok (put_raw (raw (stored->str), stored->str));
      keep (g_string_free (stored, FALSE));
    }
  assert_eventually (2000, count_listed (at (".")) == count_files (backing_dir ()));
  assert_bash (
      "find . -type f -print0 | xargs -0 cat -- | wc -c > $TMP/shown; "
      "find $BACKING -path $BACKING/.ttlfs -prune -o -type f -print0 | xargs -0 cat -- | wc -c "
      "> $TMP/stored; cmp $TMP/shown $TMP/stored");
}

Test (a_name, is_the_same_key_however_it_is_spelled)
{
  int fd;

  assert_ok (put (at ("worker-1.json"), "value"));
  assert_value (at ("worker%2D1%2Ejson"), "value");
  assert_value (at ("worker%2D1.json"), "value");
  assert_ok (put (at ("worker%2D1%2Ejson"), "changed"));
  assert_value (at ("worker-1.json"), "changed");
  fd = open (at ("worker%2D1%2Ejson"), O_WRONLY | O_CREAT | O_EXCL, 0666);
  cr_assert (fd < 0 && errno == EEXIST);
  cr_assert_str_eq (listing (at (".")), "worker-1.json\n");
  assert_ok (unlink (at ("worker%2D1%2Ejson")));
  assert_absent (at ("worker-1.json"));
}

Test (a_name, of_a_bucket_is_stored_as_it_is)
{
  assert_ok (mkdir (at ("my-bucket.v1"), 0777));
  cr_assert (exists (raw ("my-bucket.v1")));
  assert_ok (put (at ("my-bucket.v1/worker-1"), "value"));
  assert_value (raw ("my-bucket.v1/worker%2D1"), "value");
  cr_assert_str_eq (listing (at (".")), "my-bucket.v1\n");
}
