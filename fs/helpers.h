/* helpers - threads for what must not be done, or not be waited for, by the thread that has received a request.
 *
 * A thread that receives has to come back for the next request, so it hands over: requests that wait for a close to be
 * served (order.h), and replies to requests that some other thread received (over io_uring a reply takes the lock of that
 * thread's queue, and two threads that answer each other's requests would wait for each other).
 *
 * Owns its threads: none to begin with, one more whenever none is free, up to a bound; and none goes before the end. Over io_uring a
 * reply also waits for the next request, on behalf of the thread that sends it: with that thread the kernel would cancel it, and
 * the request that it had just been given would fail with ECANCELED. Work is begun in the order it came. One mutex, a leaf, never held over work. */
#pragma once

#include <glib.h>

typedef struct TtlHelpers TtlHelpers;

/* To be called where new threads shall run: on the CPUs of this thread, with its signals blocked or not. */
TtlHelpers *ttl_helpers_new (void);
/* Waits until everything that was handed over is done; from then on nothing is taken. */
void ttl_helpers_close (TtlHelpers *self);
void ttl_helpers_free (TtlHelpers *self); /* after that */

/* May be called from any thread. FALSE: closed, or no thread can be had, and @work will not be done. */
gboolean ttl_helpers_do (TtlHelpers *self, void (*work) (gpointer data), gpointer data);
