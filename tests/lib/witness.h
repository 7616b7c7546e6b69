/* witness - what another process sees.
 *
 * One process, started with the fixture before the test opens anything, so that it shares no
 * descriptor with the test and its own comings and goings send no FLUSH for the test's files. A
 * child forked later cannot say that of itself. Each call is one question and one answer; -1 or
 * NULL with errno as the witness got it. Not for threads. */
#pragma once

#include "asserts.h"

/* Called by the fixture. */
void witness_start (void);
void witness_stop (void);

int witness_stat (const char *path, struct stat *st_out); /* st_out optional */
const char *witness_get (const char *path);
/* 1 or 0: whether the directory of @path lists it. */
int witness_lists (const char *path);

/* The witness finds nothing, by any way of looking. */
#define assert_hidden(path) \
  do \
    { \
      assert_errno (witness_stat (path, NULL), ENOENT); \
      cr_assert (witness_get (path) == NULL, "%s can be read by others", #path); \
      cr_assert (errno == ENOENT, "%s: %s", #path, g_strerror (errno)); \
      cr_assert (!witness_lists (path), "%s is listed to others", #path); \
    } \
  while (0)
/* The witness finds that value, and all its ways of looking agree. */
#define assert_witnessed(path, expected) \
  do \
    { \
      struct stat st_; \
      const char *seen_ = witness_get (path); \
      cr_assert (seen_ != NULL, "others get of %s: %s", #path, g_strerror (errno)); \
      cr_assert_str_eq (seen_, expected, "others see '%s', expected '%s'", seen_, expected); \
      assert_ok (witness_stat (path, &st_)); \
      cr_assert (st_.st_size == (off_t)strlen (expected), "others see a size of %ld, not %zu", \
                 (long)st_.st_size, strlen (expected)); \
      cr_assert (witness_lists (path), "%s is not listed to others", #path); \
    } \
  while (0)
