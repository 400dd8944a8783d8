/* SPDX-License-Identifier: Apache-2.0 */
/* Training: cross-entropy, Adam or SGD, seeded everything, restarts, early stopping (docs/NUMERICS.md). */
#ifndef DF_NET_TRAINING_H
#define DF_NET_TRAINING_H

#include "net/augment.h"
#include "net/plan.h"

/* Where a training row comes from: twins and pseudo-labelled rows are rows like any other. */
enum df_row_source { DF_ROW_POOL = 0, DF_ROW_TWIN = 1, DF_ROW_PSEUDO = 2 };
struct df_training_row {
    enum df_row_source source;
    int64_t index; /* row of the pool; twin number */
    int32_t label;
    float weight; /* of its loss; 1 */
};
/* The unit of a row that is trained on and never kept aside for the validation. */
enum { DF_UNIT_NONE = -1 };
/* Rows and, beside each, its network input x, float [count, D] borrowed. */
struct df_training_set {
    int64_t count, size; /* rows; D */
    const struct df_training_row *rows;
    const float *x;
    /* [count] rows of one number stand on one side of the validation split, a twin beside its source; numbers
     * from 0 in the order of the first row of each, or DF_UNIT_NONE. NULL: every row by itself. */
    const int64_t *unit;
};

/* Restarts over several processes, which make the same call of df_train at the same time: this one runs the
 * restarts `number`, `number + count`, ... */
struct df_training_share {
    int32_t number, count; /* count 0: this process runs all of them */
    /* data [bytes]: that of the process `from` on every one. All make the same calls. */
    dfal_status (*broadcast)(void *user, void *data, int64_t bytes, int32_t from);
    void *user;
};

struct df_training_options {
    int32_t epochs, batch, restarts, patience;
    double
        validation; /* the last floor(F n) units of a seeded permutation, at least 1 when F > 0 and n > 1 */
    bool sgd;
    double learning_rate, beta1, beta2, epsilon, momentum; /* 1e-3, 0.9, 0.999, 1e-7, 0.9 */
    uint64_t seed;     /* of restart 0's parent: restart i uses df_random_child(seed, DF_STREAM_RESTART, i) */
    bool keep_initial; /* start from the network's own parameters instead of Glorot */
    int64_t
        steps; /* above 0: so many optimiser steps a restart, whatever the rows; epochs is not looked at, and
                        * the last epoch ends where they do */
    struct df_augment augment; /* what a step sees of its rows; validation rows are seen as they are */
    struct df_training_share share;
};
void df_training_options_init(struct df_training_options *options);
struct df_training_result {
    int32_t restart, epochs;
    double loss, validation_loss, seconds; /* validation_loss NAN without validation */
    int64_t steps;                         /* of the optimiser, by the restart that was kept */
};

/* A restart, as far as its last finished epoch. parameters, m and v are [size]: the trainable parameters in
 * graph order, then batch-norm's running statistics (where m and v are zero); NULL before the first epoch and
 * once it has ended. */
struct df_restart_state {
    int32_t epochs; /* finished */
    int32_t waited; /* epochs without improvement */
    bool ended;
    double lowest; /* of the losses watched: validation, or training where there is none; INFINITY at first */
    double loss, validation_loss; /* of the last epoch; NAN before */
    float *parameters, *m, *v;
};

/* A training between epochs. All of it is zero before it is begun. */
struct df_training_state {
    int64_t size;
    int32_t count;                     /* restarts */
    struct df_restart_state *restarts; /* [count] */
    /* Of those that have ended the one to keep: the lowest watched loss, the first of equals; -1: none. */
    int32_t best;
    float *best_parameters; /* [size]; NULL: none */
};
dfal_status df_training_state_create(struct df_training_state *state, int32_t restarts, int64_t size);
void df_training_state_clear(struct df_training_state *state);
/* The first restart that has not ended; the last one when all have. */
int32_t df_training_restart(const struct df_training_state *state);
/* Take memory for parameters, m and v, unless it is there; give it back. */
dfal_status df_restart_state_hold(struct df_restart_state *restart, int64_t size);
void df_restart_state_drop(struct df_restart_state *restart);

/* Called after an epoch of this restart; a non-OK return stops training with that status. One call at a
 * time. */
typedef dfal_status df_epoch_fn(void *user, const struct df_training_state *state, int32_t restart);

/* Train network in place, on every process that shares the restarts; its last weights of the restart with the
 * lowest watched loss remain. The watched loss is the validation loss after an epoch, dropout off, or the
 * epoch's mean training loss without validation; `patience` epochs in a row that do not lower it end a
 * restart. Steps per epoch = ceil(rows trained on / batch). A small chain (df_train_engine) is trained on one
 * queue, and on a wide device a batch is one call: there restarts run side by side, a queue each. Elsewhere
 * each batch is cut into sub-batches of 8 rows (the whole batch where the network has batch-norm), a worker
 * each, gradients summed in index order. state (may be NULL) is continued from, unless it is all zero, and
 * holds the last finished epochs on any return; clear it afterwards. Restarts that are shared have none.
 * Order    nothing depends on the number of queues or processes, nor on which restart comes first
 * Errors   E_DATA no rows, a loss that is not finite; E_STOPPED between steps: the epoch is redone on
 *          resume */
dfal_status df_train(struct dfal_context *context, struct df_device *device, struct df_network *network,
                     const struct df_training_set *set, const struct df_training_options *options,
                     struct df_training_state *state, df_epoch_fn *epoch, void *user,
                     struct df_training_result *result);

/* What df_train will run, part of the arithmetic: "fused", a small chain as a whole (backend.h, struct
 * df_chain_desc), or "layers". */
dfal_status df_train_engine(const char **engine, struct df_device *device, const struct df_network *network,
                            const struct df_training_options *options);

#endif
