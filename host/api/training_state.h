/* SPDX-License-Identifier: Apache-2.0 */
/* The checkpoint of a training in OUT.parts/state.h5: written after an epoch, at most every few seconds, and
 * when the training is stopped. */
#ifndef DF_API_TRAINING_STATE_H
#define DF_API_TRAINING_STATE_H

#include "base/parts.h"
#include "net/training.h"

struct df_checkpoint {
    struct dfal_context *context;
    struct df_parts parts; /* OUT.parts */
    char *path;            /* OUT.parts/state.h5 */
    char *configuration;   /* canonical JSON */
    bool pending;          /* there are epochs that were not written */
    bool told;             /* an epoch was finished in this process */
    double last;
};

/* Hold OUT.parts; configuration is copied. With the context's force nothing of an earlier training is left.
 * Errors   E_EXISTS another process trains it; E_CONFIG it holds another kind of job's parts */
dfal_status df_checkpoint_begin(struct df_checkpoint *checkpoint, struct dfal_context *context,
                                const char *out_path, const char *configuration);
/* Read what an earlier process kept; *found false: nothing. Free with df_training_state_clear.
 * Errors   E_CONFIG it belongs to another configuration (names the first difference) or job; E_DATA a foreign
 *          file */
dfal_status df_checkpoint_read(struct df_checkpoint *checkpoint, struct df_training_state *state,
                               bool *found);
/* df_epoch_fn with the checkpoint as user. */
dfal_status df_checkpoint_epoch(void *checkpoint, const struct df_training_state *state, int32_t restart);
/* Write the epochs that were not written. */
dfal_status df_checkpoint_flush(struct df_checkpoint *checkpoint, const struct df_training_state *state);
/* Remove what was kept. */
dfal_status df_checkpoint_remove(struct df_checkpoint *checkpoint);
void df_checkpoint_end(struct df_checkpoint *checkpoint);
/* What a state's file says of the restarts, without their parameters; configuration is fresh (df_free).
 * Errors   E_DATA not such a file */
dfal_status df_training_state_read(struct df_training_state *state, const char *path, char **configuration);

#endif
