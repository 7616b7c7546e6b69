#include "fixture.h"

#include "cleanup.h"

#include <ftw.h>
#include <stdio.h>
#include <sys/prctl.h>

TtlStore *store;
TtlBucket *root;

static TtlClock *clock_of_store; /* the store's own: it frees it */
static char *dir;
static GPtrArray *buckets;
static GPtrArray *retired; /* settings that stores no longer use */

/* ---- life ---- */

gboolean
has_cap (const char *word)
{
  const char *list = g_getenv ("TTLFS_TEST_CAPS");
  g_autofree char *without = g_strconcat ("no", word, NULL);

  return list == NULL || strstr (list, without) == NULL;
}

const char *
root_dir (void)
{
  return dir;
}

void
store_prepare (void)
{
  const char *base = g_getenv ("TTLFS_TEST_DIR");

  dir = g_build_filename (base != NULL ? base : g_get_tmp_dir (), "ttlfs-unit-XXXXXX", NULL);
  cr_assert (g_mkdtemp_full (dir, 0755) != NULL, "%s: %s", dir, g_strerror (errno));
  buckets = g_ptr_array_new_with_free_func ((GDestroyNotify)ttl_bucket_unref);
  retired = g_ptr_array_new_with_free_func ((GDestroyNotify)ttl_settings_free);
}

/* Before anything was done with it. Its threads may be at work: what they have hold of stays until the end. */
static void
take_caps_away (TtlStore *from)
{
  if (!has_cap ("tmpfile"))
    from->caps.tmpfile = FALSE;
  if (has_cap ("xattrs") || !from->caps.xattrs)
    return;
  from->caps.xattrs = FALSE;
  g_ptr_array_add (retired, from->settings);
  from->settings = ttl_settings_new (from->root_fd, FALSE);
}

static TtlStore *
open_at (TtlStoreOptions options, TtlClock *clock)
{
  g_autoptr (GError) error = NULL;
  TtlStore *opened;

  options.clock = clock;
  opened = ttl_store_open (dir, &options, &error);
  cr_assert (opened != NULL, "%s", error != NULL ? error->message : "no error");
  take_caps_away (opened);
  return opened;
}

void
reopen_store (TtlStoreOptions options)
{
  gint64 at_ns = store != NULL ? now () : (now_ns () / SECOND + 2) * SECOND;

  g_ptr_array_set_size (buckets, 0);
  ttl_store_close (store);
  clock_of_store = ttl_clock_new_manual (at_ns);
  store = open_at (options, clock_of_store);
  root = ttl_store_root (store);
}

void
store_setup (void)
{
  store_prepare ();
  reopen_store ((TtlStoreOptions){ .keepalive = TTL_KEEPALIVE_HELD });
}

TtlStore *
open_store (const TtlStoreOptions *options)
{
  return open_at (*options, ttl_clock_new_manual (store != NULL ? now () : now_ns ()));
}

TtlStore *
open_live_store (const char *ttl, TtlKeepalive keepalive)
{
  const TtlStoreOptions options
      = { .ttl = duration (ttl), .keepalive = keepalive, .background = TRUE };
  TtlStore *opened = open_at (options, NULL);

  ttl_watcher_wait_ready (ttl_store_watcher (opened));
  return opened;
}

static int
remove_one (const char *path, const struct stat *st G_GNUC_UNUSED, int type G_GNUC_UNUSED,
            struct FTW *ftw G_GNUC_UNUSED)
{
  return remove (path) < 0 ? perror (path), 0 : 0;
}

void
store_teardown (void)
{
  g_clear_pointer (&buckets, g_ptr_array_unref);
  g_clear_pointer (&store, ttl_store_close);
  g_clear_pointer (&retired, g_ptr_array_unref);
  if (getuid () == 0 && (seteuid (0) < 0 || setegid (0) < 0))
    perror ("back to root");
  nftw (dir, remove_one, 32, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
  g_clear_pointer (&dir, g_free);
}

/* ---- the backing directory ---- */

const char *
raw (const char *name)
{
  return text ("%s/%s", dir, name);
}

void
put_raw_at (const char *name, const char *value, gint64 mtime)
{
  assert_ok (put (raw (name), value));
  assert_ok (set_mtime_ns (raw (name), mtime));
}

void
become_user (void)
{
  enum
  {
    NOBODY = 65534
  };

  if (geteuid () != 0)
    return;
  assert_ok (chown (root_dir (), NOBODY, NOBODY));
  assert_ok (setegid (NOBODY));
  assert_ok (seteuid (NOBODY));
  assert_ok (prctl (PR_SET_DUMPABLE, 1));
}

/* ---- the clock ---- */

gint64
now (void)
{
  return ttl_store_now (store);
}

void
advance (gint64 by_ns)
{
  ttl_clock_advance (clock_of_store, by_ns);
}

void
step (gint64 by_ns)
{
  ttl_clock_set (clock_of_store, now () + by_ns);
}

/* ---- buckets ---- */

const TtlOwner *
owner (void)
{
  static TtlOwner self;

  self = (TtlOwner){ .uid = geteuid (), .gid = getegid (), .mode = 0644 };
  return &self;
}

static TtlBucket *
child (TtlBucket *parent, const char *name)
{
  TtlOwner maker = *owner ();
  TtlBucket *found = NULL;

  maker.mode = 0755;
  if (ttl_bucket_get_child (parent, name, &found) < 0)
    assert_is (ttl_store_mkdir (store, parent, name, &maker, now (), &found), 0);
  g_ptr_array_add (buckets, found);
  return found;
}

TtlBucket *
bucket (const char *path)
{
  g_auto (GStrv) names = g_strsplit (path, "/", -1);
  TtlBucket *at = root;

  for (char **name = names; *name != NULL; name++)
    at = child (at, *name);
  return at;
}

TtlDuration
duration (const char *string)
{
  TtlDuration parsed;

  cr_assert_eq (ttl_duration_parse (string, strlen (string), &parsed), 0);
  return parsed;
}

void
set_ttl (TtlBucket *of, const char *ttl)
{
  TtlDuration own;

  if (ttl != NULL)
    own = duration (ttl);
  assert_is (ttl_store_set_bucket_ttl (store, of, ttl != NULL ? &own : NULL), 0);
}

/* ---- keys ---- */

const char *
key (const char *shown)
{
  TtlName backing;

  cr_assert_eq (ttl_keyname_from_shown (ttl_store_names (store), shown, backing), 0);
  return text ("%s", backing);
}

TtlDraft *
open_draft (TtlBucket *in, const char *shown, int flags)
{
  TtlDraft *draft = NULL;

  assert_is (ttl_draft_open (store, in, key (shown), flags, owner (), now (), &draft), 0);
  return draft;
}

void
write_draft (TtlDraft *draft, const char *value)
{
  assert_is (ttl_draft_write (draft, value, strlen (value), 0), strlen (value));
}

int
put_key_with (TtlBucket *in, const char *shown, int flags, const char *value)
{
  g_autoptr (TtlDraft) draft = NULL;
  int fd, res = ttl_draft_open (store, in, key (shown), flags, owner (), now (), &draft);

  if (res == 0 && flags & O_APPEND)
    {
      ssize_t n = ttl_draft_write (draft, value, strlen (value), TTL_WRITE_AT_END);
      res = n < 0 ? (int)n : 0;
    }
  else if (res == 0)
    res = ttl_draft_change (draft, TRUE, &fd);
  if (res == 0 && !(flags & O_APPEND) && pwrite (fd, value, strlen (value), 0) < 0)
    res = -errno;
  return res < 0 ? res : ttl_draft_publish (draft, TTL_PUBLISH_LAST);
}

int
put_key (TtlBucket *in, const char *shown, const char *value)
{
  return put_key_with (in, shown, O_CREAT | O_TRUNC, value);
}

const char *
key_value (TtlBucket *in, const char *shown)
{
  ttl_autofd fd = -1;
  TtlEntry entry;

  if (ttl_store_open_value (store, in, key (shown), now (), &fd, &entry) < 0)
    return NULL;
  return get_fd (fd);
}

gboolean
is_live (TtlBucket *in, const char *shown)
{
  TtlEntry entry;

  return ttl_store_lookup (store, in, shown, now (), &entry) == 0;
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(char *const *)a, *(char *const *)b);
}

const char *
names_in (TtlBucket *in)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (TtlList) list = NULL;
  TtlListItem item;
  GString *joined = g_string_new (NULL);

  assert_is (ttl_store_list (store, in, &list), 0);
  while (ttl_list_next (list, now (), &item) == 1)
    if (strcmp (item.shown, ".") != 0 && strcmp (item.shown, "..") != 0)
      g_ptr_array_add (names, g_strdup (item.shown));
  g_ptr_array_sort (names, compare_names);
  for (guint i = 0; i < names->len; i++)
    g_string_append_printf (joined, "%s ", (char *)names->pdata[i]);
  return keep (g_string_free (joined, FALSE));
}

const char *
ttl_of (TtlBucket *in, const char *shown)
{
  char value[64];
  ssize_t len
      = ttl_store_get_xattr (store, in, key (shown), TTL_XATTR, value, sizeof value, now (), NULL);

  return len < 0 ? NULL : text ("%.*s", (int)len, value);
}

const char *
outcome (gint64 result)
{
  const char *name = result < 0 && result > -4096 ? strerrorname_np ((int)-result) : NULL;

  return name != NULL ? name : text ("%" G_GINT64_FORMAT, result);
}
