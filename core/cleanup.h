/* cleanup - locals that own what they hold: a descriptor or a lock is given back on every way out.
 * (GLib's own g_autofd and G_MUTEX_AUTO_LOCK are newer than the GLib we build on.) */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

static inline void
ttl_clear_fd (int *fd)
{
  int saved = errno;

  if (*fd >= 0)
    (void)close (*fd);
  *fd = -1;
  errno = saved;
}

static inline int
ttl_steal_fd (int *fd)
{
  int stolen = *fd;

  *fd = -1;
  return stolen;
}

#define ttl_autofd __attribute__ ((cleanup (ttl_clear_fd))) int

static inline pthread_mutex_t *
ttl_guard_lock (pthread_mutex_t *mutex)
{
  pthread_mutex_lock (mutex);
  return mutex;
}

static inline void
ttl_guard_unlock (pthread_mutex_t **mutex)
{
  pthread_mutex_unlock (*mutex);
}

/* Waits for @cond, which may be made with any clock, for no longer than that. As pthread_cond_timedwait(). */
static inline int
ttl_cond_wait_us (pthread_cond_t *cond, pthread_mutex_t *mutex, gint64 us)
{
  const gint64 until_us = g_get_monotonic_time () + us;
  const struct timespec until = { until_us / G_USEC_PER_SEC, until_us % G_USEC_PER_SEC * 1000 };

  return pthread_cond_clockwait (cond, mutex, CLOCK_MONOTONIC, &until);
}

/* Holds @mutex from here to the end of the enclosing block. */
#define TTL_LOCKED(mutex) \
  __attribute__ ((cleanup (ttl_guard_unlock), unused)) pthread_mutex_t *G_PASTE (ttl_guard_, \
                                                                                 __LINE__) \
      = ttl_guard_lock (mutex)

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DIR, closedir)

/* The directory @name in @dir_fd, "." for that itself, to be read from its beginning; not by way of a symlink. NULL with errno. */
static inline DIR *
ttl_opendir_at (int dir_fd, const char *name)
{
  ttl_autofd fd = openat (dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  DIR *dir = fd < 0 ? NULL : fdopendir (fd);

  if (dir != NULL)
    (void)ttl_steal_fd (&fd); /* it is the stream's */
  return dir;
}
