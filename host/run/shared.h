/* SPDX-License-Identifier: Apache-2.0 */
/* What strategies and trials share that run side by side. Inside the room only. */
#ifndef DF_RUN_SHARED_H
#define DF_RUN_SHARED_H

#include <stdatomic.h>

#include "base/lock.h"
#include "run/pace.h"

struct df_run_side {
    struct df_lock lock; /* of the tables, and of the experiment's device_failed */
    struct df_run_advance advance;
    atomic_bool failed; /* one has: the others end behind their round */
};

#endif
