/* SPDX-License-Identifier: Apache-2.0 */
#include "run/branch.h"

#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/rng.h"
#include "store/network_file.h"

uint64_t df_branch_seed(const struct df_branch *branch, int32_t round)
{
    return df_random_child(branch->seed, DF_STREAM_ROUND, (uint64_t)round);
}

dfal_status df_branch_on_device(struct df_experiment *e, dfal_status status)
{
    e->device_failed = e->device_failed || status == DFAL_E_UNAVAILABLE;
    return status;
}

dfal_status df_branch_write_network(const struct df_branch *branch, const char *path, int32_t round)
{
    struct df_experiment *e = branch->experiment;
    const struct df_device_info *info = &e->device->info;
    const struct df_provenance provenance = {
        .command_line = e->context->options.command_line ? e->context->options.command_line : "",
        .configuration = "",
        .backend = info->backend,
        .engine = e->training ? e->training : "layers",
        .isa = info->isa,
        .device = info->device,
        .seed = df_branch_seed(branch, round),
        .trained_on = e->train->fingerprint,
    };
    return df_network_save(branch->network, path, true, &provenance);
}

/* The network that a round's training begins with: the last round's, or that of the configuration, whose
 * weights count where *keep is set. */
static dfal_status begin_network(struct df_branch *branch, int32_t round, bool *keep)
{
    struct df_experiment *e = branch->experiment;
    const bool previous = round > 0 && !strcmp(e->config.init, "previous");
    *keep = previous || e->warm;
    if (previous)
        return DFAL_OK;
    df_network_destroy(branch->network);
    return df_network_copy(&branch->network, e->graph);
}

/* The labelled rows as a network counts their classes; NULL: as the pool does. */
static dfal_status count_like_network(struct df_training_row **rows, const struct df_run_state *state,
                                      const struct df_network *network)
{
    *rows = NULL;
    if (!network->from_pool)
        return DFAL_OK;
    DF_TRY(df_alloc(rows, state->count, sizeof **rows));
    for (int64_t i = 0; i < state->count; i++) {
        (*rows)[i] = state->rows[i];
        (*rows)[i].label = df_network_from_pool(network, state->rows[i].label);
    }
    return DFAL_OK;
}

static dfal_status broadcast(void *user, void *data, int64_t bytes, int32_t from)
{
    return df_comm_broadcast(user, data, bytes, from);
}

/* The restarts of this rank. */
static struct df_training_share share_of(struct df_comm *crew)
{
    if (crew == NULL)
        return (struct df_training_share){0};
    return (struct df_training_share){crew->rank, crew->size, broadcast, crew};
}

dfal_status df_branch_fit(struct df_branch *branch, struct df_network *network, int32_t round, bool keep,
                          struct df_training_result *result)
{
    struct df_experiment *e = branch->experiment;
    const struct df_run_state *state = &branch->state;
    struct df_training_options options = e->config.training;
    struct df_training_row *rows = NULL;
    const bool grouped = strcmp(e->config.split, "rows") != 0;
    int64_t *unit = NULL;
    dfal_status status;
    options.seed = df_branch_seed(branch, round);
    options.keep_initial = keep;
    options.share = share_of(e->crew);
    DF_TRY_TO(done, status, count_like_network(&rows, state, network));
    DF_TRY_TO(done, status, df_alloc(&unit, state->count, sizeof *unit));
    df_run_state_units(state, grouped, unit);
    const struct df_training_set set = {.count = state->count,
                                        .size = state->size,
                                        .rows = rows ? rows : state->rows,
                                        .x = state->x,
                                        .unit = unit};
    status = df_branch_on_device(
        e, df_train(e->context, e->device, network, &set, &options, NULL, NULL, NULL, result));
done:
    df_free(unit);
    df_free(rows);
    return status;
}

dfal_status df_branch_train(struct df_branch *branch, int32_t round, struct df_training_result *result)
{
    const struct df_experiment *e = branch->experiment;
    const double begin = df_clock();
    dfal_status status;
    if (e->config.trainer.text[0]) {
        df_network_destroy(branch->network);
        branch->network = NULL;
        status = df_external_trainer_run(&branch->trainer, &branch->network, &branch->state, round,
                                         df_branch_seed(branch, round));
    } else {
        bool keep = false;
        status = begin_network(branch, round, &keep);
        if (status == DFAL_OK)
            status = df_branch_fit(branch, branch->network, round, keep, result);
    }
    result->seconds = df_clock() - begin;
    return status;
}
