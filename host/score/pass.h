/* SPDX-License-Identifier: Apache-2.0 */
/* One forward over rows of a pool: logits and, on request, a node's activations, or gradients. The devices of
 * a group share the rows. */
#ifndef DF_SCORE_PASS_H
#define DF_SCORE_PASS_H

#include "net/plan.h"
#include "score/gradients.h"
#include "store/stream.h"

/* Called for blocks of rows under a lock, in any order; index [n] are rows of the pool, values [n, size]. */
typedef dfal_status df_pass_fn(void *user, const int64_t *index, const float *values, int64_t n);
/* Logits with dropout drawn, of the network as it is given: [passes, K] a row; batch-norm stays frozen. Masks
 * are those of (seed, pass, row of the pool), or shared: of (seed, pass). filters, ratio: as in struct
 * df_dropout. */
struct df_pass_drawing {
    int64_t passes;
    uint64_t seed;
    bool shared, filters;
    double ratio;
};
/* A block of rows as a whole, for several threads side by side: worker is below df_group_workers. */
struct df_pass_rows {
    int64_t count;
    const int64_t *index;                 /* [count] rows of the pool */
    const float *input, *values, *logits; /* [count, D], [count, size] of the node, [count, K] */
};
typedef dfal_status df_pass_rows_fn(void *user, int32_t worker, const struct df_pass_rows *rows);
/* The same block where its logits are still on their device; input is on the host. */
struct df_pass_on_device {
    struct df_device *device;
    int32_t queue;
    int64_t most, count; /* rows of a block at the most; of this one */
    const int64_t *index;
    const float *input;
    struct df_span logits; /* [count, K] */
};
typedef dfal_status df_pass_device_fn(void *user, int32_t worker, const struct df_pass_on_device *rows);
/* Over the rows of a stream. node NULL: the logits of the folded network; else that node's activations,
 * unfolded. progress may be NULL. */
struct df_pass_spec {
    struct dfal_context *context;
    struct df_device *device;
    const struct df_network *network;
    struct df_pool *pool;
    const char *node;
    const struct df_pass_drawing *drawing; /* NULL: dropout is not drawn; else node is NULL */
    /* NULL: none; else of the network as it is given, with node and drawing NULL. They go to their own `put`,
     * and df_pass_fn is not called. */
    const struct df_gradients_spec *gradients;
    df_pass_fn *also; /* with a node, and not NULL: gets the logits of each block behind the node's values */
    void *also_user;
    /* With a node, and not NULL: called in place of df_pass_fn and `also`. The node's values may come from an
     * engine that is fused, as the logits do. */
    df_pass_rows_fn *rows;
    void *rows_user;
    /* Without a node, drawing and gradients, and not NULL: called in place of df_pass_fn. It may keep some
     * ten numbers a row of a block on the device. */
    df_pass_device_fn *on_device;
    void *device_user;
    bool layers;    /* logits beside a node come from its own forward, not from an engine that is fused */
    int64_t beside; /* bytes that the caller takes for results */
    struct df_progress *progress;
};
dfal_status df_forward_pass(const struct df_pass_spec *spec, struct df_row_stream *stream, df_pass_fn *fn,
                            void *user);
/* The same over the rows of a source. */
dfal_status df_forward_source(const struct df_pass_spec *spec, struct df_chunk_source *source, df_pass_fn *fn,
                              void *user);
/* E_DATA when at least 16 rows of logits [rows, classes] all look like probabilities: in [0, 1], sum 1 +-
 * 1e-5. */
dfal_status df_check_logits(const float *logits, int64_t rows, int32_t classes);

#endif
