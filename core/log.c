#define G_LOG_DOMAIN "ttlfs"
#include "log.h"

#include "cleanup.h"

#include <stdio.h>
#include <syslog.h>

#define FACTS_MAX 1000

gboolean ttl_log_debug_enabled = FALSE;

static pthread_mutex_t facts_lock = PTHREAD_MUTEX_INITIALIZER; /* leaf */
static GHashTable *facts; /* guarded by facts_lock; a set of strings */

static void
write_to_stderr (const char *domain G_GNUC_UNUSED, GLogLevelFlags level, const char *message,
                 gpointer data G_GNUC_UNUSED)
{
  const char *prefix = "";

  if (level & G_LOG_LEVEL_WARNING)
    prefix = "warning: ";
  else if (level & (G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_ERROR))
    prefix = "bug: ";
  fprintf (stderr, "ttlfs: %s%s\n", prefix, message);
}

static void
write_to_syslog (const char *domain G_GNUC_UNUSED, GLogLevelFlags level, const char *message,
                 gpointer data G_GNUC_UNUSED)
{
  int priority = LOG_INFO;

  if (level & (G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_ERROR))
    priority = LOG_ERR;
  else if (level & G_LOG_LEVEL_WARNING)
    priority = LOG_WARNING;
  else if (level & G_LOG_LEVEL_DEBUG)
    priority = LOG_DEBUG;
  syslog (priority, "%s", message);
}

void
ttl_log_to_stderr (gboolean debug)
{
  ttl_log_debug_enabled = debug;
  g_log_set_default_handler (write_to_stderr, NULL);
}

void
ttl_log_to_syslog (void)
{
  openlog ("ttlfs", LOG_PID, LOG_DAEMON);
  g_log_set_default_handler (write_to_syslog, NULL);
}

gboolean
ttl_log_first_time (const char *what)
{
  TTL_LOCKED (&facts_lock);

  if (facts == NULL)
    facts = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  if (g_hash_table_size (facts) >= FACTS_MAX)
    return FALSE;
  return g_hash_table_add (facts, g_strdup (what));
}
