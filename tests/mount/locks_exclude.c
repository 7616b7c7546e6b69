/* flock and fcntl locks exclude others on the same key, also while both have it open for
 * writing. */
#include "mount.h"

#include <sys/file.h>

TestSuite (a_lock, .init = mount_setup, .fini = mount_teardown, .timeout = 60);

typedef struct
{
  const char *path;
  int flags;
} Try;

/* 0: locked, 1: somebody else has it, 2: failure. */
static int
try_flock (const void *data)
{
  const Try *self = data;
  int fd = open (self->path, self->flags, 0666);

  if (fd < 0)
    return 2;
  if (flock (fd, LOCK_EX | LOCK_NB) < 0)
    return errno == EWOULDBLOCK ? 1 : 2;
  return 0;
}

static int
try_fcntl (const void *data)
{
  const Try *self = data;
  struct flock lock = { .l_type = (self->flags & O_ACCMODE) == O_RDONLY ? F_RDLCK : F_WRLCK,
                        .l_whence = SEEK_SET };
  int fd = open (self->path, self->flags, 0666);

  if (fd < 0)
    return 2;
  if (fcntl (fd, F_SETLK, &lock) < 0)
    return errno == EAGAIN || errno == EACCES ? 1 : 2;
  return 0;
}

static void
assert_flock_excludes (int mine, int theirs)
{
  Try their = { at ("lock"), theirs };
  int fd = open (at ("lock"), mine, 0666);

  assert_ok (fd);
  assert_ok (flock (fd, LOCK_EX | LOCK_NB));
  cr_assert_eq (in_child (ANY_USER, try_flock, &their), 1, "two processes hold the lock");
  assert_ok (flock (fd, LOCK_UN));
  cr_assert_eq (in_child (ANY_USER, try_flock, &their), 0, "the lock is not given back");
  assert_ok (flock (fd, LOCK_EX | LOCK_NB));
  assert_ok (close (fd));
  assert_eventually (1000, in_child (ANY_USER, try_flock, &their) == 0);
}

Test (a_lock, by_flock_excludes_readers_of_an_old_key)
{
  assert_ok (put (at ("lock"), ""));
  assert_flock_excludes (O_RDONLY, O_RDONLY);
}

Test (a_lock, by_flock_excludes_writers_of_an_old_key)
{
  assert_ok (put (at ("lock"), ""));
  assert_flock_excludes (O_WRONLY, O_WRONLY);
  assert_flock_excludes (O_RDWR, O_RDONLY);
  assert_flock_excludes (O_RDONLY, O_RDWR);
}

Test (a_lock, by_flock_excludes_truncating_writers)
{
  assert_ok (put (at ("lock"), "value"));
  assert_flock_excludes (O_WRONLY | O_TRUNC, O_WRONLY | O_TRUNC);
}

Test (a_lock, by_flock_excludes_makers_of_a_new_key)
{
  assert_flock_excludes (O_WRONLY | O_CREAT, O_WRONLY | O_CREAT);
}

Test (a_lock, by_flock_stays_with_the_key_over_a_put)
{
  Try their = { at ("lock"), O_RDONLY };
  int fd;

  assert_ok (put (at ("lock"), "one"));
  fd = open (at ("lock"), O_RDWR);
  assert_ok (fd);
  assert_ok (flock (fd, LOCK_EX));
  assert_ok (write_all (fd, "two"));
  assert_ok (fsync (fd));
  cr_assert_eq (in_child (ANY_USER, try_flock, &their), 1);
  assert_ok (close (fd));
}

Test (a_lock, by_flock_can_be_shared)
{
  int first, second;

  assert_ok (put (at ("lock"), ""));
  first = open (at ("lock"), O_RDONLY);
  second = open (at ("lock"), O_RDONLY);
  assert_ok (flock (first, LOCK_SH | LOCK_NB));
  assert_ok (flock (second, LOCK_SH | LOCK_NB));
  assert_errno (flock (first, LOCK_EX | LOCK_NB), EWOULDBLOCK);
  assert_ok (close (second));
  assert_eventually (1000, flock (first, LOCK_EX | LOCK_NB) == 0);
  assert_ok (close (first));
}

static void
assert_fcntl_excludes (int mine, int theirs)
{
  struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
  Try their = { at ("lock"), theirs };
  int fd = open (at ("lock"), mine, 0666);

  assert_ok (fd);
  assert_ok (fcntl (fd, F_SETLK, &lock));
  cr_assert_eq (in_child (ANY_USER, try_fcntl, &their), 1, "two processes hold the lock");
  lock.l_type = F_UNLCK;
  assert_ok (fcntl (fd, F_SETLK, &lock));
  cr_assert_eq (in_child (ANY_USER, try_fcntl, &their), 0, "the lock is not given back");
  assert_ok (close (fd));
}

Test (a_lock, by_fcntl_excludes_readers_and_writers_of_an_old_key)
{
  assert_ok (put (at ("lock"), ""));
  assert_fcntl_excludes (O_RDWR, O_RDWR);
  assert_fcntl_excludes (O_RDWR, O_RDONLY);
  assert_fcntl_excludes (O_WRONLY, O_WRONLY);
}

Test (a_lock, by_fcntl_excludes_makers_of_a_new_key)
{
  assert_fcntl_excludes (O_RDWR | O_CREAT, O_RDWR | O_CREAT);
}

Test (a_lock, by_fcntl_covers_ranges)
{
  struct flock mine = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 10 };
  struct flock other = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 10 };
  int first, second;

  assert_ok (put (at ("lock"), "01234567890123456789"));
  first = open (at ("lock"), O_RDWR);
  second = open (at ("lock"), O_RDWR);
  assert_ok (fcntl (first, F_OFD_SETLK, &mine));
  assert_ok (fcntl (second, F_OFD_SETLK, &other));
  mine.l_pid = 0;
  assert_errno (fcntl (second, F_OFD_SETLK, &mine), EAGAIN);
  assert_ok (close (second));
  assert_ok (close (first));
}

Test (a_lock, by_the_flock_command_counts_without_losing_any)
{
  pid_t pids[4];

  assert_ok (put (at ("count"), "0"));
  for (int i = 0; i < 4; i++)
    pids[i] = spawn_bash (
        "for i in $(seq 50); do (flock 9; n=$(cat count); echo $((n + 1)) > count) 9> lock; done");
  for (int i = 0; i < 4; i++)
    cr_assert_eq (wait_for (pids[i]), 0);
  assert_value (at ("count"), "200\n");
}
