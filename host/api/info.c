/* SPDX-License-Identifier: Apache-2.0 */
/* dfal_info: what a pool, network, scores file, table, reference or run directory holds. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/kind.h"
#include "base/memory.h"
#include "base/number.h"
#include "facts.h"
#include "graph/node_type.h"
#include "graph/onnx.h"
#include "models/models.h"
#include "run/curve.h"
#include "store/network_file.h"
#include "store/scores.h"
#include "store/table.h"

static dfal_status tell_numbers(const struct df_teller *teller, const char *key, const double *values,
                                int32_t count)
{
    if (count > 0)
        return df_tell_reals(teller, key, values, count);
    df_tell_text(teller, key, "unknown");
    return DFAL_OK;
}

static dfal_status tell_graph(const struct df_teller *teller, const struct df_network *network)
{
    char digest[65];
    struct df_network *folded = NULL;
    dfal_status status;
    DF_TRY(df_network_fold(&folded, network));
    df_tell_text(teller, "input", "%lld x %lld x %lld", (long long)network->input.c,
                 (long long)network->input.h, (long long)network->input.w);
    df_tell_int(teller, "class_count", network->class_count);
    DF_TRY_TO(done, status, df_tell_classes(teller, network->classes, network->class_count));
    df_tell_int(teller, "parameters", df_network_parameter_count(network));
    df_tell_int(teller, "multiply_adds", df_network_multiply_adds(folded));
    df_tell_int(teller, "multiply_adds_unfolded", df_network_multiply_adds(network));
    DF_TRY_TO(done, status, tell_numbers(teller, "scale", network->scale, network->affine_count));
    DF_TRY_TO(done, status, tell_numbers(teller, "offset", network->offset, network->affine_count));
    df_network_digest(digest, network);
    df_tell_text(teller, "network_sha256", "%s", digest);
    for (int32_t i = 0; i < network->node_count; i++) {
        const struct df_node *node = &network->nodes[i];
        char key[80];
        snprintf(key, sizeof(key), "node_%s", node->name);
        df_tell_text(teller, key, "%s -> %lld x %lld x %lld", df_node_type(node->op)->name,
                     (long long)node->out.c, (long long)node->out.h, (long long)node->out.w);
    }
done:
    df_network_destroy(folded);
    return status;
}

static dfal_status tell_network(const struct df_teller *teller, const char *path)
{
    struct df_network *network = NULL;
    DF_TRY(df_network_load(&network, path));
    dfal_status status = tell_graph(teller, network);
    df_network_destroy(network);
    return status;
}

/* What the file says of itself, then the network that dfal makes of it. */
static dfal_status tell_onnx(const struct df_teller *teller, const char *path)
{
    struct df_network *network = NULL;
    struct df_onnx_facts facts;
    DF_TRY(df_onnx_load(&network, &facts, path));
    df_tell_text(teller, "producer", "%s", *facts.producer ? facts.producer : "unknown");
    df_tell_int(teller, "ir_version", facts.ir_version);
    df_tell_int(teller, "opset", facts.opset);
    df_tell_int(teller, "onnx_nodes", facts.node_count);
    dfal_status status = df_tell_words(teller, "onnx_ops", facts.ops);
    df_tell_text(teller, "onnx_input", "%s", facts.input);
    df_tell_text(teller, "onnx_output", "%s", facts.output);
    df_tell_text(teller, "softmax_cut", "%s", facts.softmax_cut ? "yes" : "no");
    DF_KEEP_FIRST(status, tell_graph(teller, network));
    df_onnx_facts_clear(&facts);
    df_network_destroy(network);
    return status;
}

/* A built-in name: the network as it would be for 28 x 28 grey images and ten classes. */
static dfal_status tell_model(const struct df_teller *teller, const char *name)
{
    struct df_network *network = NULL;
    DF_TRY(df_model_create(&network, name, (struct df_shape){1, 28, 28}, 10));
    df_tell_text(teller, "format", "built-in network");
    dfal_status status = tell_graph(teller, network);
    df_network_destroy(network);
    return status;
}

struct scores_sum {
    int64_t status[DFAL_SCORE_STATUS_COUNT], iterations;
    double least, most; /* of margins that are distances */
};

static dfal_status add_scores(void *user, int64_t begin, const struct df_rows *rows)
{
    struct scores_sum *sum = user;
    const struct df_scores scores = df_scores_of(rows), *block = &scores;
    (void)begin;
    for (int64_t i = 0; i < block->count; i++) {
        sum->status[block->status[i]]++;
        sum->iterations += block->iterations[i];
        if (block->status[i] <= DFAL_SCORE_TIE) {
            sum->least = fmin(sum->least, block->margin[i]);
            sum->most = fmax(sum->most, block->margin[i]);
        }
    }
    return DFAL_OK;
}

static dfal_status tell_scores(const struct df_teller *teller, const char *path)
{
    static const char *const names[] = {
#define X(name, value, group) [value] = "status_" #name,
        DFAL_SCORE_STATUS_LIST(X)
#undef X
    };
    struct df_rows_head head = {0};
    struct df_rows_reader *reader;
    struct scores_sum sum = {.least = INFINITY, .most = -INFINITY};
    DF_TRY(df_rows_open(&reader, &head, path, &df_scores_kind));
    const dfal_status status = df_rows_each(reader, false, add_scores, &sum);
    if (status == DFAL_OK) {
        df_tell_int(teller, "samples", df_rows_count(reader));
        df_tell_int(teller, "pool_samples", head.pool_count);
        df_tell_int(teller, "range_begin", head.range_begin);
        df_tell_int(teller, "range_end", head.range_end);
        for (int i = 0; i < DFAL_SCORE_STATUS_COUNT; i++)
            df_tell_int(teller, names[i], sum.status[i]);
        if (sum.least <= sum.most) { /* else there is none */
            df_tell_real(teller, "margin_least", sum.least);
            df_tell_real(teller, "margin_most", sum.most);
        }
        df_tell_int(teller, "iterations", sum.iterations);
        df_tell_text(teller, "units", "%s", head.units);
        df_tell_text(teller, "backend", "%s", head.backend);
        df_tell_text(teller, "engine", "%s", head.engine);
        df_tell_text(teller, "isa", "%s", head.isa);
        df_tell_text(teller, "precision", "%s", head.precision);
        df_tell_text(teller, "library", "%s", head.library);
        if (head.mixed[0] != '\0')
            df_tell_text(teller, "mixed", "%s", head.mixed);
        df_tell_text(teller, "device", "%s", head.device);
        df_tell_text(teller, "version", "%s", head.version);
        df_tell_text(teller, "configuration", "%s", head.configuration != NULL ? head.configuration : "");
        df_tell_text(teller, "command_line", "%s", head.command_line != NULL ? head.command_line : "");
        df_tell_text(teller, "network_sha256", "%s", head.network_sha256);
        df_tell_text(teller, "pool_fingerprint", "%s", head.pool_fingerprint);
    }
    df_rows_close(reader);
    df_rows_head_clear(&head);
    return status;
}

dfal_status dfal_info(dfal_context *context, const char *path, dfal_fact_fn *fact, void *user)
{
    const struct df_teller teller = {fact, user};
    char format[32];
    struct df_kind kind;
    enum df_file_type type;
    bool onnx;
    if (df_folder_exists(path)) {
        DF_TRY(df_run_directory_check(path));
        df_tell_text(&teller, "path", "%s", path);
        df_tell_text(&teller, "format", "run directory");
        return df_tell_run_folder(&teller, path);
    }
    if (!df_file_exists(path) && df_model_exists(path))
        return tell_model(&teller, path);
    DF_TRY(df_network_is_onnx(&onnx, path));
    if (onnx) {
        df_tell_text(&teller, "path", "%s", path);
        df_tell_text(&teller, "format", "onnx");
        df_tell_bytes(&teller, path);
        return tell_onnx(&teller, path);
    }
    DF_TRY(df_file_kind(&kind, &type, path));
    if (type == DF_FILE_CSV) {
        df_tell_text(&teller, "path", "%s", path);
        df_tell_text(&teller, "format", "CSV");
        df_tell_bytes(&teller, path);
        return df_tell_csv(&teller, path);
    }
    DF_TRY(df_file_format(format, path));
    if (df_looks_like_reference(format, path)) {
        df_tell_text(&teller, "path", "%s", path);
        df_tell_text(&teller, "format", "dfal-reference");
        df_tell_bytes(&teller, path);
        return df_tell_reference(&teller, path);
    }
    bool pool = strcmp(format, "dfal-pool") == 0, foreign = format[0] == '\0';
    df_tell_text(&teller, "path", "%s", path);
    df_tell_text(&teller, "format", "%s", foreign ? "foreign HDF5" : format);
    df_tell_bytes(&teller, path);
    if (pool || foreign)
        return df_tell_pool(&teller, context, path, NULL);
    if (strcmp(format, "dfal-network") == 0)
        return tell_network(&teller, path);
    if (strcmp(format, "dfal-scores") == 0)
        return tell_scores(&teller, path);
    return df_tell_table(&teller, path);
}
