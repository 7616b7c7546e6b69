/* Open, lock, read, write: whoever gets the lock reads what the last one wrote, as on any other file
 * system, although the key was opened before that. */
#include "mount.h"

#include <stdlib.h>
#include <sys/file.h>

#define PROCESSES 16
#define TIMES 50
#define DIGITS 6

TestSuite (under_a_lock, .init = mount_setup, .fini = mount_teardown, .timeout = 300);

typedef enum
{
  BY_FLOCK,
  BY_FCNTL, /* of the process */
  BY_OFD,   /* fcntl() of the description */
} Kind;

typedef struct
{
  const char *path;
  Kind kind;
  gboolean unlocks;    /* else it is the close that does */
  gboolean keeps_open; /* one descriptor for all times */
} Counter;

static int
lock (const Counter *self, int fd, gboolean on)
{
  struct flock range = { .l_type = on ? F_WRLCK : F_UNLCK, .l_whence = SEEK_SET };

  if (self->kind == BY_FLOCK)
    return flock (fd, on ? LOCK_EX : LOCK_UN);
  return fcntl (fd, self->kind == BY_OFD ? F_OFD_SETLKW : F_SETLKW, &range);
}

static int
increment (int fd)
{
  char digits[DIGITS + 1] = { 0 };

  if (pread (fd, digits, DIGITS, 0) != DIGITS)
    return -1;
  g_snprintf (digits, sizeof digits, "%0*d", DIGITS, atoi (digits) + 1);
  return pwrite (fd, digits, DIGITS, 0) == DIGITS ? 0 : -1;
}

/* 0 or an errno. */
static int
count (const void *data)
{
  const Counter *self = data;
  int fd = -1;

  for (int i = 0; i < TIMES; i++)
    {
      if (fd < 0)
        fd = open (self->path, O_RDWR);
      if (fd < 0 || lock (self, fd, TRUE) < 0 || increment (fd) < 0)
        return errno;
      if (self->unlocks && lock (self, fd, FALSE) < 0)
        return errno;
      if (self->keeps_open)
        continue;
      if (close (fd) < 0)
        return errno;
      fd = -1;
    }
  return 0;
}

static void
assert_counts (Counter counter)
{
  pid_t pids[PROCESSES];

  counter.path = at ("counter");
  assert_ok (put (counter.path, "000000"));
  for (int i = 0; i < PROCESSES; i++)
    pids[i] = start_child (ANY_USER, count, &counter);
  for (int i = 0; i < PROCESSES; i++)
    {
      int status = wait_for (pids[i]);

      cr_assert_eq (status, 0, "%s", g_strerror (status));
    }
  assert_eventually (
      2000, g_strcmp0 (witness_get (counter.path), text ("%0*d", DIGITS, PROCESSES * TIMES)) == 0);
  assert_witnessed (counter.path, text ("%0*d", DIGITS, PROCESSES * TIMES));
}

Test (under_a_lock, of_flock_that_is_unlocked_nothing_is_lost)
{
  assert_counts ((Counter){ .kind = BY_FLOCK, .unlocks = TRUE });
}

Test (under_a_lock, of_flock_that_is_closed_nothing_is_lost)
{
  assert_counts ((Counter){ .kind = BY_FLOCK });
}

Test (under_a_lock, of_flock_on_one_descriptor_nothing_is_lost)
{
  assert_counts ((Counter){ .kind = BY_FLOCK, .unlocks = TRUE, .keeps_open = TRUE });
}

Test (under_a_lock, of_fcntl_that_is_unlocked_nothing_is_lost)
{
  assert_counts ((Counter){ .kind = BY_FCNTL, .unlocks = TRUE });
}

Test (under_a_lock, of_fcntl_that_is_closed_nothing_is_lost)
{
  assert_counts ((Counter){ .kind = BY_FCNTL });
}

Test (under_a_lock, of_fcntl_on_one_descriptor_nothing_is_lost)
{
  assert_counts ((Counter){ .kind = BY_FCNTL, .unlocks = TRUE, .keeps_open = TRUE });
}

Test (under_a_lock, of_a_description_nothing_is_lost)
{
  assert_counts ((Counter){ .kind = BY_OFD, .unlocks = TRUE });
  assert_counts ((Counter){ .kind = BY_OFD });
}

Test (under_a_lock, in_a_shell_nothing_is_lost)
{
  pid_t pids[4];

  need ("flock");
  assert_ok (put (at ("counter"), "0"));
  for (int i = 0; i < 4; i++)
    pids[i] = spawn_bash ("for i in $(seq 25); do (exec 9<>lock; flock 9; n=$(cat counter); "
                          "echo $((n + 1)) > counter) || exit 1; done");
  for (int i = 0; i < 4; i++)
    cr_assert_eq (wait_for (pids[i]), 0);
  assert_witnessed (at ("counter"), "100\n");
}

/* A key that two have created goes on, for the second to get the lock, from what the first has put. */
/* flock(1) is a child of the shell, as is who wrote. */
Test (under_a_lock, what_children_wrote_is_there_when_a_child_gives_it_up)
{
  need ("flock");
  assert_shells ("exec 9<>k; flock 9; /bin/echo something >&9; flock -u 9; "
                 "test \"$(cat $BACKING/k)\" = something || exit 1; exec 9>&-; rm k");
}

Test (under_a_lock, what_was_written_is_there_when_others_may_read_it)
{
  const struct flock shared = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
  const Counter by_fcntl = { .kind = BY_FCNTL };
  int fd = open (at ("k"), O_RDWR | O_CREAT | O_CLOEXEC, 0666);

  assert_ok (fd);
  assert_ok (flock (fd, LOCK_EX));
  assert_ok (write_all (fd, "one"));
  assert_ok (flock (fd, LOCK_SH));
  assert_witnessed (at ("k"), "one");
  assert_ok (lock (&by_fcntl, fd, TRUE));
  assert_ok (write_all (fd, "two"));
  assert_witnessed (at ("k"), "one");
  assert_ok (fcntl (fd, F_SETLK, &shared));
  assert_witnessed (at ("k"), "onetwo");
  close (fd);
}

Test (under_a_lock, what_others_put_is_seen_by_who_created_the_key)
{
  assert_bash ("cd $MNT; bash -c 'exec 8<>n; sleep 0.4; flock 8; read x <&8; test \"$x\" = 1; echo "
               "$? > seen' &\n"
               "bash -c 'exec 9<>n; sleep 0.1; flock 9; echo 1 >&9; flock -u 9; sleep 0.5'; wait\n"
               "test \"$(cat seen)\" = 0 && test \"$(cat n)\" = 1");
}
