/* account - World and its small change. */
#include "stress.h"

#include "times.h"

#include <stdarg.h>
#include <string.h>

World *world;
Journal *journals[OWNED];
const char *roots[VIAS];
static guint actor;

Via
owner_via (guint key)
{
  return key % 3 == 2 ? VIA_RAW : key % 3 == 1 ? VIA_B : VIA_A;
}

char *
key_path (Via via, const char *kind, guint number)
{
  return via == VIA_RAW ? g_strdup_printf ("%s/%s%%2D%u%%2Ev", roots[via], kind, number)
                        : g_strdup_printf ("%s/%s-%u.v", roots[via], kind, number);
}

void
did (Deed deed)
{
  __atomic_add_fetch (&world->deeds[deed], 1, __ATOMIC_RELAXED);
}

/* The same complaint is counted as often as it comes and told once. */
static gboolean
is_known (const char *complaint, gint n)
{
  for (gint i = 0; i < MIN (n, COMPLAINTS); i++)
    if (strcmp (world->complaints[i], complaint) == 0)
      return TRUE;
  return FALSE;
}

void
complain (const char *format, ...)
{
  char complaint[sizeof world->complaints[0]];
  va_list args;
  gint number;

  va_start (args, format);
  g_vsnprintf (complaint, sizeof complaint, format, args);
  va_end (args);
  __atomic_add_fetch (&world->violations, 1, __ATOMIC_RELAXED);
  if (is_known (complaint, __atomic_load_n (&world->told, __ATOMIC_ACQUIRE)))
    return;
  number = __atomic_fetch_add (&world->told, 1, __ATOMIC_ACQ_REL);
  if (number < COMPLAINTS)
    memcpy (world->complaints[number], complaint, sizeof complaint);
}

gboolean
stopped (void)
{
  return __atomic_load_n (&world->stop, __ATOMIC_ACQUIRE) != 0;
}

void
actor_is (guint number)
{
  actor = number;
}

/* "a/owned-1.v" of a long path. */
static const char *
last_two (const char *path)
{
  const char *slash = strrchr (path, '/');

  while (slash != NULL && slash > path && slash[-1] != '/')
    slash--;
  return slash != NULL ? slash : path;
}

void
busy (const char *with, const char *path)
{
  g_snprintf (world->busy_with[actor], sizeof world->busy_with[actor], "%s %s", with,
              last_two (path));
  __atomic_store_n (&world->busy_since_ns[actor], now_ns (), __ATOMIC_RELEASE);
}

const char *
doing (void)
{
  return world->busy_with[actor];
}

void
idle (void)
{
  __atomic_store_n (&world->busy_since_ns[actor], 0, __ATOMIC_RELEASE);
}
