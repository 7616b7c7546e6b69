/* Some thousand calls, topic by topic, each made in a directory beside the backing directory, on the same file system, and in
 * a bucket: results, errors, modes, owners, sizes, links and times are the same, but for what fs/README.md lists. See
 * ../matrix. */
#include "mount.h"

TestSuite (calls, .init = mount_setup, .fini = mount_teardown, .timeout = 600);

static void
assert_as_on_a_local_file_system (const char *topic)
{
  const char *reference = text ("%s.reference", backing_dir ());
  Output output;

  need ("python3");
  output = run ("python3", g_getenv ("TTLFS_MATRIX"), topic, reference, at ("b"), NULL);
  if (exists (reference))
    (void)run ("rm", "-rf", reference, NULL);
  cr_assert_eq (output.status, 0, "%s%s", output.out, output.err);
}

/* A program that is not root's is refused alike in both, and root's tells more. */
#define FOR_ANYBODY(topic) \
  Test (calls, about_##topic) { assert_as_on_a_local_file_system (#topic); }
#define FOR_ROOT(topic) \
  Test (calls, about_##topic) \
  { \
    need_root (); \
    assert_as_on_a_local_file_system (#topic); \
  }

FOR_ANYBODY (open)
FOR_ANYBODY (mkdir)
FOR_ANYBODY (mknod)
FOR_ANYBODY (link)
FOR_ANYBODY (unlink)
FOR_ANYBODY (rename)
FOR_ANYBODY (rename_more)
FOR_ANYBODY (read_and_write)
FOR_ANYBODY (append)
FOR_ANYBODY (seek)
FOR_ANYBODY (truncate)
FOR_ANYBODY (size_limit)
FOR_ANYBODY (fallocate)
FOR_ANYBODY (copy)
FOR_ANYBODY (map)
FOR_ANYBODY (lock)
FOR_ANYBODY (lock_waits)
FOR_ANYBODY (lease)
FOR_ANYBODY (run)
FOR_ANYBODY (utimens)
FOR_ANYBODY (times)
FOR_ANYBODY (xattr)
FOR_ANYBODY (stat)
FOR_ANYBODY (listing)
FOR_ANYBODY (inotify)
FOR_ANYBODY (openat2)
FOR_ANYBODY (reopen)
FOR_ANYBODY (handles)
FOR_ANYBODY (ioctl)

FOR_ROOT (basics)
FOR_ROOT (access)
FOR_ROOT (chmod)
FOR_ROOT (chown)
FOR_ROOT (modes)
FOR_ROOT (sticky)
FOR_ROOT (setgid)
FOR_ROOT (setuid)
FOR_ROOT (umask)
FOR_ROOT (search)
FOR_ROOT (descriptors)
