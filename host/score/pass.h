/* SPDX-License-Identifier: Apache-2.0 */
/* One forward over rows of a pool: logits and, on request, a node's activations. */
#ifndef DF_SCORE_PASS_H
#define DF_SCORE_PASS_H

#include "base/log.h"
#include "net/plan.h"
#include "store/stream.h"

/* Called for blocks of rows under a lock, in any order; index [n] are rows of the pool, values [n, size]. */
typedef dfal_status df_pass_fn(void *user, const int64_t *index, const float *values, int64_t n);
/* node NULL: the logits of the folded network; else that node's activations, unfolded. progress may be NULL. */
dfal_status df_forward_pass(struct dfal_context *context, struct df_device *device, const struct df_network *network,
                            struct df_pool *pool, struct df_chunk_source *source, const char *node,
                            struct df_progress *progress, df_pass_fn *fn, void *user);
/* Accuracy, mean loss and confusion over the labelled rows. */
dfal_status df_evaluate(struct dfal_context *context, struct df_device *device, const struct df_network *network,
                        struct df_pool *pool, struct dfal_eval_result *result);
/* Read a network by name or file for a pool: shapes must agree (E_SHAPE); another scale or offset is a warning that
 * names both; values that look like probabilities are the forward pass's E_DATA. */
dfal_status df_network_for_pool(struct df_network **out, struct dfal_context *context, const char *name,
                                const struct df_pool *pool);

#endif
