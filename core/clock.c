#define G_LOG_DOMAIN "ttlfs"
#include "clock.h"

#include "cleanup.h"

#include <string.h>
#include <time.h>

#define GAP_NS \
  (2 \
   * TTL_NS_PER_S) /* longer without a reading, when threads read it every second: we did not run */
#define TOGETHER_NS \
  (1 * TTL_NS_PER_MS) /* two readings are of one moment when a third is this near */
#define READ_TRIES 16
#define DOUBTS 5 /* after a jump the reference is asked so often again: it may be late to follow */
#define DOUBT_NS (100 * TTL_NS_PER_MS)
#define STEPS_MAX 32

typedef struct
{
  gint64 wall_ns;
  gint64 monotonic_ns;
} Reading;

typedef struct
{
  gint64 before_ns; /* by the old time line, when it was found */
  gint64 by_ns;
} Step;

struct TtlClock
{
  gboolean manual; /* set in new(), constant after */
  TtlClockReference reference;
  gpointer reference_data;
  gint64 trust_ns;
  /* Of a manual clock only. Atomic, because a test turns it while the code under test reads it. */
  gint64 now_ns;
  gint64 monotonic_ns;

  pthread_mutex_t lock; /* for writing the rest, but read_ns; the first four are atomic */
  gint64 ahead_ns;      /* wall - monotonic when they were last compared */
  gint64 offset_ns;     /* reference - wall */
  gint64 read_ns;       /* monotonic, about when the clock was last read */
  gint64 ask_at_ns;     /* monotonic, when the reference is to be asked again */
  gint64 asked_ns; /* monotonic, when it was asked last; this and what follows is guarded by lock */
  gint64 said_ns;  /* what it said */
  guint doubts;    /* how often it is to be asked soon */
  guint n_steps;   /* atomic; the steps are guarded by lock */
  Step steps[STEPS_MAX];
  gint jumps; /* atomic */
};

#define load(place) __atomic_load_n (place, __ATOMIC_RELAXED)
#define store(place, value) __atomic_store_n (place, value, __ATOMIC_RELAXED)

static gint64
read_machine (clockid_t id)
{
  struct timespec ts;
  int r = clock_gettime (id, &ts);

  /* Both clocks always exist on Linux. */
  g_assert (r == 0);
  return ts.tv_sec * TTL_NS_PER_S + ts.tv_nsec;
}

/* Both clocks at one moment: a thread that is put off between the two would else see a step. */
static Reading
read_both (const TtlClock *self)
{
  Reading reading = { __atomic_load_n (&self->now_ns, __ATOMIC_SEQ_CST),
                      __atomic_load_n (&self->monotonic_ns, __ATOMIC_SEQ_CST) };

  for (int i = 0; !self->manual && i < READ_TRIES; i++)
    {
      reading.monotonic_ns = read_machine (CLOCK_MONOTONIC);
      reading.wall_ns = read_machine (CLOCK_REALTIME);
      if (read_machine (CLOCK_MONOTONIC) - reading.monotonic_ns < TOGETHER_NS)
        break;
    }
  return reading;
}

static gint64
ask (const TtlClock *self, gint64 expected_ns)
{
  gint64 said_ns = self->reference != NULL ? self->reference (self->reference_data) : -1;

  return said_ns >= 0 ? said_ns : expected_ns;
}

static gint64
later (gint64 ns, gint64 by_ns)
{
  gint64 sum;

  return __builtin_add_overflow (ns, by_ns, &sum) ? G_MAXINT64 : sum;
}

static void
begin (TtlClock *self)
{
  const Reading now = read_both (self);

  self->said_ns = ask (self, now.wall_ns);
  self->offset_ns = self->said_ns - now.wall_ns;
  if (ABS (self->offset_ns) < TTL_CLOCK_STEP_NS)
    self->offset_ns = 0;
  self->ahead_ns = now.wall_ns - now.monotonic_ns;
  self->read_ns = self->asked_ns = now.monotonic_ns;
  self->ask_at_ns = later (now.monotonic_ns, self->trust_ns);
}

static TtlClock *
new_clock (gboolean manual, gint64 now_ns)
{
  TtlClock *self = g_new0 (TtlClock, 1);

  pthread_mutex_init (&self->lock, NULL);
  self->manual = manual;
  self->now_ns = now_ns;
  self->trust_ns = G_MAXINT64;
  begin (self);
  return self;
}

TtlClock *
ttl_clock_new (void)
{
  return new_clock (FALSE, 0);
}

TtlClock *
ttl_clock_new_manual (gint64 now_ns)
{
  return new_clock (TRUE, now_ns);
}

void
ttl_clock_free (TtlClock *self)
{
  pthread_mutex_destroy (&self->lock);
  g_free (self);
}

void
ttl_clock_set_reference (TtlClock *self, TtlClockReference reference, gpointer data,
                         gint64 trust_ns)
{
  self->reference = reference;
  self->reference_data = data;
  self->trust_ns = trust_ns;
  begin (self);
}

/* ---- steps ---- */

static void
jumped_locked (TtlClock *self)
{
  g_atomic_int_inc (&self->jumps);
  self->doubts = DOUBTS;
}

static void
add_step_locked (TtlClock *self, gint64 before_ns, gint64 by_ns)
{
  guint n = self->n_steps;

  if (n == STEPS_MAX)
    {
      memmove (self->steps, self->steps + 1, (STEPS_MAX - 1) * sizeof *self->steps);
      n--;
    }
  self->steps[n] = (Step){ before_ns, by_ns };
  __atomic_store_n (&self->n_steps, n + 1, __ATOMIC_RELEASE);
  jumped_locked (self);
  g_message ("the clock was set %s by %.1f s, or the machine slept: leases go on with the time "
             "they had left",
             by_ns > 0 ? "forward" : "back", (double)ABS (by_ns) / TTL_NS_PER_S);
}

/* Whether there is nothing to ask the reference about. */
static gboolean
is_trusted (const TtlClock *self, const Reading *now)
{
  const gint64 since_ns = now->monotonic_ns - load (&self->read_ns);
  const gint64 drift_ns = now->wall_ns - now->monotonic_ns - load (&self->ahead_ns);

  return ABS (drift_ns) < TTL_CLOCK_STEP_NS && since_ns > -GAP_NS && since_ns < GAP_NS
         && now->monotonic_ns < load (&self->ask_at_ns);
}

/* What the reference says is compared with what it should say by the monotonic clock. Where that leapt and took the wall
 * clock along, but not the reference, it is this process's clocks that are wrong, and no time has passed. */
static void
ask_again_locked (TtlClock *self, const Reading *now)
{
  const gint64 passed_ns = now->monotonic_ns - self->asked_ns;
  const gint64 expected_ns = self->said_ns + passed_ns;
  const gint64 said_ns
      = ask (self, self->reference != NULL ? expected_ns : now->wall_ns + self->offset_ns);
  const gint64 moved_ns = said_ns - expected_ns;
  const gint64 gap_ns = now->monotonic_ns - load (&self->read_ns); /* stored without the lock */
  const gint64 drift_ns = now->wall_ns - now->monotonic_ns - self->ahead_ns;

  if (ABS (moved_ns) >= TTL_CLOCK_STEP_NS)
    {
      if (ABS (gap_ns) >= GAP_NS && ABS (drift_ns) < TTL_CLOCK_STEP_NS)
        jumped_locked (self);
      else
        add_step_locked (self, expected_ns, moved_ns);
    }
  else if (passed_ns < 0 || ABS (drift_ns) >= TTL_CLOCK_STEP_NS)
    jumped_locked (self);
  self->said_ns = said_ns;
  store (&self->offset_ns,
         ABS (said_ns - now->wall_ns) < TTL_CLOCK_STEP_NS ? 0 : said_ns - now->wall_ns);
  store (&self->ahead_ns, now->wall_ns - now->monotonic_ns);
  store (&self->read_ns, now->monotonic_ns);
  self->asked_ns = now->monotonic_ns;
  store (&self->ask_at_ns, later (now->monotonic_ns, self->doubts > 0 ? DOUBT_NS : self->trust_ns));
  self->doubts -= self->doubts > 0;
}

static gint64
now_by_reference (TtlClock *self)
{
  TTL_LOCKED (&self->lock);
  Reading now = read_both (self);

  if (!is_trusted (self, &now)) /* somebody may have asked while we waited */
    ask_again_locked (self, &now);
  return now.wall_ns + self->offset_ns;
}

gint64
ttl_clock_now (TtlClock *self)
{
  const Reading now = read_both (self);

  if (!is_trusted (self, &now))
    return now_by_reference (self);
  if (now.monotonic_ns - load (&self->read_ns) > GAP_NS / 8)
    store (&self->read_ns, now.monotonic_ns);
  return now.wall_ns + load (&self->offset_ns);
}

gint64
ttl_clock_monotonic (const TtlClock *self)
{
  return read_both (self).monotonic_ns;
}

guint
ttl_clock_jumps (const TtlClock *self)
{
  return (guint)g_atomic_int_get (&self->jumps);
}

static gboolean
is_from_before (const Step *step, gint64 mtime_ns, gint64 ctime_ns, gint64 now_ns)
{
  return step->by_ns > 0 ? mtime_ns <= step->before_ns || ctime_ns <= step->before_ns
                         : ctime_ns > now_ns + TTL_CLOCK_STEP_NS / 2;
}

/* From the latest step back to the first that the file has not lived through: each moves it to the line before. */
gint64
ttl_clock_in_present (TtlClock *self, gint64 mtime_ns, gint64 ctime_ns)
{
  gint64 by_ns = 0, now_ns, present_ns;

  if (__atomic_load_n (&self->n_steps, __ATOMIC_ACQUIRE) == 0)
    return mtime_ns;
  now_ns = ttl_clock_now (self);
  {
    TTL_LOCKED (&self->lock);
    for (guint i = self->n_steps; i > 0; i--)
      {
        const Step *step = &self->steps[i - 1];

        if (!is_from_before (step, mtime_ns, ctime_ns, now_ns))
          break;
        by_ns += step->by_ns;
        now_ns = step->before_ns;
      }
  }
  return __builtin_add_overflow (mtime_ns, by_ns, &present_ns) ? mtime_ns : present_ns;
}

/* ---- by hand ---- */

void
ttl_clock_set (TtlClock *self, gint64 now_ns)
{
  g_return_if_fail (self->manual);

  __atomic_store_n (&self->now_ns, now_ns, __ATOMIC_SEQ_CST);
}

void
ttl_clock_advance (TtlClock *self, gint64 by_ns)
{
  g_return_if_fail (self->manual);
  g_return_if_fail (by_ns >= 0); /* going back is a step of the wall clock: ttl_clock_set() */

  __atomic_fetch_add (&self->now_ns, by_ns, __ATOMIC_SEQ_CST);
  __atomic_fetch_add (&self->monotonic_ns, by_ns, __ATOMIC_SEQ_CST);
}
