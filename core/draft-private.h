/* draft-private - what draft.c (the life of a description) and publish.c (the step that makes it visible) share. */
#pragma once

#include "draft.h"
#include "revision.h"
#include "store-private.h"

struct TtlDraft /* guarded by the description's owner, but for the two atomics */
{
  TtlStore *store;
  TtlBucket *bucket; /* owns a reference */
  TtlName backing;
  TtlOwner owner;   /* of a file that is made new */
  TtlOwner writer;  /* who writes; its mode is not looked at */
  gboolean append;  /* O_APPEND */
  gint dirty;       /* atomic; to be published by the last close */
  gboolean touched; /* changed through the description */
  gboolean written; /* in its content, and not only truncated by open() */
  gboolean orphan;
  int spoiled;        /* errno of a write that failed; 0: none */
  gint64 spoiled_at;  /* the first byte that is missing; -1: not known */
  gboolean published; /* at least once */
  gboolean rebased;   /* what it appended went behind something that it did not start from */
  gboolean refused;   /* its publication has failed, and it has not been changed since */

  int base_fd;          /* the version it started from or published last; -1: none */
  struct stat base;     /* as it was then; st_ino == 0: none */
  TtlDuration base_ttl; /* the base's own TTL; ns == 0: none */

  int own_fd;      /* the private file; -1 while clean */
  guint64 own_ino; /* atomic; of the private file, also when it is one no more */
  TtlName scratch; /* its name where there is no O_TMPFILE, or "" */
  gboolean spent;  /* the private file has lost its last name, and can be given no other */
  gint64
      append_from; /* what lies behind was appended, and nothing else was changed; -1 otherwise */

  struct /* as it was when a change of the content was begun that may fail */
  {
    gboolean own, touched, written, refused, mtime_set, dirty;
    gint64 append_from;
  } before;

  /* Set through the description since the last publication; what is not, comes from the key. */
  gboolean mode_set, owner_set, mtime_set, ttl_set;
  gint64 mtime_ns;
  TtlDuration ttl;        /* ns == 0: removed */
  GHashTable *xattrs_set; /* set of names; NULL while empty */

  TtlRevision if_match; /* what the next publication must replace; "": anything */

  TtlName claim;        /* what our claim on the name points to, or "" */
  guint64 claim_hold;   /* the claim is renewed, and so is ... */
  guint64 scratch_hold; /* ... the private file's scratch name, and ... */
  guint64 hold;         /* ... the version that was published */
};

/* Opens a private file in @dir_fd, with a name only where it must have one. */
int ttl_draft_make_file (TtlDraft *self, int dir_fd, int *fd_out, TtlName scratch_out);
/* Makes @fd, which is taken, the private file, called @scratch or "". There must be none. */
void ttl_draft_take_own (TtlDraft *self, int fd, const char *scratch);
/* The same, of one that was taken away from here, with its hold; it is spent or not as it was. */
void ttl_draft_put_back_own (TtlDraft *self, int fd, const char *scratch, guint64 hold,
                             gboolean spent);
/* Gives up the claim: the name is free again if nobody has taken it over. */
void ttl_draft_drop_claim (TtlDraft *self);
/* Drops the private file. */
void ttl_draft_drop_own (TtlDraft *self);
/* Forgets what was set through the description. */
void ttl_draft_reset_set (TtlDraft *self);
/* Whether who writes may also do what @wanted says (4 read, 2 write, 1 search) to what @st is of. Always where that has the rights of
 * the version that it started from, which the kernel has let it open. */
gboolean ttl_draft_may (const TtlDraft *self, const struct stat *st, mode_t wanted);
/* Drops what is unpublished, of which nothing was written, and goes on from the value that stands there now. */
void ttl_draft_restart (TtlDraft *self, gint64 now_ns);
/* What writing leaves of a mode: the bits go by which another user could make a file do things as its owner. */
mode_t ttl_draft_written_mode (const TtlDraft *self, mode_t mode);
