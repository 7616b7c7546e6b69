/* Programs with user and pid namespaces of their own, as containers have, use the mount like all others. */
#include "mount.h"

#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>

static void
mount_for_containers (void)
{
  if (geteuid () != 0)
    cr_skip ("needs root, to make namespaces");
  mount_setup_with ("ttl=1s");
}

TestSuite (a_container, .init = mount_for_containers, .fini = mount_teardown, .timeout = 60);

static const char everything[]
    = "set -e; echo one > k; test $(cat k) = one; echo two >> k; test $(wc -l < k) = 2; touch k; "
      "mv k l; mkdir b; echo v > b/k; ls | grep -qx l; ls b | grep -qx k; rm l b/k; rmdir b; "
      "(set -C; echo v > x); ! (set -C; echo w > x) 2>/dev/null; test $(cat x) = v; rm x; : > e; "
      "test -e e; test ! -s e; rm e; (echo a; /bin/echo b) > g; test $(wc -l < g) = 2";

static void
assert_everything_works_in (const char *unshare)
{
  const char *script = text ("%s/script", work_dir ());

  assert_ok (set_xattr (at ("."), "user.ttlfs.ttl", "1h")); /* however long a busy machine takes */
  assert_ok (put (script, everything));
  assert_bash (text ("unshare %s bash \"$TMP/script\"", unshare));
  assert_bash ("test $(cat g | tr '\\n' ' ' | tr -d ' ') = ab");
}

Test (a_container, with_a_user_namespace_is_served)
{
  assert_everything_works_in ("--user --map-root-user");
}

Test (a_container, with_a_pid_namespace_is_served)
{
  assert_everything_works_in ("--pid --fork --mount-proc");
}

Test (a_container, with_namespaces_of_all_kinds_is_served)
{
  assert_everything_works_in ("--user --map-root-user --mount --uts --ipc --net --pid --fork "
                              "--mount-proc");
}

/* @body in a process with @namespaces of its own, whose pid outside is returned. */
static pid_t
start_in (int namespaces, int (*body) (void))
{
  pid_t pid = (pid_t)syscall (SYS_clone, namespaces | SIGCHLD, NULL, NULL, NULL, 0);

  if (pid == 0)
    _exit (body ());
  assert_ok (pid);
  return pid;
}

static int
write_half_and_stay (void)
{
  int fd = open (at ("k"), O_WRONLY | O_TRUNC | O_CLOEXEC);

  if (fd < 0 || write_all (fd, "half") < 0 || put (at ("ready"), "") < 0)
    return 1;
  for (;;)
    pause ();
}

static int
hold_and_stay (void)
{
  int fd = open (at ("k"), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);

  if (fd < 0 || write_all (fd, "held") < 0 || fsync (fd) < 0)
    return 1;
  for (;;)
    pause ();
}

static void
end (pid_t pid)
{
  assert_ok (kill (pid, SIGKILL));
  cr_assert_eq (wait_for (pid), 128 + SIGKILL);
}

static void
assert_killed_writer_publishes_nothing (int namespaces)
{
  pid_t pid;

  assert_ok (set_xattr (at ("."), "user.ttlfs.ttl", "1h"));
  assert_ok (put (at ("k"), "old"));
  pid = start_in (namespaces, write_half_and_stay);
  assert_eventually (5000, exists (at ("ready")));
  assert_witnessed (at ("k"), "old");
  end (pid);
  assert_stays (200, g_strcmp0 (get (at ("k")), "old") == 0);
  assert_witnessed (at ("k"), "old");
}

Test (a_container, with_a_user_namespace_that_is_killed_publishes_nothing)
{
  assert_killed_writer_publishes_nothing (CLONE_NEWUSER);
}

Test (a_container, with_a_pid_namespace_that_is_killed_publishes_nothing)
{
  assert_killed_writer_publishes_nothing (CLONE_NEWPID);
}

static void
assert_holds (int namespaces)
{
  pid_t pid = start_in (namespaces, hold_and_stay);

  assert_eventually (5000, exists (at ("k")));
  assert_stays (2500, exists (at ("k")));
  end (pid);
  assert_eventually (2000, !exists (at ("k")));
}

Test (a_container, with_a_user_namespace_holds_a_key) { assert_holds (CLONE_NEWUSER); }

Test (a_container, with_a_pid_namespace_holds_a_key) { assert_holds (CLONE_NEWPID); }
