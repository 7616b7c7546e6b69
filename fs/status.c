#include "status.h"

#include <errno.h>
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/xattr.h>

#define STATUS_XATTR "user.ttlfs.status"
#define STATUS_MAX 4096

int
ttl_status_print (const char *mountpoint)
{
  char text[STATUS_MAX];
  ssize_t len = getxattr (mountpoint, STATUS_XATTR, text, sizeof text);
  int err = errno;

  if (len < 0)
    {
      fprintf (stderr, "ttlfs: %s: %s\n", mountpoint,
               err == ENODATA || err == ENOTSUP ? "not the mount point of a ttlfs"
                                                : g_strerror (err));
      return EXIT_FAILURE;
    }
  return fwrite (text, 1, (size_t)len, stdout) == (size_t)len ? EXIT_SUCCESS : EXIT_FAILURE;
}
