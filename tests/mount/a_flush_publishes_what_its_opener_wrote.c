/* Closing one of several descriptors publishes when the opener does it, and when there is something
 * to publish: shells close a duplicate before they write, and children close what they
 * inherited. */
#include "mount.h"

#include <pthread.h>

TestSuite (a_flush, .init = mount_setup, .fini = mount_teardown, .timeout = 60);

Test (a_flush, before_any_data_publishes_nothing)
{
  int fd = open (at ("k"), O_WRONLY | O_CREAT | O_TRUNC, 0666);

  assert_ok (fd);
  assert_ok (close (dup (fd)));
  assert_hidden (at ("k"));
  assert_ok (write_all (fd, "value"));
  assert_hidden (at ("k"));
  assert_ok (close (fd));
  assert_witnessed (at ("k"), "value");
}

Test (a_flush, before_any_data_leaves_the_old_value)
{
  int fd;

  assert_ok (put (at ("k"), "old"));
  fd = open (at ("k"), O_WRONLY | O_TRUNC);
  assert_ok (fd);
  assert_ok (close (dup (fd)));
  assert_witnessed (at ("k"), "old");
  assert_ok (write_all (fd, "new"));
  assert_witnessed (at ("k"), "old");
  assert_ok (close (fd));
  assert_witnessed (at ("k"), "new");
}

Test (a_flush, after_data_publishes_it_synchronously)
{
  int fd = open (at ("k"), O_WRONLY | O_CREAT, 0666);

  assert_ok (fd);
  assert_ok (write_all (fd, "one"));
  assert_ok (close (dup (fd)));
  assert_witnessed (at ("k"), "one");
  assert_ok (write_all (fd, " two"));
  assert_witnessed (at ("k"), "one");
  assert_ok (close (dup (fd)));
  assert_witnessed (at ("k"), "one two");
  assert_ok (close (fd));
  assert_witnessed (at ("k"), "one two");
}

Test (a_flush, after_truncation_publishes_it)
{
  int fd;

  assert_ok (put (at ("k"), "old"));
  fd = open (at ("k"), O_WRONLY);
  assert_ok (fd);
  assert_ok (ftruncate (fd, 0));
  assert_ok (close (dup (fd)));
  assert_witnessed (at ("k"), "");
  assert_ok (close (fd));
}

static int
do_nothing (const void *data)
{
  (void)data;
  return 0; /* exiting closes what was inherited */
}

Test (a_flush, by_a_child_that_exits_publishes_nothing)
{
  int fd = open (at ("k"), O_WRONLY | O_CREAT, 0666);

  assert_ok (fd);
  assert_ok (write_all (fd, "half"));
  cr_assert_eq (in_child (ANY_USER, do_nothing, NULL), 0);
  assert_hidden (at ("k"));
  assert_ok (write_all (fd, " and half"));
  assert_ok (close (fd));
  assert_witnessed (at ("k"), "half and half");
}

static int
close_it (const void *data)
{
  return close (*(const int *)data);
}

Test (a_flush, by_a_child_that_closes_publishes_nothing)
{
  int fd;

  assert_ok (put (at ("k"), "old"));
  fd = open (at ("k"), O_WRONLY | O_TRUNC);
  assert_ok (fd);
  assert_ok (write_all (fd, "new"));
  cr_assert_eq (in_child (ANY_USER, close_it, &fd), 0);
  assert_witnessed (at ("k"), "old");
  assert_ok (close (fd));
  assert_witnessed (at ("k"), "new");
}

static int
write_more (const void *data)
{
  return write_all (*(const int *)data, "child ") < 0;
}

Test (a_flush, by_a_child_that_wrote_publishes_nothing)
{
  int fd = open (at ("k"), O_WRONLY | O_CREAT, 0666);

  assert_ok (fd);
  cr_assert_eq (in_child (ANY_USER, write_more, &fd), 0);
  assert_hidden (at ("k"));
  cr_assert_eq (in_child (ANY_USER, write_more, &fd), 0);
  assert_hidden (at ("k"));
  assert_ok (write_all (fd, "parent"));
  assert_ok (close (fd));
  assert_witnessed (at ("k"), "child child parent");
}

Test (a_flush, between_two_commands_of_a_group_publishes_no_half)
{
  pid_t pid
      = spawn_bash ("(/bin/echo a; touch $TMP/half; while test -e $TMP/half; do sleep 0.01; done; "
                    "/bin/echo b) > k");

  assert_eventually (5000, exists (text ("%s/half", work_dir ())));
  assert_hidden (at ("k"));
  assert_ok (unlink (text ("%s/half", work_dir ())));
  cr_assert_eq (wait_for (pid), 0);
  assert_witnessed (at ("k"), "a\nb\n");
}

Test (a_flush, of_a_reader_changes_nothing)
{
  gint64 mtime;

  assert_ok (put (at ("k"), "value"));
  mtime = mtime_ns (at ("k"));
  for (int i = 0; i < 3; i++)
    assert_value (at ("k"), "value");
  cr_assert_eq (mtime_ns (at ("k")), mtime);
}

static void *
open_k (void *fd_out)
{
  *(int *)fd_out = open (at ("k"), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
  return NULL;
}

/* Of a pool, say. Its process goes on with what it has opened, and a child that lets go of it at its exec is still a child. */
Test (a_flush, by_a_child_publishes_nothing_when_the_thread_that_opened_it_has_ended)
{
  pthread_t thread;
  int fd;

  cr_assert_eq (pthread_create (&thread, NULL, open_k, &fd), 0);
  pthread_join (thread, NULL);
  assert_ok (fd);
  assert_ok (write_all (fd, "half"));
  assert_ok (run ("true", NULL).status);
  assert_hidden (at ("k"));
  cr_expect (exists (at ("k")), "the process does not see its own draft");
  assert_ok (write_all (fd, " and half"));
  assert_ok (close (fd));
  assert_witnessed (at ("k"), "half and half");
}

/* It is known by the number by which the kernel knows its inode, which is that of a version before. */
Test (a_flush, by_a_child_keeps_nobody_waiting_while_its_parent_has_it_open)
{
  need ("timeout");
  assert_shells (
      "exec 9>k; echo a >&9; echo b >&9; (echo c >&9); timeout 2 cat k || exit 1; exec 9>&-; "
      "exec 9>k; echo a >&9; echo b >&9; (echo c >&9); timeout 2 cat k || exit 2");
}
