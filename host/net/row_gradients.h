/* SPDX-License-Identifier: Apache-2.0 */
/* Gradients by parameters, of each row by itself: what a batch's gradient is the sum of. For plans with
 * ROW_GRADIENT.
 *
 * A row is a cotangent of one sample's logits; several may belong to one sample. Its gradient has the weight,
 * then the bias, of each chosen node, nodes in graph order. Those that no training changes are not chosen,
 * whatever the caller says.
 *
 * Order    squares are summed in double as df_sum_of_squares has it, nodes from the output to the input. A
 *          row's bits depend on no other row
 * Cost     a row of the backward as far as the first chosen node, and then a weight gradient of one row a
 *          node; of a Gemm's length neither its gradient nor room for it */
#ifndef DF_NET_ROW_GRADIENTS_H
#define DF_NET_ROW_GRADIENTS_H

#include "net/plan.h"

struct df_row_gradients;
/* chosen [nodes of the network] is borrowed, and so is the tape; vectors: gradients are wanted, not only
 * their lengths. */
dfal_status df_row_gradients_create(struct df_row_gradients **out, struct df_tape *tape,
                                    const uint8_t *chosen, bool vectors);
void df_row_gradients_destroy(struct df_row_gradients *gradients);
/* Bytes of one, and numbers of a row's gradient. */
int64_t df_row_gradients_bytes(const struct df_plan *plan, const uint8_t *chosen, bool vectors);
int64_t df_row_gradients_size(const struct df_plan *plan, const uint8_t *chosen);
/* After a forward without dropout, of cotangents [n, K], n at most the tape's cotangent rows: squared lengths
 * [n], and where they are wanted the gradients [n, size]. Row i belongs to sample owner[i] of the forward. */
dfal_status df_row_gradients_run(struct df_row_gradients *gradients, int64_t n, const float *cotangents,
                                 const int32_t *owner, double *squares, float *vectors);
/* In double: element i in accumulator i mod 16, then these in order. */
double df_sum_of_squares(const float *values, int64_t count);

#endif
