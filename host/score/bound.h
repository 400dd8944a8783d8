/* SPDX-License-Identifier: Apache-2.0 */
/* How far a sample is at least from every point that the network takes for another class: a proven lower
 * bound of its DeepFool margin, from one forward. And how far it is about, which orders samples and proves
 * nothing. docs/NUMERICS.md, "Lower bounds", has the proof.
 *
 * The network is split at a node. Its head, from the input to that node, is known by how much it lengthens
 * the way from one input to another at most. Its tail is a Gemm, or a Gemm, a ReLU and a Gemm: linear where
 * no hidden unit changes its sign, and what those that may do can add is counted. */
#ifndef DF_SCORE_BOUND_H
#define DF_SCORE_BOUND_H

#include "graph/network.h"

struct df_bound;
/* Of a folded network, which is borrowed.
 * Errors   E_MEMORY */
dfal_status df_bound_create(struct df_bound **out, const struct df_network *folded);
void df_bound_destroy(struct df_bound *bound);
/* Why there is no lower bound, as a part of a sentence ("node conv3 is a convolution of 2 groups"); NULL:
 * there is one. The estimate exists all the same where the last layer is a Gemm. */
const char *df_bound_missing(const struct df_bound *bound);
/* The node whose values begin the tail, of the folded network; "input". NULL: the last layer is no Gemm, and
 * nothing can be measured. */
const char *df_bound_node(const struct df_bound *bound);

/* Numbers that one thread works with. */
struct df_bound_space;
dfal_status df_bound_space_create(struct df_bound_space **out, const struct df_bound *bound);
void df_bound_space_destroy(struct df_bound_space *space);

/* One sample, all of it finite.
 *   least     no point within this distance (l2, network input) is of another class, however a float32
 *             engine rounds its sums, and no margin that DeepFool computes for the sample is smaller; 0:
 *             nothing is proven
 *   estimate  min over classes of logit gap / length of the gap's gradient at the node; 0 or more
 * node      [size] its values; label: the network's class; length: of the sample (l2)
 * Order     a function of these alone: the same bits for any batch and thread */
struct df_bound_row {
    double least;
    float estimate;
};
void df_bound_measure(const struct df_bound *bound, struct df_bound_space *space, struct df_bound_row *row,
                      const float *node, int32_t label, double length);

#endif
