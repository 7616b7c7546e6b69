#include "load.h"

#include "cleanup.h"
#include "times.h"
#include "value.h"

#include <fcntl.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define STUCK_S 20
#define RAW_CLIENT (JOURNAL_CLIENTS - 1)

typedef enum
{
  PUT,
  PUT_SYNC,
  RENAME,
  RENAME_SYNC,
  EXCLUSIVE,
  LINK,
  NOREPLACE,
  DELETE,
  DELETE_SYNC,
  APPEND,
  APPEND_SYNC,
  N_VERBS,
} Verb;

typedef struct
{
  Journal journal;
  LoadKind kind;
  gboolean stop; /* atomic */
  guint64 seed;  /* of the episode */
  sem_t start[JOURNAL_CLIENTS];
  sem_t done;
  guint32 next[JOURNAL_CLIENTS]; /* numbers never come again */
  char doing[JOURNAL_CLIENTS][64];
} Table;

struct Load
{
  Table *table;
  char *roots[JOURNAL_CLIENTS];
  pid_t pids[JOURNAL_CLIENTS];
};

typedef struct
{
  Table *table;
  const char *root;
  int number;
  guint64 random;
} Client;

static guint
below (Client *self, guint limit)
{
  self->random = self->random * G_GUINT64_CONSTANT (6364136223846793005) + 1442695040888963407;
  return (guint)(self->random >> 33) % limit;
}

/* ---- single operations: 0, or -1 with errno ---- */

static int
write_all (int fd, const char *bytes, gsize len)
{
  while (len > 0)
    {
      ssize_t n = write (fd, bytes, len);

      if (n <= 0)
        return -1;
      bytes += n;
      len -= (gsize)n;
    }
  return 0;
}

static int
put (const char *path, int flags, const char *bytes, gsize len, gboolean sync)
{
  ttl_autofd fd = open (path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0666);

  if (fd < 0 || write_all (fd, bytes, len) < 0 || (sync && fsync (fd) < 0))
    return -1;
  return close (ttl_steal_fd (&fd));
}

static int
sync_dir (const char *path)
{
  ttl_autofd fd = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  return fd < 0 ? -1 : fsync (fd);
}

static int
give_name (Verb verb, const char *scratch, const char *path)
{
  switch (verb)
    {
    case LINK:
      return link (scratch, path);
    case NOREPLACE:
      return renameat2 (AT_FDCWD, scratch, AT_FDCWD, path, RENAME_NOREPLACE);
    default:
      return rename (scratch, path);
    }
}

/* The entry begins before the scratch is written: nothing is promised about it until it has the name. */
static int
put_scratch (Client *self, Verb verb, const char *dir, const char *path, const char *bytes,
             gsize len)
{
  g_autofree char *scratch = g_strdup_printf ("%s/.tmp_%016x", dir, (guint)self->number);
  int res = put (scratch, O_TRUNC, bytes, len, verb == RENAME_SYNC);
  int err;

  if (res < 0)
    return -1;
  res = give_name (verb, scratch, path);
  err = errno;
  if (res < 0 || verb == LINK)
    unlink (scratch);
  if (res == 0 && verb == RENAME_SYNC)
    return sync_dir (dir);
  errno = err;
  return res;
}

static int
do_register (Client *self, Verb verb, const char *dir, const char *path, const char *bytes,
             gsize len)
{
  switch (verb)
    {
    case PUT:
    case PUT_SYNC:
      return put (path, O_TRUNC, bytes, len, verb == PUT_SYNC);
    case EXCLUSIVE:
      return put (path, O_EXCL, bytes, len, FALSE);
    case DELETE:
      return unlink (path);
    case DELETE_SYNC:
      return unlink (path) < 0 ? -1 : sync_dir (dir);
    default:
      return put_scratch (self, verb, dir, path, bytes, len);
    }
}

/* ---- one step ---- */

static gboolean
is_sync (Verb verb)
{
  return verb == PUT_SYNC || verb == RENAME_SYNC || verb == DELETE_SYNC || verb == APPEND_SYNC;
}

static Verb
choose_verb (Client *self)
{
  static const Verb raw[] = { RENAME, RENAME, LINK, NOREPLACE, DELETE };
  static const Verb sync[] = { PUT_SYNC, PUT_SYNC, RENAME_SYNC, DELETE_SYNC, APPEND_SYNC };
  static const Verb async[] = { PUT, PUT, RENAME, EXCLUSIVE, LINK, NOREPLACE, DELETE, APPEND };

  if (self->number == RAW_CLIENT)
    return raw[below (self, G_N_ELEMENTS (raw))];
  if (self->table->kind == LOAD_PATIENT)
    return self->number == 0 ? sync[below (self, G_N_ELEMENTS (sync))]
                             : async[below (self, G_N_ELEMENTS (async))];
  return below (self, self->table->kind == LOAD_FAST ? 50 : 8) == 0
             ? sync[below (self, G_N_ELEMENTS (sync))]
             : async[below (self, G_N_ELEMENTS (async))];
}

static guint32
next_number (Client *self)
{
  return (guint32)self->number << 24 | ++self->table->next[self->number];
}

/* FALSE when there is no working on: the mount is dead, or the log is full. */
static gboolean
conclude (Entry *entry, Verb verb, int res)
{
  int err = errno;

  if (res == 0)
    journal_end (entry, is_sync (verb) ? ENTRY_DURABLE : ENTRY_CONFIRMED);
  else if (err == EEXIST)
    journal_end (entry, ENTRY_VOID);
  return res == 0 || err == EEXIST || err == ENOENT || err == ESTALE;
}

/* A delete that found nothing changed nothing. Of a put that says ENOENT nothing is known. */
static gboolean
step_long (Client *self, Verb verb)
{
  g_autofree char *dir = g_strdup_printf ("%s/long", self->root);
  gboolean deletes = verb == DELETE || verb == DELETE_SYNC;
  gboolean appends = verb == APPEND || verb == APPEND_SYNC;
  int n = (int)below (self, appends ? LOGS : REGISTERS);
  g_autofree char *path = g_strdup_printf ("%s/%c%d", dir, appends ? 'a' : 'r', n);
  g_autofree char *value = NULL;
  int key = appends ? REGISTERS + n : n;
  guint32 number = deletes ? 0 : next_number (self);
  gsize len = RECORD_SIZE;
  Entry *entry;
  int res;

  if (appends)
    record_make (number, value = g_malloc (RECORD_SIZE));
  else if (!deletes)
    value = value_make (number, key, &len);
  entry = journal_begin (&self->table->journal, self->number, key, number);
  if (entry == NULL)
    return FALSE;
  g_snprintf (self->table->doing[self->number], sizeof self->table->doing[0], "verb %d of %s", verb,
              path + strlen (dir) + 1);
  if (appends)
    res = put (path, O_APPEND, value, len, verb == APPEND_SYNC);
  else
    res = do_register (self, verb, dir, path, value, len);
  if (deletes && res < 0 && errno == ENOENT)
    errno = EEXIST;
  return conclude (entry, verb, res);
}

static gboolean
step_short (Client *self, Verb verb)
{
  g_autofree char *dir = g_strdup_printf ("%s/short", self->root);
  int key = (int)below (self, SHORT_KEYS);
  g_autofree char *path = g_strdup_printf ("%s/s%d", dir, key);
  gsize len;
  g_autofree char *value = value_make (next_number (self), key, &len);
  int res;

  if (verb == APPEND || verb == APPEND_SYNC)
    verb = EXCLUSIVE;
  g_snprintf (self->table->doing[self->number], sizeof self->table->doing[0], "verb %d of s%d",
              verb, key);
  res = do_register (self, verb, dir, path, value, len);
  return res == 0 || errno == EEXIST || errno == ENOENT || errno == ESTALE;
}

static void
pause_a_while (Client *self)
{
  if (self->table->kind == LOAD_PATIENT)
    g_usleep (500 + below (self, self->number == 0 ? 5000 : 20000));
  else if (self->number == RAW_CLIENT)
    g_usleep (below (self, 2000));
}

static void
work (Client *self)
{
  self->random = self->table->seed * 31 + (guint64)self->number;
  while (!__atomic_load_n (&self->table->stop, __ATOMIC_ACQUIRE))
    {
      Verb verb = choose_verb (self);

      if (!(below (self, 6) == 0 ? step_short (self, verb) : step_long (self, verb)))
        break;
      pause_a_while (self);
    }
  g_strlcpy (self->table->doing[self->number], "nothing", sizeof self->table->doing[0]);
}

static void
client_main (Load *load, int number)
{
  Client self = { .table = load->table, .root = load->roots[number], .number = number };

  prctl (PR_SET_PDEATHSIG, SIGKILL);
  for (;;)
    {
      while (sem_wait (&self.table->start[number]) < 0)
        continue;
      work (&self);
      sem_post (&self.table->done);
    }
}

/* ---- the whole ---- */

Load *
load_new (const char *const roots[JOURNAL_CLIENTS], guint64 seed)
{
  Load *self = g_new0 (Load, 1);

  self->table
      = mmap (NULL, sizeof (Table), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  g_assert (self->table != MAP_FAILED);
  self->table->seed = seed;
  sem_init (&self->table->done, 1, 0);
  for (int i = 0; i < JOURNAL_CLIENTS; i++)
    {
      sem_init (&self->table->start[i], 1, 0);
      self->roots[i] = g_strdup (roots[i]);
    }
  for (int i = 0; i < JOURNAL_CLIENTS; i++)
    {
      self->pids[i] = fork ();
      if (self->pids[i] == 0)
        client_main (self, i);
    }
  return self;
}

void
load_free (Load *self)
{
  for (int i = 0; i < JOURNAL_CLIENTS; i++)
    {
      kill (self->pids[i], SIGKILL);
      waitpid (self->pids[i], NULL, 0);
      g_free (self->roots[i]);
    }
  munmap (self->table, sizeof (Table));
  g_free (self);
}

Journal *
load_journal (Load *self)
{
  return &self->table->journal;
}

void
load_start (Load *self, LoadKind kind)
{
  self->table->kind = kind;
  self->table->seed++;
  self->table->stop = FALSE;
  for (int i = 0; i < JOURNAL_CLIENTS; i++)
    sem_post (&self->table->start[i]);
}

gboolean
load_stop (Load *self)
{
  const struct timespec until = { .tv_sec = now_ns () / SECOND + STUCK_S };

  __atomic_store_n (&self->table->stop, TRUE, __ATOMIC_RELEASE);
  for (int i = 0; i < JOURNAL_CLIENTS; i++)
    while (sem_timedwait (&self->table->done, &until) < 0)
      if (errno == ETIMEDOUT)
        {
          for (int j = 0; j < JOURNAL_CLIENTS; j++)
            printf ("client %d is at %s, and does not come back\n", j, self->table->doing[j]);
          return FALSE;
        }
  return TRUE;
}
