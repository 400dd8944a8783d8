/* SPDX-License-Identifier: Apache-2.0 */
/* All engines that cuDNN has for a convolution, with every value of their knobs. */
#ifndef DFAL_TESTS_CUDNN_ENGINES_H
#define DFAL_TESTS_CUDNN_ENGINES_H

#include "backend/cuda_plan.h"

struct engine {
    int64_t number;
    bool strict; /* as host/backend/cuda_graph.h has it */
    int knob_count;
    struct df_cudnn_knob knobs[CUDNN_KNOB_TYPE_COUNTS];
};

/* Give the engines that can run the problem; the caller frees *out with df_free. */
dfal_status engines_read(struct engine **out, int64_t *count, cudnnBackendDescriptor_t properties,
                         const struct df_cudnn_problem *problem);

/* Go through all combinations of an engine's knobs: the first one, then the next one, false behind the last.
 * A range of many values is gone through by doubling. */
struct df_cudnn_choice engine_first(const struct engine *engine);
bool engine_next(const struct engine *engine, struct df_cudnn_choice *choice);

#endif
