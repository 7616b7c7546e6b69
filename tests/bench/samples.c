#include "samples.h"

#include <math.h>

struct Samples
{
  GArray *ns; /* gint64 */
  gboolean sorted;
};

Samples *
samples_new (void)
{
  Samples *self = g_new0 (Samples, 1);

  self->ns = g_array_new (FALSE, FALSE, sizeof (gint64));
  return self;
}

void
samples_free (Samples *self)
{
  g_array_unref (self->ns);
  g_free (self);
}

void
samples_clear (Samples *self)
{
  g_array_set_size (self->ns, 0);
}

void
samples_add (Samples *self, gint64 ns)
{
  g_array_append_val (self->ns, ns);
  self->sorted = FALSE;
}

void
samples_add_all (Samples *self, const guint32 *ns, gsize n)
{
  for (gsize i = 0; i < n; i++)
    samples_add (self, ns[i]);
}

gsize
samples_count (const Samples *self)
{
  return self->ns->len;
}

static int
compare (gconstpointer a, gconstpointer b)
{
  const gint64 left = *(const gint64 *)a, right = *(const gint64 *)b;

  return (left > right) - (left < right);
}

gint64
samples_quantile (Samples *self, double share)
{
  gint64 rank;

  if (self->ns->len == 0)
    return 0;
  if (!self->sorted)
    g_array_sort (self->ns, compare);
  self->sorted = TRUE;
  rank = (gint64)ceil (share * self->ns->len) - 1;
  return g_array_index (self->ns, gint64, CLAMP (rank, 0, (gint64)self->ns->len - 1));
}

static double
mean (const Samples *self)
{
  double sum = 0;

  for (guint i = 0; i < self->ns->len; i++)
    sum += (double)g_array_index (self->ns, gint64, i);
  return self->ns->len > 0 ? sum / self->ns->len : 0;
}

void
samples_write (Samples *self, JsonBuilder *json)
{
  write_number (json, "p50_us", (double)samples_quantile (self, 0.50) / 1e3);
  write_number (json, "p90_us", (double)samples_quantile (self, 0.90) / 1e3);
  write_number (json, "p99_us", (double)samples_quantile (self, 0.99) / 1e3);
  write_number (json, "mean_us", mean (self) / 1e3);
}

void
write_number (JsonBuilder *json, const char *name, double value)
{
  json_builder_set_member_name (json, name);
  json_builder_add_double_value (json, value);
}

void
write_count (JsonBuilder *json, const char *name, gint64 value)
{
  json_builder_set_member_name (json, name);
  json_builder_add_int_value (json, value);
}

void
write_string (JsonBuilder *json, const char *name, const char *value)
{
  json_builder_set_member_name (json, name);
  json_builder_add_string_value (json, value);
}
