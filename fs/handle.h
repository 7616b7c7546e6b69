/* handle - an open file description, or an open directory: what fuse_file_info.fh points to.
 *
 * A reader owns a descriptor of the version that it opened. A writer holds a reference to a TtlWriter, whose draft it may
 * share. Both pin their node. What is set at the open is constant; the rest is guarded by the writer's lock. */
#pragma once

#include "locks.h"
#include "node.h"

typedef struct
{
  TtlNode *node;      /* pinned */
  int fd;             /* reader: its version; -1 otherwise */
  TtlWriter *writer;  /* NULL for readers */
  gboolean append;    /* O_APPEND */
  gboolean readable;  /* not O_WRONLY */
  pid_t opener;       /* the thread that opened it */
  pid_t process;      /* writer: its process; 0: not known */
  TtlLockFile *locks; /* the key's locks; constant */
  gint locked;        /* atomic; a lock was asked for through it */
  gint closed;   /* atomic; its opener has closed a descriptor, and nothing was written since */
  gboolean left; /* it is none of the writer's descriptions any more */
  gboolean
      releasing; /* its RELEASE is being served; guarded by the lock of who keeps the handles */
} TtlHandle;

/* @fd, which the node knows as a reader's, is taken. */
TtlHandle *ttl_handle_new_reader (TtlNode *node, int fd, pid_t opener, TtlLockFile *locks_take);
/* Adds a description to @writer. */
TtlHandle *ttl_handle_new_writer (TtlNode *node, TtlWriter *writer, int flags, pid_t opener,
                                  TtlLockFile *locks_take);
/* Drops it without publishing; the last description of a writer takes the writer off its node. */
void ttl_handle_free (TtlHandle *self);

/* Publishes what is left if this is the last description; otherwise it is none from then on, so that of several that go at once one is
 * the last. */
int ttl_handle_publish_last (TtlHandle *self);

/* Whether its release will publish something or give up a lock, so that who comes later must find it done. */
gboolean ttl_handle_is_awaited (TtlHandle *self);

/* A close by thread @tid: publishes if the opener's process does it and has changed something, and drops the draft if that
 * process is being killed. */
int ttl_handle_flush (TtlHandle *self, pid_t tid);

/* Locks are taken to read, change and write back, by one after the other. So what was written under a lock is published
 * before the lock is given up, and a description that has got one, and has changed nothing yet, goes on from the value that
 * stands there now instead of the one that it opened. A flock() is the description's, and whoever has that may give it up: flock(1)
 * is a child of who wrote. A lock of @kind POSIX that thread @tid gives up is its process's. */
int ttl_handle_unlock (TtlHandle *self, TtlLockKind kind, pid_t tid);
void ttl_handle_locked (TtlHandle *self, gint64 now_ns);

/* A listing; the mutex serialises the readers of one open directory. */
typedef struct
{
  pthread_mutex_t lock;
  TtlList *list;       /* guarded by lock, as is offset */
  gint64 offset;       /* where the list stands */
  TtlListItem pending; /* read but not sent; valid while has_pending */
  TtlStamp stamp;      /* from before it was read */
  guint told;          /* of how many entries more than the name was told since the beginning */
  gboolean has_pending;
} TtlDirHandle;

TtlDirHandle *ttl_dir_handle_new (TtlList *list_take);
void ttl_dir_handle_free (TtlDirHandle *self);
