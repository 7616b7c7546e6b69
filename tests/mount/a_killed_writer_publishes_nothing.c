/* Where any other file system leaves half a file, a writer that dies of a signal leaves the old
 * value. */
#include "mount.h"

#include <signal.h>
#include <sys/resource.h>

TestSuite (a_killed_writer, .init = mount_setup, .fini = mount_teardown, .timeout = 60);

static int signal_to_die_of;

/* Writes half a value to the key it opens with @flags, and dies. */
static int
write_half_and_die (const char *path, int flags)
{
  struct rlimit no_core = { 0, 0 };
  int fd = open (path, flags, 0666);

  setrlimit (RLIMIT_CORE, &no_core);
  if (fd < 0 || write_all (fd, "half a val") < 0)
    return 1;
  signal (signal_to_die_of, SIG_DFL); /* a sanitizer would catch SIGSEGV and exit */
  raise (signal_to_die_of);
  return 2;
}

static int
write_and_die (const void *path)
{
  return write_half_and_die (path, O_WRONLY | O_CREAT | O_TRUNC);
}

static int
append_and_die (const void *path)
{
  return write_half_and_die (path, O_WRONLY | O_CREAT | O_APPEND);
}

static int
claim_and_die (const void *path)
{
  return write_half_and_die (path, O_WRONLY | O_CREAT | O_EXCL);
}

static void
assert_nothing_published_by (int number)
{
  signal_to_die_of = number;
  cr_assert_eq (in_child (ANY_USER, write_and_die, at ("new")), 128 + number);
  assert_hidden (at ("new"));
  assert_ok (put (at ("old"), "the old value"));
  cr_assert_eq (in_child (ANY_USER, write_and_die, at ("old")), 128 + number);
  assert_witnessed (at ("old"), "the old value");
  sleep_ms (100); /* nor a little later */
  assert_hidden (at ("new"));
  assert_witnessed (at ("old"), "the old value");
}

Test (a_killed_writer, by_sigkill_leaves_the_old_value) { assert_nothing_published_by (SIGKILL); }

Test (a_killed_writer, by_sigint_leaves_the_old_value) { assert_nothing_published_by (SIGINT); }

Test (a_killed_writer, by_sigterm_leaves_the_old_value) { assert_nothing_published_by (SIGTERM); }

Test (a_killed_writer, by_sighup_leaves_the_old_value) { assert_nothing_published_by (SIGHUP); }

Test (a_killed_writer, by_sigsegv_leaves_the_old_value) { assert_nothing_published_by (SIGSEGV); }

Test (a_killed_writer, by_sigabrt_leaves_the_old_value) { assert_nothing_published_by (SIGABRT); }

/* cat writes and keeps the descriptor, with nothing to close before it is killed. (A shell's "echo
 * >&5" would close a duplicate after writing, which publishes.) */
Test (a_killed_writer, by_another_process_leaves_the_old_value)
{
  pid_t pid;
  int input;

  assert_ok (put (at ("k"), "old"));
  assert_bash ("mkfifo $TMP/input");
  pid = spawn_bash ("exec cat $TMP/input > k");
  input = open (text ("%s/input", work_dir ()), O_WRONLY | O_CLOEXEC);
  assert_ok (input);
  assert_ok (write_all (input, "half"));
  sleep_ms (200);
  assert_witnessed (at ("k"), "old");
  assert_ok (kill (pid, SIGKILL));
  cr_assert_eq (wait_for (pid), 128 + SIGKILL);
  assert_ok (close (input));
  assert_witnessed (at ("k"), "old");
}

/* bash opens in the child that becomes the command. (dash opens in the shell, which lives on and
 * closes: that publishes.) */
Test (a_killed_writer, of_a_shells_redirection_leaves_the_old_value)
{
  assert_bash ("echo old > k; dash -c 'echo half; kill -9 $$' > k; test \"$(cat k)\" = old");
  assert_bash ("rm -f k; dash -c 'echo half; kill -INT $$' > k; ! test -e k");
  assert_bash ("echo old > k; (/bin/echo half; kill -9 $BASHPID) > k; test \"$(cat k)\" = old");
}

Test (a_killed_writer, of_a_truncating_open_alone_leaves_the_old_value)
{
  pid_t pid;

  assert_ok (put (at ("k"), "old"));
  pid = spawn_bash ("exec 5> k; touch $TMP/ready; exec sleep 60");
  assert_eventually (5000, exists (text ("%s/ready", work_dir ())));
  assert_ok (kill (pid, SIGKILL));
  wait_for (pid);
  assert_witnessed (at ("k"), "old");
}

Test (a_killed_writer, of_an_append_leaves_the_old_value)
{
  signal_to_die_of = SIGKILL;
  assert_ok (put (at ("k"), "old"));
  cr_assert_eq (in_child (ANY_USER, append_and_die, at ("k")), 128 + SIGKILL);
  assert_witnessed (at ("k"), "old");
}

Test (a_killed_writer, gives_the_name_free_again)
{
  signal_to_die_of = SIGKILL;
  cr_assert_eq (in_child (ANY_USER, claim_and_die, at ("lock")), 128 + SIGKILL);
  assert_hidden (at ("lock"));
  assert_eventually (2000, put_with (at ("lock"), O_CREAT | O_EXCL, "next") == 0);
  assert_witnessed (at ("lock"), "next");
}

Test (a_killed_writer, leaves_no_scratch_behind_at_once)
{
  signal_to_die_of = SIGKILL;
  for (int i = 0; i < 20; i++)
    in_child (ANY_USER, write_and_die, at (text ("k%d", i)));
  cr_assert (EVENTUALLY (2000, count_files (backing_dir ()) == 0), "%u files are left",
             count_files (backing_dir ()));
}
