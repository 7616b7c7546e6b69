/* -o ro: everything can be read, nothing changed, and leases end all the same. */
#include "mount.h"

static void
mount_read_only (void)
{
  mount_setup ();
  assert_bash ("mkdir b; echo value > b/k-1");
  mount_stop (mount_number (1));
  mount_start ("ro,ttl=1h");
}

TestSuite (a_read_only_mount, .init = mount_read_only, .fini = mount_teardown, .timeout = 60);

Test (a_read_only_mount, can_be_read)
{
  assert_value (at ("b/k-1"), "value\n");
  cr_assert_str_eq (listing (at ("b")), "k-1\n");
  cr_assert_str_eq (xattr (at ("b/k-1"), "user.ttlfs.ttl"), "1h");
}

Test (a_read_only_mount, refuses_every_change)
{
  assert_errno (put (at ("b/k-1"), "changed"), EROFS);
  assert_errno (put (at ("new"), "value"), EROFS);
  assert_errno (open (at ("b/k-1"), O_RDWR), EROFS);
  assert_errno (unlink (at ("b/k-1")), EROFS);
  assert_errno (rename (at ("b/k-1"), at ("l")), EROFS);
  assert_errno (link (at ("b/k-1"), at ("l")), EROFS);
  assert_errno (mkdir (at ("c"), 0777), EROFS);
  assert_errno (rmdir (at ("b")), EROFS);
  assert_errno (chmod (at ("b/k-1"), 0600), EROFS);
  assert_errno (utimensat (AT_FDCWD, at ("b/k-1"), NULL, 0), EROFS);
  assert_errno (truncate (at ("b/k-1"), 0), EROFS);
  assert_errno (set_xattr (at ("b/k-1"), "user.ttlfs.ttl", "5m"), EROFS);
  assert_value (at ("b/k-1"), "value\n");
}

Test (a_read_only_mount, shows_nothing_past_its_deadline)
{
  mount_stop (mount_number (1));
  assert_ok (put_raw (raw ("b/short"), "value"));
  mount_start ("ro,ttl=500ms");
  sleep_until (mtime_ns (raw ("b/short")) + 500 * MS);
  assert_absent (at ("b/short"));
}
