/* othertime.h - what a test writes to make a daemon see another time; see othertime.c. */
#pragma once

#include <stdint.h>

enum
{
  OTHERTIME_WALL = 1 << 0,
  OTHERTIME_MONOTONIC = 1 << 1,
  OTHERTIME_FILES
  = 1 << 2, /* what the file system stamps from then on, too: the machine's clock was set */
};

typedef struct
{
  int64_t at_ns; /* the real time of the step */
  int64_t by_ns;
  int what;
} OtherTime;
