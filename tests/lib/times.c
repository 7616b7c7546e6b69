#include "times.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

gint64
now_ns (void)
{
  struct timespec now;

  clock_gettime (CLOCK_REALTIME, &now);
  return now.tv_sec * SECOND + now.tv_nsec;
}

void
sleep_until (gint64 when_ns)
{
  struct timespec when = { .tv_sec = when_ns / SECOND, .tv_nsec = when_ns % SECOND };

  while (clock_nanosleep (CLOCK_REALTIME, TIMER_ABSTIME, &when, NULL) == EINTR)
    continue;
}

void
sleep_ms (gint64 ms)
{
  g_usleep ((gulong)ms * 1000);
}

static int
from_environment (const char *name, int otherwise)
{
  const char *value = g_getenv (name);
  int number = value != NULL ? atoi (value) : 0;

  return number > 0 ? number : otherwise;
}

gint64
tolerance_ns (gint64 ms)
{
  return ms * MS * from_environment ("TTLFS_TEST_SLOW", 1);
}

int
rounds (void)
{
  return from_environment ("TTLFS_TEST_ROUNDS", 2000);
}

static int
compare (const void *a, const void *b)
{
  gint64 left = *(const gint64 *)a, right = *(const gint64 *)b;

  return left < right ? -1 : left > right;
}

gint64
median (gint64 *values, gsize n)
{
  qsort (values, n, sizeof values[0], compare);
  return values[n / 2];
}

gint64
largest (gint64 *values, gsize n)
{
  qsort (values, n, sizeof values[0], compare);
  return values[n - 1];
}
