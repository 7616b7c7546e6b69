/* When the last descriptor goes away, whatever is unpublished is published: RELEASE needs no FLUSH
 * by the opener. */
#include "mount.h"

TestSuite (the_last_close, .init = mount_setup, .fini = mount_teardown, .timeout = 60);

Test (the_last_close, publishes_an_empty_new_key)
{
  int fd = open (at ("k"), O_WRONLY | O_CREAT | O_TRUNC, 0666);

  assert_ok (fd);
  assert_ok (close (fd));
  assert_witnessed (at ("k"), "");
}

Test (the_last_close, publishes_an_emptied_value)
{
  int fd;

  assert_ok (put (at ("k"), "old"));
  fd = open (at ("k"), O_WRONLY | O_TRUNC);
  assert_ok (fd);
  assert_ok (close (fd));
  assert_witnessed (at ("k"), "");
}

typedef struct
{
  int fd;
  const char *word;
  int go[2]; /* a pipe; the child writes when its other end is closed */
} Writer;

static int
write_when_told (const void *data)
{
  const Writer *self = data;
  char byte;

  close (self->go[1]);
  return read (self->go[0], &byte, 1) != 0 || write_all (self->fd, self->word) < 0;
}

static void
tell (const Writer *self)
{
  close (self->go[0]);
  close (self->go[1]);
}

Test (the_last_close, by_a_child_publishes_what_it_wrote)
{
  Writer writer = { .fd = open (at ("k"), O_WRONLY | O_CREAT, 0666), .word = "child" };
  pid_t pid;

  assert_ok (writer.fd);
  assert_ok (pipe2 (writer.go, O_CLOEXEC));
  pid = start_child (ANY_USER, write_when_told, &writer);
  assert_ok (close (writer.fd)); /* the opener is done, and wrote nothing */
  assert_hidden (at ("k"));
  tell (&writer);
  cr_assert_eq (wait_for (pid), 0);
  assert_witnessed (at ("k"), "child");
}

Test (the_last_close, by_a_child_publishes_after_the_openers_part)
{
  Writer writer = { .fd = open (at ("k"), O_WRONLY | O_CREAT, 0666), .word = " child" };
  pid_t pid;

  assert_ok (writer.fd);
  assert_ok (pipe2 (writer.go, O_CLOEXEC));
  pid = start_child (ANY_USER, write_when_told, &writer);
  assert_ok (write_all (writer.fd, "opener"));
  assert_ok (close (writer.fd));
  assert_witnessed (at ("k"), "opener");
  tell (&writer);
  cr_assert_eq (wait_for (pid), 0);
  assert_witnessed (at ("k"), "opener child");
}

Test (the_last_close, by_a_child_that_survives_the_opener_publishes)
{
  assert_bash ("( (sleep 0.2; echo late; touch $TMP/done) & ) > k");
  assert_eventually (5000, exists (text ("%s/done", work_dir ())));
  assert_eventually (2000, g_strcmp0 (witness_get (at ("k")), "late\n") == 0);
}

Test (the_last_close, at_exit_with_any_status_publishes)
{
  static const char *const shells[] = { "bash", "dash" };

  for (guint i = 0; i < G_N_ELEMENTS (shells); i++)
    {
      cr_assert_eq (shell_run (shells[i], "exec 5> k; echo value >&5; exit 3").status, 3);
      assert_witnessed (at ("k"), "value\n");
      cr_assert_eq (shell_run (shells[i], "exec 5> k; exit 4").status, 4);
      assert_witnessed (at ("k"), "");
      assert_ok (unlink (at ("k")));
    }
}

static int
leave_without_closing (const void *path)
{
  int fd = open (path, O_WRONLY | O_CREAT | O_TRUNC, 0666);

  if (fd < 0 || write_all (fd, "left") < 0)
    return 1;
  _exit (9); /* as the status of a process killed by signal 9 might be misread */
}

Test (the_last_close, at_exit_with_status_9_is_no_kill)
{
  cr_assert_eq (in_child (ANY_USER, leave_without_closing, at ("k")), 9);
  assert_witnessed (at ("k"), "left");
}

Test (the_last_close, at_exec_publishes)
{
  need ("python3");
  assert_bash ("python3 -c \"\n"
               "import os\n"
               "fd = os.open('k', os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC)\n"
               "os.write(fd, b'value')\n"
               "os.execvp('cat', ['cat', 'k'])\n\" > $TMP/out; test $(cat $TMP/out) = value");
}

Test (the_last_close, of_a_thousand_keys_is_always_seen)
{
  for (int i = 0; i < 1000; i++)
    {
      const char *path = at (text ("k%d", i));
      int fd = open (path, O_WRONLY | O_CREAT, 0666);

      assert_ok (fd);
      assert_ok (close (fd));
      assert_ok (witness_stat (path, NULL));
    }
}

/* Two descriptions of one draft end at the same time; one of them is the last. */
Test (the_last_close, of_two_at_once_publishes)
{
  for (int i = 0; i < 200; i++)
    {
      const char *name = text ("k%d", i);

      assert_bash (text ("exec 3>%s 4>>/dev/fd/3", name));
      cr_assert (EVENTUALLY (2000, exists (at (name))), "%s was lost", name);
    }
}

/* The kernel takes back a RELEASE that nobody has read yet when it unmounts. */
Test (the_last_close, is_not_lost_to_an_unmount)
{
  for (int i = 0; i < 20; i++)
    {
      const char *name = text ("k%d", i);
      int fd = open (at (name), O_WRONLY | O_CREAT, 0666);

      assert_ok (fd);
      assert_ok (close (fd));
      mount_stop (mount_number (1));
      cr_assert (exists (raw (name)), "%s was lost", name);
      mount_start ("ttl=1h");
    }
}
