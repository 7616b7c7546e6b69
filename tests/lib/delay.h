/* delay - how soon a change shows elsewhere.
 *
 * The contract says 10 ms; one look on a busy machine says little, so the tests look often and
 * judge the usual case, while a change that does not show within a second fails the test at
 * once. */
#pragma once

#include "asserts.h"

/* Nanoseconds until @condition is so. */
#define DELAY(condition) \
  __extension__({ \
    gint64 delay_start_ = now_ns (); \
    while (!(condition)) \
      { \
        cr_assert (now_ns () - delay_start_ < tolerance_ns (1000), "not within a second: %s", \
                   #condition); \
        g_usleep (200); \
      } \
    now_ns () - delay_start_; \
  })

#define assert_usually_within(ms, delays) \
  do \
    { \
      gint64 usual_ = median (delays, G_N_ELEMENTS (delays)); \
      cr_assert (usual_ <= tolerance_ns (ms), "it usually takes %ld us", (long)(usual_ / 1000)); \
    } \
  while (0)
