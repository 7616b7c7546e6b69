/* client - does the steps of a plan and writes down what came of them.
 *
 * Each client is a process of its own, since a mount shows a draft to the process that writes it. It works in
 * directories that it is told, records in memory that it is given, and asserts nothing. */
#pragma once

#include "plan.h"

#define CLIENT_OPS_MAX \
  (PLAN_STEPS * (HISTORY_KEYS_MAX + 1)) /* one step may be two operations, a listing one a key */

typedef struct /* shared among the clients of one history, and the checker */
{
  gint64 renewed_ns[HISTORY_KEYS_MAX]; /* atomic; about when a key was last renewed; 0: never */
} Shared;

typedef struct
{
  Op ops[CLIENT_OPS_MAX];
  guint n_ops;
  guint moot;     /* steps that could not be: their scratch had expired */
  char doing[64]; /* what it is at, for whoever waits in vain */
} Record;

/* @mounts, @backing: the bucket's directory in both mounts and in the backing directory. */
typedef struct
{
  const Plan *plan;
  int number;
  const char *mounts[2];
  const char *backing;
  Shared *shared;
  Record *record;
} Client;

void client_run (const Client *self);
