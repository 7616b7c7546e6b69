/* At its deadline a key is absent, whatever is asked about it, and whether or not its file is still
 * there. */
#include "mount.h"

#include <linux/fs.h>
#include <sys/xattr.h>

#define TTL (300 * MS)

static void
mount_with_a_short_ttl (void)
{
  mount_setup_with ("ttl=300ms");
}

TestSuite (an_expired_key, .init = mount_with_a_short_ttl, .fini = mount_teardown, .timeout = 60);

/* A key that has expired this very moment; nobody has asked about it since. */
static const char *
expired (const char *name)
{
  const char *path = at (name);
  gint64 deadline;

  assert_ok (put (path, "old"));
  deadline = mtime_ns (path) + TTL;
  sleep_until (deadline);
  return path;
}

Test (an_expired_key, has_no_attributes) { assert_errno (stat_of (expired ("k"), NULL), ENOENT); }

Test (an_expired_key, cannot_be_opened)
{
  assert_errno (open (expired ("k"), O_RDONLY), ENOENT);
  assert_errno (open (expired ("l"), O_WRONLY), ENOENT);
  assert_errno (open (expired ("m"), O_RDWR | O_TRUNC), ENOENT);
}

Test (an_expired_key, is_not_listed)
{
  expired ("k");
  cr_assert_str_eq (listing (at (".")), "");
}

Test (an_expired_key, cannot_be_renamed)
{
  assert_errno (rename (expired ("k"), at ("l")), ENOENT);
  assert_absent (at ("l"));
}

Test (an_expired_key, cannot_be_linked)
{
  assert_errno (link (expired ("k"), at ("l")), ENOENT);
  assert_absent (at ("l"));
}

Test (an_expired_key, cannot_be_unlinked) { assert_errno (unlink (expired ("k")), ENOENT); }

Test (an_expired_key, cannot_be_touched_alive)
{
  assert_errno (utimensat (AT_FDCWD, expired ("k"), NULL, 0), ENOENT);
  assert_absent (at ("k"));
  assert_errno (set_mtime_ns (expired ("l"), now_ns () + SECOND), ENOENT);
  assert_absent (at ("l"));
}

Test (an_expired_key, has_no_xattrs)
{
  char value[16];

  assert_errno (lgetxattr (expired ("k"), "user.ttlfs.ttl", value, sizeof value), ENOENT);
  assert_errno (set_xattr (expired ("l"), "user.ttlfs.ttl", "1h"), ENOENT);
  assert_errno (llistxattr (expired ("m"), value, sizeof value), ENOENT);
  assert_errno (lremovexattr (expired ("n"), "user.ttlfs.ttl"), ENOENT);
}

Test (an_expired_key, takes_no_mode_owner_or_size)
{
  assert_errno (chmod (expired ("k"), 0600), ENOENT);
  assert_errno (chown (expired ("l"), (uid_t)-1, getegid ()), ENOENT);
  assert_errno (truncate (expired ("m"), 0), ENOENT);
  assert_errno (access (expired ("n"), F_OK), ENOENT);
}

Test (an_expired_key, is_made_anew_by_o_creat)
{
  assert_ok (put (expired ("k"), "new"));
  assert_witnessed (at ("k"), "new");
}

Test (an_expired_key, is_made_anew_by_o_excl)
{
  assert_ok (put_with (expired ("k"), O_CREAT | O_EXCL, "new"));
  assert_witnessed (at ("k"), "new");
  assert_errno (put_with (at ("k"), O_CREAT | O_EXCL, "newer"), EEXIST);
}

Test (an_expired_key, is_made_anew_by_append)
{
  assert_ok (put_with (expired ("k"), O_CREAT | O_APPEND, "new"));
  assert_witnessed (at ("k"), "new"); /* nothing of the old value */
}

Test (an_expired_key, is_made_anew_with_mode_and_ttl_of_a_new_one)
{
  assert_ok (put (at ("k"), "old"));
  assert_ok (chmod (at ("k"), 0600));
  assert_ok (set_xattr (at ("k"), "user.ttlfs.ttl", "250ms"));
  sleep_until (mtime_ns (at ("k")) + 270 * MS); /* a put that began before would keep both */
  assert_ok (put (at ("k"), "new"));
  cr_assert_eq (mode_of (at ("k")), 0644);
  cr_assert_str_eq (xattr (at ("k"), "user.ttlfs.ttl"), "300ms");
}

Test (an_expired_key, is_made_anew_by_touch)
{
  expired ("k");
  assert_bash ("touch k");
  assert_witnessed (at ("k"), "");
}

Test (an_expired_key, frees_its_name_for_rename_and_link)
{
  assert_ok (mkdir (at ("live"), 0777));
  assert_ok (set_xattr (at ("live"), "user.ttlfs.ttl", "1h"));
  assert_ok (put (at ("live/a"), "a"));
  assert_ok (set_mtime_ns (at ("live/a"),
                           now_ns () + 3600 * SECOND)); /* so that it lives in the root, too */
  assert_ok (link (at ("live/a"), expired ("k")));
  assert_ok (renameat2 (AT_FDCWD, at ("live/a"), AT_FDCWD, expired ("l"), RENAME_NOREPLACE));
}

Test (an_expired_key, frees_its_name_for_a_bucket)
{
  assert_ok (mkdir (expired ("k"), 0777));
  cr_assert_str_eq (listing (at (".")), "k\n");
}

Test (an_expired_key, does_not_keep_its_bucket)
{
  assert_ok (mkdir (at ("b"), 0777));
  for (int i = 0; i < 100; i++)
    assert_ok (put (at (text ("b/k%d", i)), "value"));
  expired ("b/last");
  assert_ok (rmdir (at ("b")));
  assert_absent (at ("b"));
  cr_assert (!exists (raw ("b")), "the directory is still there");
}

Test (an_expired_key, that_was_held_open_frees_its_bucket_too)
{
  int fd;

  assert_ok (mkdir (at ("b"), 0777));
  assert_ok (put (at ("b/k"), "value"));
  fd = open (at ("b/k"), O_RDONLY);
  assert_ok (fd);
  expired ("b/l");
  assert_ok (rmdir (at ("b")));
  cr_assert_str_eq (get_fd (fd), "value");
  assert_ok (close (fd));
}

Test (an_expired_key, is_gone_through_every_mount)
{
  const char *path;

  mount_start ("ttl=300ms");
  path = at2 ("k");
  assert_ok (put (at ("k"), "value"));
  assert_eventually (200, exists (path));
  sleep_until (mtime_ns (raw ("k")) + TTL);
  assert_errno (stat_of (path, NULL), ENOENT);
}
