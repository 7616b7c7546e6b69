#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "locks.h"

#define TO_EOF G_MAXINT64

/* One for all: Criterion 2.4 leaks in its own process when a test of a shorter timeout starts while
 * one of a longer timeout runs, and the address sanitizer then calls the whole program failed. */
#define TIMEOUT_S 60

/* One table with two keys, a and b. */
typedef struct
{
  TtlLocks *locks;
  TtlLockFile *a;
  TtlLockFile *b;
} Fixture;

static void
fixture_clear (Fixture *self)
{
  ttl_lock_file_unref (self->a);
  ttl_lock_file_unref (self->b);
  ttl_locks_free (self->locks);
}

static Fixture
fixture_new (void)
{
  Fixture self = { .locks = ttl_locks_new () };

  self.a = ttl_locks_ensure_file (self.locks, 1, "a");
  self.b = ttl_locks_ensure_file (self.locks, 1, "b");
  return self;
}

#define FIXTURE(name) __attribute__ ((cleanup (fixture_clear))) Fixture name = fixture_new ()

/* Owner n comes through handle 100 + n and is process 1000 + n. */
static TtlLock
lock_of (guint64 owner, short type, guint64 start, guint64 end)
{
  return (TtlLock){ owner, 100 + owner, start, end, (gint32)(1000 + owner), type };
}

static int
try_posix (TtlLockFile *file, guint64 owner, short type, guint64 start, guint64 end)
{
  TtlLock lock = lock_of (owner, type, start, end);

  return ttl_lock_set (file, TTL_LOCK_POSIX, &lock, 0, NULL, NULL);
}

static int
try_flock (TtlLockFile *file, guint64 owner, short type)
{
  TtlLock lock = lock_of (owner, type, 0, 0);

  return ttl_lock_set (file, TTL_LOCK_FLOCK, &lock, 0, NULL, NULL);
}

/* --- waits that write down how they end --- */

typedef struct
{
  char name;
  int res; /* 1: not yet answered */
  GString *order;
} Wait;

static void
on_grant (int res, gpointer data)
{
  Wait *wait = data;

  cr_assert_eq (wait->res, 1, "%c is answered twice", wait->name);
  wait->res = res;
  if (wait->order != NULL)
    g_string_append_c (wait->order, wait->name);
}

static int
wait_posix (TtlLockFile *file, guint64 owner, short type, guint64 start, guint64 end, Wait *wait)
{
  TtlLock lock = lock_of (owner, type, start, end);

  wait->res = 1;
  return ttl_lock_set (file, TTL_LOCK_POSIX, &lock, 0, on_grant, wait);
}

static int
wait_flock (TtlLockFile *file, guint64 owner, short type, Wait *wait)
{
  TtlLock lock = lock_of (owner, type, 0, 0);

  wait->res = 1;
  return ttl_lock_set (file, TTL_LOCK_FLOCK, &lock, 0, on_grant, wait);
}

static int
wait_with_ticket (TtlLockFile *file, guint64 owner, guint64 ticket, Wait *wait)
{
  TtlLock lock = lock_of (owner, F_WRLCK, 0, TO_EOF);

  wait->res = 1;
  return ttl_lock_set (file, TTL_LOCK_POSIX, &lock, ticket, on_grant, wait);
}

/* --- what is held, as text: "R0-4 W7-" --- */

static const char *
seen_by (TtlLockFile *file, TtlLockKind kind, guint64 owner)
{
  static char text[512];
  TtlLock wanted = lock_of (owner, F_WRLCK, 0, TO_EOF);
  TtlLock found;
  gsize len = 0;

  text[0] = '\0';
  for (;;)
    {
      ttl_lock_get (file, kind, &wanted, &found);
      if (found.type == F_UNLCK)
        return text;
      len += (gsize)g_snprintf (text + len, sizeof text - len, "%s%c%" G_GUINT64_FORMAT "-",
                                len > 0 ? " " : "", found.type == F_RDLCK ? 'R' : 'W', found.start);
      if (found.end == TO_EOF)
        return text;
      len += (gsize)g_snprintf (text + len, sizeof text - len, "%" G_GUINT64_FORMAT, found.end);
      wanted.start = found.end + 1;
    }
}

#define assert_posix(file, expected) \
  cr_assert_str_eq (seen_by ((file), TTL_LOCK_POSIX, 99), (expected))
#define assert_flock(file, expected) \
  cr_assert_str_eq (seen_by ((file), TTL_LOCK_FLOCK, 99), (expected))

/* --- the table --- */

Test (locks, of_one_key_are_shared_by_all_who_ask_for_it)
{
  FIXTURE (f);
  g_autoptr (TtlLockFile) again = ttl_locks_ensure_file (f.locks, 1, "a");

  cr_assert_eq (again, f.a);
}

Test (locks, of_one_name_in_two_buckets_are_apart)
{
  FIXTURE (f);
  g_autoptr (TtlLockFile) other = ttl_locks_ensure_file (f.locks, 2, "a");
  g_autoptr (TtlLockFile) same_hash = ttl_locks_ensure_file (f.locks, 1 + ((guint64)1 << 32), "a");

  cr_assert_eq (try_posix (f.a, 1, F_WRLCK, 0, TO_EOF), 0);
  cr_assert_eq (try_posix (other, 2, F_WRLCK, 0, TO_EOF), 0);
  cr_assert_eq (try_posix (same_hash, 3, F_WRLCK, 0, TO_EOF), 0);
}

Test (locks, of_two_keys_are_apart)
{
  FIXTURE (f);

  cr_assert_eq (try_posix (f.a, 1, F_WRLCK, 0, TO_EOF), 0);
  cr_assert_eq (try_posix (f.b, 2, F_WRLCK, 0, TO_EOF), 0);
}

Test (locks, go_with_the_last_reference)
{
  FIXTURE (f);
  TtlLockFile *file = ttl_locks_ensure_file (f.locks, 1, "c");

  cr_assert_eq (try_posix (file, 1, F_WRLCK, 0, TO_EOF), 0);
  cr_assert_eq (try_flock (file, 1, F_WRLCK), 0);
  ttl_lock_file_unref (file);
  file = ttl_locks_ensure_file (f.locks, 1, "c");
  assert_posix (file, "");
  assert_flock (file, "");
  ttl_lock_file_unref (file);
}

Test (locks, stay_until_the_last_reference)
{
  FIXTURE (f);
  TtlLockFile *again = ttl_locks_ensure_file (f.locks, 1, "a");

  cr_assert_eq (try_posix (again, 1, F_WRLCK, 0, TO_EOF), 0);
  ttl_lock_file_unref (again);
  assert_posix (f.a, "W0-");
}

Test (locks, interrupt_who_still_waits_at_the_last_reference)
{
  FIXTURE (f);
  TtlLockFile *file = ttl_locks_ensure_file (f.locks, 1, "c");
  Wait posix = { .name = 'p' }, flocked = { .name = 'f' };

  try_posix (file, 1, F_WRLCK, 0, TO_EOF);
  try_flock (file, 1, F_WRLCK);
  cr_assert_eq (wait_posix (file, 2, F_WRLCK, 0, TO_EOF, &posix), -EINPROGRESS);
  cr_assert_eq (wait_flock (file, 2, F_WRLCK, &flocked), -EINPROGRESS);
  ttl_lock_file_unref (file);
  cr_assert_eq (posix.res, -EINTR);
  cr_assert_eq (flocked.res, -EINTR);
}

/* --- what is no request --- */

Test (locks, refuse_a_range_that_ends_before_it_starts)
{
  FIXTURE (f);

  cr_assert_eq (try_posix (f.a, 1, F_WRLCK, 5, 4), -EINVAL);
  cr_assert_eq (try_posix (f.a, 1, F_WRLCK, 5, 5), 0);
}

Test (locks, refuse_a_range_that_starts_behind_the_last_offset)
{
  FIXTURE (f);

  cr_assert_eq (try_posix (f.a, 1, F_WRLCK, (guint64)G_MAXINT64 + 1, G_MAXUINT64), -EINVAL);
  cr_assert_eq (try_posix (f.a, 1, F_WRLCK, G_MAXINT64, G_MAXUINT64), 0);
}

Test (locks, refuse_an_unknown_type)
{
  FIXTURE (f);

  cr_assert_eq (try_posix (f.a, 1, 77, 0, 1), -EINVAL);
  cr_assert_eq (try_flock (f.a, 1, 77), -EINVAL);
}

Test (locks, use_up_the_ticket_of_a_request_that_is_none)
{
  FIXTURE (f);
  TtlLock lock = lock_of (1, F_WRLCK, 5, 4);
  guint64 ticket = ttl_locks_new_ticket (f.locks);

  cr_assert_eq (ttl_lock_set (f.a, TTL_LOCK_POSIX, &lock, ticket, on_grant, NULL), -EINVAL);
  cr_assert_not (ttl_locks_cancel (f.locks, ticket));
}

/* --- POSIX: who conflicts --- */

Test (posix_locks, for_reading_are_shared)
{
  FIXTURE (f);

  cr_assert_eq (try_posix (f.a, 1, F_RDLCK, 0, TO_EOF), 0);
  cr_assert_eq (try_posix (f.a, 2, F_RDLCK, 0, TO_EOF), 0);
}

Test (posix_locks, for_writing_exclude_readers_and_writers)
{
  FIXTURE (f);

  cr_assert_eq (try_posix (f.a, 1, F_WRLCK, 10, 19), 0);
  cr_assert_eq (try_posix (f.a, 2, F_RDLCK, 19, 19), -EAGAIN);
  cr_assert_eq (try_posix (f.a, 2, F_WRLCK, 10, 10), -EAGAIN);
}

Test (posix_locks, for_reading_exclude_writers)
{
  FIXTURE (f);

  cr_assert_eq (try_posix (f.a, 1, F_RDLCK, 10, 19), 0);
  cr_assert_eq (try_posix (f.a, 2, F_WRLCK, 0, TO_EOF), -EAGAIN);
}

Test (posix_locks, that_only_touch_do_not_conflict)
{
  FIXTURE (f);

  cr_assert_eq (try_posix (f.a, 1, F_WRLCK, 10, 19), 0);
  cr_assert_eq (try_posix (f.a, 2, F_WRLCK, 0, 9), 0);
  cr_assert_eq (try_posix (f.a, 2, F_WRLCK, 20, TO_EOF), 0);
}

Test (posix_locks, of_one_owner_never_conflict)
{
  FIXTURE (f);

  cr_assert_eq (try_posix (f.a, 1, F_WRLCK, 0, 9), 0);
  cr_assert_eq (try_posix (f.a, 1, F_RDLCK, 5, 14), 0);
}

Test (posix_locks, reach_to_the_end_of_the_file_however_that_is_written)
{
  FIXTURE (f);

  cr_assert_eq (try_posix (f.a, 1, F_WRLCK, 5, G_MAXUINT64), 0);
  assert_posix (f.a, "W5-");
  cr_assert_eq (try_posix (f.a, 1, F_RDLCK, 5, (guint64)G_MAXINT64 + 1), 0);
  assert_posix (f.a, "R5-");
  cr_assert_eq (try_posix (f.a, 2, F_WRLCK, G_MAXINT64, G_MAXINT64), -EAGAIN);
  cr_assert_eq (try_posix (f.a, 1, F_UNLCK, 7, G_MAXINT64), 0);
  assert_posix (f.a, "R5-6");
}

Test (posix_locks, change_nothing_when_refused)
{
  FIXTURE (f);

  try_posix (f.a, 1, F_RDLCK, 0, 9);
  try_posix (f.a, 2, F_WRLCK, 10, 19);
  cr_assert_eq (try_posix (f.a, 1, F_WRLCK, 5, 10), -EAGAIN);
  assert_posix (f.a, "R0-9 W10-19");
}

Test (posix_locks, unlock_what_is_not_locked)
{
  FIXTURE (f);

  try_posix (f.a, 1, F_WRLCK, 0, 9);
  cr_assert_eq (try_posix (f.a, 2, F_UNLCK, 0, TO_EOF), 0);
  assert_posix (f.a, "W0-9");
}

/* --- POSIX: split, merge, upgrade, downgrade --- */

Test (posix_locks, are_split_by_an_unlock_in_the_middle)
{
  FIXTURE (f);

  try_posix (f.a, 1, F_WRLCK, 0, TO_EOF);
  try_posix (f.a, 1, F_UNLCK, 4, 6);
  assert_posix (f.a, "W0-3 W7-");
}

Test (posix_locks, are_cut_by_an_unlock_at_either_end)
{
  FIXTURE (f);

  try_posix (f.a, 1, F_WRLCK, 10, 19);
  try_posix (f.a, 1, F_UNLCK, 5, 10);
  try_posix (f.a, 1, F_UNLCK, 19, 30);
  assert_posix (f.a, "W11-18");
}

Test (posix_locks, are_split_by_a_downgrade_in_the_middle)
{
  FIXTURE (f);

  try_posix (f.a, 1, F_WRLCK, 0, 9);
  try_posix (f.a, 1, F_RDLCK, 4, 6);
  assert_posix (f.a, "W0-3 R4-6 W7-9");
}

Test (posix_locks, are_whole_again_after_an_upgrade_of_the_middle)
{
  FIXTURE (f);

  try_posix (f.a, 1, F_WRLCK, 0, 9);
  try_posix (f.a, 1, F_RDLCK, 4, 6);
  try_posix (f.a, 1, F_WRLCK, 4, 6);
  assert_posix (f.a, "W0-9");
}

Test (posix_locks, merge_with_neighbours_of_their_type)
{
  FIXTURE (f);

  try_posix (f.a, 1, F_RDLCK, 0, 3);
  try_posix (f.a, 1, F_RDLCK, 7, 9);
  try_posix (f.a, 1, F_RDLCK, 4, 6);
  assert_posix (f.a, "R0-9");
}

Test (posix_locks, do_not_merge_across_a_gap_of_one_byte)
{
  FIXTURE (f);

  try_posix (f.a, 1, F_RDLCK, 0, 3);
  try_posix (f.a, 1, F_RDLCK, 5, 9);
  assert_posix (f.a, "R0-3 R5-9");
}

Test (posix_locks, do_not_merge_with_another_type_or_owner)
{
  FIXTURE (f);

  try_posix (f.a, 1, F_RDLCK, 0, 3);
  try_posix (f.a, 1, F_WRLCK, 4, 6);
  try_posix (f.a, 2, F_WRLCK, 7, 9);
  assert_posix (f.a, "R0-3 W4-6 W7-9");
}

Test (posix_locks, swallow_all_that_they_cover)
{
  FIXTURE (f);

  for (guint64 i = 0; i < 20; i += 2)
    try_posix (f.a, 1, i % 4 == 0 ? F_RDLCK : F_WRLCK, i, i);
  try_posix (f.a, 1, F_WRLCK, 3, 16);
  assert_posix (f.a, "R0-0 W2-16 W18-18");
}

Test (posix_locks, are_at_most_so_many_of_one_owner)
{
  FIXTURE (f);

  for (guint64 i = 0; i < TTL_LOCK_MAX_RANGES; i++)
    cr_assert_eq (try_posix (f.a, 1, F_WRLCK, 10 + 4 * i, 11 + 4 * i), 0);
  cr_assert_eq (try_posix (f.a, 1, F_WRLCK, 0, 0), -ENOLCK);
  cr_assert_eq (try_posix (f.a, 1, F_RDLCK, 10, 10), -ENOLCK, "a split");
  cr_assert_eq (try_posix (f.a, 2, F_WRLCK, 0, 0), 0, "another owner");
  cr_assert_eq (try_posix (f.b, 1, F_WRLCK, 0, 0), 0, "another key");
  cr_assert_eq (try_posix (f.a, 1, F_WRLCK, 12, 13), 0, "a merge");
  cr_assert_eq (try_posix (f.a, 1, F_WRLCK, 1, 1), 0, "room again");
}

Test (posix_locks, are_split_by_an_unlock_only_as_often_as_is_allowed)
{
  FIXTURE (f);
  guint64 at = 0;
  int res = try_posix (f.a, 1, F_WRLCK, 0, TO_EOF);

  while (res == 0)
    {
      at += 2;
      res = try_posix (f.a, 1, F_UNLCK, at, at);
    }
  cr_assert_eq (res, -ENOLCK);
  cr_assert_eq (at, 2 * TTL_LOCK_MAX_RANGES);
  cr_assert_eq (try_posix (f.a, 2, F_WRLCK, at, at), -EAGAIN, "it is still locked");
  cr_assert_eq (try_posix (f.a, 1, F_UNLCK, 0, TO_EOF), 0);
  assert_posix (f.a, "");
}

/* --- POSIX: asking --- */

Test (posix_locks, tell_who_is_in_the_way)
{
  FIXTURE (f);
  TtlLock wanted = lock_of (2, F_RDLCK, 0, 15);
  TtlLock found;

  try_posix (f.a, 1, F_WRLCK, 10, G_MAXUINT64);
  ttl_lock_get (f.a, TTL_LOCK_POSIX, &wanted, &found);
  cr_assert_eq (found.type, F_WRLCK);
  cr_assert_eq (found.owner, 1);
  cr_assert_eq (found.pid, 1001);
  cr_assert_eq (found.start, 10);
  cr_assert_eq (found.end, G_MAXINT64);
}

Test (posix_locks, tell_of_the_first_in_the_way)
{
  FIXTURE (f);
  TtlLock wanted = lock_of (9, F_RDLCK, 0, TO_EOF);
  TtlLock found;

  try_posix (f.a, 1, F_WRLCK, 30, 30);
  try_posix (f.a, 2, F_RDLCK, 10, 10);
  try_posix (f.a, 3, F_WRLCK, 20, 20);
  ttl_lock_get (f.a, TTL_LOCK_POSIX, &wanted, &found);
  cr_assert_eq (found.start, 20);
}

Test (posix_locks, tell_nothing_when_nobody_is_in_the_way)
{
  FIXTURE (f);
  TtlLock own = lock_of (1, F_WRLCK, 0, TO_EOF);
  TtlLock unlock = lock_of (2, F_UNLCK, 0, TO_EOF);
  TtlLock backwards = lock_of (2, F_WRLCK, 5, 4);
  TtlLock found;

  try_posix (f.a, 1, F_WRLCK, 0, TO_EOF);
  ttl_lock_get (f.a, TTL_LOCK_POSIX, &own, &found);
  cr_assert_eq (found.type, F_UNLCK);
  ttl_lock_get (f.a, TTL_LOCK_POSIX, &unlock, &found);
  cr_assert_eq (found.type, F_UNLCK);
  ttl_lock_get (f.a, TTL_LOCK_POSIX, &backwards, &found);
  cr_assert_eq (found.type, F_UNLCK);
}

/* --- POSIX: waiting --- */

Test (posix_locks, are_granted_when_the_conflict_is_gone)
{
  FIXTURE (f);
  Wait wait = { .name = 'w' };

  try_posix (f.a, 1, F_WRLCK, 0, 9);
  cr_assert_eq (wait_posix (f.a, 2, F_WRLCK, 5, 14, &wait), -EINPROGRESS);
  try_posix (f.a, 1, F_UNLCK, 0, 4);
  cr_assert_eq (wait.res, 1, "not yet");
  try_posix (f.a, 1, F_UNLCK, 5, 9);
  cr_assert_eq (wait.res, 0);
  assert_posix (f.a, "W5-14");
}

Test (posix_locks, are_set_at_once_when_nothing_has_to_be_waited_for)
{
  FIXTURE (f);
  Wait wait = { .name = 'w' };

  cr_assert_eq (wait_posix (f.a, 1, F_WRLCK, 0, 9, &wait), 0);
  cr_assert_eq (wait.res, 1, "no callback then");
}

Test (posix_locks, are_granted_to_readers_by_a_downgrade)
{
  FIXTURE (f);
  Wait reader = { .name = 'r' }, writer = { .name = 'w' };

  try_posix (f.a, 1, F_WRLCK, 0, 9);
  wait_posix (f.a, 2, F_WRLCK, 0, 9, &writer);
  wait_posix (f.a, 3, F_RDLCK, 0, 9, &reader);
  try_posix (f.a, 1, F_RDLCK, 0, 9);
  cr_assert_eq (reader.res, 0);
  cr_assert_eq (writer.res, 1);
  ttl_lock_release_handle (f.a, 102);
}

Test (posix_locks, are_granted_in_the_order_of_waiting)
{
  FIXTURE (f);
  g_autoptr (GString) order = g_string_new (NULL);
  Wait waits[] = { { 'a', 1, order }, { 'b', 1, order }, { 'c', 1, order } };

  try_posix (f.a, 1, F_WRLCK, 0, TO_EOF);
  for (guint i = 0; i < 3; i++)
    cr_assert_eq (wait_posix (f.a, 2 + i, F_WRLCK, 0, TO_EOF, &waits[i]), -EINPROGRESS);
  for (guint i = 0; i < 3; i++)
    {
      cr_assert_eq (order->len, i, "one at a time");
      try_posix (f.a, 1 + i, F_UNLCK, 0, TO_EOF);
    }
  cr_assert_str_eq (order->str, "abc");
}

Test (posix_locks, are_granted_past_a_waiter_who_still_conflicts)
{
  FIXTURE (f);
  g_autoptr (GString) order = g_string_new (NULL);
  Wait all = { 'a', 1, order }, low = { 'l', 1, order }, high = { 'h', 1, order };

  try_posix (f.a, 1, F_WRLCK, 0, 19);
  wait_posix (f.a, 2, F_WRLCK, 0, 19, &all);
  wait_posix (f.a, 3, F_WRLCK, 10, 19, &high);
  wait_posix (f.a, 4, F_WRLCK, 0, 9, &low);
  try_posix (f.a, 1, F_UNLCK, 10, 19);
  cr_assert_str_eq (order->str, "h");
  try_posix (f.a, 1, F_UNLCK, 0, 9);
  cr_assert_str_eq (order->str, "hl");
  try_posix (f.a, 3, F_UNLCK, 0, 19);
  try_posix (f.a, 4, F_UNLCK, 0, 19);
  cr_assert_str_eq (order->str, "hla");
}

Test (posix_locks, are_granted_to_all_readers_together)
{
  FIXTURE (f);
  g_autoptr (GString) order = g_string_new (NULL);
  Wait one = { '1', 1, order }, writer = { 'w', 1, order }, two = { '2', 1, order };

  try_posix (f.a, 1, F_WRLCK, 0, TO_EOF);
  wait_posix (f.a, 2, F_RDLCK, 0, TO_EOF, &one);
  wait_posix (f.a, 3, F_WRLCK, 0, TO_EOF, &writer);
  wait_posix (f.a, 4, F_RDLCK, 0, TO_EOF, &two);
  try_posix (f.a, 1, F_UNLCK, 0, TO_EOF);
  cr_assert_str_eq (order->str, "12");
  ttl_lock_release_handle (f.a, 103);
}

Test (posix_locks, keep_what_they_had_while_they_wait_for_more)
{
  FIXTURE (f);
  Wait wait = { .name = 'w' };

  try_posix (f.a, 1, F_RDLCK, 0, 9);
  try_posix (f.a, 2, F_RDLCK, 5, 9);
  cr_assert_eq (wait_posix (f.a, 1, F_WRLCK, 0, 9, &wait), -EINPROGRESS);
  cr_assert_eq (try_posix (f.a, 3, F_WRLCK, 0, 0), -EAGAIN);
  cr_assert_eq (try_posix (f.a, 3, F_RDLCK, 0, 0), 0, "and waiting itself holds nobody up");
  try_posix (f.a, 3, F_UNLCK, 0, 0);
  try_posix (f.a, 2, F_UNLCK, 0, 9);
  cr_assert_eq (wait.res, 0);
  assert_posix (f.a, "W0-9");
}

/* 1 has bytes 0-9 for writing and waits to read 0-19: once it does, those who read 0-5 can go
 * on. */
Test (posix_locks, are_granted_to_those_whom_another_grant_lets_in)
{
  FIXTURE (f);
  g_autoptr (GString) order = g_string_new (NULL);
  Wait reader = { 'r', 1, order }, owner = { 'o', 1, order };

  try_posix (f.a, 1, F_WRLCK, 0, 9);
  try_posix (f.a, 2, F_WRLCK, 10, 19);
  wait_posix (f.a, 3, F_RDLCK, 0, 5, &reader);
  wait_posix (f.a, 1, F_RDLCK, 0, 19, &owner);
  try_posix (f.a, 2, F_UNLCK, 0, TO_EOF);
  cr_assert_str_eq (order->str, "or");
}

Test (posix_locks, that_exceed_the_bound_when_granted_are_refused_then)
{
  FIXTURE (f);
  Wait wait = { .name = 'w' };

  try_posix (f.a, 2, F_WRLCK, 0, 0);
  cr_assert_eq (wait_posix (f.a, 1, F_WRLCK, 0, 0, &wait), -EINPROGRESS);
  for (guint64 i = 1; i <= TTL_LOCK_MAX_RANGES; i++)
    try_posix (f.a, 1, F_WRLCK, 2 * i, 2 * i);
  try_posix (f.a, 2, F_UNLCK, 0, 0);
  cr_assert_eq (wait.res, -ENOLCK);
}

typedef struct
{
  TtlLockFile *file;
  int res;
} Reentry;

static void
set_again (int res, gpointer data)
{
  Reentry *self = data;

  self->res = res == 0 ? try_posix (self->file, 2, F_UNLCK, 0, TO_EOF) : res;
}

Test (posix_locks, may_be_changed_from_within_a_grant)
{
  FIXTURE (f);
  Reentry reentry = { f.a, 1 };
  TtlLock lock = lock_of (2, F_WRLCK, 0, TO_EOF);

  try_posix (f.a, 1, F_WRLCK, 0, TO_EOF);
  cr_assert_eq (ttl_lock_set (f.a, TTL_LOCK_POSIX, &lock, 0, set_again, &reentry), -EINPROGRESS);
  try_posix (f.a, 1, F_UNLCK, 0, TO_EOF);
  cr_assert_eq (reentry.res, 0);
  assert_posix (f.a, "");
}

/* --- cancelling --- */

Test (a_ticket, is_never_zero_and_never_repeats)
{
  FIXTURE (f);
  guint64 one = ttl_locks_new_ticket (f.locks);
  guint64 two = ttl_locks_new_ticket (f.locks);

  cr_assert_neq (one, 0);
  cr_assert_neq (one, two);
}

Test (a_ticket, that_is_unknown_cancels_nothing)
{
  FIXTURE (f);

  cr_assert_not (ttl_locks_cancel (f.locks, 0));
  cr_assert_not (ttl_locks_cancel (f.locks, 12345));
}

Test (a_ticket, ends_its_wait_without_a_grant)
{
  FIXTURE (f);
  Wait wait = { .name = 'w' };
  guint64 ticket = ttl_locks_new_ticket (f.locks);

  try_posix (f.a, 1, F_WRLCK, 0, TO_EOF);
  cr_assert_eq (wait_with_ticket (f.a, 2, ticket, &wait), -EINPROGRESS);
  cr_assert (ttl_locks_cancel (f.locks, ticket));
  cr_assert_not (ttl_locks_cancel (f.locks, ticket), "once");
  try_posix (f.a, 1, F_UNLCK, 0, TO_EOF);
  cr_assert_eq (wait.res, 1);
  assert_posix (f.a, "");
}

Test (a_ticket, ends_one_wait_of_several)
{
  FIXTURE (f);
  g_autoptr (GString) order = g_string_new (NULL);
  Wait waits[] = { { 'a', 1, order }, { 'b', 1, order }, { 'c', 1, order } };
  guint64 tickets[3];

  try_posix (f.a, 1, F_WRLCK, 0, TO_EOF);
  /* All of one owner: threads of a process. */
  for (guint i = 0; i < 3; i++)
    {
      tickets[i] = ttl_locks_new_ticket (f.locks);
      cr_assert_eq (wait_with_ticket (f.a, 2, tickets[i], &waits[i]), -EINPROGRESS);
    }
  cr_assert (ttl_locks_cancel (f.locks, tickets[1]));
  try_posix (f.a, 1, F_UNLCK, 0, TO_EOF);
  cr_assert_str_eq (order->str, "ac");
}

Test (a_ticket, is_too_late_once_the_lock_is_granted)
{
  FIXTURE (f);
  Wait wait = { .name = 'w' };
  guint64 ticket = ttl_locks_new_ticket (f.locks);

  try_posix (f.a, 1, F_WRLCK, 0, TO_EOF);
  wait_with_ticket (f.a, 2, ticket, &wait);
  try_posix (f.a, 1, F_UNLCK, 0, TO_EOF);
  cr_assert_eq (wait.res, 0);
  cr_assert_not (ttl_locks_cancel (f.locks, ticket));
  assert_posix (f.a, "W0-");
}

Test (a_ticket, cancelled_beforehand_keeps_its_request_from_waiting)
{
  FIXTURE (f);
  Wait wait = { .name = 'w' };
  guint64 ticket = ttl_locks_new_ticket (f.locks);

  try_posix (f.a, 1, F_WRLCK, 0, TO_EOF);
  cr_assert_not (ttl_locks_cancel (f.locks, ticket), "the request itself answers");
  cr_assert_eq (wait_with_ticket (f.a, 2, ticket, &wait), -EINTR);
  try_posix (f.a, 1, F_UNLCK, 0, TO_EOF);
  cr_assert_eq (wait.res, 1);
}

Test (a_ticket, cancelled_beforehand_does_not_hinder_a_request_that_need_not_wait)
{
  FIXTURE (f);
  Wait wait = { .name = 'w' };
  guint64 ticket = ttl_locks_new_ticket (f.locks);

  ttl_locks_cancel (f.locks, ticket);
  cr_assert_eq (wait_with_ticket (f.a, 2, ticket, &wait), 0);
}

Test (a_ticket, is_used_up_by_a_request_that_need_not_wait)
{
  FIXTURE (f);
  Wait wait = { .name = 'w' };
  guint64 ticket = ttl_locks_new_ticket (f.locks);

  cr_assert_eq (wait_with_ticket (f.a, 2, ticket, &wait), 0);
  cr_assert_not (ttl_locks_cancel (f.locks, ticket));
}

Test (a_ticket, may_be_left_unused_when_the_table_goes)
{
  FIXTURE (f);

  ttl_locks_new_ticket (f.locks);
}

/* --- deadlocks --- */

Test (a_deadlock, of_two_over_one_key_is_refused)
{
  FIXTURE (f);
  Wait one = { .name = '1' }, two = { .name = '2' };

  try_posix (f.a, 1, F_WRLCK, 0, 0);
  try_posix (f.a, 2, F_WRLCK, 1, 1);
  cr_assert_eq (wait_posix (f.a, 1, F_WRLCK, 1, 1, &one), -EINPROGRESS);
  cr_assert_eq (wait_posix (f.a, 2, F_WRLCK, 0, 0, &two), -EDEADLK);
  try_posix (f.a, 2, F_UNLCK, 0, TO_EOF);
  cr_assert_eq (one.res, 0);
}

Test (a_deadlock, of_two_over_two_keys_is_refused)
{
  FIXTURE (f);
  Wait one = { .name = '1' }, two = { .name = '2' };

  try_posix (f.a, 1, F_WRLCK, 0, TO_EOF);
  try_posix (f.b, 2, F_WRLCK, 0, TO_EOF);
  cr_assert_eq (wait_posix (f.b, 1, F_WRLCK, 0, 0, &one), -EINPROGRESS);
  cr_assert_eq (wait_posix (f.a, 2, F_WRLCK, 0, 0, &two), -EDEADLK);
  assert_posix (f.b, "W0-");
  try_posix (f.b, 2, F_UNLCK, 0, TO_EOF);
  cr_assert_eq (one.res, 0);
}

Test (a_deadlock, of_two_readers_who_both_want_to_write_is_refused)
{
  FIXTURE (f);
  Wait one = { .name = '1' }, two = { .name = '2' };

  try_posix (f.a, 1, F_RDLCK, 0, 0);
  try_posix (f.a, 2, F_RDLCK, 0, 0);
  cr_assert_eq (wait_posix (f.a, 1, F_WRLCK, 0, 0, &one), -EINPROGRESS);
  cr_assert_eq (wait_posix (f.a, 2, F_WRLCK, 0, 0, &two), -EDEADLK);
  ttl_lock_release_owner (f.a, TTL_LOCK_POSIX, 2);
  cr_assert_eq (one.res, 0);
}

Test (a_deadlock, of_many_in_a_row_is_refused)
{
  FIXTURE (f);
  Wait waits[50] = { 0 };

  for (guint i = 0; i < 50; i++)
    try_posix (i % 2 ? f.a : f.b, i, F_WRLCK, i, i);
  for (guint i = 0; i < 49; i++)
    cr_assert_eq (wait_posix ((i + 1) % 2 ? f.a : f.b, i, F_WRLCK, i + 1, i + 1, &waits[i]),
                  -EINPROGRESS);
  cr_assert_eq (wait_posix (f.b, 49, F_WRLCK, 0, 0, &waits[49]), -EDEADLK);
  for (guint i = 50; i-- > 0;)
    {
      ttl_lock_release_owner (f.a, TTL_LOCK_POSIX, i);
      ttl_lock_release_owner (f.b, TTL_LOCK_POSIX, i);
      cr_assert_eq (i == 0 ? 0 : waits[i - 1].res, 0);
    }
}

/* 3 is blocked by 1 and 2, and only 2, found second or first, waits for 3. */
Test (a_deadlock, with_one_of_several_in_the_way_is_refused)
{
  FIXTURE (f);
  Wait two = { .name = '2' }, three = { .name = '3' };

  try_posix (f.a, 1, F_RDLCK, 0, 9);
  try_posix (f.a, 2, F_RDLCK, 0, 9);
  try_posix (f.a, 4, F_RDLCK, 0, 9);
  try_posix (f.b, 3, F_WRLCK, 0, 0);
  cr_assert_eq (wait_posix (f.b, 2, F_WRLCK, 0, 0, &two), -EINPROGRESS);
  cr_assert_eq (wait_posix (f.a, 3, F_WRLCK, 0, 9, &three), -EDEADLK);
  ttl_lock_release_handle (f.b, 102);
}

Test (a_deadlock, is_not_seen_in_a_wait_that_was_cancelled)
{
  FIXTURE (f);
  Wait one = { .name = '1' }, two = { .name = '2' };
  guint64 ticket = ttl_locks_new_ticket (f.locks);

  try_posix (f.a, 1, F_WRLCK, 0, TO_EOF);
  try_posix (f.b, 2, F_WRLCK, 0, TO_EOF);
  wait_with_ticket (f.b, 1, ticket, &one);
  ttl_locks_cancel (f.locks, ticket);
  cr_assert_eq (wait_posix (f.a, 2, F_WRLCK, 0, 0, &two), -EINPROGRESS);
  ttl_lock_release_owner (f.a, TTL_LOCK_POSIX, 1);
  cr_assert_eq (two.res, 0);
}

Test (a_deadlock, is_not_a_matter_of_requests_that_do_not_wait)
{
  FIXTURE (f);
  Wait one = { .name = '1' };

  try_posix (f.a, 1, F_WRLCK, 0, TO_EOF);
  try_posix (f.b, 2, F_WRLCK, 0, TO_EOF);
  wait_posix (f.b, 1, F_WRLCK, 0, 0, &one);
  cr_assert_eq (try_posix (f.a, 2, F_WRLCK, 0, 0), -EAGAIN);
  ttl_lock_release_owner (f.b, TTL_LOCK_POSIX, 2);
}

Test (a_deadlock, is_found_through_any_thread_of_an_owner)
{
  FIXTURE (f);
  Wait first = { .name = 'f' }, second = { .name = 's' }, two = { .name = '2' };

  try_posix (f.a, 1, F_WRLCK, 0, 0);
  try_posix (f.b, 2, F_WRLCK, 0, 0);
  try_posix (f.b, 3, F_WRLCK, 1, 1);
  wait_posix (f.b, 1, F_WRLCK, 0, 0, &first);
  wait_posix (f.b, 1, F_WRLCK, 1, 1, &second);
  cr_assert_eq (wait_posix (f.a, 2, F_WRLCK, 0, 0, &two), -EDEADLK);
  ttl_lock_release_handle (f.b, 101);
}

Test (a_deadlock, among_flocks_is_not_looked_for)
{
  FIXTURE (f);
  Wait one = { .name = '1' }, two = { .name = '2' };

  try_flock (f.a, 1, F_WRLCK);
  try_flock (f.b, 2, F_WRLCK);
  cr_assert_eq (wait_flock (f.b, 1, F_WRLCK, &one), -EINPROGRESS);
  cr_assert_eq (wait_flock (f.a, 2, F_WRLCK, &two), -EINPROGRESS);
  ttl_lock_release_handle (f.a, 102);
  ttl_lock_release_handle (f.b, 101);
}

/* --- flock --- */

Test (flocks, for_reading_are_shared_and_for_writing_exclusive)
{
  FIXTURE (f);

  cr_assert_eq (try_flock (f.a, 1, F_RDLCK), 0);
  cr_assert_eq (try_flock (f.a, 2, F_RDLCK), 0);
  cr_assert_eq (try_flock (f.a, 3, F_WRLCK), -EAGAIN);
  cr_assert_eq (try_flock (f.a, 1, F_UNLCK), 0);
  cr_assert_eq (try_flock (f.a, 2, F_UNLCK), 0);
  cr_assert_eq (try_flock (f.a, 3, F_WRLCK), 0);
  cr_assert_eq (try_flock (f.a, 1, F_RDLCK), -EAGAIN);
}

Test (flocks, are_on_the_whole_key_whatever_range_is_given)
{
  FIXTURE (f);
  TtlLock lock = lock_of (1, F_WRLCK, 7, 3);

  cr_assert_eq (ttl_lock_set (f.a, TTL_LOCK_FLOCK, &lock, 0, NULL, NULL), 0);
  assert_flock (f.a, "W0-");
}

Test (flocks, and_posix_locks_do_not_see_each_other)
{
  FIXTURE (f);

  cr_assert_eq (try_flock (f.a, 1, F_WRLCK), 0);
  cr_assert_eq (try_posix (f.a, 2, F_WRLCK, 0, TO_EOF), 0);
  ttl_lock_release_owner (f.a, TTL_LOCK_POSIX, 1);
  assert_flock (f.a, "W0-");
  ttl_lock_release_owner (f.a, TTL_LOCK_FLOCK, 1);
  assert_flock (f.a, "");
  assert_posix (f.a, "W0-");
}

Test (flocks, are_converted_when_nobody_is_in_the_way)
{
  FIXTURE (f);

  cr_assert_eq (try_flock (f.a, 1, F_RDLCK), 0);
  cr_assert_eq (try_flock (f.a, 1, F_WRLCK), 0);
  assert_flock (f.a, "W0-");
  cr_assert_eq (try_flock (f.a, 1, F_RDLCK), 0);
  assert_flock (f.a, "R0-");
}

Test (flocks, are_lost_in_a_conversion_that_fails)
{
  FIXTURE (f);

  try_flock (f.a, 1, F_RDLCK);
  try_flock (f.a, 2, F_RDLCK);
  cr_assert_eq (try_flock (f.a, 1, F_WRLCK), -EAGAIN);
  cr_assert_eq (try_flock (f.a, 2, F_WRLCK), 0, "the reader who was left is alone");
}

Test (flocks, are_lost_while_a_conversion_waits)
{
  FIXTURE (f);
  g_autoptr (GString) order = g_string_new (NULL);
  Wait one = { '1', 1, order }, two = { '2', 1, order };

  try_flock (f.a, 1, F_RDLCK);
  try_flock (f.a, 2, F_RDLCK);
  cr_assert_eq (wait_flock (f.a, 1, F_WRLCK, &one), -EINPROGRESS);
  cr_assert_eq (wait_flock (f.a, 2, F_WRLCK, &two), 0, "so two who convert do not block");
  try_flock (f.a, 2, F_UNLCK);
  cr_assert_str_eq (order->str, "1");
}

Test (flocks, given_up_by_a_failed_conversion_are_granted_to_who_waits)
{
  FIXTURE (f);
  Wait writer = { .name = 'w' };

  try_flock (f.a, 1, F_RDLCK);
  wait_flock (f.a, 3, F_WRLCK, &writer);
  try_flock (f.a, 2, F_RDLCK);
  try_flock (f.a, 2, F_WRLCK);
  cr_assert_eq (writer.res, 1);
  try_flock (f.a, 1, F_UNLCK);
  cr_assert_eq (writer.res, 0);
}

Test (flocks, asked_for_again_stay_as_they_are)
{
  FIXTURE (f);
  Wait reader = { .name = 'r' };

  try_flock (f.a, 1, F_WRLCK);
  wait_flock (f.a, 2, F_RDLCK, &reader);
  cr_assert_eq (try_flock (f.a, 1, F_WRLCK), 0);
  cr_assert_eq (reader.res, 1);
  cr_assert_eq (try_flock (f.a, 1, F_RDLCK), 0);
  cr_assert_eq (reader.res, 0);
}

Test (flocks, are_granted_in_the_order_of_waiting)
{
  FIXTURE (f);
  g_autoptr (GString) order = g_string_new (NULL);
  Wait waits[] = { { 'a', 1, order }, { 'b', 1, order }, { 'c', 1, order }, { 'd', 1, order } };

  try_flock (f.a, 1, F_WRLCK);
  wait_flock (f.a, 2, F_RDLCK, &waits[0]);
  wait_flock (f.a, 3, F_WRLCK, &waits[1]);
  wait_flock (f.a, 4, F_RDLCK, &waits[2]);
  wait_flock (f.a, 5, F_WRLCK, &waits[3]);
  for (guint64 owner = 1; owner <= 5; owner++)
    try_flock (f.a, owner, F_UNLCK);
  cr_assert_str_eq (order->str, "acb");
  try_flock (f.a, 3, F_UNLCK);
  cr_assert_str_eq (order->str, "acbd");
}

/* --- releasing --- */

Test (releasing_an_owner, drops_all_its_locks_and_no_others)
{
  FIXTURE (f);

  try_posix (f.a, 1, F_WRLCK, 0, 0);
  try_posix (f.a, 2, F_WRLCK, 1, 1);
  try_posix (f.a, 1, F_RDLCK, 2, 2);
  try_posix (f.b, 1, F_WRLCK, 3, 3);
  ttl_lock_release_owner (f.a, TTL_LOCK_POSIX, 1);
  assert_posix (f.a, "W1-1");
  assert_posix (f.b, "W3-3");
}

Test (releasing_an_owner, grants_to_who_waits)
{
  FIXTURE (f);
  Wait wait = { .name = 'w' };

  try_posix (f.a, 1, F_WRLCK, 0, 0);
  try_posix (f.a, 1, F_WRLCK, 9, 9);
  wait_posix (f.a, 2, F_WRLCK, 0, 9, &wait);
  ttl_lock_release_owner (f.a, TTL_LOCK_POSIX, 1);
  cr_assert_eq (wait.res, 0);
}

/* A thread closes one descriptor of the key while another thread waits. */
Test (releasing_an_owner, lets_its_waiters_wait_on)
{
  FIXTURE (f);
  Wait wait = { .name = 'w' };

  try_posix (f.a, 1, F_WRLCK, 0, 0);
  wait_posix (f.a, 2, F_WRLCK, 0, 0, &wait);
  ttl_lock_release_owner (f.a, TTL_LOCK_POSIX, 2);
  cr_assert_eq (wait.res, 1);
  ttl_lock_release_owner (f.a, TTL_LOCK_POSIX, 1);
  cr_assert_eq (wait.res, 0);
}

Test (releasing_an_owner, that_has_nothing_is_fine)
{
  FIXTURE (f);

  ttl_lock_release_owner (f.a, TTL_LOCK_POSIX, 1);
  ttl_lock_release_owner (f.a, TTL_LOCK_FLOCK, 1);
}

Test (releasing_a_handle, drops_what_came_through_it_of_both_kinds)
{
  FIXTURE (f);

  try_posix (f.a, 1, F_WRLCK, 0, 0);
  try_flock (f.a, 1, F_WRLCK);
  try_posix (f.a, 2, F_WRLCK, 5, 5);
  ttl_lock_release_handle (f.a, 101);
  assert_posix (f.a, "W5-5");
  assert_flock (f.a, "");
}

Test (releasing_a_handle, leaves_what_its_owner_has_through_others)
{
  FIXTURE (f);
  TtlLock lock = lock_of (1, F_WRLCK, 5, 9);

  lock.handle = 200;
  try_posix (f.a, 1, F_WRLCK, 0, 3);
  cr_assert_eq (ttl_lock_set (f.a, TTL_LOCK_POSIX, &lock, 0, NULL, NULL), 0);
  ttl_lock_release_handle (f.a, 101);
  assert_posix (f.a, "W5-9");
}

Test (releasing_a_handle, interrupts_its_waiters_and_grants_to_others)
{
  FIXTURE (f);
  Wait own = { .name = 'o' }, other = { .name = 'x' };

  try_posix (f.a, 1, F_WRLCK, 0, 0);
  try_posix (f.a, 2, F_WRLCK, 1, 1);
  wait_posix (f.a, 3, F_WRLCK, 0, 0, &other);
  wait_posix (f.a, 1, F_WRLCK, 1, 1, &own);
  ttl_lock_release_handle (f.a, 101);
  cr_assert_eq (own.res, -EINTR);
  cr_assert_eq (other.res, 0);
  assert_posix (f.a, "W0-0 W1-1");
}

/* --- against a naive map of bytes --- */

#define N_BYTES 64 /* the last stands for all behind it, too */
#define N_OWNERS 5
#define N_SPACES 3 /* POSIX locks of a and of b, flocks of a */
#define FLOCKS 2
#define N_STEPS 60000

typedef struct
{
  int space; /* -1: the owner does not wait */
  short type;
  guint start, end;
  guint turn; /* who came first */
  guint64 ticket;
  int expected; /* what its grant has to say, 1: it must not be called */
  int res;      /* what it said, 1: not called */
} ModelWait;

typedef struct
{
  short held[N_SPACES][N_OWNERS][N_BYTES]; /* F_UNLCK: nothing */
  ModelWait waits[N_OWNERS];               /* an owner has one thread */
  guint turns;
  Fixture fixture;
  GRand *rand;
  guint32 seed;
  guint step;
} Model;

#define check(model, what) \
  do \
    { \
      if (!(what)) \
        cr_assert_fail ("TTLFS_TEST_SEED=%u, step %u: not %s", (model)->seed, (model)->step, \
                        #what); \
    } \
  while (0)

static guint32
get_seed (void)
{
  const char *text = g_getenv ("TTLFS_TEST_SEED");

  return text != NULL ? (guint32)strtoul (text, NULL, 10) : g_random_int ();
}

static guint
pick (Model *model, guint n)
{
  return (guint)g_rand_int_range (model->rand, 0, (gint32)n);
}

static TtlLockFile *
space_file (Model *model, int space)
{
  return space == 1 ? model->fixture.b : model->fixture.a;
}

static TtlLockKind
space_kind (int space)
{
  return space == FLOCKS ? TTL_LOCK_FLOCK : TTL_LOCK_POSIX;
}

/* Whether @other has something in the way of @owner's request. */
static gboolean
model_in_way (const Model *model, guint owner, const ModelWait *wanted, guint other)
{
  if (other == owner || wanted->type == F_UNLCK)
    return FALSE;
  for (guint i = wanted->start; i <= wanted->end; i++)
    {
      short held = model->held[wanted->space][other][i];

      if (held == F_WRLCK || (held == F_RDLCK && wanted->type == F_WRLCK))
        return TRUE;
    }
  return FALSE;
}

static gboolean
model_blocked (const Model *model, guint owner, const ModelWait *wanted)
{
  for (guint other = 0; other < N_OWNERS; other++)
    if (model_in_way (model, owner, wanted, other))
      return TRUE;
  return FALSE;
}

static void
model_apply (Model *model, guint owner, const ModelWait *wanted)
{
  for (guint i = wanted->start; i <= wanted->end; i++)
    model->held[wanted->space][owner][i] = wanted->type;
}

/* Reachability, by squaring the matrix of who is in whose way until nothing is added. */
static gboolean
model_deadlock (const Model *model, guint owner, const ModelWait *wanted)
{
  gboolean waits_for[N_OWNERS][N_OWNERS] = { { FALSE } };

  for (guint i = 0; i < N_OWNERS; i++)
    for (guint j = 0; j < N_OWNERS; j++)
      {
        const ModelWait *wait = i == owner ? wanted : &model->waits[i];

        waits_for[i][j]
            = wait->space >= 0 && wait->space != FLOCKS && model_in_way (model, i, wait, j);
      }
  for (guint k = 0; k < N_OWNERS; k++)
    for (guint i = 0; i < N_OWNERS; i++)
      for (guint j = 0; j < N_OWNERS; j++)
        waits_for[i][j] |= waits_for[i][k] && waits_for[k][j];
  return waits_for[owner][owner];
}

/* Of the waiters of @space who may go on the one who came first after @turn; N_OWNERS: none. */
static guint
model_next_free (const Model *model, int space, guint turn)
{
  guint best = N_OWNERS;

  for (guint i = 0; i < N_OWNERS; i++)
    {
      const ModelWait *wait = &model->waits[i];

      if (wait->space != space || wait->turn <= turn || model_blocked (model, i, wait))
        continue;
      if (best == N_OWNERS || wait->turn < model->waits[best].turn)
        best = i;
    }
  return best;
}

static void
model_grant (Model *model, int space)
{
  gboolean again;

  do
    {
      guint turn = 0;
      guint owner;

      again = FALSE;
      while ((owner = model_next_free (model, space, turn)) < N_OWNERS)
        {
          turn = model->waits[owner].turn;
          model_apply (model, owner, &model->waits[owner]);
          model->waits[owner].space = -1;
          model->waits[owner].expected = 0;
          again = TRUE;
        }
    }
  while (again);
}

static int
model_set (Model *model, guint owner, const ModelWait *wanted, gboolean wait)
{
  short *held = model->held[wanted->space][owner];
  int res = 0;

  if (wanted->space == FLOCKS && held[0] == wanted->type)
    return 0;
  if (wanted->space == FLOCKS)
    for (guint i = 0; i < N_BYTES; i++)
      held[i] = F_UNLCK;
  if (!model_blocked (model, owner, wanted))
    model_apply (model, owner, wanted);
  else if (!wait)
    res = -EAGAIN;
  else if (wanted->space != FLOCKS && model_deadlock (model, owner, wanted))
    res = -EDEADLK;
  else
    {
      model->waits[owner] = *wanted;
      model->waits[owner].turn = ++model->turns;
      res = -EINPROGRESS;
    }
  model_grant (model, wanted->space);
  return res;
}

static void
on_model_grant (int res, gpointer data)
{
  ModelWait *wait = data;

  cr_assert_eq (wait->res, 1);
  wait->res = res;
}

static void
step_set (Model *model, guint owner)
{
  static const short types[] = { F_RDLCK, F_WRLCK, F_UNLCK };
  int space = (int)pick (model, N_SPACES);
  guint from = pick (model, N_BYTES);
  guint to = pick (model, N_BYTES);
  ModelWait wanted = { .space = space, .type = types[pick (model, 3)], .expected = 1, .res = 1 };
  gboolean wait = g_rand_boolean (model->rand);
  TtlLock lock;
  int res;

  wanted.start = space == FLOCKS ? 0 : MIN (from, to);
  wanted.end = space == FLOCKS ? N_BYTES - 1 : MAX (from, to);
  wanted.ticket = wait ? ttl_locks_new_ticket (model->fixture.locks) : 0;
  lock = lock_of (owner, wanted.type, wanted.start, wanted.end);
  if (wanted.end == N_BYTES - 1)
    lock.end = g_rand_boolean (model->rand) ? G_MAXUINT64 : G_MAXINT64;

  res = model_set (model, owner, &wanted, wait);
  check (model, ttl_lock_set (space_file (model, space), space_kind (space), &lock, wanted.ticket,
                              wait ? on_model_grant : NULL, &model->waits[owner])
                    == res);
}

static void
model_drop (Model *model, int space, guint owner, gboolean with_handle)
{
  ModelWait *wait = &model->waits[owner];

  for (guint byte = 0; byte < N_BYTES; byte++)
    model->held[space][owner][byte] = F_UNLCK;
  if (with_handle && wait->space == space)
    {
      wait->space = -1;
      wait->expected = -EINTR;
    }
  model_grant (model, space);
}

static void
step_release_owner (Model *model, guint owner)
{
  int space = (int)pick (model, N_SPACES);

  model_drop (model, space, owner, FALSE);
  ttl_lock_release_owner (space_file (model, space), space_kind (space), owner);
}

static void
step_release_handle (Model *model, guint owner)
{
  TtlLockFile *file = g_rand_boolean (model->rand) ? model->fixture.a : model->fixture.b;

  for (int space = 0; space < N_SPACES; space++)
    if (space_file (model, space) == file)
      model_drop (model, space, owner, TRUE);
  ttl_lock_release_handle (file, 100 + owner);
}

static void
step_cancel (Model *model, guint owner)
{
  model->waits[owner].space = -1;
  check (model, ttl_locks_cancel (model->fixture.locks, model->waits[owner].ticket));
}

/* The run of one type that byte @at is in, as the lock that ttl_lock_get() should tell of. */
static TtlLock
model_run (const Model *model, int space, guint owner, guint at)
{
  const short *held = model->held[space][owner];
  guint start = at;
  guint end = at;

  while (start > 0 && held[start - 1] == held[at])
    start--;
  while (end < N_BYTES - 1 && held[end + 1] == held[at])
    end++;
  return lock_of (owner, held[at], start, end == N_BYTES - 1 ? G_MAXINT64 : end);
}

/* Every byte as seen by one who wants to read or write it. */
static void
check_byte (Model *model, int space, guint prober, guint at, short type)
{
  ModelWait wanted = { .space = space, .type = type, .start = at, .end = at };
  TtlLock lock = lock_of (prober, type, at, at);
  guint64 first = G_MAXUINT64;
  TtlLock found, run;

  for (guint other = 0; other < N_OWNERS; other++)
    if (model_in_way (model, prober, &wanted, other))
      first = MIN (first, model_run (model, space, other, at).start);

  ttl_lock_get (space_file (model, space), space_kind (space), &lock, &found);
  check (model, (found.type == F_UNLCK) == (first == G_MAXUINT64));
  if (found.type == F_UNLCK)
    return;
  run = model_run (model, space, (guint)found.owner, at);
  check (model, found.start == first);
  check (model, found.start == run.start && found.end == run.end && found.type == run.type);
  check (model, found.pid == run.pid && found.handle == run.handle);
}

static void
check_all (Model *model)
{
  guint prober = pick (model, N_OWNERS + 1);

  for (int space = 0; space < N_SPACES; space++)
    for (guint at = 0; at < N_BYTES; at++)
      if (space != FLOCKS || at == 0)
        check_byte (model, space, prober, at, g_rand_boolean (model->rand) ? F_RDLCK : F_WRLCK);
  for (guint owner = 0; owner < N_OWNERS; owner++)
    check (model, model->waits[owner].res == model->waits[owner].expected);
}

static void
model_init (Model *model)
{
  model->fixture = fixture_new ();
  for (int space = 0; space < N_SPACES; space++)
    for (guint owner = 0; owner < N_OWNERS; owner++)
      for (guint at = 0; at < N_BYTES; at++)
        model->held[space][owner][at] = F_UNLCK;
  for (guint owner = 0; owner < N_OWNERS; owner++)
    model->waits[owner] = (ModelWait){ .space = -1, .expected = 1, .res = 1 };
}

/* One who waits cannot ask for more, but descriptors can be closed meanwhile. */
static void
step (Model *model, guint owner)
{
  gboolean waits = model->waits[owner].space >= 0;
  guint dice = pick (model, 16);

  if (dice == 0)
    step_release_owner (model, owner);
  else if (dice == 1)
    step_release_handle (model, owner);
  else if (waits && dice < 6)
    step_cancel (model, owner);
  else if (!waits)
    step_set (model, owner);
}

Test (locks, do_what_a_naive_map_of_bytes_does, .timeout = TIMEOUT_S)
{
  guint32 seed = get_seed ();
  g_autoptr (GRand) rand = g_rand_new_with_seed (seed);
  Model model = { .rand = rand, .seed = seed };

  model_init (&model);
  for (model.step = 0; model.step < N_STEPS; model.step++)
    {
      step (&model, pick (&model, N_OWNERS));
      check_all (&model);
    }
  for (guint owner = 0; owner < N_OWNERS; owner++)
    if (model.waits[owner].space >= 0)
      step_cancel (&model, owner);
  fixture_clear (&model.fixture);
}

/* --- many threads --- */

#define N_THREADS 6
#define N_ROUNDS 4000

/* One thread's request: answered by its own ttl_lock_set(), by a grant, or by the one who
 * interrupts. */
typedef struct
{
  struct Race *race;
  guint64 owner;
  gint64 ticket; /* atomic; of the request under way, or of an earlier one */
  pthread_mutex_t lock;
  pthread_cond_t answered;
  int n_answers; /* guarded by lock */
  int res;       /* guarded by lock */
} Racer;

typedef struct Race
{
  Fixture fixture;
  Racer racers[N_THREADS];
  int inside;                   /* atomic: how many hold the lock */
  int failed;                   /* atomic */
  int stop;                     /* atomic */
  int n_granted, n_interrupted; /* atomic */
} Race;

static void
racer_answer (Racer *self, int res)
{
  pthread_mutex_lock (&self->lock);
  self->n_answers++;
  self->res = res;
  pthread_cond_signal (&self->answered);
  pthread_mutex_unlock (&self->lock);
}

static void
on_race_grant (int res, gpointer data)
{
  racer_answer (data, res);
}

static int
racer_wait (Racer *self)
{
  int res;

  pthread_mutex_lock (&self->lock);
  while (self->n_answers == 0)
    pthread_cond_wait (&self->answered, &self->lock);
  res = self->res;
  if (self->n_answers != 1)
    __atomic_store_n (&self->race->failed, 1, __ATOMIC_SEQ_CST);
  self->n_answers = 0;
  pthread_mutex_unlock (&self->lock);
  return res;
}

/* Takes the lock, for good or not. 0 or -EINTR. */
static int
racer_lock (Racer *self, TtlLockKind kind)
{
  TtlLock lock = lock_of (self->owner, F_WRLCK, 0, TO_EOF);
  guint64 ticket = ttl_locks_new_ticket (self->race->fixture.locks);
  int res;

  __atomic_store_n (&self->ticket, (gint64)ticket, __ATOMIC_SEQ_CST);
  res = ttl_lock_set (self->race->fixture.a, kind, &lock, ticket, on_race_grant, self);
  if (res != -EINPROGRESS)
    racer_answer (self, res);
  res = racer_wait (self);
  __atomic_fetch_add (res == 0 ? &self->race->n_granted : &self->race->n_interrupted, 1,
                      __ATOMIC_SEQ_CST);
  return res;
}

static void
racer_unlock (Racer *self, TtlLockKind kind, int how)
{
  TtlLock lock = lock_of (self->owner, F_UNLCK, 0, TO_EOF);

  if (how == 0)
    ttl_lock_release_owner (self->race->fixture.a, kind, self->owner);
  else if (how == 1)
    ttl_lock_release_handle (self->race->fixture.a, lock.handle);
  else
    ttl_lock_set (self->race->fixture.a, kind, &lock, 0, NULL, NULL);
}

static gpointer
racer_main (gpointer data)
{
  Racer *self = data;
  Race *race = self->race;

  for (int i = 0; i < N_ROUNDS; i++)
    {
      int res = racer_lock (self, TTL_LOCK_POSIX);

      if (res == -EINTR)
        continue;
      if (res != 0 || __atomic_add_fetch (&race->inside, 1, __ATOMIC_SEQ_CST) != 1)
        __atomic_store_n (&race->failed, 1, __ATOMIC_SEQ_CST);
      if (i % 4 == 0)
        sched_yield ();
      __atomic_sub_fetch (&race->inside, 1, __ATOMIC_SEQ_CST);
      racer_unlock (self, TTL_LOCK_POSIX, i % 3);
    }
  return NULL;
}

static gpointer
interrupter_main (gpointer data)
{
  Race *race = data;

  for (guint i = 0; !__atomic_load_n (&race->stop, __ATOMIC_SEQ_CST); i++)
    {
      Racer *racer = &race->racers[i % N_THREADS];
      guint64 ticket = (guint64)__atomic_load_n (&racer->ticket, __ATOMIC_SEQ_CST);

      if (ttl_locks_cancel (race->fixture.locks, ticket))
        racer_answer (racer, -EINTR);
      if (i % 16 == 0)
        g_usleep (20);
    }
  return NULL;
}

static void
race_run (Race *race)
{
  pthread_t threads[N_THREADS], interrupter;

  race->fixture = fixture_new ();
  for (guint i = 0; i < N_THREADS; i++)
    {
      Racer *racer = &race->racers[i];

      racer->race = race;
      racer->owner = i;
      pthread_mutex_init (&racer->lock, NULL);
      pthread_cond_init (&racer->answered, NULL);
    }
  for (guint i = 0; i < N_THREADS; i++)
    cr_assert_eq (pthread_create (&threads[i], NULL, racer_main, &race->racers[i]), 0);
  cr_assert_eq (pthread_create (&interrupter, NULL, interrupter_main, race), 0);
  for (guint i = 0; i < N_THREADS; i++)
    pthread_join (threads[i], NULL);
  __atomic_store_n (&race->stop, 1, __ATOMIC_SEQ_CST);
  pthread_join (interrupter, NULL);
}

Test (locks, answer_each_request_once_however_grants_and_interrupts_race, .timeout = TIMEOUT_S)
{
  Race race = { 0 };

  race_run (&race);
  cr_assert_not (race.failed, "two inside, or a request with two answers");
  cr_assert_eq (race.n_granted + race.n_interrupted, N_THREADS * N_ROUNDS);
  cr_assert_gt (race.n_granted, 0);
  assert_posix (race.fixture.a, "");
  fixture_clear (&race.fixture);
}

typedef struct
{
  TtlLocks *locks;
  int failed; /* atomic */
} Churn;

static gpointer
churn_main (gpointer data)
{
  Churn *self = data;

  for (guint i = 0; i < 20000; i++)
    {
      char name[2] = { (char)('a' + i % 3), '\0' };
      g_autoptr (TtlLockFile) file = ttl_locks_ensure_file (self->locks, i % 2, name);

      if (try_posix (file, (guint64)(gsize)&name, F_RDLCK, i, i) != 0)
        __atomic_store_n (&self->failed, 1, __ATOMIC_SEQ_CST);
      ttl_lock_release_owner (file, TTL_LOCK_POSIX, (guint64)(gsize)&name);
    }
  return NULL;
}

Test (locks, of_a_key_come_and_go_while_others_ask_for_it, .timeout = TIMEOUT_S)
{
  Churn churn = { .locks = ttl_locks_new () };
  pthread_t threads[4];

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    cr_assert_eq (pthread_create (&threads[i], NULL, churn_main, &churn), 0);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    pthread_join (threads[i], NULL);
  cr_assert_not (churn.failed);
  ttl_locks_free (churn.locks);
}
