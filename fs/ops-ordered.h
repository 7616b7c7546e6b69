/* ops-ordered - the operations of fs.h, each in the turn that order.h gives it. The session is made with these. */
#pragma once

#include "fs.h"

struct fuse_lowlevel_ops ttl_ordered_ops (void);
