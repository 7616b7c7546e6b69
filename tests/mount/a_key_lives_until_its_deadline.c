/* The heart of it: seen at every look before mtime + TTL, and at none from then on. */
#include "mount.h"

#define KEYS 100

static void
mount_with_a_second (void)
{
  mount_setup_with ("ttl=1s");
}

TestSuite (a_key, .init = mount_with_a_second, .fini = mount_teardown, .timeout = 120);

typedef struct
{
  const char *path, *raw_path;
  gint64 deadline;
  gint64 reaped_ns; /* 0 while the backing file is there */
  gint64 looks;
} Key;

/* Puts @n keys, over half a second, so that their deadlines are spread. */
static Key *
put_keys (int n)
{
  Key *keys = g_new0 (Key, (gsize)n);

  for (int i = 0; i < n; i++)
    {
      keys[i].path = at (text ("key-%d", i));
      keys[i].raw_path = raw (text ("key%%2D%d", i));
      assert_ok (put (keys[i].path, "value"));
      keys[i].deadline = mtime_ns (keys[i].path) + SECOND;
      sleep_ms (500 / n);
    }
  return keys;
}

/* @seen must be so at @before_ns at the earliest and @after_ns at the latest. */
static void
judge (const Key *key, gboolean seen, gint64 before_ns, gint64 after_ns)
{
  if (seen)
    cr_assert (before_ns < key->deadline, "%s seen %ld us after its deadline", key->path,
               (long)((before_ns - key->deadline) / 1000));
  else
    cr_assert (after_ns >= key->deadline, "%s missing %ld us before its deadline", key->path,
               (long)((key->deadline - after_ns) / 1000));
}

static gboolean
opens (const char *path)
{
  int fd = open (path, O_RDONLY);

  if (fd >= 0)
    close (fd);
  return fd >= 0;
}

static void
poll_keys (Key *keys, int n, gboolean (*look) (const char *))
{
  gint64 end = keys[n - 1].deadline + 300 * MS;

  while (now_ns () < end)
    for (int i = 0; i < n; i++)
      {
        gint64 before = now_ns ();
        gboolean seen = look (keys[i].path);

        judge (&keys[i], seen, before, now_ns ());
        keys[i].looks++;
      }
}

Test (a_key, polled_by_stat_is_there_until_its_deadline)
{
  g_autofree Key *keys = put_keys (KEYS);

  poll_keys (keys, KEYS, exists);
}

Test (a_key, polled_by_open_is_there_until_its_deadline)
{
  g_autofree Key *keys = put_keys (KEYS);

  poll_keys (keys, KEYS, opens);
}

Test (a_key, polled_by_listing_is_there_until_its_deadline)
{
  g_autofree Key *keys = put_keys (10);

  poll_keys (keys, 10, lists);
}

/* The kernel may remember what it was told; not past the deadline. Looked at once early, then not
 * again until then. */
Test (a_key, looked_at_once_is_not_remembered_past_its_deadline)
{
  g_autofree Key *keys = put_keys (KEYS);

  for (int i = 0; i < KEYS; i++)
    {
      sleep_until (keys[i].deadline);
      cr_assert (!exists (keys[i].path), "%s is still there", keys[i].path);
    }
}

Test (a_key, is_gone_from_the_backing_directory_soon_after)
{
  g_autofree Key *keys = put_keys (KEYS);
  int left = KEYS;

  while (left > 0)
    {
      for (int i = 0; i < KEYS; i++)
        {
          gint64 before = now_ns ();

          if (keys[i].reaped_ns != 0)
            continue;
          if (exists (keys[i].raw_path))
            {
              cr_assert (before < keys[i].deadline + tolerance_ns (100),
                         "%s is still there %ld ms after", keys[i].raw_path,
                         (long)((before - keys[i].deadline) / MS));
              continue;
            }
          keys[i].reaped_ns = now_ns ();
          cr_assert (keys[i].reaped_ns >= keys[i].deadline, "%s was removed %ld us early",
                     keys[i].raw_path, (long)((keys[i].deadline - keys[i].reaped_ns) / 1000));
          left--;
        }
      sleep_ms (1);
    }
}

Test (a_key, of_a_ttl_of_fifty_milliseconds_lives_that_long)
{
  assert_ok (set_xattr (at ("."), "user.ttlfs.ttl", "50ms"));
  for (int i = 0; i < 20; i++)
    {
      Key key = { .path = at (text ("short%d", i)) };

      assert_ok (put (key.path, "value"));
      key.deadline = now_ns () - 1; /* until it is seen: it may have ended before we looked */
      while (TRUE)
        {
          gint64 before = now_ns (), mtime = mtime_ns (key.path);

          if (mtime >= 0)
            key.deadline = mtime + 50 * MS;
          judge (&key, mtime >= 0, before, now_ns ());
          if (mtime < 0)
            break;
        }
    }
}

Test (a_key, with_inf_stays)
{
  assert_ok (set_xattr (at ("."), "user.ttlfs.ttl", "inf"));
  assert_ok (put (at ("k"), "value"));
  assert_stays (2500, exists (at ("k")));
  assert_value (raw ("k"), "value");
}

Test (a_key, put_by_a_raw_peer_has_the_same_deadline)
{
  Key key = { .path = at ("k") };

  assert_ok (put_raw (raw ("k"), "value"));
  assert_eventually (1000, exists (at ("k")));
  key.deadline = mtime_ns (raw ("k")) + SECOND;
  poll_keys (&key, 1, exists);
  assert_eventually (1000, !exists (raw ("k")));
}

Test (a_key, found_at_start_has_the_same_deadline)
{
  Key key = { .path = at ("k") };

  assert_ok (put (at ("k"), "value"));
  key.deadline = mtime_ns (at ("k")) + SECOND;
  mount_stop (mount_number (1));
  assert_value (raw ("k"), "value");
  mount_start ("ttl=1s");
  poll_keys (&key, 1, exists);
  assert_eventually (1000, !exists (raw ("k")));
}

Test (a_key, that_expired_while_nothing_was_mounted_is_gone_at_once)
{
  assert_ok (put (at ("k"), "value"));
  mount_stop (mount_number (1));
  sleep_ms (1100);
  assert_value (raw ("k"), "value");
  mount_start ("ttl=1s");
  assert_absent (at ("k"));
  assert_eventually (1000, !exists (raw ("k")));
}

Test (a_key, in_a_nested_bucket_expires_like_any)
{
  Key key = { .path = at ("a/b/c/k") };

  assert_bash ("mkdir -p a/b/c; echo v > a/b/c/k");
  key.deadline = mtime_ns (key.path) + SECOND;
  poll_keys (&key, 1, exists);
  assert_eventually (1000, !exists (raw ("a/b/c/k")));
  cr_assert (exists (at ("a/b/c")), "buckets do not expire");
}
