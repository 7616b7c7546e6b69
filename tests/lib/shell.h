/* shell - commands and other processes, as users start them.
 *
 * A script runs in the first mount (or in work_dir() when there is none), with these in its
 * environment: MNT and MNT2 (the mounts), BACKING, TTLFS (the daemon's program), TMP (work_dir(),
 * for files that are in no mount), LC_ALL=C. It gets no descriptor but 0, 1 and 2, and is killed
 * when the test ends. */
#pragma once

#include "asserts.h"

#include <sys/types.h>

#define ANY_USER ((uid_t)-1) /* whoever runs the test */

typedef struct
{
  int status;      /* exit status, or 128 + the signal that ended it */
  const char *out; /* what it wrote */
  const char *err;
} Output;

Output bash (const char *script);
/* @shell is a program that takes -c: "bash", "dash". */
Output shell_run (const char *shell, const char *script);
/* As another user, with no supplementary group; needs root. */
Output bash_as (uid_t uid, const char *script);
/* A program with its arguments, NULL last. */
Output run (const char *program, ...) G_GNUC_NULL_TERMINATED;

/* A script in the background, its output discarded. */
pid_t spawn_bash (const char *script);
/* Its status like Output's. */
int wait_for (pid_t pid);

/* Runs @body in a forked process, as user @uid unless that is ANY_USER, and returns its result, 0
 * to 255. @body must assert nothing, since Criterion listens to the test process alone. */
int in_child (uid_t uid, int (*body) (const void *), const void *data);
/* The same without waiting: wait_for() it. */
pid_t start_child (uid_t uid, int (*body) (const void *), const void *data);

/* Whether a program is on PATH. */
gboolean have (const char *program);
/* The same, but the test fails when it is not there. */
void need (const char *program);

/* The script ends with status 0. */
#define assert_bash(script) \
  do \
    { \
      Output output_ = bash (script); \
      cr_assert (output_.status == 0, "status %d from: %s\nstdout: %s\nstderr: %s", \
                 output_.status, script, output_.out, output_.err); \
    } \
  while (0)
/* In bash and in dash it ends with status 0. */
#define assert_shells(script) \
  do \
    { \
      static const char *const shells_[] = { "bash", "dash" }; \
      for (guint i_ = 0; i_ < G_N_ELEMENTS (shells_); i_++) \
        { \
          Output output_ = shell_run (shells_[i_], script); \
          cr_assert (output_.status == 0, "status %d from %s: %s\nstdout: %s\nstderr: %s", \
                     output_.status, shells_[i_], script, output_.out, output_.err); \
        } \
    } \
  while (0)
