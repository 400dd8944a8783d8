/* SPDX-License-Identifier: Apache-2.0 */
/* dfal_eval and dfal_logits: one forward over a pool. */
#include <string.h>

#include "backend/backend.h"
#include "base/claim.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/sized.h"
#include "base/text.h"
#include "score/pass.h"
#include "store/labels.h"
#include "store/row_hash.h"
#include "store/table.h"

static dfal_status open_both(struct df_pool **pool, struct df_network **network, struct df_device **device,
                             dfal_context *context, const char *network_name, const char *pool_path,
                             const struct dfal_pool_options *options)
{
    DF_TRY(df_pool_open(pool, context, pool_path, options));
    df_labels_warn(context, *pool);
    if ((*pool)->count == 0)
        DF_FAIL(DFAL_E_DATA, "%s: the pool has no samples, expected at least one", pool_path);
    DF_TRY(df_network_for_pool(network, context, network_name, *pool));
    return df_context_device(context, device);
}

static dfal_status write_confusion(struct df_text *text, const char *path, bool force)
{
    char *bytes;
    DF_TRY(df_text_take(text, &bytes));
    const dfal_status status = df_file_write_output(path, bytes, strlen(bytes), force);
    df_free(bytes);
    return status;
}

dfal_status dfal_eval_confusion(dfal_context *context, struct dfal_eval_result *told, const char *out_path,
                                const char *network_name, const char *pool_path,
                                const struct dfal_pool_options *options)
{
    const bool force = context->options.force;
    struct dfal_eval_result own, *result = &own;
    struct df_claim claim = DF_CLAIM_NONE;
    struct df_pool *pool = NULL;
    struct df_network *network = NULL;
    struct df_device *device = NULL;
    struct df_text text = {0};
    dfal_status status = DFAL_OK;
    dfal_eval_result_init(result);
    DF_TRY(df_sized_check(told, "dfal_eval_result"));
    context->kept_work = false;
    if (out_path)
        DF_TRY_TO(done, status, df_claim_job(&claim, out_path, network_name, pool_path, options, force));
    DF_TRY_TO(done, status, open_both(&pool, &network, &device, context, network_name, pool_path, options));
    DF_TRY_TO(done, status,
              df_claim_inputs(&claim, (const char *const *)network->files, network->file_count));
    if (strcmp(network->trained_on, pool->fingerprint) == 0)
        df_say(context, DFAL_WARNING, "eval.trained_on",
               DF_FIELDS(DF_TEXT("network", network_name), DF_TEXT("pool", pool_path)),
               "%s was trained on rows of %s: this accuracy tells nothing about other samples", network_name,
               pool_path);
    DF_TRY_TO(done, status, df_evaluate(context, device, network, pool, result, out_path ? &text : NULL));
    df_warn_nonfinite(context, pool, result);
    if (out_path)
        status = write_confusion(&text, out_path, force);
done:
    if (status != DFAL_OK || !told)
        dfal_eval_result_clear(result);
    df_sized_give(told, result, sizeof *result);
    df_text_clear(&text);
    df_network_destroy(network);
    df_pool_close(pool);
    df_claim_end(&claim);
    return status;
}

dfal_status dfal_eval(dfal_context *context, struct dfal_eval_result *result, const char *network_name,
                      const char *pool_path, const struct dfal_pool_options *options)
{
    return dfal_eval_confusion(context, result, NULL, network_name, pool_path, options);
}

struct sink {
    struct df_table_writer *writer;
    int64_t size;
};

/* Blocks of rows come as runs of neighbours: each run is one write. */
static dfal_status take_rows(void *user, const int64_t *index, const float *values, int64_t n)
{
    struct sink *sink = user;
    for (int64_t begin = 0, end; begin < n; begin = end) {
        for (end = begin + 1; end < n && index[end] == index[end - 1] + 1; end++)
            ;
        DF_TRY(df_table_append(sink->writer, values + begin * sink->size, index[begin], end - begin));
    }
    return DFAL_OK;
}

static dfal_status describe_column(struct df_column *column, const struct df_network *network,
                                   const struct df_pool *pool, const char *node, const char *source)
{
    *column = (struct df_column){
        .name = "logits", .type = DF_COLUMN_F32, .rank = 2, .dims = {pool->count, network->class_count}};
    if (node == NULL)
        return DFAL_OK;
    int32_t found = df_network_find(network, node);
    if (found == DF_INPUT)
        DF_FAIL(DFAL_E_USAGE, "%s: 'input' is the network's input, expected the name of one of its nodes",
                source);
    if (found < 0) {
        const char **names = NULL;
        DF_TRY(df_alloc(&names, network->node_count, sizeof(*names)));
        for (int32_t i = 0; i < network->node_count; i++)
            names[i] = network->nodes[i].name;
        const char *nearest = df_nearest(node, names, (size_t)network->node_count);
        dfal_status status = df_fail(DFAL_E_USAGE, "%s: the network has no node '%s'%s%s", source, node,
                                     nearest != NULL ? "; nearest is " : "", nearest != NULL ? nearest : "");
        df_free(names);
        return status;
    }
    struct df_shape shape = network->nodes[found].out;
    *column = (struct df_column){
        .name = node, .type = DF_COLUMN_F32, .rank = 4, .dims = {pool->count, shape.c, shape.h, shape.w}};
    if (shape.h == 1 && shape.w == 1)
        column->rank = 2;
    return DFAL_OK;
}

dfal_status dfal_logits(dfal_context *context, const char *out_path, const char *network_name,
                        const char *pool_path, const char *node, const struct dfal_pool_options *options)
{
    struct df_claim claim = DF_CLAIM_NONE;
    struct df_pool *pool = NULL;
    struct df_network *network = NULL;
    struct df_device *device = NULL;
    struct df_column column;
    struct sink sink = {0};
    struct df_range_source range;
    struct df_row_hashes rows = DF_ROW_HASHES_NONE;
    struct df_progress progress;
    char digest[DF_DIGEST_TEXT], isa[DF_ISA_TEXT], *configuration = NULL;
    dfal_status status = DFAL_OK;
    bool reporting = false;
    context->kept_work = false;
    DF_TRY_TO(done, status,
              df_claim_job(&claim, out_path, network_name, pool_path, options, context->options.force));
    DF_TRY_TO(done, status, open_both(&pool, &network, &device, context, network_name, pool_path, options));
    DF_TRY_TO(done, status,
              df_claim_inputs(&claim, (const char *const *)network->files, network->file_count));
    DF_TRY_TO(done, status, describe_column(&column, network, pool, node, network_name));
    sink.size = 1;
    for (int32_t i = 1; i < column.rank; i++)
        sink.size *= column.dims[i];
    df_network_digest(digest, network);
    df_device_isa(isa, device);
    DF_TRY_TO(done, status,
              df_format(&configuration,
                        "{\"backend\":\"%s\",\"engine\":\"layers\",\"isa\":\"%s\",\"library\":\"%s\","
                        "\"network_sha256\":\"%s\",\"pool_fingerprint\":\"%s\",\"version\":\"%s\"}",
                        device->info.backend, isa, device->info.library, digest, pool->fingerprint,
                        DFAL_VERSION));
    DF_TRY_TO(done, status,
              df_table_create(&sink.writer, out_path, "dfal-logits", configuration, &column,
                              context->options.force));
    DF_TRY_TO(done, status, df_table_put_ids(sink.writer, pool));
    df_range_source_init(&range, 0, pool->count, 4096);
    DF_TRY_TO(done, status, df_row_hashes_open(&rows, 0, pool->count, DF_SHARD_ROWS));
    range.source.hashes = &rows;
    df_progress_begin(&progress, context, "logits.progress", "samples", pool->count, 0);
    reporting = true;
    DF_TRY_TO(
        done, status,
        df_forward_pass(context, device, network, pool, &range.source, node, &progress, take_rows, &sink));
    DF_TRY_TO(done, status, df_table_hashes(sink.writer, &rows));
    status = df_table_finish(sink.writer);
    sink.writer = NULL;
done:
    df_row_hashes_close(&rows);
    if (reporting)
        df_progress_end(&progress);
    df_table_abandon(sink.writer);
    df_free(configuration);
    df_network_destroy(network);
    df_pool_close(pool);
    df_claim_end(&claim);
    return status;
}
