/* janitor - leaves no mount and no directory behind, also when the test crashed or was killed.
 *
 * A process that waits for the test process to end (or to call janitor_finish()), then aborts and
 * detaches every FUSE mount below the work directory and removes both directories. It never follows
 * a mount or a symlink. */
#pragma once

typedef struct Janitor Janitor;

Janitor *janitor_new (const char *work, const char *backing);
/* Returns when everything is gone. Takes @self. */
void janitor_finish (Janitor *self);
