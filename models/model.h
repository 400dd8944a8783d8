/* SPDX-License-Identifier: Apache-2.0 */
/* A built-in network: a chain of nodes as a table. */
#ifndef DF_MODELS_MODEL_H
#define DF_MODELS_MODEL_H

#include "graph/network.h"

enum { DF_CLASSES = -1 }; /* a layer with as many features as there are classes */

struct df_model_layer {
    const char *name;
    enum df_node_op op;
    int32_t features;            /* Conv, Gemm */
    int32_t kernel, stride, pad; /* Conv, MaxPool: square, the same on every side */
    double ratio;                /* Dropout */
};
struct df_model {
    const char *name;
    int32_t smallest; /* side of the smallest input */
    const struct df_model_layer *layers;
    int32_t layer_count;
};

extern const struct df_model df_model_lenet5, df_model_vgg8;

#endif
