/* SPDX-License-Identifier: Apache-2.0 */
#include "run/side.h"

#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/thread_pool.h"
#include "run/branch.h"
#include "run/ranks.h"
#include "run/rounds.h"
#include "run/tables.h"

/* One strategy in one trial. */
struct branch {
    int32_t trial, strategy;
    bool begun, finished;
};

struct worker {
    struct df_experiment experiment; /* the whole one's, with a context and a device of its own */
    struct dfal_context *context;    /* NULL: the whole one's */
};

struct all {
    struct df_experiment *experiment;
    struct df_run_side side;
    struct branch *branches; /* trial by trial */
    int64_t count;
    int64_t *open; /* [left] those that are not finished */
    int64_t left;
    struct worker *workers;
    int32_t worker_count;
    int64_t unfinished;
    int32_t counter; /* of claims: the n-th that is open */
    int64_t mine;    /* the n-th that is open is what this rank's crew runs; -1: they are claimed */
};

/* ---- where they stand ---------------------------------------------------------------------------------- */

static dfal_status look_at(const struct all *all, struct branch *branch, struct df_run_state *seen)
{
    const struct df_experiment *e = all->experiment;
    char *path;
    DF_TRY(df_run_state_path(&path, e->directory.path, e->config.strategy[branch->strategy].name,
                             branch->trial));
    const dfal_status status = df_run_state_peek(seen, path);
    df_free(path);
    branch->begun = seen->round >= 0;
    branch->finished = seen->finished;
    return status;
}

/* And the tables as the checkpoints have it. */
static dfal_status look(struct all *all)
{
    const struct df_experiment *e = all->experiment;
    struct df_run_place *places;
    dfal_status status = DFAL_OK;
    DF_TRY(df_alloc(&places, all->count, sizeof *places));
    all->left = all->side.advance.done = 0;
    for (int64_t b = 0; b < all->count; b++) {
        struct branch *branch = &all->branches[b];
        struct df_run_state seen = {.round = -1};
        DF_TRY_TO(done, status, look_at(all, branch, &seen));
        places[b] = (struct df_run_place){.strategy = e->config.strategy[branch->strategy].name,
                                          .trial = branch->trial,
                                          .round = seen.round,
                                          .annotations = seen.annotations};
        all->side.advance.done += seen.annotations;
        if (branch->begun)
            e->context->kept_work = true;
        if (!branch->finished)
            all->open[all->left++] = b;
    }
    status = df_run_tables_settle(&all->experiment->directory, places, all->count);
done:
    df_free(places);
    return status;
}

/* When nobody works on a branch: rank 0 looks, and all know what it has seen. */
static dfal_status look_together(struct all *all)
{
    struct df_comm *comm = all->experiment->comm;
    DF_TRY(comm->barrier(comm));
    if (comm->rank == 0)
        DF_TRY(look(all));
    DF_TRY(comm->broadcast(comm, all->branches, all->count * (int64_t)sizeof *all->branches, 0));
    all->left = 0;
    for (int64_t b = 0; b < all->count; b++)
        if (!all->branches[b].finished)
            all->open[all->left++] = b;
    return DFAL_OK;
}

static dfal_status list(struct all *all, const struct df_run_set *set)
{
    DF_TRY(df_alloc(&all->branches, set->count, sizeof *all->branches));
    DF_TRY(df_alloc(&all->open, set->count, sizeof *all->open));
    for (; all->count < set->count; all->count++) {
        const struct df_run_member *member = &set->members[all->count];
        all->branches[all->count] = (struct branch){.trial = member->trial, .strategy = member->strategy};
    }
    return DFAL_OK;
}

/* ---- workers ------------------------------------------------------------------------------------------- */

/* Sixteen numbers of each parameter, the parts of a gradient and packed copies among them. */
double df_run_branch_bytes(const struct df_experiment *e)
{
    const double rows =
        (double)(e->config.annotations < e->eligible_count ? e->config.annotations : e->eligible_count);
    const struct df_network *networks[] = {e->graph, e->transfer};
    double parameters = 0;
    for (int i = 0; i < 2; i++)
        parameters += networks[i] ? (double)df_network_parameter_count(networks[i]) : 0;
    return sizeof(float) * (16 * parameters + 2 * rows * (double)df_shape_size(e->train->shape));
}

/* Somebody else's solver is one of the programs that are run one at a time. */
static bool runs_solver(const struct df_run_config *config, int32_t entry)
{
    const struct df_strategy *strategy = df_run_strategy(config, entry);
    const struct df_strategy_config options = df_run_strategy_options(config, entry);
    return strategy->solver && options.own.command.text[0];
}

/* Somebody else's programs are run one at a time: they may want the machine, or its GPU, for themselves. */
static bool runs_programs(const struct df_run_config *config)
{
    bool any = config->trainer.text[0] != 0;
    for (int32_t s = 0; s < config->strategy_count; s++)
        any = any || config->strategy[s].command.text[0] || runs_solver(config, s);
    return any;
}

int32_t df_run_side_workers(const struct df_experiment *e, int64_t branches)
{
    const double room = (double)e->context->memory / df_run_branch_bytes(e);
    const bool gpu = e->device->wide || e->device->own_memory;
    const int64_t most = gpu ? df_group_count(e->device) : e->context->threads;
    const int64_t share = (branches + e->comm->size - 1) / e->comm->size,
                  workers = most < share ? most : share;
    if (runs_programs(&e->config) || room < 2)
        return 1;
    return (int32_t)((double)workers < room ? (double)workers : room);
}

/* What opens a worker's device: of a group each worker has a member to itself. */
static const char *backend_of(const struct df_experiment *whole, int32_t index)
{
    const struct df_device *device = whole->device;
    const char *asked = whole->context->options.backend;
    if (device->next) {
        while (index-- > 0)
            device = device->next;
        return device->name;
    }
    return strcmp(asked, "auto") ? asked : device->info.backend;
}

dfal_status df_run_side_open(struct df_experiment *part, struct dfal_context **context,
                             const struct df_experiment *whole, int32_t index, int32_t threads)
{
    *part = *whole;
    DF_TRY(df_context_part(context, whole->context, backend_of(whole, index), threads));
    part->context = *context;
    return df_context_device(*context, &part->device);
}

static dfal_status worker_open(struct all *all, int32_t index, int32_t threads)
{
    struct worker *worker = &all->workers[index];
    if (all->worker_count > 1)
        return df_run_side_open(&worker->experiment, &worker->context, all->experiment, index, threads);
    worker->experiment = *all->experiment;
    return DFAL_OK;
}

int32_t df_run_side_threads(int32_t threads, int32_t workers, int32_t index)
{
    return threads / workers + (index < threads % workers || threads < workers);
}

static dfal_status open_workers(struct all *all, int32_t workers)
{
    const int32_t threads = all->experiment->context->threads;
    all->worker_count = workers;
    if (workers == 1)
        df_group_say_first(all->experiment->context, all->experiment->device, "training");
    DF_TRY(df_alloc(&all->workers, all->worker_count, sizeof *all->workers));
    for (int32_t i = 0; i < all->worker_count; i++)
        DF_TRY(worker_open(all, i, df_run_side_threads(threads, workers, i)));
    return DFAL_OK;
}

/* One has ended, or was put aside. */
static void end_one(struct all *all, dfal_status status)
{
    df_lock_take(&all->side.lock);
    const int64_t left = --all->unfinished;
    df_lock_release(&all->side.lock);
    if (status != DFAL_OK)
        df_say(all->experiment->context, DFAL_INFO, "run.aside", DF_NO_FIELDS,
               "one strategy goes on alone behind the others: %s", dfal_last_error());
    df_run_advance_left(&all->side.advance, left);
}

static dfal_status run_one(void *arg, int64_t job, int32_t index)
{
    struct all *all = arg;
    struct df_run_side *side = &all->side;
    struct worker *worker = &all->workers[index];
    struct df_comm *comm = all->experiment->comm;
    int64_t n = all->mine;
    (void)job; /* another rank may have begun it */
    if (atomic_load(&side->failed))
        return DFAL_OK;
    if (n < 0)
        DF_TRY(comm->claim(comm, all->counter, &n));
    if (n >= all->left)
        return DFAL_OK;
    const struct branch *branch = &all->branches[all->open[n]];
    const dfal_status status =
        df_rounds_run(&worker->experiment, side, branch->trial, branch->strategy, branch->begun);
    if (status == DFAL_OK || (status == DFAL_E_MEMORY && all->worker_count > 1)) {
        end_one(all, status);
        return DFAL_OK;
    }
    atomic_store(&side->failed, true);
    if (status == DFAL_E_UNAVAILABLE && all->worker_count > 1 && all->experiment->device->next)
        (void)df_fail_prefix(status, "%s: ", backend_of(all->experiment, index));
    df_lock_take(&side->lock);
    all->experiment->device_failed = all->experiment->device_failed || worker->experiment.device_failed;
    if (worker->context && worker->context->kept_work)
        all->experiment->context->kept_work = true;
    df_lock_release(&side->lock);
    return status;
}

static void close_workers(struct all *all)
{
    for (int32_t i = 0; all->workers && i < all->worker_count; i++)
        dfal_context_destroy(all->workers[i].context);
    df_free(all->workers);
    all->workers = NULL;
}

/* Programs do not know of a crew, and a solver that is given so much time may find more on one rank than on
 * another: such a branch is run by the first of its crew. */
static bool runs_alone(const struct df_run_config *config, int32_t entry)
{
    return config->trainer.text[0] || config->strategy[entry].command.text[0] ||
           df_run_strategy(config, entry)->solver;
}

static dfal_status join_crew(struct all *all)
{
    struct df_experiment *e = all->experiment;
    DF_TRY(df_run_ranks_crew(e, all->left, &all->mine));
    if (!e->crew || !runs_alone(&e->config, all->branches[all->open[all->mine]].strategy))
        return DFAL_OK;
    if (e->crew->rank > 0)
        all->mine = all->left;
    e->crew = NULL;
    return DFAL_OK;
}

static dfal_status run_open(struct all *all, int32_t workers)
{
    struct df_thread_pool *threads = NULL;
    dfal_status status;
    all->unfinished = all->left;
    all->counter = df_comm_counter(all->experiment->comm);
    DF_TRY_TO(done, status, join_crew(all));
    DF_TRY_TO(done, status, open_workers(all, workers));
    DF_TRY_TO(done, status, df_thread_pool_create(&threads, workers));
    status = df_thread_pool_run(threads, run_one, all, all->mine < 0 ? all->left : 1);
done:
    df_thread_pool_destroy(threads);
    close_workers(all);
    df_run_ranks_crew_end(all->experiment);
    return status;
}

static dfal_status run_all(struct all *all)
{
    const int32_t workers = df_run_side_workers(all->experiment, all->left);
    const struct df_comm *comm = all->experiment->comm;
    const int32_t beside = all->left < comm->size ? (int32_t)all->left : workers * comm->size;
    if (comm->rank == 0)
        DF_TRY(df_run_advance_resume(&all->side.advance, all->experiment->directory.path, beside));
    DF_TRY(run_open(all, workers));
    DF_TRY(look_together(all));
    if (all->left == 0)
        return DFAL_OK;
    df_run_advance_left(&all->side.advance, 1);
    DF_TRY(run_open(all, 1));
    return look_together(all);
}

dfal_status df_run_side_by_side(struct df_experiment *experiment, const struct df_run_set *set)
{
    struct all all = {.experiment = experiment};
    struct df_run_side *side = &all.side;
    struct df_run_listener listener = {experiment, side};
    dfal_status status;
    df_lock_begin(&side->lock);
    df_run_advance_begin(&side->advance, experiment->context, &experiment->config, set,
                         experiment->eligible_count);
    DF_TRY_TO(done, status, list(&all, set));
    df_run_ranks_listen(&listener);
    DF_TRY_TO(done, status, look_together(&all));
    if (all.left > 0)
        status = run_all(&all);
done:
    df_run_ranks_end(&listener);
    df_run_advance_end(&side->advance);
    df_lock_end(&side->lock);
    df_free(all.branches);
    df_free(all.open);
    return status;
}
