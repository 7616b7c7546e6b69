#include "verdict.h"

#include "files.h"
#include "value.h"

#include <dirent.h>
#include <stdarg.h>

#define TOLD_MAX 12

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DIR, closedir)

gboolean
report_time_is_up (const Report *self)
{
  return steady_ns () >= self->limit_ns;
}

gboolean
report_failure (Report *self, const char *format, ...)
{
  g_autofree char *what = NULL;
  va_list args;

  if (self->told++ >= TOLD_MAX)
    return FALSE;
  va_start (args, format);
  what = g_strdup_vprintf (format, args);
  va_end (args);
  printf ("FAILED (seed %" G_GUINT64_FORMAT ", episode %u): %s\n", self->seed,
          self->passed + self->failed, what);
  fflush (stdout);
  return FALSE;
}

void
report_episode (Report *self, gboolean well)
{
  if (well)
    self->passed++;
  else
    self->failed++;
}

typedef struct
{
  Report *report;
  const Journal *journal;
  const Incident *incident;
  const char *where;
  guint32 *registers;
  GArray *logs[LOGS];
} Look;

static gboolean
check_register (Look *self, const char *name, int key, const char *value, gsize len)
{
  const char *why;

  self->registers[key] = value_number (value, len, key, &why);
  return self->registers[key] != 0
         || report_failure (self->report, "%s: %s has %zu bytes and is not whole: %s", self->where,
                            name, len, why);
}

static gboolean
check_log (Look *self, const char *name, int log, const char *value, gsize len)
{
  const char *why;

  self->logs[log] = records_read (value, len, &why);
  return self->logs[log] != NULL
         || report_failure (self->report, "%s: %s has %zu bytes and is not whole: %s", self->where,
                            name, len, why);
}

static gboolean
check_value (Look *self, const char *name, const char *value, gsize len)
{
  int number = name[0] != '\0' && name[2] == '\0' ? name[1] - '0' : -1;
  const char *why;

  if (name[0] == 'r' && number >= 0 && number < REGISTERS)
    return check_register (self, name, number, value, len);
  if (name[0] == 'a' && number >= 0 && number < LOGS)
    return check_log (self, name, number, value, len);
  if (name[0] == 's' && number >= 0 && number < SHORT_KEYS)
    return value_number (value, len, number, &why) != 0
           || report_failure (self->report, "%s: %s has %zu bytes and is not whole: %s",
                              self->where, name, len, why);
  return report_failure (self->report, "%s: nobody made %s", self->where, name);
}

/* Whoever may have expired may also go between two looks. */
static gboolean
check_file (Look *self, const char *dir, const char *name, SeenIn seen_in, gboolean may_go)
{
  g_autofree char *path = g_strdup_printf ("%s/%s", dir, name);
  g_autofree char *value = NULL;
  struct stat st;
  gsize len;

  if (seen_in == SEEN_IN_BACKING && g_str_has_prefix (name, ".tmp_"))
    return TRUE;
  if (lstat (path, &st) < 0)
    return (may_go && errno == ENOENT)
           || report_failure (self->report, "%s: %s is listed, but: %s", self->where, name,
                              g_strerror (errno));
  if (S_ISLNK (st.st_mode) && seen_in == SEEN_IN_BACKING)
    return TRUE;
  if (!S_ISREG (st.st_mode))
    return report_failure (self->report, "%s: %s is no file", self->where, name);
  value = get_bytes (path, &len);
  if (value == NULL)
    return (may_go && errno == ENOENT)
           || report_failure (self->report, "%s: %s cannot be read: %s", self->where, name,
                              g_strerror (errno));
  return check_value (self, name, value, len);
}

static gboolean
check_dir (Look *self, const char *root, const char *bucket, SeenIn seen_in)
{
  g_autofree char *path = g_strdup_printf ("%s/%s", root, bucket);
  g_autoptr (DIR) dir = opendir (path);
  struct dirent *item;
  gboolean well = TRUE;

  if (dir == NULL)
    return report_failure (self->report, "%s: %s: %s", self->where, bucket, g_strerror (errno));
  while ((item = readdir (dir)) != NULL)
    if (strcmp (item->d_name, ".") != 0 && strcmp (item->d_name, "..") != 0)
      well &= check_file (self, path, item->d_name, seen_in, bucket[0] == 's');
  return well;
}

static gboolean
check_journal (Look *self)
{
  gboolean well = TRUE;

  for (int i = 0; i < REGISTERS + LOGS; i++)
    {
      g_autofree char *why
          = i < REGISTERS
                ? journal_refuse (self->journal, i, self->registers[i], self->incident)
                : journal_refuse_log (self->journal, i, self->logs[i - REGISTERS], self->incident);

      if (why != NULL)
        well = report_failure (self->report, "%s: %c%d: %s", self->where, i < REGISTERS ? 'r' : 'a',
                               i < REGISTERS ? i : i - REGISTERS, why);
    }
  return well;
}

gboolean
verdict_check (Report *report, const Journal *journal, const Incident *incident, const char *root,
               SeenIn seen_in, const char *where, guint32 base_out[REGISTERS])
{
  Look look = { .report = report,
                .journal = journal,
                .incident = incident,
                .where = where,
                .registers = base_out };
  gboolean well;

  memset (base_out, 0, sizeof (guint32) * REGISTERS);
  well = check_dir (&look, root, "long", seen_in);
  well &= check_dir (&look, root, "short", seen_in);
  if (well) /* a torn value is told once */
    well = check_journal (&look);
  for (int i = 0; i < LOGS; i++)
    g_clear_pointer (&look.logs[i], g_array_unref);
  return well;
}

gboolean
verdict_is_emptied (Report *report, const char *path, int ms)
{
  g_autoptr (GString) left = NULL;
  g_autoptr (DIR) dir = NULL;
  struct dirent *item;

  if (EVENTUALLY (ms, count_listed (path) == 0))
    return TRUE;
  left = g_string_new (NULL);
  dir = opendir (path);
  while (dir != NULL && (item = readdir (dir)) != NULL)
    if (strcmp (item->d_name, ".") != 0 && strcmp (item->d_name, "..") != 0)
      g_string_append_printf (left, " %s%s", item->d_name, item->d_type == DT_LNK ? "@" : "");
  return report_failure (report, "left in %s after %d ms:%s", path, ms, left->str);
}
