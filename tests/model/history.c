#include "history.h"

#include <string.h>

#define HEAD 6 /* "[1234" and the closing "]" */

gsize
token_size (int token)
{
  static const gsize sizes[] = { 0, 1, 30, 500, 4089, 4090, 4091, 10000 };

  return HEAD + sizes[(guint)token * 2654435761U >> 7 & 7];
}

void
token_write (int token, char *out)
{
  gsize size = token_size (token);
  char head[HEAD];

  g_snprintf (head, sizeof head, "[%04d", token);
  memcpy (out, head, HEAD - 1);
  memset (out + HEAD - 1, 'a' + token % 26, size - HEAD);
  out[size - 1] = ']';
}

int
tokens_read (const char *value, gsize len, gint16 tokens_out[HISTORY_TOKENS_MAX])
{
  int n = 0;

  for (const char *end = value + len; value < end; n++)
    {
      g_autofree char *expected = NULL;
      char digits[HEAD - 1] = "";
      int token;

      if (n == HISTORY_TOKENS_MAX || end - value < HEAD)
        return -1;
      memcpy (digits, value + 1, HEAD - 2);
      token = (int)g_ascii_strtoll (digits, NULL, 10);
      if (token <= 0 || (gsize)(end - value) < token_size (token))
        return -1;
      expected = g_malloc (token_size (token));
      token_write (token, expected);
      if (memcmp (value, expected, token_size (token)) != 0)
        return -1;
      tokens_out[n] = (gint16)token;
      value += token_size (token);
    }
  return n;
}

gboolean
op_is_look (const Op *op)
{
  switch (op->verb)
    {
    case OP_GET:
    case OP_STAT:
    case OP_LIST:
      return TRUE;
    case OP_PUT:
    case OP_PUBLISH:
    case OP_TOUCH:
      return FALSE;
    case OP_CLAIM:
    case OP_CREATE:
    case OP_APPEND:
    case OP_REPLACE:
    case OP_DELETE:
      return op->result == OP_ABSENT || op->result == OP_EXISTS;
    }
  return FALSE;
}

static const char *
verb_name (OpVerb verb)
{
  static const char *const names[] = {
    [OP_PUT] = "put",       [OP_CLAIM] = "claim",     [OP_PUBLISH] = "publish",
    [OP_CREATE] = "create", [OP_APPEND] = "append",   [OP_DELETE] = "delete",
    [OP_TOUCH] = "touch",   [OP_GET] = "get",         [OP_STAT] = "stat",
    [OP_LIST] = "list",     [OP_REPLACE] = "replace",
  };

  return names[verb];
}

static void
print_tokens (GString *out, const Op *op)
{
  for (int i = 0; i < op->n_tokens; i++)
    g_string_append_printf (out, "%s%d", i > 0 ? "+" : "", op->tokens[i]);
}

static void
print_result (GString *out, const Op *op, gint64 origin_ns)
{
  switch (op->result)
    {
    case OP_DONE:
      if (op->verb == OP_GET)
        print_tokens (out, op);
      else if (op->verb == OP_STAT)
        g_string_append_printf (out, "%" G_GINT64_FORMAT " bytes, mtime %.3f", op->size,
                                (double)(op->mtime_from_ns - origin_ns) / 1e6);
      else
        g_string_append (out, op->verb == OP_LIST ? "listed" : "done");
      break;
    case OP_ABSENT:
      g_string_append (out, "absent");
      break;
    case OP_EXISTS:
      g_string_append (out, "exists");
      break;
    case OP_STALE:
      g_string_append (out, "stale, not ");
      print_tokens (out, op);
      break;
    case OP_UNSURE:
      g_string_append (out, "?");
      break;
    case OP_WRONG:
      g_string_append (out, op->error);
      break;
    }
}

void
op_print (GString *out, const Op *op, gint64 origin_ns)
{
  g_string_append_printf (out, "%10.3f", (double)(op->invoked_ns - origin_ns) / 1e6);
  if (op->returned_ns == HISTORY_INF)
    g_string_append (out, " ..     never");
  else
    g_string_append_printf (out, " .. %9.3f", (double)(op->returned_ns - origin_ns) / 1e6);
  g_string_append_printf (out, "  client %d  %-8s %-18s", op->client, verb_name (op->verb),
                          op->how);
  if (op->token > 0)
    g_string_append_printf (out, " %-4d", op->token);
  else
    g_string_append (out, "     ");
  g_string_append (out, " -> ");
  print_result (out, op, origin_ns);
  if (op->verb != OP_STAT && op->mtime_to_ns != 0 && op->returned_ns != HISTORY_INF)
    g_string_append_printf (out, " (mtime %.3f..%.3f)",
                            (double)(op->mtime_from_ns - origin_ns) / 1e6,
                            (double)(op->mtime_to_ns - origin_ns) / 1e6);
  g_string_append_c (out, '\n');
}
