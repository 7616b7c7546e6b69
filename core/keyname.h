/* keyname - a key's three spellings, and the way between them.
 *
 *   key      any bytes, at least one                               worker-1/a%
 *   backing  the file's name in the backing directory (FileStore):  worker%2D1%2Fa%25
 *            every byte outside [A-Za-z0-9] as %XX, upper case
 *   shown    the name a user of the mount sees and types:           worker-1%2Fa%
 *
 * Pure: no locale, no allocation, no lock. What always holds, for every byte string whose backing name fits:
 *   from_shown (to_shown (backing)) == backing      what a listing shows opens the key that it came from
 *   from_shown (backing) == backing                 an encoded name given by a user opens the same key
 *
 * Shown names decode everything but: '/' as %2F, NUL as %00; '%' as %25 only where two upper-case hex digits
 * follow it in the key; the keys "." and ".." as %2E and %2E%2E; the first dot of a key that begins with
 * ".tmp_" as %2E (a name that begins with ".tmp_" itself is scratch); and at the root the key ".ttlfs",
 * whose plain name is reserved, as %2Ettlfs. Lower-case hex is never an escape.
 *
 * With TTL_NAMES_PLAIN the three spellings are one, and only ".tmp_" is special. */
#pragma once

#include <glib.h>

#define TTL_NAME_MAX 255 /* NAME_MAX of Linux: bytes of one file name */
#define TTL_SCRATCH_PREFIX ".tmp_"
#define TTL_RESERVED_NAME ".ttlfs"

typedef char TtlName[TTL_NAME_MAX + 1]; /* NUL-terminated */

typedef enum
{
  TTL_NAMES_ENCODED,
  TTL_NAMES_PLAIN,
} TtlNames;

typedef enum
{
  TTL_NAME_KEY,     /* a canonical backing name: the entry is a key */
  TTL_NAME_SCRATCH, /* begins with ".tmp_": not listed, reachable by exact name */
  TTL_NAME_FOREIGN, /* nothing that ttlfs or a FileStore would write: left alone */
} TtlNameKind;

/* What a regular file called @backing in a bucket is. */
TtlNameKind ttl_keyname_kind (TtlNames names, const char *backing);

/* The backing name that the user's @shown stands for; scratch names pass verbatim. @shown is one path
 * component: not empty, no slash. Returns 0, -ENAMETOOLONG when the backing name does not fit in
 * TTL_NAME_MAX, -EINVAL for the empty name, for one with a slash, and, plain, for "." and "..". In no function
 * here may input and output be one buffer; whether a name is reserved at the root is the store's business. */
int ttl_keyname_from_shown (TtlNames names, const char *shown, TtlName backing_out);

/* What a listing shows for @backing, which must be of kind KEY. @in_root: the bucket is the root. */
void ttl_keyname_to_shown (TtlNames names, const char *backing, gboolean in_root,
                           TtlName shown_out);

/* Between a key of @len bytes (it may hold NUL and slashes) and its backing name.
 * encode: 0, -EINVAL (empty), -ENAMETOOLONG. decode: 0, or -EINVAL when @backing is not canonical;
 * *@len_out is at most TTL_NAME_MAX, and key_out gets a NUL behind that.
 * With TTL_NAMES_PLAIN a key holding '/' or NUL, or "." or "..", or a scratch name, is -EINVAL. */
int ttl_keyname_encode (TtlNames names, const char *key, gsize len, TtlName backing_out);
int ttl_keyname_decode (TtlNames names, const char *backing, TtlName key_out, gsize *len_out);
