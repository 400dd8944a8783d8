/* SPDX-License-Identifier: Apache-2.0 */
/* What all rounds of an experiment share: pools, network, device. */
#ifndef DF_RUN_EXPERIMENT_H
#define DF_RUN_EXPERIMENT_H

#include "comm/comm.h"
#include "run/directory.h"
#include "run/part.h"
#include "strategy/oracle.h"
#include "strategy/strategy.h"

struct df_experiment {
    struct dfal_context *context;
    struct df_device *device;
    struct df_comm *comm;
    struct df_comm *crew; /* the ranks that run a branch with this one; NULL: it runs its branches alone */
    dfal_event_fn *event; /* who is told of events behind a crew that the first of it says; else NULL */
    struct df_run_config config;
    struct df_run_part part; /* of the experiment, that is run here */
    struct df_pool *train, *test;
    struct df_network *graph;    /* what rounds begin with; NULL: the trainer brings its own */
    struct df_network *transfer; /* another that learns what was chosen; NULL: none */
    struct df_oracle *oracle;
    struct df_run_directory directory;
    int64_t *eligible; /* rows of train that have a label, are not skipped and are finite */
    int64_t eligible_count;
    bool margins;     /* some strategy runs DeepFool, or has twins */
    bool fused;       /* it does so by the device's fused engine */
    const char *feed; /* how the rows of train come to the devices (feed.h); the options' */
    /* What trains, of network and transfer: df_train_engine; NULL: nothing of dfal's does. */
    const char *training, *transfer_training;
    bool device_failed;                   /* what failed did so while the device computed */
    bool warm;                            /* graph has the weights that training begins with */
    char solvers[2 * DF_STRATEGY_SOLVER]; /* that strategies run, with their versions; "": none ever */
};
/* Open pools, network and device and check that they fit. Zero-initialise first.
 *   oracles  a table that has the one called "simulated"
 * Errors   E_CONFIG no pool configured; E_SHAPE pools and network differ; E_DATA no labels, one class, too
 *          few rows; E_MEMORY the labelled set would not fit the context's memory */
dfal_status df_experiment_open(struct df_experiment *experiment, struct dfal_context *context,
                               const struct dfal_run_options *options, const struct df_oracle_kind *oracles);
/* Collective. Where DeepFool will run the rows of train go to the devices, to stay there. */
dfal_status df_experiment_feed(struct df_experiment *experiment);
void df_experiment_close(struct df_experiment *experiment);
/* Reads all rows of both pools. Clear the identity, also after an error. */
dfal_status df_experiment_identity(const struct df_experiment *experiment, const struct dfal_context *context,
                                   struct df_identity *identity);

#endif
