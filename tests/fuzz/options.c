/* The command line: the arguments are the lines of the input. Whatever they are, they are understood or refused with a
 * reason, and nothing is lost on either way. */
#include "options.h"
#include "fuzz.h"

#include <string.h>

#define ARGUMENTS_MAX 64

static void
check_understood (const TtlOptions *options)
{
  if (options->help || options->version)
    return;
  fuzz_assert (options->backing != NULL && options->mountpoint != NULL);
  fuzz_assert (options->foreground || !options->debug);
  fuzz_assert (options->mount_flags[0] == '\0' || options->mount_flags[0] == ',');
  fuzz_assert (options->fsname == NULL || options->fsname[0] != '\0');
  fuzz_assert (options->store.ttl.ns == 0 || options->store.ttl.ns >= TTL_DURATION_MIN_NS);
  fuzz_assert (options->store.keepalive <= TTL_KEEPALIVE_OWNED);
  fuzz_assert (options->store.background);
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
  const gboolean is_root = size > 0 && data[size - 1] & 1;
  g_autoptr (GPtrArray) arguments = g_ptr_array_new_with_free_func (g_free);
  g_auto (TtlOptions) options = { 0 };
  g_autoptr (GError) error = NULL;

  g_ptr_array_add (arguments, g_strdup ("ttlfs"));
  while (bytes.left > 0 && arguments->len < ARGUMENTS_MAX)
    {
      Bytes line = bytes_take_part (&bytes, '\n');
      g_ptr_array_add (arguments, bytes_take_string (&line, G_MAXSIZE));
    }
  g_ptr_array_add (arguments, NULL);

  if (ttl_options_parse ((int)arguments->len - 1, (char **)arguments->pdata, is_root, &options,
                         &error))
    {
      fuzz_assert (error == NULL);
      check_understood (&options);
    }
  else
    fuzz_assert (error != NULL && error->message[0] != '\0');
  return 0;
}
