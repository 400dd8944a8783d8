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

/* struct df_call with the operands of one op by name, at the same places. */
#define OUT(name, ...)        struct df_span name;
#define OPT_OUT(name, ...)    struct df_span name;
#define UPDATE(name, ...)     struct df_span name;
#define OPT_UPDATE(name, ...) struct df_span name;
#define IN(name, ...)         struct df_span name;
#define OPT_IN(name, ...)     struct df_span name;
#define DF_OP(name, walk, class_, params, outs, ins)                                                         \
    struct df_outs_##name {                                                                                  \
        outs                                                                                                 \
    };                                                                                                       \
    struct df_ins_##name {                                                                                   \
        ins                                                                                                  \
    };                                                                                                       \
    struct df_call_##name {                                                                                  \
        enum df_op op;                                                                                       \
        union {                                                                                              \
            struct df_span out[DF_MAX_OUT];                                                                  \
            struct {                                                                                         \
                outs                                                                                         \
            };                                                                                               \
        };                                                                                                   \
        union {                                                                                              \
            struct df_span in[DF_MAX_IN];                                                                    \
            struct {                                                                                         \
                ins                                                                                          \
            };                                                                                               \
        };                                                                                                   \
        int64_t rows, cols;                                                                                  \
        union df_params p;                                                                                   \
        struct df_layer *layer;                                                                              \
    };                                                                                                       \
    _Static_assert(sizeof(struct df_call_##name) == sizeof(struct df_call) &&                                \
                       offsetof(struct df_call_##name, in) == offsetof(struct df_call, in) &&                \
                       offsetof(struct df_call_##name, layer) == offsetof(struct df_call, layer),            \
                   #name " has more operands than a call holds");
#include "ops.def"
#undef OUT
#undef OPT_OUT
#undef UPDATE
#undef OPT_UPDATE
#undef IN
#undef OPT_IN

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

#endif
