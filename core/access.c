#include "access.h"

#include <string.h>

static gboolean
is_in_group (const TtlOwner *who, gid_t gid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/status", (int)who->tid);
  g_autofree char *text = NULL;
  const char *at;

  if (who->gid == gid)
    return TRUE;
  if (who->tid <= 0 || !g_file_get_contents (path, &text, NULL, NULL))
    return FALSE;
  at = strstr (text, "\nGroups:");
  if (at == NULL)
    return FALSE;
  for (at += strlen ("\nGroups:"); *at == '\t' || *at == ' ';)
    {
      char *end;
      guint64 group = g_ascii_strtoull (at, &end, 10);

      if (end == at)
        return FALSE;
      if (group == gid)
        return TRUE;
      at = end;
    }
  return FALSE;
}

gboolean
ttl_access_may (const TtlOwner *who, const struct stat *st, mode_t wanted)
{
  mode_t bits = st->st_mode;

  if (who->uid == 0)
    return TRUE;
  if (st->st_uid == who->uid)
    bits >>= 6;
  else if (is_in_group (who, st->st_gid))
    bits >>= 3;
  return (bits & wanted) == wanted;
}

gboolean
ttl_access_is_same (const struct stat *a, const struct stat *b)
{
  return a->st_ino != 0 && a->st_mode == b->st_mode && a->st_uid == b->st_uid
         && a->st_gid == b->st_gid;
}

/* What the kernel has checked must have been these modes and owners: an inode number alone may be another file's by now. */
static gboolean
is_as_checked (const TtlAccess *self, const struct stat *st)
{
  if (ttl_access_is_same (&self->told, st) && self->is_told)
    return TRUE;
  return self->version.st_ino == st->st_ino && self->version.st_size == st->st_size
         && (ttl_access_is_same (&self->version, st) || ttl_access_is_same (&self->told, st));
}

int
ttl_access_check (const TtlAccess *self, const struct stat *st)
{
  mode_t wanted;

  if (self == NULL || self->who.uid == 0 || is_as_checked (self, st))
    return 0;
  wanted = self->wanted & (TTL_ACCESS_READ | TTL_ACCESS_WRITE);
  if (self->wanted & TTL_ACCESS_OWN && (st->st_uid == self->who.uid || wanted == 0))
    return st->st_uid == self->who.uid ? 0 : -EPERM;
  return ttl_access_may (&self->who, st, wanted) ? 0 : -EACCES;
}
