/* mounts - whether an open directory still belongs to a mount that others can find.
 *
 * umount -l takes a mount out of the tree at once and leaves it to those who have something open in it. For them all goes
 * on as before, and for nobody else. Owns nothing, takes no lock; "mount" is what the kernel numbers, of this process's
 * namespace. */
#pragma once

#include <glib.h>

/* The number of the mount that @fd was opened through; -1 when it cannot be told. */
int ttl_mount_of (int fd);
/* FALSE when that mount has been taken away. */
gboolean ttl_mount_is_there (int mount);
/* Whether @path is where something is mounted. */
gboolean ttl_mount_begins_at (const char *path);
/* Becomes readable (POLLPRI) with every change of what is mounted; the caller's, -1 when there is none. */
int ttl_mount_open_changes (void);
