/* SPDX-License-Identifier: Apache-2.0 */
/* What must hold of every network: gradients against differences in double, folding, the same bits in any
 * company. Needs df_net. */
#ifndef DFAL_TESTS_SUPPORT_GRADIENT_H
#define DFAL_TESTS_SUPPORT_GRADIENT_H

#include "backend/backend.h"
#include "graph/network.h"

/* In [-1, 1); free with df_free. */
float *test_random_floats(int64_t count, uint64_t seed);
void test_read_f64(struct df_device *device, double *to, struct df_span from, int64_t count);

/* Input gradients of three samples against central differences, every stride-th element. The device computes
 * in double. */
void test_input_gradient(struct df_device *device, const struct df_network *network, int64_t stride);
/* Every parameter where there are few, else `samples` of each node's; drop: with dropout drawn and batch
 * statistics. */
void test_parameter_gradient(struct df_device *device, const struct df_network *network, bool drop,
                             int64_t samples);

/* These three destroy the network. */
/* Logits of the folded network are the plain one's within tolerance times the largest. */
void test_fold_agrees(struct df_device *device, struct df_network *network, double tolerance);
/* Seventy samples and 150 cotangents with owners in disorder, all at once, against each one alone: the same
 * bits. */
void test_same_in_company(struct df_device *device, struct df_network *network, bool fold);
/* Input gradients of the back end are those of the oracle, each from its own forward. */
void test_near_double(struct df_device *device, struct df_device *oracle, struct df_network *network);

#endif
