#include "expiry.h"

#include <malloc.h>
#include <string.h>

/* slots: open addressing, linear probing,       heap: 4-ary, the earliest deadline first;
 * a power of two, at most 3/4 full              the children of i are 4i + 1 .. 4i + 4
 *
 *   hash  entry                                   [0] [1] [2] [3] ..
 *   [ 91 | *--]--> { bucket deadline heap_pos name } <--*
 *   [  0 |  - ]                        `---------------'
 *
 * An entry is always in both. Both arrays shrink as well as grow, so that a burst of keys leaves
 * nothing behind. */

#define HEAP_ARITY 4
#define MIN_SIZE 16

typedef struct
{
  guint64 bucket;
  TtlDeadline deadline;
  gsize heap_pos;
  char name[];
} Entry;

typedef struct
{
  Entry *entry; /* NULL: free */
  guint64 hash; /* kept here: resizing and most misses never touch an entry */
} Slot;

struct TtlExpiry
{
  Slot *slots;
  gsize n_slots;
  Entry **heap;
  gsize heap_size;
  gsize count;
  gsize entry_bytes;   /* malloc_usable_size() of all entries */
  guint64 hash_key[2]; /* random, set in new(), constant after */
};

/* --- hashing ---
 *
 * SipHash-1-3 over bucket and name. Names are chosen by whoever may write to a bucket; without a
 * secret in the hash they could pick a million that fall into one slot. */

typedef struct
{
  guint64 a, b, c, d;
} Sip;

static inline guint64
rotate (guint64 x, guint bits)
{
  return x << bits | x >> (64 - bits);
}

static inline void
sip_round (Sip *s)
{
  s->a += s->b;
  s->c += s->d;
  s->b = rotate (s->b, 13) ^ s->a;
  s->d = rotate (s->d, 16) ^ s->c;
  s->a = rotate (s->a, 32) + s->d;
  s->c += s->b;
  s->d = rotate (s->d, 21) ^ s->a;
  s->b = rotate (s->b, 17) ^ s->c;
  s->c = rotate (s->c, 32);
}

static inline void
sip_absorb (Sip *s, guint64 word)
{
  s->d ^= word;
  sip_round (s);
  s->a ^= word;
}

static guint64
hash_of (const TtlExpiry *self, guint64 bucket, const char *name)
{
  Sip s = {
    self->hash_key[0] ^ G_GUINT64_CONSTANT (0x736f6d6570736575),
    self->hash_key[1] ^ G_GUINT64_CONSTANT (0x646f72616e646f6d),
    self->hash_key[0] ^ G_GUINT64_CONSTANT (0x6c7967656e657261),
    self->hash_key[1] ^ G_GUINT64_CONSTANT (0x7465646279746573),
  };
  gsize len = strlen (name);
  guint64 word;

  sip_absorb (&s, bucket);
  for (; len >= sizeof word; name += sizeof word, len -= sizeof word)
    {
      memcpy (&word, name, sizeof word);
      sip_absorb (&s, word);
    }
  /* A name holds no NUL, so zeros behind the rest say where it ended. */
  word = 0;
  memcpy (&word, name, len);
  sip_absorb (&s, word);

  s.c ^= 0xff;
  for (int i = 0; i < 3; i++)
    sip_round (&s);
  return s.a ^ s.b ^ s.c ^ s.d;
}

/* --- the slots --- */

/* Where the entry is, or the free slot where it belongs. One is always free. */
static Slot *
find_slot (const TtlExpiry *self, guint64 hash, guint64 bucket, const char *name)
{
  gsize mask = self->n_slots - 1;
  gsize i = hash & mask;

  for (; self->slots[i].entry != NULL; i = (i + 1) & mask)
    {
      const Slot *slot = &self->slots[i];

      if (slot->hash == hash && slot->entry->bucket == bucket
          && strcmp (slot->entry->name, name) == 0)
        break;
    }
  return &self->slots[i];
}

/* Empties a slot without a tombstone: whoever was pushed past it moves closer to home. */
static void
clear_slot (TtlExpiry *self, Slot *slot)
{
  gsize mask = self->n_slots - 1;
  gsize hole = (gsize)(slot - self->slots);

  for (gsize i = (hole + 1) & mask; self->slots[i].entry != NULL; i = (i + 1) & mask)
    {
      gsize from_home = (i - self->slots[i].hash) & mask;
      gsize from_hole = (i - hole) & mask;

      if (from_home < from_hole)
        continue;
      self->slots[hole] = self->slots[i];
      hole = i;
    }
  self->slots[hole].entry = NULL;
}

static void
resize_slots (TtlExpiry *self, gsize n_slots)
{
  g_autofree Slot *old = g_steal_pointer (&self->slots);
  gsize n_old = self->n_slots;
  gsize mask = n_slots - 1;

  self->slots = g_new0 (Slot, n_slots);
  self->n_slots = n_slots;
  for (gsize i = 0; i < n_old; i++)
    {
      gsize to = old[i].hash & mask;

      if (old[i].entry == NULL)
        continue;
      while (self->slots[to].entry != NULL)
        to = (to + 1) & mask;
      self->slots[to] = old[i];
    }
}

/* --- the heap --- */

static inline void
place (TtlExpiry *self, gsize pos, Entry *entry)
{
  self->heap[pos] = entry;
  entry->heap_pos = pos;
}

static gsize
earliest_child (const TtlExpiry *self, gsize pos)
{
  gsize first = HEAP_ARITY * pos + 1;
  gsize end = MIN (first + HEAP_ARITY, self->count);
  gsize best = first;

  for (gsize i = first + 1; i < end; i++)
    if (self->heap[i]->deadline < self->heap[best]->deadline)
      best = i;
  return best;
}

/* Puts @entry where it belongs, coming from @pos, which is free or its own. */
static void
sift (TtlExpiry *self, gsize pos, Entry *entry)
{
  while (pos > 0)
    {
      gsize parent = (pos - 1) / HEAP_ARITY;

      if (self->heap[parent]->deadline <= entry->deadline)
        break;
      place (self, pos, self->heap[parent]);
      pos = parent;
    }
  while (HEAP_ARITY * pos + 1 < self->count)
    {
      gsize child = earliest_child (self, pos);

      if (entry->deadline <= self->heap[child]->deadline)
        break;
      place (self, pos, self->heap[child]);
      pos = child;
    }
  place (self, pos, entry);
}

/* --- both --- */

/* Room for @count entries. Growing at a limit and shrinking well below it: an entry that comes and
 * goes at the border does not resize each time. */
static void
make_room (TtlExpiry *self, gsize count)
{
  gsize n_slots = self->n_slots;
  gsize heap_size = self->heap_size;

  if (count > n_slots / 4 * 3)
    resize_slots (self, n_slots * 2);
  else if (count < n_slots / 4 && n_slots > MIN_SIZE)
    resize_slots (self, n_slots / 2);

  if (count > heap_size)
    self->heap_size = heap_size * 2;
  else if (count < heap_size / 4 && heap_size > MIN_SIZE)
    self->heap_size = heap_size / 2;
  if (self->heap_size != heap_size)
    self->heap = g_renew (Entry *, self->heap, self->heap_size);
}

static void
add_entry (TtlExpiry *self, guint64 hash, guint64 bucket, const char *name, TtlDeadline deadline)
{
  gsize name_size = strlen (name) + 1;
  Entry *entry = g_malloc (sizeof (Entry) + name_size);
  Slot *slot;

  entry->bucket = bucket;
  entry->deadline = deadline;
  memcpy (entry->name, name, name_size);

  make_room (self, self->count + 1);
  slot = find_slot (self, hash, bucket, name);
  slot->entry = entry;
  slot->hash = hash;
  self->count++;
  self->entry_bytes += malloc_usable_size (entry);
  sift (self, self->count - 1, entry);
}

static void
remove_entry (TtlExpiry *self, Slot *slot)
{
  g_autofree Entry *entry = slot->entry;
  Entry *last = self->heap[--self->count];

  self->entry_bytes -= malloc_usable_size (entry);
  clear_slot (self, slot);
  if (last != entry)
    sift (self, entry->heap_pos, last);
  make_room (self, self->count);
}

TtlExpiry *
ttl_expiry_new (void)
{
  TtlExpiry *self = g_new0 (TtlExpiry, 1);

  self->n_slots = self->heap_size = MIN_SIZE;
  self->slots = g_new0 (Slot, self->n_slots);
  self->heap = g_new (Entry *, self->heap_size);
  for (gsize i = 0; i < G_N_ELEMENTS (self->hash_key); i++)
    self->hash_key[i] = (guint64)g_random_int () << 32 | g_random_int ();
  return self;
}

void
ttl_expiry_free (TtlExpiry *self)
{
  if (self == NULL)
    return;
  for (gsize i = 0; i < self->count; i++)
    g_free (self->heap[i]);
  g_free (self->heap);
  g_free (self->slots);
  g_free (self);
}

gboolean
ttl_expiry_set (TtlExpiry *self, guint64 bucket, const char *name, TtlDeadline deadline)
{
  TtlDeadline earliest = ttl_expiry_next (self);
  guint64 hash = hash_of (self, bucket, name);
  Slot *slot = find_slot (self, hash, bucket, name);

  if (slot->entry != NULL && deadline == TTL_DEADLINE_NEVER)
    remove_entry (self, slot);
  else if (slot->entry != NULL)
    {
      slot->entry->deadline = deadline;
      sift (self, slot->entry->heap_pos, slot->entry);
    }
  else if (deadline != TTL_DEADLINE_NEVER)
    add_entry (self, hash, bucket, name, deadline);

  return ttl_expiry_next (self) < earliest;
}

void
ttl_expiry_remove (TtlExpiry *self, guint64 bucket, const char *name)
{
  ttl_expiry_set (self, bucket, name, TTL_DEADLINE_NEVER);
}

TtlDeadline
ttl_expiry_next (const TtlExpiry *self)
{
  return self->count > 0 ? self->heap[0]->deadline : TTL_DEADLINE_NEVER;
}

gboolean
ttl_expiry_pop (TtlExpiry *self, gint64 now_ns, guint64 *bucket_out, char **name_out,
                TtlDeadline *deadline_out)
{
  const Entry *entry;

  if (!ttl_lease_expired (ttl_expiry_next (self), now_ns))
    return FALSE;

  entry = self->heap[0];
  *bucket_out = entry->bucket;
  *name_out = g_strdup (entry->name);
  *deadline_out = entry->deadline;
  remove_entry (self, find_slot (self, hash_of (self, entry->bucket, entry->name), entry->bucket,
                                 entry->name));
  return TRUE;
}

guint64
ttl_expiry_count (const TtlExpiry *self)
{
  return self->count;
}

gsize
ttl_expiry_memory (const TtlExpiry *self)
{
  return malloc_usable_size ((void *)self) + malloc_usable_size (self->slots)
         + malloc_usable_size (self->heap) + self->entry_bytes;
}
