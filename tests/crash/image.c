#include "image.h"

#include "cleanup.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define HOST_BYTES (G_GINT64_CONSTANT (2) << 30) /* sparse, as are those in it */
#define DISK_BYTES (G_GINT64_CONSTANT (400) << 20)

struct Stage
{
  char *ram;  /* tmpfs, holds host.img */
  char *host; /* xfs, holds disk.img and snapshot.img */
  char *disk;
  char *snapshot;
  char *disk_image;
  char *snapshot_image;
};

static gboolean run (char **why_out, const char *program, ...) G_GNUC_NULL_TERMINATED;

static gboolean
run (char **why_out, const char *program, ...)
{
  g_autoptr (GPtrArray) args = g_ptr_array_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *err = NULL;
  va_list list;
  int status = 0;

  va_start (list, program);
  for (const char *arg = program; arg != NULL; arg = va_arg (list, const char *))
    g_ptr_array_add (args, (gpointer)arg);
  va_end (list);
  g_ptr_array_add (args, NULL);
  if (g_spawn_sync (NULL, (char **)args->pdata, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, &err,
                    &status, &error)
      && g_spawn_check_wait_status (status, &error))
    return TRUE;
  *why_out = g_strdup_printf ("%s: %s %s", program, error->message, err != NULL ? err : "");
  return FALSE;
}

static gboolean
make_sparse (const char *path, gint64 bytes, char **why_out)
{
  ttl_autofd fd = open (path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

  if (fd >= 0 && ftruncate (fd, bytes) == 0)
    return TRUE;
  *why_out = g_strdup_printf ("%s: %s", path, g_strerror (errno));
  return FALSE;
}

static gboolean
make_file_system (const char *type, const char *image, char **why_out)
{
  return g_str_equal (type, "ext4") ? run (why_out, "mkfs.ext4", "-q", "-F", image, NULL)
                                    : run (why_out, "mkfs.xfs", "-q", "-f", image, NULL);
}

/* What is just ending may have it open for a moment. */
static void
unmount (const char *dir)
{
  for (int i = 0; i < 200; i++)
    {
      if (umount2 (dir, UMOUNT_NOFOLLOW) == 0 || errno != EBUSY)
        return;
      g_usleep (10000);
    }
  umount2 (dir, MNT_DETACH);
}

static char *
make_dir (const char *work, const char *name)
{
  char *path = g_strdup_printf ("%s/%s", work, name);

  (void)mkdir (path, 0755);
  return path;
}

Stage *
stage_new (const char *work, char **why_out)
{
  Stage *self = g_new0 (Stage, 1);
  g_autofree char *host_image = NULL;

  self->ram = make_dir (work, "ram");
  self->host = make_dir (work, "host");
  self->disk = make_dir (work, "disk");
  self->snapshot = make_dir (work, "snapshot");
  self->disk_image = g_strdup_printf ("%s/disk.img", self->host);
  self->snapshot_image = g_strdup_printf ("%s/snapshot.img", self->host);
  host_image = g_strdup_printf ("%s/host.img", self->ram);
  if (run (why_out, "mount", "-t", "tmpfs", "-o", "size=3g", "tmpfs", self->ram, NULL)
      && make_sparse (host_image, HOST_BYTES, why_out)
      && run (why_out, "mkfs.xfs", "-q", "-f", "-m", "reflink=1", host_image, NULL)
      && run (why_out, "mount", "-t", "xfs", "-o", "loop", host_image, self->host, NULL))
    return self;
  stage_free (self);
  return NULL;
}

void
stage_free (Stage *self)
{
  stage_unmount_snapshot (self);
  stage_unmount_disk (self);
  unmount (self->host);
  unmount (self->ram);
  g_free (self->ram);
  g_free (self->host);
  g_free (self->disk);
  g_free (self->snapshot);
  g_free (self->disk_image);
  g_free (self->snapshot_image);
  g_free (self);
}

const char *
stage_mount_new (Stage *self, const char *type, char **why_out)
{
  (void)unlink (self->disk_image);
  return make_sparse (self->disk_image, DISK_BYTES, why_out)
                 && make_file_system (type, self->disk_image, why_out)
                 && run (why_out, "mount", "-t", type, "-o", "loop", self->disk_image, self->disk,
                         NULL)
             ? self->disk
             : NULL;
}

void
stage_unmount_disk (Stage *self)
{
  unmount (self->disk);
}

int
stage_snapshot (Stage *self)
{
  ttl_autofd from = open (self->disk_image, O_RDONLY | O_CLOEXEC);
  ttl_autofd to = open (self->snapshot_image, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

  return from < 0 || to < 0 || ioctl (to, FICLONE, from) < 0 ? -errno : 0;
}

/* xfs has seen the same file system mounted, and would refuse its twin. */
const char *
stage_mount_snapshot (Stage *self, const char *type, char **why_out)
{
  return run (why_out, "mount", "-t", type, "-o",
              g_str_equal (type, "xfs") ? "loop,nouuid" : "loop", self->snapshot_image,
              self->snapshot, NULL)
             ? self->snapshot
             : NULL;
}

void
stage_unmount_snapshot (Stage *self)
{
  unmount (self->snapshot);
}
