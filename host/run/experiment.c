/* SPDX-License-Identifier: Apache-2.0 */
/* Setting an experiment up: pools, network, device, and whether they fit each other. */
#include <stdio.h>
#include <string.h>

#include "backend/backend.h"
#include "base/memory.h"
#include "base/sized.h"
#include "models/models.h"
#include "run/experiment.h"
#include "run/feed.h"
#include "score/deepfool_engine.h"
#include "score/pool_network.h"
#include "score/pool_rows.h"
#include "store/classes.h"
#include "store/labels.h"
#include "store/network_file.h"
#include "store/row_hash.h"

enum { CHUNK = 1024 };

void(dfal_run_options_init)(struct dfal_run_options *options, size_t size)
{
    const struct dfal_run_options defaults = {0};
    df_sized_init(options, size, &defaults, sizeof defaults);
}

/* Accuracy is counted over these: whether there are any is known before the first round, not behind it. */
static dfal_status check_test_labels(const struct df_experiment *e)
{
    const struct df_pool *test = e->test;
    int64_t labelled = 0;
    for (int64_t i = 0; test->labels && i < test->count; i++)
        labelled += test->labels[i] >= 0;
    if (!labelled)
        DF_FAIL(DFAL_E_DATA,
                "%s: none of its %lld rows has a label, expected those that accuracy is counted over",
                test->path, (long long)test->count);
    if (labelled < test->count)
        df_say(
            e->context, DFAL_WARNING, "run.test_unlabelled",
            DF_FIELDS(DF_TEXT("pool", test->path), DF_INT("labelled", labelled), DF_INT("rows", test->count)),
            "%s: %lld of its %lld rows have a label, accuracy is counted over these", test->path,
            (long long)labelled, (long long)test->count);
    return DFAL_OK;
}

/* From here on the test pool counts its classes as the training pool does. */
static dfal_status match_classes(struct df_experiment *e)
{
    const struct df_classes train = {e->train->path, e->train->classes, e->train->class_count},
                            test = {e->test->path, e->test->classes, e->test->class_count};
    int32_t *map = NULL;
    DF_TRY(df_classes_match(&map, &test, &train));
    if (map)
        df_classes_say(e->context, &train, &test);
    dfal_status status = df_pool_reorder(e->test, map);
    df_free(map);
    return status;
}

static dfal_status check_pools(struct df_experiment *e)
{
    const struct df_pool *a = e->train, *b = e->test;
    if (a->shape.c != b->shape.c || a->shape.h != b->shape.h || a->shape.w != b->shape.w)
        DF_FAIL(DFAL_E_SHAPE, "%s holds samples of %lldx%lldx%lld, expected %lldx%lldx%lld like %s", b->path,
                (long long)b->shape.c, (long long)b->shape.h, (long long)b->shape.w, (long long)a->shape.c,
                (long long)a->shape.h, (long long)a->shape.w, a->path);
    DF_TRY(check_test_labels(e));
    if (strcmp(a->fingerprint, b->fingerprint) == 0)
        df_say(e->context, DFAL_WARNING, "run.same_pool",
               DF_FIELDS(DF_TEXT("train", a->path), DF_TEXT("test", b->path)),
               "%s and %s hold the same samples: the accuracy is that of rows which training may have seen",
               a->path, b->path);
    if (a->class_count != b->class_count)
        DF_FAIL(DFAL_E_SHAPE, "%s has %d classes, expected %d like %s", b->path, b->class_count,
                a->class_count, a->path);
    for (int32_t i = 0; i < a->affine_count && i < b->affine_count; i++)
        if (a->scale[i] != b->scale[i] || a->offset[i] != b->offset[i])
            DF_FAIL(DFAL_E_DATA,
                    "%s is scaled by %.17g and shifted by %.17g, expected %.17g and %.17g like %s", b->path,
                    b->scale[i], b->offset[i], a->scale[i], a->offset[i], a->path);
    if (a->affine_count != b->affine_count)
        DF_FAIL(DFAL_E_DATA, "%s has %d scales, expected %d like %s", b->path, b->affine_count,
                a->affine_count, a->path);
    return match_classes(e);
}

/* Drop the rows that hold a value that is not finite: a network cannot learn them. */
static dfal_status drop_nonfinite(struct df_experiment *e)
{
    int64_t kept = 0;
    bool finite[CHUNK];
    for (int64_t begin = 0; begin < e->eligible_count; begin += CHUNK) {
        const int64_t n = e->eligible_count - begin < CHUNK ? e->eligible_count - begin : CHUNK;
        DF_TRY(df_context_check_stop(e->context));
        DF_TRY(df_pool_rows_are_finite(finite, e->train, e->eligible + begin, n));
        for (int64_t i = 0; i < n; i++)
            if (finite[i])
                e->eligible[kept++] = e->eligible[begin + i];
    }
    e->eligible_count = kept;
    return DFAL_OK;
}

/* Rows the oracle can answer for. */
static dfal_status find_eligible(struct df_experiment *e)
{
    const struct df_pool *pool = e->train;
    DF_TRY(df_alloc(&e->eligible, pool->count, sizeof *e->eligible));
    bool two_classes = false;
    for (int64_t i = 0; i < pool->count; i++)
        if (pool->labels[i] >= 0 && !(pool->skipped && pool->skipped[i]))
            e->eligible[e->eligible_count++] = i;
    DF_TRY(drop_nonfinite(e));
    for (int64_t i = 1; i < e->eligible_count; i++)
        two_classes = two_classes || pool->labels[e->eligible[i]] != pool->labels[e->eligible[0]];
    if (e->eligible_count < e->config.initial)
        DF_FAIL(DFAL_E_DATA, "%s has %lld usable labelled rows, expected at least the initial %lld",
                pool->path, (long long)e->eligible_count, (long long)e->config.initial);
    if (!two_classes)
        DF_FAIL(DFAL_E_DATA, "%s: all %lld labelled rows are of one class, expected at least two", pool->path,
                (long long)e->eligible_count);
    if (e->eligible_count < pool->count)
        df_say(e->context, DFAL_WARNING, "run.left_out",
               DF_FIELDS(DF_INT("rows", pool->count - e->eligible_count)),
               "%lld rows of %s are left out: no label, skipped or not finite",
               (long long)(pool->count - e->eligible_count), pool->path);
    if (e->eligible_count < e->config.annotations)
        df_say(e->context, DFAL_WARNING, "run.small_pool",
               DF_FIELDS(DF_INT("rows", e->eligible_count), DF_INT("annotations", e->config.annotations)),
               "%s has %lld labelled rows: trials end there and not at %lld annotations", pool->path,
               (long long)e->eligible_count, (long long)e->config.annotations);
    return DFAL_OK;
}

static bool has_batch_norm(const struct df_network *network)
{
    for (int32_t i = 0; i < network->node_count; i++)
        if (network->nodes[i].op == DF_NODE_BATCH_NORM)
            return true;
    return false;
}

/* What computes margins is part of the experiment's identity, so it is known from the beginning: all rounds'
 * networks have the same nodes. A trainer's may have others each time, and whether a trained batch-norm folds
 * away depends on its parameters: these take layers. */
static dfal_status choose_engine(struct df_experiment *e)
{
    for (int32_t s = 0; s < e->config.strategy_count; s++) {
        const struct df_strategy *strategy = df_run_strategy(&e->config, s);
        const struct df_strategy_config options = df_run_strategy_options(&e->config, s);
        e->margins =
            e->margins || options.twins || df_strategy_asks(strategy, &options.own) & DF_ASKS_MARGINS;
    }
    if (!e->margins || e->config.trainer.text[0] || has_batch_norm(e->graph))
        return DFAL_OK;
    return df_deepfool_fuses(&e->fused, e->device, e->graph);
}

static dfal_status check_memory(const struct df_experiment *e)
{
    const struct df_run_config *config = &e->config;
    int64_t most = config->annotations < e->eligible_count ? config->annotations : e->eligible_count;
    bool twins = false;
    for (int32_t s = 0; s < config->strategy_count; s++)
        twins = twins || df_run_strategy_options(config, s).twins;
    int64_t rows = (config->trainer.text[0] ? 0 : most) + (twins ? most : 0);
    const double bytes = (double)rows * (double)df_shape_size(e->train->shape) * sizeof(float);
    char what[64];
    snprintf(what, sizeof what, "%lld labelled rows", (long long)rows);
    return df_context_check_memory(e->context, bytes, what, "ask for fewer annotations");
}

static bool is_model(const char *name)
{
    return df_model_exists(name) || !strpbrk(name, "/.");
}

/* The network has room for the pool's classes, and is known by their names and scaling. */
static dfal_status fit_to_pool(const struct df_experiment *e, struct df_network *network, const char *name,
                               bool named)
{
    const struct df_pool *pool = e->train;
    if (network->class_count < pool->class_count)
        DF_FAIL(DFAL_E_SHAPE, "%s has %d classes, expected at most the %d of the network %s", pool->path,
                pool->class_count, network->class_count, name);
    if (!named)
        DF_TRY(df_network_name_classes(network,
                                       network->class_count == pool->class_count ? pool->classes : NULL));
    return df_network_take_scaling(network, pool);
}

static dfal_status build_transfer(struct df_experiment *e)
{
    const char *name = e->config.transfer;
    if (!name[0])
        return DFAL_OK;
    if (e->config.trainer.text[0])
        DF_FAIL(
            DFAL_E_CONFIG,
            "transfer is %s and trainer is '%.200s', expected one of them: the other network is trained by "
            "dfal",
            name, e->config.trainer.text);
    DF_TRY(is_model(name) ? df_model_create(&e->transfer, name, e->train->shape, e->train->class_count)
                          : df_network_shape_for_pool(&e->transfer, e->context, name, e->train));
    return fit_to_pool(e, e->transfer, name, false);
}

static dfal_status build_graph(struct df_experiment *e)
{
    const char *name = e->config.network;
    if (e->config.trainer.text[0] && is_model(name)) /* the trainer brings its own */
        return DFAL_OK;
    const bool weights = e->config.trainer.text[0] || strcmp(e->config.init, "scratch") != 0;
    if (is_model(name) && !strcmp(e->config.init, "weights"))
        DF_FAIL(DFAL_E_CONFIG,
                "training.init is weights, but the network %s is built in and has none, expected a network "
                "file, or "
                "scratch or previous",
                name);
    e->warm = !is_model(name) && weights;
    if (is_model(name))
        DF_TRY(df_model_create(&e->graph, name, e->train->shape, e->train->class_count));
    else if (weights)
        DF_TRY(df_network_for_pool(&e->graph, e->context, name, e->train));
    else
        DF_TRY(df_network_shape_for_pool(&e->graph, e->context, name, e->train));
    if (!weights && !is_model(name))
        df_say_softmax(e->context, name, e->graph);
    if (!e->warm && !is_model(name))
        df_say(e->context, DFAL_WARNING, "run.weights_unused", DF_FIELDS(DF_TEXT("network", name)),
               "%s: its weights are not used, every round begins with random ones (training.init: scratch); "
               "weights "
               "or previous start from them",
               name);
    return fit_to_pool(e, e->graph, name, e->warm && e->graph->classes);
}

/* Restarts are tries from other beginnings, unless there is only one beginning. */
static void say_restarts(const struct df_experiment *e)
{
    if (e->config.trainer.text[0] || e->config.training.restarts < 2 || !strcmp(e->config.init, "scratch"))
        return;
    df_say(e->context, DFAL_INFO, "run.restarts", DF_FIELDS(DF_INT("restarts", e->config.training.restarts)),
           "the %d restarts of a round begin with the same weights (training.init: %s) and differ only in "
           "the order of "
           "the rows, in dropout and in the rows kept for validation",
           e->config.training.restarts, e->config.init);
}

/* The last error is the fault of the options that a strategy runs under. */
static dfal_status fail_options(dfal_status status, const struct df_run_entry *entry)
{
    const char *strategy = df_strategy_known(entry->known);
    return strcmp(entry->name, strategy) ? df_fail_prefix(status, "strategy %s: ", entry->name)
                                         : df_fail_prefix(status, "options.%s: ", strategy);
}

/* Whether every strategy can ask the network that is trained; a trainer's is not known yet. */
static dfal_status check_strategies(const struct df_experiment *e)
{
    for (int32_t s = 0; s < e->config.strategy_count && !e->config.trainer.text[0]; s++) {
        const struct df_strategy_config options = df_run_strategy_options(&e->config, s);
        const struct df_strategy *strategy = df_run_strategy(&e->config, s);
        const dfal_status status = df_strategy_check_network(strategy, &options.own, e->graph);
        if (status == DFAL_E_USAGE)
            return fail_options(DFAL_E_CONFIG, &e->config.strategy[s]);
        DF_TRY(status);
    }
    return DFAL_OK;
}

/* Solvers that the strategies run, each of them once: whether they are there, and what they are. */
static dfal_status name_solvers(struct df_experiment *e)
{
    for (int32_t s = 0; s < e->config.strategy_count; s++) {
        const struct df_strategy_config options = df_run_strategy_options(&e->config, s);
        const struct df_strategy *strategy = df_run_strategy(&e->config, s);
        char name[DF_STRATEGY_SOLVER];
        if (!strategy->solver)
            continue;
        const dfal_status status = strategy->solver(name, e->context, &options.own);
        if (status != DFAL_OK && status != DFAL_E_STOPPED)
            fail_options(status, &e->config.strategy[s]);
        DF_TRY(status);
        if (!strstr(e->solvers, name))
            snprintf(e->solvers + strlen(e->solvers), sizeof e->solvers - strlen(e->solvers), "%s%s",
                     e->solvers[0] ? ", " : "", name);
    }
    return DFAL_OK;
}

static dfal_status choose_training(struct df_experiment *e)
{
    const struct df_training_options *training = &e->config.training;
    if (e->graph && !e->config.trainer.text[0])
        DF_TRY(df_train_engine(&e->training, e->device, e->graph, training));
    return e->transfer ? df_train_engine(&e->transfer_training, e->device, e->transfer, training) : DFAL_OK;
}

dfal_status df_experiment_open(struct df_experiment *e, struct dfal_context *context,
                               const struct dfal_run_options *options, const struct df_oracle_kind *oracles)
{
    const char *source = options->config_path ? options->config_path : "the configuration";
    e->context = context;
    e->directory = df_run_directory_none();
    DF_TRY(df_context_comm(context, &e->comm));
    e->part = (struct df_run_part){options->part, options->part_count};
    DF_TRY(df_run_config_load(&e->config, options, &context->options));
    DF_TRY(df_run_command_allowed(&e->config, options));
    if (!e->config.train[0] || !e->config.test[0])
        DF_FAIL(options->config_path ? DFAL_E_CONFIG : DFAL_E_USAGE,
                "%s names no %s pool, expected data.%s or --%s", source,
                e->config.train[0] ? "test" : "training", e->config.train[0] ? "test" : "train",
                e->config.train[0] ? "test" : "train");
    DF_TRY(df_pool_open(&e->train, e->context, e->config.train, NULL));
    DF_TRY(df_pool_open(&e->test, e->context, e->config.test, NULL));
    df_labels_warn(e->context, e->train);
    df_labels_warn(e->context, e->test);
    DF_TRY(check_pools(e));
    DF_TRY(df_oracle_open(&e->oracle, oracles, "simulated", e->train));
    DF_TRY(find_eligible(e));
    DF_TRY(check_memory(e));
    DF_TRY(build_graph(e));
    DF_TRY(build_transfer(e));
    DF_TRY(check_strategies(e));
    DF_TRY(name_solvers(e));
    say_restarts(e);
    DF_TRY(df_context_device(context, &e->device));
    DF_TRY(choose_training(e));
    DF_TRY(choose_engine(e));
    e->feed = options->feed;
    return df_feed_check(e->device, e->margins ? e->train : NULL, e->feed);
}

dfal_status df_experiment_feed(struct df_experiment *e)
{
    if (e->margins)
        return df_feed(e->context, e->comm, e->device, e->train, e->feed);
    if (e->feed)
        df_say(e->context, DFAL_INFO, "run.feed_unused", DF_FIELDS(DF_TEXT("feed", e->feed)),
               "--feed %s changes nothing: no strategy runs DeepFool", e->feed);
    return DFAL_OK;
}

void df_experiment_close(struct df_experiment *e)
{
    df_run_directory_close(&e->directory);
    df_feed_end(e->train);
    if (e->oracle)
        e->oracle->close(e->oracle);
    df_network_destroy(e->graph);
    df_network_destroy(e->transfer);
    df_pool_close(e->test);
    df_pool_close(e->train);
    df_free(e->eligible);
    *e = (struct df_experiment){0};
}

/* A run that does not tell what trains is trained layer by layer. */
static void add_training(const struct df_experiment *e, struct df_identity *identity)
{
    const char *const names[] = {"training", "transfer_training"}, *const engines[] = {e->training,
                                                                                       e->transfer_training};
    for (int i = 0; i < 2; i++)
        if (engines[i] && strcmp(engines[i], "layers"))
            df_identity_add(identity, names[i], "%s", engines[i]);
}

dfal_status df_experiment_identity(const struct df_experiment *e, const struct dfal_context *context,
                                   struct df_identity *identity)
{
    static const char *const names[2] = {"train_rows", "test_rows"};
    struct df_pool *const pools[2] = {e->train, e->test};
    char digest[DF_DIGEST_TEXT] = "trainer", isa[DF_ISA_TEXT], rows[DF_ROW_SUM_TEXT];
    df_device_isa(isa, e->device);
    if (e->graph)
        df_network_digest(digest, e->graph);
    df_identity_add(identity, "train_fingerprint", "%s", e->train->fingerprint);
    df_identity_add(identity, "test_fingerprint", "%s", e->test->fingerprint);
    df_identity_add(identity, "network_sha256", "%s", digest);
    if (e->transfer) {
        df_network_digest(digest, e->transfer);
        df_identity_add(identity, "transfer_sha256", "%s", digest);
    }
    df_identity_add(identity, "version", "%s", DFAL_VERSION);
    df_identity_add(identity, "backend", "%s", e->device->info.backend);
    df_identity_add(identity, "engine", "%s", e->fused ? "fused" : "layers");
    add_training(e, identity);
    df_identity_add(identity, "isa", "%s", isa);
    df_identity_add(identity, "precision", "strict");
    df_identity_add(identity, "library", "%s", e->device->info.library);
    if (e->solvers[0]) {
        df_identity_add(identity, "solver", "%s", e->solvers);
        df_identity_recent(identity, "solver");
    }
    for (int i = 0; i < 2; i++) {
        struct df_row_sum sum;
        DF_TRY(df_row_hashes_pool(&sum, context, pools[i]));
        df_row_sum_text(rows, sum);
        df_identity_add(identity, names[i], "%s", rows);
        df_identity_recent(identity, names[i]);
    }
    df_run_part_add(identity, e->part);
    return identity->status;
}
