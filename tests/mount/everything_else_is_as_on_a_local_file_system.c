/* Some thousand calls, topic by topic: what they do may depend on the file system of the backing directory, and is the same. */
#include "matrix.h"

TestSuite (calls, .init = mount_setup, .fini = mount_teardown, .timeout = 600);

FOR_ANYBODY (mkdir)
FOR_ANYBODY (mknod)
FOR_ANYBODY (link)
FOR_ANYBODY (unlink)
FOR_ANYBODY (read_and_write)
FOR_ANYBODY (append)
FOR_ANYBODY (seek)
FOR_ANYBODY (truncate)
FOR_ANYBODY (size_limit)
FOR_ANYBODY (fallocate)
FOR_ANYBODY (copy)
FOR_ANYBODY (map)
FOR_ANYBODY (utimens)
FOR_ANYBODY (times)
FOR_ANYBODY (xattr)
FOR_ANYBODY (stat)
FOR_ANYBODY (listing)
FOR_ANYBODY (inotify)
FOR_ANYBODY (handles)
FOR_ANYBODY (ioctl)

FOR_ROOT (basics)
FOR_ROOT (chmod)
FOR_ROOT (chown)
