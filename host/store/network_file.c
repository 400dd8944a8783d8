/* SPDX-License-Identifier: Apache-2.0 */
#include "store/network_file.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/kind.h"
#include "base/memory.h"
#include "graph/json_text.h"
#include "graph/node_type.h"
#include "graph/onnx.h"
#include "store/classes.h"
#include "store/hdf5_file.h"

enum { AFFINE_LIMIT = 65536 };

/* A node's name is a group of the file, where "." means the group itself and "/" leads into another. */
static dfal_status check_name(const char *path, const char *name)
{
    if (!*name || strchr(name, '/') || strcmp(name, ".") == 0)
        DF_FAIL(DFAL_E_DATA, "%s: node name '%s' cannot name a group of an HDF5 file", path, name);
    return DFAL_OK;
}

/* ---- Saving --------------------------------------------------------------------------------- */

static dfal_status save_head(struct df_h5 *h5, const struct df_network *network,
                             const struct df_provenance *provenance)
{
    int64_t input[3] = {network->input.c, network->input.h, network->input.w}, classes = network->class_count;
    DF_TRY(df_h5_stamp(h5, "dfal-network"));
    DF_TRY(df_h5_put_ints(h5, h5->file, "input", input, 3, false));
    DF_TRY(df_h5_put_ints(h5, h5->file, "class_count", &classes, 1, true));
    if (network->affine_count > 0) {
        DF_TRY(df_h5_put_reals(h5, h5->file, "scale", network->scale, network->affine_count));
        DF_TRY(df_h5_put_reals(h5, h5->file, "offset", network->offset, network->affine_count));
    }
    if (!provenance)
        return DFAL_OK;
    DF_TRY(df_h5_put_text(h5, h5->file, "command_line", provenance->command_line));
    DF_TRY(df_h5_put_text(h5, h5->file, "configuration", provenance->configuration));
    DF_TRY(df_h5_put_text(h5, h5->file, "backend", provenance->backend));
    DF_TRY(df_h5_put_text(h5, h5->file, "engine", provenance->engine));
    DF_TRY(df_h5_put_text(h5, h5->file, "isa", provenance->isa));
    DF_TRY(df_h5_put_text(h5, h5->file, "device", provenance->device));
    DF_TRY(df_h5_put_text(h5, h5->file, "dfal_version", DFAL_VERSION));
    if (provenance->trained_on)
        DF_TRY(df_h5_put_text(h5, h5->file, "trained_on", provenance->trained_on));
    return df_h5_put_seed(h5, provenance->seed);
}

static dfal_status save_parameters(struct df_h5 *h5, const struct df_network *network)
{
    for (int32_t i = 0; i < network->node_count; i++) {
        const struct df_node *node = &network->nodes[i];
        for (int kind = 0; kind < DF_PARAMETER_KINDS; kind++) {
            const struct df_parameter *parameter = &node->parameter[kind];
            if (!parameter->data)
                continue;
            char *name;
            DF_TRY(check_name(h5->path, node->name));
            DF_TRY(df_format(&name, "parameters/%s/%s", node->name,
                             df_parameter_name((enum df_parameter_kind)kind)));
            dfal_status status = df_h5_data_put(h5, name, H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, parameter->rank,
                                                parameter->dims, parameter->data);
            df_free(name);
            DF_TRY(status);
        }
    }
    return DFAL_OK;
}

dfal_status df_network_save(const struct df_network *network, const char *path, bool force,
                            const struct df_provenance *provenance)
{
    struct df_h5 h5;
    char *graph;
    DF_TRY(df_graph_to_json(&graph, network));
    df_h5_lock();
    dfal_status status = df_h5_create(&h5, path, force);
    if (status == DFAL_OK) {
        status = save_head(&h5, network, provenance);
        if (status == DFAL_OK)
            status = df_h5_put_document(&h5, "graph", graph);
        if (status == DFAL_OK)
            status =
                df_h5_texts_put(&h5, "classes", network->class_count, (const char *const *)network->classes);
        if (status == DFAL_OK)
            status = save_parameters(&h5, network);
        if (status == DFAL_OK)
            status = df_h5_publish(&h5);
        df_h5_close(&h5);
    }
    df_h5_unlock();
    df_free(graph);
    return status;
}

/* ---- Loading -------------------------------------------------------------------------------- */

static dfal_status load_parameter(struct df_h5 *h5, struct df_node *node, int kind, int64_t *used)
{
    struct df_parameter *parameter = &node->parameter[kind];
    struct df_h5_data data;
    bool found;
    char *name, text[DF_H5_SHAPE_TEXT];
    DF_TRY(df_format(&name, "parameters/%s/%s", node->name, df_parameter_name((enum df_parameter_kind)kind)));
    dfal_status status = df_h5_data_open(h5, name, &data, &found);
    if (status != DFAL_OK || !found) {
        if (status == DFAL_OK && df_node_type(node->op)->parameters->required[kind])
            status = df_fail(DFAL_E_DATA, "%s has no dataset '%s', which node '%s' needs", h5->path, name,
                             node->name);
        df_free(name);
        return status;
    }
    const int32_t rank = df_node_type(node->op)->parameters->rank[kind];
    if (data.kind != DF_H5_REAL && data.kind != DF_H5_INTEGER)
        status = df_fail(DFAL_E_DATA, "%s: dataset '%s' holds no numbers, expected f32", h5->path, name);
    else if (data.rank != rank)
        status = df_fail(DFAL_E_SHAPE, "%s: dataset '%s' is %s, expected rank %d", h5->path, name,
                         df_h5_shape(text, data.dims, data.rank), rank);
    if (status == DFAL_OK)
        status = df_checked_product(&parameter->count, data.dims, rank);
    if (status == DFAL_OK && parameter->count < 1)
        status = df_fail(DFAL_E_SHAPE, "%s: dataset '%s' is empty", h5->path, name);
    if (status == DFAL_OK) {
        parameter->rank = rank;
        memcpy(parameter->dims, data.dims, (size_t)rank * sizeof *data.dims);
        status = df_alloc(&parameter->data, parameter->count, sizeof *parameter->data);
    }
    if (status == DFAL_OK)
        status = df_h5_data_read(h5, &data, H5T_NATIVE_FLOAT, 0, data.dims[0], parameter->data);
    *used += 1;
    df_h5_data_close(h5, &data);
    df_free(name);
    return status;
}

/* Every dataset under /parameters belongs to a node: a misspelt one must not leave a bias at zero. */
struct search {
    const struct df_network *network;
    int64_t count;
    char *stray; /* NULL, or 256 bytes for the first dataset that no node owns */
};

static bool is_owned(const struct df_network *network, const char *name)
{
    for (int32_t i = 0; i < network->node_count; i++) {
        const struct df_node *node = &network->nodes[i];
        size_t length = strlen(node->name);
        if (strncmp(name, node->name, length) != 0 || name[length] != '/')
            continue;
        for (int kind = 0; kind < DF_PARAMETER_KINDS; kind++)
            if (df_node_type(node->op)->parameters->rank[kind] > 0 &&
                strcmp(name + length + 1, df_parameter_name((enum df_parameter_kind)kind)) == 0)
                return true;
    }
    return false;
}

static bool count_dataset(void *user, const char *name)
{
    struct search *search = user;
    search->count++;
    if (!search->stray || is_owned(search->network, name))
        return true;
    snprintf(search->stray, 256, "%s", name);
    return false;
}

static dfal_status check_stray(struct df_h5 *h5, const struct df_network *network, int64_t used)
{
    char stray[256] = "";
    struct search search = {.network = network};
    DF_TRY(df_h5_visit(h5, "parameters", count_dataset, &search));
    if (search.count <= used)
        return DFAL_OK;
    search.stray = stray;
    DF_TRY(df_h5_visit(h5, "parameters", count_dataset, &search));
    DF_FAIL(DFAL_E_DATA, "%s: dataset 'parameters/%s' belongs to no node of the graph", h5->path, stray);
}

static dfal_status load_affine(const struct df_h5 *h5, struct df_network *network)
{
    static const char *const names[2] = {"scale", "offset"};
    double *values = NULL;
    int32_t counts[2];
    dfal_status status;
    DF_TRY(df_alloc(&values, 2 * AFFINE_LIMIT, sizeof *values));
    for (int i = 0; i < 2; i++) {
        double *at = values + i * AFFINE_LIMIT;
        DF_TRY_TO(done, status, df_h5_get_reals(h5, h5->file, names[i], at, AFFINE_LIMIT, &counts[i]));
        for (int32_t k = 0; k < counts[i]; k++)
            if (!isfinite(at[k]) || (counts[i] != 1 && counts[i] != network->input.c)) {
                status =
                    df_fail(DFAL_E_DATA,
                            "%s: attribute '%s' has %d values, value %d is %g; expected 1 or %lld, finite",
                            h5->path, names[i], counts[i], k, at[k], (long long)network->input.c);
                goto done;
            }
    }
    int32_t count = counts[0] > counts[1] ? counts[0] : counts[1];
    network->affine_count = count;
    if (count == 0) /* unknown */
        goto done;
    double **into[2] = {&network->scale, &network->offset};
    for (int i = 0; i < 2; i++) {
        df_free(*into[i]);
        *into[i] = NULL;
        DF_TRY_TO(done, status, df_alloc(into[i], count, sizeof(double)));
        for (int32_t k = 0; k < count; k++)
            (*into[i])[k] =
                counts[i] == 0 ? (i == 0 ? 1.0 : 0.0) : values[i * AFFINE_LIMIT + (counts[i] > 1 ? k : 0)];
    }
done:
    df_free(values);
    return status;
}

/* What the logits stand for, where the file tells. */
static dfal_status load_classes(struct df_h5 *h5, struct df_network *network)
{
    struct df_h5_data data;
    char text[DF_H5_SHAPE_TEXT];
    int64_t count = network->class_count;
    bool found;
    DF_TRY(df_h5_data_open(h5, "classes", &data, &found));
    if (!found)
        return DFAL_OK;
    dfal_status status = DFAL_OK;
    if (data.kind != DF_H5_TEXT || data.rank != 1 || data.dims[0] != count)
        status = df_fail(DFAL_E_DATA, "%s: dataset 'classes' is %s, expected [%lld] strings, one a class",
                         h5->path, df_h5_shape(text, data.dims, data.rank), (long long)count);
    if (status == DFAL_OK)
        status = df_alloc(&network->classes, count, sizeof *network->classes);
    if (status == DFAL_OK)
        status = df_h5_texts_read(h5, &data, 0, count, network->classes);
    df_h5_data_close(h5, &data);
    return status;
}

/* Which pool's rows trained it, and how many: `train` tells in its configuration, `run` does not. */
static dfal_status load_training(struct df_h5 *h5, struct df_network *network)
{
    char *configuration;
    DF_TRY(df_h5_get_short(h5, "trained_on", network->trained_on, sizeof network->trained_on));
    if (!network->trained_on[0])
        return DFAL_OK;
    DF_TRY(df_h5_get_text(h5, h5->file, "configuration", &configuration));
    json_t *root = configuration ? df_json_parse(configuration, 0, NULL) : NULL;
    network->trained_rows = json_integer_value(json_object_get(root, "row_count"));
    json_decref(root);
    df_free(configuration);
    return DFAL_OK;
}

static dfal_status load(struct df_network **out, struct df_h5 *h5)
{
    dfal_status status;
    char *graph = NULL;
    struct df_network *network = NULL;
    int64_t input[3], classes, used = 0;
    int32_t count;
    DF_TRY(df_h5_expect(h5, "dfal-network"));
    DF_TRY(df_h5_get_ints(h5, h5->file, "input", input, 3, &count));
    if (count != 3 || input[0] < 1 || input[1] < 1 || input[2] < 1 || input[0] > INT32_MAX ||
        input[1] > INT32_MAX || input[2] > INT32_MAX)
        DF_FAIL(DFAL_E_DATA, "%s: attribute 'input' has %d values, expected C, H and W, each 1 or more",
                h5->path, count);
    DF_TRY(df_h5_get_one(h5, "class_count", &classes, 2, DF_CLASS_LIMIT));
    DF_TRY(df_h5_get_document(h5, "graph", &graph));
    DF_TRY_TO(done, status,
              df_graph_from_json(&network, graph, strlen(graph),
                                 (struct df_shape){input[0], input[1], input[2]}, (int32_t)classes,
                                 h5->path));
    DF_TRY_TO(done, status, load_affine(h5, network));
    DF_TRY_TO(done, status, load_classes(h5, network));
    DF_TRY_TO(done, status, load_training(h5, network));
    for (int32_t i = 0; i < network->node_count; i++) {
        struct df_node *node = &network->nodes[i];
        for (int kind = 0; kind < DF_PARAMETER_KINDS; kind++)
            if (df_node_type(node->op)->parameters->rank[kind] > 0) {
                DF_TRY_TO(done, status, check_name(h5->path, node->name));
                DF_TRY_TO(done, status, load_parameter(h5, node, kind, &used));
            }
    }
    DF_TRY_TO(done, status, check_stray(h5, network, used));
    status = df_network_infer(network);
    if (status != DFAL_OK)
        df_fail_prefix(status, "%s: ", h5->path);
done:
    df_free(graph);
    if (status == DFAL_OK)
        *out = network;
    else
        df_network_destroy(network);
    return status;
}

dfal_status df_network_take_scaling(struct df_network *network, const struct df_pool *pool)
{
    int32_t n = pool->affine_count;
    double *scale = NULL, *offset = NULL;
    dfal_status status;
    DF_TRY_TO(done, status, df_alloc(&scale, n, sizeof *scale));
    DF_TRY_TO(done, status, df_alloc(&offset, n, sizeof *offset));
    memcpy(scale, pool->scale, (size_t)n * sizeof *scale);
    memcpy(offset, pool->offset, (size_t)n * sizeof *offset);
    df_free(network->scale);
    df_free(network->offset);
    network->scale = scale;
    network->offset = offset;
    network->affine_count = n;
    scale = offset = NULL;
done:
    df_free(scale);
    df_free(offset);
    return status;
}

/* What is named so and damaged is for the reader of ONNX files, which says what is wrong with it. */
dfal_status df_network_is_onnx(bool *onnx, const char *path)
{
    const size_t length = strlen(path);
    struct df_kind kind;
    enum df_file_type type;
    DF_TRY(df_file_kind(&kind, &type, path));
    *onnx = type == DF_FILE_ONNX || (type != DF_FILE_NONE && type != DF_FILE_HDF5 && length > 5 &&
                                     strcmp(path + length - 5, ".onnx") == 0);
    return DFAL_OK;
}

dfal_status df_network_load(struct df_network **out, const char *path)
{
    struct df_h5 h5;
    bool onnx;
    *out = NULL;
    DF_TRY(df_network_is_onnx(&onnx, path));
    if (onnx)
        return df_onnx_load(out, NULL, path);
    DF_TRY(df_refuse_kind(path, "a network: an HDF5 file of dfal's or an ONNX model"));
    df_h5_lock();
    dfal_status status = df_h5_open(&h5, path, false);
    if (status == DFAL_OK) {
        status = df_h5_read_end(&h5, load(out, &h5));
        if (status != DFAL_OK) {
            df_network_destroy(*out);
            *out = NULL;
        }
    }
    df_h5_unlock();
    return status;
}
