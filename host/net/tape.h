/* SPDX-License-Identifier: Apache-2.0 */
/* Inside a tape: tape.c runs forwards, tape_gradient.c backwards. */
#ifndef DF_NET_TAPE_H
#define DF_NET_TAPE_H

#include "net/program.h"

struct df_tape {
    struct df_plan *plan;
    int32_t queue;
    int64_t rows, cotangent_rows, chunk;
    struct df_span input, cotangents, owners, dinput, unused_arg;
    struct df_span *kept, *slots, *args;
    struct df_span *mean, *rstd;       /* [norm_count] */
    struct df_span logits, kept_bytes; /* of a fused network */
    int64_t forward_rows;              /* of the last forward */
    bool dropping, training;           /* how the last forward ran: dropout drawn; batch statistics */
    struct df_dropout dropout;
};

/* Rows [first, ...) of a node's value. Slots hold the current chunk only. */
struct df_span df_tape_value_at(const struct df_tape *tape, int32_t node, int64_t first);
dfal_status df_tape_run(const struct df_tape *tape, const struct df_call *call);

/* ---- tape_call.c: fill in sizes and parameters of a call for `rows` rows of the network */

void df_tape_set_pool(struct df_call *call, const struct df_network *network, int32_t index, int64_t rows,
                      bool forward);
void df_tape_set_norm(struct df_call *call, const struct df_node *node, int64_t rows);
void df_tape_set_affine(struct df_call *call, const struct df_node *node, int64_t rows);
void df_tape_set_dropout(struct df_call *call, const struct df_tape *tape, int32_t index);
void df_tape_set_pad(struct df_call *call, const struct df_network *network, int32_t index, int64_t rows);
/* LeakyRelu, Clip, HardSigmoid */
void df_tape_set_slope(struct df_call *call, const struct df_node *node);
/* towards: the operand whose gradient it is, -1: forwards. */
void df_tape_set_join(struct df_call *call, const struct df_network *network, int32_t index, int64_t rows,
                      int32_t towards);

#endif
