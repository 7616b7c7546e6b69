/* plan - what the clients of one history will do, all of it drawn from one seed.
 *
 * Plain data. The same seed gives the same plan; how the steps of different clients fall together is the kernel's doing. */
#pragma once

#include "history.h"

#define PLAN_CLIENTS 4
#define PLAN_STEPS 8

typedef enum
{
  THINK_NOT,
  THINK_SHORTLY,  /* Step.think_ns */
  THINK_TOGETHER, /* until the next full millisecond, where others that think so begin too */
  THINK_TILL_END, /* until about the key's deadline, as far as it is known: Step.think_ns before or after */
  THINK_OF_NOTHING /* a part of the TTL */
} Think;

/* How it is done; which of them a verb may take is in plan.c. */
typedef enum
{
  BY_CLOSE,     /* open, write, close */
  BY_FSYNC,     /* open, write, fsync, close */
  BY_RENAME,    /* scratch and rename() */
  BY_LINK,      /* scratch and link() */
  BY_NOREPLACE, /* scratch and renameat2 (RENAME_NOREPLACE) */
  BY_NAME,      /* by the path */
  BY_DESCRIPTOR,
} How;

typedef struct
{
  OpVerb verb; /* OP_CLAIM stands for the whole of it, OP_PUBLISH at the end */
  How how;
  int key;
  int token; /* for what writes */
  Think think;
  gint64 think_ns;
  gint64 hold_ns; /* between open and close */
} Step;

typedef enum
{
  DOOR_A,
  DOOR_B,
  DOOR_RAW,
} Door;

typedef struct
{
  guint64 seed;
  gint64 ttl_ns; /* HISTORY_INF for none */
  int n_keys;
  gboolean appends; /* among the steps */
  Door doors[PLAN_CLIENTS];
  Step steps[PLAN_CLIENTS][PLAN_STEPS];
} Plan;

void plan_draw (Plan *plan, guint64 seed);
