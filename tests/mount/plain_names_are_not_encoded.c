/* With -o names=plain the backing name is the shown name. */
#include "mount.h"

static void
mount_with_plain_names (void)
{
  mount_setup_with ("ttl=1h,names=plain");
}

TestSuite (a_plain_name, .init = mount_with_plain_names, .fini = mount_teardown, .timeout = 60);

Test (a_plain_name, is_stored_as_it_is)
{
  static const char *const names[]
      = { "plain", "worker-1.json", "a%2Db", "%", "%41", "caf\xc3\xa9", ".hidden", "a b" };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      assert_ok (put (at (names[i]), names[i]));
      assert_value (raw (names[i]), names[i]);
      assert_value (at (names[i]), names[i]);
      cr_assert (lists (at (names[i])));
    }
  cr_assert_eq (count_listed (at (".")), G_N_ELEMENTS (names));
}

Test (a_plain_name, encoded_is_another_key)
{
  assert_ok (put (at ("a-b"), "value"));
  assert_absent (at ("a%2Db"));
}

Test (a_plain_name, of_scratch_is_still_scratch)
{
  assert_ok (put (at (".tmp_1"), "value"));
  cr_assert_str_eq (listing (at (".")), "");
  assert_ok (rename (at (".tmp_1"), at ("k")));
  assert_witnessed (at ("k"), "value");
}

Test (a_plain_name, of_a_key_expires)
{
  assert_ok (set_xattr (at ("."), "user.ttlfs.ttl", "200ms"));
  assert_ok (put (at ("a-b"), "value"));
  sleep_until (mtime_ns (raw ("a-b")) + 200 * MS);
  assert_absent (at ("a-b"));
  assert_eventually (200, !exists (raw ("a-b")));
}
