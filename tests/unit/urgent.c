/* A thread that is urgent for a moment. */
#include <criterion/criterion.h>

#include "urgent.h"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

TestSuite (urgent, .timeout = 60);

Test (urgent, lasts_from_begin_to_end)
{
  TtlUrgent urgent = ttl_urgent_begin ();

  cr_expect_eq (sched_getscheduler (0), urgent ? SCHED_FIFO : SCHED_OTHER);
  ttl_urgent_end (&urgent);
  cr_expect_eq (sched_getscheduler (0), SCHED_OTHER);
  cr_expect_not (urgent);
  ttl_urgent_end (&urgent);
  cr_expect_eq (sched_getscheduler (0), SCHED_OTHER);
}

Test (urgent, leaves_a_thread_as_nice_as_it_was)
{
  TtlUrgent urgent;

  cr_assert_eq (setpriority (PRIO_PROCESS, (id_t)gettid (), 7), 0);
  urgent = ttl_urgent_begin ();
  ttl_urgent_end (&urgent);
  cr_expect_eq (getpriority (PRIO_PROCESS, (id_t)gettid ()), 7);
}

/* In a container without CAP_SYS_NICE, say. */
Test (urgent, changes_nothing_where_it_may_not)
{
  const struct rlimit none = { 0 };
  const uid_t user = geteuid ();
  TtlUrgent urgent;

  cr_assert_eq (setrlimit (RLIMIT_RTPRIO, &none), 0);
  if (user == 0)
    cr_assert_eq (seteuid (65534), 0);
  cr_expect_not (ttl_urgent_is_possible ());
  urgent = ttl_urgent_begin ();
  cr_expect_eq (sched_getscheduler (0), SCHED_OTHER);
  ttl_urgent_end (&urgent);
  cr_expect_eq (sched_getscheduler (0), SCHED_OTHER);
  cr_expect_eq (seteuid (user), 0);
}
