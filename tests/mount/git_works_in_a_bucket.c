/* git makes, locks, links, maps and renames everything it has; a bucket with inf must be to its
 * taste. */
#include "mount.h"

static void
mount_with_a_repository (void)
{
  mount_setup_with ("ttl=10s");
  need ("git");
  assert_bash (
      "git config --global user.name Test; git config --global user.email test@example.invalid; "
      "git config --global init.defaultBranch main; git config --global safe.directory '*'; "
      "git init -q $TMP/source; cd $TMP/source; for i in $(seq 30); do seq $i $((i * 100)) > "
      "file-$i; "
      "mkdir -p dir.$i/sub; echo $i > dir.$i/sub/file_$i; git add .; git commit -q -m \"commit "
      "$i\"; done; "
      "git branch other HEAD~10; git tag v1 HEAD~5");
  assert_ok (mkdir (at ("b"), 0777));
  assert_ok (set_xattr (at ("b"), "user.ttlfs.ttl", "inf"));
}

TestSuite (git, .init = mount_with_a_repository, .fini = mount_teardown, .timeout = 300);

Test (git, clones_and_finds_nothing_wrong)
{
  assert_bash (
      "cd b; git clone -q --no-local file://$TMP/source clone; cd clone; git fsck --strict; "
      "test -z \"$(git status --porcelain)\"; diff -r -x .git $TMP/source .");
}

Test (git, commits_branches_and_packs)
{
  assert_bash ("cd b; git clone -q $TMP/source clone; cd clone; git checkout -q -b work; echo new "
               "> new-file; "
               "git add new-file; git commit -q -m new; git checkout -q -b other origin/other; git "
               "merge -q -m m work; "
               "git gc -q; git fsck --strict; test -z \"$(git status --porcelain)\"; git log "
               "--oneline | grep -q new");
}

Test (git, clones_within_the_mount)
{
  assert_bash (
      "cd b; git clone -q $TMP/source one; git clone -q one two; cd two; git fsck --strict; "
      "echo x > x; git add x; git commit -q -m x; git push -q origin HEAD:pushed; cd ../one; git "
      "log pushed "
      "--oneline | grep -q x");
}

Test (git, keeps_its_repository_over_a_remount)
{
  assert_bash ("cd b; git clone -q $TMP/source clone");
  mount_stop (mount_number (1));
  mount_start ("ttl=10s");
  assert_bash ("cd b/clone; git fsck --strict; test -z \"$(git status --porcelain)\"");
}
