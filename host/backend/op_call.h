/* SPDX-License-Identifier: Apache-2.0 */
/* Calls by the names that operands have in ops.def:
 *
 *     const struct df_call call = DF_CALL(add_fwd, .rows = n, .cols = size, .y = sum, .a = left, .b = right);
 *     DF_IN(&call, relu_bwd, owner) = owners;
 *
 * A name that the op does not have is an error of the compiler. What is left out is absent, or 0. */
#ifndef DF_BACKEND_OP_CALL_H
#define DF_BACKEND_OP_CALL_H

#include <stddef.h>

#include "backend/backend.h"

/* struct df_call with the operands of one op by name, at the same places. The arrays behind the names make an
 * initialiser write all of out and in: of a union C initialises the member that is named and no more. */
#define OUT(name, ...)        struct df_span name;
#define OPT_OUT(name, ...)    struct df_span name;
#define UPDATE(name, ...)     struct df_span name;
#define OPT_UPDATE(name, ...) struct df_span name;
#define IN(name, ...)         struct df_span name;
#define OPT_IN(name, ...)     struct df_span name;
#define REST(operands, most)  [most - sizeof(struct operands) / sizeof(struct df_span)]
#define DF_OP(name, walk, class_, params, outs, ins)                                                         \
    struct df_outs_##name {                                                                                  \
        outs                                                                                                 \
    };                                                                                                       \
    struct df_ins_##name {                                                                                   \
        ins                                                                                                  \
    };                                                                                                       \
    struct df_call_##name {                                                                                  \
        enum df_op op;                                                                                       \
        outs struct df_span other_outs REST(df_outs_##name, DF_MAX_OUT);                                     \
        ins struct df_span other_ins REST(df_ins_##name, DF_MAX_IN);                                         \
        int64_t rows, cols;                                                                                  \
        union df_params p;                                                                                   \
        struct df_layer *layer;                                                                              \
    };                                                                                                       \
    _Static_assert(sizeof(struct df_call_##name) == sizeof(struct df_call) &&                                \
                       offsetof(struct df_call_##name, rows) == offsetof(struct df_call, rows) &&            \
                       offsetof(struct df_call_##name, layer) == offsetof(struct df_call, layer),            \
                   #name " has operands at other places than a call");
#include "ops.def"
#undef OUT
#undef OPT_OUT
#undef UPDATE
#undef OPT_UPDATE
#undef IN
#undef OPT_IN
#undef REST

#define DF_CALL(op_, ...)                                                                                    \
    (((union {                                                                                               \
         struct df_call_##op_ named;                                                                         \
         struct df_call call;                                                                                \
     }){.named = {.op = DF_OP_##op_, __VA_ARGS__}})                                                          \
         .call)

/* Which of a call's spans an operand is, and that span. */
#define DF_SPAN_AT(operands, name) (offsetof(operands, name) / sizeof(struct df_span))
#define DF_OUT(call, op, name)     ((call)->out[DF_SPAN_AT(struct df_outs_##op, name)])
#define DF_IN(call, op, name)      ((call)->in[DF_SPAN_AT(struct df_ins_##op, name)])

/* What the gradient of every activation reads, whatever the op calls it. */
struct df_ins_activation_bwd {
    struct df_span dy, saved, owner;
};
#define DF_ACTIVATION(stem, ...)                                                                             \
    _Static_assert(offsetof(struct df_ins_##stem##_bwd, owner) ==                                            \
                       offsetof(struct df_ins_activation_bwd, owner),                                        \
                   #stem "_bwd has operands at other places than its relatives");
#include "activations.def"

#endif
