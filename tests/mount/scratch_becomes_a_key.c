/* ".tmp_" files are the scratch of programs that write one and then rename or link it: reachable,
 * never shown. */
#include "mount.h"

TestSuite (scratch, .init = mount_setup, .fini = mount_teardown, .timeout = 60);

Test (scratch, is_reachable_by_its_exact_name_only)
{
  assert_ok (put (at (".tmp_17-a"), "scratch"));
  assert_value (at (".tmp_17-a"), "scratch");
  assert_ok (witness_stat (at (".tmp_17-a"), NULL));
  assert_value (raw (".tmp_17-a"), "scratch"); /* verbatim */
  cr_assert (!lists (at (".tmp_17-a")));
  cr_assert_str_eq (listing (at (".")), "");
  cr_assert_eq (count_files (backing_dir ()), 1);
}

Test (scratch, renamed_is_a_key)
{
  assert_ok (put (at (".tmp_0123456789abcdef"), "value"));
  assert_ok (rename (at (".tmp_0123456789abcdef"), at ("worker-1")));
  assert_witnessed (at ("worker-1"), "value");
  assert_value (raw ("worker%2D1"), "value");
  assert_errno (stat_of (at (".tmp_0123456789abcdef"), NULL), ENOENT);
  assert_ok (put (at (".tmp_0123456789abcdef"), "changed"));
  assert_ok (rename (at (".tmp_0123456789abcdef"), at ("worker-1")));
  assert_witnessed (at ("worker-1"), "changed");
  cr_assert_eq (count_files (backing_dir ()), 1);
}

Test (scratch, renamed_to_an_encoded_name_is_a_key)
{
  assert_ok (put (at (".tmp_1"), "value"));
  assert_ok (rename (at (".tmp_1"), at ("worker%2D1")));
  assert_witnessed (at ("worker-1"), "value");
}

Test (scratch, linked_is_a_key)
{
  assert_ok (put (at (".tmp_1"), "value"));
  assert_ok (link (at (".tmp_1"), at ("worker%2D1")));
  assert_witnessed (at ("worker-1"), "value");
  assert_ok (unlink (at (".tmp_1")));
  assert_witnessed (at ("worker-1"), "value");
  cr_assert_str_eq (listing (at (".")), "worker-1\n");
}

Test (scratch, of_a_raw_peer_is_reachable_too)
{
  assert_ok (put (raw (".tmp_9"), "peer"));
  assert_eventually (1000, exists (at (".tmp_9")));
  assert_value (at (".tmp_9"), "peer");
  assert_ok (rename (raw (".tmp_9"), raw ("k%2D9")));
  assert_eventually (1000, lists (at ("k-9")));
  assert_value (at ("k-9"), "peer");
}

Test (scratch, in_a_bucket_works_like_in_the_root)
{
  assert_ok (mkdir (at ("b"), 0777));
  assert_ok (put (at ("b/.tmp_1"), "value"));
  cr_assert_str_eq (listing (at ("b")), "");
  assert_ok (rename (at ("b/.tmp_1"), at ("b/k")));
  assert_witnessed (at ("b/k"), "value");
}

Test (scratch, is_removed_after_the_ttl)
{
  gint64 deadline;

  assert_ok (set_xattr (at ("."), "user.ttlfs.ttl", "1s"));
  assert_ok (put (at (".tmp_1"), "mine"));
  assert_ok (put (raw (".tmp_2"), "a peer's"));
  deadline = mtime_ns (raw (".tmp_2")) + SECOND;
  while (now_ns () < deadline)
    {
      cr_assert (exists (raw (".tmp_2")) || now_ns () >= deadline, "removed early");
      sleep_ms (5);
    }
  assert_eventually (500, count_files (backing_dir ()) == 0);
  assert_errno (stat_of (at (".tmp_1"), NULL), ENOENT);
}

Test (scratch, found_at_start_is_removed_after_the_ttl)
{
  mount_stop (mount_number (1));
  assert_ok (mkdir (raw ("b"), 0777));
  assert_ok (put (raw ("b/.tmp_old"), "left behind"));
  assert_ok (put (raw (".tmp_old"), "left behind"));
  mount_start ("ttl=500ms");
  assert_eventually (1500, count_files (backing_dir ()) == 0);
}

Test (scratch, does_not_keep_its_bucket)
{
  assert_ok (mkdir (at ("b"), 0777));
  assert_ok (set_xattr (at ("b"), "user.ttlfs.ttl", "200ms"));
  assert_ok (put (at ("b/.tmp_1"), "value"));
  sleep_ms (250);
  assert_ok (rmdir (at ("b")));
}

Test (scratch, works_from_the_shell)
{
  assert_shells ("echo v > .tmp_$$; mv .tmp_$$ k; test \"$(cat k)\" = v; rm -f l; echo w > "
                 ".tmp_$$; ln .tmp_$$ l; "
                 "rm .tmp_$$; test \"$(cat l)\" = w");
}

/* Its lease begins when it is there, not when somebody asked for it: the lock that it waits for was held for longer than that. */
Test (scratch, that_had_to_wait_has_its_whole_lease)
{
  need ("flock");
  assert_bash ("mkdir b; setfattr -n user.ttlfs.ttl -v 500ms b; cd b\n"
               "for how in 'mv .tmp_x k' 'ln .tmp_x k' 'mv -n .tmp_x k'; do\n"
               "  echo v > .tmp_x; setfattr -n user.ttlfs.ttl -v 1h .tmp_x\n"
               "  flock -x $BACKING/b sleep 1 & sleep 0.2\n"
               "  $how; setfattr -x user.ttlfs.ttl k; test \"$(cat k)\" = v || exit 1\n"
               "  rm -f k .tmp_x; wait; done");
}
