/* SPDX-License-Identifier: Apache-2.0 */
/* Gradients by parameters of rows of a pool, a row at a time: what a pass computes behind its forward
 * (pass.h). Nothing is kept of a row when the next comes. */
#ifndef DF_SCORE_GRADIENTS_H
#define DF_SCORE_GRADIENTS_H

#include "base/status.h"

struct df_lock;
struct df_plan;
struct df_tape;
struct dfal_context;

/* Of one row: a gradient for each of its cotangents. */
struct df_gradients {
    int64_t count, size;  /* cotangents; parameters */
    const float *logits;  /* [K] of the network as it is given */
    const double *norms;  /* [count] lengths of the gradients */
    const float *vectors; /* [count, size]; NULL: they are not wanted */
};
/* A row's cotangents [count, K], made of its logits: gradients of some loss by these. Called by several
 * threads at a time. */
typedef void df_cotangents_fn(const float *logits, int32_t class_count, float *cotangents);
/* One call at a time, rows in any order. */
typedef dfal_status df_gradients_fn(void *user, int64_t row, const struct df_gradients *gradients);

struct df_gradients_spec {
    const uint8_t *chosen; /* [nodes of the network]: those whose parameters count */
    int64_t count;         /* cotangents a row */
    df_cotangents_fn *cotangents;
    bool vectors;
    df_gradients_fn *put;
    void *user;
};

/* One queue's memory for them: blocks of up to `rows` rows, `at_once` cotangents in a backward. The tape, of
 * this plan, is borrowed and has as many cotangent rows; the spec is borrowed, too. */
struct df_gradient_worker;
dfal_status df_gradient_worker_create(struct df_gradient_worker **out, const struct df_gradients_spec *spec,
                                      struct dfal_context *context, const struct df_plan *plan,
                                      struct df_tape *tape, int64_t rows, int64_t at_once);
void df_gradient_worker_destroy(struct df_gradient_worker *worker);
/* Bytes a row of a block, and beside them. */
int64_t df_gradient_worker_row_bytes(const struct df_gradients_spec *spec, const struct df_plan *plan);
int64_t df_gradient_worker_bytes(const struct df_gradients_spec *spec, const struct df_plan *plan);
/* After a forward of n rows: index [n] are rows of the pool, logits [n, K] theirs. The lock is taken where
 * the spec's `put` is called. */
dfal_status df_gradient_worker_run(struct df_gradient_worker *worker, const int64_t *index,
                                   const float *logits, int64_t n, struct df_lock *lock);

#endif
