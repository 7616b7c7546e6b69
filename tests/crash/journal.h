/* journal - what clients did and what was confirmed to them, kept where no crash reaches it, and what may be left of it.
 *
 * An episode is a stretch of load that ends in an incident: a kill, or a loss of power. Each client logs an entry before
 * it does something and confirms it after the call that promises it returned. From that follows which value a key may
 * have afterwards: that of a write W, if no write that must have lasted was begun after W had ended. A delete is
 * a write of nothing. Shared memory; an entry is written by its client and read when that has stopped. */
#pragma once

#include <glib.h>

#define JOURNAL_CLIENTS 7
#define JOURNAL_ENTRIES 8000 /* of a client in an episode; then it stops */
#define REGISTERS 6          /* keys that are put and deleted */
#define LOGS 2               /* keys that are appended to */
#define SHORT_KEYS 4         /* keys in a bucket of short TTL: judged by themselves alone */

typedef enum
{
  ENTRY_BEGUN,
  ENTRY_CONFIRMED, /* it has lasted whatever process is killed */
  ENTRY_DURABLE,   /* and when the power fails */
  ENTRY_VOID,      /* it was refused, so it changed nothing */
} EntryState;

typedef struct
{
  EntryState state; /* atomic */
  int key;          /* a register, or REGISTERS + a log */
  guint32 number;   /* 0: a delete */
  gint64 began_ns;
  gint64 ended_ns;
} Entry;

typedef struct
{
  guint n; /* atomic */
  Entry entries[JOURNAL_ENTRIES];
} ClientLog;

typedef struct
{
  guint32 base[REGISTERS]; /* before the episode; 0: absent */
  ClientLog clients[JOURNAL_CLIENTS];
} Journal;

typedef struct
{
  gboolean power;  /* only what is durable has to last */
  gint64 began_ns; /* the power failed between these two */
  gint64 ended_ns;
} Incident;

gint64 steady_ns (void); /* CLOCK_MONOTONIC */

void journal_clear (Journal *self);
/* The client's next entry, begun now; NULL when there is no room. */
Entry *journal_begin (Journal *self, int client, int key, guint32 number);
void journal_end (Entry *entry, EntryState state);
/* When something was last made durable; 0: never. */
gint64 journal_last_durable (const Journal *self);
guint journal_confirmed (const Journal *self);

/* Whether register @key may hold the value @number (0: be absent) after the incident. If not, the reason; g_free() it. */
char *journal_refuse (const Journal *self, int key, guint32 number, const Incident *incident);
/* The same for a log. @numbers: what it holds; NULL: it is absent. */
char *journal_refuse_log (const Journal *self, int key, const GArray *numbers,
                          const Incident *incident);
