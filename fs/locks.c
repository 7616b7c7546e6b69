#include "locks.h"

#include "cleanup.h"

#include <fcntl.h>
#include <string.h>

#define N_KINDS 2

typedef struct
{
  guint64 start;
  guint64 end; /* inclusive, at most G_MAXINT64: end + 1 never overflows */
  guint64 handle;
  gint32 pid;
  short type; /* F_RDLCK or F_WRLCK */
} Range;

/* What one owner holds of one file. It has no room to grow: what is set makes a new one. */
typedef struct
{
  guint64 owner;
  guint n_ranges;
  Range ranges[]; /* by start; disjoint; two of one type do not touch */
} Holder;

/* reserved --set--> waiting --conflict gone, or handle released--> answered --grant()--> gone
 *    |   `--set, no need to wait--> gone  `--cancel--> gone
 *    `--cancel--> cancelled --set--> gone */
typedef struct Waiter Waiter;
struct Waiter
{
  GList link;         /* in file->waiters[kind], later in the caller's list of the answered */
  guint64 ticket;     /* its key in locks->tickets; 0: not there */
  gboolean cancelled; /* before the wait began */
  TtlLockFile *file;  /* borrowed; NULL unless waiting */
  TtlLockKind kind;
  TtlLock wanted;
  Waiter *next_of_owner; /* in locks->posix_waiters */
  TtlLockGrant grant;
  gpointer data;
  int res; /* set when answered */
};

struct TtlLocks
{
  pthread_mutex_t lock; /* order 4, a leaf; guards all below, and every file */
  GHashTable *files;    /* a set of TtlLockFile, by bucket and name; borrowed */
  GHashTable *tickets;  /* ticket -> Waiter, reserved, cancelled or waiting; owns the first two */
  GHashTable *posix_waiters; /* owner -> the first of its Waiters on any file; borrowed */
  guint64 last_ticket;
};

struct TtlLockFile
{
  TtlLocks *locks; /* constant, as the two below */
  guint64 bucket;
  char *backing;
  guint refs;                  /* guarded by locks->lock, as everything below */
  GPtrArray *holders[N_KINDS]; /* Holder, in no order; owned */
  GQueue waiters[N_KINDS];     /* Waiter, first come first; owned */
};

/* --- the ranges of one owner --- */

static gboolean
overlaps (const Range *range, const TtlLock *lock)
{
  return range->start <= lock->end && lock->start <= range->end;
}

static gboolean
touches (const Range *range, const TtlLock *lock)
{
  return range->start <= lock->end + 1 && lock->start <= range->end + 1;
}

/* There has to be room. Mostly called in order, and then it appends. */
static void
holder_insert (Holder *self, Range range)
{
  guint at = self->n_ranges++;

  for (; at > 0 && self->ranges[at - 1].start > range.start; at--)
    self->ranges[at] = self->ranges[at - 1];
  self->ranges[at] = range;
}

/* What @lock leaves of a range of its owner: nothing, one end, or both. */
static void
holder_insert_rest (Holder *self, Range range, const TtlLock *lock)
{
  Range rest = range;

  if (range.start < lock->start)
    {
      rest.end = lock->start - 1;
      holder_insert (self, rest);
    }
  if (range.end > lock->end)
    {
      rest = range;
      rest.start = lock->end + 1;
      holder_insert (self, rest);
    }
}

/* What the owner, who has @old or nothing yet (NULL), has once @lock is set. Free with g_free().
 * The new range takes in those of its type that it meets; the ends of others are cut by @lock as
 * it was asked for, which is the same, since what was taken in met none of them. */
static Holder *
holder_with (const Holder *old, const TtlLock *lock)
{
  guint n_old = old != NULL ? old->n_ranges : 0;
  Holder *self = g_malloc (sizeof (Holder) + (n_old + 2) * sizeof (Range));
  Range added = { lock->start, lock->end, lock->handle, lock->pid, lock->type };

  self->owner = lock->owner;
  self->n_ranges = 0;
  for (guint i = 0; i < n_old; i++)
    {
      const Range *range = &old->ranges[i];

      if (range->type == lock->type && touches (range, lock))
        {
          added.start = MIN (added.start, range->start);
          added.end = MAX (added.end, range->end);
        }
      else if (overlaps (range, lock))
        holder_insert_rest (self, *range, lock);
      else
        holder_insert (self, *range);
    }
  if (lock->type != F_UNLCK)
    holder_insert (self, added);
  return self;
}

/* The first range that does not end before @start. */
static guint
holder_find (const Holder *self, guint64 start)
{
  guint low = 0;
  guint high = self->n_ranges;

  while (low < high)
    {
      guint mid = low + (high - low) / 2;

      if (self->ranges[mid].end < start)
        low = mid + 1;
      else
        high = mid;
    }
  return low;
}

/* The first range in the way of @wanted, or NULL. */
static const Range *
holder_conflict (const Holder *self, const TtlLock *wanted)
{
  if (self->owner == wanted->owner || wanted->type == F_UNLCK)
    return NULL;
  for (guint i = holder_find (self, wanted->start); i < self->n_ranges; i++)
    {
      const Range *range = &self->ranges[i];

      if (range->start > wanted->end)
        break;
      if (range->type == F_WRLCK || wanted->type == F_WRLCK)
        return range;
    }
  return NULL;
}

static void
holder_drop_handle (Holder *self, guint64 handle)
{
  guint kept = 0;

  for (guint i = 0; i < self->n_ranges; i++)
    if (self->ranges[i].handle != handle)
      self->ranges[kept++] = self->ranges[i];
  self->n_ranges = kept;
}

/* --- the holders of one file --- */

/* Its place, or holders->len. */
static guint
find_holder (const GPtrArray *holders, guint64 owner)
{
  guint at = 0;

  while (at < holders->len && ((const Holder *)holders->pdata[at])->owner != owner)
    at++;
  return at;
}

/* Of the ranges in the way the one that begins first, or NULL. */
static const Range *
find_conflict_locked (const TtlLockFile *self, TtlLockKind kind, const TtlLock *wanted,
                      guint64 *owner_out)
{
  const GPtrArray *holders = self->holders[kind];
  const Range *first = NULL;

  for (guint i = 0; i < holders->len; i++)
    {
      const Holder *holder = holders->pdata[i];
      const Range *range = holder_conflict (holder, wanted);

      if (range == NULL || (first != NULL && first->start <= range->start))
        continue;
      first = range;
      *owner_out = holder->owner;
    }
  return first;
}

static gboolean
is_blocked_locked (const TtlLockFile *self, TtlLockKind kind, const TtlLock *wanted)
{
  guint64 owner;

  return find_conflict_locked (self, kind, wanted, &owner) != NULL;
}

/* Sets what is in nobody's way. 0, or -ENOLCK and nothing has changed. */
static int
change_locked (TtlLockFile *self, TtlLockKind kind, const TtlLock *lock)
{
  GPtrArray *holders = self->holders[kind];
  guint at = find_holder (holders, lock->owner);
  const Holder *old = at < holders->len ? holders->pdata[at] : NULL;
  g_autofree Holder *next = holder_with (old, lock);

  if (next->n_ranges > TTL_LOCK_MAX_RANGES)
    return -ENOLCK;
  if (old != NULL)
    g_ptr_array_remove_index_fast (holders, at);
  if (next->n_ranges > 0)
    g_ptr_array_add (holders, g_steal_pointer (&next));
  return 0;
}

static void
drop_owner_locked (TtlLockFile *self, TtlLockKind kind, guint64 owner)
{
  TtlLock all = { .owner = owner, .end = G_MAXINT64, .type = F_UNLCK };

  change_locked (self, kind, &all);
}

static void
drop_handle_locked (TtlLockFile *self, TtlLockKind kind, guint64 handle)
{
  GPtrArray *holders = self->holders[kind];

  for (guint i = holders->len; i-- > 0;)
    {
      Holder *holder = holders->pdata[i];

      holder_drop_handle (holder, handle);
      if (holder->n_ranges == 0)
        g_ptr_array_remove_index_fast (holders, i);
    }
}

/* --- waiting --- */

/* A table's key is the first Waiter's own field, so it moves whenever another becomes the first. */
static void
set_first_of_owner_locked (TtlLocks *self, guint64 owner, Waiter *first)
{
  if (first != NULL)
    g_hash_table_replace (self->posix_waiters, &first->wanted.owner, first);
  else
    g_hash_table_remove (self->posix_waiters, &owner);
}

static void
add_to_owner_locked (TtlLocks *self, Waiter *waiter)
{
  waiter->next_of_owner = g_hash_table_lookup (self->posix_waiters, &waiter->wanted.owner);
  set_first_of_owner_locked (self, waiter->wanted.owner, waiter);
}

static void
remove_from_owner_locked (TtlLocks *self, Waiter *waiter)
{
  Waiter *at = g_hash_table_lookup (self->posix_waiters, &waiter->wanted.owner);

  if (at == waiter)
    {
      set_first_of_owner_locked (self, waiter->wanted.owner, waiter->next_of_owner);
      return;
    }
  while (at->next_of_owner != waiter)
    at = at->next_of_owner;
  at->next_of_owner = waiter->next_of_owner;
}

static void
begin_wait_locked (Waiter *self)
{
  self->link.data = self;
  g_queue_push_tail_link (&self->file->waiters[self->kind], &self->link);
  if (self->ticket != 0)
    g_hash_table_insert (self->file->locks->tickets, &self->ticket, self);
  if (self->kind == TTL_LOCK_POSIX)
    add_to_owner_locked (self->file->locks, self);
}

/* From here on nobody finds it; it is the caller's. */
static void
end_wait_locked (Waiter *self)
{
  TtlLocks *locks = self->file->locks;

  g_queue_unlink (&self->file->waiters[self->kind], &self->link);
  if (self->ticket != 0)
    g_hash_table_remove (locks->tickets, &self->ticket);
  if (self->kind == TTL_LOCK_POSIX)
    remove_from_owner_locked (locks, self);
  self->file = NULL;
}

/* The caller hands @answered to call_grants() once the mutex is released. */
static void
answer_locked (Waiter *waiter, int res, GQueue *answered)
{
  waiter->res = res;
  g_queue_push_tail_link (answered, &waiter->link);
}

static void
call_grants (GQueue *answered)
{
  GList *link;

  while ((link = g_queue_pop_head_link (answered)) != NULL)
    {
      g_autofree Waiter *waiter = link->data;

      waiter->grant (waiter->res, waiter->data);
    }
}

/* One round is not always enough: a lock granted for reading may replace its owner's own lock for
 * writing, which was in the way of somebody further ahead. */
static void
grant_waiters_locked (TtlLockFile *self, TtlLockKind kind, GQueue *answered)
{
  gboolean again;

  do
    {
      GList *next;

      again = FALSE;
      for (GList *link = self->waiters[kind].head; link != NULL; link = next)
        {
          Waiter *waiter = link->data;

          next = link->next;
          if (is_blocked_locked (self, kind, &waiter->wanted))
            continue;
          end_wait_locked (waiter);
          answer_locked (waiter, change_locked (self, kind, &waiter->wanted), answered);
          again = TRUE;
        }
    }
  while (again);
}

static void
interrupt_waiters_locked (TtlLockFile *self, TtlLockKind kind, guint64 handle, GQueue *answered)
{
  GList *next;

  for (GList *link = self->waiters[kind].head; link != NULL; link = next)
    {
      Waiter *waiter = link->data;

      next = link->next;
      if (waiter->wanted.handle != handle)
        continue;
      end_wait_locked (waiter);
      answer_locked (waiter, -EINTR, answered);
    }
}

/* --- who waits for whom --- */

/* Puts on @todo the waits of those who are in the way of @waiter and were not @seen. FALSE:
 * @owner is one of them. */
static gboolean
follow_locked (const Waiter *waiter, guint64 owner, GHashTable *seen, GPtrArray *todo)
{
  const GPtrArray *holders = waiter->file->holders[TTL_LOCK_POSIX];

  for (guint i = 0; i < holders->len; i++)
    {
      Holder *holder = holders->pdata[i];

      if (holder_conflict (holder, &waiter->wanted) == NULL)
        continue;
      if (holder->owner == owner)
        return FALSE;
      if (!g_hash_table_add (seen, &holder->owner))
        continue;
      for (Waiter *next = g_hash_table_lookup (waiter->file->locks->posix_waiters, &holder->owner);
           next != NULL; next = next->next_of_owner)
        g_ptr_array_add (todo, next);
    }
  return TRUE;
}

/* Whether @waiter, which is about to wait, would wait for itself. Looked for here and nowhere
 * else: an owner that is granted a lock does not wait, so no circle begins with a grant. (One
 * with several threads may; another of its threads can still get it out.) */
static gboolean
would_deadlock_locked (Waiter *waiter)
{
  g_autoptr (GHashTable) seen = g_hash_table_new (g_int64_hash, g_int64_equal);
  g_autoptr (GPtrArray) todo = g_ptr_array_new ();

  g_ptr_array_add (todo, waiter);
  while (todo->len > 0)
    {
      const Waiter *at = g_ptr_array_steal_index_fast (todo, todo->len - 1);

      if (!follow_locked (at, waiter->wanted.owner, seen, todo))
        return TRUE;
    }
  return FALSE;
}

/* --- the table --- */

/* Chosen by users, but there are no more of them than somebody has open: not worth a secret
 * hash. */
static guint
file_hash (gconstpointer data)
{
  const TtlLockFile *self = data;

  return g_str_hash (self->backing) ^ g_int64_hash (&self->bucket) * 31;
}

static gboolean
file_equal (gconstpointer a, gconstpointer b)
{
  const TtlLockFile *one = a;
  const TtlLockFile *other = b;

  return one->bucket == other->bucket && strcmp (one->backing, other->backing) == 0;
}

TtlLocks *
ttl_locks_new (void)
{
  TtlLocks *self = g_new0 (TtlLocks, 1);

  pthread_mutex_init (&self->lock, NULL);
  self->files = g_hash_table_new (file_hash, file_equal);
  self->tickets = g_hash_table_new (g_int64_hash, g_int64_equal);
  self->posix_waiters = g_hash_table_new (g_int64_hash, g_int64_equal);
  return self;
}

void
ttl_locks_free (TtlLocks *self)
{
  GHashTableIter iter;
  gpointer waiter;

  if (self == NULL)
    return;
  g_warn_if_fail (g_hash_table_size (self->files) == 0);
  g_hash_table_iter_init (&iter, self->tickets);
  while (g_hash_table_iter_next (&iter, NULL, &waiter))
    g_free (waiter);
  g_hash_table_unref (self->files);
  g_hash_table_unref (self->tickets);
  g_hash_table_unref (self->posix_waiters);
  pthread_mutex_destroy (&self->lock);
  g_free (self);
}

static TtlLockFile *
file_new_locked (TtlLocks *locks, guint64 bucket, const char *backing)
{
  TtlLockFile *self = g_new0 (TtlLockFile, 1);

  self->locks = locks;
  self->bucket = bucket;
  self->backing = g_strdup (backing);
  for (int kind = 0; kind < N_KINDS; kind++)
    {
      self->holders[kind] = g_ptr_array_new_with_free_func (g_free);
      g_queue_init (&self->waiters[kind]);
    }
  g_hash_table_add (locks->files, self);
  return self;
}

TtlLockFile *
ttl_locks_ensure_file (TtlLocks *self, guint64 bucket, const char *backing)
{
  TtlLockFile key = { .bucket = bucket, .backing = (char *)backing };
  TTL_LOCKED (&self->lock);
  TtlLockFile *file = g_hash_table_lookup (self->files, &key);

  if (file == NULL)
    file = file_new_locked (self, bucket, backing);
  file->refs++;
  return file;
}

static void
interrupt_all_locked (TtlLockFile *self, GQueue *answered)
{
  for (int kind = 0; kind < N_KINDS; kind++)
    while (self->waiters[kind].head != NULL)
      {
        Waiter *waiter = self->waiters[kind].head->data;

        end_wait_locked (waiter);
        answer_locked (waiter, -EINTR, answered);
      }
}

void
ttl_lock_file_unref (TtlLockFile *self)
{
  GQueue answered = G_QUEUE_INIT;

  if (self == NULL)
    return;
  {
    TTL_LOCKED (&self->locks->lock);
    if (--self->refs > 0)
      return;
    interrupt_all_locked (self, &answered);
    g_hash_table_remove (self->locks->files, self);
  }
  call_grants (&answered);
  for (int kind = 0; kind < N_KINDS; kind++)
    g_ptr_array_unref (self->holders[kind]);
  g_free (self->backing);
  g_free (self);
}

guint64
ttl_locks_new_ticket (TtlLocks *self)
{
  Waiter *waiter = g_new0 (Waiter, 1);
  TTL_LOCKED (&self->lock);

  waiter->ticket = ++self->last_ticket;
  g_hash_table_insert (self->tickets, &waiter->ticket, waiter);
  return waiter->ticket;
}

/* Uses the ticket up: what was reserved is the caller's. */
static Waiter *
take_ticket_locked (TtlLocks *self, guint64 ticket)
{
  Waiter *waiter = ticket != 0 ? g_hash_table_lookup (self->tickets, &ticket) : NULL;

  g_return_val_if_fail (ticket == 0 || (waiter != NULL && waiter->file == NULL),
                        g_new0 (Waiter, 1));
  if (waiter == NULL)
    return g_new0 (Waiter, 1);
  g_hash_table_remove (self->tickets, &ticket);
  return waiter;
}

/* --- the verbs --- */

/* A request as the rest of this file wants it: flocks with a range, and no end behind the last
 * byte. */
static int
normalize (TtlLockKind kind, const TtlLock *wanted, TtlLock *lock_out)
{
  *lock_out = *wanted;
  if (kind == TTL_LOCK_FLOCK)
    lock_out->start = 0;
  if (kind == TTL_LOCK_FLOCK || lock_out->end > G_MAXINT64)
    lock_out->end = G_MAXINT64;
  if (wanted->type != F_RDLCK && wanted->type != F_WRLCK && wanted->type != F_UNLCK)
    return -EINVAL;
  return lock_out->start <= lock_out->end ? 0 : -EINVAL;
}

/* @waiter stands for the request; on -EINPROGRESS it is the file's. */
static int
set_or_wait_locked (Waiter *waiter)
{
  TtlLockFile *file = waiter->file;

  /* A conversion gives back first. Who asks again for what it has gets it again: no waiter is
   * looked at in between. */
  if (waiter->kind == TTL_LOCK_FLOCK)
    drop_owner_locked (file, TTL_LOCK_FLOCK, waiter->wanted.owner);
  if (!is_blocked_locked (file, waiter->kind, &waiter->wanted))
    return change_locked (file, waiter->kind, &waiter->wanted);
  if (waiter->grant == NULL)
    return -EAGAIN;
  if (waiter->cancelled)
    return -EINTR;
  if (waiter->kind == TTL_LOCK_POSIX && would_deadlock_locked (waiter))
    return -EDEADLK;
  begin_wait_locked (waiter);
  return -EINPROGRESS;
}

int
ttl_lock_set (TtlLockFile *self, TtlLockKind kind, const TtlLock *wanted, guint64 ticket,
              TtlLockGrant grant, gpointer data)
{
  g_autofree Waiter *waiter = NULL;
  GQueue answered = G_QUEUE_INIT;
  int res;

  {
    TTL_LOCKED (&self->locks->lock);
    waiter = take_ticket_locked (self->locks, ticket);
    res = normalize (kind, wanted, &waiter->wanted);
    if (res < 0)
      return res;
    waiter->file = self;
    waiter->kind = kind;
    waiter->grant = grant;
    waiter->data = data;
    res = set_or_wait_locked (waiter);
    if (res == -EINPROGRESS)
      g_steal_pointer (&waiter);
    grant_waiters_locked (self, kind, &answered);
  }
  call_grants (&answered);
  return res;
}

gboolean
ttl_locks_cancel (TtlLocks *self, guint64 ticket)
{
  g_autofree Waiter *waiter = NULL;
  TTL_LOCKED (&self->lock);
  Waiter *found = g_hash_table_lookup (self->tickets, &ticket);

  if (found == NULL)
    return FALSE;
  if (found->file == NULL)
    {
      found->cancelled = TRUE;
      return FALSE;
    }
  end_wait_locked (found);
  waiter = g_steal_pointer (&found);
  return TRUE;
}

void
ttl_lock_get (TtlLockFile *self, TtlLockKind kind, const TtlLock *wanted, TtlLock *conflict_out)
{
  TtlLock lock;
  const Range *range = NULL;
  guint64 owner = 0;
  int res = normalize (kind, wanted, &lock);
  TTL_LOCKED (&self->locks->lock);

  if (res == 0)
    range = find_conflict_locked (self, kind, &lock, &owner);
  *conflict_out = lock;
  conflict_out->type = F_UNLCK;
  if (range != NULL)
    *conflict_out
        = (TtlLock){ owner, range->handle, range->start, range->end, range->pid, range->type };
}

gboolean
ttl_lock_is_weaker (TtlLockFile *self, TtlLockKind kind, const TtlLock *wanted)
{
  const GPtrArray *holders = self->holders[kind];
  const Holder *holder;
  TtlLock lock;
  guint at;

  if (wanted->type != F_RDLCK || normalize (kind, wanted, &lock) < 0)
    return FALSE;
  TTL_LOCKED (&self->locks->lock);
  at = find_holder (holders, lock.owner);
  holder = at < holders->len ? holders->pdata[at] : NULL;
  for (guint i = 0; holder != NULL && i < holder->n_ranges; i++)
    if (holder->ranges[i].type == F_WRLCK && overlaps (&holder->ranges[i], &lock))
      return TRUE;
  return FALSE;
}

void
ttl_lock_release_owner (TtlLockFile *self, TtlLockKind kind, guint64 owner)
{
  GQueue answered = G_QUEUE_INIT;

  {
    TTL_LOCKED (&self->locks->lock);
    drop_owner_locked (self, kind, owner);
    grant_waiters_locked (self, kind, &answered);
  }
  call_grants (&answered);
}

void
ttl_lock_release_handle (TtlLockFile *self, guint64 handle)
{
  GQueue answered = G_QUEUE_INIT;

  {
    TTL_LOCKED (&self->locks->lock);
    for (int kind = 0; kind < N_KINDS; kind++)
      {
        drop_handle_locked (self, kind, handle);
        interrupt_waiters_locked (self, kind, handle, &answered);
        grant_waiters_locked (self, kind, &answered);
      }
  }
  call_grants (&answered);
}
