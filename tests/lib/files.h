/* files - the file operations that tests use most, in one word each.
 *
 * Everything that can fail returns -1 (or NULL) and leaves errno, like the system calls beside
 * which it stands; asserts.h takes either. Strings belong to text.h's store: do not free them.
 * Needs no Criterion. */
#pragma once

#include "text.h"
#include "times.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* open(O_WRONLY|O_CREAT|O_TRUNC, 0666), write, close: as a shell's redirection does. 0 or -1; that
 * of close counts. */
int put (const char *path, const char *value);
int put_bytes (const char *path, const void *bytes, gsize len);
/* The same with @flags beside O_WRONLY: O_CREAT|O_EXCL, O_APPEND ... */
int put_with (const char *path, int flags, const char *value);
/* As a FileStore does in the backing directory: @scratch beside @path, then rename. */
int put_raw (const char *path, const char *value);

/* The whole value with a NUL behind it, or NULL. */
const char *get (const char *path);
char *get_bytes (const char *path, gsize *len_out); /* g_free() it */
/* What @fd reads from its beginning, by pread. */
const char *get_fd (int fd);
/* All of @value through @fd: 0 or -1. */
int write_all (int fd, const char *value);

/* lstat(), with @st_out optional. */
int stat_of (const char *path, struct stat *st_out);
gboolean exists (const char *path);
gint64 mtime_ns (const char *path); /* -1 when there is no such file */
int set_mtime_ns (const char *path, gint64 mtime);
mode_t mode_of (const char *path); /* the 07777 part; 0 when there is none */

/* The names in a directory but "." and "..", sorted bytewise, each followed by a newline; NULL on
 * error. */
const char *listing (const char *dir);
/* How often a name appears in that. */
guint count_listed (const char *dir);
/* Whether the directory of @path lists its last component. */
gboolean lists (const char *path);
/* Regular files anywhere below @dir but in @dir/.ttlfs; what a backing directory holds. */
guint count_files (const char *dir);
/* Those of them whose name begins with ".tmp_". */
guint count_scratch (const char *dir);

/* The value of an extended attribute, or NULL. */
const char *xattr (const char *path, const char *name);
int set_xattr (const char *path, const char *name, const char *value);
/* Whether listxattr() names it. */
gboolean lists_xattr (const char *path, const char *name);
