#include "op.h"

static const char *const names[OP_COUNT] = {
  [OP_ROUND_TRIP] = "round-trip",
  [OP_STAT_HOT] = "stat-hot",
  [OP_STAT_COLD] = "stat-cold",
  [OP_GET_HOT] = "get-hot",
  [OP_GET_FIRST] = "get-first",
  [OP_GET_1K] = "get-1k",
  [OP_GET_64K] = "get-64k",
  [OP_GET_4M] = "get-4m",
  [OP_GET_4M_FIRST] = "get-4m-first",
  [OP_PUT_NEW] = "put-new",
  [OP_PUT_OVER] = "put-over",
  [OP_APPEND] = "append",
  [OP_TOUCH] = "touch",
  [OP_RENAME] = "rename",
  [OP_UNLINK] = "unlink",
  [OP_LIST] = "list",
  [OP_LIST_STAT] = "list-stat",
  [OP_LS_L] = "ls-l",
  [OP_CAT_ALL] = "cat-all",
};

const char *
op_name (Op op)
{
  return names[op];
}

gboolean
op_from_name (const char *name, Op *op_out)
{
  for (guint i = 0; i < OP_COUNT; i++)
    if (g_str_equal (names[i], name))
      {
        *op_out = (Op)i;
        return TRUE;
      }
  return FALSE;
}

gsize
op_value_size (Op op)
{
  switch (op)
    {
    case OP_GET_1K:
      return 1 << 10;
    case OP_GET_64K:
      return 64 << 10;
    case OP_GET_4M:
    case OP_GET_4M_FIRST:
      return 4 << 20;
    default:
      return SMALL_VALUE;
    }
}
