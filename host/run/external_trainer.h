/* SPDX-License-Identifier: Apache-2.0 */
/* A round's training done by somebody else's command (docs/FORMATS.md, "Trainer"):
 *
 *   CMD --pool P --labels L.csv [--twins T.h5] [--init PREV] --out NET.onnx --seed S --round R */
#ifndef DF_RUN_EXTERNAL_TRAINER_H
#define DF_RUN_EXTERNAL_TRAINER_H

#include "base/process.h"
#include "graph/network.h"
#include "run/state.h"

struct df_external_trainer {
    struct dfal_context *context;
    const char *command;
    const char *pool_path;
    struct df_pool *pool;
    const char *init; /* what round 0 starts from, "" nothing: a network's path */
    char *folder;     /* absolute: DIR/state/STRATEGY-TRIAL.trainer */
};
dfal_status df_external_trainer_open(struct df_external_trainer *trainer, struct dfal_context *context,
                                     const char *dir, const char *strategy, int32_t trial);
void df_external_trainer_close(struct df_external_trainer *trainer);
/* Train a round. What a command has finished before a kill is not done again.
 * Errors   E_STOPPED exit code 75, or a stop that was handed on; E_UNAVAILABLE it cannot be started or fails;
 *          E_DATA, E_SHAPE what it left is no network for the pool; E_EXISTS one of an earlier start still
 *          runs. After it was started context->kept_work is set: its log and its own checkpoints stay */
dfal_status df_external_trainer_run(struct df_external_trainer *trainer, struct df_network **network,
                                    const struct df_run_state *state, int32_t round, uint64_t seed);
/* Load the network of a finished round. */
dfal_status df_external_trainer_network(struct df_external_trainer *trainer, struct df_network **network,
                                        int32_t round);
/* Remove what rounds below `round` left, logs excepted. */
void df_external_trainer_sweep(const struct df_external_trainer *trainer, int32_t round);

#endif
