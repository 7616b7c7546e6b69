/* Programs that work in the backing directory directly and users of the mount see the same keys. */
#include "delay.h"
#include "mount.h"

#define TIMES 40

TestSuite (a_raw_peer, .init = mount_setup, .fini = mount_teardown, .timeout = 120);

Test (a_raw_peer, finds_what_the_mount_has_put_by_its_close)
{
  assert_ok (mkdir (at ("v1"), 0777));
  for (int i = 0; i < 200; i++)
    {
      assert_ok (put (at (text ("v1/worker-%d.json", i)), text ("value %d", i)));
      assert_value (raw (text ("v1/worker%%2D%d%%2Ejson", i)), text ("value %d", i));
    }
  cr_assert_eq (count_files (raw ("v1")), 200);
  cr_assert_eq (count_scratch (raw ("v1")), 0);
}

Test (a_raw_peer, finds_deletes_and_touches_at_once)
{
  gint64 mtime;

  assert_ok (put (at ("k"), "value"));
  sleep_ms (20);
  assert_ok (utimensat (AT_FDCWD, at ("k"), NULL, 0));
  mtime = mtime_ns (at ("k"));
  cr_assert_eq (mtime_ns (raw ("k")), mtime);
  assert_ok (unlink (at ("k")));
  cr_assert (!exists (raw ("k")));
}

Test (a_raw_peer, that_puts_a_new_key_is_seen)
{
  gint64 delays[TIMES];

  for (int i = 0; i < TIMES; i++)
    {
      const char *path = at (text ("worker-%d", i));

      cr_assert (!exists (path));
      listing (at ("."));
      assert_ok (put_raw (raw (text ("worker%%2D%d", i)), "peer"));
      delays[i] = DELAY (exists (path) && lists (path));
      assert_value (path, "peer");
    }
  assert_usually_within (10, delays);
}

Test (a_raw_peer, that_links_a_new_key_is_seen)
{
  assert_ok (put (raw (".tmp_1"), "peer"));
  assert_ok (link (raw (".tmp_1"), raw ("worker%2D1")));
  assert_ok (unlink (raw (".tmp_1")));
  DELAY (lists (at ("worker-1")));
  assert_value (at ("worker-1"), "peer");
}

Test (a_raw_peer, that_changes_a_value_is_seen)
{
  gint64 delays[TIMES];

  assert_ok (put (at ("k"), "none"));
  for (int i = 0; i < TIMES; i++)
    {
      const char *value = text ("value %d", i);

      assert_ok (put_raw (raw ("k"), value));
      delays[i] = DELAY (g_strcmp0 (get (at ("k")), value) == 0);
    }
  assert_usually_within (10, delays);
}

Test (a_raw_peer, that_deletes_is_seen)
{
  gint64 delays[TIMES];

  for (int i = 0; i < TIMES; i++)
    {
      assert_ok (put (at ("k"), "value"));
      assert_ok (unlink (raw ("k")));
      delays[i] = DELAY (!exists (at ("k")) && !lists (at ("k")));
    }
  assert_usually_within (10, delays);
}

Test (a_raw_peer, that_renews_is_seen)
{
  gint64 delays[TIMES];

  assert_ok (put (at ("k"), "value"));
  for (int i = 0; i < TIMES; i++)
    {
      gint64 mtime;

      sleep_ms (10);
      assert_ok (utimensat (AT_FDCWD, raw ("k"), NULL, 0));
      mtime = mtime_ns (raw ("k"));
      delays[i] = DELAY (mtime_ns (at ("k")) == mtime);
    }
  assert_usually_within (10, delays);
}

Test (a_raw_peer, that_makes_a_bucket_is_seen)
{
  assert_bash ("mkdir -p $BACKING/v1/instances; cd $BACKING/v1/instances; echo v > .tmp_1; mv "
               ".tmp_1 worker%2D1");
  DELAY (exists (at ("v1/instances/worker-1")));
  cr_assert_str_eq (listing (at ("v1/instances")), "worker-1\n");
  assert_bash ("cd $BACKING/v1/instances; echo w > .tmp_1; mv .tmp_1 worker%2D2");
  DELAY (lists (at ("v1/instances/worker-2")));
}

Test (a_raw_peer, working_through_the_mount_works)
{
  assert_bash ("mkdir -p v1/instances; cd v1/instances; echo v > .tmp_00000000deadbeef; "
               "ln .tmp_00000000deadbeef worker%2D1; rm .tmp_00000000deadbeef; test \"$(cat "
               "worker%2D1)\" = v; "
               "echo w > .tmp_00000000deadbeee; mv .tmp_00000000deadbeee worker%2D1; test \"$(cat "
               "worker%2D1)\" = w; "
               "test \"$(ls)\" = worker-1; touch worker%2D1; rm worker%2D1; test -z \"$(ls -A)\"");
}

Test (a_raw_peer, that_replaces_a_key_being_written_loses_to_the_last_close)
{
  int fd = open (at ("k"), O_WRONLY | O_CREAT, 0666);

  assert_ok (fd);
  assert_ok (write_all (fd, "mount"));
  assert_ok (put_raw (raw ("k"), "peer"));
  DELAY (g_strcmp0 (witness_get (at ("k")), "peer") == 0);
  assert_ok (close (fd));
  assert_value (raw ("k"), "mount");
  assert_witnessed (at ("k"), "mount");
}

Test (a_raw_peer, that_puts_a_thousand_keys_loses_none)
{
  assert_bash ("mkdir b; ls b; cd $BACKING/b; for i in $(seq 1000); do echo $i > .tmp_$i; mv "
               ".tmp_$i k%2D$i; done");
  DELAY (count_listed (at ("b")) == 1000);
  assert_value (at ("b/k-777"), "777\n");
  assert_bash ("rm $BACKING/b/k*");
  DELAY (count_listed (at ("b")) == 0);
}
