/* >> adds to what is there, and each command's addition is seen by the next. */
#include "mount.h"

TestSuite (appending, .init = mount_setup, .fini = mount_teardown, .timeout = 60);

Test (appending, adds_line_by_line)
{
  assert_shells ("rm -f k; echo a >> k; test \"$(cat k)\" = a; echo b >> k; echo c >> k; "
                 "test \"$(cat k)\" = \"$(printf 'a\\nb\\nc')\"");
}

Test (appending, a_group_adds_all_of_it)
{
  assert_shells ("echo a > k; (/bin/echo b; /bin/echo c) >> k; "
                 "test \"$(cat k)\" = \"$(printf 'a\\nb\\nc')\"");
}

Test (appending, is_hidden_until_close)
{
  int fd;

  assert_ok (put (at ("k"), "old"));
  fd = open (at ("k"), O_WRONLY | O_APPEND);
  assert_ok (fd);
  assert_ok (write_all (fd, "+new"));
  assert_witnessed (at ("k"), "old");
  assert_ok (close (fd));
  assert_witnessed (at ("k"), "old+new");
}

Test (appending, ignores_where_the_offset_stands)
{
  int fd;

  assert_ok (put (at ("k"), "old"));
  fd = open (at ("k"), O_RDWR | O_APPEND);
  assert_ok (fd);
  cr_assert_eq (lseek (fd, 0, SEEK_SET), 0);
  assert_ok (write_all (fd, "+1"));
  cr_assert_eq (lseek (fd, 1, SEEK_SET), 1);
  assert_ok (write_all (fd, "+2"));
  assert_ok (close (fd));
  assert_witnessed (at ("k"), "old+1+2");
}

Test (appending, a_thousand_times_loses_nothing)
{
  g_autoptr (GString) expected = g_string_new (NULL);

  for (int i = 0; i < 1000; i++)
    {
      const char *line = text ("line %d\n", i);

      assert_ok (put_with (at ("k"), O_CREAT | O_APPEND, line));
      g_string_append (expected, line);
    }
  assert_value (at ("k"), expected->str);
}
