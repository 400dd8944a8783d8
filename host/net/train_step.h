/* SPDX-License-Identifier: Apache-2.0 */
/* One training step on a device's queues: what train.c repeats. For train*.c and the
 * benchmark of ops (host/api/bench_ops.c) only. */
#ifndef DF_NET_TRAIN_STEP_H
#define DF_NET_TRAIN_STEP_H

#include "net/program.h"
#include "net/train.h"

struct df_trainer;
/* losses: rows whose losses may be held at once (an epoch's, a validation set's). */
dfal_status df_trainer_create(struct df_trainer **out, struct df_device *device,
                              const struct df_network *network, const struct df_training_set *set,
                              int32_t batch, int64_t losses);
void df_trainer_destroy(struct df_trainer *trainer);
/* Values in the order of df_training_state: parameters and statistics; m and v may be NULL: zeros. */
int64_t df_trainer_size(const struct df_trainer *trainer);
const struct df_plan *df_trainer_plan(const struct df_trainer *trainer);
dfal_status df_trainer_load(struct df_trainer *trainer, const float *values, const float *m, const float *v);
dfal_status df_trainer_store(struct df_trainer *trainer, float *values, float *m, float *v);

/* One optimiser step over the rows order[0..n) of the set; their losses stay on the device from loss_at on.
 * step counts from 0 over the whole restart: it salts dropout and corrects Adam's moments. */
struct df_step_options {
    const struct df_training_options *training;
    uint64_t seed; /* of the restart */
    int64_t step;
};
dfal_status df_trainer_step(struct df_trainer *trainer, const int64_t *order, int64_t n, int64_t loss_at,
                            const struct df_step_options *options);
/* Losses of rows with dropout off and batch-norm frozen, from loss_at on. */
dfal_status df_trainer_evaluate(struct df_trainer *trainer, const int64_t *order, int64_t n, int64_t loss_at);
/* Read losses (weights included) [count] from loss_at on from the device. */
dfal_status df_trainer_losses(struct df_trainer *trainer, float *losses, int64_t loss_at, int64_t count);

#endif
