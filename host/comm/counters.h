/* SPDX-License-Identifier: Apache-2.0 */
/* Counters of claims, in the process that keeps them. Also compiled into shared objects. */
#ifndef DF_COMM_COUNTERS_H
#define DF_COMM_COUNTERS_H

#include "base/lock.h"

/* In use at a time. Counter i has slot i % DF_COUNTERS and takes it from i - DF_COUNTERS, whose work has long
 * ended: jobs of a process come one after the other. */
enum { DF_COUNTERS = 64 };
struct df_counters {
    struct df_lock lock;
    int64_t owner[DF_COUNTERS]; /* the counter whose slot it is, and 1 */
    int64_t next[DF_COUNTERS];
};
static inline void df_counters_begin(struct df_counters *counters)
{
    *counters = (struct df_counters){0};
    df_lock_begin(&counters->lock);
}
static inline void df_counters_end(struct df_counters *counters)
{
    df_lock_end(&counters->lock);
}
static inline int64_t df_counters_claim(struct df_counters *counters, int32_t counter)
{
    const int32_t slot = counter % DF_COUNTERS;
    df_lock_take(&counters->lock);
    if (counters->owner[slot] != (int64_t)counter + 1) {
        counters->owner[slot] = (int64_t)counter + 1;
        counters->next[slot] = 0;
    }
    const int64_t value = counters->next[slot]++;
    df_lock_release(&counters->lock);
    return value;
}

#endif
