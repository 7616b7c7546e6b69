/* link(2): a second key with the same value, and one winner. */
#include "mount.h"

TestSuite (link_, .init = mount_setup, .fini = mount_teardown, .timeout = 60);

Test (link_, makes_a_second_key)
{
  struct stat st;

  assert_ok (put (at ("a"), "value"));
  assert_ok (link (at ("a"), at ("b")));
  assert_witnessed (at ("a"), "value");
  assert_witnessed (at ("b"), "value");
  assert_ok (witness_stat (at ("b"), &st));
  cr_assert_eq (st.st_nlink, 2);
  assert_ok (unlink (at ("a")));
  assert_witnessed (at ("b"), "value");
  assert_ok (witness_stat (at ("b"), &st));
  cr_assert_eq (st.st_nlink, 1);
}

Test (link_, refuses_an_existing_key)
{
  assert_ok (put (at ("a"), "a"));
  assert_ok (put (at ("b"), "b"));
  assert_errno (link (at ("a"), at ("b")), EEXIST);
  assert_value (at ("b"), "b");
}

Test (link_, refuses_what_a_raw_peer_has_put)
{
  assert_ok (put (at ("a"), "a"));
  assert_absent (at ("b"));
  assert_ok (put_raw (raw ("b"), "peer"));
  assert_errno (link (at ("a"), at ("b")), EEXIST);
}

Test (link_, refuses_a_name_claimed_by_o_excl)
{
  int fd = open (at ("b"), O_WRONLY | O_CREAT | O_EXCL, 0666);

  assert_ok (fd);
  assert_ok (put (at ("a"), "a"));
  cr_assert_neq (bash ("ln a b").status, 0);
  assert_ok (close (fd));
  assert_witnessed (at ("b"), "");
}

Test (link_, across_buckets_works)
{
  assert_ok (mkdir (at ("x"), 0777));
  assert_ok (mkdir (at ("y"), 0777));
  assert_ok (put (at ("x/k"), "value"));
  assert_ok (link (at ("x/k"), at ("y/k")));
  assert_witnessed (at ("y/k"), "value");
}

Test (link_, of_a_bucket_is_refused)
{
  assert_ok (mkdir (at ("b"), 0777));
  assert_errno (link (at ("b"), at ("c")), EPERM);
}

Test (link_, of_a_missing_key_fails) { assert_errno (link (at ("a"), at ("b")), ENOENT); }

Test (link_, then_a_put_changes_one_of_them)
{
  assert_ok (put (at ("a"), "value"));
  assert_ok (link (at ("a"), at ("b")));
  assert_ok (put (at ("a"), "changed"));
  assert_witnessed (at ("a"), "changed");
  assert_witnessed (at ("b"), "value");
}

/* "Write .tmp_X, then link": how a FileStore creates what must not be there yet. */
Test (link_, of_scratch_makes_a_key)
{
  assert_ok (put (at (".tmp_1"), "value"));
  assert_hidden (at ("k"));
  assert_ok (link (at (".tmp_1"), at ("k")));
  assert_ok (unlink (at (".tmp_1")));
  assert_witnessed (at ("k"), "value");
  assert_ok (put (at (".tmp_2"), "second"));
  assert_errno (link (at (".tmp_2"), at ("k")), EEXIST);
  assert_ok (unlink (at (".tmp_2")));
  assert_witnessed (at ("k"), "value");
}

static int
link_from_own_scratch (const void *number)
{
  const char *scratch = at (text (".tmp_%d", *(const int *)number));

  if (put (scratch, text ("winner %d", *(const int *)number)) < 0)
    return 2;
  if (link (scratch, at ("k")) < 0)
    return errno == EEXIST ? 1 : 3;
  return 0;
}

Test (link_, has_one_winner_of_sixteen)
{
  int numbers[16], winner = -1;
  pid_t pids[16];

  for (int i = 0; i < 16; i++)
    {
      numbers[i] = i;
      pids[i] = start_child (ANY_USER, link_from_own_scratch, &numbers[i]);
    }
  for (int i = 0; i < 16; i++)
    {
      int result = wait_for (pids[i]);

      cr_assert (result <= 1, "process %d failed: %d", i, result);
      cr_assert (result == 1 || winner < 0, "both %d and %d won", winner, i);
      winner = result == 0 ? i : winner;
    }
  cr_assert (winner >= 0, "nobody won");
  assert_witnessed (at ("k"), text ("winner %d", winner));
}
