/* SPDX-License-Identifier: Apache-2.0 */
/* VGG8 as the experiments of Ducoffe, Precioso 2018 (arXiv:1802.09841, section 4) train it: six 3x3
 * convolutions in four blocks after Simonyan, Zisserman 2015 (arXiv:1409.1556), a quarter dropped after each
 * pool, and two dense layers. */
#include "models/model.h"

#define CONV(n, o)                                                                                           \
    {.name = "conv" #n, .op = DF_NODE_CONV, .features = (o), .kernel = 3, .stride = 1, .pad = 1},            \
    {                                                                                                        \
        .name = "relu" #n, .op = DF_NODE_RELU                                                                \
    }
#define POOL(n)                                                                                              \
    {.name = "pool" #n, .op = DF_NODE_MAX_POOL, .kernel = 2, .stride = 2},                                   \
    {                                                                                                        \
        .name = "drop" #n, .op = DF_NODE_DROPOUT, .ratio = 0.25                                              \
    }

static const struct df_model_layer layers[] = {
    CONV(1, 64),
    POOL(1),
    CONV(2, 128),
    POOL(2),
    CONV(3, 256),
    CONV(4, 256),
    POOL(3),
    CONV(5, 512),
    CONV(6, 512),
    POOL(4),
    {.name = "flatten", .op = DF_NODE_FLATTEN},
    {.name = "fc1", .op = DF_NODE_GEMM, .features = 4096},
    {.name = "relu7", .op = DF_NODE_RELU},
    {.name = "drop5", .op = DF_NODE_DROPOUT, .ratio = 0.5},
    {.name = "fc2", .op = DF_NODE_GEMM, .features = DF_CLASSES},
};

const struct df_model df_model_vgg8 = {"vgg8", 16, layers, sizeof layers / sizeof *layers};
