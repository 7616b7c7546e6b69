/* lane - a row of histories, one after the other, each in a bucket of its own: made, run, checked, reported, removed.
 *
 * A lane is a process with its clients as children; lanes run side by side on the same two mounts. They share one
 * board with the program that started them. What a lane finds wrong it prints itself, one report at a time. */
#pragma once

#include "history.h"

#include <semaphore.h>
#include <sys/types.h>

typedef struct
{
  /* constant */
  guint64 seed;
  guint64 histories; /* how many; G_MAXUINT64: until told to stop */
  char mounts[2][256];
  char backing[256];

  /* atomic */
  gboolean stop;
  guint64 next;
  guint64 passed;
  guint64 failed;
  guint64 stepped; /* left out, since somebody stepped the clock */
  guint64 ops;
  guint64 moot;
  gint64 slowest_ns;

  sem_t printing;
} Board;

/* In memory that processes share; never freed. */
Board *board_new (void);
/* The lane's pid. It ends with status 0 when there is nothing left to do, and with its parent. */
pid_t lane_start (Board *board);
