#include "trips.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void
mark (const char *what, Op op)
{
  char line[16];

  printf ("%s %s\n", what, op_name (op));
  fflush (stdout);
  if (fgets (line, sizeof line, stdin) == NULL)
    fail ("nobody counts any more");
}

static void
do_marked (Subject *subject, Op op, guint times)
{
  const SubjectClass *class = subject->class;
  Client *client = class->connect (subject, op, 0, 1);

  if (class->ready (client))
    class->run (client);
  for (guint i = 0; i < times && class->ready (client); i++)
    {
      mark ("begin", op);
      class->run (client);
      mark ("end", op);
    }
  class->disconnect (client);
}

/* In a process of its own, which changes into the bucket. */
static void
do_one (Subject *subject, Op op, guint times)
{
  int status;
  pid_t pid;

  subject->class->prepare (subject, op, 1);
  fflush (stdout);
  pid = fork ();
  if (pid == 0)
    {
      do_marked (subject, op, times);
      _exit (0);
    }
  if (pid < 0 || waitpid (pid, &status, 0) != pid || status != 0)
    fail ("%s: could not be done", op_name (op));
  subject->class->clean (subject, op);
}

void
trips_run (Subject *subject, const char *names, guint times)
{
  g_auto (GStrv) words = g_strsplit (names, ",", -1);

  for (char **word = words; *word != NULL; word++)
    {
      Op op;

      if (!op_from_name (*word, &op) || !subject->class->can (subject, op))
        fail ("%s: %s cannot do that", *word, subject->name);
      do_one (subject, op, times);
    }
}
