/* scenarios - the two kinds of incident, each repeated under load until the time is up. */
#pragma once

#include "verdict.h"

/* kill -9 of one of two daemons on a root, or of both. @work: a private directory for the mounts; @backing: an empty one. */
void scenario_kill (Report *report, const char *work, const char *backing);

/* Power loss, as far as it can be simulated: the backing directory is on a file system of type @type ("ext4", "xfs")
 * in an image, and the image is cloned in one step while it is written to. What had been handed to the block device by then
 * is in the clone, and what was only in the page cache is not: a device that keeps what it was given, and a machine that
 * forgets everything. Needs root. */
void scenario_power (Report *report, const char *work, const char *type);

/* Shared by both: the buckets below @mount, with their TTLs. FALSE with the reason reported. */
gboolean scenario_make_buckets (Report *report, const char *mount);
/* Appended keys start anew with each episode. */
void scenario_clear_logs (const char *root);
