/* SPDX-License-Identifier: Apache-2.0 */
/* Epochs of one training on a device: what training.c repeats. For train*.c and the benchmark of ops
 * (host/api/bench_ops.c) only. */
#ifndef DF_NET_TRAIN_STEP_H
#define DF_NET_TRAIN_STEP_H

#include "net/plan_inside.h"

struct df_training_options;
struct df_training_set;

/* The training set in a wide device's memory, read by every trainer: x REAL [count, D], label I32 [count],
 * weight REAL [count]. Without buffers on other devices, x alone without one where its rows take more than
 * `room` bytes (0: as many as there are) or are augmented, which the host does: then each batch is sent. */
struct df_resident_set {
    struct df_span x, label, weight;
};
dfal_status df_resident_set_create(struct df_resident_set *out, struct df_device *device,
                                   const struct df_training_set *set,
                                   const struct df_training_options *training, int64_t room);
void df_resident_set_clear(struct df_resident_set *set, struct df_device *device);

struct df_trainer;
/* set, resident and the network's scaling are borrowed. queue: the one that the trainer has for itself
 * (df_trainer_has_queue); other trainers use all queues. training: the options of all its epochs. */
dfal_status df_trainer_create(struct df_trainer **out, struct df_device *device, int32_t queue,
                              const struct df_network *network, const struct df_training_set *set,
                              const struct df_resident_set *resident,
                              const struct df_training_options *training);
void df_trainer_destroy(struct df_trainer *trainer);
/* May trainers run side by side, a queue each? On a wide device, and where a back end trains a small chain as
 * a whole. */
bool df_trainer_has_queue(const struct df_trainer *trainer);
/* Values in the order of df_restart_state: parameters and statistics. m and v may be NULL: zeros; not
 * wanted. */
int64_t df_trainer_size(const struct df_trainer *trainer);
const struct df_plan *df_trainer_plan(const struct df_trainer *trainer);
dfal_status df_trainer_load(struct df_trainer *trainer, const float *values, const float *m, const float *v);
dfal_status df_trainer_store(struct df_trainer *trainer, float *values, float *m, float *v);

struct df_epoch_options {
    const struct df_training_options *training; /* those of the trainer */
    uint64_t seed;                              /* of the restart */
    int64_t
        first_step; /* steps of the restart before this epoch: they salt dropout and correct Adam's moments */
    int32_t epoch;  /* epochs of the restart before this one: they salt the augmentation */
};
/* A step for every `batch` rows of order [n], rows of the set, at most as many as it has. losses [n], weights
 * included, in that order; where one is not finite, the epoch may end behind its step, and the losses behind
 * it are 0. */
dfal_status df_trainer_epoch(struct df_trainer *trainer, struct dfal_context *context, float *losses,
                             const int64_t *order, int64_t n, const struct df_epoch_options *options);
/* Losses of rows with dropout off and batch-norm frozen. */
dfal_status df_trainer_evaluate(struct df_trainer *trainer, float *losses, const int64_t *order, int64_t n);

#endif
