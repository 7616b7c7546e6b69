/* Parent and child write one draft. What one of them had half written when it was killed is not
 * published by the other. */
#include "mount.h"

#include <signal.h>

TestSuite (a_killed, .init = mount_setup, .fini = mount_teardown, .timeout = 60);

Test (a_killed, command_of_a_group_leaves_the_old_value)
{
  assert_shells ("echo old > k; { dash -c 'echo half; kill -9 $$'; } > k; test \"$(cat k)\" = old");
  assert_shells ("echo old > k; (/bin/echo whole; dash -c 'echo half; kill -9 $$'; true) > k; "
                 "test \"$(cat k)\" = old");
  assert_shells ("rm -f k; { dash -c 'echo half; kill -9 $$'; } > k; ! test -e k");
  assert_shells ("echo old > k; { dash -c 'echo half; kill -9 $$'; } >> k; "
                 "test \"$(cat k)\" = old");
}

/* What it has put there without write(2) counts as well. */
Test (a_killed, command_that_copies_leaves_the_old_value)
{
  need ("python3");
  assert_bash (
      "head -c 100000 /dev/zero > source\n"
      "die () { /usr/bin/python3 -c \"import os, signal; s = os.open('source', 0); $1; "
      "os.kill(os.getpid(), signal.SIGKILL)\"; }\n"
      "for how in 'os.copy_file_range(s, 1, 1000)' 'os.ftruncate(1, 5)' "
      "'os.posix_fallocate(1, 0, 5)'; do\n"
      "  echo old > k; { die \"$how\"; true; } > k; test \"$(cat k)\" = old || exit; done");
}

static int
write_half_and_die (const void *data)
{
  if (write_all (*(const int *)data, "half") < 0)
    return 1;
  raise (SIGKILL);
  return 2;
}

static int
open_for_a_child_that_dies (const char *path)
{
  int fd = open (path, O_WRONLY | O_CREAT | O_TRUNC, 0666);

  assert_ok (fd);
  cr_assert_eq (in_child (ANY_USER, write_half_and_die, &fd), 128 + SIGKILL);
  return fd;
}

Test (a_killed, child_makes_its_parents_close_fail)
{
  int fd;

  assert_ok (put (at ("k"), "old"));
  fd = open_for_a_child_that_dies (at ("k"));
  assert_errno (close (fd), EIO);
  assert_witnessed (at ("k"), "old");
}

Test (a_killed, child_makes_its_parents_fsync_fail)
{
  int fd;

  assert_ok (put (at ("k"), "old"));
  fd = open_for_a_child_that_dies (at ("k"));
  assert_ok (write_all (fd, "whole"));
  assert_errno (fsync (fd), EIO);
  assert_errno (close (fd), EIO);
  assert_witnessed (at ("k"), "old");
}

Test (a_killed, child_leaves_its_parent_a_new_beginning)
{
  int fd = open_for_a_child_that_dies (at ("k"));

  assert_ok (ftruncate (fd, 0));
  cr_assert_eq (pwrite (fd, "whole", 5, 0), 5);
  assert_ok (close (fd));
  assert_witnessed (at ("k"), "whole");
}

static int
die (const void *data)
{
  (void)data;
  raise (SIGKILL);
  return 2;
}

Test (a_killed, child_that_wrote_nothing_spoils_nothing)
{
  int fd = open (at ("k"), O_WRONLY | O_CREAT, 0666);

  assert_ok (fd);
  assert_ok (write_all (fd, "whole"));
  cr_assert_eq (in_child (ANY_USER, die, NULL), 128 + SIGKILL);
  assert_ok (close (fd));
  assert_witnessed (at ("k"), "whole");
}

typedef struct
{
  const char *path;
  int flags;
  const char *may_go_on; /* the child writes when this file is there */
} Opener;

static int
open_fork_and_die (const void *data)
{
  const Opener *self = data;
  int fd = open (self->path, self->flags, 0666);

  if (fd < 0 || write_all (fd, "half") < 0)
    return 1;
  if (fork () == 0)
    {
      if (!EVENTUALLY (10000, exists (self->may_go_on)))
        _exit (1);
      _exit (write_all (fd, "child") < 0 || close (fd) < 0);
    }
  raise (SIGKILL);
  return 2;
}

/* The opener writes "half" and is killed; then its child writes "child" and closes. */
static void
run_orphaned_child (const char *path, int flags, const char *before, const char *after)
{
  Opener opener = { path, flags, text ("%s/go-on", work_dir ()) };

  cr_assert_eq (in_child (ANY_USER, open_fork_and_die, &opener), 128 + SIGKILL);
  if (before == NULL)
    assert_hidden (path);
  else
    assert_witnessed (path, before);
  assert_ok (put (opener.may_go_on, ""));
  assert_eventually (5000, g_strcmp0 (witness_get (path), after) == 0);
  assert_stays (100, g_strcmp0 (witness_get (path), after) == 0);
}

Test (a_killed, opener_leaves_the_old_value_to_its_child)
{
  assert_ok (put (at ("k"), "the old value"));
  run_orphaned_child (at ("k"), O_WRONLY | O_APPEND, "the old value", "the old valuechild");
}

/* The offset is the description's: it stands behind the half that was dropped. */
Test (a_killed, opener_leaves_its_place_in_the_old_value_to_its_child)
{
  assert_ok (put (at ("k"), "the old value"));
  run_orphaned_child (at ("k"), O_WRONLY, "the old value", "the childalue");
}

Test (a_killed, opener_of_a_new_key_leaves_nothing_to_its_child)
{
  run_orphaned_child (at ("k"), O_WRONLY | O_CREAT | O_APPEND, NULL, "child");
}

Test (a_killed, opener_that_wanted_it_exclusively_leaves_nothing_to_its_child)
{
  run_orphaned_child (at ("k"), O_WRONLY | O_CREAT | O_EXCL | O_APPEND, NULL, "child");
}
