/* SPDX-License-Identifier: Apache-2.0 */
/* How long does a GPU take for a plan of cuDNN's? */
#ifndef DFAL_TESTS_CUDNN_TIMER_H
#define DFAL_TESTS_CUDNN_TIMER_H

#include <cuda_runtime.h>
#include <cudnn.h>

#include "backend/cuda_plan.h"

enum { TIMER_WORKSPACE_MIB = 2048 };

struct timer {
    cudnnHandle_t handle;
    cudaStream_t stream;
    cudaEvent_t before, after;
    float *in, *weight, *bias, *out; /* `in` and the parameters are random and never written */
    void *workspace;
};

/* Open the first GPU, for tensors of so many values at the most. Close it after a failure, too. */
dfal_status timer_open(struct timer *timer, int64_t values);
void timer_close(struct timer *timer);

/* Microseconds of one run: the best of three timings, each the mean of several runs where they are short. A
 * plan that takes more than `most` is timed once. */
dfal_status timer_run(double *out, const struct timer *timer, const struct df_cudnn_plan *plan,
                      const struct df_cudnn_problem *problem, double most);

#endif
