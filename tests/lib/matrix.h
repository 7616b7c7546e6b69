/* matrix - runs a topic of ../matrix, which makes its calls beside the backing directory, on the same file system, and in a
 * bucket: results, errors, modes, owners, sizes, links and times are the same, but for what fs/README.md lists. */
#pragma once

#include "mount.h"

static inline void
assert_as_on_a_local_file_system (const char *topic)
{
  const char *reference = text ("%s.reference", backing_dir ());
  Output output;

  need ("python3");
  output = run ("python3", g_getenv ("TTLFS_MATRIX"), topic, reference, at ("b"), NULL);
  if (exists (reference))
    (void)run ("rm", "-rf", reference, NULL);
  cr_assert_eq (output.status, 0, "%s%s", output.out, output.err);
}

/* A program that is not root's is refused alike in both, and root's tells more. */
#define FOR_ANYBODY(topic) \
  Test (calls, about_##topic) { assert_as_on_a_local_file_system (#topic); }
#define FOR_ROOT(topic) \
  Test (calls, about_##topic) \
  { \
    need_root (); \
    assert_as_on_a_local_file_system (#topic); \
  }
