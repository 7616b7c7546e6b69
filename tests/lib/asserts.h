/* asserts - claims about system calls, files.h's helpers and paths, with messages that say what was
 * found.
 *
 * For the test process alone: a forked child has no way to tell Criterion. */
#pragma once

#include "files.h"

#include <criterion/criterion.h>

#define assert_ok(call) cr_assert ((call) >= 0, "%s: %s", #call, g_strerror (errno))
#define assert_errno(call, expected) \
  do \
    { \
      errno = 0; \
      long result_ = (long)(call); \
      int errno_ = errno; \
      cr_assert (result_ < 0, "%s succeeded, expected: %s", #call, g_strerror (expected)); \
      cr_assert (errno_ == (expected), "%s: %s, expected: %s", #call, g_strerror (errno_), \
                 g_strerror (expected)); \
    } \
  while (0)
#define assert_value(path, expected) \
  do \
    { \
      const char *value_ = get (path); \
      cr_assert (value_ != NULL, "%s: %s", #path, g_strerror (errno)); \
      cr_assert_str_eq (value_, expected, "%s holds '%s', expected '%s'", #path, value_, \
                        expected); \
    } \
  while (0)
/* Nothing is there, and a listing agrees. */
#define assert_absent(path) \
  do \
    { \
      assert_errno (stat_of (path, NULL), ENOENT); \
      cr_assert (!lists (path), "%s is listed", #path); \
    } \
  while (0)

/* See EVENTUALLY and STAYS in times.h. */
#define assert_eventually(ms, condition) \
  cr_assert (EVENTUALLY (ms, condition), "not within %d ms: %s", ms, #condition)
#define assert_stays(ms, condition) \
  cr_assert (STAYS (ms, condition), "not so for %d ms: %s", ms, #condition)
