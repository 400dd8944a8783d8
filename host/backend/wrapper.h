/* SPDX-License-Identifier: Apache-2.0 */
/* What stands in front of some of a device's functions: it changes those and inherits the rest, on the device
 * itself, whose buffers and layers it passes on. Wrappers may stand on each other; the last one put is the
 * first to be taken away.
 *
 *     df_wrapper_put(&own->wrapper, device);
 *     own->wrapper.functions.run = own_run;       and then, in own_run:
 *     struct own *own = (struct own *)df_wrapper_of(device, own_run);
 *     own->wrapper.inner.backend->run(device, ...) */
#ifndef DF_BACKEND_WRAPPER_H
#define DF_BACKEND_WRAPPER_H

#include "backend/backend.h"

/* The head of a wrapper's own struct. */
struct df_wrapper {
    struct df_backend functions; /* what the device's users call */
    struct df_device inner;      /* the device's head as it was: its functions are what the wrapper calls */
};

void df_wrapper_put(struct df_wrapper *wrapper, struct df_device *device);
void df_wrapper_take(struct df_wrapper *wrapper, struct df_device *device);
/* The device's wrapper that has this `run`. */
struct df_wrapper *df_wrapper_of(const struct df_device *device, df_run_fn *run);

/* Without fused networks and recordings: every op of a job comes through `run`. */
void df_backend_one_by_one(struct df_backend *functions);

#endif
