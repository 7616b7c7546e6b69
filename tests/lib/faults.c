/* faults - for LD_PRELOAD: system calls of one process fail as they do on a disk that is broken, full, over quota or remounted
 * read-only, or begin late, so that what others do comes in between. The file named by FAULTS holds one Faults (faults.h),
 * which the test changes while the daemon runs. */
#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/xattr.h>
#include <unistd.h>

/* The declarations that glibc gives under _FILE_OFFSET_BITS=64 rename these. */
#define CALLED(name) __asm__(#name)

static const volatile Faults *
control (void)
{
  static const volatile Faults none;
  static const volatile Faults *mapped;
  const volatile Faults *found = __atomic_load_n (&mapped, __ATOMIC_ACQUIRE);
  const char *path;
  int fd;

  if (found != NULL)
    return found;
  path = getenv ("FAULTS");
  fd = path != NULL ? (int)syscall (SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC) : -1;
  found = fd >= 0 ? mmap (NULL, sizeof *found, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
  if (fd >= 0)
    close (fd);
  if (found == MAP_FAILED)
    found = &none;
  __atomic_store_n (&mapped, found, __ATOMIC_RELEASE);
  return found;
}

static int
fails (int call)
{
  static int n;
  const volatile Faults *faults = control ();

  if (faults->slow & call
      && (faults->slow_one_in == 0
          || __atomic_add_fetch (&n, 1, __ATOMIC_RELAXED) % faults->slow_one_in == 0))
    usleep ((useconds_t)faults->slow_us);
  if (!(faults->calls & call))
    return 0;
  errno = faults->err;
  return 1;
}

int openat (int fd, const char *path, int flags, ...) CALLED (openat64);

int
openat (int fd, const char *path, int flags, ...)
{
  va_list args;
  mode_t mode;

  va_start (args, flags);
  mode = va_arg (args, mode_t);
  va_end (args);
  return fails (FAULT_OPEN) ? -1 : (int)syscall (SYS_openat, fd, path, flags, mode);
}

ssize_t pwrite (int fd, const void *data, size_t size, off_t at) CALLED (pwrite64);

ssize_t
pwrite (int fd, const void *data, size_t size, off_t at)
{
  return fails (FAULT_WRITE) ? -1 : syscall (SYS_pwrite64, fd, data, size, at);
}

int ftruncate (int fd, off_t size) CALLED (ftruncate64);

int
ftruncate (int fd, off_t size)
{
  return fails (FAULT_WRITE) ? -1 : (int)syscall (SYS_ftruncate, fd, size);
}

int fallocate (int fd, int mode, off_t at, off_t size) CALLED (fallocate64);

int
fallocate (int fd, int mode, off_t at, off_t size)
{
  return fails (FAULT_WRITE) ? -1 : (int)syscall (SYS_fallocate, fd, mode, at, size);
}

ssize_t
copy_file_range (int in, off_t *in_at, int out, off_t *out_at, size_t size, unsigned flags)
{
  return fails (FAULT_WRITE) ? -1
                             : syscall (SYS_copy_file_range, in, in_at, out, out_at, size, flags);
}

int
fsync (int fd)
{
  return fails (FAULT_SYNC) ? -1 : (int)syscall (SYS_fsync, fd);
}

int
fdatasync (int fd)
{
  return fails (FAULT_SYNC) ? -1 : (int)syscall (SYS_fdatasync, fd);
}

int
sync_file_range (int fd, off_t at, off_t size, unsigned flags)
{
  return fails (FAULT_SYNC) ? -1 : (int)syscall (SYS_sync_file_range, fd, at, size, flags);
}

int
linkat (int from_fd, const char *from, int to_fd, const char *to, int flags)
{
  return fails (FAULT_NAME) ? -1 : (int)syscall (SYS_linkat, from_fd, from, to_fd, to, flags);
}

int
renameat (int from_fd, const char *from, int to_fd, const char *to)
{
  return fails (FAULT_NAME) ? -1 : (int)syscall (SYS_renameat2, from_fd, from, to_fd, to, 0);
}

int
renameat2 (int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
  return fails (FAULT_NAME) ? -1 : (int)syscall (SYS_renameat2, from_fd, from, to_fd, to, flags);
}

int
utimensat (int fd, const char *path, const struct timespec times[2], int flags)
{
  return fails (FAULT_TIMES) ? -1 : (int)syscall (SYS_utimensat, fd, path, times, flags);
}

int
futimens (int fd, const struct timespec times[2])
{
  return fails (FAULT_TIMES) ? -1 : (int)syscall (SYS_utimensat, fd, NULL, times, 0);
}

int
setxattr (const char *path, const char *name, const void *value, size_t size, int flags)
{
  return fails (FAULT_XATTR) ? -1 : (int)syscall (SYS_setxattr, path, name, value, size, flags);
}

int
fsetxattr (int fd, const char *name, const void *value, size_t size, int flags)
{
  return fails (FAULT_XATTR) ? -1 : (int)syscall (SYS_fsetxattr, fd, name, value, size, flags);
}

int
unlinkat (int fd, const char *path, int flags)
{
  return fails (FAULT_UNLINK) ? -1 : (int)syscall (SYS_unlinkat, fd, path, flags);
}

int
inotify_add_watch (int fd, const char *path, uint32_t mask)
{
  return fails (FAULT_WATCH) ? -1 : (int)syscall (SYS_inotify_add_watch, fd, path, mask);
}
