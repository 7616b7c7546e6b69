/* What an O_EXCL open leaves in the backing directory until it is published is ttlfs's own: no other
 * mount takes it for something foreign. */
#include "mount.h"

#define RACERS 8
#define ROUNDS 30

TestSuite (claims, .init = mount_setup, .fini = mount_teardown, .timeout = 120);

static void
assert_not_reported (int number)
{
  const char *log = mount_log (mount_number (number));

  cr_assert (strstr (log, "left alone") == NULL, "mount %d reports:\n%s", number, log);
}

/* 0: won, 1: lost, 2: failure. */
static int
claim (const void *path)
{
  int fd = open (path, O_WRONLY | O_CREAT | O_EXCL, 0666);

  if (fd < 0)
    return errno == EEXIST ? 1 : 2;
  sleep_ms (3); /* for the others to look */
  return write_all (fd, "winner") < 0 || close (fd) < 0 ? 2 : 0;
}

static void
race_for (const char *name)
{
  pid_t pids[RACERS];
  int winners = 0;

  for (int i = 0; i < RACERS; i++)
    pids[i] = start_child (ANY_USER, claim, i % 2 == 0 ? at (name) : at2 (name));
  listing (at ("."));
  listing (at2 ("."));
  for (int i = 0; i < RACERS; i++)
    {
      int result = wait_for (pids[i]);

      cr_assert (result <= 1, "racer %d failed", i);
      winners += result == 0;
    }
  cr_assert_eq (winners, 1);
}

Test (claims, that_are_raced_for_on_two_mounts_are_not_reported)
{
  mount_start ("ttl=1h");
  for (int i = 0; i < ROUNDS; i++)
    race_for (text (i % 2 == 0 ? "k%d" : "k-%d", i)); /* the claim is called so, or encoded */
  sleep_ms (100);                                     /* until the last change has been noticed */
  assert_not_reported (1);
  assert_not_reported (2);
}

Test (claims, found_at_start_are_not_reported)
{
  int fd = open (at ("k"), O_WRONLY | O_CREAT | O_EXCL, 0666);

  assert_ok (fd);
  mount_start ("ttl=1h");
  assert_absent (at2 ("k"));
  cr_assert_str_eq (listing (at2 (".")), "");
  assert_ok (put (at2 ("other"), "value"));
  sleep_ms (100);
  assert_not_reported (2);
  assert_ok (write_all (fd, "value"));
  assert_ok (close (fd));
  assert_eventually (1000, g_strcmp0 (witness_get (at2 ("k")), "value") == 0);
  assert_not_reported (1);
  assert_not_reported (2);
}

/* The report is there for what is foreign, so that the tests above prove something. */
Test (claims, are_not_what_is_foreign)
{
  assert_ok (put (raw ("a.json"), "foreign"));
  listing (at ("."));
  assert_eventually (2000, strstr (mount_log (mount_number (1)), "left alone") != NULL);
}
