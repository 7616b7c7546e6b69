/* How late a key is gone after its deadline: for whoever asks (visibility), from the backing directory (reaping), and for
 * whoever watches the mount (event).
 *
 * The keys are put beside the mount, as a FileStore would, and given mtimes that make one deadline follow the other. Three
 * threads watch: two read inotify, one asks for a key from before its deadline until it is gone. */
#include "samples.h"
#include "scale.h"
#include "subject.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MS G_GINT64_CONSTANT (1000000)
#define SECOND G_GINT64_CONSTANT (1000000000)
#define AHEAD_NS (SECOND / 2) /* of the first deadline, beside what setting times may take */
#define GRACE_NS \
  (3 * SECOND / 2)             /* after the last; what is not gone by then is counted as missed */
#define ASK_FIRST_NS (20 * MS) /* before the deadline: the kernel may keep the answer */
#define ASK_AGAIN_NS (2 * MS)  /* before it, and from then on without a pause */
#define ASK_EVERY_NS (40 * MS) /* one key is asked for at a time */

typedef struct
{
  const LatePlan *plan;
  gint64 first_ns; /* deadline of key 0 */
  gint64 end_ns;   /* of watching */
} Late;

typedef struct
{
  const Late *late;
  const char *dir;
  guint32 mask;
  int fd;
  Samples *samples; /* of those that came at the deadline or after it */
  guint early;
  guint overflows;
} Watch;

typedef struct
{
  const Late *late;
  Samples *samples;
  guint asked; /* times */
  guint early; /* keys that were gone before their deadline */
} Asker;

static gint64
wall_ns (void)
{
  struct timespec ts;

  clock_gettime (CLOCK_REALTIME, &ts);
  return (gint64)ts.tv_sec * SECOND + ts.tv_nsec;
}

static struct timespec
timespec_of (gint64 ns)
{
  return (struct timespec){ .tv_sec = ns / SECOND, .tv_nsec = ns % SECOND };
}

static void
sleep_until (gint64 when_ns)
{
  const struct timespec ts = timespec_of (when_ns);

  while (clock_nanosleep (CLOCK_REALTIME, TIMER_ABSTIME, &ts, NULL) == EINTR)
    ;
}

static gint64
deadline_of (const Late *late, guint number)
{
  return late->first_ns + number * (SECOND / late->plan->per_second);
}

/* ---- putting ---- */

static void
put_one (int dir, const char *name)
{
  const int fd = openat (dir, ".tmp_bench", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

  if (fd < 0 || close (fd) < 0 || renameat (dir, ".tmp_bench", dir, name) < 0)
    fail ("putting %s: %s", name, g_strerror (errno));
}

static void
set_deadline (int dir, const char *name, gint64 mtime_ns)
{
  const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, timespec_of (mtime_ns) };

  if (utimensat (dir, name, times, 0) < 0)
    fail ("setting the time of %s: %s", name, g_strerror (errno));
}

/* Puts the keys, and then sets their times, which takes less: how long the one took tells how soon the first can end. */
static void
put_all (Late *late)
{
  const LatePlan *plan = late->plan;
  const int dir = open (plan->raw, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const gint64 began_ns = wall_ns ();
  char name[32];

  if (dir < 0)
    fail ("%s: %s", plan->raw, g_strerror (errno));
  for (guint i = 0; i < plan->count; i++)
    {
      g_snprintf (name, sizeof name, "k%u", i);
      put_one (dir, name);
    }
  late->first_ns = wall_ns () + (wall_ns () - began_ns) + AHEAD_NS;
  late->end_ns = deadline_of (late, plan->count) + GRACE_NS;
  for (guint i = 0; i < plan->count; i++)
    {
      g_snprintf (name, sizeof name, "k%u", i);
      set_deadline (dir, name, deadline_of (late, i) - plan->ttl_ns);
    }
  (void)close (dir);
  if (wall_ns () > late->first_ns || late->first_ns - began_ns > plan->ttl_ns)
    fail ("putting %u keys took too long here", plan->count);
}

/* ---- watching ---- */

static void
take_event (Watch *self, const struct inotify_event *event, gint64 seen_ns)
{
  guint64 number;
  gint64 late_ns;

  if (event->mask & IN_Q_OVERFLOW)
    self->overflows++;
  if (event->len == 0 || event->name[0] != 'k')
    return;
  number = g_ascii_strtoull (event->name + 1, NULL, 10);
  late_ns = seen_ns - deadline_of (self->late, (guint)number);
  if (late_ns < 0)
    self->early++;
  else
    samples_add (self->samples, late_ns);
}

static gpointer
watch (gpointer data)
{
  Watch *self = data;
  struct pollfd readable = { .fd = self->fd, .events = POLLIN };
  char buffer[65536] __attribute__ ((aligned (8)));

  while (wall_ns () < self->late->end_ns
         && samples_count (self->samples) + self->early < self->late->plan->count)
    {
      gint64 seen_ns;
      ssize_t n;

      if (poll (&readable, 1, 100) <= 0)
        continue;
      n = read (self->fd, buffer, sizeof buffer);
      seen_ns = wall_ns ();
      for (ssize_t at = 0; at < n;)
        {
          const struct inotify_event *event = (const void *)(buffer + at);

          take_event (self, event, seen_ns);
          at += (ssize_t)(sizeof *event + event->len);
        }
    }
  return NULL;
}

static void
begin_watch (Watch *self)
{
  self->samples = samples_new ();
  self->fd = inotify_init1 (IN_CLOEXEC | IN_NONBLOCK);
  if (self->fd < 0 || inotify_add_watch (self->fd, self->dir, self->mask) < 0)
    fail ("watching %s: %s", self->dir, g_strerror (errno));
}

/* What counts is when the last answer "it is there" was asked for, and when the first "it is not" was given. */
static void
ask_for (Asker *self, guint number)
{
  const gint64 deadline_ns = deadline_of (self->late, number);
  g_autofree char *path = g_strdup_printf ("%s/k%u", self->late->plan->dir, number);
  gint64 asked_ns, last_ns = 0;
  struct stat st;

  sleep_until (deadline_ns - ASK_FIRST_NS);
  (void)lstat (path, &st);
  sleep_until (deadline_ns - ASK_AGAIN_NS);
  for (asked_ns = wall_ns (); lstat (path, &st) == 0; asked_ns = wall_ns ())
    {
      last_ns = asked_ns;
      self->asked++;
      if (asked_ns > self->late->end_ns)
        break;
    }
  self->early += wall_ns () < deadline_ns;
  samples_add (self->samples, MAX (last_ns - deadline_ns, 0));
}

static gpointer
ask (gpointer data)
{
  Asker *self = data;
  const LatePlan *plan = self->late->plan;
  const guint step = MAX (1, (guint)(ASK_EVERY_NS * plan->per_second / SECOND));

  for (guint i = step; i < plan->count; i += step)
    ask_for (self, i);
  return NULL;
}

/* ---- telling ---- */

static void
write_late (JsonBuilder *json, const char *name, Samples *samples)
{
  json_builder_set_member_name (json, name);
  json_builder_begin_object (json);
  write_count (json, "n", (gint64)samples_count (samples));
  samples_write (samples, json);
  write_number (json, "max_us", (double)samples_quantile (samples, 1) / 1e3);
}

static void
write_watch (JsonBuilder *json, const char *name, const Watch *watch)
{
  const gint64 seen = (gint64)samples_count (watch->samples) + watch->early;

  write_late (json, name, watch->samples);
  write_count (json, "early", watch->early);
  write_count (json, "missed", watch->late->plan->count - seen);
  write_count (json, "overflows", watch->overflows);
  json_builder_end_object (json);
}

static void
print (JsonBuilder *json)
{
  g_autoptr (JsonNode) root = json_builder_get_root (json);
  g_autofree char *text = json_to_string (root, FALSE);

  puts (text);
}

void
scale_late (const LatePlan *plan)
{
  Late late = { .plan = plan };
  Watch reaping = { .late = &late, .dir = plan->raw, .mask = IN_DELETE | IN_MOVED_FROM };
  Watch events = { .late = &late, .dir = plan->dir, .mask = IN_DELETE };
  Asker asker = { .late = &late, .samples = samples_new () };
  g_autoptr (JsonBuilder) json = json_builder_new ();
  GThread *threads[3];

  put_all (&late);
  begin_watch (&reaping);
  begin_watch (&events);
  threads[0] = g_thread_new ("reaping", watch, &reaping);
  threads[1] = g_thread_new ("events", watch, &events);
  threads[2] = g_thread_new ("asker", ask, &asker);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);

  json_builder_begin_object (json);
  write_count (json, "keys", plan->count);
  write_count (json, "per_second", plan->per_second);
  write_late (json, "visibility", asker.samples);
  write_count (json, "asked", asker.asked);
  write_count (json, "early", asker.early);
  json_builder_end_object (json);
  write_watch (json, "reaping", &reaping);
  write_watch (json, "event", &events);
  json_builder_end_object (json);
  print (json);
  samples_free (asker.samples);
  samples_free (reaping.samples);
  samples_free (events.samples);
}
