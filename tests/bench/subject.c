#include "subject.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SETTLE_LOOK_US 20000
#define SETTLE_LOOKS 100
#define AT_REST_NS 1000000 /* of CPU between two looks: what housekeeping may take */

static char *fail_place;
static gsize fail_size;

void
fail_into (char *place, gsize size)
{
  fail_place = place;
  fail_size = size;
}

void
fail (const char *format, ...)
{
  g_autofree char *message = NULL;
  va_list args;

  va_start (args, format);
  message = g_strdup_vprintf (format, args);
  va_end (args);
  fprintf (stderr, "bench: %s\n", message);
  if (fail_place != NULL)
    g_strlcpy (fail_place, message, fail_size);
  _exit (1);
}

gint64
monotonic_ns (void)
{
  struct timespec ts;

  clock_gettime (CLOCK_MONOTONIC, &ts);
  return (gint64)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

const char *
some_value (gsize size)
{
  static char *value;
  static gsize have;

  if (have < size + 1)
    {
      value = g_realloc (value, size + 1);
      for (gsize i = 0; i < size; i++)
        value[i] = (char)('a' + i % 26);
      have = size + 1;
    }
  return value;
}

const char *
subject_parameter (char **parameters, const char *name)
{
  const gsize len = strlen (name);

  for (; *parameters != NULL; parameters++)
    if (strncmp (*parameters, name, len) == 0 && (*parameters)[len] == '=')
      return *parameters + len + 1;
  return NULL;
}

static guint
number (char **parameters, const char *name, guint otherwise)
{
  const char *text = subject_parameter (parameters, name);

  return text != NULL ? (guint)strtoul (text, NULL, 10) : otherwise;
}

static pid_t *
pids (char **parameters)
{
  g_autoptr (GArray) found = g_array_new (TRUE, TRUE, sizeof (pid_t));

  for (; *parameters != NULL; parameters++)
    if (g_str_has_prefix (*parameters, "pid="))
      {
        const pid_t pid = (pid_t)strtol (*parameters + 4, NULL, 10);

        g_array_append_val (found, pid);
      }
  return (pid_t *)(gpointer)g_array_free (g_steal_pointer (&found), FALSE);
}

static Subject *
new_of_kind (const char *kind, char **parameters)
{
  if (g_str_equal (kind, "mount") || g_str_equal (kind, "directory")
      || g_str_equal (kind, "nullfs"))
    return subject_files_new (kind, parameters);
#ifdef BENCH_HAS_REDIS
  if (g_str_equal (kind, "redis"))
    return subject_redis_new (parameters);
#endif
#ifdef BENCH_HAS_ETCD
  if (g_str_equal (kind, "etcd"))
    return subject_etcd_new (parameters);
#endif
  fail ("%s: this program was built without that kind of subject", kind);
}

Subject *
subject_new (const char *description)
{
  g_auto (GStrv) parameters = g_strsplit (description, ",", -1);
  const char *kind = parameters[0];
  Subject *self;

  if (kind == NULL || parameters[1] == NULL)
    fail ("%s: a subject is KIND,NAME,...", description);
  self = new_of_kind (kind, parameters);
  self->name = g_strdup (parameters[1]);
  self->pids = pids (parameters);
  self->list = number (parameters, "list", 10000);
  self->cat = number (parameters, "cat", 1000);
  return self;
}

void
subject_free (Subject *self)
{
  g_free (self->name);
  g_free (self->pids);
  self->class->free (self);
}

/* ---- coming to rest ---- */

/* CPU time of a process and all its threads, or 0 when it is gone. */
static gint64
cpu_ns (pid_t pid)
{
  g_autofree char *tasks = g_strdup_printf ("/proc/%d/task", (int)pid);
  g_autoptr (GDir) dir = g_dir_open (tasks, 0, NULL);
  const char *task;
  gint64 sum = 0;

  while (dir != NULL && (task = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_strdup_printf ("%s/%s/schedstat", tasks, task);
      g_autofree char *text = NULL;

      if (g_file_get_contents (path, &text, NULL, NULL))
        sum += g_ascii_strtoll (text, NULL, 10);
    }
  return sum;
}

static gint64
cpu_of_all_ns (const Subject *self)
{
  gint64 sum = 0;

  for (const pid_t *pid = self->pids; *pid != 0; pid++)
    sum += cpu_ns (*pid);
  return sum;
}

void
subject_settle (const Subject *self)
{
  gint64 before = cpu_of_all_ns (self);

  if (*self->pids == 0)
    return;
  for (guint look = 0; look < SETTLE_LOOKS; look++)
    {
      gint64 after;

      g_usleep (SETTLE_LOOK_US);
      after = cpu_of_all_ns (self);
      if (after - before < AT_REST_NS)
        return;
      before = after;
    }
}
