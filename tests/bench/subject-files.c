/* Subjects that are directories: a mount of ttlfs, a plain directory, nullfs.
 *
 * Every operation has a bucket of its own, made for one slice and removed after it, beside the mount where there is one, so
 * that what "first" and "new" mean is the same each time. The buckets that are listed stay. A client works in its
 * bucket as its current directory: names are one component long, whatever is above. */
#include "subject.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define POOL 2000     /* keys that nobody has asked for yet */
#define POOL_LARGE 32 /* the same, of 4 MiB */
#define APPENDS 64    /* to one value, until it starts again */

extern char **environ;

typedef struct
{
  Subject base;
  char *dir;
  char *raw;          /* the same bucket in the backing directory; equal to dir without a mount */
  gboolean by_rename; /* a put is a scratch file and rename() */
  gboolean null;      /* nullfs, which has no buckets and some keys */
  guint serial;       /* of the bucket made last */
  char *bucket[OP_COUNT]; /* of the slice that is under way */
} Files;

struct Client
{
  Files *subject; /* borrowed */
  Op op;
  gsize size;
  char name[32];    /* of this client's key, or of the next */
  char other[32];   /* what it is renamed to */
  char scratch[32]; /* for puts by rename */
  char *buffer;     /* one byte more than the value, so that one read() tells the end */
  guint number;
  guint next; /* key, of a pool or of those that are put */
  guint end;
  guint step;
  int fd;
};

/* ---- single operations, on names in the current directory ---- */

static void
write_whole (int fd, const char *value, gsize size)
{
  while (size > 0)
    {
      const ssize_t n = write (fd, value, size);

      if (n <= 0)
        fail ("write: %s", g_strerror (errno));
      value += n;
      size -= (gsize)n;
    }
}

static void
write_file (const char *path, int flags, gsize size)
{
  const int fd = open (path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0666);

  if (fd < 0)
    fail ("open %s to write: %s", path, g_strerror (errno));
  write_whole (fd, some_value (size), size);
  if (close (fd) < 0)
    fail ("close %s: %s", path, g_strerror (errno));
}

static void
move (const char *from, const char *to)
{
  if (rename (from, to) < 0)
    fail ("rename %s: %s", from, g_strerror (errno));
}

static void
put (const Client *client, const char *name)
{
  if (!client->subject->by_rename)
    {
      write_file (name, O_TRUNC, client->size);
      return;
    }
  write_file (client->scratch, O_EXCL, client->size);
  move (client->scratch, name);
}

static void
get (const Client *client, const char *name)
{
  const int fd = open (name, O_RDONLY | O_CLOEXEC);
  gsize have = 0;
  ssize_t n;

  if (fd < 0)
    fail ("open %s: %s", name, g_strerror (errno));
  while (have < client->size && (n = read (fd, client->buffer + have, client->size + 1 - have)) > 0)
    have += (gsize)n;
  (void)close (fd);
  if (have != client->size)
    fail ("%s: %" G_GSIZE_FORMAT " bytes instead of %" G_GSIZE_FORMAT, name, have, client->size);
}

static void
stat_one (const char *name)
{
  struct stat st;

  if (fstatat (AT_FDCWD, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
    fail ("stat %s: %s", name, g_strerror (errno));
}

static void
touch (const char *name)
{
  if (utimensat (AT_FDCWD, name, NULL, 0) < 0)
    fail ("touch %s: %s", name, g_strerror (errno));
}

static void
remove_one (const char *name)
{
  if (unlink (name) < 0)
    fail ("unlink %s: %s", name, g_strerror (errno));
}

static void
list (guint expected, gboolean with_stat)
{
  DIR *dir = opendir (".");
  struct dirent *entry;
  guint n = 0;

  if (dir == NULL)
    fail ("opendir: %s", g_strerror (errno));
  while ((entry = readdir (dir)) != NULL)
    {
      if (entry->d_name[0] == '.')
        continue;
      n++;
      if (with_stat)
        stat_one (entry->d_name);
    }
  (void)closedir (dir);
  if (n != expected)
    fail ("%u keys listed instead of %u", n, expected);
}

/* Runs a program whose output nobody reads, to its end. */
static void
run_program (char *const argv[])
{
  posix_spawn_file_actions_t actions;
  int status, err;
  pid_t pid;

  posix_spawn_file_actions_init (&actions);
  posix_spawn_file_actions_addopen (&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  err = posix_spawnp (&pid, argv[0], &actions, NULL, argv, environ);
  posix_spawn_file_actions_destroy (&actions);
  if (err != 0 || waitpid (pid, &status, 0) != pid || status != 0)
    fail ("%s did not do it", argv[0]);
}

/* ---- making and removing buckets ---- */

static const char *
permanent_bucket (Op op)
{
  switch (op)
    {
    case OP_LIST:
    case OP_LIST_STAT:
    case OP_LS_L:
      return "list";
    case OP_CAT_ALL:
      return "cat";
    default:
      return NULL;
    }
}

/* FALSE when there already is such a directory. */
static gboolean
make_dir (const char *path)
{
  if (mkdir (path, 0777) == 0)
    return TRUE;
  if (errno != EEXIST)
    fail ("mkdir %s: %s", path, g_strerror (errno));
  return FALSE;
}

static void
fill (const char *dir, guint count, gsize size)
{
  for (guint i = 0; i < count; i++)
    {
      g_autofree char *path = g_strdup_printf ("%s/k%06u", dir, i);

      write_file (path, O_EXCL, size);
    }
}

static guint
pool_size (Op op)
{
  return op == OP_GET_4M_FIRST ? POOL_LARGE : POOL;
}

static gboolean
has_pool (Op op)
{
  return op == OP_STAT_COLD || op == OP_GET_FIRST || op == OP_GET_4M_FIRST;
}

/* A key for each client, put as a user would. */
static void
put_own_keys (Files *self, Op op, const char *dir, guint clients)
{
  for (guint i = 0; i < clients; i++)
    {
      g_autofree char *path = g_strdup_printf ("%s/c%u", dir, i);

      write_file (path, O_TRUNC, op_value_size (op));
    }
}

static void
make_permanent (Files *self, Op op, const char *bucket)
{
  g_autofree char *raw = g_build_filename (self->raw, bucket, NULL);

  if (make_dir (raw))
    fill (raw, op == OP_CAT_ALL ? self->base.cat : self->base.list, SMALL_VALUE);
}

static void
make_bucket (Files *self, Op op, const char *bucket, guint clients)
{
  g_autofree char *raw = g_build_filename (self->raw, bucket, NULL);
  g_autofree char *dir = g_build_filename (self->dir, bucket, NULL);

  make_dir (dir);
  if (has_pool (op))
    fill (raw, pool_size (op), op_value_size (op));
  else
    put_own_keys (self, op, dir, clients);
}

static void
files_prepare (Subject *base, Op op, guint clients)
{
  Files *self = (Files *)base;
  const char *permanent = permanent_bucket (op);

  if (self->null)
    return;
  g_free (self->bucket[op]);
  self->bucket[op]
      = permanent != NULL ? g_strdup (permanent) : g_strdup_printf ("b%u", ++self->serial);
  if (permanent != NULL)
    make_permanent (self, op, permanent);
  else
    make_bucket (self, op, self->bucket[op], clients);
}

static void
files_clean (Subject *base, Op op)
{
  Files *self = (Files *)base;
  g_autofree char *raw = NULL;
  DIR *dir;

  if (self->null || permanent_bucket (op) != NULL)
    return;
  raw = g_build_filename (self->raw, self->bucket[op], NULL);
  dir = opendir (raw);
  for (struct dirent *entry; dir != NULL && (entry = readdir (dir)) != NULL;)
    (void)unlinkat (dirfd (dir), entry->d_name, 0);
  if (dir != NULL)
    (void)closedir (dir);
  (void)rmdir (raw);
}

/* ---- a client ---- */

static void
share_pool (Client *client, guint clients)
{
  const guint share = pool_size (client->op) / clients;

  client->next = client->number * share;
  client->end = client->next + share;
}

static Client *
files_connect (Subject *base, Op op, guint number, guint clients)
{
  Files *self = (Files *)base;
  Client *client = g_new0 (Client, 1);
  g_autofree char *dir = NULL;

  *client = (Client){ .subject = self, .op = op, .size = op_value_size (op), .number = number };
  client->buffer = g_malloc0 (client->size + 1);
  g_snprintf (client->name, sizeof client->name, "c%u", number);
  g_snprintf (client->other, sizeof client->other, "d%u", number);
  g_snprintf (client->scratch, sizeof client->scratch, ".tmp_%u", number);
  if (has_pool (op))
    share_pool (client, clients);
  dir = g_build_filename (self->dir, self->bucket[op],
                          NULL); /* without a bucket, where nullfs is mounted */
  if (chdir (dir) < 0)
    fail ("chdir %s: %s", dir, g_strerror (errno));
  if (op == OP_ROUND_TRIP && (client->fd = open ("file", O_RDONLY | O_CLOEXEC)) < 0)
    fail ("%s/file: %s", dir, g_strerror (errno));
  return client;
}

static gboolean
files_ready (Client *client)
{
  switch (client->op)
    {
    case OP_STAT_COLD:
    case OP_GET_FIRST:
    case OP_GET_4M_FIRST:
      g_snprintf (client->name, sizeof client->name, "k%06u", client->next);
      return client->next++ < client->end;
    case OP_PUT_NEW:
      g_snprintf (client->name, sizeof client->name, "n%ux%u", client->number, client->next++);
      return TRUE;
    case OP_UNLINK:
      g_snprintf (client->name, sizeof client->name, "n%ux%u", client->number, client->next++);
      put (client, client->name);
      return TRUE;
    case OP_APPEND:
      if (client->step++ % APPENDS == 0)
        put (client, client->name);
      return TRUE;
    default:
      return TRUE;
    }
}

static void
append (const Client *client)
{
  write_file (client->name, O_APPEND, client->size);
}

static void
rename_there_or_back (Client *client)
{
  const gboolean back = client->step++ % 2 == 1;

  move (back ? client->other : client->name, back ? client->name : client->other);
}

static void
files_run (Client *client)
{
  char *const ls[] = { "ls", "-l", NULL };
  char *const cat[] = { "sh", "-c", "exec cat -- *", NULL };
  const Subject *subject = &client->subject->base;
  struct stat st;

  switch (client->op)
    {
    case OP_ROUND_TRIP:
      if (fstat (client->fd, &st) < 0)
        fail ("fstat: %s", g_strerror (errno));
      break;
    case OP_STAT_HOT:
    case OP_STAT_COLD:
      stat_one (client->name);
      break;
    case OP_GET_HOT:
    case OP_GET_FIRST:
    case OP_GET_1K:
    case OP_GET_64K:
    case OP_GET_4M:
    case OP_GET_4M_FIRST:
      get (client, client->name);
      break;
    case OP_PUT_NEW:
    case OP_PUT_OVER:
      put (client, client->name);
      break;
    case OP_APPEND:
      append (client);
      break;
    case OP_TOUCH:
      touch (client->name);
      break;
    case OP_RENAME:
      rename_there_or_back (client);
      break;
    case OP_UNLINK:
      remove_one (client->name);
      break;
    case OP_LIST:
    case OP_LIST_STAT:
      list (subject->list, client->op == OP_LIST_STAT);
      break;
    case OP_LS_L:
      run_program (ls);
      break;
    case OP_CAT_ALL:
      run_program (cat);
      break;
    case OP_COUNT:
      break;
    }
}

static void
files_disconnect (Client *client)
{
  g_free (client->buffer);
  g_free (client);
}

static gboolean
files_can (const Subject *base, Op op)
{
  if (((const Files *)base)->null)
    return op == OP_ROUND_TRIP || op == OP_GET_HOT || op == OP_PUT_OVER;
  return op != OP_ROUND_TRIP;
}

static void
files_free (Subject *base)
{
  Files *self = (Files *)base;

  for (guint i = 0; i < OP_COUNT; i++)
    g_free (self->bucket[i]);
  g_free (self->dir);
  g_free (self->raw);
  g_free (self);
}

static const SubjectClass files_class = {
  .can = files_can,
  .prepare = files_prepare,
  .clean = files_clean,
  .connect = files_connect,
  .ready = files_ready,
  .run = files_run,
  .disconnect = files_disconnect,
  .free = files_free,
};

Subject *
subject_files_new (const char *kind, char **parameters)
{
  const char *dir = subject_parameter (parameters, "dir");
  const char *raw = subject_parameter (parameters, "raw");
  Files *self;

  if (dir == NULL)
    fail ("%s: where is it?", kind);
  self = g_new0 (Files, 1);
  self->base.class = &files_class;
  self->dir = g_strdup (dir);
  self->raw = g_strdup (raw != NULL ? raw : dir);
  self->by_rename = g_str_equal (kind, "directory");
  self->null = g_str_equal (kind, "nullfs");
  return &self->base;
}
