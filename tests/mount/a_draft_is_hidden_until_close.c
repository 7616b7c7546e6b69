/* What is being written is nobody else's business before it is published. */
#include "mount.h"

#include <signal.h>

TestSuite (a_draft, .init = mount_setup, .fini = mount_teardown, .timeout = 60);

Test (a_draft, of_a_new_key_is_hidden_until_close)
{
  int fd = open (at ("k"), O_WRONLY | O_CREAT | O_TRUNC, 0666);

  assert_ok (fd);
  assert_hidden (at ("k"));
  assert_ok (write_all (fd, "val"));
  assert_hidden (at ("k"));
  assert_ok (write_all (fd, "ue"));
  assert_hidden (at ("k"));
  assert_ok (close (fd));
  assert_witnessed (at ("k"), "value");
}

Test (a_draft, over_an_old_value_is_hidden_until_close)
{
  int fd;

  assert_ok (put (at ("k"), "the old value"));
  fd = open (at ("k"), O_WRONLY | O_CREAT | O_TRUNC, 0666);
  assert_ok (fd);
  assert_witnessed (at ("k"), "the old value"); /* O_TRUNC alone takes nothing away */
  assert_ok (write_all (fd, "new"));
  assert_witnessed (at ("k"), "the old value");
  assert_ok (close (fd));
  assert_witnessed (at ("k"), "new");
}

Test (a_draft, changed_without_o_trunc_is_hidden_until_close)
{
  int fd;

  assert_ok (put (at ("k"), "old"));
  fd = open (at ("k"), O_RDWR);
  assert_ok (fd);
  assert_ok (write_all (fd, "new and longer"));
  assert_witnessed (at ("k"), "old");
  assert_ok (close (fd));
  assert_witnessed (at ("k"), "new and longer");
}

Test (a_draft, is_hidden_from_the_other_mount_and_the_backing_directory)
{
  int fd;

  mount_start ("ttl=1h");
  fd = open (at ("k"), O_WRONLY | O_CREAT | O_TRUNC, 0666);
  assert_ok (fd);
  assert_ok (write_all (fd, "value"));
  assert_hidden (at2 ("k"));
  assert_errno (stat_of (raw ("k"), NULL), ENOENT);
  assert_ok (close (fd));
  assert_value (raw ("k"), "value");
}

Test (a_draft, of_five_mebibytes_is_hidden_until_close)
{
  g_autofree char *chunk = g_strnfill (1 << 20, 'x');
  struct stat st;
  int fd = open (at ("k"), O_WRONLY | O_CREAT, 0666);

  assert_ok (fd);
  for (int i = 0; i < 5; i++)
    {
      assert_ok (write_all (fd, chunk));
      assert_hidden (at ("k"));
    }
  assert_ok (close (fd));
  assert_ok (witness_stat (at ("k"), &st));
  cr_assert_eq (st.st_size, 5 << 20);
}

Test (a_draft, that_is_only_opened_hides_nothing)
{
  int fd;

  assert_ok (put (at ("k"), "old"));
  fd = open (at ("k"), O_WRONLY);
  assert_ok (fd);
  assert_witnessed (at ("k"), "old");
  assert_ok (close (fd));
  assert_witnessed (at ("k"), "old");
}

Test (a_draft, with_attributes_set_is_hidden_until_close)
{
  int fd = open (at ("k"), O_WRONLY | O_CREAT, 0600);
  struct stat st;

  assert_ok (fd);
  assert_ok (fchmod (fd, 0644));
  assert_ok (futimens (fd, NULL));
  assert_hidden (at ("k"));
  assert_ok (close (fd));
  assert_ok (witness_stat (at ("k"), &st));
  cr_assert_eq (st.st_mode & 07777, 0644);
}

static int
put_again_and_again (const void *data G_GNUC_UNUSED)
{
  gint64 until = now_ns () + 2000 * MS;

  while (now_ns () < until)
    if (put (at ("k"), "value") < 0)
      return 1;
  return 0;
}

/* The kernel sets the size that it knows to 0 when it truncates, whatever becomes of the draft. */
Test (a_draft, shows_in_no_size_that_the_kernel_knows)
{
  gint64 until = now_ns () + 1900 * MS;
  struct stat st;
  pid_t writer;

  assert_ok (put (at ("k"), "value"));
  writer = start_child (ANY_USER, put_again_and_again, NULL);
  while (now_ns () < until)
    {
      assert_ok (stat (at ("k"), &st));
      cr_assert_eq (st.st_size, 5, "%ld bytes", (long)st.st_size);
    }
  cr_assert_eq (wait_for (writer), 0);
}

static int
create_again_and_again (const void *data G_GNUC_UNUSED)
{
  gint64 until = now_ns () + 4000 * MS;

  while (now_ns () < until)
    if (put (at ("k"), "value") < 0 || unlink (at ("k")) < 0 || exists (at ("k"))
        || exists (at ("k")) || exists (at ("k")))
      return 1;
  return 0;
}

static int
look_for_an_empty_one (const void *data G_GNUC_UNUSED)
{
  const char *path = at ("k");
  gint64 until = now_ns () + 3900 * MS;
  struct stat st;

  while (now_ns () < until)
    if (stat (path, &st) == 0 ? st.st_size != 5 : errno != ENOENT)
      return 1;
  return 0;
}

/* Where a name's absence was promised, the kernel makes it lead to the draft a moment before it forgets that. */
Test (a_draft, shows_in_no_absence_that_the_kernel_knows)
{
  pid_t writer = start_child (ANY_USER, create_again_and_again, NULL);
  pid_t readers[3];

  for (guint i = 0; i < G_N_ELEMENTS (readers); i++)
    readers[i] = start_child (ANY_USER, look_for_an_empty_one, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (readers); i++)
    cr_expect_eq (wait_for (readers[i]), 0, "reader %u", i);
  cr_expect_eq (wait_for (writer), 0);
}

static int
stat_descriptor (const void *data)
{
  struct stat st;

  return fstat (*(const int *)data, &st) < 0 ? errno : st.st_size == 3 ? 0 : 1;
}

/* It asks like somebody who has come by the path. */
Test (a_draft, of_a_known_absence_can_be_asked_by_who_inherits_it)
{
  int fd;

  for (int i = 0; i < 3; i++)
    cr_assert_not (exists (at ("k")));
  fd = open (at ("k"), O_WRONLY | O_CREAT, 0666);
  assert_ok (fd);
  assert_ok (write_all (fd, "val"));
  cr_expect_eq (in_child (0, stat_descriptor, &fd), 0);
  cr_expect_eq (in_child (ANY_USER, stat_descriptor, &fd), 0);
  assert_hidden (at ("k"));
  assert_ok (close (fd));
  assert_witnessed (at ("k"), "val");
}

static int
truncate_and_stay (const void *data G_GNUC_UNUSED)
{
  int fd = open (at ("k"), O_WRONLY | O_TRUNC | O_CLOEXEC);

  if (fd < 0 || put (at ("ready"), "") < 0)
    return 1;
  for (;;)
    pause ();
}

/* The value's inode number is that of the file in the backing directory, and may be that of any other file. */
Test (a_draft, is_hidden_from_who_has_a_file_of_that_number_open)
{
  struct stat st;
  pid_t writer;
  int fd;

  assert_ok (put (raw ("k"), "value"));
  fd = open (raw ("k"), O_RDONLY | O_CLOEXEC);
  assert_ok (fd);
  writer = start_child (ANY_USER, truncate_and_stay, NULL);
  assert_eventually (5000, exists (raw ("ready")));
  assert_ok (stat (at ("k"), &st));
  cr_expect_eq (st.st_size, 5, "%ld bytes", (long)st.st_size);
  kill (writer, SIGKILL);
  wait_for (writer);
  close (fd);
}
