/* verdict - what stands in a directory after an incident, held against the journal; and the count of it all. */
#pragma once

#include "journal.h"

typedef struct
{
  gint64 limit_ns; /* steady_ns() when to stop */
  gint64 kills;    /* stop after so many; 0: only for the time */
  guint64 seed;
  guint passed;
  guint failed;
  guint told;
} Report;

gboolean report_time_is_up (const Report *self);
/* One line, and only the first few of them; always FALSE. */
gboolean report_failure (Report *self, const char *format, ...) G_GNUC_PRINTF (2, 3);
void report_episode (Report *self, gboolean well);

typedef enum
{
  SEEN_IN_MOUNT,   /* nothing but keys is listed */
  SEEN_IN_BACKING, /* scratch and claims are there too, and do not count */
} SeenIn;

/* Looks at @root/long and @root/short: every value is whole, and what the journal admits. @where is for the reader.
 * *@base_out: what the registers hold. FALSE when something is wrong, and reported. */
gboolean verdict_check (Report *report, const Journal *journal, const Incident *incident,
                        const char *root, SeenIn seen_in, const char *where,
                        guint32 base_out[REGISTERS]);
/* Whether within @ms nothing at all is left in the directory @path. */
gboolean verdict_is_emptied (Report *report, const char *path, int ms);
