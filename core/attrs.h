/* attrs - what user.ttlfs.* says of an entry, for files with a name and for drafts alike.
 * Pure but for the clock it is handed; takes no lock. */
#pragma once

#include "duration.h"
#include "lease.h"
#include "store.h"

#define TTL_XATTR_PREFIX "user.ttlfs."

typedef enum
{
  TTL_XATTR_PLAIN,     /* user.*, none of ours */
  TTL_XATTR_TTL,       /* user.ttlfs.ttl */
  TTL_XATTR_REMAINING, /* user.ttlfs.remaining, read-only */
  TTL_XATTR_EXPIRES,   /* user.ttlfs.expires, read-only */
  TTL_XATTR_REVISION,  /* user.ttlfs.revision, read-only; see revision.h */
  TTL_XATTR_IF_MATCH,  /* user.ttlfs.if-match, of a draft alone; see draft.h */
  TTL_XATTR_STATUS, /* user.ttlfs.status, of the root alone, read-only; see ttl_store_dup_status() */
  TTL_XATTR_RESERVED, /* any other user.ttlfs.*: not there, and nobody may set it */
  TTL_XATTR_FOREIGN,  /* another name space */
} TtlXattrKind;

TtlXattrKind ttl_xattr_kind (const char *name);

/* The value of one of TTL, REMAINING and EXPIRES: its length, or -ERANGE; @size 0 asks for the length alone. */
ssize_t ttl_xattr_virtual (TtlXattrKind kind, const TtlDuration *ttl, TtlDeadline deadline,
                           gint64 now_ns, void *value_out, gsize size);
/* Copies @len bytes at @from as getxattr(2) does. */
ssize_t ttl_xattr_give (const void *from, gsize len, void *value_out, gsize size);

/* Takes our own names out of a list of @len bytes, in place; leaves user.ttlfs.ttl. Returns what is left. */
gsize ttl_xattr_filter (char *names, gsize len);
/* Adds user.ttlfs.ttl to a list of @len bytes unless it is there; @size is the room. Returns the length, -ERANGE. */
ssize_t ttl_xattr_add_ttl (char *names, gsize len, gsize size);
