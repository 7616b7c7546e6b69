/* uring - whether requests can come over io_uring here.
 *
 * Owns nothing, takes no lock. Asked before the mount; libfuse and the kernel agree on it in their first exchange. */
#pragma once

#include <glib.h>

/* Requests that libfuse can hold of each CPU's queue; each keeps the memory of the largest it has carried. */
guint ttl_uring_depth (void);
/* NULL when nothing is in the way; otherwise what is, in words that say what to do. The caller frees it. */
char *ttl_uring_obstacle (void);
