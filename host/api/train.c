/* SPDX-License-Identifier: Apache-2.0 */
/* dfal_train: a pool's labelled rows, a network, a checkpoint an epoch, a network file. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "backend/backend.h"
#include "base/claim.h"
#include "base/clock.h"
#include "base/compare.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/rng.h"
#include "base/row_sum.h"
#include "base/sized.h"
#include "base/word.h"
#include "graph/json_text.h"
#include "models/models.h"
#include "run/config.h"
#include "score/pool_network.h"
#include "score/pool_rows.h"
#include "score/row_values.h"
#include "store/labels.h"
#include "store/network_file.h"
#include "training_state.h"

void(dfal_train_options_init)(struct dfal_train_options *options, size_t size)
{
    const struct dfal_train_options defaults = {
        .epochs = 12, .batch = 32, .optimizer = "adam", .learning_rate = 1e-3, .restarts = 1};
    df_sized_init(options, size, &defaults, sizeof defaults);
}

/* Everything between the first and the last file. */
struct job {
    struct dfal_context *context;
    const struct dfal_train_options *options;
    const char *pool_path;
    struct df_pool *pool;
    struct df_network *network;
    struct df_training_row *rows;
    int64_t count;
    float *x;
    char *configuration;
    struct df_device *device;
    struct df_augment augment;
    struct df_training_options training;
    const char *engine; /* that trains */
    struct df_claim claim;
    struct df_row_sum sum; /* of the rows as the pool has them */
};

static void job_clear(struct job *job)
{
    df_free(job->x);
    df_free(job->rows);
    df_network_destroy(job->network);
    df_pool_close(job->pool);
    free(job->configuration);
    df_claim_end(&job->claim);
}

static dfal_status check_options(struct job *job)
{
    const struct dfal_train_options *options = job->options;
    struct df_training_options standard;
    DF_TRY(df_word(NULL, "optimizer", options->optimizer, DFAL_OPTIMIZERS));
    if (options->epochs < 0 || options->batch < 1 || options->restarts < 1 || options->patience < 0 ||
        options->subset < 0)
        DF_FAIL(DFAL_E_USAGE,
                "epochs %d, batch %d, restarts %d, patience %d, subset %lld: expected at least 0, 1, 1, 0, 0",
                options->epochs, options->batch, options->restarts, options->patience,
                (long long)options->subset);
    if (!(options->learning_rate > 0.0 && isfinite(options->learning_rate)))
        DF_FAIL(DFAL_E_USAGE, "the learning rate is %g, expected a finite number above 0",
                options->learning_rate);
    if (!(options->validation >= 0.0 && options->validation < 1.0))
        DF_FAIL(DFAL_E_USAGE, "the validation fraction is %g, expected at least 0 and below 1",
                options->validation);
    df_training_options_init(&standard);
    job->augment = standard.augment;
    return options->augment ? df_run_augment_parse(&job->augment, options->augment) : DFAL_OK;
}

static dfal_status check_classes(const struct job *job)
{
    for (int64_t i = 1; i < job->count; i++)
        if (job->rows[i].label != job->rows[0].label)
            return DFAL_OK;
    DF_FAIL(DFAL_E_DATA, "%s: all %lld labelled rows are of class %d, expected at least two classes",
            job->pool_path, (long long)job->count, job->rows[0].label);
}

static bool has_label(const struct df_pool *pool, int64_t row)
{
    return pool->labels && pool->labels[row] >= 0 && !(pool->skipped && pool->skipped[row]);
}

static int64_t count_labelled(const struct df_pool *pool)
{
    int64_t count = 0;
    for (int64_t row = 0; row < pool->count; row++)
        count += has_label(pool, row);
    return count;
}

/* Numbers among the labelled rows of the `subset` that the seed draws (fresh, ascending). */
static dfal_status draw_subset(int64_t **chosen, const struct job *job, int64_t labelled)
{
    const int64_t subset = job->options->subset;
    struct df_draw draw;
    if (subset > labelled)
        DF_FAIL(DFAL_E_DATA, "%s: a subset of %lld was asked for, but only %lld rows have labels",
                job->pool_path, (long long)subset, (long long)labelled);
    DF_TRY(df_alloc(chosen, subset, sizeof **chosen));
    const dfal_status status = df_draw_open(&draw, subset, job->context->options.seed, DF_STREAM_SUBSET);
    if (status != DFAL_OK) {
        df_free(*chosen);
        *chosen = NULL;
        return status;
    }
    for (int64_t i = 0; i < labelled; i++)
        df_draw_add(&draw, i);
    df_draw_take(&draw, *chosen);
    qsort(*chosen, (size_t)subset, sizeof **chosen, df_compare_integers);
    return DFAL_OK;
}

/* The labelled rows of the pool, or the drawn ones, in its order. */
static dfal_status collect_rows(struct job *job)
{
    const struct df_pool *pool = job->pool;
    if (pool->count == 0)
        DF_FAIL(DFAL_E_DATA, "%s: the pool has no samples, expected at least two", job->pool_path);
    const int64_t labelled = count_labelled(pool);
    int64_t *chosen = NULL, wanted = labelled;
    if (labelled == 0)
        DF_FAIL(DFAL_E_DATA, "%s: no row has a label, expected some in /labels or in a label file",
                job->pool_path);
    if (job->options->subset > 0) {
        wanted = job->options->subset;
        DF_TRY(draw_subset(&chosen, job, labelled));
    }
    const dfal_status status = df_alloc(&job->rows, wanted, sizeof(*job->rows));
    for (int64_t row = 0, number = 0; status == DFAL_OK && job->count < wanted; row++) {
        if (!has_label(pool, row))
            continue;
        if (!chosen || chosen[job->count] == number)
            job->rows[job->count++] = (struct df_training_row){DF_ROW_POOL, row, pool->labels[row], 1.0F};
        number++;
    }
    df_free(chosen);
    DF_TRY(status);
    return check_classes(job);
}

/* Read the rows' samples as the network sees them. */
static dfal_status read_samples(struct job *job)
{
    enum { ROWS_AT_ONCE = 1024 };
    int64_t size = df_shape_size(job->pool->shape), *index = NULL;
    char what[64];
    snprintf(what, sizeof what, "%lld rows to train on", (long long)job->count);
    DF_TRY(df_context_check_memory(job->context, (double)job->count * (double)size * sizeof(float), what,
                                   "train on a `subset`"));
    dfal_status status = df_alloc(&job->x, job->count, (size_t)size * sizeof(float));
    DF_KEEP_FIRST(status, df_alloc(&index, ROWS_AT_ONCE, sizeof(*index)));
    for (int64_t begin = 0; status == DFAL_OK && begin < job->count; begin += ROWS_AT_ONCE) {
        int64_t n = job->count - begin < ROWS_AT_ONCE ? job->count - begin : ROWS_AT_ONCE;
        for (int64_t i = 0; i < n; i++)
            index[i] = job->rows[begin + i].index;
        status = df_pool_rows_read(job->x + begin * size, &job->sum, job->pool, index, n);
        for (int64_t i = 0; status == DFAL_OK && i < n; i++)
            if (!df_row_is_finite(job->x + (begin + i) * size, size))
                status = df_fail(DFAL_E_DATA,
                                 "%s: row %lld has a value that is not finite, so no network can learn it",
                                 job->pool_path, (long long)index[i]);
        DF_KEEP_FIRST(status, df_context_check_stop(job->context));
    }
    df_free(index);
    return status;
}

/* The graph does not tell how wide a layer is. */
static dfal_status check_parameters(const struct df_network *network, const struct df_network *start,
                                    const char *path)
{
    for (int32_t i = 0; i < network->node_count; i++)
        for (int k = 0; k < DF_PARAMETER_KINDS; k++) {
            const struct df_parameter *ours = &network->nodes[i].parameter[k],
                                      *theirs = &start->nodes[i].parameter[k];
            const char *kind = df_parameter_name((enum df_parameter_kind)k);
            if (ours->count != theirs->count)
                DF_FAIL(DFAL_E_SHAPE, "%s has %lld values in %s/%s, the network to train has %lld", path,
                        (long long)theirs->count, start->nodes[i].name, kind, (long long)ours->count);
            if (theirs->data && !df_row_is_finite(theirs->data, theirs->count))
                DF_FAIL(DFAL_E_DATA,
                        "%s has a value in %s/%s that is not finite, so no training can start there", path,
                        start->nodes[i].name, kind);
        }
    return DFAL_OK;
}

static dfal_status same_graph(const struct df_network *a, const struct df_network *b, const char *path)
{
    char *first = NULL, *second = NULL;
    dfal_status status = df_graph_to_json(&first, a);
    DF_KEEP_FIRST(status, df_graph_to_json(&second, b));
    if (status == DFAL_OK && strcmp(first, second) != 0)
        status = df_fail(DFAL_E_SHAPE,
                         "%s: the network to start from has another graph than the one to train", path);
    df_free(first);
    df_free(second);
    return status;
}

/* The seed df_train gives its first restart: the initial weights that --epochs 0 saves are those it starts
 * from. */
static uint64_t first_seed(const struct job *job)
{
    return df_random_child(job->context->options.seed, DF_STREAM_RESTART, 0);
}

static dfal_status claim_network(const struct job *job, const struct df_network *network)
{
    return df_claim_inputs(&job->claim, (const char *const *)network->files, network->file_count);
}

/* What a network that is trained on the pool tells apart; NULL: the pool does not tell, or not of all its
 * classes. */
static char *const *pool_names(const struct job *job)
{
    return job->pool->class_count == job->network->class_count ? job->pool->classes : NULL;
}

static dfal_status build_network(struct job *job, const char *name)
{
    struct df_network *start = NULL;
    const struct dfal_train_options *options = job->options;
    dfal_status status = DFAL_OK;
    if (job->pool->class_count == 0)
        DF_FAIL(DFAL_E_DATA,
                "%s: the number of classes is not known, expected class_count, class names or labels",
                job->pool_path);
    if (df_model_exists(name))
        DF_TRY(df_model_create(&job->network, name, job->pool->shape, job->pool->class_count));
    else
        DF_TRY(df_network_shape_for_pool(&job->network, job->context, name, job->pool));
    DF_TRY(claim_network(job, job->network));
    if (options->init == NULL || strcmp(options->init, name) != 0) /* else it is said of the start */
        df_say_softmax(job->context, name, job->network);
    if (job->pool->class_count > job->network->class_count)
        DF_FAIL(DFAL_E_SHAPE, "%s: the pool has %d classes, but the network %s tells only %d apart",
                job->pool_path, job->pool->class_count, name, job->network->class_count);
    DF_TRY(df_network_take_scaling(job->network, job->pool));
    if (options->init == NULL && !df_model_exists(name))
        df_say(job->context, DFAL_WARNING, "train.weights_unused", DF_FIELDS(DF_TEXT("network", name)),
               "%s: its weights are not used, the training begins with random ones; `init` %s starts from "
               "them",
               name, name);
    if (options->init == NULL) {
        DF_TRY(df_network_name_classes(job->network, pool_names(job)));
        return df_network_initialise(job->network, first_seed(job));
    }
    DF_TRY_TO(done, status, df_network_for_pool(&start, job->context, options->init, job->pool));
    DF_TRY_TO(done, status, claim_network(job, start));
    DF_TRY_TO(done, status, same_graph(job->network, start, options->init));
    DF_TRY_TO(done, status, check_parameters(job->network, start, options->init));
    DF_TRY_TO(done, status, df_network_take_scaling(start, job->pool));
    if (!start->classes)
        DF_TRY_TO(done, status, df_network_name_classes(start, pool_names(job)));
    for (int64_t i = 0; i < job->count; i++)
        job->rows[i].label = df_network_from_pool(start, job->rows[i].label);
    df_network_destroy(job->network);
    job->network = start;
    start = NULL;
done:
    df_network_destroy(start);
    return status;
}

static void rows_digest(const struct job *job, char text[DF_DIGEST_TEXT])
{
    struct df_digest digest;
    df_digest_begin(&digest);
    for (int64_t i = 0; i < job->count; i++) {
        df_digest_add_i64(&digest, job->rows[i].index);
        df_digest_add_i64(&digest, job->rows[i].label);
    }
    df_digest_end(&digest, text);
}

static dfal_status choose_training(struct job *job)
{
    const struct dfal_train_options *options = job->options;
    struct df_training_options *training = &job->training;
    df_training_options_init(training);
    training->epochs = options->epochs;
    training->batch = options->batch;
    training->restarts = options->restarts;
    training->patience = options->patience;
    training->validation = options->validation;
    training->sgd = strcmp(options->optimizer, "sgd") == 0;
    training->learning_rate = options->learning_rate;
    training->seed = job->context->options.seed;
    training->keep_initial = options->init != NULL;
    training->augment = job->augment;
    return df_train_engine(&job->engine, job->device, job->network, training);
}

/* Nothing where there is none: work of an earlier dfal goes on. */
static dfal_status note_augment(json_t *configuration, const struct df_augment *augment)
{
    char *text;
    if (df_augment_is_none(augment))
        return DFAL_OK;
    DF_TRY(df_run_augment_text(&text, augment));
    const int failed = json_object_set_new(configuration, "augment", json_string(text));
    df_free(text);
    if (failed)
        DF_FAIL(DFAL_E_MEMORY, "out of memory while describing the training");
    return DFAL_OK;
}

/* What shapes the result, as canonical JSON: compared before a state is continued and kept in the network
 * file. */
static dfal_status describe(struct job *job)
{
    char network[DF_DIGEST_TEXT], rows[DF_DIGEST_TEXT], isa[DF_ISA_TEXT], sum[DF_ROW_SUM_TEXT];
    const struct dfal_train_options *options = job->options;
    const struct df_device_info *info = &job->device->info;
    DF_TRY(choose_training(job));
    df_device_isa(isa, job->device);
    df_network_digest(network, job->network);
    rows_digest(job, rows);
    df_row_sum_text(sum, job->sum);
    json_t *object = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:i, s:i, s:s, s:f, s:I, s:i, s:i, s:f, s:b, s:s}",
        "version", DFAL_VERSION, "backend", info->backend, "isa", isa, "library", info->library, "engine",
        job->engine, "initial_network", network, "pool_fingerprint", job->pool->fingerprint, "rows", rows,
        "row_count", (json_int_t)job->count, "epochs", (int)options->epochs, "batch", (int)options->batch,
        "optimizer", options->optimizer, "learning_rate", options->learning_rate, "seed",
        (json_int_t)job->context->options.seed, "restarts", (int)options->restarts, "patience",
        (int)options->patience, "validation", options->validation, "init", options->init != NULL, "row_hash",
        sum);
    const dfal_status status = note_augment(object, &job->augment);
    job->configuration = object != NULL ? df_json_text(object, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    json_decref(object);
    DF_TRY(status);
    if (job->configuration == NULL)
        DF_FAIL(DFAL_E_MEMORY, "out of memory while describing the training");
    return DFAL_OK;
}

static dfal_status train_network(struct job *job, struct df_checkpoint *checkpoint,
                                 struct dfal_train_result *result)
{
    const struct dfal_train_options *options = job->options;
    struct df_training_result trained = {0};
    struct df_training_state state = {0};
    const struct df_training_set set = {
        .count = job->count, .size = df_shape_size(job->pool->shape), .rows = job->rows, .x = job->x};
    bool found = false;
    DF_TRY(df_checkpoint_read(checkpoint, &state, &found));
    if (options->epochs == 0) { /* nothing to train: only somebody else's unfinished work had to be found */
        df_training_state_clear(&state);
        return DFAL_OK;
    }
    if (found)
        df_say(job->context, DFAL_INFO, "train.resume",
               DF_FIELDS(DF_INT("restart", df_training_restart(&state)),
                         DF_INT("epoch", state.restarts[df_training_restart(&state)].epochs)),
               "continuing behind epoch %d of restart %d", state.restarts[df_training_restart(&state)].epochs,
               df_training_restart(&state) + 1);
    dfal_status status = df_train(job->context, job->device, job->network, &set, &job->training, &state,
                                  df_checkpoint_epoch, checkpoint, &trained);
    if (status == DFAL_E_STOPPED || status == DFAL_E_UNAVAILABLE) {
        char sentence[DF_MESSAGE_SIZE];
        df_message_get(sentence);
        dfal_status flushed = df_checkpoint_flush(checkpoint, &state);
        if (flushed == DFAL_OK)
            df_message_set(sentence);
        else
            status = flushed;
        /* A device that gives up is no reason to begin anew. */
        if (status == DFAL_E_UNAVAILABLE && checkpoint->told)
            status = df_fail(DFAL_E_STOPPED, "%.800s: the finished epochs are kept", sentence);
    }
    df_training_state_clear(&state);
    result->epochs = trained.epochs;
    result->training_seconds = trained.seconds;
    result->loss = trained.loss;
    result->validation_loss = options->validation > 0.0 ? trained.validation_loss : NAN;
    return status;
}

static dfal_status save(struct job *job, const char *out_path)
{
    const struct df_device_info *info = &job->device->info;
    const struct df_provenance provenance = {
        .command_line = job->context->options.command_line,
        .configuration = job->configuration,
        .backend = info->backend,
        .engine = job->engine,
        .isa = info->isa,
        .device = info->device,
        .seed = job->context->options.seed,
        .trained_on = job->options->epochs > 0 ? job->pool->fingerprint : NULL,
    };
    return df_network_save(job->network, out_path, job->context->options.force, &provenance);
}

static dfal_status claim(struct job *job, const char *out_path, const char *network)
{
    struct df_claim *claim = &job->claim;
    DF_TRY(df_claim_output(claim, out_path, "network"));
    DF_TRY(df_claim_input(claim, network));
    DF_TRY(df_claim_input(claim, job->options->init));
    DF_TRY(df_claim_pool(claim, job->pool_path, job->options->pool));
    return df_claim_take(claim, out_path, job->context->options.force);
}

dfal_status dfal_train(dfal_context *context, struct dfal_train_result *result, const char *out_path,
                       const char *network, const char *pool_path, const struct dfal_train_options *given)
{
    struct dfal_train_options own;
    struct dfal_train_result told = {.loss = NAN, .validation_loss = NAN};
    struct job job = {.context = context, .options = &own, .pool_path = pool_path};
    struct df_checkpoint checkpoint = {0};
    dfal_status status = DFAL_OK;
    double begin = df_clock();
    dfal_train_options_init(&own);
    DF_TRY(df_sized_take(&own, sizeof own, given, "dfal_train_options"));
    DF_TRY(df_sized_check(result, "dfal_train_result"));
    context->kept_work = false;
    DF_TRY(check_options(&job));
    DF_TRY_TO(done, status, claim(&job, out_path, network));
    DF_TRY_TO(done, status, df_pool_open(&job.pool, job.context, pool_path, job.options->pool));
    df_labels_warn(context, job.pool);
    if (job.options->epochs > 0)
        DF_TRY_TO(done, status, collect_rows(&job));
    DF_TRY_TO(done, status, build_network(&job, network));
    DF_TRY_TO(done, status, df_context_device(context, &job.device));
    df_group_say_first(context, job.device, "training");
    if (job.options->epochs > 0)
        DF_TRY_TO(done, status, read_samples(&job));
    DF_TRY_TO(done, status, describe(&job));
    DF_TRY_TO(done, status, df_checkpoint_begin(&checkpoint, context, out_path, job.configuration));
    df_say(
        context, DFAL_INFO, "train.begin",
        DF_FIELDS(DF_TEXT("network", network), DF_TEXT("pool", pool_path), DF_INT("rows", job.count),
                  DF_INT("parameters", df_network_parameter_count(job.network)),
                  DF_TEXT("backend", job.device->info.backend), DF_TEXT("engine", job.engine),
                  DF_TEXT("isa", job.device->info.isa)),
        "train %s on %lld rows of %s: %lld parameters, %d epochs of batch %d, %s %s, engine %s, %d threads, "
        "to %s",
        network, (long long)job.count, pool_path, (long long)df_network_parameter_count(job.network),
        job.options->epochs, job.options->batch, job.device->info.backend, job.device->info.isa, job.engine,
        context->threads, out_path);
    DF_TRY_TO(done, status, train_network(&job, &checkpoint, &told));
    df_parts_publish(&checkpoint.parts);
    DF_TRY_TO(done, status, save(&job, out_path));
    /* The network stands: what cannot be removed now goes with the next line on it. */
    (void)df_checkpoint_remove(&checkpoint);
    told.seconds = df_clock() - begin;
    told.peak_memory_bytes = df_memory_peak();
    df_sized_give(result, &told, sizeof told);
done:
    df_parts_tell_kept(context, status, out_path);
    df_checkpoint_end(&checkpoint);
    job_clear(&job);
    return status;
}
