/* Redis, by hiredis: one connection for each client, one command at a time. */
#include "subject.h"

#include <hiredis/hiredis.h>
#include <stdlib.h>

#define LIFE "3600" /* seconds; as for the mounts, none ends within a run */
#define APPENDS 64

typedef struct
{
  Subject base;
  char *socket; /* or NULL: then port */
  int port;
} Redis;

struct Client
{
  redisContext *redis;
  Op op;
  gsize size;
  char name[32];
  char other[32];
  guint number;
  guint next;
};

static redisContext *
open_connection (const Redis *self)
{
  redisContext *redis = self->socket != NULL ? redisConnectUnix (self->socket)
                                             : redisConnect ("127.0.0.1", self->port);

  if (redis == NULL || redis->err != 0)
    fail ("redis: %s", redis != NULL ? redis->errstr : "no memory");
  return redis;
}

/* Returns the reply's number, or the length of its string. */
static gsize
take_reply (redisContext *redis, gpointer data)
{
  redisReply *reply = data;
  gsize res;

  if (reply == NULL || reply->type == REDIS_REPLY_ERROR)
    fail ("redis: %s", reply != NULL ? reply->str : redis->errstr);
  res = reply->type == REDIS_REPLY_INTEGER ? (gsize)reply->integer : (gsize)reply->len;
  freeReplyObject (reply);
  return res;
}

#define COMMAND(client, ...) \
  take_reply ((client)->redis, redisCommand ((client)->redis, __VA_ARGS__))

static void
set (const Client *client, const char *name)
{
  COMMAND (client, "SET %s %b EX " LIFE, name, some_value (client->size), (size_t)client->size);
}

static void
get (const Client *client)
{
  const gsize size = COMMAND (client, "GET %s", client->name);

  if (size != client->size)
    fail ("redis: GET gives %" G_GSIZE_FORMAT " bytes", size);
}

static void
rename_there_or_back (Client *client)
{
  const gboolean back = client->next++ % 2 == 1;

  COMMAND (client, "RENAME %s %s", back ? client->other : client->name,
           back ? client->name : client->other);
}

static gboolean
redis_can (const Subject *base, Op op)
{
  switch (op)
    {
    case OP_GET_HOT:
    case OP_GET_1K:
    case OP_GET_64K:
    case OP_GET_4M:
    case OP_PUT_NEW:
    case OP_PUT_OVER:
    case OP_APPEND:
    case OP_TOUCH:
    case OP_RENAME:
    case OP_UNLINK:
      return TRUE;
    default:
      return FALSE;
    }
}

static void
redis_prepare (Subject *base, Op op, guint clients)
{
}

static void
redis_clean (Subject *base, Op op)
{
  Client client = { .redis = open_connection ((Redis *)base) };

  COMMAND (&client, "FLUSHALL");
  redisFree (client.redis);
}

static Client *
redis_connect (Subject *base, Op op, guint number, guint clients)
{
  Client *client = g_new0 (Client, 1);

  *client = (Client){
    .redis = open_connection ((Redis *)base), .op = op, .size = op_value_size (op), .number = number
  };
  g_snprintf (client->name, sizeof client->name, "c%u", number);
  g_snprintf (client->other, sizeof client->other, "d%u", number);
  set (client, client->name);
  return client;
}

static gboolean
redis_ready (Client *client)
{
  if (client->op == OP_PUT_NEW || client->op == OP_UNLINK)
    g_snprintf (client->name, sizeof client->name, "n%ux%u", client->number, client->next++);
  if (client->op == OP_UNLINK || (client->op == OP_APPEND && client->next++ % APPENDS == 0))
    set (client, client->name);
  return TRUE;
}

static void
redis_run (Client *client)
{
  switch (client->op)
    {
    case OP_PUT_NEW:
    case OP_PUT_OVER:
      set (client, client->name);
      break;
    case OP_APPEND:
      COMMAND (client, "APPEND %s %b", client->name, some_value (client->size),
               (size_t)client->size);
      break;
    case OP_TOUCH:
      COMMAND (client, "EXPIRE %s " LIFE, client->name);
      break;
    case OP_RENAME:
      rename_there_or_back (client);
      break;
    case OP_UNLINK:
      COMMAND (client, "DEL %s", client->name);
      break;
    default:
      get (client);
    }
}

static void
redis_disconnect (Client *client)
{
  redisFree (client->redis);
  g_free (client);
}

static void
redis_free (Subject *base)
{
  g_free (((Redis *)base)->socket);
  g_free (base);
}

static const SubjectClass redis_class = {
  .can = redis_can,
  .prepare = redis_prepare,
  .clean = redis_clean,
  .connect = redis_connect,
  .ready = redis_ready,
  .run = redis_run,
  .disconnect = redis_disconnect,
  .free = redis_free,
};

Subject *
subject_redis_new (char **parameters)
{
  const char *socket = subject_parameter (parameters, "socket");
  const char *port = subject_parameter (parameters, "port");
  Redis *self;

  if (socket == NULL && port == NULL)
    fail ("redis: where is it?");
  self = g_new0 (Redis, 1);
  self->base.class = &redis_class;
  self->socket = g_strdup (socket);
  self->port = port != NULL ? atoi (port) : 0;
  return &self->base;
}
