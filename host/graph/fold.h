/* SPDX-License-Identifier: Apache-2.0 */
/* Inside folding: fold_uses.c rewires, fold_linear.c multiplies, fold.c says what becomes what and collects.
 * Everything is computed in double and rounded to float once, at the end. */
#ifndef DF_GRAPH_FOLD_H
#define DF_GRAPH_FOLD_H

#include "graph/network.h"

/* Double parameters of a node that a fold has touched; NULL: still the network's own floats. A batch-norm's
 * are its affine map: y = weight x + bias. */
struct df_wide {
    double *weight, *bias;
    int64_t out, in; /* rows of the weight and values in each; batch-norm: channels and 1 */
};

struct df_fold {
    struct df_network *network; /* a copy that is rewired in place */
    struct df_wide *wide;       /* [node_count] */
    int32_t *uses;              /* [node_count] consumers, the output being one */
    uint8_t *dead;              /* [node_count] */
};

void df_fold_count_uses(struct df_fold *work);
/* Let all consumers of node `from` read `to` instead; `from` is gone. */
void df_fold_replace(struct df_fold *work, int32_t from, int32_t to);
/* The node that reads node `index`, where it is the only one and `index` is not the output; -1. */
int32_t df_fold_consumer(const struct df_fold *work, int32_t index);

/* A batch-norm into the convolution, Gemm or batch-norm before it. */
dfal_status df_fold_norm_back(struct df_fold *work, int32_t index);
/* A batch-norm into what follows: a convolution that does not pad (or a batch-norm without a shift), or,
 * perhaps behind a GlobalAveragePool and a Flatten, a Gemm. */
dfal_status df_fold_norm_on(struct df_fold *work, int32_t index);
/* A 1x1 convolution or a Gemm, perhaps a Flatten, and the Gemm `index`: one Gemm, unless that costs more
 * multiplications (a bottleneck). */
dfal_status df_fold_product(struct df_fold *work, int32_t index);

#endif
