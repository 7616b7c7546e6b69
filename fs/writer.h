/* writer - a draft and the open file descriptions that share it.
 *
 * One open for writing makes one writer. A second description joins it only where an inode would be shared too: the
 * process opens its own unpublished key again, or somebody opens /dev/fd/N. Owns the draft; a mutex (order 2)
 * serialises everything done to it and is held over its I/O. Shared by reference. */
#pragma once

#include "draft.h"

#include <pthread.h>

typedef struct
{
  gint refs;            /* atomic */
  pthread_mutex_t lock; /* order 2; guards the draft and what follows */
  TtlDraft *draft;
  guint descriptions; /* open file descriptions: the last one to go publishes */
  pid_t last;         /* the thread that changed its content last; 0: none, or unknown */
  pid_t
      opener; /* the thread that opened it first, which may end before its process does; constant */
  pid_t process; /* that process; 0: not known; constant */
} TtlWriter;

/* @draft is taken. Starts with one reference and no description. @opener waits for our reply. */
TtlWriter *ttl_writer_new (TtlDraft *draft, pid_t opener);
TtlWriter *ttl_writer_ref (TtlWriter *self);
void ttl_writer_unref (TtlWriter *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TtlWriter, ttl_writer_unref)

/* Whether thread @tid, of process *@process_inout (0: not yet asked for; filled when it had to be), is of the
 * process that opened the writer. */
gboolean ttl_writer_is_of (TtlWriter *self, pid_t tid, pid_t *process_inout);

/* Its content was changed by thread @tid; 0, of what the kernel writes back from a mapping, is nobody. With its lock held. */
void ttl_writer_changed (TtlWriter *self, pid_t tid);
