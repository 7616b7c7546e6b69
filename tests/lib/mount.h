/* mount - the fixture: a private root, a daemon on it, and a clean machine afterwards.
 *
 *     TestSuite (touch, .init = mount_setup, .fini = mount_teardown, .timeout = 60);
 *
 * Owns, for one test: work_dir() under the temporary directory with the mount points, backing_dir()
 * under TTLFS_TEST_DIR (default: the temporary directory, so any file system can be tested), the
 * daemons it started (in the foreground, so that their pid and exit status are known), a witness
 * (witness.h), and a janitor: a process that takes the mounts and directories away when the test
 * process is gone, however it ended, and waits for nobody.
 *
 * The environment: TTLFS_BIN names the daemon; without it TTLFS_BUILT does, which meson sets to its
 * own. TTLFS_TEST_OPTIONS is given to every daemon after -o, before the test's own options. A test is
 * skipped where there is no /dev/fuse and, a few of them, where they need root and
 * have not got it.
 *
 * What a daemon writes to stderr is printed when its test fails (report.c). Every stop checks that
 * the daemon ended with status 0 and that no sanitizer complained. */
#pragma once

#include "asserts.h"
#include "faults.h"
#include "shell.h"
#include "witness.h"

typedef struct TestMount TestMount;

/* .init: the directories, the witness, and one mount. Without options it has ttl=1h, so that
 * nothing expires unless the test is about that. */
void mount_setup (void);
void mount_setup_with (const char *options); /* NULL: none at all */
/* The same without a mount. */
void mount_prepare (void);
/* .fini: unmounts what is mounted, checks the daemons, removes everything. */
void mount_teardown (void);
/* The same where something is mounted over the backing directory. */
void mount_teardown_covered (void);
/* What is mounted from here on, only this test and its children see; it goes with the last of them. Needs root. */
void mount_unseen (void);

/* Another daemon on the same root, mounted at the first free place: work_dir()/mnt, then mnt2.
 * @options as for -o, NULL for none. Returns when it answers; the test fails when it does not
 * start. */
TestMount *mount_start (const char *options);
/* The same with -d: its log tells of every request, "opcode: LOOKUP (1), ...". */
TestMount *mount_start_talking (const char *options);
/* The same, where the daemon's system calls do as @faults says, and then as what is returned does. */
Faults *mount_start_on_bad_ground (const char *options, const Faults *faults);
/* The one mounted at mnt (@number 1) or mnt2 (2). */
TestMount *mount_number (int number);
/* umount, then the checks above. Nothing may be open in it. */
void mount_stop (TestMount *self);
/* Waits for a daemon that was told to end in another way; its status, or 128 + signal. Frees its
 * place. */
int mount_wait (TestMount *self);
/* kill -9, and the dead mount taken away. */
void mount_kill (TestMount *self);

const char *ttlfs_program (void);
pid_t mount_pid (TestMount *self);
const char *mount_log (TestMount *self);  /* what it has written so far */
long mount_resident_kb (TestMount *self); /* what it has in memory */
/* A sanitizer keeps what was freed for a while. */
gboolean mount_is_sanitized (TestMount *self);
gboolean is_mounted (const char *dir);

/* A path in the first mount, in the second, in the backing directory. @name is taken as it is. */
const char *at (const char *name);
const char *at2 (const char *name);
const char *raw (const char *name);
const char *backing_dir (void);
const char *work_dir (void);

/* Whether the backing file system stores user attributes; without them, only ttlfs's own work in
 * the mount. */
gboolean backing_has_xattrs (void);
/* Skips the test unless it runs as root. */
void need_root (void);
