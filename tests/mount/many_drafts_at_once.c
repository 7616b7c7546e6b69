/* One process writes thousands of keys at once: none shows before its close, and each then holds what was written to it. */
#include "mount.h"

#include <sys/resource.h>

#define DRAFTS 5000
#define SPARE 500 /* descriptors for all else */

static int n_drafts;

/* The daemon raises its own limit as far as it may, and a draft takes it two descriptors at most. */
static void
mount_with_descriptors (void)
{
  struct rlimit limit;

  assert_ok (getrlimit (RLIMIT_NOFILE, &limit));
  if (geteuid () == 0 && limit.rlim_max < 2 * DRAFTS + SPARE)
    limit.rlim_max = 2 * DRAFTS + SPARE;
  n_drafts = (int)CLAMP ((limit.rlim_max - SPARE) / 2, 1, DRAFTS);
  assert_ok (setrlimit (RLIMIT_NOFILE, &limit)); /* the daemon begins with the soft one */
  mount_setup ();
  limit.rlim_cur = limit.rlim_max;
  assert_ok (setrlimit (RLIMIT_NOFILE, &limit));
}

TestSuite (many_drafts, .init = mount_with_descriptors, .fini = mount_teardown, .timeout = 300);

static const char *
dir_of (int i)
{
  return i % 2 ? "a" : "b";
}

static const char *
key (int i)
{
  return at (text ("%s/key%d", dir_of (i), i));
}

static void
open_all (int *fds)
{
  for (int i = 0; i < n_drafts; i++)
    {
      fds[i] = open (key (i), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
      cr_assert_geq (fds[i], 0, "draft %d: %s", i, g_strerror (errno));
      assert_ok (write_all (fds[i], text ("value of %d", i)));
    }
}

Test (many_drafts, are_each_published_by_their_own_close)
{
  g_autofree int *fds = g_new (int, DRAFTS);

  assert_ok (mkdir (at ("a"), 0777));
  assert_ok (mkdir (at ("b"), 0777));
  open_all (fds);
  cr_assert_eq (witness_stat (key (n_drafts / 2), NULL), -1);
  cr_assert_str_eq (listing (at ("a")), "");
  cr_assert_str_eq (listing (at ("b")), "");
  for (int i = n_drafts - 1; i >= 0; i--)
    assert_ok (close (fds[i]));
  cr_assert_eq (count_listed (at ("a")) + count_listed (at ("b")), (guint)n_drafts);
  for (int i = 0; i < n_drafts; i++)
    assert_value (raw (text ("%s/key%d", dir_of (i), i)), text ("value of %d", i));
  for (int i = 0; i < n_drafts; i += 100)
    assert_value (key (i), text ("value of %d", i));
  cr_assert_eq (count_scratch (backing_dir ()), 0);
}
