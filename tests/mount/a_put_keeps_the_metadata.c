/* Putting over a key keeps its mode, owner, attributes and TTL, as writing in place would. */
#include "mount.h"

#include <sys/xattr.h>

TestSuite (a_put_over_a_key, .init = mount_setup, .fini = mount_teardown, .timeout = 60);

static const char *const ways[] = { "echo new > k",
                                    "echo new >> k",
                                    "truncate -s 3 k",
                                    "echo new | tee k",
                                    "cp $TMP/new k",
                                    "dd if=$TMP/new of=k status=none",
                                    "exec 5<> k; echo new >&5" };

Test (a_put_over_a_key, keeps_its_mode_and_ttl)
{
  assert_bash ("echo new > $TMP/new; chmod 600 $TMP/new");
  for (guint i = 0; i < G_N_ELEMENTS (ways); i++)
    {
      assert_bash ("rm -f k; echo old > k; chmod 664 k");
      assert_ok (set_xattr (at ("k"), "user.ttlfs.ttl", "7m"));
      assert_bash (ways[i]);
      cr_assert_eq (mode_of (at ("k")), 0664, "'%s' leaves mode %o", ways[i], mode_of (at ("k")));
      cr_assert_str_eq (xattr (at ("k"), "user.ttlfs.ttl"), "7m", "'%s' changes the TTL", ways[i]);
    }
}

Test (a_put_over_a_key, keeps_its_attributes)
{
  if (!backing_has_xattrs ())
    return;
  assert_bash ("echo new > $TMP/new");
  for (guint i = 0; i < G_N_ELEMENTS (ways); i++)
    {
      assert_bash ("rm -f k; echo old > k");
      assert_ok (set_xattr (at ("k"), "user.colour", "blue"));
      assert_bash (ways[i]);
      cr_assert_str_eq (xattr (at ("k"), "user.colour"), "blue", "'%s' loses an attribute",
                        ways[i]);
    }
}

Test (a_put_over_a_key, keeps_its_owner)
{
  struct stat st;

  need_root ();
  assert_bash ("echo old > k");
  assert_ok (chown (at ("k"), 1001, 1002));
  assert_ok (chmod (at ("k"), 0646));
  assert_bash ("echo new > k");
  assert_ok (stat_of (at ("k"), &st));
  cr_assert_eq (st.st_uid, 1001);
  cr_assert_eq (st.st_gid, 1002);
  cr_assert_eq (bash_as (1003, "echo newer > k").status, 0);
  assert_value (at ("k"), "newer\n");
  assert_ok (stat_of (at ("k"), &st));
  cr_assert_eq (st.st_uid, 1001, "another writer does not become the owner");
  cr_assert_eq (st.st_gid, 1002);
  cr_assert_eq (st.st_mode & 07777, 0646);
}

/* The draft began before the change: what is published is what the key has by then. */
Test (a_put_over_a_key, keeps_a_mode_that_was_set_meanwhile)
{
  int fd;

  assert_ok (put (at ("k"), "old"));
  fd = open (at ("k"), O_WRONLY | O_TRUNC);
  assert_ok (fd);
  assert_ok (write_all (fd, "new"));
  assert_bash ("chmod 600 k");
  assert_ok (close (fd));
  assert_witnessed (at ("k"), "new");
  cr_assert_eq (mode_of (at ("k")), 0600);
}

Test (a_put_over_a_key, that_was_removed_makes_a_new_one)
{
  assert_bash ("echo old > k; chmod 600 k; rm k; echo new > k");
  cr_assert_eq (mode_of (at ("k")), 0644);
}

Test (a_put_over_a_key, strips_setuid_and_setgid_of_others)
{
  need_root ();
  assert_bash ("echo old > k; chmod 06777 k; test $(stat -c %a k) = 6777");
  cr_assert_eq (bash_as (1001, "echo new > k").status, 0);
  assert_value (at ("k"), "new\n");
  cr_assert_eq (mode_of (at ("k")), 0777);
}
