/* SPDX-License-Identifier: Apache-2.0 */
/* What a made-up library asks of a made-up stream, which it has from the process that loads it: the stream
 * begins with the function. */
#ifndef DFAL_TESTS_SIMT_QUEUE_STEP_H
#define DFAL_TESTS_SIMT_QUEUE_STEP_H

#include "include/cuda_runtime.h"

/* Called when what was queued before is done, again and again until it gives 1. */
typedef int simt_step(void *user);
typedef void simt_queue_step_fn(cudaStream_t stream, simt_step *step, void *user);

static inline void simt_queue_step(cudaStream_t stream, simt_step *step, void *user)
{
    (*(simt_queue_step_fn **)stream)(stream, step, user);
}

#endif
