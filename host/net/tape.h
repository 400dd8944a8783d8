/* SPDX-License-Identifier: Apache-2.0 */
/* Inside a tape: tape.c runs forwards, tape_gradient.c backwards, row_gradients.c row by row; node_*.c know
 * what a node computes. */
#ifndef DF_NET_TAPE_H
#define DF_NET_TAPE_H

#include "backend/op_call.h"
#include "net/plan.h"
#include "net/plan_inside.h"

struct df_tape {
    struct df_plan *plan;
    int32_t queue;
    int64_t rows, cotangent_rows, chunk;
    struct df_span input, cotangents, owners, dinput, unused_arg;
    struct df_span *kept, *reused, *args;
    struct df_span *mean, *rstd;               /* [norm_count] */
    struct df_span logits, kept_bytes, tapped; /* of a fused network; tapped: of one with a tap */
    int64_t forward_rows;                      /* of the last forward */
    bool dropping, training;                   /* how the last forward ran: dropout drawn; batch statistics */
    struct df_dropout dropout;
};

/* Rows [first, ...) of a node's value. Slots hold the current chunk only. */
struct df_span df_tape_value_at(const struct df_tape *tape, int32_t node, int64_t first);
dfal_status df_tape_run(const struct df_tape *tape, const struct df_call *call);
/* Whether gradients of n cotangents may follow the last forward; `what` they are, for the sentence.
 * Errors   E_INTERNAL more than the tape has room for, or a forward that drew dropout */
dfal_status df_tape_check_gradients(const struct df_tape *tape, int64_t n, const char *what);

/* One run over rows [first, first + rows): of the samples forwards, of the cotangents backwards. */
struct df_pass {
    struct df_tape *tape;
    int64_t first, rows;
    struct df_span dlogits;  /* of the whole call */
    struct df_span owners;   /* of this pass's rows; absent: row i belongs to sample i */
    struct df_span gradient; /* of the parameters */
    /* Of gradients by parameters: the first row of the cotangents in their place, and whose it is. 0 in
     * training, where row i belongs to sample i. */
    int64_t row, sample;
};
const struct df_node *df_pass_node(const struct df_pass *pass, int32_t index);
/* Where an instruction's cotangents of this pass's rows stand. */
struct df_span df_pass_place(const struct df_pass *pass, struct df_place place);
/* The same of an instruction PARAMETERS, from row pass->row on. */
struct df_span df_pass_cotangent(const struct df_pass *pass, const struct df_instruction *instruction);
/* Run an instruction of a gradient's program. */
dfal_status df_pass_run(const struct df_pass *pass, const struct df_instruction *instruction);
/* to [rows, size] = columns [begin, begin + size) of from [rows, width] */
dfal_status df_pass_copy(const struct df_pass *pass, struct df_span to, struct df_span from, int64_t width,
                         int64_t begin, int64_t size);

#endif
