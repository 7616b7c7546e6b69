/* image - file systems in files, and copies of them taken in one step while they are written to.
 *
 * The images lie on an xfs with reflink, itself an image on a tmpfs of our own, so that nothing depends on what the test
 * directory is on and a flush costs little. FICLONE keeps writers out while it shares the extents: the copy is what
 * the loop device had been given at one moment. Everything is below one directory and goes with stage_free(). */
#pragma once

#include <glib.h>

typedef struct Stage Stage;

/* NULL with *@why_out when it cannot be done here; g_free() that. */
Stage *stage_new (const char *work, char **why_out);
void stage_free (Stage *self);

/* A new file system of that type, mounted; the directory is borrowed until stage_unmount(). NULL with the reason. */
const char *stage_mount_new (Stage *self, const char *type, char **why_out);
void stage_unmount_disk (Stage *self);
/* Clones the image; it may be written to meanwhile. 0 or -errno. */
int stage_snapshot (Stage *self);
/* Mounts the clone, which replays its journal. Borrowed; NULL with the reason. */
const char *stage_mount_snapshot (Stage *self, const char *type, char **why_out);
void stage_unmount_snapshot (Stage *self);
