/* SPDX-License-Identifier: Apache-2.0 */
/* dfal_logits: a file of logits, or of a node's activations, out of a network and a pool. */
#include "score/logits.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/claim.h"
#include "base/memory.h"
#include "base/sized.h"
#include "graph/json_text.h"
#include "job/job.h"
#include "job/merge.h"
#include "score/deepfool_engine.h"
#include "score/pass.h"
#include "score/pool_network.h"
#include "store/labels.h"

static const char logits_format[] = "dfal-logits", logits_column[] = "logits", node_key[] = "node";

/* ---- The kind of file --------------------------------------------------------------------------- */

/* What `select --logits` looks for. The head says the same, and more; this is where the first versions wrote
 * it. */
static dfal_status describe(struct df_rows_writer *writer, const struct df_rows_head *head)
{
    char *text = NULL;
    DF_TRY(df_json_packed(&text, "the configuration of these logits", JSON_COMPACT | JSON_SORT_KEYS,
                          "{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "backend", head->backend, "engine",
                          head->engine, "isa", head->isa, "library", head->library, "network_sha256",
                          head->network_sha256, "pool_fingerprint", head->pool_fingerprint, "version",
                          head->version));
    const dfal_status status = df_rows_put_document(writer, "configuration", text);
    free(text);
    return status;
}

static struct df_rows_kind kind_of(const struct df_row_column *column)
{
    return (struct df_rows_kind){.format = logits_format,
                                 .name = "logits file",
                                 .column_count = 1,
                                 .columns = {*column},
                                 .describe = describe};
}

/* What a file of rows holds beside the values. */
static bool is_taken(const char *name)
{
    static const char *const names[] = {"index", "id", "row_hash", "configuration"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static dfal_status find_node(int32_t *found, const struct df_network *network, const char *node,
                             const char *source)
{
    const dfal_status status = df_network_find_node(found, network, node);
    if (status != DFAL_OK)
        return df_fail_prefix(status, "%s: ", source);
    if (*found == DF_INPUT)
        DF_FAIL(DFAL_E_USAGE, "%s: 'input' is the network's input, expected the name of one of its nodes",
                source);
    if (is_taken(node))
        DF_FAIL(DFAL_E_USAGE,
                "%s: node '%s' has the name of a dataset that every logits file has, expected another",
                source, node);
    return DFAL_OK;
}

/* node NULL: the logits. */
static dfal_status column_of(struct df_row_column *column, const struct df_network *network, const char *node,
                             const char *source)
{
    int32_t found;
    *column = (struct df_row_column){.name = logits_column,
                                     .type = DF_COLUMN_F32,
                                     .rank = 1,
                                     .dims = {network->class_count},
                                     .fill = (double)NAN};
    if (!node)
        return DFAL_OK;
    DF_TRY(find_node(&found, network, node, source));
    const struct df_shape shape = network->nodes[found].out;
    column->name = node;
    column->rank = shape.h == 1 && shape.w == 1 ? 1 : 3;
    column->dims[0] = shape.c;
    column->dims[1] = shape.h;
    column->dims[2] = shape.w;
    return DFAL_OK;
}

static dfal_status configuration_of(char **text, const char *node)
{
    char *json = NULL;
    DF_TRY(df_json_packed(&json, "the configuration of these logits", JSON_COMPACT, node ? "{s:s}" : "{}",
                          node_key, node));
    const dfal_status status = df_strdup(text, json);
    free(json);
    return status;
}

/* ---- The job ------------------------------------------------------------------------------------ */

struct logits {
    struct dfal_context *context;
    const char *node;
    struct df_pool *pool;
    struct df_network *network;
    struct df_device *device;
    struct df_rows_kind kind;
    struct df_job job;
    struct df_shard_sink *sink;
};

static dfal_status store_rows(void *user, const int64_t *index, const float *values, int64_t n)
{
    struct logits *logits = user;
    const int64_t size = df_row_column_size(&logits->kind.columns[0]);
    for (int64_t i = 0; i < n; i++) {
        struct df_rows *rows;
        int64_t at;
        DF_TRY(df_shard_sink_row(logits->sink, index[i], &rows, &at));
        memcpy((float *)rows->column[0] + at * size, values + i * size, (size_t)size * sizeof *values);
        df_shard_sink_stored(logits->sink);
    }
    return DFAL_OK;
}

static dfal_status run_forward(void *user, struct df_row_stream *stream, struct df_shard_sink *sink,
                               struct df_progress *progress)
{
    struct logits *logits = user;
    const struct df_shards_cut *cut = &logits->job.cut;
    const struct df_pass_spec spec = {
        .context = logits->context,
        .device = logits->device,
        .network = logits->network,
        .pool = logits->pool,
        .node = logits->node,
        .beside = df_output_bytes(logits->context, &logits->kind, cut->end - cut->begin),
        .progress = progress,
    };
    logits->sink = sink;
    return df_forward_pass(&spec, stream, store_rows, logits);
}

static const struct df_job_client client = {
    .resume_event = "logits.resume",
    .progress_event = "logits.progress",
    .run = run_forward,
};

static dfal_status run_job(struct logits *logits, const char *network_path)
{
    char *configuration = NULL;
    bool fused = false;
    if (!logits->node) /* as host/score/pass.c has it */
        DF_TRY(df_deepfool_fuses(&fused, logits->device, logits->network));
    DF_TRY(configuration_of(&configuration, logits->node));
    const dfal_status status =
        df_job_find(&logits->job, &(struct df_job_maker){
                                      .network = logits->network,
                                      .device = logits->device,
                                      .network_path = network_path,
                                      .engine = fused ? "fused" : "layers",
                                      .precision = "strict",
                                      .units = "",
                                      .configuration = configuration,
                                      .operations = (double)df_network_multiply_adds(logits->network),
                                  });
    df_free(configuration);
    DF_TRY(status);
    return df_job_run(&logits->job);
}

void(dfal_logits_options_init)(struct dfal_logits_options *options, size_t size)
{
    const struct dfal_logits_options defaults = {.range_end = -1};
    df_sized_init(options, size, &defaults, sizeof defaults);
}

dfal_status dfal_logits(dfal_context *context, const char *out_path, const char *network,
                        const char *pool_path, const struct dfal_logits_options *given)
{
    struct df_claim claim = DF_CLAIM_NONE;
    struct dfal_logits_options options;
    struct dfal_pool_options pool;
    struct logits logits = {.context = context};
    struct df_row_column column;
    dfal_status status;
    dfal_logits_options_init(&options);
    DF_TRY(df_sized_take(&options, sizeof options, given, "dfal_logits_options"));
    DF_TRY(df_pool_options_take(&pool, options.pool));
    logits.node = options.node;
    context->kept_work = false;
    DF_TRY_TO(done, status, df_job_claim(context, &claim, out_path, network, pool_path, &pool));
    DF_TRY_TO(done, status, df_pool_open(&logits.pool, context, pool_path, &pool));
    df_labels_warn(context, logits.pool);
    DF_TRY_TO(done, status, df_network_for_pool(&logits.network, context, network, logits.pool));
    DF_TRY_TO(
        done, status,
        df_claim_inputs(&claim, (const char *const *)logits.network->files, logits.network->file_count));
    DF_TRY_TO(done, status, column_of(&column, logits.network, logits.node, network));
    logits.kind = kind_of(&column);
    DF_TRY_TO(done, status,
              df_job_open(&logits.job, context, logits.pool, &logits.kind, &client, &logits, out_path,
                          &(struct df_job_range){options.range_begin, options.range_end, options.shard,
                                                 options.shard_count}));
    DF_TRY_TO(done, status, df_context_device(context, &logits.device));
    status = run_job(&logits, network);
done:
    status = df_job_ended(context, status);
    df_parts_tell_kept(context, status, out_path);
    df_job_close(&logits.job);
    df_network_destroy(logits.network);
    df_pool_close(logits.pool);
    df_claim_end(&claim);
    return status;
}

/* ---- Merging ------------------------------------------------------------------------------------ */

/* The column of a file that says its node in its head; name: to be freed. */
static dfal_status read_column(struct df_row_column *column, char **name, const char *path)
{
    struct df_rows_head head;
    struct df_rows_reader *reader;
    json_t *object = NULL;
    DF_TRY(df_rows_open(&reader, &head, path, NULL));
    dfal_status status = DFAL_OK;
    if (head.configuration)
        object = df_json_parse(head.configuration, JSON_REJECT_DUPLICATES, NULL);
    const char *node = json_string_value(json_object_get(object, node_key));
    if (!json_is_object(object))
        status = df_fail(DFAL_E_DATA,
                         "%s does not tell which node its values are of, expected what `dfal logits` writes",
                         path);
    if (status == DFAL_OK)
        status = df_strdup(name, node ? node : logits_column);
    if (status == DFAL_OK)
        status = df_rows_find_column(reader, *name, column);
    json_decref(object);
    df_rows_close(reader);
    df_rows_head_clear(&head);
    return status;
}

dfal_status df_logits_merge(struct dfal_context *context, const char *out_path, const char *const *paths,
                            int32_t count, int64_t *rows)
{
    static const struct df_merge_client nothing = {0};
    struct df_row_column column;
    char *name = NULL;
    dfal_status status = read_column(&column, &name, paths[0]);
    if (status == DFAL_OK) {
        const struct df_rows_kind kind = kind_of(&column);
        status = df_merge_rows(context, out_path, paths, count, &kind, &nothing, NULL, rows);
    }
    df_free(name);
    return status;
}
