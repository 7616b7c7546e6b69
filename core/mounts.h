/* mounts - which mount something belongs to, and whether others can still find that.
 *
 * umount -l takes a mount out of the tree at once and leaves it to those who have something open in it. For them all goes
 * on as before, and for nobody else. Owns nothing, takes no lock; "mount" is what the kernel numbers, of this process's
 * namespace where nothing else is said. */
#pragma once

#include <glib.h>
#include <sys/types.h>

/* The number of the mount that @fd was opened through; -1 when it cannot be told. */
int ttl_mount_of (int fd);
/* FALSE when that mount has been taken away. */
gboolean ttl_mount_is_there (int mount);
/* The device of what is mounted as @mount in the namespace of thread @tid; 0 when that has no such mount, or cannot be told. */
dev_t ttl_mount_device (pid_t tid, int mount);
/* The same of what is mounted at @path, as others see it. It is not asked, so it may be ourselves. */
dev_t ttl_mount_device_at (const char *path);
/* Whether @path is where something is mounted. */
gboolean ttl_mount_begins_at (const char *path);
/* Becomes readable (POLLPRI) with every change of what is mounted; the caller's, -1 when there is none. */
int ttl_mount_open_changes (void);
