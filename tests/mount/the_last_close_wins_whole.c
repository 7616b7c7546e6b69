/* Of several writers the one that closes last has written the value, all of it; nothing is
 * mixed. */
#include "mount.h"

#define WRITERS 8

TestSuite (the_last_of_several, .init = mount_setup, .fini = mount_teardown, .timeout = 120);

Test (the_last_of_several, to_close_wins_whole)
{
  int first = open (at ("k"), O_WRONLY | O_CREAT | O_TRUNC, 0666);
  int second = open (at ("k"), O_WRONLY | O_CREAT | O_TRUNC, 0666);

  assert_ok (first);
  assert_ok (second);
  assert_ok (write_all (first, "a long value by the first"));
  assert_ok (write_all (second, "second"));
  assert_hidden (at ("k"));
  assert_ok (close (second));
  assert_witnessed (at ("k"), "second");
  assert_ok (close (first));
  assert_witnessed (at ("k"), "a long value by the first");
}

Test (the_last_of_several, to_change_an_old_value_starts_from_what_it_opened)
{
  int first, second;

  assert_ok (put (at ("k"), "0123456789"));
  first = open (at ("k"), O_WRONLY);
  second = open (at ("k"), O_WRONLY);
  assert_ok (first);
  assert_ok (second);
  cr_assert_eq (pwrite (first, "aa", 2, 0), 2);
  cr_assert_eq (pwrite (second, "bb", 2, 8), 2);
  assert_ok (close (first));
  assert_witnessed (at ("k"), "aa23456789");
  assert_ok (close (second));
  assert_witnessed (at ("k"), "01234567bb");
}

static int
write_many (const void *number)
{
  char letter = (char)('a' + *(const int *)number);
  g_autofree char *value = g_strnfill (20000 + 1000 * (letter - 'a'), letter);

  for (int i = 0; i < 50; i++)
    if (put (at ("k"), value) < 0)
      return 1;
  return 0;
}

static void
assert_one_letter (const char *value)
{
  gsize len = strlen (value);

  cr_assert (len == (gsize)(20000 + 1000 * (value[0] - 'a')), "%zu bytes of '%c'", len, value[0]);
  for (gsize i = 0; i < len; i++)
    cr_assert_eq (value[i], value[0], "'%c' amid '%c' at %zu", value[i], value[0], i);
}

Test (the_last_of_several, racing_never_mixes)
{
  pid_t pids[WRITERS];
  int numbers[WRITERS];

  numbers[0] = 0;
  cr_assert_eq (write_many (&numbers[0]), 0);
  for (int i = 0; i < WRITERS; i++)
    {
      numbers[i] = i;
      pids[i] = start_child (ANY_USER, write_many, &numbers[i]);
    }
  for (int i = 0; i < 200; i++)
    {
      gsize len;
      g_autofree char *value = get_bytes (at ("k"), &len);

      cr_assert (value != NULL, "missing: %s", g_strerror (errno));
      assert_one_letter (value);
    }
  for (int i = 0; i < WRITERS; i++)
    cr_assert_eq (wait_for (pids[i]), 0);
  assert_one_letter (witness_get (at ("k")));
}
