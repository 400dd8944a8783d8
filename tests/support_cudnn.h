/* SPDX-License-Identifier: Apache-2.0 */
/* GPUs and convolutions that cuDNN is asked about, on machines that have no GPU. */
#ifndef DFAL_TESTS_SUPPORT_CUDNN_H
#define DFAL_TESTS_SUPPORT_CUDNN_H

#include "backend/backend.h"

/* A GPU's properties as the text that df_cudnn_properties takes. */
enum { TEST_SM_80, TEST_SM_90, TEST_GPUS };
struct test_gpu {
    const char *name, *json;
};
extern const struct test_gpu test_gpus[TEST_GPUS];

/* A convolution from c x h x h to o channels. */
struct test_shape {
    const char *network;
    int32_t c, h, o, kernel, stride, pad, group;
};
struct df_layer_desc test_convolution(const struct test_shape *shape);

#endif
