/* SPDX-License-Identifier: Apache-2.0 */
/* Time that has passed. Also compiled into shared objects. */
#ifndef DF_BASE_CLOCK_H
#define DF_BASE_CLOCK_H

double df_clock(void); /* monotonic seconds */
/* CPU seconds of this process, all threads together, and of the commands that it has waited for. */
double df_cpu_clock(void);

#endif
