/* fuzz - what the fuzz targets share: the bytes of an input, and a store in a directory of its own.
 *
 * A target is one function, LLVMFuzzerTestOneInput(). It aborts, by fuzz_assert() or a sanitizer, when a promise is
 * broken; the input that did it is kept. Everything that it makes is gone when it returns: memory, descriptors and files. */
#pragma once

#include "store.h"

#include <glib.h>

int LLVMFuzzerTestOneInput (const guint8 *data, size_t size);
int LLVMFuzzerInitialize (int *argc, char ***argv);

#define fuzz_assert(...) \
  G_STMT_START \
  { \
    if (G_UNLIKELY (!(__VA_ARGS__))) \
      fuzz_fail (__FILE__, __LINE__, #__VA_ARGS__); \
  } \
  G_STMT_END

_Noreturn void fuzz_fail (const char *file, int line, const char *claim);

/* Warnings are for people and are dropped; what GLib calls critical is a bug. Writes past a few MB fail. Call it from
 * LLVMFuzzerInitialize(). */
void fuzz_quiet (void);

/* ---- the bytes ---- */

/* What is left of an input, or of a part of it. */
typedef struct
{
  const guint8 *at;
  gsize left;
} Bytes;

/* The next byte; 0 when there is none. */
guint8 bytes_take (Bytes *self);
/* The next byte counted from the digit 0, so that inputs can be written as text; 0 when there is none. */
guint8 bytes_take_number (Bytes *self);
/* Up to @most bytes, in memory of exactly that size, so that reading past them is seen. Free with g_free(). */
guint8 *bytes_take_some (Bytes *self, gsize most, gsize *len_out);
/* The same as a string, which ends at the first NUL. */
char *bytes_take_string (Bytes *self, gsize most);
/* What is left up to the next @separator, which is dropped. */
Bytes bytes_take_part (Bytes *self, guint8 separator);

/* ---- the store ---- */

typedef struct
{
  char *path;      /* a directory under TTLFS_TEST_DIR, or else the temporary directory */
  TtlClock *clock; /* the store's: turned by hand */
  TtlStore *store;
  gpointer set_aside; /* settings that the store no longer uses */
} Root;

/* No background threads. @variant: bits that choose the options, and what the file system is said to be able to do. */
Root root_new (guint8 variant);
/* The store is closed, by the caller if it was taken away from here. Removes the directory. */
void root_clear (Root *self);
/* How many descriptors this process has open. */
guint count_descriptors (void);
