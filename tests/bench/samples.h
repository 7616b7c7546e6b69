/* samples - how long many operations took, and what can be said of that.
 *
 * Owns a growing array of nanoseconds. Exact: nothing is put into classes, so that two subjects which differ by two per
 * cent differ here, too. Not thread-safe. */
#pragma once

#include <glib.h>
#include <json-glib/json-glib.h>

typedef struct Samples Samples;

Samples *samples_new (void);
void samples_free (Samples *self);
void samples_clear (Samples *self);

void samples_add (Samples *self, gint64 ns);
void samples_add_all (Samples *self, const guint32 *ns, gsize n);
gsize samples_count (const Samples *self);

/* The smallest sample that at least @share (0 to 1) of all samples do not exceed; 0 when there is none. Sorts. */
gint64 samples_quantile (Samples *self, double share);

/* Members p50_us, p90_us, p99_us and mean_us, into the object that @json has open. */
void samples_write (Samples *self, JsonBuilder *json);

/* The member @name of the object that @json has open. */
void write_number (JsonBuilder *json, const char *name, double value);
void write_count (JsonBuilder *json, const char *name, gint64 value);
void write_string (JsonBuilder *json, const char *name, const char *value);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Samples, samples_free)
