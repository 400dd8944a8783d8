/* SPDX-License-Identifier: Apache-2.0 */
/* Small networks and pools for tests of scores, and the engine run over them. Needs df_score. */
#ifndef DFAL_TESTS_SUPPORT_SCORE_H
#define DFAL_TESTS_SUPPORT_SCORE_H

#include "score/deepfool_engine.h"
#include "support_device.h"

/* x -> weight x + bias: D inputs [1, 1, D], K classes. */
struct df_network *test_affine_network(const float *weight, const float *bias, int32_t classes,
                                       int64_t inputs);
/* x -> weight2 relu(weight1 x + bias1) + bias2, H hidden units. */
struct df_network *test_relu_network(const float *weight1, const float *bias1, int64_t hidden,
                                     const float *weight2, const float *bias2, int32_t classes,
                                     int64_t inputs);
/* Convolution, ReLU, max-pool, convolution, ReLU, Gemm on [1, 10, 10], Glorot weights of the seed. */
struct df_network *test_small_network(uint64_t seed, int32_t classes);

/* A f32 pool of n rows with scale 1, offset 0; labels may be NULL. */
void test_pool_f32(const char *path, const float *x, int64_t n, struct df_shape shape, int32_t classes,
                   const int32_t *labels);
/* A u8 pool of n rows of seeded blobs, with ids and labels; order NULL: as seeded, else row i is seeded row
 * order[i]. */
void test_pool_u8(const char *path, int64_t n, struct df_shape shape, int32_t classes, uint64_t seed,
                  const int64_t *order);

struct dfal_context *test_context(const char *backend, int32_t threads);

/* Score all rows with a fresh engine; margins [pool->count] by row, images [pool->count, D] or NULL. */
void test_engine(struct dfal_context *context, struct df_device *device, const struct df_network *network,
                 struct df_pool *pool, const struct df_deepfool *deepfool, int64_t batch,
                 struct df_margin *margins, float *images);
/* The same from arrays: writes a pool into folder first. */
void test_engine_f32(struct df_device *device, const struct df_network *network, const float *x, int64_t n,
                     const struct df_deepfool *deepfool, int64_t batch, struct df_margin *margins,
                     float *images);
/* Fail unless the margins agree in every bit; b[i] is compared with a[order[i]], order NULL: a[i]. */
void test_same_margins(const char *what, const struct df_margin *a, const struct df_margin *b, int64_t n,
                       const int64_t *order);
struct df_deepfool test_preset(const char *name);
/* With 4 rounds where the preset has 50, which take thirty times as long as one walk. */
struct df_deepfool test_few_rounds(const char *name);

#endif
