/* options - the command line, read into what the daemon needs. Owns its strings; takes no lock. */
#pragma once

#include "session.h"
#include "store.h"

typedef struct
{
  gboolean foreground, debug, help, version;
  char *status; /* the mount point to ask, instead of mounting; NULL: mount */
  TtlStoreOptions store;
  gboolean allow_other;
  gboolean no_cache; /* the kernel is promised nothing (promise.h) */
  TtlTransport transport;
  char *fsname;      /* NULL: the backing directory's path */
  char *mount_flags; /* what mount(8) knows and the kernel is to be told, ",noexec,..." or "" */
  char *backing;
  char *mountpoint;
} TtlOptions;

/* FALSE with @error naming the word that is wrong, and what would be right. Free with clear() in either case. With help
 * or version nothing else is required. */
gboolean ttl_options_parse (int argc, char **argv, gboolean is_root, TtlOptions *options_out,
                            GError **error);
void ttl_options_clear (TtlOptions *options);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TtlOptions, ttl_options_clear)

extern const char ttl_options_help[];
