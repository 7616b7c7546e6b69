#include "witness.h"

#include <linux/close_range.h>
#include <sys/socket.h>

typedef struct
{
  char what; /* 's'tat, 'g'et, 'l'ists */
  char path[4096];
} Question;

typedef struct
{
  int result;
  int error;
  struct stat st;
  gsize len; /* bytes of value that follow */
} Answer;

static int witness = -1;

static gboolean
send_all (int fd, const void *bytes, gsize len)
{
  const char *next = bytes;

  while (len > 0)
    {
      ssize_t n = send (fd, next, len, MSG_NOSIGNAL);

      if (n <= 0)
        return FALSE;
      next += n;
      len -= (gsize)n;
    }
  return TRUE;
}

static gboolean
receive_all (int fd, void *bytes, gsize len)
{
  return len == 0 || recv (fd, bytes, len, MSG_WAITALL) == (ssize_t)len;
}

/* The witness's life. */
static void
testify (int fd)
{
  Question question;

  while (receive_all (fd, &question, sizeof question))
    {
      Answer answer = { 0 };
      g_autofree char *value = NULL;

      errno = 0;
      if (question.what == 's')
        answer.result = stat_of (question.path, &answer.st);
      else if (question.what == 'l')
        answer.result = lists (question.path);
      else
        {
          value = get_bytes (question.path, &answer.len);
          answer.result = value != NULL ? 0 : -1;
        }
      answer.error = errno;
      if (!send_all (fd, &answer, sizeof answer) || !send_all (fd, value, answer.len))
        break;
    }
  _exit (0);
}

void
witness_start (void)
{
  int pair[2];

  assert_ok (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
  if (fork () == 0)
    {
      int null = open ("/dev/null", O_RDWR);

      dup2 (pair[1], 3);
      dup2 (null, STDOUT_FILENO);
      dup2 (null, STDERR_FILENO);
      close_range (4, ~0U, 0);
      testify (3);
    }
  close (pair[1]);
  witness = pair[0];
}

void
witness_stop (void)
{
  if (witness >= 0)
    close (witness);
  witness = -1;
}

static Answer
ask (char what, const char *path, char **value_out)
{
  Question question = { .what = what };
  Answer answer;

  g_strlcpy (question.path, path, sizeof question.path);
  cr_assert (send_all (witness, &question, sizeof question), "the witness is gone");
  cr_assert (receive_all (witness, &answer, sizeof answer), "the witness is gone");
  *value_out = g_malloc0 (answer.len + 1);
  cr_assert (receive_all (witness, *value_out, answer.len), "the witness is gone");
  errno = answer.error;
  return answer;
}

int
witness_stat (const char *path, struct stat *st_out)
{
  g_autofree char *value = NULL;
  Answer answer = ask ('s', path, &value);

  if (st_out != NULL)
    *st_out = answer.st;
  errno = answer.error;
  return answer.result;
}

const char *
witness_get (const char *path)
{
  g_autofree char *value = NULL;
  Answer answer = ask ('g', path, &value);

  errno = answer.error;
  return answer.result < 0 ? NULL : keep (g_steal_pointer (&value));
}

int
witness_lists (const char *path)
{
  g_autofree char *value = NULL;

  return ask ('l', path, &value).result;
}
