#include "journal.h"

#define RING 65536
#define CLOCK_LAG_NS \
  G_GINT64_CONSTANT (10000000) /* an mtime may lie that much before the call that set it */

/* Each field is stored before Journal.begun or .ended_ns makes it known. */
typedef struct
{
  OpKind kind;
  gint64 started_ns;
  gint64 ended_ns; /* 0 while it is under way */
  guint64 value;   /* what the key holds when it has ended */
} Entry;

struct Journal
{
  guint64 begun; /* operations, the last one perhaps under way; the first is number 1 */
  gint64 reaped_ns;
  Entry ring[RING];
};

gsize
journal_size (void)
{
  return sizeof (Journal);
}

Journal *
journal_at (void *memory)
{
  return memory;
}

static Entry *
entry (Journal *self, guint64 number)
{
  return &self->ring[number % RING];
}

static gint64
ended_ns (Journal *self, guint64 number)
{
  return __atomic_load_n (&entry (self, number)->ended_ns, __ATOMIC_ACQUIRE);
}

guint64
journal_begin (Journal *self, OpKind kind, gint64 now_ns)
{
  guint64 number = self->begun + 1;
  Entry *next = entry (self, number);

  __atomic_store_n (&next->ended_ns, 0, __ATOMIC_RELEASE);
  next->kind = kind;
  next->started_ns = now_ns;
  next->value = kind == OP_PUT ? number : kind == OP_TOUCH ? entry (self, number - 1)->value : 0;
  __atomic_store_n (&self->begun, number, __ATOMIC_RELEASE);
  return number;
}

void
journal_end (Journal *self, gboolean found, gint64 now_ns)
{
  Entry *current = entry (self, self->begun);

  if (!found)
    {
      current->kind = OP_NONE;
      current->value = 0;
    }
  __atomic_store_n (&current->ended_ns, now_ns, __ATOMIC_RELEASE);
}

void
journal_reaped (Journal *self, gint64 now_ns)
{
  __atomic_store_n (&self->reaped_ns, now_ns, __ATOMIC_RELEASE);
}

/* The last operation that had ended by @when_ns; 0 for none, G_MAXUINT64 when that is no longer
 * known. */
static guint64
last_ended_by (Journal *self, guint64 begun, gint64 when_ns)
{
  for (guint64 number = begun; number > 0; number--)
    {
      gint64 ended = ended_ns (self, number);

      if (number + RING / 2 < begun)
        return G_MAXUINT64;
      if (ended != 0 && ended <= when_ns)
        return number;
    }
  return 0;
}

/* When the lease of @value was renewed last, at the latest; G_MAXINT64 when a renewal is under way. */
static gint64
renewed_ns (Journal *self, guint64 value, guint64 from, guint64 to)
{
  gint64 renewed = 0;

  for (guint64 number = from; number <= to; number++)
    {
      Entry *at = entry (self, number);

      if (at->value != value || (at->kind != OP_PUT && at->kind != OP_TOUCH))
        continue;
      if (ended_ns (self, number) == 0)
        return G_MAXINT64;
      renewed = ended_ns (self, number);
    }
  return renewed;
}

static const char *
judge_missing (Journal *self, const Look *look, guint64 settled, guint64 begun, gint64 after_ns)
{
  guint64 renewal = settled;

  for (guint64 number = settled; number <= begun; number++)
    if (entry (self, number)->value == 0)
      return NULL;
  while (renewal > 1 && entry (self, renewal)->kind != OP_PUT
         && entry (self, renewal)->kind != OP_TOUCH)
    renewal--;
  if (after_ns >= entry (self, renewal)->started_ns - CLOCK_LAG_NS + look->ttl_ns)
    return NULL;
  if (__atomic_load_n (&self->reaped_ns, __ATOMIC_ACQUIRE) >= entry (self, renewal)->started_ns)
    return NULL;
  return "it is missing, though its lease has not ended and nobody deletes it";
}

static const char *
judge_seen (Journal *self, const Look *look, guint64 value, guint64 settled, guint64 begun,
            gint64 before_ns)
{
  gboolean explained = FALSE;
  gint64 renewed;

  /* An expired file is seen by raw peers until somebody reaps it, so what did not find it does not
   * count. */
  while (look->raw && settled > 1 && entry (self, settled)->kind == OP_NONE)
    settled--;
  for (guint64 number = MAX (settled, 1); number <= begun; number++)
    explained = explained || entry (self, number)->value == value;
  if (!explained && value > begun)
    return "it is from the future";
  if (!explained)
    return "it is a value that has been replaced or deleted";
  renewed = renewed_ns (self, value, value, begun);
  if (!look->raw && renewed != G_MAXINT64 && before_ns >= renewed + look->ttl_ns)
    return "it is seen at or after its deadline";
  return NULL;
}

const char *
journal_judge (Journal *self, const Look *look, guint64 value, gint64 before_ns, gint64 after_ns)
{
  guint64 begun = __atomic_load_n (&self->begun, __ATOMIC_ACQUIRE);
  guint64 settled = last_ended_by (self, begun, before_ns - look->slack_ns);

  if (settled == G_MAXUINT64 || (value != 0 && value + RING / 2 < begun))
    return NULL;
  if (value == 0)
    return settled == 0 ? NULL : judge_missing (self, look, settled, begun, after_ns);
  return judge_seen (self, look, value, settled, begun, before_ns);
}
