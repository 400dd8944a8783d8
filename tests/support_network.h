/* SPDX-License-Identifier: Apache-2.0 */
/* Small networks for tests. Needs df_models. */
#ifndef DFAL_TESTS_SUPPORT_NETWORK_H
#define DFAL_TESTS_SUPPORT_NETWORK_H

#include "graph/network.h"

/* Give every parameter a seeded value, batch-norm's statistics included (variances positive). */
void test_randomise(struct df_network *network, uint64_t seed);
/* lenet5 or vgg8, randomised. */
struct df_network *test_model(const char *name, struct df_shape input, int32_t classes);
/* Conv stem, two residual blocks (Add; a grouped, strided convolution on the side branch), Concat of an
 * average and a max pool, batch-norms, global pooling, Gemm. Every kind of node but Dropout. input 2 x 9 x
 * 10, 3 classes. */
struct df_network *test_residual(void);
/* A small VGG: convolutions with padding, ReLUs, pools, dropout, two Gemms; input 2 x 8 x 8, 4 classes. */
struct df_network *test_chain(void);
/* A network in short, randomised: nodes "NAME OP INPUT[,INPUT] KEY=VALUES" separated by ';', in order, the
 * last the output. Keys: o outputs, k kernel, s stride, p padding on all sides, d dilation, g group,
 * pads=T,L,B,R, shape=C,H,W, and alpha, beta, min, max, value, epsilon, ratio, inside (count_include_pad). */
struct df_network *test_graph(struct df_shape input, int32_t classes, const char *text);

#endif
