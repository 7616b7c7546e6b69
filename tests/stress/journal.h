/* journal - what the owner of a key has done to it, and what others may therefore see.
 *
 * One process owns a key: it alone puts, touches and deletes it, one operation after the other, and
 * notes each before it begins and when it has ended. A reader notes the time before and after its
 * look, and asks whether any order of events explains what it saw. Lives in memory shared by all;
 * the owner writes, everybody reads, no lock.
 *
 *   op:     1 put    2 touch    3 delete    4 put ...
 *   time:   |--|      |-|        |---|       |--...
 *   look:                      |------|           may see 1's value (2 kept it), or nothing (3) */
#pragma once

#include <glib.h>

typedef enum
{
  OP_NONE, /* an operation that found the key gone: its lease had ended */
  OP_PUT,
  OP_TOUCH,
  OP_DELETE,
} OpKind;

typedef struct Journal Journal;

/* The rules of one look. */
typedef struct
{
  gint64 ttl_ns;
  gint64 slack_ns; /* how old a view may be: 0 through the owner's own mount, more elsewhere */
  gboolean raw;    /* it looked into the backing directory, where what expired waits to be reaped */
} Look;

gsize journal_size (void);
/* @memory: journal_size() zeroed bytes. */
Journal *journal_at (void *memory);

/* The owner: begins an operation. A put's value has the number returned. */
guint64 journal_begin (Journal *self, OpKind kind, gint64 now_ns);
/* ... and ends it. @found FALSE: the key was not there, so nothing was done. */
void journal_end (Journal *self, gboolean found, gint64 now_ns);
/* A raw peer's reaper is about to remove, or has just removed, the file: whoever misses it is not
 * to blame. */
void journal_reaped (Journal *self, gint64 now_ns);

/* Whether seeing @value (the number of a put; 0 when the key was missing) between @before_ns and
 * @after_ns can be. NULL, or what is wrong with it. A look that reaches too far back to tell
 * passes. */
const char *journal_judge (Journal *self, const Look *look, guint64 value, gint64 before_ns,
                           gint64 after_ns);
