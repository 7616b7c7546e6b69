/* othertime - for LD_PRELOAD: another time for one process, and if wanted another one for the files that it sees.
 *
 * Nobody may set the clock of a machine that others use, so a daemon under test is told that somebody has. The file named
 * by OTHERTIME holds one OtherTime (othertime.h), which the test changes while the daemon runs. Times that are read are
 * moved, and times that are set are moved back; code that asks the kernel in another way sees nothing of it.
 *
 * A step back makes some times ambiguous: one that is set is taken to be of after the step. */
#include "othertime.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SECOND INT64_C (1000000000)

/* The declarations that glibc gives under _FILE_OFFSET_BITS=64 rename these: what is defined here has both names. */
#define BOTH_NAMES(name) __asm__(#name)

static const volatile OtherTime *
control (void)
{
  static const volatile OtherTime none;
  static const volatile OtherTime *mapped;
  const volatile OtherTime *found = __atomic_load_n (&mapped, __ATOMIC_ACQUIRE);
  const char *path;
  int fd;

  if (found != NULL)
    return found;
  path = getenv ("OTHERTIME");
  fd = path != NULL ? open (path, O_RDONLY | O_CLOEXEC) : -1;
  found = fd >= 0 ? mmap (NULL, sizeof *found, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
  if (fd >= 0)
    close (fd);
  if (found == MAP_FAILED)
    found = &none;
  __atomic_store_n (&mapped, found, __ATOMIC_RELEASE);
  return found;
}

static int64_t
to_ns (int64_t sec, int64_t nsec)
{
  return sec * SECOND + nsec;
}

static struct timespec
to_timespec (int64_t ns)
{
  const int64_t nsec = ((ns % SECOND) + SECOND) % SECOND;

  return (struct timespec){ .tv_sec = (ns - nsec) / SECOND, .tv_nsec = nsec };
}

/* A file's time as the process sees it. */
static int64_t
seen (int64_t ns)
{
  const volatile OtherTime *other = control ();

  return other->what & OTHERTIME_FILES && ns >= other->at_ns ? ns + other->by_ns : ns;
}

static int64_t
unseen (int64_t ns)
{
  const volatile OtherTime *other = control ();

  return other->what & OTHERTIME_FILES && ns >= other->at_ns + other->by_ns ? ns - other->by_ns
                                                                            : ns;
}

int
clock_gettime (clockid_t id, struct timespec *out)
{
  const volatile OtherTime *other = control ();
  const int what = id == CLOCK_REALTIME ? OTHERTIME_WALL : OTHERTIME_MONOTONIC;
  int res = (int)syscall (SYS_clock_gettime, id, out);

  if (res == 0 && other->what & what)
    *out = to_timespec (to_ns (out->tv_sec, out->tv_nsec) + other->by_ns);
  return res;
}

static void
shift (struct timespec *time)
{
  *time = to_timespec (seen (to_ns (time->tv_sec, time->tv_nsec)));
}

static int
stat_at (int fd, const char *path, struct stat *out, int flags)
{
  int res = (int)syscall (SYS_newfstatat, fd, path, out, flags);

  if (res == 0)
    {
      shift (&out->st_atim);
      shift (&out->st_mtim);
      shift (&out->st_ctim);
    }
  return res;
}

int fstatat (int fd, const char *path, struct stat *out, int flags) BOTH_NAMES (fstatat64);

int
fstatat (int fd, const char *path, struct stat *out, int flags)
{
  return stat_at (fd, path, out, flags);
}

int fstat (int fd, struct stat *out) BOTH_NAMES (fstat64);

int
fstat (int fd, struct stat *out)
{
  return stat_at (fd, "", out, AT_EMPTY_PATH);
}

static int
set_times (int fd, const char *path, const struct timespec times[2], int flags)
{
  struct timespec real[2];

  for (int i = 0; times != NULL && i < 2; i++)
    real[i] = times[i].tv_nsec == UTIME_NOW || times[i].tv_nsec == UTIME_OMIT
                  ? times[i]
                  : to_timespec (unseen (to_ns (times[i].tv_sec, times[i].tv_nsec)));
  return (int)syscall (SYS_utimensat, fd, path, times != NULL ? real : NULL, flags);
}

int
utimensat (int fd, const char *path, const struct timespec times[2], int flags)
{
  return set_times (fd, path, times, flags);
}

int
futimens (int fd, const struct timespec times[2])
{
  return set_times (fd, NULL, times, 0);
}
