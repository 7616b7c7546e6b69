/* O_EXCL decides at the call, among all mounts of the root: one winner, and no placeholder for
 * others to see. */
#include "mount.h"

#define PROCESSES 16
#define ROUNDS 30

TestSuite (o_excl, .init = mount_setup, .fini = mount_teardown, .timeout = 120);

Test (o_excl, refuses_an_existing_key)
{
  assert_ok (put (at ("k"), "value"));
  assert_errno (open (at ("k"), O_WRONLY | O_CREAT | O_EXCL, 0666), EEXIST);
  assert_value (at ("k"), "value");
}

Test (o_excl, refuses_a_bucket)
{
  assert_ok (mkdir (at ("b"), 0777));
  assert_errno (open (at ("b"), O_WRONLY | O_CREAT | O_EXCL, 0666), EEXIST);
}

Test (o_excl, refuses_a_second_before_the_first_is_published)
{
  int fd = open (at ("k"), O_WRONLY | O_CREAT | O_EXCL, 0666);

  assert_ok (fd);
  assert_hidden (at ("k")); /* no empty placeholder */
  cr_assert_neq (bash ("set -C; echo loser > k").status, 0);
  assert_hidden (at ("k"));
  assert_ok (write_all (fd, "winner"));
  assert_hidden (at ("k"));
  cr_assert_neq (bash ("set -C; echo loser > k").status, 0);
  assert_ok (close (fd));
  assert_witnessed (at ("k"), "winner");
}

Test (o_excl, refuses_a_second_through_another_mount)
{
  int fd;

  mount_start ("ttl=1h");
  fd = open (at ("k"), O_WRONLY | O_CREAT | O_EXCL, 0666);
  assert_ok (fd);
  assert_errno (open (at2 ("k"), O_WRONLY | O_CREAT | O_EXCL, 0666), EEXIST);
  assert_hidden (at2 ("k"));
  assert_ok (write_all (fd, "winner"));
  assert_ok (close (fd));
  assert_errno (open (at2 ("k"), O_WRONLY | O_CREAT | O_EXCL, 0666), EEXIST);
  assert_eventually (1000, g_strcmp0 (witness_get (at2 ("k")), "winner") == 0);
}

Test (o_excl, refuses_what_a_raw_peer_has_put)
{
  assert_absent (at ("k"));
  assert_ok (put_raw (raw ("k"), "peer"));
  assert_errno (open (at ("k"), O_WRONLY | O_CREAT | O_EXCL, 0666), EEXIST);
}

Test (o_excl, succeeds_again_after_unlink)
{
  for (int i = 0; i < 100; i++)
    {
      assert_ok (put_with (at ("k"), O_CREAT | O_EXCL, "value"));
      assert_errno (put_with (at ("k"), O_CREAT | O_EXCL, "value"), EEXIST);
      assert_ok (unlink (at ("k")));
    }
}

typedef struct
{
  int number;
  gint64 start_ns;
  const char *path;
} Racer;

/* 0: won, 1: lost, else a failure. */
static int
race (const void *data)
{
  const Racer *self = data;
  int fd;

  sleep_until (self->start_ns);
  fd = open (self->path, O_WRONLY | O_CREAT | O_EXCL, 0666);
  if (fd < 0)
    return errno == EEXIST ? 1 : 2;
  if (write_all (fd, text ("winner %d", self->number)) < 0 || close (fd) < 0)
    return 3;
  return 0;
}

Test (o_excl, has_one_winner_of_sixteen_processes_on_two_mounts)
{
  mount_start ("ttl=1h");
  for (int round = 0; round < ROUNDS; round++)
    {
      const char *name = text ("k%d", round);
      Racer racers[PROCESSES];
      pid_t pids[PROCESSES];
      int winner = -1;

      for (int i = 0; i < PROCESSES; i++)
        {
          racers[i] = (Racer){ .number = i,
                               .start_ns = now_ns () + 20 * MS,
                               .path = i % 2 == 0 ? at (name) : at2 (name) };
          if (i > 0)
            racers[i].start_ns = racers[0].start_ns;
          pids[i] = start_child (ANY_USER, race, &racers[i]);
        }
      for (int i = 0; i < PROCESSES; i++)
        {
          int result = wait_for (pids[i]);

          cr_assert (result <= 1, "process %d failed: %d", i, result);
          cr_assert (result == 1 || winner < 0, "both %d and %d won", winner, i);
          winner = result == 0 ? i : winner;
        }
      cr_assert (winner >= 0, "nobody won");
      assert_value (raw (name), text ("winner %d", winner));
      assert_eventually (1000, g_strcmp0 (get (at (name)), text ("winner %d", winner)) == 0);
      assert_eventually (1000, g_strcmp0 (get (at2 (name)), text ("winner %d", winner)) == 0);
    }
}
