/* SPDX-License-Identifier: Apache-2.0 */
/* Inside a trainer: what both ways of running a step share. For train_*.c only.
 *
 * train_stages.c  what a step is made of
 * train_split.c   a batch is cut into sub-batches, a worker each: devices whose calls run on a thread of the
 *                 host
 * train_whole.c   a batch is one call of every op: wide devices, which keep the training set and record a
 *                 step
 * train_chain.c   a batch is one call: small chains, where the back end has an engine for them */
#ifndef DF_NET_TRAIN_INSIDE_H
#define DF_NET_TRAIN_INSIDE_H

#include "backend/op_call.h"
#include "net/train_step.h"
#include "net/training.h"

struct df_split;
struct df_whole;
struct df_chained;

struct df_trainer {
    struct df_device *device;
    struct df_plan *plan;
    const struct df_training_set *set;
    const struct df_resident_set *resident;
    int32_t queue, batch;
    bool augments;
    struct df_augment_view view; /* of the network's input */
    struct df_span m, v, rate;   /* rate F64 [1]: of Adam's next step; absent in a chain, which has its own */
    struct df_split *split;      /* one of the three */
    struct df_whole *whole;
    struct df_chained *chained;
};

/* lr sqrt(1 - beta2^t) / (1 - beta1^t) of step t - 1 (kernels/pointwise.h, adam_step) */
double df_adam_rate(const struct df_training_options *training, int64_t step);

/* ---- Stages of a step (train_stages.c) ------------------------------------------------------
 *
 * A step is a list of stages over rows, forward, loss and gradient, and an update of the parameters. Both
 * drivers run the same: over a batch and all parameters at once, or over parts and pieces of them side by
 * side. A stage asks its queue for calls and reads nothing back, so that a step can be recorded. What is to
 * happen in a step besides, to the inputs before the forward or to the gradients behind it, is one function
 * and a place in a list. Augmentation stands before the stages: each driver, that of a chain as well, takes
 * its rows from df_step_row, so that all see the same bits. */

/* Row `row` of the set as a step of this epoch sees it: augmented in room [D], or where nothing is augmented
 * and with options NULL, an evaluation's, the row itself. */
const float *df_step_row(const struct df_trainer *trainer, float *room, int64_t row,
                         const struct df_epoch_options *options);

/* Rows of a batch on one queue. */
struct df_batch_part {
    const struct df_trainer *trainer;
    struct df_tape *tape; /* its input holds the rows */
    int32_t queue;
    int64_t rows, n;              /* of this part; of the batch */
    struct df_span label, weight; /* of the rows */
    struct df_span loss;          /* of the rows, written */
    struct df_span dlogits;       /* of the rows, in a step; absent in an evaluation, as the next */
    struct df_span gradient;      /* of all parameters, the sum over these rows: written */
    struct df_dropout dropout;    /* of a step */
};
/* A step's stages of rows; of an evaluation forward and loss, with dropout off. */
dfal_status df_batch_run(const struct df_batch_part *part);

/* `size` parameters from `at` on, whose gradient over the whole batch is given. */
struct df_piece {
    const struct df_trainer *trainer;
    const struct df_training_options *training;
    int32_t queue;
    struct df_span gradient;
    int64_t at, size;
};
/* The optimiser. */
dfal_status df_piece_update(const struct df_piece *piece);

/* A step, or with options NULL an evaluation, of `rows` rows of order: losses [rows]. step: of the
 * restart. */
typedef dfal_status df_step_fn(void *driver, float *losses, const int64_t *order, int64_t rows,
                               const struct df_epoch_options *options, int64_t step);
/* The steps of an epoch (df_trainer_epoch) where the host learns the losses of each: one that is not
 * finite has spoilt one update then, and ends it. */
dfal_status df_epoch_steps(int64_t batch, struct dfal_context *context, float *losses, const int64_t *order,
                           int64_t n, const struct df_epoch_options *options, df_step_fn *step, void *driver);

/* ---- Drivers -------------------------------------------------------------------------------- */

dfal_status df_split_create(struct df_split **out, struct df_trainer *trainer);
void df_split_destroy(struct df_split *split);
dfal_status df_split_epoch(struct df_split *split, struct dfal_context *context, float *losses,
                           const int64_t *order, int64_t n, const struct df_epoch_options *options);
dfal_status df_split_evaluate(struct df_split *split, float *losses, const int64_t *order, int64_t n);

dfal_status df_whole_create(struct df_whole **out, struct df_trainer *trainer);
void df_whole_destroy(struct df_whole *whole);
dfal_status df_whole_epoch(struct df_whole *whole, struct dfal_context *context, float *losses,
                           const int64_t *order, int64_t n, const struct df_epoch_options *options);
dfal_status df_whole_evaluate(struct df_whole *whole, float *losses, const int64_t *order, int64_t n);

/* *out NULL: the network is no chain, or none that the back end trains as a whole. trainer->plan need have no
 * use. */
dfal_status df_chained_create(struct df_chained **out, struct df_trainer *trainer,
                              const struct df_training_options *training);
void df_chained_destroy(struct df_chained *chained);
dfal_status df_chained_load(struct df_chained *chained, const float *values, const float *m, const float *v);
dfal_status df_chained_store(struct df_chained *chained, float *values, float *m, float *v);
dfal_status df_chained_epoch(struct df_chained *chained, struct dfal_context *context, float *losses,
                             const int64_t *order, int64_t n, const struct df_epoch_options *options);
dfal_status df_chained_evaluate(struct df_chained *chained, float *losses, const int64_t *order, int64_t n);

#endif
