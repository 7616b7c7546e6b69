/* op - the operations that are compared, and what each is called.
 *
 * README.md says what one of each is on each subject. */
#pragma once

#include <glib.h>

typedef enum
{
  OP_ROUND_TRIP, /* of nullfs only: one request to a daemon that does nothing */
  OP_STAT_HOT,
  OP_STAT_COLD,
  OP_GET_HOT,
  OP_GET_FIRST,
  OP_GET_1K,
  OP_GET_64K,
  OP_GET_4M,
  OP_GET_4M_FIRST,
  OP_PUT_NEW,
  OP_PUT_OVER,
  OP_APPEND,
  OP_TOUCH,
  OP_RENAME,
  OP_UNLINK,
  OP_LIST,
  OP_LIST_STAT,
  OP_LS_L,
  OP_CAT_ALL,
  OP_COUNT
} Op;

#define SMALL_VALUE 64 /* bytes, wherever an operation's name says nothing of a size */

const char *op_name (Op op);
/* FALSE when nothing is called so. */
gboolean op_from_name (const char *name, Op *op_out);
/* Of the values that it reads or writes. */
gsize op_value_size (Op op);
