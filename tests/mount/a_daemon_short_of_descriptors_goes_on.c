/* A daemon that may not open another file says so: nothing is absent by it, nothing is lost, and it goes on afterwards. */
#include "mount.h"

#include <sys/resource.h>

#define LIMIT 64
#define READERS 200

static void
mount_with_few (void)
{
  const struct rlimit few = { LIMIT, LIMIT };
  struct rlimit old;

  mount_prepare ();
  assert_ok (getrlimit (RLIMIT_NOFILE, &old));
  assert_ok (setrlimit (RLIMIT_NOFILE, &few));
  mount_start ("ttl=1h");
  (void)setrlimit (RLIMIT_NOFILE, &old); /* of the daemon alone, where that is allowed */
}

TestSuite (few_descriptors, .init = mount_with_few, .fini = mount_teardown, .timeout = 120);

static gboolean
is_shortage (int err)
{
  return err == EMFILE || err == ENFILE;
}

/* Opens the key until the daemon can no more: how often it went well. */
static int
open_all (int *fds)
{
  int n = 0;

  while (n < READERS && (fds[n] = open (at ("k"), O_RDONLY | O_CLOEXEC)) >= 0)
    n++;
  cr_assert_lt (n, READERS, "the limit was never met");
  cr_assert (is_shortage (errno), "told %s", g_strerror (errno));
  return n;
}

static void
close_all (const int *fds, int n)
{
  for (int i = 0; i < n; i++)
    assert_ok (close (fds[i]));
}

Test (few_descriptors, are_told_and_cost_nothing)
{
  int fds[READERS];
  char byte[4];

  assert_ok (put (at ("k"), "value"));
  assert_ok (mkdir (at ("b"), 0777));
  assert_ok (put (at ("b/k"), "value"));
  for (int round = 0; round < 3; round++)
    {
      int n = open_all (fds);

      cr_expect_gt (n, LIMIT / 4);
      cr_expect (stat_of (at ("k"), NULL) == 0 || is_shortage (errno), "stat: %s",
                 g_strerror (errno));
      cr_expect (stat_of (at ("b/k"), NULL) == 0 || is_shortage (errno), "stat: %s",
                 g_strerror (errno));
      cr_expect (put (at ("k"), "value") == 0 || is_shortage (errno), "put: %s",
                 g_strerror (errno));
      cr_expect (put (at ("new"), "value") == 0 || is_shortage (errno), "put: %s",
                 g_strerror (errno));
      cr_expect_eq (pread (fds[0], byte, sizeof byte, 0), (ssize_t)sizeof byte);
      close_all (fds, n);
      assert_eventually (2000, put (at ("k"), "value") == 0);
      assert_value (at ("k"), "value");
      assert_value (at ("b/k"), "value");
    }
}

Test (few_descriptors, keep_no_lease_from_ending_nor_end_one)
{
  int fds[READERS], n;

  assert_ok (set_xattr (at ("."), "user.ttlfs.ttl", "1s"));
  assert_ok (put (at ("k"), "value"));
  assert_ok (put (at ("l"), "value"));
  assert_ok (set_xattr (at ("l"), "user.ttlfs.ttl", "1h"));
  n = open_all (fds);
  sleep_ms (1500);
  cr_expect (stat_of (at ("k"), NULL) < 0);
  cr_expect (stat_of (at ("l"), NULL) == 0 || is_shortage (errno), "stat: %s", g_strerror (errno));
  close_all (fds, n);
  assert_eventually (5000, !exists (raw ("k")));
  assert_value (at ("l"), "value");
}
