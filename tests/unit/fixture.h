/* fixture - a private root and a store on it whose clock stands until a test turns it.
 *
 *     TestSuite (store, .init = store_setup, .fini = store_teardown, .timeout = 60);
 *
 * Owns, for one test: a directory under TTLFS_TEST_DIR (default: the temporary directory), the store, every bucket that
 * bucket() gave out. There are no background threads: a test calls ttl_reaper_run() and ttl_keeper_run() itself.
 * The clock starts a second ahead of the machine's, so that what the kernel stamps lies before it and is live.
 *
 * TTLFS_TEST_CAPS takes away what the file system can do, as words joined by commas: "noxattrs" (settings go under
 * .ttlfs/), "notmpfile" (drafts have scratch names). meson runs the suites that use this once in each way. */
#pragma once

#include "asserts.h"
#include "files.h"

#include "draft.h"
#include "keeper.h"
#include "reaper.h"
#include "store-private.h"
#include "watcher.h"

extern TtlStore *store; /* the one that store_setup() opened; TTL 10 s, keepalive held */
extern TtlBucket *root; /* its root bucket */

void store_setup (void);
void store_prepare (void); /* the directory alone */
void store_teardown (void);

/* Another store on the same root, or, after store_prepare(), the first; close it with ttl_store_close(). Its clock is
 * one of its own, and stands where store's does. */
TtlStore *open_store (const TtlStoreOptions *options);
/* The same on the machine's clock, with its background threads. */
TtlStore *open_live_store (const char *ttl, TtlKeepalive keepalive);
/* Closes store, and opens it again with other options. */
void reopen_store (TtlStoreOptions options);

/* A path in the backing directory, and that directory. */
const char *raw (const char *name);
const char *root_dir (void);
/* From here on the test is somebody whom file modes forbid something, who owns the root. Until its end. */
void become_user (void);
/* A regular file in the backing directory that was renewed at @mtime, as a peer puts it. */
void put_raw_at (const char *name, const char *value, gint64 mtime);

/* Of store's clock. */
gint64 now (void);
void advance (gint64 by_ns);
/* The wall clock is set; no time passes. */
void step (gint64 by_ns);

/* The bucket at that path (made where it is missing), held until the end of the test. */
TtlBucket *bucket (const char *path);
/* Sets a bucket's TTL; NULL: inherits again. */
void set_ttl (TtlBucket *of, const char *ttl);
TtlDuration duration (const char *text);

/* The backing name of a key; kept. */
const char *key (const char *shown);
const TtlOwner *owner (void); /* whoever runs the test, 0644 */

/* O_CREAT | O_TRUNC, all of @value, publish, close: 0 or -errno. */
int put_key (TtlBucket *in, const char *shown, const char *value);
int put_key_with (TtlBucket *in, const char *shown, int flags, const char *value);
/* The value of a live key, or NULL. */
const char *key_value (TtlBucket *in, const char *shown);
gboolean is_live (TtlBucket *in, const char *shown);
/* The shown names in a bucket but for "." and "..", sorted, each with a space behind it. */
const char *names_in (TtlBucket *in);
/* What user.ttlfs.ttl says of a key, or NULL. */
const char *ttl_of (TtlBucket *in, const char *shown);

TtlDraft *open_draft (TtlBucket *in, const char *shown, int flags);
/* Writes at the beginning of a draft. */
void write_draft (TtlDraft *draft, const char *value);

gboolean
has_cap (const char *word); /* FALSE where TTLFS_TEST_CAPS takes it away: "xattrs", "tmpfile" */

/* 0 and errors by name. */
const char *outcome (gint64 result);
#define assert_is(call, expected) \
  do \
    { \
      gint64 is_ = (gint64)(call); \
      gint64 want_ = (gint64)(expected); \
      cr_assert (is_ == want_, "%s: %s, expected: %s", #call, outcome (is_), outcome (want_)); \
    } \
  while (0)
#define assert_key(in, shown, expected) \
  do \
    { \
      const char *value_ = key_value (in, shown); \
      cr_assert (value_ != NULL, "%s is not there", shown); \
      cr_assert_str_eq (value_, expected, "%s holds '%s', expected '%s'", shown, value_, \
                        expected); \
    } \
  while (0)
#define assert_no_key(in, shown) cr_assert (!is_live (in, shown), "%s is there", shown)
