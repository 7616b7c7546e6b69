/* caller - who sent a request, as far as /proc tells.
 *
 * The kernel names a thread (fuse_ctx.pid, 0 when it is of a pid namespace that we cannot see). Owns nothing, takes no
 * lock. Of /proc it reads only what cannot wait for an execve() that is itself waiting for us: status, statm, the
 * existence of task/TID, fd, fdinfo, mountinfo, and stat of a process that is known to be exiting. All of it costs
 * microseconds, so callers compare thread ids first. */
#pragma once

#include <glib.h>
#include <sys/types.h>

/* The process of thread @tid; 0 when it is gone or not visible. */
pid_t ttl_caller_process (pid_t tid);

/* The same; takes less of a thread that is its process's first, as most are. */
pid_t ttl_caller_leader (pid_t tid);

/* Whether thread @other is of the same process as thread @tid, which is waiting for our reply. */
gboolean ttl_caller_is_sibling (pid_t tid, pid_t other);

/* Whether the thread, which is waiting for our reply to a FLUSH, is being ended by a signal: then its close is nobody's
 * decision, and what it left is half a value. FALSE for exit() with any status, and when it cannot be known. */
gboolean ttl_caller_is_killed (pid_t tid);

/* Whether a signal waits for the thread to come back from its system call. */
gboolean ttl_caller_has_signal (pid_t tid);

/* The process that started process @pid; 0 when that is not visible. */
pid_t ttl_caller_parent (pid_t pid);

gboolean ttl_caller_exists (pid_t tid);

/* Whether the thread may do with a file of @uid's what its owner may: CAP_FOWNER, in a user namespace that @uid belongs to. */
gboolean ttl_caller_is_as_owner (pid_t tid, uid_t uid);

/* Whether the process of thread @tid has a file of file system @dev (0: not known, so of any) open whose inode number is @ino;
 * FALSE where that cannot be seen. Costs some microseconds for each of its descriptors. Inode numbers alone say little: the mount's
 * are those of the backing file system, and a new one begins at 256. */
gboolean ttl_caller_has_open (pid_t tid, dev_t dev, ino_t ino);
/* The same without O_PATH, which needs no more than to find it. */
gboolean ttl_caller_has_opened (pid_t tid, dev_t dev, ino_t ino);
/* Whether that can be seen of the thread. */
gboolean ttl_caller_shows_open (pid_t tid);
/* A file that somebody may have open. */
typedef struct
{
  int access;    /* with which: O_RDONLY, O_WRONLY or O_RDWR */
  dev_t dev;     /* of the file system that it is in; 0: not known, so of any */
  ino_t inos[2]; /* the numbers that its inode may have; both 0: not known */
  gboolean (*is_it) (const char *name,
                     gpointer data); /* whether that, the last of its path, is its name */
  gpointer data;
} TtlSought;

/* How many descriptors of it the process of thread @tid, or all processes that we may look into, have. What is only mapped, or on
 * its way through a socket, does not show. */
guint ttl_caller_count_open (pid_t tid, const TtlSought *sought);
guint ttl_caller_count_everybodys (const TtlSought *sought);
/* Whether these are all that there are, outside pid namespaces that we cannot see. */
gboolean ttl_caller_sees_everybody (void);
