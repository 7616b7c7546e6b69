/* Whatever the backing file system refuses, and with whatever error: the caller is told that very error, the old value
 * stays whole, nothing is left over, and when it goes well again everything does. */
#include "mount.h"

#include <sys/xattr.h>

static Faults *faults;

static void
mount_on_bad_ground (void)
{
  mount_prepare ();
  faults = mount_start_on_bad_ground ("ttl=1h", &(Faults){ 0 });
}

TestSuite (failing, .init = mount_on_bad_ground, .fini = mount_teardown, .timeout = 120);

static void
break_calls (int calls, int err)
{
  faults->err = err;
  __atomic_store_n (&faults->calls, calls, __ATOMIC_RELEASE);
}

static void
mend (void)
{
  __atomic_store_n (&faults->calls, 0, __ATOMIC_RELEASE);
}

static const int errors[] = { EIO, EDQUOT, ENOSPC, EROFS };

/* A put over "old", while some calls fail: the first error that the writer is told. */
static int
put_while_broken (const char *path, gboolean sync)
{
  int fd = open (path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  int err = fd < 0 ? errno : 0;

  if (err == 0 && write_all (fd, "new value") < 0)
    err = errno;
  if (err == 0 && sync && fsync (fd) < 0)
    err = errno;
  if (fd >= 0 && close (fd) < 0 && err == 0)
    err = errno;
  return err;
}

static void
assert_refused (int calls, gboolean sync)
{
  for (gsize i = 0; i < G_N_ELEMENTS (errors); i++)
    {
      int err;

      break_calls (calls, errors[i]);
      err = put_while_broken (at ("k"), sync);
      mend ();
      cr_expect_eq (err, errors[i], "calls %#x: told %s, not %s", (unsigned)calls, g_strerror (err),
                    g_strerror (errors[i]));
      assert_value (at ("k"), "old");
      assert_value (raw ("k"), "old");
      assert_eventually (2000, count_files (backing_dir ()) == 1);
      assert_ok (put (at ("k"), "next"));
      assert_value (at ("k"), "next");
      assert_ok (put (at ("k"), "old"));
    }
}

Test (failing, writes)
{
  assert_ok (put (at ("k"), "old"));
  assert_refused (FAULT_WRITE, FALSE);
}

Test (failing, syncs)
{
  assert_ok (put (at ("k"), "old"));
  assert_refused (FAULT_SYNC, TRUE);
  assert_refused (FAULT_SYNC, FALSE); /* a close, too, tells what could not be written back */
}

Test (failing, names)
{
  assert_ok (put (at ("k"), "old"));
  assert_refused (FAULT_NAME, FALSE);
}

Test (failing, times)
{
  assert_ok (put (at ("k"), "old"));
  assert_refused (FAULT_TIMES, FALSE);
}

Test (failing, every_change_at_once)
{
  assert_ok (put (at ("k"), "old"));
  assert_refused (FAULT_ALL & ~FAULT_OPEN, TRUE);
}

/* Whoever was told may try again, by another close or after another write. */
Test (failing, for_a_while)
{
  int fd;

  assert_ok (put (at ("k"), "old"));
  fd = open (at ("k"), O_WRONLY | O_TRUNC);
  assert_ok (fd);
  assert_ok (write_all (fd, "new"));
  break_calls (FAULT_NAME, EIO);
  assert_errno (close (dup (fd)), EIO);
  assert_value (raw ("k"), "old");
  mend ();
  assert_ok (close (dup (fd)));
  assert_value (raw ("k"), "new");
  assert_ok (write_all (fd, "er"));
  break_calls (FAULT_NAME, EIO);
  assert_errno (close (dup (fd)), EIO);
  mend ();
  assert_ok (write_all (fd, "!"));
  assert_ok (close (fd));
  assert_value (raw ("k"), "newer!");
}

/* What is set, moved and removed is told, too. */
Test (failing, other_verbs)
{
  assert_ok (put (at ("k"), "old"));
  assert_ok (mkdir (at ("b"), 0777));
  for (gsize i = 0; i < G_N_ELEMENTS (errors); i++)
    {
      break_calls (FAULT_ALL & ~FAULT_OPEN, errors[i]);
      assert_errno (rename (at ("k"), at ("b/k")), errors[i]);
      assert_errno (link (at ("k"), at ("l")), errors[i]);
      assert_errno (unlink (at ("k")), errors[i]);
      assert_errno (utimensat (AT_FDCWD, at ("k"), NULL, 0), errors[i]);
      assert_errno (truncate (at ("k"), 1), errors[i]);
      assert_errno (set_xattr (at ("k"), "user.note", "x"), errors[i]);
      assert_errno (rmdir (at ("b")), errors[i]);
      mend ();
      assert_value (at ("k"), "old");
      cr_assert_eq (count_listed (at (".")), 2);
    }
}

/* Nothing can be opened: no key is absent by that, none expires, and reading goes on when it can. */
Test (failing, opens)
{
  assert_ok (put (at ("k"), "old"));
  for (gsize i = 0; i < G_N_ELEMENTS (errors); i++)
    {
      int err;

      break_calls (FAULT_OPEN, errors[i]);
      cr_expect_null (get (at ("k")));
      cr_expect_eq (errno, errors[i], "told %s, not %s", g_strerror (errno),
                    g_strerror (errors[i]));
      err = put_while_broken (at ("k"), FALSE);
      cr_expect_eq (err, errors[i], "told %s, not %s", g_strerror (err), g_strerror (errors[i]));
      mend ();
      assert_value (at ("k"), "old");
    }
}

/* Leases are judged all the same, and what cannot be removed now is removed later. */
Test (failing, the_reaper)
{
  assert_ok (set_xattr (at ("."), "user.ttlfs.ttl", "300ms"));
  assert_ok (put (at ("k"), "old"));
  break_calls (FAULT_ALL & ~FAULT_OPEN, EIO);
  assert_eventually (2000, !exists (at ("k")));
  sleep_ms (500);
  cr_assert (exists (raw ("k")) || count_files (backing_dir ()) == 1);
  mend ();
  assert_eventually (5000, count_files (backing_dir ()) == 0);
}

Test (failing, the_keeper)
{
  int fd;

  assert_ok (set_xattr (at ("."), "user.ttlfs.ttl", "1500ms"));
  fd = open (at ("k"), O_WRONLY | O_CREAT, 0666);
  assert_ok (fd);
  assert_ok (write_all (fd, "held"));
  assert_ok (fsync (fd));
  break_calls (FAULT_TIMES, EIO);
  sleep_ms (700);
  mend ();
  assert_stays (3000, exists (at ("k")));
  assert_ok (close (fd));
}

/* What an append or a conditional put has replaced need not go at once; the new value is there, and once. */
Test (failing, removals_of_what_was_replaced_do_not_matter)
{
  int fd;

  assert_ok (put (at ("k"), "old"));
  break_calls (FAULT_UNLINK, EIO);
  fd = open (at ("k"), O_WRONLY | O_APPEND);
  assert_ok (fd);
  assert_ok (write_all (fd, "+"));
  assert_ok (fsync (fd));
  assert_value (at ("k"), "old+");
  assert_ok (write_all (fd, "+"));
  assert_ok (close (fd));
  mend ();
  assert_value (at ("k"), "old++");
  assert_value (raw ("k"), "old++");
}
