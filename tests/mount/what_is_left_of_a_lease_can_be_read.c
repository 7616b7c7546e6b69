/* user.ttlfs.remaining and user.ttlfs.expires: the time left and the RFC 3339 deadline, for reading
 * only. */
#include "mount.h"

#include <stdlib.h>
#include <sys/xattr.h>

static void
mount_with_a_minute (void)
{
  mount_setup_with ("ttl=60s");
}

TestSuite (what_is_left, .init = mount_with_a_minute, .fini = mount_teardown, .timeout = 60);

/* "59s", "59990ms", "1m", "59.9s" in nanoseconds; -1 for anything else. */
static gint64
parse (const char *duration)
{
  char *unit;
  double number = strtod (duration, &unit);

  if (unit == duration)
    return -1;
  if (strcmp (unit, "ms") == 0)
    return (gint64)(number * MS);
  if (strcmp (unit, "s") == 0)
    return (gint64)(number * SECOND);
  if (strcmp (unit, "m") == 0)
    return (gint64)(number * 60 * SECOND);
  if (strcmp (unit, "h") == 0)
    return (gint64)(number * 3600 * SECOND);
  return strcmp (unit, "d") == 0 ? (gint64)(number * 86400 * SECOND) : -1;
}

/* The attribute must lie where the clock says, give or take a second of rounding. */
static void
assert_remaining (const char *path, gint64 deadline)
{
  gint64 before = now_ns ();
  const char *remaining = xattr (path, "user.ttlfs.remaining");
  gint64 after = now_ns (), left;

  cr_assert (remaining != NULL, "%s", g_strerror (errno));
  left = parse (remaining);
  cr_assert (left > 0, "'%s' is no duration", remaining);
  cr_assert (left <= deadline - before + SECOND && left >= deadline - after - SECOND,
             "'%s' remaining of %ld ms", remaining, (long)((deadline - before) / MS));
}

Test (what_is_left, of_a_new_key_is_its_ttl)
{
  assert_ok (put (at ("k"), "value"));
  assert_remaining (at ("k"), mtime_ns (at ("k")) + 60 * SECOND);
}

Test (what_is_left, grows_with_a_future_mtime)
{
  assert_ok (put (at ("k"), "value"));
  assert_ok (set_mtime_ns (at ("k"), now_ns () + 1000 * SECOND));
  assert_remaining (at ("k"), mtime_ns (at ("k")) + 60 * SECOND);
}

Test (what_is_left, shrinks)
{
  assert_ok (put (at ("k"), "value"));
  assert_ok (set_mtime_ns (at ("k"), now_ns () - 30 * SECOND));
  assert_remaining (at ("k"), mtime_ns (at ("k")) + 60 * SECOND);
}

Test (what_is_left, with_inf_is_inf)
{
  assert_ok (put (at ("k"), "value"));
  assert_ok (set_xattr (at ("k"), "user.ttlfs.ttl", "inf"));
  cr_assert_str_eq (xattr (at ("k"), "user.ttlfs.remaining"), "inf");
}

Test (what_is_left, has_an_end_in_rfc_3339)
{
  g_autoptr (GDateTime) end = NULL;
  const char *expires;
  gint64 deadline;

  assert_ok (put (at ("k"), "value"));
  deadline = mtime_ns (at ("k")) + 60 * SECOND;
  expires = xattr (at ("k"), "user.ttlfs.expires");
  cr_assert (expires != NULL, "%s", g_strerror (errno));
  end = g_date_time_new_from_iso8601 (expires, NULL); /* without a zone it is not RFC 3339 */
  cr_assert (end != NULL, "'%s' is no RFC 3339 time", expires);
  cr_assert (ABS (g_date_time_to_unix (end) - deadline / SECOND) <= 1, "'%s' is not %ld", expires,
             (long)(deadline / SECOND));
}

Test (what_is_left, cannot_be_written)
{
  assert_ok (put (at ("k"), "value"));
  cr_assert (set_xattr (at ("k"), "user.ttlfs.remaining", "1h") < 0
                 && (errno == EPERM || errno == EACCES),
             "%s", g_strerror (errno));
  cr_assert (set_xattr (at ("k"), "user.ttlfs.expires", "2040-01-01T00:00:00Z") < 0
                 && (errno == EPERM || errno == EACCES),
             "%s", g_strerror (errno));
  cr_assert_lt (removexattr (at ("k"), "user.ttlfs.remaining"), 0);
  assert_remaining (at ("k"), mtime_ns (at ("k")) + 60 * SECOND);
}

/* What is listed is what cp -a copies. */
Test (what_is_left, is_not_listed)
{
  assert_ok (put (at ("k"), "value"));
  assert_ok (set_xattr (at ("k"), "user.ttlfs.ttl", "5m"));
  cr_assert (!lists_xattr (at ("k"), "user.ttlfs.remaining"));
  cr_assert (!lists_xattr (at ("k"), "user.ttlfs.expires"));
  assert_bash ("cp -a k l; test \"$(cat l)\" = value");
}
