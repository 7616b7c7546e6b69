/* A value is what was written, byte for byte, however large and in whatever pieces. */
#include "mount.h"

TestSuite (a_value, .init = mount_setup, .fini = mount_teardown, .timeout = 120);

static char *
pattern (gsize len)
{
  char *bytes = g_malloc (len + 1);

  for (gsize i = 0; i < len; i++)
    bytes[i] = (char)((i * 2654435761u) >> 13);
  return bytes;
}

static void
assert_bytes (const char *path, const char *expected, gsize expected_len)
{
  gsize len;
  g_autofree char *bytes = get_bytes (path, &len);

  cr_assert (bytes != NULL, "%s: %s", path, g_strerror (errno));
  cr_assert_eq (len, expected_len, "%zu bytes came back of %zu", len, expected_len);
  cr_assert (memcmp (bytes, expected, len) == 0, "%zu bytes came back changed", len);
}

Test (a_value, of_any_size_comes_back)
{
  static const gsize sizes[]
      = { 0, 1, 2, 4095, 4096, 4097, 65536, 65537, 131071, 131072, 131073, 1 << 20, 5 << 20 };

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autofree char *bytes = pattern (sizes[i]);
      struct stat st;

      assert_ok (put_bytes (at ("k"), bytes, sizes[i]));
      assert_bytes (at ("k"), bytes, sizes[i]);
      assert_ok (witness_stat (at ("k"), &st));
      cr_assert_eq ((gsize)st.st_size, sizes[i]);
    }
}

Test (a_value, written_in_odd_pieces_comes_back)
{
  const gsize len = 300000;
  g_autofree char *bytes = pattern (len);
  gsize done = 0, piece = 1;
  int fd = open (at ("k"), O_WRONLY | O_CREAT | O_TRUNC, 0666);

  assert_ok (fd);
  while (done < len)
    {
      ssize_t n = write (fd, bytes + done, MIN (piece, len - done));

      assert_ok (n);
      done += (gsize)n;
      piece = piece * 3 % 70001 + 1;
    }
  assert_ok (close (fd));
  assert_bytes (at ("k"), bytes, len);
}

Test (a_value, may_be_written_back_to_front)
{
  g_autofree char *bytes = pattern (100000);
  int fd = open (at ("k"), O_WRONLY | O_CREAT, 0666);

  assert_ok (fd);
  for (int at_byte = 99000; at_byte >= 0; at_byte -= 1000)
    cr_assert_eq (pwrite (fd, bytes + at_byte, 1000, at_byte), 1000);
  assert_ok (close (fd));
  assert_bytes (at ("k"), bytes, 100000);
}

Test (a_value, with_a_hole_reads_as_zeroes_there)
{
  int fd = open (at ("k"), O_WRONLY | O_CREAT, 0666);
  g_autofree char *expected = g_malloc0 ((1 << 20) + 1);

  assert_ok (fd);
  cr_assert_eq (pwrite (fd, "x", 1, 1 << 20), 1);
  assert_ok (close (fd));
  expected[1 << 20] = 'x';
  assert_bytes (at ("k"), expected, (1 << 20) + 1);
}

Test (a_value, overwritten_in_the_middle_keeps_the_rest)
{
  int fd;

  assert_ok (put (at ("k"), "0123456789"));
  fd = open (at ("k"), O_WRONLY);
  assert_ok (fd);
  cr_assert_eq (pwrite (fd, "xx", 2, 4), 2);
  assert_witnessed (at ("k"), "0123456789");
  assert_ok (close (fd));
  assert_witnessed (at ("k"), "0123xx6789");
}

Test (a_value, that_is_shorter_replaces_a_longer_one_whole)
{
  assert_ok (put (at ("k"), "a longer value"));
  assert_ok (put (at ("k"), "short"));
  assert_value (at ("k"), "short");
  assert_witnessed (at ("k"), "short");
}

Test (a_value, of_five_mebibytes_survives_cp_dd_and_cat)
{
  assert_bash ("head -c 5242880 /dev/urandom > $TMP/big; cp $TMP/big k; cmp $TMP/big k");
  assert_bash ("dd if=$TMP/big of=k2 bs=7777 status=none; cmp $TMP/big k2");
  assert_bash ("cat k k2 > k3; cat $TMP/big $TMP/big | cmp - k3");
}
