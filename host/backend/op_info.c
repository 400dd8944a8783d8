/* SPDX-License-Identifier: Apache-2.0 */
/* What every op and its operands are called; what follows from a layer's and a fused network's description
 * alone. */
#include "backend/backend.h"

#define LETTER(x)                    #x[0]
#define OPERAND(name, type_, ...)    {#name, DF_TYPE_##type_, __VA_ARGS__},
#define OUT(name, type, size)        OPERAND(name, type, .written = true)
#define OPT_OUT(name, type, size)    OPERAND(name, type, .written = true, .optional = true)
#define UPDATE(name, type, size)     OPERAND(name, type, .written = true, .read = true)
#define OPT_UPDATE(name, type, size) OPERAND(name, type, .written = true, .read = true, .optional = true)
#define IN(name, type, size)         OPERAND(name, type, .read = true)
#define OPT_IN(name, type, size)     OPERAND(name, type, .read = true, .optional = true)
#define DF_TYPE_RAW                  DF_OPERAND_RAW
const struct df_op_info df_op_info[DF_OP_COUNT] = {
#define DF_OP(name_, walk_, class_, params_, outs, ins)                                                      \
    {.name = #name_,                                                                                         \
     .walk = DF_WALK_##walk_,                                                                                \
     .op_class = LETTER(class_),                                                                             \
     .params = DF_PARAMS_##params_,                                                                          \
     .out = {outs},                                                                                          \
     .in = {ins}},
#include "ops.def"
};

int64_t df_layer_weight_count(const struct df_layer_desc *layer)
{
    if (layer->is_gemm)
        return df_shape_size(layer->in) * df_shape_size(layer->out);
    return layer->out.c * (layer->in.c / layer->group) * layer->window.kernel[0] * layer->window.kernel[1];
}

int64_t df_layer_bias_count(const struct df_layer_desc *layer)
{
    return layer->is_gemm ? df_shape_size(layer->out) : layer->out.c;
}

enum { NARROW = 32 };

bool df_layer_is_narrow(const struct df_layer_desc *layer)
{
    if (layer->is_gemm)
        return layer->in.c <= NARROW || layer->out.c <= NARROW;
    return layer->in.c / (layer->group > 1 ? layer->group : 1) <= NARROW;
}

bool df_layer_can_split(const struct df_layer_desc *layer)
{
    enum { MOST_PHASES = 65535 }; /* blockIdx.z of its backward */
    return !df_layer_is_narrow(layer) && layer->group <= 1 && layer->out.c > NARROW &&
           (layer->is_gemm || (int64_t)layer->window.stride[0] * layer->window.stride[1] <= MOST_PHASES);
}

int64_t df_layer_backward_terms(const struct df_layer_desc *layer)
{
    if (layer->is_gemm)
        return df_shape_size(layer->out);
    return layer->out.c / layer->group * layer->window.kernel[0] * layer->window.kernel[1];
}

int64_t df_fused_kept_size(const struct df_fused_desc *desc)
{
    int64_t size = 0;
    for (int32_t i = 0; i < desc->count; i++)
        if (desc->stages[i].relu || desc->stages[i].pool)
            size += df_shape_size(desc->stages[i].out);
    return size;
}

int df_layer_op_kind(enum df_op op, bool is_gemm)
{
    static const enum df_op ops[2][DF_LAYER_KINDS] = {{DF_OP_conv_fwd, DF_OP_conv_bwd, DF_OP_conv_wgrad},
                                                      {DF_OP_gemm_fwd, DF_OP_gemm_bwd, DF_OP_gemm_wgrad}};
    for (int kind = 0; kind < DF_LAYER_KINDS; kind++)
        if (ops[is_gemm][kind] == op)
            return kind;
    return -1;
}
