/* vim, sed -i and their like write a new file beside the old one, or rename the old one away;
 * nothing is lost. */
#include "mount.h"

TestSuite (editing, .init = mount_setup, .fini = mount_teardown, .timeout = 60);

Test (editing, by_sed_changes_the_value)
{
  assert_bash (
      "echo 'one two' > k.conf; sed -i s/two/three/ k.conf; test \"$(cat k.conf)\" = 'one three'; "
      "test \"$(ls -A)\" = k.conf");
  assert_bash ("chmod 640 k.conf; sed -i.bak s/one/1/ k.conf; test \"$(cat k.conf)\" = '1 three'; "
               "test \"$(cat "
               "k.conf.bak)\" = 'one three'; test $(stat -c %a k.conf) = 640");
}

Test (editing, by_perl_changes_the_value)
{
  assert_bash ("echo 'one two' > k; perl -pi -e s/two/three/ k; test \"$(cat k)\" = 'one three'; "
               "test \"$(ls -A)\" = k");
}

/* Vim is whatever is there of vim, vim.tiny and vi. */
static const char *
vim (void)
{
  static const char *const names[] = { "vim", "vim.tiny", "vim.basic" };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    if (have (names[i]))
      return names[i];
  cr_assert (FALSE, "vim is not installed");
  return NULL;
}

static void
assert_vim (const char *settings)
{
  assert_ok (put (at ("k.txt"), "one\ntwo\n"));
  assert_bash (text ("%s -N -u NONE -i NONE -es -c 'set swapfile directory=. backupdir=. %s' -c "
                     "'%%s/two/three/' -c "
                     "'$put =\\\"four\\\"' -c wq k.txt < /dev/null > /dev/null; test \"$(cat "
                     "k.txt)\" = \"$(printf "
                     "'one\\nthree\\nfour')\"",
                     vim (), settings));
  assert_bash ("rm -f k.txt~; test \"$(ls -A)\" = k.txt; rm k.txt");
}

Test (editing, by_vim_changes_the_value) { assert_vim ("nobackup writebackup"); }

Test (editing, by_vim_with_a_backup_changes_the_value) { assert_vim ("backup backupcopy=no"); }

Test (editing, by_vim_in_place_changes_the_value) { assert_vim ("backup backupcopy=yes"); }

Test (editing, by_vim_makes_a_new_key)
{
  assert_bash (text ("%s -N -u NONE -i NONE -es -c 'put =\\\"hello\\\"' -c 1d -c wq new.txt < "
                     "/dev/null > /dev/null; test "
                     "\"$(cat new.txt)\" = hello; test \"$(ls -A)\" = new.txt",
                     vim ()));
}

Test (editing, by_patch_and_diff_works)
{
  assert_bash ("printf 'a\\nb\\nc\\n' > k; printf 'a\\nB\\nc\\n' > $TMP/new; ! diff -u k $TMP/new "
               "> $TMP/patch; "
               "if command -v patch > /dev/null; then patch -s k $TMP/patch; cmp k $TMP/new; fi");
}
