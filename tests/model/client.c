#include "client.h"

#include "cleanup.h"
#include "times.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define GRANULARITY_NS \
  (10 * MS) /* of the time that the kernel gives a file by itself: a tick and some */
#define VALUE_MAX (1 << 19)
#define RETRIES 1000

typedef struct /* one step under way */
{
  const Client *client;
  const Step *step;
  OpDoor door;
  char dir[512];
  char path[544];
  char scratch[576];
} Work;

/* ---- recording ---- */

static const char *
how_name (const Work *work)
{
  static const char *const names[] = { [BY_CLOSE] = "close",          [BY_FSYNC] = "fsync",
                                       [BY_RENAME] = "rename",        [BY_LINK] = "link",
                                       [BY_NOREPLACE] = "noreplace",  [BY_NAME] = "name",
                                       [BY_DESCRIPTOR] = "descriptor" };

  return names[work->step->how];
}

static Op *
begin (const Work *work, OpVerb verb, int key)
{
  static const char *const doors[] = { [DOOR_A] = "A", [DOOR_B] = "B", [DOOR_RAW] = "raw" };
  const Client *client = work->client;
  Op *op = &client->record->ops[client->record->n_ops++];

  *op = (Op){ .verb = verb,
              .client = client->number,
              .key = key,
              .door = work->door,
              .place = client->plan->doors[client->number] };
  g_snprintf (op->how, sizeof op->how, "%s %s", doors[client->plan->doors[client->number]],
              how_name (work));
  op->invoked_ns = now_ns ();
  return op;
}

/* @res: what the system call returned, errno as it left it. */
static void
finish (Op *op, long res)
{
  int err = errno;

  op->returned_ns = now_ns ();
  if (res >= 0)
    op->result = OP_DONE;
  else if (err == ENOENT)
    op->result = OP_ABSENT;
  else if (err == ESTALE && op->verb == OP_REPLACE)
    op->result = OP_STALE;
  else if (err == EEXIST && (op->verb == OP_CLAIM || op->verb == OP_CREATE))
    op->result = OP_EXISTS;
  else
    {
      op->result = OP_WRONG;
      g_snprintf (op->error, sizeof op->error, "%s", g_strerror (err));
    }
}

static void
wrong (Op *op, const char *what)
{
  op->result = OP_WRONG;
  g_strlcpy (op->error, what, sizeof op->error);
}

/* A step that was none: what it would have moved had expired. */
static void
forget (const Work *work, const Op *op)
{
  g_assert (op == &work->client->record->ops[work->client->record->n_ops - 1]);
  work->client->record->n_ops--;
  work->client->record->moot++;
}

/* It gave the key a new mtime while it ran. */
static void
renewed (const Work *work, Op *op)
{
  op->mtime_from_ns = op->invoked_ns;
  op->mtime_to_ns = op->returned_ns;
  __atomic_store_n (&work->client->shared->renewed_ns[op->key], op->returned_ns, __ATOMIC_RELAXED);
}

/* ---- writing ---- */

static int
write_token (int fd, int token)
{
  g_autofree char *value = g_malloc (token_size (token));
  gsize len = token_size (token);
  ssize_t n;

  token_write (token, value);
  n = write (fd, value, len); /* in one piece: an append may be interleaved between two */
  if (n >= 0 && (gsize)n < len)
    {
      errno = ENOSPC;
      return -1;
    }
  return n < 0 ? -1 : 0;
}

static void
pause_for (gint64 ns)
{
  if (ns > 0)
    sleep_until (now_ns () + ns);
}

/* Nothing is published before the close, so that is where the operation begins. */
static void
write_and_close (const Work *work, OpVerb verb, int flags)
{
  ttl_autofd fd = open (work->path, O_WRONLY | O_CLOEXEC | flags, 0666);
  Op *op;
  int res = fd < 0 ? -1 : write_token (fd, work->step->token);
  int err = errno;

  if (res == 0)
    pause_for (work->step->hold_ns);
  op = begin (work, verb, work->step->key);
  op->token = work->step->token;
  errno = err;
  if (res == 0 && work->step->how == BY_FSYNC)
    res = fsync (fd);
  if (res == 0)
    res = close (ttl_steal_fd (&fd));
  finish (op, res);
  if (op->result == OP_ABSENT)
    wrong (op, "ENOENT from a put");
  renewed (work, op);
}

/* The version that an open for writing starts from, which need not be the key's any more. FALSE when there is none, or when it
 * cannot be read; then @op tells. */
static gboolean
read_version (int fd, Op *op, char revision_out[64], ssize_t *len_out)
{
  static char value[VALUE_MAX];
  gsize len = 0;
  ssize_t n;

  while ((n = pread (fd, value + len, sizeof value - len, (off_t)len)) > 0)
    len += (gsize)n;
  op->n_tokens = n < 0 ? -1 : tokens_read (value, len, op->tokens);
  if (op->n_tokens <= 0)
    errno = EBADMSG; /* an empty or torn value */
  *len_out = op->n_tokens > 0 ? fgetxattr (fd, "user.ttlfs.revision", revision_out, 64) : -1;
  return *len_out > 0;
}

/* Nothing is decided before the close. What the key was, was read before. */
static void
replace_version (const Work *work)
{
  ttl_autofd fd = open (work->path, O_RDWR | O_CLOEXEC);
  char revision[64];
  ssize_t len;
  Op read = { 0 }, *op;
  int res = -1, err = errno;

  if (fd < 0 && err == ENOENT)
    return;
  if (fd >= 0 && read_version (fd, &read, revision, &len)
      && fsetxattr (fd, "user.ttlfs.if-match", revision, (gsize)len, 0) == 0
      && ftruncate (fd, 0) == 0)
    res = write_token (fd, work->step->token);
  err = errno;
  pause_for (work->step->hold_ns);
  op = begin (work, OP_REPLACE, work->step->key);
  op->token = work->step->token;
  op->n_tokens = read.n_tokens;
  memcpy (op->tokens, read.tokens, sizeof op->tokens);
  errno = err;
  if (res == 0)
    res = close (ttl_steal_fd (&fd));
  finish (op, res);
  if (op->result == OP_ABSENT)
    wrong (op, "ENOENT from a conditional put");
  renewed (work, op);
}

static void
create_exclusively (const Work *work)
{
  Op *op = begin (work, OP_CLAIM, work->step->key);
  ttl_autofd fd = open (work->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  int res, err;

  finish (op, fd);
  if (fd < 0)
    {
      if (op->result == OP_ABSENT)
        wrong (op, "ENOENT from O_CREAT");
      return;
    }
  res = write_token (fd, work->step->token);
  err = errno;
  pause_for (work->step->hold_ns);
  op = begin (work, OP_PUBLISH, work->step->key);
  op->token = work->step->token;
  errno = err;
  if (res == 0)
    res = close (ttl_steal_fd (&fd));
  finish (op, res);
  renewed (work, op);
}

/* FALSE when it cannot be written; then that is recorded. *@mtime_out is exact. */
static gboolean
write_scratch (const Work *work, OpVerb verb, gint64 *mtime_out)
{
  ttl_autofd fd = open (work->scratch, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  struct stat st;
  int err;
  Op *op;

  if (fd >= 0 && write_token (fd, work->step->token) == 0 && fstat (fd, &st) == 0
      && close (ttl_steal_fd (&fd)) == 0)
    {
      *mtime_out = st.st_mtim.tv_sec * SECOND + st.st_mtim.tv_nsec;
      return TRUE;
    }
  err = errno;
  op = begin (work, verb, work->step->key);
  wrong (op, "scratch: ");
  g_strlcat (op->error, g_strerror (err), sizeof op->error);
  op->returned_ns = now_ns ();
  return FALSE;
}

static int
give_name (const Work *work)
{
  switch (work->step->how)
    {
    case BY_LINK:
      return link (work->scratch, work->path);
    case BY_NOREPLACE:
      return renameat2 (AT_FDCWD, work->scratch, AT_FDCWD, work->path, RENAME_NOREPLACE);
    default:
      return rename (work->scratch, work->path);
    }
}

static void
name_scratch (const Work *work)
{
  gint64 mtime;
  Op *op;

  if (!write_scratch (work, work->step->verb, &mtime))
    return;
  op = begin (work, work->step->verb, work->step->key);
  op->token = work->step->token;
  finish (op, give_name (work));
  if (op->result == OP_ABSENT && work->client->plan->ttl_ns == HISTORY_INF)
    wrong (op, "its scratch is missing");
  else if (op->result == OP_ABSENT)
    forget (work, op);
  else
    renewed (work, op);
  if (work->door
      == OP_RAW) /* a mount renews what becomes a key; a rename in the backing directory does not */
    op->mtime_from_ns = op->mtime_to_ns = mtime;
  unlink (work->scratch);
}

/* ---- the rest ---- */

static void
delete_key (const Work *work)
{
  Op *op = begin (work, OP_DELETE, work->step->key);

  finish (op, unlink (work->path));
}

/* When the lease of what is open ends; 0 when that cannot be told. */
static gint64
deadline_of (const Work *work, int fd)
{
  const gint64 ttl_ns = work->client->plan->ttl_ns;
  struct stat st;

  if (fstat (fd, &st) < 0)
    return 0;
  return ttl_ns == HISTORY_INF ? G_MAXINT64
                               : st.st_mtim.tv_sec * SECOND + st.st_mtim.tv_nsec + ttl_ns;
}

static void
touch (const Work *work)
{
  Op *op = begin (work, OP_TOUCH, work->step->key);
  ttl_autofd fd = -1;
  gint64 deadline_ns;

  if (work->step->how == BY_NAME)
    {
      finish (op, utimensat (AT_FDCWD, work->path, NULL, 0));
      renewed (work, op);
      return;
    }
  /* A descriptor may be of a version that is no longer the key's, or whose lease ends under our hands: then who knows. */
  fd = open (work->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0 && errno == ELOOP)
    errno = ENOENT;
  if (fd < 0)
    {
      finish (op, fd);
      return;
    }
  deadline_ns = deadline_of (work, fd);
  finish (op, futimens (fd, NULL));
  if (op->result == OP_DONE)
    {
      struct stat mine, named;

      if (fstat (fd, &mine) < 0 || lstat (work->path, &named) < 0 || mine.st_ino != named.st_ino
          || work->door != OP_RAW || op->returned_ns >= deadline_ns)
        op->result = OP_UNSURE;
      op->returned_ns = now_ns ();
    }
  else if (work->door != OP_RAW)
    op->result = OP_UNSURE; /* ENOENT, ESTALE: it has expired since the open */
  renewed (work, op);
  op->mtime_from_ns -= work->door == OP_RAW ? GRANULARITY_NS : 0;
}

/* What a FileStore does: it looks at the lease itself. Again, when the name stands for another file by then. */
static int
open_raw (const Work *work, int *fd_out)
{
  for (int i = 0; i < RETRIES; i++)
    {
      ttl_autofd fd = open (work->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
      struct stat st, named;
      gint64 ttl_ns = work->client->plan->ttl_ns;

      if (fd < 0)
        {
          errno = errno == ELOOP ? ENOENT : errno;
          return -1;
        }
      if (fstat (fd, &st) < 0)
        return -1;
      if (ttl_ns == HISTORY_INF
          || now_ns () < st.st_mtim.tv_sec * SECOND + st.st_mtim.tv_nsec + ttl_ns)
        {
          *fd_out = ttl_steal_fd (&fd);
          return 0;
        }
      if (lstat (work->path, &named) < 0
          || (named.st_ino == st.st_ino && named.st_mtim.tv_sec == st.st_mtim.tv_sec
              && named.st_mtim.tv_nsec == st.st_mtim.tv_nsec))
        {
          errno = ENOENT;
          return -1;
        }
    }
  errno = EAGAIN;
  return -1;
}

static void
get (const Work *work)
{
  static char value[VALUE_MAX];
  Op *op = begin (work, OP_GET, work->step->key);
  ttl_autofd fd = -1;
  int res = 0;
  gsize len = 0;
  ssize_t n = 0;

  if (work->door == OP_RAW)
    res = open_raw (work, &fd);
  else
    res = fd = open (work->path, O_RDONLY | O_CLOEXEC);
  while (res >= 0 && (n = read (fd, value + len, sizeof value - len)) > 0)
    len += (gsize)n;
  finish (op, n < 0 ? -1 : res);
  if (op->result != OP_DONE)
    return;
  op->n_tokens = tokens_read (value, len, op->tokens);
  if (op->n_tokens <= 0)
    wrong (op, op->n_tokens == 0 ? "an empty value" : "a torn value");
}

static void
stat_key (const Work *work)
{
  Op *op = begin (work, OP_STAT, work->step->key);
  struct stat st;

  finish (op, lstat (work->path, &st));
  if (op->result != OP_DONE)
    return;
  op->size = st.st_size;
  op->mtime_from_ns = op->mtime_to_ns = st.st_mtim.tv_sec * SECOND + st.st_mtim.tv_nsec;
}

static void
list (const Work *work)
{
  int n_keys = work->client->plan->n_keys, found[HISTORY_KEYS_MAX] = { 0 };
  Op *first = begin (work, OP_LIST, 0);
  g_autoptr (DIR) dir = opendir (work->dir);
  struct dirent *item;

  errno = dir == NULL ? EIO : 0;
  while (dir != NULL && (errno = 0, item = readdir (dir)) != NULL)
    for (int key = 0; key < n_keys; key++)
      if (item->d_name[0] == 'k' && item->d_name[1] == '0' + key)
        found[key]++;
  finish (first, errno != 0 ? -1 : 0);
  for (int key = 0; key < n_keys; key++)
    {
      Op *op = key == 0 ? first : begin (work, OP_LIST, key);

      op->invoked_ns = first->invoked_ns;
      op->returned_ns = first->returned_ns;
      if (found[key] > 1)
        wrong (op, "listed twice");
      else if (first->result != OP_WRONG || key > 0)
        op->result = found[key] == 1 ? OP_DONE : OP_ABSENT;
    }
}

static void
think (const Work *work)
{
  const Step *step = work->step;
  const gint64 ttl_ns = work->client->plan->ttl_ns;
  gint64 renewed_ns, now = now_ns ();

  if (step->think == THINK_TOGETHER)
    {
      sleep_until (now + MS - now % MS);
      return;
    }
  if (step->think != THINK_TILL_END)
    {
      pause_for (step->think_ns);
      return;
    }
  renewed_ns = __atomic_load_n (&work->client->shared->renewed_ns[step->key], __ATOMIC_RELAXED);
  if (renewed_ns + ttl_ns > now)
    sleep_until (renewed_ns + ttl_ns + step->think_ns);
}

static void
do_step (const Work *work)
{
  switch (work->step->verb)
    {
    case OP_PUT:
      if (work->step->how == BY_RENAME)
        name_scratch (work);
      else
        write_and_close (work, OP_PUT, O_CREAT | O_TRUNC);
      return;
    case OP_APPEND:
      write_and_close (work, OP_APPEND, O_CREAT | O_APPEND);
      return;
    case OP_CLAIM:
      create_exclusively (work);
      return;
    case OP_CREATE:
      name_scratch (work);
      return;
    case OP_REPLACE:
      replace_version (work);
      return;
    case OP_DELETE:
      delete_key (work);
      return;
    case OP_TOUCH:
      touch (work);
      return;
    case OP_GET:
      get (work);
      return;
    case OP_STAT:
      stat_key (work);
      return;
    case OP_LIST:
      list (work);
      return;
    case OP_PUBLISH:
      return;
    }
}

void
client_run (const Client *self)
{
  Door door = self->plan->doors[self->number];

  self->record->n_ops = self->record->moot = 0;
  for (int i = 0; i < PLAN_STEPS; i++)
    {
      const Step *step = &self->plan->steps[self->number][i];
      Work work
          = { .client = self, .step = step, .door = door == DOOR_RAW ? OP_RAW : OP_ANY_MOUNT };

      g_strlcpy (work.dir, door == DOOR_RAW ? self->backing : self->mounts[door], sizeof work.dir);
      g_snprintf (work.path, sizeof work.path, "%s/k%d", work.dir, step->key);
      g_snprintf (work.scratch, sizeof work.scratch, "%s/.tmp_%016x", work.dir,
                  (guint)self->number << 16 | (guint)i);
      g_snprintf (self->record->doing, sizeof self->record->doing, "step %d, %s of k%d", i,
                  how_name (&work), step->key);
      think (&work);
      do_step (&work);
    }
  g_strlcpy (self->record->doing, "nothing", sizeof self->record->doing);
}
