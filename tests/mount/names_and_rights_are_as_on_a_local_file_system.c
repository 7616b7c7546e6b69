/* The calls whose answers are the kernel's and the daemon's: who may do what, what opens, what is renamed to what, what locks. */
#include "matrix.h"

TestSuite (calls, .init = mount_setup, .fini = mount_teardown, .timeout = 600);

FOR_ANYBODY (open)
FOR_ANYBODY (rename)
FOR_ANYBODY (rename_more)
FOR_ANYBODY (lock)
FOR_ANYBODY (lock_waits)
FOR_ANYBODY (lease)
FOR_ANYBODY (run)
FOR_ANYBODY (openat2)
FOR_ANYBODY (reopen)

FOR_ROOT (access)
FOR_ROOT (modes)
FOR_ROOT (sticky)
FOR_ROOT (setgid)
FOR_ROOT (setuid)
FOR_ROOT (umask)
FOR_ROOT (search)
FOR_ROOT (descriptors)
