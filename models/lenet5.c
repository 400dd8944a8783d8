/* SPDX-License-Identifier: Apache-2.0 */
/* LeNet5 as the experiments of Ducoffe, Precioso 2018 (arXiv:1802.09841, section 4) train it: after LeCun et
 * al. 1998, with ReLU, max-pooling and dropout, a third convolution of 1x1 without activation, and a linear
 * layer of one unit a class in front of the last one. */
#include "models/model.h"

static const struct df_model_layer layers[] = {
    {.name = "conv1", .op = DF_NODE_CONV, .features = 6, .kernel = 5, .stride = 1},
    {.name = "relu1", .op = DF_NODE_RELU},
    {.name = "pool1", .op = DF_NODE_MAX_POOL, .kernel = 2, .stride = 2},
    {.name = "drop1", .op = DF_NODE_DROPOUT, .ratio = 0.25},
    {.name = "conv2", .op = DF_NODE_CONV, .features = 16, .kernel = 5, .stride = 1},
    {.name = "relu2", .op = DF_NODE_RELU},
    {.name = "pool2", .op = DF_NODE_MAX_POOL, .kernel = 2, .stride = 2},
    {.name = "drop2", .op = DF_NODE_DROPOUT, .ratio = 0.25},
    {.name = "conv3", .op = DF_NODE_CONV, .features = 120, .kernel = 1, .stride = 1},
    {.name = "flatten", .op = DF_NODE_FLATTEN},
    {.name = "fc1", .op = DF_NODE_GEMM, .features = 84},
    {.name = "relu3", .op = DF_NODE_RELU},
    {.name = "fc2", .op = DF_NODE_GEMM, .features = DF_CLASSES},
    {.name = "drop3", .op = DF_NODE_DROPOUT, .ratio = 0.5},
    {.name = "fc3", .op = DF_NODE_GEMM, .features = DF_CLASSES},
};

const struct df_model df_model_lenet5 = {"lenet5", 16, layers, sizeof layers / sizeof *layers};
