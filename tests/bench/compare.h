/* compare - which operations on which subjects, by how many clients, in which order; and what came of it.
 *
 * Subjects take turns, slice by slice: what disturbs the machine for a second disturbs all of them. The ratio of two of
 * them is best taken round by round (rounds_p50_us), and then its median. */
#pragma once

#include "subject.h"

#include <json-glib/json-glib.h>

typedef struct
{
  GPtrArray *subjects; /* Subject */
  guint rounds;
  gint64 slice_ns;
  gint64
      group_ns; /* rounds of a group end early when they have taken so long; one there always is */
} ComparePlan;

/* Every operation of @names ("get-hot,round-trip") on each subject that can do it, by @clients clients; adds objects to the
 * array that @json has open: op, subject, clients, n, p50_us ..., ops_per_s, slowest_share, rounds_p50_us; or error. */
void compare_group (const ComparePlan *plan, const char *names, guint clients, JsonBuilder *json);

/* The same, but all at once: the clients take the operations in turn, and "mixed" is true. Subjects that cannot do all of them
 * are left out. */
void compare_mixed (const ComparePlan *plan, const char *names, guint clients, JsonBuilder *json);
