/* faults.h - what a test writes to make a daemon's system calls fail; see faults.c. */
#pragma once

enum
{
  FAULT_OPEN = 1 << 0,  /* openat */
  FAULT_WRITE = 1 << 1, /* pwrite, fallocate, copy_file_range, ftruncate */
  FAULT_SYNC = 1 << 2,  /* fsync, fdatasync */
  FAULT_NAME = 1 << 3,  /* linkat, renameat, renameat2 */
  FAULT_TIMES = 1 << 4, /* utimensat, futimens */
  FAULT_XATTR = 1 << 5, /* setxattr, fsetxattr */
  FAULT_UNLINK = 1 << 6,
  FAULT_ALL = (1 << 7) - 1,
};

typedef struct
{
  int calls; /* which fail; 0: none */
  int err;
} Faults;
