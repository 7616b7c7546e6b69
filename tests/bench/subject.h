/* subject - something that keeps values under names, seen as a set of operations that can be timed.
 *
 * A subject is made once, from a description on the command line. A *client* is one process's use of it for one operation.
 * Around them, in this order:
 *
 *     prepare()                in the parent, untimed: what the operation needs is made
 *       connect()              in each client
 *         [ready()] run() ...  ready() is untimed, run() is the operation
 *       disconnect()
 *     clean()                  in the parent
 *
 * What fails calls fail(), which ends the process: a subject that does not do what it should is not measured. */
#pragma once

#include "op.h"

#include <sys/types.h>

typedef struct Subject Subject;
typedef struct Client Client;

typedef struct
{
  gboolean (*can) (const Subject *self, Op op);
  void (*prepare) (Subject *self, Op op, guint clients);
  void (*clean) (Subject *self, Op op);
  Client *(*connect) (Subject *self, Op op, guint number, guint clients);
  gboolean (*ready) (Client *client); /* FALSE when there is nothing left to do it to */
  void (*run) (Client *client);
  void (*disconnect) (Client *client);
  void (*free) (Subject *self);
} SubjectClass;

/* The beginning of every subject's own struct. */
struct Subject
{
  const SubjectClass *class;
  char *name;
  pid_t *pids; /* of the processes that serve it, ending with 0 */
  guint list;  /* keys in the bucket that is listed */
  guint cat;   /* keys in the bucket that `cat *` reads */
};

/* @description: KIND,NAME[,PARAMETER=VALUE...]. The kinds and their parameters:
 *   mount      dir=, raw=: the backing directory's place for the same bucket
 *   directory  dir=: puts go to a scratch file which is renamed
 *   nullfs     file=: one whose attributes are never cached
 *   redis      socket=, or port= on 127.0.0.1
 *   etcd       port= on 127.0.0.1
 * Any of them: pid=, once or more; list= and cat=, sizes of the buckets to list and read. Ends the process on an error. */
Subject *subject_new (const char *description);
void subject_free (Subject *self);

/* Waits until the subject's processes are at rest, 2 s at most: what one operation leaves behind is not the next one's. */
void subject_settle (const Subject *self);

/* ---- for the subjects themselves ---- */

/* The value of parameter @name, or NULL. */
const char *subject_parameter (char **parameters, const char *name);

Subject *subject_files_new (const char *kind, char **parameters);
Subject *subject_redis_new (char **parameters);
Subject *subject_etcd_new (char **parameters);

/* @size bytes of text; borrowed, the same every time. */
const char *some_value (gsize size);

void fail (const char *format, ...) G_GNUC_PRINTF (1, 2) G_GNUC_NORETURN;
/* Where fail() leaves its message, which otherwise goes to stderr alone. */
void fail_into (char *place, gsize size);
gint64 monotonic_ns (void);
