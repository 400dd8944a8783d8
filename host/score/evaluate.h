/* SPDX-License-Identifier: Apache-2.0 */
/* How well a network does on the labelled rows of a pool. */
#ifndef DF_SCORE_EVALUATE_H
#define DF_SCORE_EVALUATE_H

#include "base/context.h"
#include "base/text.h"
#include "graph/network.h"
#include "store/pool.h"

struct df_comm;
struct df_device;

/* Accuracy, mean loss and confusion over the labelled rows that no label file skips and whose input and
 * logits are finite (the others are counted); the loss is summed in the order of the pool. Classes are
 * counted as the network counts them, and named where it or the pool has names.
 *   comm  ranks that evaluate together, which is collective: each runs a part of the rows and has the whole
 *         result; NULL: this process is alone
 * Errors   E_DATA no labelled row, none that is finite, a label outside the network's classes */
dfal_status df_evaluate(struct dfal_context *context, struct df_device *device,
                        const struct df_network *network, struct df_pool *pool, struct df_comm *comm,
                        struct dfal_eval_result *result, struct df_text *confusion);
/* Say how many rows an evaluation left out, if any. */
void df_warn_nonfinite(struct dfal_context *context, const struct df_pool *pool,
                       const struct dfal_eval_result *result);

#endif
