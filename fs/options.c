#include "options.h"

#include <gio/gio.h>
#include <string.h>

const char ttl_options_help[]
    = "Usage: ttlfs [-f] [-d] [-o OPT[,OPT...]] BACKING MOUNTPOINT\n"
      "\n"
      "Shows the directory BACKING at MOUNTPOINT as buckets (directories) of keys (files)\n"
      "that disappear when their lease, mtime + TTL, ends.\n"
      "\n"
      "  -f             stay in the foreground, log to stderr\n"
      "  -d             as -f, and log every operation\n"
      "  -h, --help     show this text\n"
      "  -V, --version  show the version\n"
      "  --status MOUNTPOINT\n"
      "                 show what the mount there has indexed, removed and holds\n"
      "\n"
      "Options after -o:\n"
      "  ttl=DURATION   the TTL of what has none of its own: 500ms, 10s (default), 5m, 2h, 1d, "
      "inf\n"
      "  keepalive=WHO  whose leases the mount renews: none, held (default: while a descriptor\n"
      "                 stays open for writing), owned (everything put here, removed at unmount)\n"
      "  names=HOW      encoded (default: key names percent-encoded in BACKING) or plain\n"
      "  cache=HOW      on (default: the kernel answers by itself what is promised it) or off "
      "(every\n"
      "                 question comes to the daemon: slower, and changes made beside the mount\n"
      "                 show at once)\n"
      "  adopt          take a BACKING that is not empty and was never a ttlfs root; old files in\n"
      "                 it are removed once their TTL is over\n"
      "  allow_other    let other users in (default for root); noallow_other: do not\n"
      "  ro             read only\n"
      "  io_uring=WHEN  on, off, or auto (default): whether requests come over io_uring, which\n"
      "                 takes libfuse 3.18 and a kernel where it is turned on\n"
      "  fsname=NAME    the name in mount tables (default: BACKING)\n"
      "\n"
      "umount MOUNTPOINT, or fusermount3 -u MOUNTPOINT, ends it.\n";

static gboolean
fail (GError **error, const char *format, const char *word)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, format, word);
#pragma GCC diagnostic pop
  return FALSE;
}

static gboolean
parse_ttl (TtlOptions *options, const char *value, GError **error)
{
  if (ttl_duration_parse (value, strlen (value), &options->store.ttl) == 0)
    return TRUE;
  return fail (error, "ttl=%s: not a TTL; say 500ms, 10s, 5m, 2h, 1d or inf (at least 50ms)",
               value);
}

static gboolean
parse_keepalive (TtlOptions *options, const char *value, GError **error)
{
  static const char *const names[] = {
    [TTL_KEEPALIVE_NONE] = "none", [TTL_KEEPALIVE_HELD] = "held", [TTL_KEEPALIVE_OWNED] = "owned"
  };

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    if (strcmp (value, names[i]) == 0)
      {
        options->store.keepalive = (TtlKeepalive)i;
        return TRUE;
      }
  return fail (error, "keepalive=%s: say none, held or owned", value);
}

static gboolean
parse_names (TtlOptions *options, const char *value, GError **error)
{
  if (strcmp (value, "encoded") == 0)
    options->store.names = TTL_NAMES_ENCODED;
  else if (strcmp (value, "plain") == 0)
    options->store.names = TTL_NAMES_PLAIN;
  else
    return fail (error, "names=%s: say encoded or plain", value);
  return TRUE;
}

static gboolean
parse_cache (TtlOptions *options, const char *value, GError **error)
{
  options->no_cache = strcmp (value, "off") == 0;
  return options->no_cache || strcmp (value, "on") == 0
         || fail (error, "cache=%s: say on or off", value);
}

static gboolean
parse_io_uring (TtlOptions *options, const char *value, GError **error)
{
  static const char *const words[] = {
    [TTL_TRANSPORT_ANY] = "auto", [TTL_TRANSPORT_URING] = "on", [TTL_TRANSPORT_DEVICE] = "off"
  };

  for (gsize i = 0; i < G_N_ELEMENTS (words); i++)
    if (strcmp (value, words[i]) == 0)
      {
        options->transport = (TtlTransport)i;
        return TRUE;
      }
  return fail (error, "io_uring=%s: say on, off or auto", value);
}

static gboolean
parse_fsname (TtlOptions *options, const char *value, GError **error)
{
  if (value[0] == '\0')
    return fail (error, "fsname=%s: give a name", value);
  g_free (options->fsname);
  options->fsname = g_strdup (value);
  return TRUE;
}

/* ---- words without a value ---- */

static gboolean
parse_flag (TtlOptions *options, const char *word)
{
  if (strcmp (word, "adopt") == 0)
    options->store.root_flags |= TTL_ROOT_ADOPT;
  else if (strcmp (word, "ro") == 0)
    options->store.root_flags |= TTL_ROOT_READ_ONLY;
  else if (strcmp (word, "rw") == 0)
    options->store.root_flags &= ~TTL_ROOT_READ_ONLY;
  else if (strcmp (word, "allow_other") == 0)
    options->allow_other = TRUE;
  else if (strcmp (word, "noallow_other") == 0)
    options->allow_other = FALSE;
  else
    return FALSE;
  return TRUE;
}

/* What fstab and mount(8) hand through. Setuid programs and devices are always off, so "suid" and "dev" ask in vain. */
static gboolean
parse_mount_word (TtlOptions *options, const char *word)
{
  static const char *const passed[] = { "exec", "noexec", "noatime", "sync", "async", "dirsync" };
  static const char *const ignored[] = { "atime",       "nodiratime",
                                         "norelatime",  "nostrictatime",
                                         "diratime",    "relatime",
                                         "strictatime", "suid",
                                         "nosuid",      "dev",
                                         "nodev",       "defaults",
                                         "auto",        "noauto",
                                         "user",        "nouser",
                                         "users",       "owner",
                                         "group",       "_netdev",
                                         "nofail",      "default_permissions" };

  for (gsize i = 0; i < G_N_ELEMENTS (passed); i++)
    if (strcmp (word, passed[i]) == 0)
      {
        char *flags = g_strconcat (options->mount_flags, ",", word, NULL);
        g_free (options->mount_flags);
        options->mount_flags = flags;
        return TRUE;
      }
  for (gsize i = 0; i < G_N_ELEMENTS (ignored); i++)
    if (strcmp (word, ignored[i]) == 0)
      return TRUE;
  return g_str_has_prefix (word, "x-") || g_str_has_prefix (word, "X-")
         || g_str_has_prefix (word, "comment=");
}

static gboolean
parse_word (TtlOptions *options, const char *word, GError **error)
{
  static const struct
  {
    const char *prefix;
    gboolean (*parse) (TtlOptions *options, const char *value, GError **error);
  } valued[] = {
    { "ttl=", parse_ttl },     { "keepalive=", parse_keepalive }, { "names=", parse_names },
    { "cache=", parse_cache }, { "fsname=", parse_fsname },       { "io_uring=", parse_io_uring },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (valued); i++)
    if (g_str_has_prefix (word, valued[i].prefix))
      return valued[i].parse (options, word + strlen (valued[i].prefix), error);
  if (word[0] == '\0' || parse_flag (options, word) || parse_mount_word (options, word))
    return TRUE;
  return fail (error, "unknown option '%s' after -o; ttlfs --help lists them", word);
}

static gboolean
parse_words (TtlOptions *options, char **lists, GError **error)
{
  for (char **list = lists; list != NULL && *list != NULL; list++)
    {
      g_auto (GStrv) words = g_strsplit (*list, ",", -1);

      for (char **word = words; *word != NULL; word++)
        if (!parse_word (options, *word, error))
          return FALSE;
    }
  return TRUE;
}

gboolean
ttl_options_parse (int argc, char **argv, gboolean is_root, TtlOptions *options, GError **error)
{
  g_auto (GStrv) lists = NULL;
  g_auto (GStrv) rest = NULL;
  g_auto (GStrv) copy = g_new0 (char *, argc + 1);
  const GOptionEntry entries[] = {
    { "foreground", 'f', 0, G_OPTION_ARG_NONE, &options->foreground, NULL, NULL },
    { "debug", 'd', 0, G_OPTION_ARG_NONE, &options->debug, NULL, NULL },
    { "help", 'h', 0, G_OPTION_ARG_NONE, &options->help, NULL, NULL },
    { "version", 'V', 0, G_OPTION_ARG_NONE, &options->version, NULL, NULL },
    { "status", 0, 0, G_OPTION_ARG_FILENAME, &options->status, NULL, NULL },
    { "options", 'o', 0, G_OPTION_ARG_STRING_ARRAY, &lists, NULL, NULL },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &rest, NULL, NULL },
    G_OPTION_ENTRY_NULL,
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);

  *options = (TtlOptions){
    .store = { .keepalive = TTL_KEEPALIVE_HELD, .background = TRUE },
    .allow_other = is_root,
    .mount_flags = g_strdup (""),
  };
  for (int i = 0; i < argc; i++)
    copy[i] = g_strdup (argv[i]);
  g_option_context_set_help_enabled (context, FALSE);
  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse_strv (context, &copy, error) || !parse_words (options, lists, error))
    return FALSE;
  if (options->help || options->version || options->status != NULL)
    return TRUE;
  if (rest == NULL || rest[0] == NULL || rest[1] == NULL)
    return fail (error,
                 "%s: give a backing directory and a mount point, as in: ttlfs BACKING MOUNTPOINT",
                 rest == NULL || rest[0] == NULL ? "nothing to mount" : "no mount point");
  if (rest[2] != NULL)
    return fail (error,
                 "'%s' is one too many: give a backing directory and a mount point, as in: ttlfs "
                 "BACKING MOUNTPOINT",
                 rest[2]);
  options->backing = g_steal_pointer (&rest[0]);
  options->mountpoint = g_steal_pointer (&rest[1]);
  options->foreground |= options->debug;
  return TRUE;
}

void
ttl_options_clear (TtlOptions *options)
{
  g_free (options->status);
  g_free (options->fsname);
  g_free (options->mount_flags);
  g_free (options->backing);
  g_free (options->mountpoint);
  *options = (TtlOptions){ 0 };
}
