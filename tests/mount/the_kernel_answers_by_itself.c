/* How many requests an operation costs, counted by opcode in the log of a daemon in debug mode. What no program waits for is
 * not counted: RELEASE, FORGET. Where the budget of the design cannot be kept the test says what the kernel asks for. */
#include "mount.h"

#include <fcntl.h>
#include <sys/stat.h>

static TestMount *mount;

static void
setup (void)
{
  mount_prepare ();
  mount = mount_start_talking ("ttl=1h,io_uring=off");
}

TestSuite (the_kernel, .init = setup, .fini = mount_teardown, .timeout = 60);

/* Linux before 6.16 cannot be told of changes without risk, and is promised nothing. */
static gboolean
may_remember (void)
{
  return strstr (mount_log (mount), "cannot be told of changes") == NULL;
}

static gboolean
is_awaited (const char *opcode)
{
  return !g_str_has_prefix (opcode, "RELEASE") && !g_str_has_prefix (opcode, "FORGET")
         && !g_str_has_prefix (opcode, "BATCH_FORGET");
}

/* The opcodes of what was asked since the log was @from long, "LOOKUP OPEN ". */
static const char *
asked_since (gsize from)
{
  static GString *all;
  const char *at = mount_log (mount) + from;

  if (all == NULL)
    all = g_string_new (NULL);
  g_string_truncate (all, 0);
  while ((at = strstr (at, "opcode: ")) != NULL)
    {
      at += strlen ("opcode: ");
      if (is_awaited (at))
        g_string_append_printf (all, "%.*s ", (int)strcspn (at, " "), at);
    }
  return all->str;
}

static gsize
log_length (void)
{
  sleep_ms (30); /* for what comes by itself */
  return strlen (mount_log (mount));
}

/* What has happened has been told to the kernel, which may take a busy machine a while; and it has asked for the bucket again. */
static void
settle (void)
{
  struct stat st;
  gsize before;

  for (int i = 0; i < 100; i++)
    {
      before = log_length ();
      sleep_ms (50);
      if (strlen (mount_log (mount)) == before)
        break;
    }
  assert_ok (stat (at ("."), &st));
}

#define assert_asks(expected, operation) \
  do \
    { \
      gsize from_ = log_length (); \
      const char *asked_; \
      operation; \
      sleep_ms (30); \
      asked_ = asked_since (from_); \
      cr_expect_str_eq (asked_, expected, "%s: %s", #operation, asked_); \
    } \
  while (0)

static void
read_key (const char *name)
{
  int fd = open (at (name), O_RDONLY | O_CLOEXEC);
  char bytes[64];

  assert_ok (fd);
  cr_assert_geq (read (fd, bytes, sizeof bytes), 0);
  assert_ok (close (fd));
}

static void
put_over (const char *name)
{
  int fd = open (at (name), O_WRONLY | O_TRUNC | O_CLOEXEC);

  assert_ok (fd);
  assert_ok (write_all (fd, "value"));
  assert_ok (close (fd));
}

static void
put_new (const char *name)
{
  int fd = open (at (name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

  assert_ok (fd);
  assert_ok (write_all (fd, "value"));
  assert_ok (close (fd));
}

static void
look_at (const char *name)
{
  struct stat st;

  assert_ok (stat (at (name), &st));
}

static void
look_for_absent (const char *name)
{
  struct stat st;

  assert_errno (stat (at (name), &st), ENOENT);
}

Test (the_kernel, answers_stat_by_itself)
{
  if (!may_remember ())
    return;
  put_new ("k");
  settle ();
  look_at ("k");
  assert_asks ("", look_at ("k"));
  assert_asks ("", look_at ("k"));
}

Test (the_kernel, asks_once_for_a_get)
{
  if (!may_remember ())
    return;
  assert_ok (put (raw ("k"), "value")); /* nothing of it is known */
  settle ();
  assert_asks ("LOOKUP OPEN READ ", read_key ("k"));
  assert_asks ("OPEN ", read_key ("k"));
  assert_asks ("OPEN ", read_key ("k"));
}

/* What is promised no longer than the lease lasts is reckoned anew at each OPEN, and is still the same. */
Test (the_kernel, asks_once_for_a_get_of_what_soon_expires)
{
  if (!may_remember () || !backing_has_xattrs ())
    return;
  assert_ok (set_xattr (at ("."), "user.ttlfs.ttl", "5s"));
  put_new ("k");
  settle ();
  read_key ("k");
  read_key ("k");
  for (int i = 0; i < 5; i++)
    assert_asks ("OPEN ", read_key ("k"));
}

Test (the_kernel, asks_four_times_for_a_new_put)
{
  if (!may_remember ())
    return;
  settle ();
  assert_asks ("LOOKUP CREATE WRITE FLUSH ", put_new ("a"));
  settle ();
  /* Until then it may have been on the way to a CREATE. */
  for (int i = 0; i < 3; i++)
    assert_asks ("LOOKUP ", look_for_absent ("b"));
  assert_asks ("", look_for_absent ("b"));
  assert_asks ("CREATE GETATTR WRITE FLUSH ", put_new ("b"));
  /* Whoever has created something has changed the bucket, and the kernel asks for its mode before it lets him in again. */
  assert_asks ("GETATTR LOOKUP CREATE WRITE FLUSH ", put_new ("c"));
}

/* Before the kernel truncates it asks for security.capability, which it does wherever there are xattrs at all. When it does, others
 * must not see the size of 0. So it may not know any and forgets the mode with it, for which it asks the next time. */
Test (the_kernel, asks_three_times_for_a_put_and_once_for_capabilities_and_once_for_the_mode)
{
  if (!may_remember ())
    return;
  put_new ("k");
  settle ();
  look_at ("k");
  assert_asks ("OPEN GETXATTR WRITE FLUSH ", put_over ("k"));
  assert_asks ("GETATTR OPEN GETXATTR WRITE FLUSH ", put_over ("k"));
  assert_asks ("GETATTR OPEN GETXATTR WRITE FLUSH ", put_over ("k"));
  assert_asks ("GETATTR OPEN READ ", read_key ("k"));
  assert_asks ("OPEN ", read_key ("k"));
}

static int
look_at_k (const void *data G_GNUC_UNUSED)
{
  struct stat st;

  return stat (at ("k"), &st) < 0 ? errno : 0;
}

/* Whoever has been told its attributes may be reading what the kernel knows of them: the writer is sent to a node of its own. */
Test (the_kernel, asks_eight_times_for_a_put_over_what_others_look_at)
{
  if (!may_remember ())
    return;
  put_new ("k");
  settle ();
  cr_expect_eq (in_child (ANY_USER, look_at_k, NULL), 0);
  assert_asks ("OPEN LOOKUP LOOKUP GETATTR OPEN GETXATTR WRITE FLUSH ", put_over ("k"));
  assert_asks ("LOOKUP OPEN GETXATTR WRITE FLUSH ", put_over ("k"));
}

Test (the_kernel, asks_once_for_a_touch_by_path_and_four_times_for_the_programs)
{
  if (!may_remember ())
    return;
  put_new ("k");
  settle ();
  look_at ("k");
  assert_asks ("SETATTR ", assert_ok (utimensat (AT_FDCWD, at ("k"), NULL, 0)));
  assert_asks ("SETATTR ", assert_ok (utimensat (AT_FDCWD, at ("k"), NULL, 0)));
  settle ();
  look_at ("k");
  assert_asks ("OPEN FLUSH SETATTR FLUSH ", assert_ok (run ("touch", at ("k"), NULL).status));
}

Test (the_kernel, asks_twice_for_a_rename_and_once_for_an_unlink)
{
  if (!may_remember ())
    return;
  put_new ("k");
  settle ();
  look_at ("k");
  settle ();
  assert_asks ("LOOKUP RENAME ", assert_ok (rename (at ("k"), at ("l"))));
  settle ();
  look_at ("l");
  settle ();
  assert_asks ("UNLINK ", assert_ok (unlink (at ("l"))));
}

Test (the_kernel, asks_for_many_names_at_a_time)
{
  const char *asked;
  gsize from;

  if (!may_remember ())
    return;
  for (int i = 0; i < 1000; i++)
    assert_ok (put (raw (text ("k%d", i)), "value"));
  sleep_ms (30);
  settle ();
  from = log_length ();
  assert_ok (
      bash ("ls --color=never -U --time-style=+ $MNT | wc -l; find $MNT -printf %s >$TMP/sizes")
          .status);
  asked = asked_since (from);
  cr_expect_null (strstr (asked, "LOOKUP"), "%s", asked);
  cr_expect_lt (strlen (asked), 2000, "%s", asked);
}

/* No promise outlives a change, whoever makes it. */
Test (the_kernel, is_told_of_what_others_change)
{
  struct stat st;

  put_new ("k");
  look_at ("k");
  for (int i = 0; i < 4; i++)
    look_for_absent ("n");
  assert_ok (put (raw ("n"), "value"));
  assert_eventually (1000, stat (at ("n"), &st) == 0);
  assert_ok (put (raw (".tmp_x"), "longer than it was"));
  assert_ok (rename (raw (".tmp_x"), raw ("k")));
  assert_eventually (1000, stat (at ("k"), &st) == 0 && st.st_size == 18);
  assert_ok (unlink (raw ("k")));
  assert_eventually (1000, stat (at ("k"), &st) < 0);
}

static gboolean
sees (const char *name)
{
  struct stat st;

  return stat (at (name), &st) == 0;
}

/* Who has a key open makes it impossible to tell a question by path from one by descriptor; the name must be given up. */
Test (the_kernel, is_told_of_what_others_change_while_it_is_read)
{
  int fd;

  put_new ("k");
  look_at ("k");
  fd = open (at ("k"), O_RDONLY | O_CLOEXEC);
  assert_ok (fd);
  look_at ("k");
  assert_ok (unlink (raw ("k")));
  assert_eventually (1000, !sees ("k"));
  assert_ok (close (fd));
}

/* A lease that is made shorter ends when it says, whatever was promised of the longer one. */
Test (the_kernel, is_told_of_a_lease_that_ends_sooner)
{
  if (!backing_has_xattrs ())
    return;
  put_new ("k");
  look_at ("k");
  assert_bash ("setfattr -n user.ttlfs.ttl -v 300ms $MNT/k");
  look_at ("k");
  sleep_ms (320);
  cr_expect_not (sees ("k"));
  put_new ("l");
  look_at ("l");
  assert_bash ("setfattr -n user.ttlfs.ttl -v 300ms $MNT; sleep 0.35");
  cr_expect_not (sees ("l"));
}

static int
open_to_read (const void *data G_GNUC_UNUSED)
{
  int fd = open (at ("k"), O_RDONLY | O_CLOEXEC);

  return fd < 0 ? errno : close (fd);
}

static int
close_to_others (const void *data G_GNUC_UNUSED)
{
  return chmod (at ("k"), 0600);
}

static int
open_to_others (const void *data G_GNUC_UNUSED)
{
  return chmod (at ("k"), 0644);
}

/* While a key is put over the kernel goes on judging by the mode that it knows, until that is another. */
Test (the_kernel, judges_by_the_mode_of_now_while_a_key_is_put_over)
{
  const uid_t nobody = 65534;
  int fd;

  need_root ();
  put_new ("k");
  look_at ("k");
  fd = open (at ("k"), O_WRONLY | O_TRUNC | O_CLOEXEC);
  assert_ok (fd);
  assert_ok (write_all (fd, "other"));
  cr_expect_eq (in_child (nobody, open_to_read, NULL), 0);
  assert_ok (in_child (ANY_USER, close_to_others, NULL));
  cr_expect_eq (in_child (nobody, open_to_read, NULL), EACCES);
  assert_ok (in_child (ANY_USER, open_to_others, NULL));
  cr_expect_eq (in_child (nobody, open_to_read, NULL), 0);
  assert_ok (chmod (raw ("k"), 0600));
  assert_eventually (1000, in_child (nobody, open_to_read, NULL) == EACCES);
  assert_ok (close (fd));
  cr_expect_eq (in_child (nobody, open_to_read, NULL), EACCES);
  assert_ok (chmod (raw ("k"), 0644));
  assert_eventually (1000, in_child (nobody, open_to_read, NULL) == 0);
}

static int
remove_and_touch (const void *data)
{
  close (*(const int *)data);
  if (unlink (raw ("k")) < 0)
    return errno;
  return utimensat (AT_FDCWD, at ("k"), NULL, 0) < 0 ? errno : 0;
}

/* The same request would come of somebody's futimens() who has it open, and there is somebody. */
Test (the_kernel, does_not_make_a_touch_of_a_name_that_is_gone_one_of_what_others_have_open)
{
  for (int i = 0; i < 20; i++)
    {
      int fd;

      put_new ("k");
      fd = open (at ("k"), O_RDONLY | O_CLOEXEC);
      assert_ok (fd);
      look_at ("k");
      cr_expect_eq (in_child (ANY_USER, remove_and_touch, &fd), ENOENT);
      assert_ok (futimens (fd, NULL));
      assert_ok (close (fd));
    }
}

/* Two spellings of one key are two names to the kernel. */
Test (the_kernel, is_told_by_whatever_name_a_key_is_removed)
{
  put_new ("a-b");
  look_at ("a-b");
  look_at ("a%2Db");
  assert_ok (unlink (at ("a%2Db")));
  cr_expect_not (sees ("a-b"));
  put_new ("a-b");
  cr_expect (sees ("a%2Db"));
  assert_ok (rename (at ("a%2Db"), at ("c")));
  cr_expect_not (sees ("a-b"));
}

/* A put that is published by the last close, which nobody waits for, is seen by the next command all the same. */
Test (the_kernel, believes_in_no_absence_while_something_is_unpublished)
{
  for (int i = 0; i < 50; i++)
    assert_bash (
        "! test -e $MNT/e && : > $MNT/e && test -e $MNT/e && rm $MNT/e && ! test -e $MNT/e");
}

Test (the_kernel, remembers_nothing_where_it_is_told_not_to)
{
  mount_stop (mount);
  mount = mount_start_talking ("ttl=1h,io_uring=off,cache=off");
  put_new ("k");
  look_at ("k");
  assert_asks ("GETATTR LOOKUP GETATTR ", look_at ("k"));
}
