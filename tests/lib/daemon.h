/* daemon - a ttlfs process of one's own, for test programs that are not Criterion's (see mount.h for those).
 *
 * Owns the process: it runs in the foreground, dies with its parent, and writes its log to a file. Nothing here asserts:
 * what goes wrong is said on stderr and returned. Not thread-safe. */
#pragma once

#include <glib.h>
#include <sys/types.h>

typedef struct TestDaemon TestDaemon;

/* What TTLFS_BIN names, or TTLFS_BUILT, which meson sets to its own; NULL when there is neither. */
const char *daemon_program (void);

/* Mounts @backing at @dir, both absolute, with @options as for -o (NULL for none) after those of TTLFS_TEST_OPTIONS; what it says is appended to @log.
 * Returns when it answers; NULL when it does not within 20 s. */
TestDaemon *daemon_start (const char *options, const char *backing, const char *dir,
                          const char *log);
pid_t daemon_pid (const TestDaemon *self);
/* Whether it still runs; it is not waited for. */
gboolean daemon_runs (const TestDaemon *self);
/* umount, and the daemon's end within 20 s with status 0 and no sanitizer's report: TRUE. Takes @self. */
gboolean daemon_stop (TestDaemon *self);
/* kill -9, and nothing else: the dead mount is left in place. Takes @self. */
void daemon_kill (TestDaemon *self);

/* umount -l; what is not mounted is no error. */
void daemon_detach (const char *dir);
