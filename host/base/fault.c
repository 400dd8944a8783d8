/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fault.h"

#include <stdatomic.h>

/* Process-wide by purpose: the n-th operation is counted over all threads. Disarmed it costs one add. */
static atomic_int_least64_t seen[DF_FAULT_COUNT], target[DF_FAULT_COUNT];

void df_fault_arm(enum df_fault kind, int64_t n)
{
    atomic_store(&target[kind], 0);
    atomic_store(&seen[kind], 0);
    atomic_store(&target[kind], n);
}

int64_t df_fault_seen(enum df_fault kind)
{
    return atomic_load(&seen[kind]);
}

bool df_fault_hits(enum df_fault kind)
{
    int64_t number = atomic_fetch_add(&seen[kind], 1) + 1;
    return number == atomic_load(&target[kind]);
}
