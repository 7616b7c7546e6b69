/* log - one line per fact worth knowing, through GLib's logging.
 *
 * g_warning() and g_info() are used as they are; where they go (stderr in the foreground, syslog otherwise) is
 * decided once, by ttl_log_to_stderr() or ttl_log_to_syslog(). Debug lines go through ttl_debug(), which tests the
 * level before it formats. */
#pragma once

#include <glib.h>

extern gboolean ttl_log_debug_enabled; /* set before threads start, constant after */

#define ttl_debug(...) \
  G_STMT_START \
  { \
    if (G_UNLIKELY (ttl_log_debug_enabled)) \
      g_log (G_LOG_DOMAIN, G_LOG_LEVEL_DEBUG, __VA_ARGS__); \
  } \
  G_STMT_END

void ttl_log_to_stderr (gboolean debug);
void ttl_log_to_syslog (void);

/* TRUE the first time it is asked about @what (any string), for facts that are worth one line in a daemon's life.
 * Remembers at most a thousand of them and then answers FALSE. Thread-safe. */
gboolean ttl_log_first_time (const char *what);
