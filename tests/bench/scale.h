/* scale - what takes many keys: filling a backing directory, walking a mount, holding keys open, and watching many leases end. */
#pragma once

#include <glib.h>

/* @count empty keys, @per_bucket of them in each of as many new buckets below @dir as that takes: b0/k0, b0/k1 ... */
void scale_fill (const char *dir, guint count, guint per_bucket);

/* Lists every bucket below @dir and stats each key, as `ls -lR` does; returns how many keys there were. */
guint scale_walk (const char *dir);

/* Puts @count keys into @dir, which is on a mount, and keeps each open for writing. Says "held N" on stdout, and
 * returns when stdin ends. */
void scale_hold (const char *dir, guint count);

typedef struct
{
  const char *dir;  /* a bucket on a mount */
  const char *raw;  /* the same in the backing directory */
  gint64 ttl_ns;    /* what holds in that bucket */
  guint count;      /* keys */
  guint per_second; /* deadlines */
} LatePlan;

/* Puts keys whose deadlines come one after another, and sees how late each is gone. Prints a JSON object. */
void scale_late (const LatePlan *plan);
