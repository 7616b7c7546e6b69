/* scan - reads a bucket's directory once, and has the reaper look at all that can end in it.
 *
 * What a start costs is what this costs for each key: one fstatat() and one question for its own TTL; the names are noted in
 * batches. Owns nothing beyond a call, takes the reaper's lock for a batch at a time. */
#pragma once

#include "store.h"

#include <dirent.h>

/* Called for each entry but ".", ".." and the reserved name, in the directory's order and before it is looked at. TRUE: it is
 * a bucket, or nothing to look at. */
typedef gboolean (*TtlScanFound) (TtlBucket *bucket, const struct dirent *item, gpointer data);

/* @dir_fd is @bucket's directory. The number of names that were looked at, or -errno when it cannot be read. */
gint64 ttl_scan (TtlStore *store, TtlBucket *bucket, int dir_fd, TtlScanFound found, gpointer data);
