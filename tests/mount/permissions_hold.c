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

/* The file that a descriptor was opened on is another one by now, which is not for everybody. */
Test (another_user, neither_writes_nor_reads_what_was_put_since_it_opened)
{
  need_root ();
  need ("setpriv");
  assert_bash (
      "cd $MNT; mkdir -m 1777 s; cd s; umask 077\n"
      "nobody () { setpriv --reuid 65534 --regid 65534 --clear-groups bash -c \"$1\"; }\n"
      "public () { rm -f z; echo public > z; chmod 666 z; }\n"
      "replace () { sleep 0.2; echo secret > n; mv n z; }\n"
      "unchanged () { test \"$(cat z)\" = secret && test \"$(stat -c %U%a z)\" = root600; }\n"
      "public; nobody 'exec 9<>z; sleep 0.5; echo evil >&9' & replace; wait; unchanged || exit 1\n"
      "public; nobody 'exec 9>>z; sleep 0.5; echo evil >&9' & replace; wait; unchanged || exit 2\n"
      "public; nobody 'exec 9<>z; sleep 0.5; flock 9; cat <&9' > ../seen & replace; wait\n"
      "test \"$(cat ../seen)\" = public || exit 3\n"
      "rm z; nobody 'exec 9<>z; sleep 0.5; echo evil >&9' & replace; wait; unchanged || exit 4\n"
      "public; nobody 'exec 9<>z; sleep 0.5; echo evil >&9' & sleep 0.2; rm z; chmod 755 .; wait\n"
      "! test -e z || exit 5");
}

/* What was opened under the same rights may be put over, as ever; and so may what is for the group. */
Test (another_user, puts_over_what_it_may_write)
{
  need_root ();
  need ("setpriv");
  assert_bash (
      "cd $MNT; mkdir -m 777 g; cd g; umask 0\n"
      "member () { setpriv --reuid 65534 --regid 65534 --groups 1234 bash -c \"$1\"; }\n"
      "replace () { sleep 0.2; echo newer > n; chown 1000:1234 n; chmod 664 n; mv n z; }\n"
      "echo old > z; chown 65534 z; member 'exec 9<>z; sleep 0.5; echo last >&9' & replace; wait\n"
      "test \"$(cat z)\" = last || exit 1\n"
      "member 'exec 9<>z; sleep 0.5; echo again >&9' & sleep 0.2; rm z; wait\n"
      "test \"$(cat z)\" = again && test \"$(stat -c %u z)\" = 65534");
}
