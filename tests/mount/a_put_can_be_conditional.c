/* Compare and replace: a put that only replaces the version that its writer has read. */
#include "cleanup.h"
#include "mount.h"

#include <stdlib.h>

#include <sys/xattr.h>

#define REVISION "user.ttlfs.revision"
#define IF_MATCH "user.ttlfs.if-match"

TestSuite (a_conditional_put, .init = mount_setup, .fini = mount_teardown, .timeout = 120);

static const char *
revision_of (const char *path)
{
  char value[64];
  ssize_t len = getxattr (path, REVISION, value, sizeof value);

  cr_assert (len > 0, "%s: %s", path, g_strerror (errno));
  return text ("%.*s", (int)len, value);
}

/* Opens the key to replace its whole value if it still is @revision. */
static int
open_if (const char *path, const char *revision, const char *value)
{
  int fd = open (path, O_RDWR | O_TRUNC | O_CLOEXEC);

  assert_ok (fd);
  assert_ok (fsetxattr (fd, IF_MATCH, revision, strlen (revision), 0));
  assert_ok (write_all (fd, value));
  return fd;
}

Test (a_conditional_put, replaces_what_its_writer_has_read)
{
  const char *old;

  assert_ok (put (at ("k"), "old"));
  old = revision_of (at ("k"));
  assert_ok (close (open_if (at ("k"), old, "new")));
  assert_value (at ("k"), "new");
  cr_assert_str_neq (revision_of (at ("k")), old);
}

Test (a_conditional_put, does_not_replace_anything_else)
{
  const char *old;
  int fd;

  assert_ok (put (at ("k"), "old"));
  old = revision_of (at ("k"));
  fd = open_if (at ("k"), old, "mine");
  assert_ok (put (at ("k"), "theirs"));
  assert_errno (close (fd), ESTALE);
  assert_value (at ("k"), "theirs");
  cr_assert_eq (count_listed (at (".")), 1);
}

Test (a_conditional_put, does_not_replace_what_a_peer_has_put)
{
  const char *old;
  int fd;

  assert_ok (put (at ("k"), "old"));
  old = revision_of (at ("k"));
  fd = open_if (at ("k"), old, "mine");
  assert_ok (put (raw (".tmp_p"), "theirs"));
  assert_ok (rename (raw (".tmp_p"), raw ("k")));
  assert_errno (fsync (fd), ESTALE);
  assert_ok (close (fd));
  assert_value (at ("k"), "theirs");
}

Test (a_conditional_put, never_creates)
{
  const char *old;
  int fd;

  assert_ok (put (at ("k"), "old"));
  old = revision_of (at ("k"));
  fd = open_if (at ("k"), old, "mine");
  assert_ok (unlink (at ("k")));
  /* The writer's own unlink would drop its draft. */
  assert_ok (close (fd));
  assert_absent (at ("k"));

  assert_ok (put (at ("k"), "old"));
  fd = open_if (at ("k"), revision_of (at ("k")), "mine");
  assert_ok (unlink (raw ("k")));
  assert_errno (close (fd), ESTALE);
  assert_absent (at ("k"));
}

Test (a_conditional_put, never_follows_a_lease_that_has_ended)
{
  int fd;

  assert_ok (set_xattr (at ("."), "user.ttlfs.ttl", "200ms"));
  assert_ok (put (at ("k"), "old"));
  fd = open_if (at ("k"), revision_of (at ("k")), "mine");
  assert_eventually (2000, !exists (raw ("k"))); /* by its path the writer sees its own draft */
  assert_errno (close (fd), ESTALE);
  assert_absent (at ("k"));
}

Test (a_conditional_put, is_renewal_proof)
{
  const char *old;

  assert_ok (put (at ("k"), "old"));
  old = revision_of (at ("k"));
  assert_ok (utimensat (AT_FDCWD, at ("k"), NULL, 0));
  assert_ok (chmod (at ("k"), 0600));
  if (backing_has_xattrs ())
    assert_ok (set_xattr (at ("k"), "user.note", "x"));
  cr_assert_str_eq (revision_of (at ("k")), old);
  assert_ok (close (open_if (at ("k"), old, "new")));
  assert_value (at ("k"), "new");
}

Test (a_conditional_put, tells_a_key_that_went_and_came_back)
{
  const char *old;
  int fd;

  if (!backing_has_xattrs ())
    return; /* nothing can be noted of the move there: fs/README.md */
  assert_ok (put (at ("k"), "old"));
  old = revision_of (at ("k"));
  fd = open_if (at ("k"), old, "mine");
  assert_bash ("mv k away; echo other >k; mv away k");
  assert_errno (close (fd), ESTALE);
  assert_value (at ("k"), "old");
}

Test (a_conditional_put, is_for_once)
{
  int fd;

  assert_ok (put (at ("k"), "0"));
  fd = open_if (at ("k"), revision_of (at ("k")), "1");
  assert_ok (fsync (fd));
  assert_errno (getxattr (at ("k"), IF_MATCH, NULL, 0), ENODATA);
  assert_ok (put (at ("k"), "2"));
  assert_ok (pwrite (fd, "3", 1, 0));
  assert_ok (close (fd));
  assert_value (at ("k"), "3");
}

Test (a_conditional_put, works_from_a_shell)
{
  need ("setfattr");
  assert_shells ("echo old >k; r=$(getfattr --only-values -n user.ttlfs.revision k);"
                 "exec 3>k; setfattr -n user.ttlfs.if-match -v \"$r\" k && echo new >&3; exec 3>&-;"
                 "test \"$(cat k)\" = new");
  assert_shells ("echo old >k; r=$(getfattr --only-values -n user.ttlfs.revision k);"
                 "exec 3>k; setfattr -n user.ttlfs.if-match -v \"$r\" /dev/fd/3 && echo new >&3;"
                 "sh -c 'echo theirs >k' 3>&-; exec 3>&-;"
                 "test \"$(cat k)\" = theirs");
}

Test (a_conditional_put, explains_what_cannot_be)
{
  int fd;

  assert_ok (put (at ("k"), "v"));
  assert_errno (set_xattr (at ("k"), IF_MATCH, revision_of (at ("k"))), EBADF);
  assert_errno (set_xattr (at ("k"), REVISION, revision_of (at ("k"))), EPERM);
  assert_errno (set_xattr (at ("."), IF_MATCH, revision_of (at ("k"))), EBADF);
  assert_errno (getxattr (at ("."), REVISION, NULL, 0), ENODATA);
  fd = open (at ("k"), O_RDWR);
  assert_errno (fsetxattr (fd, IF_MATCH, "1", 1, 0), EINVAL);
  assert_errno (fremovexattr (fd, IF_MATCH), ENODATA);
  assert_ok (fsetxattr (fd, IF_MATCH, revision_of (at ("k")), 32, 0));
  assert_errno (fsetxattr (fd, IF_MATCH, revision_of (at ("k")), 32, XATTR_CREATE), EEXIST);
  assert_ok (fremovexattr (fd, IF_MATCH));
  assert_errno (fsetxattr (fd, IF_MATCH, revision_of (at ("k")), 32, XATTR_REPLACE), ENODATA);
  assert_ok (close (fd));
  assert_value (at ("k"), "v");
}

Test (a_conditional_put, agrees_between_mounts_and_over_restarts)
{
  const char *revision;

  assert_ok (put (at ("k"), "v"));
  revision = revision_of (at ("k"));
  mount_start ("ttl=1h");
  cr_assert_str_eq (revision_of (at2 ("k")), revision);
  mount_stop (mount_number (1));
  mount_start ("ttl=1h");
  cr_assert_str_eq (revision_of (at ("k")), revision);
}

typedef struct
{
  const char *path;
  int times;
} Counter;

/* Adds one, again and again, each time until it is the one who does. */
static int
count_up (const void *data)
{
  const Counter *counter = data;

  for (int i = 0; i < counter->times;)
    {
      char revision[64], number[16] = "";
      ttl_autofd fd = open (counter->path, O_RDWR | O_CLOEXEC);
      ssize_t len = fgetxattr (fd, REVISION, revision, sizeof revision);

      if (fd < 0 || len < 0 || read (fd, number, sizeof number - 1) < 0
          || fsetxattr (fd, IF_MATCH, revision, (gsize)len, 0) < 0)
        return 1;
      g_snprintf (number, sizeof number, "%d", atoi (number) + 1);
      if (ftruncate (fd, 0) < 0 || pwrite (fd, number, strlen (number), 0) < 0)
        return 2;
      if (close (ttl_steal_fd (&fd)) == 0)
        i++;
      else if (errno != ESTALE)
        return 3;
    }
  return 0;
}

Test (a_conditional_put, makes_a_counter_of_several_writers_in_two_mounts)
{
  const int times = MAX (rounds () / 20, 10);
  pid_t pids[4];

  mount_start ("ttl=1h");
  assert_ok (put (at ("k"), "0"));
  for (int i = 0; i < 4; i++)
    {
      const Counter counter = { i % 2 ? at2 ("k") : at ("k"), times };
      pids[i] = start_child (ANY_USER, count_up, &counter);
    }
  for (int i = 0; i < 4; i++)
    cr_expect_eq (wait_for (pids[i]), 0);
  assert_value (at ("k"), text ("%d", 4 * times));
  cr_assert_eq (count_listed (at (".")), 1);
}
