/* faults.h - what a test writes to make a daemon's system calls fail, or take long; see faults.c. */
#pragma once

enum
{
  FAULT_OPEN = 1 << 0,  /* openat */
  FAULT_WRITE = 1 << 1, /* pwrite, fallocate, copy_file_range, ftruncate */
  FAULT_SYNC = 1 << 2,  /* fsync, fdatasync, sync_file_range */
  FAULT_NAME = 1 << 3,  /* linkat, renameat, renameat2 */
  FAULT_TIMES = 1 << 4, /* utimensat, futimens */
  FAULT_XATTR = 1 << 5, /* setxattr, fsetxattr */
  FAULT_UNLINK = 1 << 6,
  FAULT_ALL = (1 << 7) - 1,
  FAULT_WATCH = 1 << 7, /* inotify_add_watch: makes nothing worse than late */
};

typedef struct
{
  int calls; /* which fail; 0: none */
  int err;
  int slow; /* which begin so much later; 0: none */
  int slow_us;
  int slow_one_in; /* of so many; 0: all of them */
} Faults;
