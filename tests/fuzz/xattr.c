/* Attributes of a key, of scratch, of a bucket and of a draft. The first byte chooses what the file system can do, each
 * line is one call:  VERB WHAT SIZE NAME=VALUE  with one byte each for the first three. What was set can be read back,
 * nothing but a TTL passes for a TTL, and nobody but ttlfs has names of ours. */
#include "attrs.h"
#include "draft.h"
#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>

#define NAME_MOST 300
#define VALUE_MOST 5000
#define READ_MOST 70000 /* more than an attribute can be */

/* What the attributes are of. */
typedef struct
{
  Root *root;
  TtlBucket *bucket;
  const char *backing; /* NULL: the bucket, or the draft */
  TtlDraft *draft;     /* NULL: what has a name */
} Subject;

static ssize_t
get (const Subject *of, const char *name, void *value_out, gsize size)
{
  TtlStore *store = of->root->store;
  const gint64 now_ns = ttl_store_now (store);

  return of->draft != NULL ? ttl_draft_get_xattr (of->draft, name, value_out, size, now_ns)
                           : ttl_store_get_xattr (store, of->bucket, of->backing, name, value_out,
                                                  size, now_ns, NULL);
}

static int
set (const Subject *of, const char *name, const void *value, gsize len, int flags)
{
  TtlStore *store = of->root->store;
  const gint64 now_ns = ttl_store_now (store);

  return of->draft != NULL ? ttl_draft_set_xattr (of->draft, name, value, len, flags, now_ns)
                           : ttl_store_set_xattr (store, of->bucket, of->backing, name, value, len,
                                                  flags, now_ns, NULL);
}

static int
take_away (const Subject *of, const char *name)
{
  TtlStore *store = of->root->store;
  const gint64 now_ns = ttl_store_now (store);

  return of->draft != NULL
             ? ttl_draft_remove_xattr (of->draft, name, now_ns)
             : ttl_store_remove_xattr (store, of->bucket, of->backing, name, now_ns, NULL);
}

static ssize_t
list (const Subject *of, char *names_out, gsize size)
{
  TtlStore *store = of->root->store;

  return of->draft != NULL ? ttl_draft_list_xattr (of->draft, names_out, size)
                           : ttl_store_list_xattr (store, of->bucket, of->backing, names_out, size,
                                                   ttl_store_now (store));
}

/* An answer's length, or an error that can be told to the kernel; never more than there was room for. */
static void
check_length (ssize_t len, gsize size)
{
  fuzz_assert (len > -4096);
  fuzz_assert (len <= 0 || size == 0 || (gsize)len <= size);
}

static void
do_get (const Subject *of, const char *name, gsize size)
{
  g_autofree char *value = g_malloc (MAX (size, 1));

  check_length (get (of, name, value, size), size);
}

static void
do_list (const Subject *of, gsize size)
{
  g_autofree char *names = g_malloc (MAX (size, 1));
  ssize_t len = list (of, names, size);

  check_length (len, size);
  fuzz_assert (len <= 0 || size == 0 || names[len - 1] == '\0');
  for (char *name = names; len > 0 && size > 0 && name < names + len; name += strlen (name) + 1)
    {
      TtlXattrKind kind = ttl_xattr_kind (name);

      fuzz_assert (kind == TTL_XATTR_PLAIN || kind == TTL_XATTR_TTL);
      fuzz_assert (get (of, name, NULL, 0) >= 0);
    }
}

static void
do_set (const Subject *of, const char *name, const void *value, gsize len, int flags)
{
  const TtlXattrKind kind = ttl_xattr_kind (name);
  g_autofree char *back = g_malloc (READ_MOST);
  ssize_t back_len;
  TtlDuration ttl;
  int res = set (of, name, value, len, flags);

  fuzz_assert (res <= 0 && res > -4096);
  if (res < 0)
    return;
  fuzz_assert (kind == TTL_XATTR_PLAIN || kind == TTL_XATTR_TTL);
  fuzz_assert (kind != TTL_XATTR_TTL || ttl_duration_parse (value, len, &ttl) == 0);
  back_len = get (of, name, back, READ_MOST);
  if (kind == TTL_XATTR_TTL && back_len == -ENOENT) /* by this TTL its lease has ended */
    return;
  fuzz_assert (back_len == (ssize_t)len && memcmp (back, value, len) == 0);
  fuzz_assert (get (of, name, NULL, 0) == back_len);
}

static void
do_remove (const Subject *of, const char *name)
{
  const TtlXattrKind kind = ttl_xattr_kind (name);
  int res = take_away (of, name);

  fuzz_assert (res <= 0 && res > -4096);
  fuzz_assert (res < 0 || kind == TTL_XATTR_PLAIN || kind == TTL_XATTR_TTL);
  fuzz_assert (res < 0 || kind != TTL_XATTR_PLAIN || get (of, name, NULL, 0) == -ENODATA);
}

static void
do_line (Bytes line, const Subject *subjects, gsize n)
{
  const guint8 verb = bytes_take_number (&line), what = bytes_take_number (&line);
  const guint8 size = bytes_take_number (&line);
  const Subject *of = &subjects[what % n];
  Bytes name_bytes = bytes_take_part (&line, '=');
  g_autofree char *name = bytes_take_string (&name_bytes, NAME_MOST);
  gsize len;
  g_autofree guint8 *value = bytes_take_some (&line, VALUE_MOST, &len);

  switch (verb % 5)
    {
    case 0:
      do_set (of, name, value, len,
              size % 4 == 1   ? XATTR_CREATE
              : size % 4 == 2 ? XATTR_REPLACE
                              : 0);
      break;
    case 1:
      do_get (of, name, size);
      break;
    case 2:
      do_list (of, size * 2);
      break;
    case 3:
      do_remove (of, name);
      break;
    default:
      ttl_clock_advance (of->root->clock, size * 100 * TTL_NS_PER_MS);
    }
}

static TtlDraft *
open_draft (Root *root, const char *backing)
{
  const TtlOwner owner = { .uid = geteuid (), .gid = getegid (), .mode = 0644 };
  TtlDraft *draft = NULL;

  fuzz_assert (ttl_draft_open (root->store, ttl_store_root (root->store), backing,
                               O_CREAT | O_TRUNC, &owner, ttl_store_now (root->store), &draft)
               == 0);
  return draft;
}

static void
put (Root *root, const char *backing)
{
  g_autoptr (TtlDraft) draft = open_draft (root, backing);

  fuzz_assert (ttl_draft_publish (draft, TTL_PUBLISH_LAST) == 0);
}

static void
run (Root *root, Bytes bytes)
{
  const TtlOwner owner = { .uid = geteuid (), .gid = getegid (), .mode = 0755 };
  TtlBucket *top = ttl_store_root (root->store);
  g_autoptr (TtlBucket) bucket = NULL;
  g_autoptr (TtlDraft) draft = open_draft (root, "draft");
  const Subject subjects[]
      = { { root, top, "key", NULL }, { root, top, NULL, NULL }, { root, top, ".tmp_x", NULL },
          { root, NULL, NULL, NULL }, { root, top, NULL, NULL }, { root, top, "missing", NULL },
          { root, top, "key", NULL } };
  Subject all[G_N_ELEMENTS (subjects)];

  put (root, "key");
  put (root, ".tmp_x");
  fuzz_assert (ttl_store_mkdir (root->store, top, "b", &owner, ttl_store_now (root->store), &bucket)
               == 0);
  memcpy (all, subjects, sizeof all);
  all[3].bucket = bucket;
  all[4].draft = draft;
  while (bytes.left > 0)
    do_line (bytes_take_part (&bytes, '\n'), all, G_N_ELEMENTS (all));
}

int
LLVMFuzzerInitialize (int *argc G_GNUC_UNUSED, char ***argv G_GNUC_UNUSED)
{
  fuzz_quiet ();
  return 0;
}

int
LLVMFuzzerTestOneInput (const guint8 *data, size_t size)
{
  Bytes bytes = { data, size };
  const guint before = count_descriptors ();
  Root root = root_new (bytes_take_number (&bytes) & ~8); /* something has to be put there */

  bytes_take_part (&bytes, '\n');
  run (&root, bytes);
  g_clear_pointer (&root.store, ttl_store_close);
  root_clear (&root);
  fuzz_assert (count_descriptors () == before);
  return 0;
}
