/* SPDX-License-Identifier: Apache-2.0 */
/* The ops that are read, and which attributes they may have: what is not known is refused, not ignored. */
#include <string.h>

#include "graph/onnx_model.h"

#define NUMBER(field, missing) #field " "
/* clang-format off */
#define ROW_none(name, numbers)
#define ROW_clip(name, numbers)  {name, " " numbers, df_onnx_clip},
#define ROW_gelu(name, numbers)  {name, " approximate ", df_onnx_gelu},
#define ROW_unary(name, numbers) {name, " " numbers, df_onnx_unary},
/* clang-format on */
static const struct df_onnx_op ops[] = {
#define DF_ACTIVATION(stem, NODE, name, saved, onnx, numbers) ROW_##onnx(name, numbers)
#include "activations.def"
    {"Add", " ", df_onnx_join},
    {"AveragePool", " auto_pad ceil_mode count_include_pad dilations kernel_shape pads strides ",
     df_onnx_pool},
    {"BatchNormalization", " epsilon momentum spatial training_mode ", df_onnx_batch_norm},
    {"Cast", " saturate to ", df_onnx_cast},
    {"Ceil", " ", df_onnx_round},
    {"Concat", " axis ", df_onnx_concat},
    {"Constant", " value value_float value_floats value_int value_ints ", df_onnx_literal},
    {"ConstantOfShape", " value ", df_onnx_constant_of_shape},
    {"Conv", " auto_pad dilations group kernel_shape pads strides ", df_onnx_conv},
    {"Div", " ", df_onnx_join},
    {"Dropout", " ratio seed ", df_onnx_dropout},
    {"Flatten", " axis ", df_onnx_flatten},
    {"Floor", " ", df_onnx_round},
    {"Gather", " axis ", df_onnx_gather},
    {"Gemm", " alpha beta transA transB ", df_onnx_gemm},
    {"GlobalAveragePool", " ", df_onnx_global_pool},
    {"GlobalMaxPool", " ", df_onnx_global_pool},
    {"Identity", " ", df_onnx_identity},
    {"LogSoftmax", " axis ", df_onnx_softmax},
    {"MatMul", " ", df_onnx_matmul},
    {"MaxPool", " auto_pad ceil_mode dilations kernel_shape pads storage_order strides ", df_onnx_pool},
    {"Mul", " ", df_onnx_join},
    {"Pad", " mode pads value ", df_onnx_pad},
    {"PRelu", " ", df_onnx_prelu},
    {"ReduceMean", " axes keepdims noop_with_empty_axes ", df_onnx_reduce_mean},
    {"ReduceProd", " axes keepdims noop_with_empty_axes ", df_onnx_reduce_prod},
    {"Reshape", " allowzero ", df_onnx_reshape},
    {"Shape", " end start ", df_onnx_shape_of},
    {"Size", " ", df_onnx_size_of},
    {"Slice", " axes ends starts ", df_onnx_slice},
    {"Softmax", " axis ", df_onnx_softmax},
    {"Squeeze", " axes ", df_onnx_squeeze},
    {"Sub", " ", df_onnx_join},
    {"Transpose", " perm ", df_onnx_permute},
    {"Unsqueeze", " axes ", df_onnx_unsqueeze},
};

const struct df_onnx_op *df_onnx_op_find(const char *domain, const char *name)
{
    if (!name || (domain && *domain && strcmp(domain, "ai.onnx") != 0))
        return NULL;
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (strcmp(ops[i].name, name) == 0)
            return &ops[i];
    return NULL;
}
