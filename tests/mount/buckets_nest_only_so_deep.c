/* A user cannot nest buckets until something breaks: there is a limit, and all that works below it
 * works at it. */
#include "mount.h"

#include "store.h"

/* The janitor names what it removes by path; this is deeper than any path. */
static void
teardown (void)
{
  if (backing_dir () != NULL)
    run ("rm", "-rf", raw ("d"), NULL);
  mount_teardown ();
}

TestSuite (buckets, .init = mount_setup, .fini = teardown, .timeout = 300);

typedef struct
{
  const char *dir;
  int depth;
} Nest;

/* Makes and enters d in d in d; 0 when all of it could be made. */
static int
make_nest (const void *data)
{
  const Nest *self = data;

  if (chdir (self->dir) < 0)
    return errno;
  for (int i = 0; i < self->depth; i++)
    if ((mkdir ("d", 0777) < 0 && errno != EEXIST) || chdir ("d") < 0)
      return errno;
  return 0;
}

static int
use_bottom (const void *data)
{
  int res = make_nest (data);
  const char *value;

  if (res != 0)
    return res;
  if (put ("k", "deep") < 0 || rename ("k", "key-1") < 0 || !lists ("./key-1"))
    return errno;
  value = get ("key-1");
  return g_strcmp0 (value, "deep") == 0 ? 0 : 200;
}

static void
assert_ends_quickly (void)
{
  gint64 start = now_ns ();

  mount_stop (mount_number (1));
  cr_assert_lt (now_ns () - start, tolerance_ns (3000));
}

Test (buckets, nest_down_to_the_limit_and_no_further)
{
  Nest all = { at ("."), TTL_DEPTH_MAX }, more = { at ("."), TTL_DEPTH_MAX + 1 };
  int status = in_child (ANY_USER, use_bottom, &all);

  cr_assert_eq (status, 0, "%s", g_strerror (status));
  status = in_child (ANY_USER, make_nest, &more);
  cr_assert_eq (status, ENAMETOOLONG, "%s", g_strerror (status));
  assert_ok (put (at ("k"), "alive"));
  assert_witnessed (at ("k"), "alive");
  assert_ends_quickly ();
}

Test (buckets, that_nest_down_to_the_limit_are_found_at_start_and_removed)
{
  Nest all = { at ("."), TTL_DEPTH_MAX };

  cr_assert_eq (in_child (ANY_USER, make_nest, &all), 0);
  mount_stop (mount_number (1));
  mount_start ("ttl=1h");
  cr_assert_eq (in_child (ANY_USER, use_bottom, &all), 0);
  assert_bash ("rm -r d; test -z \"$(ls -A)\"");
  cr_assert (!exists (raw ("d")));
  assert_ends_quickly ();
}

Test (buckets, that_a_raw_peer_nested_deeper_break_nothing)
{
  Nest deeper = { backing_dir (), TTL_DEPTH_MAX + 500 };
  Nest below = { at ("."), TTL_DEPTH_MAX + 500 }, more = { at ("."), TTL_DEPTH_MAX + 501 };
  int status;

  cr_assert_eq (in_child (ANY_USER, make_nest, &deeper), 0);
  assert_eventually (2000, exists (at ("d")));
  status = in_child (ANY_USER, use_bottom, &below);
  cr_assert_eq (status, 0, "%s", g_strerror (status));
  status = in_child (ANY_USER, make_nest, &more);
  cr_assert_eq (status, ENAMETOOLONG, "%s", g_strerror (status));
  assert_bash ("rm -r d; test -z \"$(ls -A)\"");
  assert_ends_quickly ();
}
