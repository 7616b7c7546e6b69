#include "uring.h"

#include "fs.h"

#include "cleanup.h"

#include <linux/io_uring.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>

#define SWITCH "/sys/module/fuse/parameters/enable_uring"
#define POSSIBLE_CPUS "/sys/devices/system/cpu/possible"
#define DEPTH_OF_ALL 1024
#define DEPTH_MIN 32

guint
ttl_uring_depth (void)
{
  return (guint)CLAMP (DEPTH_OF_ALL / get_nprocs_conf (), DEPTH_MIN, DEPTH_OF_ALL / 2);
}

#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 18)

/* Whether replies from other threads than the queue's own arrive: see uring-submit.h. */
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 19) || defined TTLFS_URING_MENDED
#define REPLIES_ARRIVE TRUE
#else
#define REPLIES_ARRIVE FALSE
#endif

/* Whether io_uring as such is allowed: a container or an administrator may forbid it. */
static int
probe (void)
{
  struct io_uring_params params = { .flags = IORING_SETUP_SQE128 };
  ttl_autofd fd = (int)syscall (__NR_io_uring_setup, 2, &params);

  return fd < 0 ? -errno : 0;
}

/* libfuse makes a queue for each CPU that is configured, the kernel waits for one for each that is possible. */
static gboolean
cpus_may_be_added (void)
{
  g_autofree char *possible = NULL;
  const char *last;

  if (!g_file_get_contents (POSSIBLE_CPUS, &possible, NULL, NULL))
    return FALSE;
  last = strrchr (possible, '-');
  return last != NULL && g_ascii_strtoll (last + 1, NULL, 10) + 1 != get_nprocs_conf ();
}

char *
ttl_uring_obstacle (void)
{
  g_autofree char *enabled = NULL;
  int res;

  if (!g_file_get_contents (SWITCH, &enabled, NULL, NULL))
    return g_strdup ("this kernel's FUSE does not have it (Linux 6.14 does)");
  if (enabled[0] != 'Y')
    return g_strdup ("it is off in this kernel; root turns it on: echo Y > " SWITCH);
  if (!REPLIES_ARRIVE)
    return g_strdup (
        "this libfuse loses replies; build with -Dlibfuse=subproject, whose are mended");
  res = probe ();
  if (res < 0)
    return g_strdup_printf (
        "io_uring is not allowed here: %s (see sysctl kernel.io_uring_disabled; "
        "in a container, its seccomp profile)",
        g_strerror (-res));
  if (cpus_may_be_added ())
    return g_strdup (
        "this machine can be given more CPUs than it has, and libfuse cannot serve those");
  return NULL;
}

#else

char *
ttl_uring_obstacle (void)
{
  return g_strdup ("it takes libfuse 3.18, and this ttlfs is built with " G_STRINGIFY (
      FUSE_MAJOR_VERSION) "." G_STRINGIFY (FUSE_MINOR_VERSION) " (see "
                                                               "mount-helpers/fetch-libfuse)");
}

#endif
