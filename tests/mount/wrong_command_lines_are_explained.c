/* What cannot be mounted ends with a status other than 0 and a message that says what is wrong. */
#include "mount.h"

TestSuite (a_wrong_command_line, .init = mount_prepare, .fini = mount_teardown, .timeout = 60);

static void
assert_refused (Output output, const char *what)
{
  cr_assert_neq (output.status, 0);
  cr_assert (output.status < 128, "it crashed: %s", output.err);
  cr_assert (strstr (output.err, what) != NULL, "'%s' is not in: %s", what, output.err);
  cr_assert (!is_mounted (at (".")));
}

static Output
with_option (const char *option)
{
  return run (ttlfs_program (), "-o", option, backing_dir (), at ("."), NULL);
}

Test (a_wrong_command_line, without_directories_is_explained)
{
  assert_refused (run (ttlfs_program (), NULL), "BACKING");
  assert_refused (run (ttlfs_program (), backing_dir (), NULL), "MOUNTPOINT");
}

Test (a_wrong_command_line, with_too_many_directories_is_explained)
{
  assert_refused (run (ttlfs_program (), backing_dir (), at ("."), "third", NULL), "third");
}

Test (a_wrong_command_line, with_a_missing_backing_directory_is_explained)
{
  assert_refused (run (ttlfs_program (), raw ("missing"), at ("."), NULL), raw ("missing"));
}

Test (a_wrong_command_line, with_a_missing_mountpoint_is_explained)
{
  assert_refused (run (ttlfs_program (), backing_dir (), at ("missing"), NULL), at ("missing"));
}

Test (a_wrong_command_line, with_a_file_for_a_directory_is_explained)
{
  const char *file = text ("%s/file", work_dir ());

  assert_ok (put (file, "value"));
  assert_refused (run (ttlfs_program (), file, at ("."), NULL), file);
  assert_refused (run (ttlfs_program (), backing_dir (), file, NULL), file);
}

Test (a_wrong_command_line, with_an_unknown_option_names_it)
{
  assert_refused (with_option ("bogus"), "bogus");
  assert_refused (with_option ("ttl=1h,bogus=7"), "bogus");
  assert_refused (run (ttlfs_program (), "--bogus", backing_dir (), at ("."), NULL), "bogus");
}

Test (a_wrong_command_line, with_a_bad_ttl_shows_it)
{
  assert_refused (with_option ("ttl=banana"), "banana");
  assert_refused (with_option ("ttl=10"), "10");
  assert_refused (with_option ("ttl=49ms"), "49ms");
  assert_refused (with_option ("ttl="), "ttl");
  assert_refused (with_option ("ttl"), "ttl");
}

Test (a_wrong_command_line, with_a_bad_choice_shows_it)
{
  assert_refused (with_option ("keepalive=maybe"), "maybe");
  assert_refused (with_option ("names=pretty"), "pretty");
}

Test (a_wrong_command_line, leaves_the_backing_directory_unmarked)
{
  assert_refused (with_option ("bogus"), "bogus");
  assert_refused (run (ttlfs_program (), backing_dir (), at ("missing"), NULL), "missing");
  cr_assert_str_eq (listing (backing_dir ()), "");
}

Test (a_wrong_command_line, is_not_one_that_asks_for_help_or_version)
{
  Output help = run (ttlfs_program (), "--help", NULL),
         version = run (ttlfs_program (), "--version", NULL);
  static const char *const words[]
      = { "BACKING",     "MOUNTPOINT", "ttl=",    "keepalive=", "names=", "adopt",
          "allow_other", "ro",         "fsname=", "-f",         "-d" };

  cr_assert_eq (help.status, 0);
  for (guint i = 0; i < G_N_ELEMENTS (words); i++)
    cr_assert (strstr (help.out, words[i]) != NULL, "--help does not mention %s", words[i]);
  cr_assert_eq (version.status, 0);
  cr_assert (strstr (version.out, "ttlfs") != NULL && strpbrk (version.out, "0123456789") != NULL,
             "'%s'", version.out);
}
