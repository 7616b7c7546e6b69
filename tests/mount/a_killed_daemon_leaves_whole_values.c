/* kill -9 of the daemon under load: after mounting again there are whole values only, none that was
 * confirmed is lost, and no scratch is left after a TTL. */
#include "mount.h"

#include <signal.h>
#include <sys/mman.h>

#define WRITERS 4
#define KEYS 3
#define VALUE_LEN 20000

static void
mount_with_three_seconds (void)
{
  mount_setup_with ("ttl=3s");
}

TestSuite (a_killed_daemon, .init = mount_with_three_seconds, .fini = mount_teardown,
           .timeout = 300);

/* Shared with the writers, by writer and key: the last number whose close() succeeded. */
static int *confirmed;

/* "NUMBER" and then one letter, up to VALUE_LEN: whoever reads it knows whether it is whole. */
static const char *
value_of (int number)
{
  static char value[VALUE_LEN + 1];

  memset (value, 'a' + number % 26, VALUE_LEN);
  memcpy (value, text ("%08d", number), 8);
  return value;
}

static const char *
name_of (int writer, int key)
{
  return text ("key-%d-%d", writer, key);
}

static int
write_on (const void *data)
{
  int writer = *(const int *)data;

  for (int number = confirmed[writer * KEYS] + 1; number < 99999999; number++)
    for (int key = 0; key < KEYS; key++)
      {
        if (put (at (name_of (writer, key)), value_of (number)) < 0)
          return 0; /* the daemon is gone */
        confirmed[writer * KEYS + key] = number;
      }
  return 0;
}

/* A claim says that somebody is about to create the key; nobody sees it. In a bucket whose values live for ever, too, one that is left
 * behind must not keep the name for long. */
Test (a_killed_daemon, leaves_no_name_taken_for_ever)
{
  int fd;

  need ("setfattr");
  if (!backing_has_xattrs ())
    return;
  assert_bash ("mkdir b; setfattr -n user.ttlfs.ttl -v inf b");
  fd = open (at ("b/k"), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  assert_ok (fd);
  mount_kill (mount_number (1));
  close (fd);
  assert_bash ("cd $BACKING/b; test -L k; touch -h -d '11 seconds ago' k");
  mount_start ("ttl=3s");
  fd = open (at ("b/k"), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  assert_ok (fd);
  assert_ok (close (fd));
}

static void
assert_whole (const char *path, int least)
{
  gsize len;
  g_autofree char *value = get_bytes (path, &len);
  int number;

  cr_assert (value != NULL, "%s: %s", path, g_strerror (errno));
  cr_assert_eq (len, VALUE_LEN, "%s has %zu bytes", path, len);
  cr_assert_eq (sscanf (value, "%8d", &number), 1);
  cr_assert_str_eq (value, value_of (number), "%s is torn", path);
  cr_assert (number >= least, "%s holds %d, but %d was confirmed", path, number, least);
}

Test (a_killed_daemon, leaves_whole_values_only)
{
  int writers[WRITERS];

  confirmed = mmap (NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  for (int round = 0; round < 8; round++)
    {
      pid_t pids[WRITERS];

      for (int i = 0; i < WRITERS; i++)
        {
          writers[i] = i;
          pids[i] = start_child (ANY_USER, write_on, &writers[i]);
        }
      sleep_ms (g_random_int_range (50, 300));
      mount_kill (mount_number (1));
      for (int i = 0; i < WRITERS; i++)
        wait_for (pids[i]);
      mount_start ("ttl=3s");
      for (int i = 0; i < WRITERS; i++)
        for (int key = 0; key < KEYS; key++)
          if (confirmed[i * KEYS + key] > 0)
            assert_whole (at (name_of (i, key)), confirmed[i * KEYS + key]);
    }
  assert_eventually (5000, count_files (backing_dir ()) == 0); /* values and scratch alike */
}

Test (a_killed_daemon, leaves_drafts_unpublished)
{
  int fds[20];

  assert_ok (set_xattr (at ("."), "user.ttlfs.ttl", "1s"));
  for (int i = 0; i < 20; i++)
    {
      fds[i] = open (at (text ("k%d", i)), O_WRONLY | O_CREAT | (i % 2 == 0 ? O_EXCL : 0), 0666);
      assert_ok (fds[i]);
      assert_ok (write_all (fds[i], "half"));
    }
  mount_kill (mount_number (1));
  for (int i = 0; i < 20; i++)
    close (fds[i]);
  mount_start ("ttl=1s");
  cr_assert_str_eq (listing (at (".")), "");
  for (int i = 0; i < 20;
       i++) /* what O_EXCL had claimed is free again after a TTL, if not before */
    assert_eventually (2000, put_with (at (text ("k%d", i)), O_CREAT | O_EXCL, "value") == 0);
  assert_eventually (3000, count_files (backing_dir ()) == 0);
}

Test (a_killed_daemon, leaves_a_mount_that_can_be_replaced)
{
  for (int i = 0; i < 5; i++)
    {
      assert_ok (put (at ("k"), "value"));
      kill (mount_pid (mount_number (1)), SIGKILL);
      mount_kill (mount_number (1));
      mount_start ("ttl=3s");
      assert_value (at ("k"), "value");
    }
}

Test (a_killed_daemon, leaves_held_keys_to_expire)
{
  int fd = open (at ("svc"), O_WRONLY | O_CREAT, 0666);

  assert_ok (fd);
  assert_ok (write_all (fd, "alive"));
  assert_ok (fsync (fd));
  mount_kill (mount_number (1));
  close (fd);
  mount_start ("ttl=3s");
  assert_value (at ("svc"), "alive");
  assert_eventually (4000, !exists (at ("svc")));
}
