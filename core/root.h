/* root - opens a backing directory, makes sure it is one of ours, and finds out what its file system can do.
 *
 * Owns nothing after it returns. The marker is the xattr user.ttlfs.version on the root, or the file
 * .ttlfs/version where the file system has no user xattrs. A directory without it is taken only when it is empty
 * (but for "lost+found") or when the caller says adopt: a mistyped path must not lose files when a TTL ends. */
#pragma once

#include <glib.h>

typedef struct
{
  gboolean xattrs;    /* user.* extended attributes */
  gboolean tmpfile;   /* O_TMPFILE, and such a file can be linked to a name */
  gboolean noreplace; /* renameat2 (RENAME_NOREPLACE) */
  gboolean links;     /* hard links */
  gboolean local;     /* every change passes through this kernel, so inotify sees it */
  /* Of the file system's timestamps: 1 for nanoseconds, TTL_NS_PER_S for seconds. */
  gint64 granularity_ns;
} TtlRootCaps;

typedef enum
{
  TTL_ROOT_NONE = 0,
  TTL_ROOT_ADOPT = 1 << 0,     /* take a non-empty directory without a marker */
  TTL_ROOT_CREATE = 1 << 1,    /* make the directory, and what leads to it, when it is missing */
  TTL_ROOT_READ_ONLY = 1 << 2, /* write nothing: neither marker nor probes */
} TtlRootFlags;

/* On success *@fd_out (O_RDONLY | O_DIRECTORY) is the caller's. The error's message says what to do next. */
gboolean ttl_root_open (const char *path, TtlRootFlags flags, int *fd_out, TtlRootCaps *caps_out,
                        GError **error);

/* The file system's own time: what it stamps a file with that is made now, nanoseconds since the epoch (it may lag by a tick
 * of the kernel's). -errno when none can be made: -ENOSPC, -EROFS, -EIO. Leaves nothing behind. */
gint64 ttl_root_now (int root_fd, const TtlRootCaps *caps);
