/* Whatever is done to one key at the same time, none of it fails: that versions come and go behind
 * a name is nobody's trouble. */
#include "mount.h"

#define OLD_DESCRIPTORS 20

TestSuite (nobody, .init = mount_setup, .fini = mount_teardown, .timeout = 120);

typedef struct
{
  const char *path;
  gint64 until_ns;
  gboolean removed; /* somebody removes the key now and then */
} Work;

/* Every body returns 0 or the errno that nobody should meet. */
static gboolean
is_fine (const Work *self, int result)
{
  return result >= 0 || (self->removed && errno == ENOENT);
}

static int
puts_values (const void *data)
{
  const Work *self = data;

  while (now_ns () < self->until_ns)
    if (put (self->path, "a value") < 0)
      return errno;
  return 0;
}

static int
appends (const void *data)
{
  const Work *self = data;

  while (now_ns () < self->until_ns)
    if (put_with (self->path, O_CREAT | O_APPEND, "+") < 0)
      return errno;
  return 0;
}

static int
changes (const void *data)
{
  const Work *self = data;

  while (now_ns () < self->until_ns)
    {
      int fd = open (self->path, O_RDWR | O_CREAT, 0666);
      char byte;

      if (fd < 0 || read (fd, &byte, 1) < 0 || write_all (fd, "x") < 0 || fsync (fd) < 0
          || write_all (fd, "y") < 0 || close (fd) < 0)
        return errno;
    }
  return 0;
}

static int
truncates (const void *data)
{
  const Work *self = data;

  while (now_ns () < self->until_ns)
    {
      int fd;

      if (!is_fine (self, truncate (self->path, 3)))
        return errno;
      fd = open (self->path, O_WRONLY | O_TRUNC);
      if (!is_fine (self, fd))
        return errno;
      if (fd >= 0 && (ftruncate (fd, 1) < 0 || close (fd) < 0))
        return errno;
    }
  return 0;
}

static int
gets_values (const void *data)
{
  const Work *self = data;

  while (now_ns () < self->until_ns)
    {
      gsize len;
      g_autofree char *value = get_bytes (self->path, &len);

      if (value == NULL && !is_fine (self, -1))
        return errno;
    }
  return 0;
}

/* Keeps its last descriptors and goes on reading them. */
static int
keeps_old_descriptors (const void *data)
{
  const Work *self = data;
  int fds[OLD_DESCRIPTORS];
  char bytes[256];
  struct stat st;

  for (int i = 0; i < OLD_DESCRIPTORS; i++)
    fds[i] = -1;
  for (int i = 0; now_ns () < self->until_ns; i = (i + 1) % OLD_DESCRIPTORS)
    {
      if (fds[i] >= 0
          && (fstat (fds[i], &st) < 0 || pread (fds[i], bytes, sizeof bytes, 0) < 0
              || close (fds[i]) < 0))
        return errno;
      fds[i] = open (self->path, O_RDONLY);
      if (!is_fine (self, fds[i]))
        return errno;
      if (fds[i] >= 0 && (read (fds[i], bytes, sizeof bytes) < 0 || fstat (fds[i], &st) < 0))
        return errno;
    }
  return 0;
}

static int
stats (const void *data)
{
  const Work *self = data;

  while (now_ns () < self->until_ns)
    if (!is_fine (self, stat_of (self->path, NULL)) || !is_fine (self, access (self->path, R_OK)))
      return errno;
  return 0;
}

static int
touches (const void *data)
{
  const Work *self = data;

  while (now_ns () < self->until_ns)
    if (!is_fine (self, utimensat (AT_FDCWD, self->path, NULL, 0))
        || !is_fine (self, chmod (self->path, 0644)))
      return errno;
  return 0;
}

static int
removes (const void *data)
{
  const Work *self = data;

  while (now_ns () < self->until_ns)
    {
      if (!is_fine (self, unlink (self->path)))
        return errno;
      sleep_ms (1);
    }
  return 0;
}

static void
work_on_one_key (gboolean removed)
{
  static const struct
  {
    const char *what;
    int (*body) (const void *);
  } workers[] = {
    { "putting", puts_values },
    { "putting", puts_values },
    { "appending", appends },
    { "changing", changes },
    { "truncating", truncates },
    { "getting", gets_values },
    { "getting", gets_values },
    { "keeping old descriptors", keeps_old_descriptors },
    { "keeping old descriptors", keeps_old_descriptors },
    { "asking", stats },
    { "touching", touches },
    { "removing", removes },
  };
  const guint n = G_N_ELEMENTS (workers) - (removed ? 0 : 1);
  Work work = { .path = at ("k"), .until_ns = now_ns () + 4 * SECOND, .removed = removed };
  pid_t pids[G_N_ELEMENTS (workers)];

  assert_ok (put (at ("k"), "a value"));
  for (guint i = 0; i < n; i++)
    pids[i] = start_child (ANY_USER, workers[i].body, &work);
  for (guint i = 0; i < n; i++)
    {
      int status = wait_for (pids[i]);

      cr_expect_eq (status, 0, "%s: %s", workers[i].what, g_strerror (status));
    }
}

Test (nobody, meets_a_stale_handle) { work_on_one_key (FALSE); }

Test (nobody, meets_more_than_enoent_where_a_key_is_removed) { work_on_one_key (TRUE); }

/* A descriptor by O_PATH is no open description to a file system, and yet fstat() must not be sent back to a path. */
Test (nobody, meets_one_by_a_descriptor_of_a_place)
{
  struct stat st;
  int fd;

  assert_ok (put (at ("k"), "old"));
  assert_ok (stat (at ("k"), &st));
  fd = open (at ("k"), O_PATH | O_CLOEXEC);
  assert_ok (fd);
  assert_ok (put (raw (".tmp_x"), "newer"));
  assert_ok (rename (raw (".tmp_x"), raw ("k")));
  sleep_ms (50);
  assert_ok (fstat (fd, &st));
  cr_expect_eq (st.st_size, 3);
  assert_ok (stat (at ("k"), &st));
  cr_expect_eq (st.st_size, 5);
  assert_ok (utimensat (AT_FDCWD, text ("/proc/self/fd/%d", fd), NULL, 0));
  close (fd);
}
