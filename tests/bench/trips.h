/* trips - operations one at a time, with a mark before and after each, for whoever counts what they cost. */
#pragma once

#include "subject.h"

/* Does each operation of @names @times times on @subject, hot: once more before the first mark. A mark is a line on stdout,
 * "begin OP" or "end OP"; it waits for a line on stdin. */
void trips_run (Subject *subject, const char *names, guint times);
