#include "journal.h"

#include <time.h>

#define NEVER G_MAXINT64

gint64
steady_ns (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  return now.tv_sec * G_GINT64_CONSTANT (1000000000) + now.tv_nsec;
}

void
journal_clear (Journal *self)
{
  for (int i = 0; i < JOURNAL_CLIENTS; i++)
    self->clients[i].n = 0;
}

Entry *
journal_begin (Journal *self, int client, int key, guint32 number)
{
  ClientLog *log = &self->clients[client];
  Entry *entry = &log->entries[log->n];

  if (log->n == JOURNAL_ENTRIES)
    return NULL;
  *entry = (Entry){ .key = key, .number = number, .began_ns = steady_ns (), .ended_ns = NEVER };
  __atomic_store_n (&log->n, log->n + 1, __ATOMIC_RELEASE);
  return entry;
}

void
journal_end (Entry *entry, EntryState state)
{
  entry->ended_ns = steady_ns ();
  __atomic_store_n (&entry->state, state, __ATOMIC_RELEASE);
}

gint64
journal_last_durable (const Journal *self)
{
  gint64 last = 0;

  for (int i = 0; i < JOURNAL_CLIENTS; i++)
    for (guint j = __atomic_load_n (&self->clients[i].n, __ATOMIC_ACQUIRE); j > 0; j--)
      {
        const Entry *entry = &self->clients[i].entries[j - 1];

        if (__atomic_load_n (&entry->state, __ATOMIC_ACQUIRE) != ENTRY_DURABLE)
          continue;
        last = MAX (last, entry->ended_ns);
        break;
      }
  return last;
}

guint
journal_confirmed (const Journal *self)
{
  guint n = 0;

  for (int i = 0; i < JOURNAL_CLIENTS; i++)
    for (guint j = 0; j < self->clients[i].n; j++)
      n += self->clients[i].entries[j].state == ENTRY_CONFIRMED
           || self->clients[i].entries[j].state == ENTRY_DURABLE;
  return n;
}

/* Whether the incident must not undo it. */
static gboolean
must_last (const Entry *entry, const Incident *incident)
{
  if (incident->power)
    return entry->state == ENTRY_DURABLE && entry->ended_ns <= incident->began_ns;
  return entry->state == ENTRY_CONFIRMED || entry->state == ENTRY_DURABLE;
}

/* What must have lasted and began only after @ended_ns; NULL if there is nothing like that. */
static const Entry *
find_later (const Journal *self, int key, gint64 ended_ns, const Incident *incident)
{
  for (int i = 0; i < JOURNAL_CLIENTS; i++)
    for (guint j = 0; j < self->clients[i].n; j++)
      {
        const Entry *entry = &self->clients[i].entries[j];

        if (entry->key == key && must_last (entry, incident) && entry->began_ns > ended_ns)
          return entry;
      }
  return NULL;
}

/* A write of @number that may be the last one. @begun_out: whether there is any at all. */
static gboolean
find_last (const Journal *self, int key, guint32 number, const Incident *incident,
           gboolean *begun_out)
{
  *begun_out = FALSE;
  for (int i = 0; i < JOURNAL_CLIENTS; i++)
    for (guint j = 0; j < self->clients[i].n; j++)
      {
        const Entry *entry = &self->clients[i].entries[j];

        if (entry->key != key || entry->number != number || entry->state == ENTRY_VOID
            || (incident->power && entry->began_ns > incident->ended_ns))
          continue;
        *begun_out = TRUE;
        if (find_later (self, key, entry->ended_ns, incident) == NULL)
          return TRUE;
      }
  if (self->base[key] == number)
    {
      *begun_out = TRUE;
      return find_later (self, key, G_MININT64, incident) == NULL;
    }
  return FALSE;
}

static char *
name_number (guint32 number)
{
  return number == 0 ? g_strdup ("nothing")
                     : g_strdup_printf ("value %u of client %u", number & 0xffffff, number >> 24);
}

/* Everything that was done to the key around the incident, for a reader. */
static void
print_entries (GString *out, const Journal *self, int key, const Incident *incident)
{
  static const char *const states[] = { [ENTRY_BEGUN] = "begun",
                                        [ENTRY_CONFIRMED] = "confirmed",
                                        [ENTRY_DURABLE] = "durable",
                                        [ENTRY_VOID] = "refused" };

  g_string_append (out, "\n  the last of each client, times in ms before the incident:");
  for (int i = 0; i < JOURNAL_CLIENTS; i++)
    for (guint j = self->clients[i].n, shown = 0; j > 0 && shown < 3; j--)
      {
        const Entry *entry = &self->clients[i].entries[j - 1];
        g_autofree char *name = name_number (entry->number);

        if (entry->key != key)
          continue;
        shown++;
        g_string_append_printf (out, "\n  client %d: %s, began %.3f", i, name,
                                (double)(incident->began_ns - entry->began_ns) / 1e6);
        if (entry->ended_ns != NEVER)
          g_string_append_printf (out, ", ended %.3f",
                                  (double)(incident->began_ns - entry->ended_ns) / 1e6);
        g_string_append_printf (out, ", %s", states[entry->state]);
      }
}

char *
journal_refuse (const Journal *self, int key, guint32 number, const Incident *incident)
{
  g_autoptr (GString) out = NULL;
  g_autofree char *name = name_number (number);
  gboolean begun;

  if (find_last (self, key, number, incident, &begun))
    return NULL;
  out = g_string_new (NULL);
  g_string_append_printf (out, "it holds %s, ", name);
  if (!begun)
    g_string_append (out, number == 0 ? "and nobody deleted it" : "which nobody put");
  else
    g_string_append_printf (out, "though something else was %s after that",
                            incident->power ? "made durable" : "confirmed");
  print_entries (out, self, key, incident);
  return g_strdup (out->str);
}

static guint
count_number (const GArray *numbers, guint32 number)
{
  guint n = 0;

  for (guint i = 0; numbers != NULL && i < numbers->len; i++)
    n += g_array_index (numbers, guint32, i) == number;
  return n;
}

char *
journal_refuse_log (const Journal *self, int key, const GArray *numbers, const Incident *incident)
{
  guint known = 0;

  for (int i = 0; i < JOURNAL_CLIENTS; i++)
    for (guint j = 0; j < self->clients[i].n; j++)
      {
        const Entry *entry = &self->clients[i].entries[j];
        g_autofree char *name = name_number (entry->number);
        guint n;

        if (entry->key != key)
          continue;
        n = count_number (numbers, entry->number);
        known += n;
        if (n > 1)
          return g_strdup_printf ("it holds %s %u times", name, n);
        if (n == 0 && must_last (entry, incident))
          return g_strdup_printf (
              "%s is lost, which began %.3f and ended %.3f ms before the incident", name,
              (double)(incident->began_ns - entry->began_ns) / 1e6,
              (double)(incident->began_ns - entry->ended_ns) / 1e6);
        if (n == 1 && entry->state == ENTRY_VOID)
          return g_strdup_printf ("it holds %s, which was refused", name);
      }
  if (numbers != NULL && known != numbers->len)
    return g_strdup_printf ("%u of its %u records are nobody's", numbers->len - known,
                            numbers->len);
  return NULL;
}
