/* actors - those who put, delete, touch, hold, lock and read, each in a process of its own. */
#include "stress.h"

#include "files.h"

#include <dirent.h>

static char value[VALUE_MAX + 1];

/* What the operation just ended may have as its errno, on a key that others delete and that
 * expires. Anything else is a violation. */
static gboolean
is_gone (int error)
{
  if (error == ENOENT)
    return TRUE;
  complain ("%s: %s", doing (), g_strerror (error));
  return FALSE;
}

static gboolean
chance (guint percent)
{
  return (guint)g_random_int_range (0, 100) < percent;
}

static void
rest (void)
{
  g_usleep ((gulong)g_random_int_range (0, 3000));
}

/* --- putting, in the ways that people and FileStores do --- */

static char *
scratch_path (const char *path)
{
  g_autofree char *dir = g_path_get_dirname (path);

  return g_strdup_printf ("%s/.tmp_%08x%08x", dir, g_random_int (), g_random_int ());
}

static int
put_in_place (const char *path, gsize len)
{
  int result;

  busy ("put", path);
  result = put_bytes (path, value, len);
  idle ();
  return result;
}

static int
put_by_rename (const char *path, gsize len)
{
  g_autofree char *scratch = scratch_path (path);
  int result;

  busy ("put by rename", path);
  result = put_bytes (scratch, value, len) < 0 ? -1 : rename (scratch, path);
  idle ();
  return result;
}

/* A FileStore's insert that must not replace: -1 with EEXIST is an answer. */
static int
put_by_link (const char *path, gsize len)
{
  g_autofree char *scratch = scratch_path (path);
  int result, error;

  busy ("put by link", path);
  result = put_bytes (scratch, value, len) < 0 ? -1 : link (scratch, path);
  error = errno;
  if (unlink (scratch) < 0 && errno != ENOENT)
    complain ("unlink %s: %s", scratch, g_strerror (errno));
  idle ();
  errno = error;
  return result;
}

static int
put_exclusively (const char *path)
{
  int result;

  busy ("O_EXCL put", path);
  result = put_with (path, O_CREAT | O_EXCL, value);
  idle ();
  return result;
}

static int
touch (const char *path)
{
  int result;

  busy ("touch", path);
  result = utimensat (AT_FDCWD, path, NULL, 0);
  idle ();
  return result;
}

static int delete (const char *path)
{
  int result;

  busy ("delete", path);
  result = unlink (path);
  idle ();
  return result;
}

/* --- owners --- */

static void
own_put (guint key, const char *path)
{
  guint64 number = journal_begin (journals[key], OP_PUT, now_ns ());
  gsize len = value_make (key, number, value);
  gboolean raw = owner_via (key) == VIA_RAW;

  if ((raw || chance (25) ? put_by_rename (path, len) : put_in_place (path, len)) < 0)
    complain ("%s: %s", doing (), g_strerror (errno));
  journal_end (journals[key], TRUE, now_ns ());
  did (DID_PUT);
}

/* Finding nothing is right when the lease has ended; the journal knows. */
static void
own_touch (guint key, const char *path)
{
  Look look = { .ttl_ns = TTL_NS, .raw = owner_via (key) == VIA_RAW };
  gint64 before = now_ns ();
  const char *wrong;
  gboolean found;

  journal_begin (journals[key], OP_TOUCH, before);
  found = touch (path) == 0;
  if (!found && is_gone (errno))
    {
      wrong = journal_judge (journals[key], &look, 0, before, now_ns ());
      if (wrong != NULL)
        complain ("touch %s: %s", path, wrong);
      did (SAW_MISSING);
    }
  journal_end (journals[key], found, now_ns ());
  did (DID_TOUCH);
}

static void
own_delete (guint key, const char *path)
{
  gboolean found;

  journal_begin (journals[key], OP_DELETE, now_ns ());
  found = delete (path) == 0;
  if (!found && is_gone (errno))
    did (SAW_MISSING);
  journal_end (journals[key], found, now_ns ());
  if (exists (path))
    complain ("%s: it is there after its deletion", path);
  did (DID_DELETE);
}

/* A raw peer that touches a file whose lease has ended would bring it back to life, or not, as the
 * reapers have it: a FileStore renews in time, and so does this one. */
static gboolean
may_touch (guint key, gint64 renewed_ns)
{
  return owner_via (key) != VIA_RAW || now_ns () < renewed_ns + TTL_NS / 2;
}

void
act_owner (guint key)
{
  g_autofree char *path = key_path (owner_via (key), "owned", key);

  gint64 renewed = 0;

  while (!stopped ())
    {
      guint what = (guint)g_random_int_range (0, 10);

      if (what < 2)
        own_delete (key, path);
      else if (what < 4 && may_touch (key, renewed))
        own_touch (key, path);
      else
        own_put (key, path);
      renewed = what < 2 ? 0 : now_ns ();
      if (chance (1))
        g_usleep (1300 * 1000); /* longer than the TTL */
      else
        rest ();
    }
}

/* --- contenders --- */

static void
contend_put (const char *path, guint writer, guint64 number)
{
  gsize len = value_make (writer, number, value);
  int result = chance (40)   ? put_in_place (path, len)
               : chance (50) ? put_by_rename (path, len)
               : chance (50) ? put_by_link (path, len)
                             : put_exclusively (path);

  if (result < 0 && errno != EEXIST)
    complain ("%s: %s", doing (), g_strerror (errno));
  did (DID_PUT);
}

static void
contend_raw_put (const char *path, guint writer, guint64 number)
{
  gsize len = value_make (writer, number, value);

  if ((chance (50) ? put_by_rename (path, len) : put_by_link (path, len)) < 0 && errno != EEXIST)
    complain ("%s: %s", doing (), g_strerror (errno));
  did (DID_PUT);
}

void
act_contender (Via via, guint number)
{
  for (guint64 n = 1; !stopped (); n++)
    {
      g_autofree char *path = key_path (via, "shared", (guint)g_random_int_range (0, SHARED));
      guint what = (guint)g_random_int_range (0, 10);

      if (what < 6 && via == VIA_RAW)
        contend_raw_put (path, 100 + number, n);
      else if (what < 6)
        contend_put (path, 100 + number, n);
      else if (what < 8 && touch (path) < 0)
        is_gone (errno);
      else if (what >= 8 && delete (path) < 0)
        is_gone (errno);
      rest ();
    }
}

/* --- locks --- */

static int
take_lock (Via via, const char *path)
{
  gsize len = value_make (200, 1, value);

  return via == VIA_RAW ? put_by_link (path, len) : put_exclusively (path);
}

void
act_locker (Via via)
{
  while (!stopped ())
    {
      guint lock = (guint)g_random_int_range (0, LOCKS);
      g_autofree char *path = key_path (via, "lock", lock);

      if (take_lock (via, path) == 0)
        {
          if (__atomic_add_fetch (&world->holding_lock[lock], 1, __ATOMIC_ACQ_REL) != 1)
            complain ("%s: two have it", path);
          g_usleep (200);
          __atomic_sub_fetch (&world->holding_lock[lock], 1, __ATOMIC_ACQ_REL);
          if (delete (path) < 0)
            complain ("%s: the lock has gone while it was held: %s", path, g_strerror (errno));
          did (DID_LOCK);
        }
      else if (errno != EEXIST)
        complain ("%s: %s", doing (), g_strerror (errno));
      rest ();
    }
}

/* --- holders --- */

void
act_holder (Via via, guint key)
{
  g_autofree char *path = key_path (via, "held", key);
  gsize len = value_make (300 + key, 1, value);
  int fd = open (path, O_WRONLY | O_CREAT, 0666);

  if (fd < 0 || write (fd, value, len) != (ssize_t)len || fsync (fd) < 0)
    complain ("hold %s: %s", path, g_strerror (errno));
  world->held_ready[key] = 1;
  while (!stopped ())
    g_usleep (20 * 1000);
  /* Dies with the descriptor open: the kernel closes it. */
}

/* --- readers --- */

/* The number of the value read (0: missing), checked to be whole and of one of the writers from
 * @first to @last. */
static gboolean
read_whole (const char *path, guint first, guint last, guint64 *number_out)
{
  const char *why;
  ValueId id;
  gsize len;
  g_autofree char *bytes = NULL;

  *number_out = 0;
  busy ("get", path);
  bytes = get_bytes (path, &len);
  idle ();
  did (DID_GET);
  if (bytes == NULL)
    {
      did (SAW_MISSING);
      return is_gone (errno);
    }
  if (!value_parse (bytes, len, &id, &why))
    {
      complain ("%s, %zu bytes: %s", path, len, why);
      return FALSE;
    }
  if (id.writer < first || id.writer > last)
    complain ("%s holds a value of writer %u", path, id.writer);
  *number_out = id.number;
  return TRUE;
}

static void
check_owned (Via via, guint key)
{
  g_autofree char *path = key_path (via, "owned", key);
  gboolean at_home = via == owner_via (key) || (via == VIA_RAW && owner_via (key) != VIA_RAW);
  Look look
      = { .ttl_ns = TTL_NS, .slack_ns = at_home ? 0 : tolerance_ns (250), .raw = via == VIA_RAW };
  gint64 before = now_ns ();
  const char *wrong;
  guint64 number;

  if (!read_whole (path, key, key, &number))
    return;
  wrong = journal_judge (journals[key], &look, number, before, now_ns ());
  if (wrong != NULL)
    complain ("%s, value %lu: %s", path, (unsigned long)number, wrong);
}

static void
check_held (Via via, guint key)
{
  g_autofree char *path = key_path (via, "held", key);
  guint64 number;

  if (world->held_ready[key] == 0 || !read_whole (path, 300 + key, 300 + key, &number))
    return;
  if (number == 0)
    complain ("%s: missing, though it is held", path);
}

static gboolean
is_known (const char *name)
{
  static const char *const kinds[] = { "owned-", "shared-", "held-", "lock-" };

  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    if (g_str_has_prefix (name, kinds[i]) && g_str_has_suffix (name, ".v"))
      return TRUE;
  return strcmp (name, ".") == 0 || strcmp (name, "..") == 0;
}

/* A listing holds keys and nothing else, each once, and the held ones always. */
static void
check_listing (Via via)
{
  guint held = 0, expected = 0;
  struct dirent *entry;
  DIR *dir;

  for (guint key = 0; key < HELD; key++)
    expected += world->held_ready[key] != 0;
  busy ("list", roots[via]);
  dir = opendir (roots[via]);
  while (dir != NULL && (entry = readdir (dir)) != NULL)
    {
      if (!is_known (entry->d_name))
        complain ("%s lists '%s'", roots[via], entry->d_name);
      held += g_str_has_prefix (entry->d_name, "held-");
    }
  if (dir != NULL)
    closedir (dir);
  idle ();
  if (held < expected)
    complain ("%s lists %u held keys of %u", roots[via], held, expected);
  did (DID_LIST);
}

void
act_reader (Via via)
{
  for (guint n = 0; !stopped (); n++)
    {
      guint64 number;
      g_autofree char *shared = key_path (via, "shared", n % SHARED);

      check_owned (via, n % OWNED);
      read_whole (shared, 100, 199, &number);
      check_held (via, n % HELD);
      if (via != VIA_RAW && n % 50 == 0)
        check_listing (via);
      if (n % 16 == 0)
        rest ();
    }
}

/* --- the reaper of a raw peer --- */

static Journal *
journal_of (const char *backing_name)
{
  guint key;

  return sscanf (backing_name, "owned%%2D%u%%2Ev", &key) == 1 && key < OWNED ? journals[key] : NULL;
}

/* Removes what is older than the TTL, as a FileStore does: with a moment between looking and
 * removing, in which its owner may have put a new value. That is the peer's affair; readers are
 * told. */
static void
reap (const char *name)
{
  g_autofree char *path = g_strdup_printf ("%s/%s", roots[VIA_RAW], name);
  Journal *journal = journal_of (name);
  gint64 mtime = mtime_ns (path);

  if (mtime < 0 || mtime + TTL_NS > now_ns ())
    return;
  if (journal != NULL)
    journal_reaped (journal, now_ns () + SECOND);
  unlink (path);
  if (journal != NULL)
    journal_reaped (journal, now_ns ());
  did (SAW_EXPIRY);
}

void
act_reaper (void)
{
  while (!stopped ())
    {
      DIR *dir = opendir (roots[VIA_RAW]);
      struct dirent *entry;

      while (dir != NULL && (entry = readdir (dir)) != NULL)
        if (entry->d_name[0] != '.')
          reap (entry->d_name);
      if (dir != NULL)
        closedir (dir);
      g_usleep (50 * 1000);
    }
}
