/* uring-submit - read by the compiler before each source of libfuse 3.18 when that is built in (see meson.build).
 *
 * Up to 3.18.3 the thread of an io_uring queue hands in what is to be submitted without holding the queue's ring_lock, while
 * another thread that replies to a request of that queue, which is allowed and holds the lock, adds to it and hands in
 * as well. liburing does not guard against that: entries get lost, and whoever waits for their replies waits for ever. (We
 * reply from other threads: locks that are granted, requests that had to wait for a RELEASE, fsync.) Later versions submit
 * under the lock and wait without it; so does this. */
#pragma once

#if defined HAVE_LIBFUSE_PRIVATE_CONFIG_H && __has_include(<liburing.h>)
#include <liburing.h>
#include <pthread.h>

static inline int
ttl_uring_submit_locked_and_wait (pthread_mutex_t *ring_lock, struct io_uring *ring)
{
  struct io_uring_cqe *cqe;
  int res;

  pthread_mutex_lock (ring_lock);
  res = io_uring_submit (ring);
  pthread_mutex_unlock (ring_lock);
  return res < 0 ? res : io_uring_wait_cqe (ring, &cqe);
}

/* Its one caller has the queue in a variable of that name. */
#define io_uring_submit_and_wait(ring, n) ttl_uring_submit_locked_and_wait (&queue->ring_lock, ring)
#endif
