#include "fuzz.h"

#include "cleanup.h"
#include "store-private.h"

#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define FILE_MAX_BYTES (4 << 20) /* a file is never larger; also bounds what one input can cost */

void
fuzz_fail (const char *file, int line, const char *claim)
{
  fprintf (stderr, "%s:%d: does not hold: %s\n", file, line, claim);
  abort ();
}

static void
drop_message (const char *domain G_GNUC_UNUSED, GLogLevelFlags level, const char *message,
              gpointer data G_GNUC_UNUSED)
{
  if (level & (G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_ERROR))
    fprintf (stderr, "critical: %s\n", message); /* and GLib aborts */
}

static void
ignore (int signal G_GNUC_UNUSED)
{
}

void
fuzz_quiet (void)
{
  const struct sigaction action = { .sa_handler = ignore };
  const struct rlimit limit = { FILE_MAX_BYTES, FILE_MAX_BYTES };

  g_log_set_default_handler (drop_message, NULL);
  g_log_set_always_fatal (G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_ERROR);
  (void)sigaction (SIGXFSZ, &action, NULL); /* not SIG_IGN: libFuzzer would put its own there */
  (void)setrlimit (RLIMIT_FSIZE, &limit);
  umask (0);
}

/* ---- the bytes ---- */

guint8
bytes_take (Bytes *self)
{
  if (self->left == 0)
    return 0;
  self->left--;
  return *self->at++;
}

guint8
bytes_take_number (Bytes *self)
{
  return self->left == 0 ? 0 : (guint8)(bytes_take (self) - '0');
}

guint8 *
bytes_take_some (Bytes *self, gsize most, gsize *len_out)
{
  gsize len = MIN (most, self->left);
  guint8 *some = g_malloc (MAX (len, 1));

  if (len > 0)
    memcpy (some, self->at, len);
  self->at += len;
  self->left -= len;
  *len_out = len;
  return some;
}

char *
bytes_take_string (Bytes *self, gsize most)
{
  gsize len;
  g_autofree guint8 *some = bytes_take_some (self, most, &len);

  return g_strndup ((const char *)some, len);
}

Bytes
bytes_take_part (Bytes *self, guint8 separator)
{
  const guint8 *end = self->left > 0 ? memchr (self->at, separator, self->left) : NULL;
  Bytes part = { self->at, end != NULL ? (gsize)(end - self->at) : self->left };
  gsize taken = end != NULL ? part.left + 1 : part.left;

  self->at += taken;
  self->left -= taken;
  return part;
}

/* ---- the store ---- */

/* As on a file system that can do less. */
static void
take_caps_away (Root *self, guint8 variant)
{
  TtlStore *store = self->store;

  if (variant & 1)
    store->caps.tmpfile = FALSE;
  if (variant & 2 && store->caps.xattrs)
    {
      store->caps.xattrs = FALSE;
      self->set_aside = store->settings;
      store->settings = ttl_settings_new (store->root_fd, FALSE);
    }
}

Root
root_new (guint8 variant)
{
  const char *base = g_getenv ("TTLFS_TEST_DIR");
  Root self = {
    .path = g_build_filename (base != NULL ? base : g_get_tmp_dir (), "ttlfs-fuzz-XXXXXX", NULL),
    .clock = ttl_clock_new_manual ((g_get_real_time () / G_USEC_PER_SEC + 2) * TTL_NS_PER_S)
  };
  const TtlStoreOptions options = {
    .keepalive = (TtlKeepalive)((variant >> 4) % 3),
    .names = variant & 4 ? TTL_NAMES_PLAIN : TTL_NAMES_ENCODED,
    .root_flags = variant & 8 ? TTL_ROOT_READ_ONLY : TTL_ROOT_NONE,
    .clock = self.clock,
  };
  g_autoptr (GError) error = NULL;

  fuzz_assert (g_mkdtemp_full (self.path, 0755) != NULL);
  self.store = ttl_store_open (self.path, &options, &error);
  fuzz_assert (self.store != NULL);
  take_caps_away (&self, variant);
  return self;
}

static int
remove_one (const char *path, const struct stat *st G_GNUC_UNUSED, int type G_GNUC_UNUSED,
            struct FTW *ftw G_GNUC_UNUSED)
{
  return remove (path) < 0 ? perror (path), 0 : 0;
}

void
root_clear (Root *self)
{
  g_clear_pointer (&self->set_aside, ttl_settings_free);
  nftw (self->path, remove_one, 32, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
  g_clear_pointer (&self->path, g_free);
}

guint
count_descriptors (void)
{
  g_autoptr (DIR) dir = opendir ("/proc/self/fd");
  guint count = 0;

  while (dir != NULL && readdir (dir) != NULL)
    count++;
  return count;
}
