/* status - ttlfs --status MOUNTPOINT: prints what a running mount says of itself. Before any mount; takes no lock. */
#pragma once

/* The exit status; what is wrong goes to stderr. */
int ttl_status_print (const char *mountpoint);
