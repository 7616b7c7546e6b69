/* What every verb of store.h promises of names, leases and errors. */
#include "fixture.h"

#include "cleanup.h"

#include <stdio.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

TestSuite (store, .init = store_setup, .fini = store_teardown, .timeout = 60);

#define TTL (10 * SECOND) /* of the store */

static int
lookup (TtlBucket *in, const char *shown, TtlEntry *entry_out)
{
  return ttl_store_lookup (store, in, shown, now (), entry_out);
}

static int
rename_to (TtlBucket *from, const char *old_name, TtlBucket *to, const char *new_name,
           unsigned flags)
{
  return ttl_store_rename (store, from, old_name, to, new_name, flags, now ());
}

/* ---- looking ---- */

Test (store, finds_a_key_that_was_put)
{
  TtlEntry entry;

  assert_is (put_key (root, "worker-1.json", "v"), 0);
  assert_is (lookup (root, "worker-1.json", &entry), 0);
  cr_assert_eq (entry.kind, TTL_ENTRY_KEY);
  cr_assert_str_eq (entry.backing, "worker%2D1%2Ejson");
  cr_assert_eq (entry.st.st_size, 1);
  cr_assert_eq (entry.deadline, now () + TTL);
  assert_value (raw ("worker%2D1%2Ejson"), "v");
}

Test (store, finds_a_key_by_its_encoded_name)
{
  TtlEntry entry;

  assert_is (put_key (root, "a-b", "v"), 0);
  assert_is (lookup (root, "a%2Db", &entry), 0);
  cr_assert_str_eq (entry.backing, "a%2Db");
}

Test (store, does_not_find_what_is_not_there)
{
  TtlEntry entry;
  int fd;

  assert_is (lookup (root, "k", &entry), -ENOENT);
  assert_is (ttl_store_stat (store, root, "k", now (), &entry), -ENOENT);
  assert_is (ttl_store_open_value (store, root, "k", now (), &fd, &entry), -ENOENT);
}

Test (store, finds_a_bucket_by_its_exact_name)
{
  TtlEntry entry;

  bucket ("a-b");
  assert_is (lookup (root, "a-b", &entry), 0);
  cr_assert_eq (entry.kind, TTL_ENTRY_BUCKET);
  cr_assert_str_eq (entry.backing, "a-b");
  cr_assert_eq (entry.deadline, TTL_DEADLINE_NEVER);
  assert_is (ttl_store_stat (store, root, "a-b", now (), &entry), -ENOENT);
}

Test (store, gives_a_bucket_the_name_that_it_shares_with_a_key)
{
  TtlEntry entry;

  put_raw_at ("a%2Db", "v", now ());
  assert_ok (mkdir (raw ("a-b"), 0755));
  assert_is (lookup (root, "a-b", &entry), 0);
  cr_assert_eq (entry.kind, TTL_ENTRY_BUCKET);
  assert_is (lookup (root, "a%2Db", &entry), 0);
  cr_assert_eq (entry.kind, TTL_ENTRY_KEY);
}

Test (store, has_names_that_are_too_long)
{
  g_autofree char *dashes = g_strnfill (86, '-');
  TtlEntry entry;

  assert_is (lookup (root, dashes, &entry), -ENAMETOOLONG);
}

Test (store, never_looks_outside_of_a_bucket)
{
  TtlBucket *in = bucket ("b");
  TtlEntry entry;

  assert_is (put_key (root, "k", "v"), 0);
  assert_is (lookup (in, "../k", &entry), -EINVAL);
  assert_is (lookup (in, "..", &entry), -ENOENT);
  assert_is (lookup (in, ".", &entry), -ENOENT);
  assert_is (lookup (root, "b/..", &entry), -EINVAL);
}

Test (store, finds_scratch_by_its_exact_name)
{
  TtlEntry entry;

  assert_is (put_key (root, ".tmp_a-b", "v"), 0);
  assert_is (lookup (root, ".tmp_a-b", &entry), 0);
  cr_assert_eq (entry.kind, TTL_ENTRY_SCRATCH);
  assert_value (raw (".tmp_a-b"), "v");
  cr_assert_str_eq (names_in (root), "");
}

Test (store, takes_no_foreign_file_for_a_key)
{
  TtlEntry entry;
  int fd;

  put_raw_at ("not-canonical", "v", now ());
  assert_ok (symlink ("/etc/passwd", raw ("link")));
  assert_ok (mkfifo (raw ("fifo"), 0644));
  assert_is (lookup (root, "not-canonical", &entry), -ENOENT);
  assert_is (lookup (root, "link", &entry), -ENOENT);
  assert_is (lookup (root, "fifo", &entry), -ENOENT);
  assert_is (ttl_store_stat (store, root, "not-canonical", now (), &entry), -ENOENT);
  assert_is (ttl_store_open_value (store, root, "link", now (), &fd, &entry), -ENOENT);
  assert_is (ttl_store_open_value (store, root, "fifo", now (), &fd, &entry), -ENOENT);
}

Test (store, reserves_a_name_at_the_root_alone)
{
  TtlBucket *made, *in = bucket ("b");
  TtlEntry entry;

  assert_is (put_key (root, "k", "v"), 0);
  assert_is (lookup (root, ".ttlfs", &entry), -ENOENT);
  assert_is (ttl_store_mkdir (store, root, ".ttlfs", owner (), now (), &made), -EPERM);
  assert_is (rename_to (root, "k", root, ".ttlfs", 0), -EPERM);
  assert_is (ttl_store_link (store, root, "k", root, ".ttlfs", now (), NULL, NULL), -EPERM);
  assert_is (rename_to (root, "k", in, ".ttlfs", 0), 0);
  assert_key (in, ".ttlfs", "v");
}

Test (store, keeps_a_reader_on_the_version_that_it_opened)
{
  TtlEntry entry;
  int fd = -1;

  assert_is (put_key (root, "k", "old"), 0);
  assert_is (ttl_store_open_value (store, root, "k", now (), &fd, &entry), 0);
  assert_is (put_key (root, "k", "new"), 0);
  cr_assert_str_eq (get_fd (fd), "old");
  assert_key (root, "k", "new");
  close (fd);
}

Test (store, knows_a_bucket_by_its_attributes)
{
  struct stat st;

  assert_is (ttl_store_stat_bucket (store, bucket ("b"), &st), 0);
  cr_assert (S_ISDIR (st.st_mode));
  cr_assert_eq (st.st_mode & 07777, 0755);
}

/* ---- leases ---- */

Test (store, shows_a_key_until_just_before_its_deadline)
{
  assert_is (put_key (root, "k", "v"), 0);
  advance (TTL - 1);
  assert_key (root, "k", "v");
  cr_assert_str_eq (names_in (root), "k ");
}

Test (store, has_no_key_for_any_verb_from_its_deadline_on)
{
  const TtlAttrs touch = { .set_mtime = TRUE, .mtime_ns = now () + TTL };
  TtlDraft *draft;
  TtlEntry entry;
  char value[64];
  int fd;

  assert_is (put_key (root, "k", "v"), 0);
  advance (TTL);
  assert_is (lookup (root, "k", &entry), -ENOENT);
  assert_is (ttl_store_stat (store, root, "k", now (), &entry), -ENOENT);
  assert_is (ttl_store_open_value (store, root, "k", now (), &fd, &entry), -ENOENT);
  cr_assert_str_eq (names_in (root), "");
  assert_is (rename_to (root, "k", root, "l", 0), -ENOENT);
  assert_is (ttl_store_link (store, root, "k", root, "l", now (), NULL, NULL), -ENOENT);
  assert_is (ttl_store_set_attrs (store, root, "k", &touch, now ()), -ENOENT);
  assert_is (ttl_store_get_xattr (store, root, "k", TTL_XATTR, value, sizeof value, now (), NULL),
             -ENOENT);
  assert_is (ttl_store_list_xattr (store, root, "k", value, sizeof value, now ()), -ENOENT);
  assert_is (ttl_store_set_xattr (store, root, "k", TTL_XATTR, "1h", 2, 0, now (), NULL), -ENOENT);
  assert_is (ttl_store_remove_xattr (store, root, "k", TTL_XATTR, now (), NULL), -ENOENT);
  assert_is (ttl_draft_open (store, root, "k", 0, owner (), now (), &draft), -ENOENT);
  assert_is (ttl_store_delete (store, root, "k", now ()), -ENOENT);
  cr_assert (exists (raw ("k")), "no verb that failed has removed the file");
}

Test (store, puts_a_new_value_over_an_expired_one)
{
  assert_is (put_key (root, "k", "old"), 0);
  advance (TTL);
  assert_is (put_key_with (root, "k", O_CREAT | O_EXCL, "new"), 0);
  assert_key (root, "k", "new");
}

Test (store, starts_anew_where_a_value_has_expired)
{
  assert_is (put_key (root, "k", "old"), 0);
  advance (TTL);
  assert_is (put_key_with (root, "k", O_CREAT, "n"), 0);
  assert_key (root, "k", "n");
}

Test (store, takes_the_ttl_of_the_key_then_of_the_nearest_bucket_then_its_own)
{
  TtlBucket *outer = bucket ("outer"), *inner = bucket ("outer/inner");

  assert_is (put_key (inner, "k", "v"), 0);
  cr_assert_str_eq (ttl_of (inner, "k"), "10s");
  set_ttl (root, "1d");
  cr_assert_str_eq (ttl_of (inner, "k"), "1d");
  set_ttl (outer, "2h");
  cr_assert_str_eq (ttl_of (inner, "k"), "2h");
  set_ttl (inner, "5m");
  cr_assert_str_eq (ttl_of (inner, "k"), "5m");
  assert_is (ttl_store_set_xattr (store, inner, "k", TTL_XATTR, "500ms", 5, 0, now (), NULL), 0);
  cr_assert_str_eq (ttl_of (inner, "k"), "500ms");
  assert_is (ttl_store_remove_xattr (store, inner, "k", TTL_XATTR, now (), NULL), 0);
  set_ttl (inner, NULL);
  cr_assert_str_eq (ttl_of (inner, "k"), "2h");
}

Test (store, judges_a_key_by_the_ttl_that_holds_now)
{
  TtlBucket *in = bucket ("b");

  assert_is (put_key (in, "k", "v"), 0);
  set_ttl (in, "50ms");
  advance (50 * MS - 1);
  assert_key (in, "k", "v");
  advance (1);
  assert_no_key (in, "k");
  set_ttl (in, "inf");
  assert_key (in, "k", "v");
}

Test (store, never_ends_a_key_with_an_infinite_ttl)
{
  set_ttl (root, "inf");
  assert_is (put_key (root, "k", "v"), 0);
  advance (3000 * 24 * 3600 * SECOND);
  assert_key (root, "k", "v");
}

Test (store, refuses_a_bucket_ttl_below_50_ms)
{
  const TtlDuration short_one = { .ns = 50 * MS - 1, .text = "49ms" };

  assert_is (ttl_store_set_bucket_ttl (store, root, &short_one), -EINVAL);
}

Test (store, has_no_bucket_ttl_to_remove)
{
  assert_is (ttl_store_set_bucket_ttl (store, root, NULL), -ENODATA);
}

/* ---- attributes ---- */

Test (store, renews_a_key_by_its_mtime)
{
  TtlAttrs touch = { .set_mtime = TRUE };

  assert_is (put_key (root, "k", "v"), 0);
  advance (TTL - 1);
  touch.mtime_ns = now ();
  assert_is (ttl_store_set_attrs (store, root, "k", &touch, now ()), 0);
  advance (TTL - 1);
  assert_key (root, "k", "v");
  advance (1);
  assert_no_key (root, "k");
}

/* What happens right after the store's next call of these. */
static void (*after_fstat) (void);
static void (*after_utimensat) (void);

static void
call_once (void (**hook) (void))
{
  void (*what) (void) = *hook;

  *hook = NULL;
  if (what != NULL)
    what ();
}

int
fstat (int fd, struct stat *st_out)
{
  int res = fstatat (fd, "", st_out, AT_EMPTY_PATH);

  call_once (&after_fstat);
  return res;
}

int
utimensat (int fd, const char *path, const struct timespec times[2], int flags)
{
  int res = (int)syscall (SYS_utimensat, fd, path, times, flags);

  call_once (&after_utimensat);
  return res;
}

static void
renew_as_a_peer (void)
{
  assert_ok (set_mtime_ns (raw ("k"), now ()));
}

static void
let_it_end (void)
{
  advance (2);
}

static void
let_it_end_and_renew_as_a_peer (void)
{
  let_it_end ();
  renew_as_a_peer ();
}

/* A touch of "k" in the last nanosecond of its lease, during which these happen. */
static int
touch_while (void (*fstat_hook) (void), void (*utimensat_hook) (void))
{
  TtlAttrs touch = { .set_mtime = TRUE };

  assert_is (put_key (root, "k", "v"), 0);
  advance (TTL - 1);
  touch.mtime_ns = now ();
  after_fstat = fstat_hook;
  after_utimensat = utimensat_hook;
  return ttl_store_set_attrs (store, root, "k", &touch, now ());
}

/* A peer, who takes no lock, renews it just before the store does: it is that lease which counts, ... */
Test (store, renews_what_a_peer_has_just_renewed)
{
  assert_is (touch_while (renew_as_a_peer, let_it_end), 0);
  assert_key (root, "k", "v");
}

/* ... or just after it, in time, while the store was too late and takes back what it did. */
Test (store, takes_back_no_renewal_of_a_peer)
{
  assert_is (touch_while (NULL, let_it_end_and_renew_as_a_peer), -ENOENT);
  assert_key (root, "k", "v");
}

Test (store, takes_a_renewal_back_that_came_too_late)
{
  assert_is (touch_while (NULL, let_it_end), -ENOENT);
  assert_no_key (root, "k");
}

Test (store, takes_a_future_mtime_as_a_longer_lease)
{
  const TtlAttrs attrs = { .set_mtime = TRUE, .mtime_ns = now () + 100 * SECOND };

  assert_is (put_key (root, "k", "v"), 0);
  assert_is (ttl_store_set_attrs (store, root, "k", &attrs, now ()), 0);
  advance (100 * SECOND + TTL - 1);
  assert_key (root, "k", "v");
  advance (1);
  assert_no_key (root, "k");
}

Test (store, takes_a_past_mtime_that_leaves_a_lease)
{
  const TtlAttrs attrs = { .set_mtime = TRUE, .mtime_ns = now () - TTL + 1 };

  assert_is (put_key (root, "k", "v"), 0);
  assert_is (ttl_store_set_attrs (store, root, "k", &attrs, now ()), 0);
  cr_assert_eq (mtime_ns (raw ("k")), now () - TTL + 1);
  advance (1);
  assert_no_key (root, "k");
}

Test (store, renews_to_now_where_a_past_mtime_would_end_the_lease)
{
  const TtlAttrs attrs = { .set_mtime = TRUE, .mtime_ns = now () - TTL };

  assert_is (put_key (root, "k", "v"), 0);
  assert_is (ttl_store_set_attrs (store, root, "k", &attrs, now ()), 0);
  cr_assert_eq (mtime_ns (raw ("k")), now ());
}

Test (store, sets_a_buckets_mtime_as_it_is_asked_to)
{
  const TtlAttrs attrs = { .set_mtime = TRUE, .mtime_ns = 12345, .set_mode = TRUE, .mode = 0700 };

  bucket ("b");
  assert_is (ttl_store_set_attrs (store, bucket ("b"), NULL, &attrs, now ()), 0);
  cr_assert_eq (mtime_ns (raw ("b")), 12345);
  cr_assert_eq (mode_of (raw ("b")), 0700);
}

Test (store, sets_mode_and_atime_without_renewing)
{
  const TtlAttrs attrs
      = { .set_mode = TRUE, .mode = 0600, .set_atime = TRUE, .atime_ns = now () + SECOND };
  gint64 put_at = now ();
  struct stat st;

  assert_is (put_key (root, "k", "v"), 0);
  advance (SECOND);
  assert_is (ttl_store_set_attrs (store, root, "k", &attrs, now ()), 0);
  assert_ok (stat_of (raw ("k"), &st));
  cr_assert_eq (st.st_mode & 07777, 0600);
  cr_assert_eq (ttl_timespec_ns (&st.st_atim), put_at + SECOND);
  cr_assert_eq (ttl_timespec_ns (&st.st_mtim), put_at);
}

Test (store, changes_the_owner_when_it_may)
{
  const TtlAttrs attrs = { .set_uid = TRUE, .uid = 12, .set_gid = TRUE, .gid = 34 };
  struct stat st;

  if (getuid () != 0)
    cr_skip ("needs root");
  assert_is (put_key (root, "k", "v"), 0);
  assert_is (ttl_store_set_attrs (store, root, "k", &attrs, now ()), 0);
  assert_ok (stat_of (raw ("k"), &st));
  cr_assert_eq (st.st_uid, 12);
  cr_assert_eq (st.st_gid, 34);
}

/* ---- xattrs ---- */

static const char *
get_attr (const char *backing, const char *name)
{
  char value[256];
  ssize_t len = ttl_store_get_xattr (store, root, backing, name, value, sizeof value, now (), NULL);

  return len < 0 ? outcome (len) : text ("%.*s", (int)len, value);
}

static int
set_attr (const char *backing, const char *name, const char *value, int flags)
{
  return ttl_store_set_xattr (store, root, backing, name, value, strlen (value), flags, now (),
                              NULL);
}

Test (store, tells_ttl_remaining_and_expires)
{
  assert_is (put_key (root, "k", "v"), 0);
  assert_is (set_attr ("k", TTL_XATTR, "90s", 0), 0);
  advance (1500 * MS);
  cr_assert_str_eq (get_attr ("k", TTL_XATTR), "90s");
  cr_assert_str_eq (get_attr ("k", "user.ttlfs.remaining"), "88500ms");
  cr_assert_str_eq (get_attr ("k", "user.ttlfs.nothing"), "ENODATA");
  cr_assert_str_eq (get_attr (NULL, TTL_XATTR), "10s");
  cr_assert_str_eq (get_attr (NULL, "user.ttlfs.remaining"), "ENODATA");
  cr_assert_str_eq (get_attr (NULL, "user.ttlfs.expires"), "ENODATA");
}

Test (store, writes_the_deadline_as_rfc_3339)
{
  const TtlAttrs attrs = { .set_mtime = TRUE, .mtime_ns = G_GINT64_CONSTANT (4102444799123456789) };

  assert_is (put_key (root, "k", "v"), 0);
  assert_is (ttl_store_set_attrs (store, root, "k", &attrs, now ()), 0);
  cr_assert_str_eq (get_attr ("k", "user.ttlfs.expires"), "2100-01-01T00:00:09.123456789Z");
}

Test (store, says_inf_of_what_never_ends)
{
  assert_is (put_key (root, "k", "v"), 0);
  assert_is (set_attr ("k", TTL_XATTR, "inf", 0), 0);
  cr_assert_str_eq (get_attr ("k", TTL_XATTR), "inf");
  cr_assert_str_eq (get_attr ("k", "user.ttlfs.remaining"), "inf");
  cr_assert_str_eq (get_attr ("k", "user.ttlfs.expires"), "inf");
}

Test (store, refuses_a_ttl_that_does_not_parse)
{
  assert_is (put_key (root, "k", "v"), 0);
  assert_is (set_attr ("k", TTL_XATTR, "49ms", 0), -EINVAL);
  assert_is (set_attr ("k", TTL_XATTR, "", 0), -EINVAL);
  assert_is (set_attr ("k", TTL_XATTR, "10", 0), -EINVAL);
  assert_is (set_attr (NULL, TTL_XATTR, "forever", 0), -EINVAL);
  cr_assert_str_eq (get_attr ("k", TTL_XATTR), "10s");
}

Test (store, knows_setxattr_flags_for_its_ttl)
{
  assert_is (put_key (root, "k", "v"), 0);
  assert_is (set_attr ("k", TTL_XATTR, "1m", XATTR_REPLACE), -ENODATA);
  assert_is (set_attr ("k", TTL_XATTR, "1m", XATTR_CREATE), 0);
  assert_is (set_attr ("k", TTL_XATTR, "2m", XATTR_CREATE), -EEXIST);
  assert_is (set_attr ("k", TTL_XATTR, "2m", XATTR_REPLACE), 0);
  cr_assert_str_eq (get_attr ("k", TTL_XATTR), "2m");
  assert_is (ttl_store_remove_xattr (store, root, "k", TTL_XATTR, now (), NULL), 0);
  assert_is (ttl_store_remove_xattr (store, root, "k", TTL_XATTR, now (), NULL), -ENODATA);
}

Test (store, keeps_what_is_read_only_or_reserved)
{
  assert_is (put_key (root, "k", "v"), 0);
  assert_is (set_attr ("k", "user.ttlfs.remaining", "1s", 0), -EPERM);
  assert_is (set_attr ("k", "user.ttlfs.expires", "1s", 0), -EPERM);
  assert_is (set_attr ("k", "user.ttlfs.version", "1", 0), -EPERM);
  assert_is (ttl_store_remove_xattr (store, root, NULL, "user.ttlfs.version", now (), NULL),
             -EPERM);
  assert_is (set_attr ("k", "security.capability", "x", 0), -ENOTSUP);
  cr_assert_str_eq (get_attr ("k", "security.capability"), outcome (-ENOTSUP));
  cr_assert_str_eq (get_attr (NULL, "user.ttlfs.version"), "ENODATA");
}

Test (store, stores_user_attributes)
{
  char value[4];

  assert_is (put_key (root, "k", "v"), 0);
  if (set_attr ("k", "user.a", "abc", 0) == -ENOTSUP)
    cr_skip ("no user xattrs here");
  cr_assert_str_eq (get_attr ("k", "user.a"), "abc");
  assert_is (ttl_store_get_xattr (store, root, "k", "user.a", NULL, 0, now (), NULL), 3);
  assert_is (ttl_store_get_xattr (store, root, "k", "user.a", value, 2, now (), NULL), -ERANGE);
  assert_is (ttl_store_get_xattr (store, root, "k", TTL_XATTR, value, 2, now (), NULL), -ERANGE);
  assert_is (ttl_store_get_xattr (store, root, "k", TTL_XATTR, NULL, 0, now (), NULL), 3);
  assert_is (set_attr ("k", "user.a", "x", XATTR_CREATE), -EEXIST);
  assert_is (set_attr (NULL, "user.b", "of the bucket", 0), 0);
  cr_assert_str_eq (get_attr (NULL, "user.b"), "of the bucket");
  assert_is (ttl_store_remove_xattr (store, root, "k", "user.a", now (), NULL), 0);
  cr_assert_str_eq (get_attr ("k", "user.a"), "ENODATA");
}

Test (store, lists_the_ttl_that_is_set_and_none_of_its_own_marks)
{
  char names[128];

  assert_is (put_key (root, "k", "v"), 0);
  assert_is (ttl_store_list_xattr (store, root, "k", names, sizeof names, now ()), 0);
  assert_is (ttl_store_list_xattr (store, root, NULL, names, sizeof names, now ()), 0);
  assert_is (set_attr ("k", TTL_XATTR, "1m", 0), 0);
  assert_is (ttl_store_list_xattr (store, root, "k", NULL, 0, now ()), sizeof TTL_XATTR);
  assert_is (ttl_store_list_xattr (store, root, "k", names, 3, now ()), -ERANGE);
  assert_is (ttl_store_list_xattr (store, root, "k", names, sizeof names, now ()),
             sizeof TTL_XATTR);
  cr_assert_str_eq (names, TTL_XATTR);
}

/* ---- deleting ---- */

Test (store, deletes_a_key_and_scratch)
{
  assert_is (put_key (root, "k", "v"), 0);
  assert_is (put_key (root, ".tmp_k", "v"), 0);
  assert_is (ttl_store_delete (store, root, "k", now ()), 0);
  assert_is (ttl_store_delete (store, root, ".tmp_k", now ()), 0);
  assert_no_key (root, "k");
  cr_assert_eq (count_files (root_dir ()), 0);
}

Test (store, deletes_nothing_that_is_no_key)
{
  bucket ("b");
  put_raw_at ("a-b", "v", now ());
  assert_is (ttl_store_delete (store, root, "none", now ()), -ENOENT);
  assert_is (ttl_store_delete (store, root, "b", now ()), -ENOENT);
  assert_is (ttl_store_delete (store, root, "a-b", now ()), -ENOENT);
  cr_assert (exists (raw ("a-b")));
}

Test (store, forgets_the_ttl_of_a_key_that_was_deleted)
{
  assert_is (put_key (root, "k", "v"), 0);
  assert_is (set_attr ("k", TTL_XATTR, "1h", 0), 0);
  assert_is (ttl_store_delete (store, root, "k", now ()), 0);
  assert_is (put_key (root, "k", "v"), 0);
  cr_assert_str_eq (ttl_of (root, "k"), "10s");
}

/* ---- buckets ---- */

static int
make_bucket (TtlBucket *parent, const char *name)
{
  g_autoptr (TtlBucket) made = NULL;
  TtlOwner maker = *owner ();

  maker.mode = 0755;
  return ttl_store_mkdir (store, parent, name, &maker, now (), &made);
}

static int
remove_bucket (TtlBucket *parent, const char *name)
{
  return ttl_store_rmdir (store, parent, name, now ());
}

Test (store, makes_no_bucket_where_something_is_shown)
{
  assert_is (put_key (root, "a-b", "v"), 0);
  assert_is (make_bucket (root, "a-b"), -EEXIST);
  assert_is (make_bucket (root, "b"), 0);
  assert_is (make_bucket (root, "b"), -EEXIST);
}

Test (store, makes_a_bucket_where_a_key_has_expired)
{
  assert_is (put_key (root, "k", "v"), 0);
  assert_is (make_bucket (root, "k"), -EEXIST);
  advance (TTL);
  assert_is (make_bucket (root, "k"), 0);
}

Test (store, makes_no_bucket_outside_of_its_parent)
{
  g_autofree char *long_name = g_strnfill (256, 'a');
  TtlBucket *in = bucket ("b");

  assert_is (make_bucket (in, "../c"), -EINVAL);
  assert_is (make_bucket (in, "."), -EEXIST);
  assert_is (make_bucket (in, ".."), -EEXIST);
  assert_is (make_bucket (in, ""), -EINVAL);
  assert_is (make_bucket (in, long_name), -ENAMETOOLONG);
  cr_assert_not (exists (raw ("c")));
}

Test (store, gives_a_bucket_its_owner_and_mode)
{
  const TtlOwner maker
      = { .uid = getuid () == 0 ? 12 : getuid (), .gid = getgid (), .mode = 01750 };
  g_autoptr (TtlBucket) made = NULL;
  struct stat st;

  assert_is (ttl_store_mkdir (store, root, "b", &maker, now (), &made), 0);
  assert_ok (stat_of (raw ("b"), &st));
  cr_assert_eq (st.st_uid, maker.uid);
  cr_assert_eq (st.st_mode & 07777, 01750);
}

Test (store, hands_down_the_group_of_a_setgid_bucket)
{
  g_autoptr (TtlBucket) made = NULL;
  TtlOwner maker = *owner ();
  struct stat st;

  if (getuid () != 0)
    cr_skip ("needs root");
  bucket ("b");
  assert_ok (chown (raw ("b"), 0, 77));
  assert_ok (chmod (raw ("b"), 02755));
  assert_is (ttl_store_mkdir (store, bucket ("b"), "c", &maker, now (), &made), 0);
  assert_is (put_key (bucket ("b"), "k", "v"), 0);
  assert_ok (stat_of (raw ("b/c"), &st));
  cr_assert_eq (st.st_gid, 77);
  cr_assert_eq (st.st_mode & 07000, 02000);
  assert_ok (stat_of (raw ("b/k"), &st));
  cr_assert_eq (st.st_gid, 77);
}

Test (store, removes_an_empty_bucket)
{
  bucket ("b");
  assert_is (remove_bucket (root, "b"), 0);
  cr_assert_not (exists (raw ("b")));
  assert_is (remove_bucket (root, "b"), -ENOENT);
}

Test (store, removes_no_bucket_with_a_live_key)
{
  assert_is (put_key (bucket ("b"), "k", "v"), 0);
  assert_is (remove_bucket (root, "b"), -ENOTEMPTY);
  advance (TTL - 1);
  assert_is (remove_bucket (root, "b"), -ENOTEMPTY);
  advance (1);
  assert_is (remove_bucket (root, "b"), 0);
}

Test (store, removes_no_bucket_with_a_bucket_in_it)
{
  bucket ("b/c");
  assert_is (remove_bucket (root, "b"), -ENOTEMPTY);
}

Test (store, removes_no_bucket_with_something_foreign_in_it)
{
  bucket ("b");
  put_raw_at ("b/a-b", "v", now () - 100 * TTL);
  assert_is (remove_bucket (root, "b"), -ENOTEMPTY);
  assert_ok (unlink (raw ("b/a-b")));
  assert_ok (symlink ("elsewhere", raw ("b/link")));
  assert_is (remove_bucket (root, "b"), -ENOTEMPTY);
  cr_assert (exists (raw ("b/link")));
}

Test (store, removes_a_bucket_with_scratch_and_claims_in_it)
{
  g_autoptr (TtlDraft) claim = NULL;
  g_autoptr (TtlDraft) scratch_claim = NULL;

  bucket ("b");
  put_raw_at ("b/.tmp_x", "v", now ());
  claim = open_draft (bucket ("b"), "k", O_CREAT | O_EXCL);
  scratch_claim = open_draft (bucket ("b"), ".tmp_y", O_CREAT | O_EXCL);
  assert_is (remove_bucket (root, "b"), 0);
  assert_is (ttl_draft_publish (claim, TTL_PUBLISH_LAST), -ENOENT);
}

Test (store, leaves_scratch_alone_in_a_bucket_that_it_cannot_remove)
{
  assert_is (put_key (bucket ("b"), "k", "v"), 0);
  for (int i = 0; i < 20; i++)
    put_raw_at (text ("b/.tmp_%d", i), "v", now ());
  assert_is (remove_bucket (root, "b"), -ENOTEMPTY);
  cr_assert_eq (count_scratch (raw ("b")), 20);
}

Test (store, removes_no_bucket_that_is_none)
{
  assert_is (put_key (root, "k", "v"), 0);
  assert_is (remove_bucket (root, "k"), -ENOTDIR);
  assert_is (remove_bucket (root, "none"), -ENOENT);
  assert_is (remove_bucket (bucket ("b"), "../b"), -EINVAL);
  assert_is (remove_bucket (root, "."), -ENOENT);
}

Test (store, forgets_the_ttl_of_a_bucket_that_was_removed)
{
  set_ttl (bucket ("b"), "1h");
  assert_is (remove_bucket (root, "b"), 0);
  assert_is (make_bucket (root, "b"), 0);
  assert_is (put_key (bucket ("b"), "k", "v"), 0);
  cr_assert_str_eq (ttl_of (bucket ("b"), "k"), "10s");
}

/* ---- renaming ---- */

Test (store, renames_a_key_with_its_lease)
{
  TtlBucket *in = bucket ("b");

  assert_is (put_key (root, "k", "v"), 0);
  advance (SECOND);
  assert_is (rename_to (root, "k", in, "l-m", 0), 0);
  assert_no_key (root, "k");
  assert_key (in, "l-m", "v");
  advance (TTL - SECOND - 1);
  assert_key (in, "l-m", "v");
  advance (1);
  assert_no_key (in, "l-m");
}

Test (store, renames_a_key_with_its_ttl)
{
  TtlBucket *in = bucket ("b");

  assert_is (put_key (root, "k", "v"), 0);
  assert_is (put_key (in, "k", "old"), 0);
  assert_is (set_attr ("k", TTL_XATTR, "1h", 0), 0);
  assert_is (rename_to (root, "k", in, "k", 0), 0);
  cr_assert_str_eq (ttl_of (in, "k"), "1h");
}

Test (store, does_not_hand_the_ttl_of_a_replaced_key_on)
{
  assert_is (put_key (root, "a", "v"), 0);
  assert_is (put_key (root, "b", "old"), 0);
  assert_is (set_attr ("b", TTL_XATTR, "1h", 0), 0);
  assert_is (rename_to (root, "a", root, "b", 0), 0);
  cr_assert_str_eq (ttl_of (root, "b"), "10s");
}

Test (store, publishes_scratch_that_is_renamed_to_a_key)
{
  assert_is (put_key (root, ".tmp_k", "v"), 0);
  advance (TTL - 1);
  assert_is (rename_to (root, ".tmp_k", root, "k", 0), 0);
  advance (TTL - 1);
  assert_key (root, "k", "v");
}

Test (store, renames_over_a_key)
{
  assert_is (put_key (root, "a", "new"), 0);
  assert_is (put_key (root, "b", "old"), 0);
  assert_is (rename_to (root, "a", root, "b", RENAME_NOREPLACE), -EEXIST);
  assert_key (root, "b", "old");
  assert_is (rename_to (root, "a", root, "b", 0), 0);
  assert_key (root, "b", "new");
  cr_assert_str_eq (names_in (root), "b ");
}

Test (store, renames_without_replacing_where_a_key_has_expired)
{
  assert_is (put_key (root, "b", "old"), 0);
  advance (TTL);
  assert_is (put_key (root, "a", "new"), 0);
  assert_is (rename_to (root, "a", root, "b", RENAME_NOREPLACE), 0);
  assert_key (root, "b", "new");
}

Test (store, renames_a_key_to_itself)
{
  assert_is (put_key (root, "k", "v"), 0);
  assert_is (rename_to (root, "k", root, "k", 0), 0);
  assert_is (rename_to (root, "k", root, "k", RENAME_NOREPLACE), -EEXIST);
  assert_key (root, "k", "v");
}

Test (store, does_nothing_for_two_names_of_one_file)
{
  assert_is (put_key (root, "a", "v"), 0);
  assert_is (ttl_store_link (store, root, "a", root, "b", now (), NULL, NULL), 0);
  assert_is (rename_to (root, "a", root, "b", 0), 0);
  cr_assert_str_eq (names_in (root), "a b ");
}

Test (store, exchanges_two_keys)
{
  assert_is (put_key (root, "a", "of a"), 0);
  assert_is (put_key (root, "b", "of b"), 0);
  assert_is (set_attr ("a", TTL_XATTR, "1h", 0), 0);
  assert_is (rename_to (root, "a", root, "b", RENAME_EXCHANGE), 0);
  assert_key (root, "a", "of b");
  assert_key (root, "b", "of a");
  cr_assert_str_eq (ttl_of (root, "b"), "1h");
  cr_assert_str_eq (ttl_of (root, "a"), "10s");
}

Test (store, exchanges_two_buckets)
{
  set_ttl (bucket ("a"), "1h");
  assert_is (put_key (bucket ("a"), "k", "v"), 0);
  bucket ("b");
  assert_is (rename_to (root, "a", root, "b", RENAME_EXCHANGE), 0);
  cr_assert_str_eq (names_in (bucket ("a")), "");
  cr_assert_str_eq (names_in (bucket ("b")), "k ");
  cr_assert_str_eq (ttl_of (bucket ("b"), "k"), "1h");
  assert_is (put_key (bucket ("a"), "k", "v"), 0);
  cr_assert_str_eq (ttl_of (bucket ("a"), "k"), "10s");
}

Test (store, publishes_scratch_that_is_exchanged_for_a_key)
{
  assert_is (put_key (root, ".tmp_k", "new"), 0);
  advance (TTL - 1);
  assert_is (put_key (root, "k", "old"), 0);
  assert_is (rename_to (root, ".tmp_k", root, "k", RENAME_EXCHANGE), 0);
  advance (TTL - 1);
  assert_key (root, "k", "new");
}

Test (store, exchanges_only_what_is_there_and_alike)
{
  assert_is (put_key (root, "k", "v"), 0);
  bucket ("b");
  assert_is (rename_to (root, "k", root, "none", RENAME_EXCHANGE), -ENOENT);
  assert_is (rename_to (root, "k", root, "b", RENAME_EXCHANGE), -EINVAL);
  bucket ("b/c");
  assert_is (rename_to (root, "b", bucket ("b"), "c", RENAME_EXCHANGE), -EINVAL);
}

Test (store, refuses_flags_that_it_does_not_know)
{
  assert_is (put_key (root, "k", "v"), 0);
  assert_is (rename_to (root, "k", root, "l", RENAME_WHITEOUT), -EINVAL);
  assert_is (rename_to (root, "k", root, "l", RENAME_NOREPLACE | RENAME_EXCHANGE), -EINVAL);
}

Test (store, does_not_mix_keys_and_buckets_in_a_rename)
{
  assert_is (put_key (root, "k", "v"), 0);
  bucket ("b");
  assert_is (rename_to (root, "k", root, "b", 0), -EISDIR);
  assert_is (rename_to (root, "b", root, "k", 0), -ENOTDIR);
  assert_is (rename_to (root, "none", root, "l", 0), -ENOENT);
}

Test (store, never_moves_anything_outside_of_a_bucket)
{
  TtlBucket *in = bucket ("b");

  assert_is (put_key (in, "k", "v"), 0);
  bucket ("b/c");
  assert_is (rename_to (in, "c", in, "../c", 0), -EINVAL);
  assert_is (rename_to (in, "k", in, "../k", 0), -EINVAL);
  assert_is (ttl_store_link (store, in, "k", in, "../k", now (), NULL, NULL), -EINVAL);
  assert_is (rename_to (in, "..", root, "d", 0), -ENOENT);
}

Test (store, leaves_a_foreign_file_under_the_name_of_a_key)
{
  assert_is (put_key (root, "k", "v"), 0);
  assert_ok (symlink ("elsewhere", raw ("link")));
  assert_is (rename_to (root, "k", root, "link", 0), -EPERM);
  assert_is (rename_to (root, "k", root, "link", RENAME_NOREPLACE), -EEXIST);
  advance (100 * TTL); /* not even when it is old */
  assert_is (put_key (root, "link", "v"), -EPERM);
  assert_is (put_key_with (root, "link", O_CREAT | O_EXCL, "v"), -EEXIST);
  cr_assert (exists (raw ("link")));
}

Test (store, renames_a_bucket_with_what_is_in_it)
{
  set_ttl (bucket ("a"), "1h");
  assert_is (put_key (bucket ("a"), "k", "v"), 0);
  assert_is (rename_to (root, "a", bucket ("b"), "c", 0), 0);
  cr_assert_str_eq (names_in (bucket ("b/c")), "k ");
  cr_assert_str_eq (ttl_of (bucket ("b/c"), "k"), "1h");
}

Test (store, renames_a_bucket_over_an_empty_one)
{
  TtlBucket *a = bucket ("a");

  assert_is (put_key (a, "k", "v"), 0);
  bucket ("b");
  assert_is (rename_to (root, "a", root, "b", RENAME_NOREPLACE), -EEXIST);
  assert_is (rename_to (root, "a", root, "b", 0), 0);
  cr_assert_str_eq (names_in (root), "b ");
  assert_key (a, "k", "v");
}

Test (store, renames_no_bucket_over_a_full_one_or_below_itself)
{
  bucket ("a");
  assert_is (put_key (bucket ("b"), "k", "v"), 0);
  assert_is (rename_to (root, "a", root, "b", 0), -ENOTEMPTY);
  assert_is (rename_to (root, "b", bucket ("b"), "c", 0), -EINVAL);
  bucket ("a/c");
  assert_is (rename_to (root, "a", bucket ("a/c"), "d", 0), -EINVAL);
  assert_is (rename_to (bucket ("a"), "c", root, "a", 0), -ENOTEMPTY);
}

Test (store, renames_a_bucket_to_any_name_that_a_directory_can_have)
{
  g_autofree char *dashes = g_strnfill (255, '-');
  g_autofree char *too_long = g_strnfill (256, '-');

  bucket ("a");
  assert_is (rename_to (root, "a", root, too_long, 0), -ENAMETOOLONG);
  assert_is (rename_to (root, "a", root, dashes, 0), 0);
  cr_assert (exists (raw (dashes)));
}

Test (store, renames_a_bucket_where_a_key_has_expired)
{
  assert_is (put_key (root, "k", "v"), 0);
  bucket ("b");
  advance (TTL);
  assert_is (rename_to (root, "b", root, "k", 0), 0);
}

/* ---- linking ---- */

Test (store, links_a_second_key)
{
  assert_is (put_key (root, "a", "v"), 0);
  assert_is (ttl_store_link (store, root, "a", bucket ("b"), "c-d", now (), NULL, NULL), 0);
  assert_key (bucket ("b"), "c-d", "v");
  assert_is (ttl_store_delete (store, root, "a", now ()), 0);
  assert_key (bucket ("b"), "c-d", "v");
}

Test (store, links_nothing_over_what_is_there)
{
  assert_is (put_key (root, "a", "v"), 0);
  assert_is (put_key (root, "k", "old"), 0);
  assert_is (set_attr ("k", TTL_XATTR, "1h", 0), 0);
  bucket ("b");
  assert_is (ttl_store_link (store, root, "a", root, "k", now (), NULL, NULL), -EEXIST);
  assert_is (ttl_store_link (store, root, "a", root, "b", now (), NULL, NULL), -EEXIST);
  assert_is (ttl_store_link (store, root, "none", root, "c", now (), NULL, NULL), -ENOENT);
  assert_is (ttl_store_link (store, root, "b", root, "c", now (), NULL, NULL), -ENOENT);
  cr_assert_str_eq (ttl_of (root, "k"), "1h");
}

Test (store, links_where_a_key_has_expired)
{
  assert_is (put_key (root, "k", "old"), 0);
  advance (TTL);
  assert_is (put_key (root, "a", "new"), 0);
  assert_is (ttl_store_link (store, root, "a", root, "k", now (), NULL, NULL), 0);
  assert_key (root, "k", "new");
}

Test (store, publishes_scratch_that_is_linked_to_a_key)
{
  assert_is (put_key (root, ".tmp_k", "v"), 0);
  advance (TTL - 1);
  assert_is (ttl_store_link (store, root, ".tmp_k", root, "k", now (), NULL, NULL), 0);
  assert_is (ttl_store_delete (store, root, ".tmp_k", now ()), 0);
  advance (TTL - 1);
  assert_key (root, "k", "v");
}

/* ---- who we are ---- */

Test (store, has_a_connection_id_of_its_own)
{
  const TtlStoreOptions options = { 0 };
  TtlStore *other = open_store (&options);

  cr_assert_eq (ttl_store_connection_id (store), ttl_store_connection_id (store));
  cr_assert_neq (ttl_store_connection_id (store), ttl_store_connection_id (other));
  ttl_store_close (other);
}

Test (store, agrees_with_another_one_on_the_same_root)
{
  const TtlStoreOptions options = { 0 };
  TtlStore *other = open_store (&options);
  TtlEntry entry;

  set_ttl (root, "2h");
  assert_is (put_key (root, "k", "v"), 0);
  assert_is (ttl_store_lookup (other, ttl_store_root (other), "k", now (), &entry), 0);
  cr_assert_eq (entry.deadline, now () + 2 * 3600 * SECOND);
  ttl_store_close (other);
}

Test (store, changes_nothing_when_it_is_read_only)
{
  const TtlAttrs attrs = { .set_mode = TRUE, .mode = 0600 };
  const TtlDuration hour = duration ("1h");
  TtlDraft *draft;

  assert_is (put_key (root, "k", "v"), 0);
  bucket ("b");
  reopen_store ((TtlStoreOptions){ .root_flags = TTL_ROOT_READ_ONLY });
  assert_key (root, "k", "v");
  assert_is (ttl_draft_open (store, root, "k", 0, owner (), now (), &draft), -EROFS);
  assert_is (ttl_draft_open (store, root, "l", O_CREAT, owner (), now (), &draft), -EROFS);
  assert_is (ttl_store_delete (store, root, "k", now ()), -EROFS);
  assert_is (make_bucket (root, "c"), -EROFS);
  assert_is (remove_bucket (root, "b"), -EROFS);
  assert_is (rename_to (root, "k", root, "l", 0), -EROFS);
  assert_is (ttl_store_link (store, root, "k", root, "l", now (), NULL, NULL), -EROFS);
  assert_is (ttl_store_set_attrs (store, root, "k", &attrs, now ()), -EROFS);
  assert_is (set_attr ("k", TTL_XATTR, "1h", 0), -EROFS);
  assert_is (ttl_store_remove_xattr (store, root, "k", "user.a", now (), NULL), -EROFS);
  assert_is (ttl_store_set_bucket_ttl (store, root, &hour), -EROFS);
  advance (TTL);
  assert_no_key (root, "k");
  ttl_reaper_rescan (store->reaper, root);
  (void)ttl_reaper_run (store->reaper, now ());
  cr_assert (exists (raw ("k")));
}

/* ---- what is open ---- */

Test (store, renews_no_version_whose_lease_has_ended_through_a_descriptor)
{
  TtlAttrs attrs = { .set_mtime = TRUE };
  ttl_autofd fd = -1;

  assert_is (put_key (root, "k", "v"), 0);
  fd = open (raw ("k"), O_RDONLY | O_CLOEXEC);
  advance (TTL - 1);
  attrs.mtime_ns = now ();
  assert_is (ttl_store_set_attrs_of_open (store, root, "k", fd, &attrs, now ()), 0);
  advance (TTL);
  attrs.mtime_ns = now ();
  assert_is (ttl_store_set_attrs_of_open (store, root, "k", fd, &attrs, now ()), -ENOENT);
  assert_no_key (root, "k");
}

Test (store, sets_what_you_like_on_a_version_that_has_lost_its_name)
{
  const TtlAttrs attrs = { .set_mtime = TRUE, .mtime_ns = -1, .set_mode = TRUE, .mode = 0600 };
  ttl_autofd fd = -1;
  struct stat st;

  assert_is (put_key (root, "k", "v"), 0);
  fd = open (raw ("k"), O_RDONLY | O_CLOEXEC);
  assert_is (ttl_store_delete (store, root, "k", now ()), 0);
  advance (TTL);
  assert_is (ttl_store_set_attrs_of_open (store, root, "k", fd, &attrs, now ()), 0);
  assert_ok (fstat (fd, &st));
  cr_expect_eq (st.st_mode & 07777, 0600);
  cr_expect_eq (ttl_timespec_ns (&st.st_mtim), -1);
}

/* Its other name may have a shorter TTL than the one that it was opened by. */
Test (store, destroys_nothing_by_a_past_mtime_of_a_version_that_has_another_name)
{
  const TtlAttrs attrs = { .set_mtime = TRUE, .mtime_ns = now () - 2 * TTL };
  ttl_autofd fd = -1;

  assert_is (put_key (root, "k", "v"), 0);
  assert_is (ttl_store_link (store, root, "k", root, "l", now (), NULL, NULL), 0);
  fd = open (raw ("k"), O_RDONLY | O_CLOEXEC);
  assert_is (put_key (root, "k", "w"), 0);
  assert_is (ttl_store_set_attrs_of_open (store, root, "k", fd, &attrs, now ()), 0);
  assert_key (root, "l", "v");
}

Test (store, tells_what_was_linked)
{
  TtlEntry linked;

  assert_is (put_key (root, "a", "v"), 0);
  assert_is (ttl_store_link (store, root, "a", root, "b", now (), NULL, &linked), 0);
  cr_expect_str_eq (linked.backing, "b");
  cr_expect_eq (linked.st.st_size, 1);
  cr_expect_eq (linked.st.st_nlink, 2);
}
