/* wire - the kernel's end of a session: sends requests, and judges what comes back.
 *
 * Owns a libfuse session on the operations of a TtlFs, without a device: a request is handed over in memory of its exact
 * size, and replies are caught as they are written. Checked of every reply: it answers a request that waits for one,
 * its length is what its header says and what the operation calls for, its error is an errno. One thread, and one
 * Wire at a time. */
#pragma once

#include "fs.h"

#include <linux/fuse.h>

typedef struct Wire Wire;

/* The greeting has been exchanged. @fs is borrowed. */
Wire *wire_new (TtlFs *fs);
/* Says farewell. Every request must have been answered. */
void wire_free (Wire *self);

/* Who sends the requests from here on. */
void wire_set_caller (Wire *self, guint32 pid);
/* The next reply is told that nobody waits for it any more. */
void wire_lose_next (Wire *self);

/* Begins a request; its body is put together from pieces, and send() hands it over. */
void wire_begin (Wire *self, guint32 opcode, guint64 node);
void wire_put (Wire *self, const void *data, gsize len);
void wire_put_name (Wire *self, const char *name); /* with its NUL */
/* @most: how many bytes were asked for, where the operation lets the caller choose. Returns the number of the request. */
guint64 wire_send (Wire *self, gsize most);

typedef struct
{
  gboolean answered;
  int error; /* 0 or -errno; -EINTR for a lost one */
  gsize len; /* of what follows the header */
  const guint8 *data;
} Reply;

/* The reply to the request sent last, valid until the next. */
const Reply *wire_reply (const Wire *self);
/* Whether request @unique, sent before, still waits for its reply. */
gboolean wire_waits (const Wire *self, guint64 unique);
