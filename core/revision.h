/* revision - which version of a key a file is, in words that other processes can hand back: user.ttlfs.revision.
 *
 * Two files never have the same revision, not even one after the other with the same inode number: it is made of the
 * file handle (which counts or draws a generation), the time when the file was made, and a mark that the file gets
 * whenever a key is moved, so that one that comes back under its old name is another revision of it. Content written in
 * place, attributes and renewals do not change it: a peer that keeps to the layout replaces files.
 *
 * Owns nothing, takes no lock. */
#pragma once

#include <glib.h>

#define TTL_REVISION_LEN 32
typedef char TtlRevision[TTL_REVISION_LEN + 1]; /* hexadecimal */

/* Of what @fd, which may be O_PATH, is open on. 0 or -errno. */
int ttl_revision_of_fd (int fd, TtlRevision revision_out);
/* The same by name, of a symlink itself: -ENOENT. */
int ttl_revision_of_name (int dir_fd, const char *name, TtlRevision revision_out);

/* Makes the file called @name another revision. Where there are no user xattrs, or no room for one, it stays what it was: a key
 * that is moved away and back is then taken for the version that it was. */
void ttl_revision_renew (int dir_fd, const char *name);
