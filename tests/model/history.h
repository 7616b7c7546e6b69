/* history - what was done to one bucket, by whom, when, and with what result.
 *
 * An operation is one record: what was asked, what came back, and the times between which it took effect. Times are
 * nanoseconds of CLOCK_REALTIME, as leases are judged by it. A value is a row of tokens: each put and append writes
 * one that nobody else writes, so that a value tells where it came from. Plain data, in memory that processes share. */
#pragma once

#include <glib.h>

#define HISTORY_OPS_MAX 64 /* of one key: the checker keeps a set of them in one word */
#define HISTORY_KEYS_MAX 2
#define HISTORY_TOKENS_MAX 40

#define HISTORY_INF G_MAXINT64

/* What an operation does to a key. How it does it (by which system calls) is the client's affair, and in Op.how. */
typedef enum
{
  OP_PUT, /* the key holds the token, whatever it held */
  OP_CLAIM, /* O_CREAT | O_EXCL: the name is the caller's, and nothing is seen of it; OP_PUBLISH follows */
  OP_PUBLISH, /* the close of that: the key holds the token */
  OP_CREATE,  /* the key holds the token if it was absent: link(), RENAME_NOREPLACE */
  OP_REPLACE, /* the key holds the token if it still is the version whose tokens are in Op.tokens: if-match */
  OP_APPEND, /* the token behind what is there, or alone */
  OP_DELETE,
  OP_TOUCH, /* a new lease */
  OP_GET,   /* reads the whole value */
  OP_STAT,  /* reads size and mtime, both of one moment */
  OP_LIST,  /* whether a listing shows the key */
} OpVerb;

typedef enum
{
  OP_DONE,
  OP_ABSENT, /* ENOENT, or not listed */
  OP_EXISTS, /* EEXIST */
  OP_STALE,  /* ESTALE: it was another version, or none */
  OP_UNSURE, /* it may have taken effect or not */
  OP_WRONG,  /* something that the contract never answers, told in Op.error */
} OpResult;

typedef enum
{
  OP_ANY_MOUNT, /* through a mount: all of them promise the same */
  OP_RAW,       /* in the backing directory, as a FileStore does it */
} OpDoor;

typedef struct
{
  OpVerb verb;
  OpResult result;
  OpDoor door;
  int place;  /* which mount, or the backing directory */
  int client; /* from 0 */
  int key;
  char how[24];      /* for a reader: "close", "raw rename" */
  char error[40];    /* of OP_WRONG */
  int token;         /* what it writes, from 1; 0 for none */
  gint64 invoked_ns; /* it took effect between these two, if at all */
  gint64 returned_ns;
  gint64
      mtime_from_ns; /* of what writes or renews: the mtime it gave is between these two; of OP_STAT: what it read */
  gint64 mtime_to_ns;
  int n_tokens; /* of OP_GET and OP_REPLACE */
  gint16 tokens[HISTORY_TOKENS_MAX];
  gint64 size; /* of OP_STAT */
} Op;

/* The size of what OP_PUT and its like write for @token: 6 bytes and up to two pages and a half. */
gsize token_size (int token);
/* token_size() bytes; each tells the token that it is of. */
void token_write (int token, char *out);
/* The tokens in a value: their number, or -1 when there is anything but whole tokens. */
int tokens_read (const char *value, gsize len, gint16 tokens_out[HISTORY_TOKENS_MAX]);

/* Whether it only looks: leaving it out of a history never makes that history wrong. */
gboolean op_is_look (const Op *op);
/* Writes one line, times counted from @origin_ns. */
void op_print (GString *out, const Op *op, gint64 origin_ns);
