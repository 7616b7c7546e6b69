/* With allow_other, another user can do what the modes allow and nothing else. */
#include "mount.h"

#define OWNER 1001
#define OTHER 1002

static void
mount_with_users (void)
{
  need_root ();
  mount_setup ();
  assert_ok (chmod (at ("."), 0777));
  cr_assert_eq (
      bash_as (
          OWNER,
          "echo secret > private; chmod 600 private; echo news > public; chmod 644 public; "
          "echo open > shared; chmod 666 shared; mkdir own; chmod 755 own; echo v > own/k; mkdir "
          "closed; chmod 700 closed; echo v > closed/k; mkdir -m 1777 sticky; echo v > sticky/k; "
          "chmod 666 sticky/k")
          .status,
      0);
}

TestSuite (another_user, .init = mount_with_users, .fini = mount_teardown, .timeout = 60);

static void
assert_denied (const char *script)
{
  Output output = bash_as (OTHER, script);

  cr_assert_neq (output.status, 0, "another user can: %s", script);
  cr_assert (strstr (output.err, "ermi") != NULL, "'%s' fails for another reason: %s", script,
             output.err);
}

static void
assert_allowed (const char *script)
{
  Output output = bash_as (OTHER, script);

  cr_assert_eq (output.status, 0, "another user cannot: %s: %s", script, output.err);
}

Test (another_user, reads_what_the_modes_allow)
{
  assert_allowed ("test \"$(cat public)\" = news");
  assert_denied ("cat private");
  assert_denied ("cat closed/k");
  assert_denied ("ls closed");
  assert_allowed ("test -e private; ls");
}

Test (another_user, writes_what_the_modes_allow)
{
  assert_denied ("echo x > private");
  assert_denied ("echo x > public");
  assert_denied ("echo x >> public");
  assert_denied ("truncate -s 0 public");
  assert_denied ("echo x > own/new");
  assert_allowed ("echo x > shared; echo y > mine");
  assert_value (at ("public"), "news\n");
  assert_value (at ("shared"), "x\n");
}

Test (another_user, renews_what_it_may_write)
{
  assert_denied ("touch private");
  assert_denied ("touch public");
  assert_denied ("touch -d '+1 hour' public");
  assert_allowed ("touch shared");
  assert_denied ("touch -d '+1 hour' shared"); /* a time of one's choice is for the owner */
}

Test (another_user, deletes_what_the_directory_allows)
{
  assert_denied ("rm -f own/k < /dev/null");
  assert_denied ("mv own/k stolen");
  assert_denied ("rm -f sticky/k < /dev/null");
  assert_denied ("mv sticky/k stolen");
  assert_denied ("echo x > new; mv new sticky/k");
  assert_denied ("rmdir closed/sub");
  assert_allowed ("rm -f shared");
  assert_allowed ("echo mine > sticky/mine; rm sticky/mine");
  assert_value (at ("own/k"), "v\n");
  assert_value (at ("sticky/k"), "v\n");
}

Test (another_user, changes_no_mode_owner_or_ttl)
{
  assert_denied ("chmod 666 public");
  assert_denied ("chmod 777 shared");
  assert_denied ("chown 1002 public");
  assert_denied (
      "/usr/bin/python3 -c \"import os; os.setxattr('public', 'user.ttlfs.ttl', b'50ms')\"");
  assert_denied (
      "/usr/bin/python3 -c \"import os; os.setxattr('own', 'user.ttlfs.ttl', b'50ms')\"");
  assert_allowed (
      "/usr/bin/python3 -c \"import os; os.setxattr('shared', 'user.ttlfs.ttl', b'5m')\"");
  cr_assert_str_eq (xattr (at ("public"), "user.ttlfs.ttl"), "1h");
  cr_assert_str_eq (xattr (at ("shared"), "user.ttlfs.ttl"), "5m");
}

Test (another_user, cannot_exceed_its_groups)
{
  assert_ok (put (at ("grouped"), "value"));
  assert_ok (chown (at ("grouped"), OWNER, 2000));
  assert_ok (chmod (at ("grouped"), 0660));
  assert_denied ("cat grouped");
  assert_bash ("setpriv --reuid 1002 --regid 1002 --groups 2000 cat grouped > /dev/null");
  assert_bash ("setpriv --reuid 1002 --regid 1002 --groups 2000 sh -c 'echo changed > grouped'");
  assert_value (at ("grouped"), "changed\n");
}

Test (another_user, is_refused_altogether_with_noallow_other)
{
  mount_stop (mount_number (1));
  mount_start ("noallow_other,ttl=1h");
  assert_value (at ("public"), "news\n");
  cr_assert_neq (bash_as (OTHER, "cat $MNT/public").status, 0);
  cr_assert_neq (bash_as (OTHER, "ls $MNT").status, 0);
  cr_assert_neq (bash_as (OTHER, "stat $MNT/public").status, 0);
}
