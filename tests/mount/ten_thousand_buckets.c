/* Ten thousand buckets are made, listed, used and removed like a few. */
#include "mount.h"

#define BUCKETS 10000
#define KEYS 10

TestSuite (many_buckets, .init = mount_setup, .fini = mount_teardown, .timeout = 300);

static const char *
bucket (int i)
{
  return text ("%s/bucket %d", g_getenv ("MNT"), i);
}

static guint
open_descriptors (void)
{
  return count_listed (text ("/proc/%d/fd", (int)mount_pid (mount_number (1))));
}

Test (many_buckets, come_and_go)
{
  guint descriptors = open_descriptors ();

  for (int i = 0; i < BUCKETS; i++)
    assert_ok (mkdir (bucket (i), 0777));
  cr_assert_eq (count_listed (at (".")), BUCKETS);
  for (int i = 0; i < BUCKETS; i += BUCKETS / KEYS)
    assert_ok (put (text ("%s/k", bucket (i)), text ("value %d", i)));
  for (int i = 0; i < BUCKETS; i += BUCKETS / KEYS)
    {
      assert_value (text ("%s/k", bucket (i)), text ("value %d", i));
      assert_errno (rmdir (bucket (i)), ENOTEMPTY);
      assert_ok (unlink (text ("%s/k", bucket (i))));
    }
  for (int i = 0; i < BUCKETS; i++)
    assert_ok (rmdir (bucket (i)));
  cr_assert_str_eq (listing (at (".")), "");
  /* A descriptor of a bucket that is gone would keep its directory. */
  assert_eventually (1000, open_descriptors () < descriptors + 10);
}
