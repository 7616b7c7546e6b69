/* copy - moves a file's content and what belongs to it into another file. Owns nothing, takes no lock. */
#pragma once

#include <glib.h>
#include <sys/types.h>

/* Makes the empty file @to hold what @from holds: shares the blocks where the file system can, keeps holes.
 * 0 or -errno. */
int ttl_copy_content (int from, int to);
/* Copies @len bytes at @offset of @from to the end of @to. */
int ttl_copy_range (int from, off_t offset, gint64 len, int to);

/* Makes @to's user xattrs those of @from; names in @except (a set of strings, may be NULL) are left as they are in @to.
 * Where the file system has none there is nothing to do. */
int ttl_copy_xattrs (int from, int to, GHashTable *except);
