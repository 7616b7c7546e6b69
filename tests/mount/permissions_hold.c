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

/* An O_PATH descriptor leads to what it was opened on, which gives its owner no rights to what has the name by now. */
static const char stand_in[]
    = "import os, subprocess, sys, time\n"
      "os.setresgid(1002, 1002, 1002); os.setgroups([]); os.setresuid(1002, 1002, 1002)\n"
      "how = sys.argv[1]\n"
      "os.chdir('sticky')\n"
      "open('z', 'w').write('mine\\n')\n"
      "path = os.open('z', os.O_PATH)\n"
      "reader = os.open('z', os.O_RDONLY) if how == 'setxattr' else -1\n"
      "os.unlink('z') if how != 'link' else None\n"
      "print(flush=True); sys.stdin.readline()\n"
      "z = f'/proc/self/fd/{path}'\n"
      "def read(): print(open(z).read())\n"
      "def write(): open(z, 'r+').write('evil\\n')\n"
      "def append(): open(z, 'a').write('evil\\n')\n"
      "def replace(): open(z, 'w').write('evil\\n')\n"
      "def truncate(): os.truncate(z, 0)\n"
      "def chmod(): os.chmod(z, 0o666)\n"
      "def touch(): os.utime(z)\n"
      "def setxattr(): os.setxattr(reader, 'user.ttlfs.ttl', b'50ms')\n"
      "def setxattr_by_path(): os.setxattr(z, 'user.a', b'evil')\n"
      "def getxattr(): print(os.getxattr(z, 'user.secret'))\n"
      "def removexattr(): os.removexattr(z, 'user.secret')\n"
      "def link():\n"
      "  ln = subprocess.run(['ln', '-L', z, 'stolen'], pass_fds=[path], capture_output=True, "
      "text=True)\n"
      "  if ln.returncode: raise OSError(ln.stderr)\n"
      "try: globals()[how]()\n"
      "except OSError as e: print(e, file=sys.stderr)\n"
      "else: print('it could', how, file=sys.stderr) if how not in ('setxattr') else 0\n";

Test (another_user, has_no_rights_to_what_stands_in_for_its_own)
{
  need_root ();
  need ("python3");
  assert_ok (setenv ("STAND_IN", stand_in, 1));
  assert_bash ("cd $MNT; status=0\n"
               "for how in read write append replace truncate chmod touch setxattr "
               "setxattr_by_path getxattr "
               "removexattr link; do\n"
               "  coproc /usr/bin/python3 -c \"$STAND_IN\" $how 2>&1\n"
               "  read <&${COPROC[0]}; rm -f $BACKING/sticky/z\n"
               "  (umask 077; echo secret > n; setfattr -n user.secret -v s n; mv n sticky/z)\n"
               "  sleep 0.1; echo >&${COPROC[1]}; told=$(cat <&${COPROC[0]}); wait $COPROC_PID\n"
               "  case $told in *denied* | *permitted* | *'No such'*) ;; *) echo \"$how: $told\"; "
               "status=1 ;; "
               "esac\n"
               "  test \"$(cat sticky/z)\" = secret || { echo $how: changed; status=1; }\n"
               "  test $(stat -c %a%u%h sticky/z) = 60001 || { echo $how: mode; status=1; }\n"
               "  test $(getfattr --only-values -n user.ttlfs.ttl sticky/z) = 1h || { echo $how: "
               "ttl; status=1; "
               "}\n"
               "  rm sticky/z; done; exit $status");
}

/* ... nor to what somebody else is just writing. */
Test (another_user, meets_no_draft_by_an_o_path_descriptor)
{
  need_root ();
  need ("python3");
  assert_bash (
      "cd $MNT; echo whole > k; sleep 1\n"
      "nobody () { setpriv --reuid 1002 --regid 1002 --clear-groups /usr/bin/python3 -c \"$1\"; }\n"
      "chmod 666 k; exec 8< <(nobody 'import os, time\n"
      "path = os.open(\"k\", os.O_PATH)\n"
      "print(flush=True); time.sleep(1)\n"
      "print(open(f\"/proc/self/fd/{path}\").read(), end=\"\", flush=True); time.sleep(1)\n"
      "f = os.open(f\"/proc/self/fd/{path}\", os.O_RDWR)\n"
      "print(os.read(f, 100).decode(), end=\"\", flush=True)')\n"
      "read <&8; exec 9>> k; /bin/echo half >&9; read seen <&8; test \"$seen\" = whole || exit 1\n"
      "test \"$(cat <&8)\" = whole || exit 2\n"
      "test \"$(cd $BACKING && cat k)\" = whole || exit 3\n"
      "exec 9>&-; test \"$(tail -n 1 k)\" = half");
}

/* The kernel goes by the owner that it was told of up to ten seconds ago. */
Test (another_user, deletes_nothing_that_was_its_own_until_just_now)
{
  need_root ();
  need ("python3");
  assert_bash (
      "as () { setpriv --reuid $1 --regid $1 --clear-groups /usr/bin/python3 -c \"$2\"; }\n"
      "cd $MNT/sticky; for how in 'os.unlink(\"z\")' 'os.rename(\"z\", \"y\")' 'os.rename(\"n\", "
      "\"z\")'; do\n"
      "  exec 8< <(as 1002 \"import os, time; open('z', 'w').close(); open('n', 'w').close(); "
      "time.sleep(0.1)\n"
      "os.stat('z'); os.stat('n'); print(flush=True); time.sleep(0.5)\n"
      "try: $how\n"
      "except PermissionError: print('denied')\")\n"
      "  read <&8; chown 1001 $BACKING/sticky/z; read told <&8; test \"$told\" = denied || exit 1\n"
      "  as 1001 \"import os; os.unlink('z')\" && rm n || exit 2; done");
}
