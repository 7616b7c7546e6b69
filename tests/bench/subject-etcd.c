/* etcd, by its HTTP interface, which translates JSON to the gRPC that etcd speaks: one kept connection for each client, one
 * request at a time, one lease for each client. README.md says what that costs. */
#include "subject.h"

#include <curl/curl.h>
#include <json-glib/json-glib.h>
#include <string.h>

#define LIFE "3600"

typedef struct
{
  Subject base;
  char *url; /* up to and with the API's version */
} Etcd;

struct Client
{
  CURL *curl;
  struct curl_slist *headers;
  const Etcd *etcd; /* borrowed */
  GString *answer;
  char *lease;
  char *value64;
  Op op;
  guint number;
  guint next;
};

static char *
base64 (const char *text, gsize size)
{
  return g_base64_encode ((const guchar *)text, size);
}

static size_t
keep (char *data, size_t size, size_t n, void *to)
{
  g_string_append_len (to, data, (gssize)(size * n));
  return size * n;
}

/* Leaves the answer's body in client->answer. */
static void
ask (Client *client, const char *what, const char *body)
{
  g_autofree char *url = g_strconcat (client->etcd->url, what, NULL);
  long status = 0;
  CURLcode res;

  g_string_truncate (client->answer, 0);
  curl_easy_setopt (client->curl, CURLOPT_URL, url);
  curl_easy_setopt (client->curl, CURLOPT_POSTFIELDS, body);
  res = curl_easy_perform (client->curl);
  if (res != CURLE_OK)
    fail ("etcd: %s", curl_easy_strerror (res));
  curl_easy_getinfo (client->curl, CURLINFO_RESPONSE_CODE, &status);
  if (status != 200)
    fail ("etcd: %s: %ld %s", what, status, client->answer->str);
}

static char *
grant_lease (Client *client)
{
  g_autoptr (JsonNode) root = NULL;

  ask (client, "lease/grant", "{\"TTL\":\"" LIFE "\"}");
  root = json_from_string (client->answer->str, NULL);
  if (root == NULL || !json_object_has_member (json_node_get_object (root), "ID"))
    fail ("etcd: no lease: %s", client->answer->str);
  return g_strdup (json_object_get_string_member (json_node_get_object (root), "ID"));
}

static void
put (Client *client, const char *name)
{
  g_autofree char *key64 = base64 (name, strlen (name));
  g_autofree char *body = g_strdup_printf ("{\"key\":\"%s\",\"value\":\"%s\",\"lease\":\"%s\"}",
                                           key64, client->value64, client->lease);

  ask (client, "kv/put", body);
}

static void
get (Client *client, const char *name)
{
  g_autofree char *key64 = base64 (name, strlen (name));
  g_autofree char *body = g_strdup_printf ("{\"key\":\"%s\"}", key64);

  ask (client, "kv/range", body);
  if (client->answer->len < strlen (client->value64))
    fail ("etcd: no value: %s", client->answer->str);
}

static void
name_of (const Client *client, char *name, gsize size)
{
  if (client->op == OP_PUT_NEW)
    g_snprintf (name, size, "n%ux%u", client->number, client->next);
  else
    g_snprintf (name, size, "c%u", client->number);
}

/* 4 MiB are more than etcd takes in one request. */
static gboolean
etcd_can (const Subject *base, Op op)
{
  return op == OP_GET_HOT || op == OP_GET_1K || op == OP_GET_64K || op == OP_PUT_NEW
         || op == OP_PUT_OVER;
}

static void
etcd_prepare (Subject *base, Op op, guint clients)
{
}

static Client *
open_client (const Etcd *etcd)
{
  Client *client = g_new0 (Client, 1);

  client->etcd = etcd;
  client->answer = g_string_new (NULL);
  client->curl = curl_easy_init ();
  if (client->curl == NULL)
    fail ("etcd: libcurl does not start");
  client->headers = curl_slist_append (NULL, "Content-Type: application/json");
  curl_easy_setopt (client->curl, CURLOPT_HTTPHEADER, client->headers);
  curl_easy_setopt (client->curl, CURLOPT_NOPROXY, "*");
  curl_easy_setopt (client->curl, CURLOPT_WRITEFUNCTION, keep);
  curl_easy_setopt (client->curl, CURLOPT_WRITEDATA, client->answer);
  return client;
}

static void
etcd_disconnect (Client *client)
{
  curl_easy_cleanup (client->curl);
  curl_slist_free_all (client->headers);
  g_string_free (client->answer, TRUE);
  g_free (client->lease);
  g_free (client->value64);
  g_free (client);
}

/* From the first key to the last: all. */
static void
etcd_clean (Subject *base, Op op)
{
  Client *client = open_client ((const Etcd *)base);

  ask (client, "kv/deleterange", "{\"key\":\"AA==\",\"range_end\":\"AA==\"}");
  etcd_disconnect (client);
}

static Client *
etcd_connect (Subject *base, Op op, guint number, guint clients)
{
  Client *client = open_client ((const Etcd *)base);
  const gsize size = op_value_size (op);
  char name[32];

  client->op = op;
  client->number = number;
  client->lease = grant_lease (client);
  client->value64 = base64 (some_value (size), size);
  name_of (client, name, sizeof name);
  put (client, name);
  return client;
}

static gboolean
etcd_ready (Client *client)
{
  client->next++;
  return TRUE;
}

static void
etcd_run (Client *client)
{
  char name[32];

  name_of (client, name, sizeof name);
  if (client->op == OP_PUT_NEW || client->op == OP_PUT_OVER)
    put (client, name);
  else
    get (client, name);
}

static void
etcd_free (Subject *base)
{
  g_free (((Etcd *)base)->url);
  g_free (base);
}

static const SubjectClass etcd_class = {
  .can = etcd_can,
  .prepare = etcd_prepare,
  .clean = etcd_clean,
  .connect = etcd_connect,
  .ready = etcd_ready,
  .run = etcd_run,
  .disconnect = etcd_disconnect,
  .free = etcd_free,
};

Subject *
subject_etcd_new (char **parameters)
{
  const char *port = subject_parameter (parameters, "port");
  Etcd *self;

  if (port == NULL)
    fail ("etcd: where is it?");
  self = g_new0 (Etcd, 1);
  self->base.class = &etcd_class;
  self->url = g_strdup_printf ("http://127.0.0.1:%s/v3/", port);
  return &self->base;
}
