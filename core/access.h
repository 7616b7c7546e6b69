/* access - whether what has a name may be used where the kernel has checked something else.
 *
 * The kernel checks modes and owners (default_permissions) of the version that it knows a node by, and the name may stand for
 * another by the time that the request is here: an O_PATH descriptor leads to the old inode for as long as somebody
 * likes. What stands in for that version is checked here, by the rules of path_resolution(7): the class of owner, group or
 * others, and for what only an owner may do, the owner. Capabilities other than root's are not known, so where the two
 * have the same modes and owners, the kernel's word holds. */
#pragma once

#include "store.h"

typedef enum
{
  TTL_ACCESS_WRITE = 2,
  TTL_ACCESS_READ = 4,
  TTL_ACCESS_OWN = 8, /* to own it will do; with others: is enough, too */
} TtlAccessWhat;

struct TtlAccess
{
  TtlOwner who;
  struct stat version; /* what the node stands for, as it was found or opened; st_ino 0: nothing */
  struct stat told;    /* what the kernel was told of it last */
  gboolean is_told; /* and nothing else since, such as of an older version that somebody has open */
  guint wanted;     /* a set of TtlAccessWhat */
};

/* Whether the modes and owners are the same. Never of an @a that is none: st_ino 0. */
gboolean ttl_access_is_same (const struct stat *a, const struct stat *b);
/* Whether @st gives @who all of @wanted, which is made of READ, WRITE and 1 for execution and search. */
gboolean ttl_access_may (const TtlOwner *who, const struct stat *st, mode_t wanted);
/* @self NULL: nothing is asked. -EACCES; -EPERM for who had to own it. */
int ttl_access_check (const TtlAccess *self, const struct stat *st);
