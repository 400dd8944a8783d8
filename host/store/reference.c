/* SPDX-License-Identifier: Apache-2.0 */
#include "store/reference.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "store/classes.h"
#include "store/hdf5_file.h"

enum { NODE_LIMIT = 10000 };

struct df_reference_file {
    struct df_h5 h5;
};

static const char inputs_name[] = "inputs", group_name[] = "activations";

static void clear(struct df_reference *reference)
{
    if (reference->file)
        df_h5_close(&reference->file->h5);
    for (int32_t i = 0; i < reference->node_count; i++) {
        df_free(reference->nodes[i].node);
        df_free(reference->nodes[i].dataset);
    }
    df_free(reference->nodes);
    df_free(reference->logits);
    df_free(reference->index);
    df_free(reference->path);
    df_free(reference->file);
    df_free(reference);
}

/* ---- logits and rows ----------------------------------------------------------------------------------- */

/* Every row in [0, 1] with sum 1, or the logarithm of such a row: the softmax is still on. */
static dfal_status check_meaning(const struct df_reference *r)
{
    bool probabilities = true, logarithms = true;
    for (int64_t i = 0; i < r->count && (probabilities || logarithms); i++) {
        double sum = 0, exponents = 0;
        for (int32_t k = 0; k < r->class_count; k++) {
            const double f = r->logits[i * r->class_count + k];
            probabilities = probabilities && f >= 0 && f <= 1;
            logarithms = logarithms && f <= 0;
            sum += f;
            exponents += exp(f);
        }
        probabilities = probabilities && fabs(sum - 1) <= 1e-4;
        logarithms = logarithms && fabs(exponents - 1) <= 1e-4;
    }
    if (probabilities || logarithms)
        DF_FAIL(DFAL_E_DATA,
                "%s: dataset 'logits' looks like %s (%s), expected what stands in front of the softmax",
                r->path, probabilities ? "probabilities" : "logarithms of probabilities",
                probabilities ? "every row lies in [0,1] and sums to 1"
                              : "the exponentials of every row sum to 1");
    return DFAL_OK;
}

static dfal_status check_real(const struct df_reference *r, const struct df_h5_data *data)
{
    if (data->kind != DF_H5_REAL)
        DF_FAIL(DFAL_E_DATA, "%s: dataset '%s' holds no floating-point numbers, expected f32 or f64", r->path,
                data->name);
    return DFAL_OK;
}

static dfal_status read_logits(struct df_reference *r)
{
    struct df_h5 *h5 = &r->file->h5;
    struct df_h5_data data;
    char text[DF_H5_SHAPE_TEXT];
    dfal_status status;
    DF_TRY(df_h5_data_open(h5, "logits", &data, NULL));
    DF_TRY_TO(done, status, check_real(r, &data));
    if (data.rank != 2 || data.dims[0] < 1 || data.dims[1] < 2 || data.dims[1] > DF_CLASS_LIMIT) {
        status = df_fail(DFAL_E_SHAPE, "%s: dataset 'logits' is %s, expected [samples, classes]", r->path,
                         df_h5_shape(text, data.dims, data.rank));
        goto done;
    }
    r->count = data.dims[0];
    r->class_count = (int32_t)data.dims[1];
    DF_TRY_TO(done, status, df_alloc(&r->logits, r->count * r->class_count, sizeof *r->logits));
    DF_TRY_TO(done, status, df_h5_data_read(h5, &data, H5T_NATIVE_DOUBLE, 0, r->count, r->logits));
    for (int64_t i = 0; i < r->count * r->class_count; i++)
        if (!isfinite(r->logits[i])) {
            status =
                df_fail(DFAL_E_DATA, "%s: logit %lld of sample %lld is %g, expected finite values", r->path,
                        (long long)(i % r->class_count), (long long)(i / r->class_count), r->logits[i]);
            goto done;
        }
    status = check_meaning(r);
done:
    df_h5_data_close(h5, &data);
    return status;
}

static dfal_status read_index(struct df_reference *r)
{
    struct df_h5 *h5 = &r->file->h5;
    struct df_h5_data data;
    char text[DF_H5_SHAPE_TEXT];
    dfal_status status;
    DF_TRY(df_alloc(&r->index, r->count, sizeof *r->index));
    for (int64_t i = 0; i < r->count; i++)
        r->index[i] = i;
    DF_TRY(df_h5_data_open(h5, "index", &data, &r->has_index));
    if (!r->has_index)
        return DFAL_OK;
    if (data.kind != DF_H5_INTEGER || data.rank != 1 || data.dims[0] != r->count)
        status = df_fail(DFAL_E_SHAPE,
                         "%s: dataset 'index' is %s%s, expected [%lld] integers, a row of the pool a sample",
                         r->path, df_h5_shape(text, data.dims, data.rank),
                         data.kind == DF_H5_INTEGER ? "" : " of another type", (long long)r->count);
    else
        status = df_h5_ints_read(h5, &data, 0, r->count, r->index);
    df_h5_data_close(h5, &data);
    return status;
}

static dfal_status look_at_inputs(struct df_reference *r)
{
    struct df_h5 *h5 = &r->file->h5;
    struct df_h5_data data;
    char text[DF_H5_SHAPE_TEXT];
    bool found;
    DF_TRY(df_h5_data_open(h5, inputs_name, &data, &found));
    if (!found)
        return DFAL_OK;
    dfal_status status = check_real(r, &data);
    if (status == DFAL_OK && (data.rank != 4 || data.dims[0] != r->count || data.dims[1] < 1 ||
                              data.dims[2] < 1 || data.dims[3] < 1 || data.dims[1] > INT32_MAX))
        status = df_fail(DFAL_E_SHAPE, "%s: dataset 'inputs' is %s, expected [%lld, channels, height, width]",
                         r->path, df_h5_shape(text, data.dims, data.rank), (long long)r->count);
    r->input = (struct df_shape){data.dims[1], data.dims[2], data.dims[3]};
    df_h5_data_close(h5, &data);
    return status;
}

/* ---- activations --------------------------------------------------------------------------------------- */

struct visit {
    struct df_reference *reference;
    dfal_status status;
};

/* Only names are gathered here: datasets are opened after the walk, by the guarded function. */
static bool take_name(void *user, const char *name)
{
    struct visit *visit = user;
    struct df_reference *r = visit->reference;
    if (r->node_count == NODE_LIMIT) {
        visit->status =
            df_fail(DFAL_E_DATA, "%s: group 'activations' has more than %d datasets", r->path, NODE_LIMIT);
        return false;
    }
    visit->status = df_resize(&r->nodes, r->node_count, (int64_t)r->node_count + 1, sizeof *r->nodes);
    if (visit->status == DFAL_OK)
        visit->status = df_format(&r->nodes[r->node_count++].dataset, "%s/%s", group_name, name);
    return visit->status == DFAL_OK;
}

static dfal_status look_at_node(struct df_reference *r, struct df_reference_node *node)
{
    struct df_h5 *h5 = &r->file->h5;
    struct df_h5_data data;
    char text[DF_H5_SHAPE_TEXT];
    dfal_status status;
    DF_TRY(df_h5_data_open(h5, node->dataset, &data, NULL));
    DF_TRY_TO(done, status, check_real(r, &data));
    if (data.rank < 1 || data.dims[0] != r->count ||
        df_checked_product(&node->size, data.dims + 1, data.rank - 1) != DFAL_OK || node->size < 1) {
        status =
            df_fail(DFAL_E_SHAPE, "%s: dataset '%s' is %s, expected %lld samples in its first dimension",
                    r->path, node->dataset, df_h5_shape(text, data.dims, data.rank), (long long)r->count);
        goto done;
    }
    node->rank = data.rank;
    memcpy(node->dims, data.dims, sizeof node->dims);
    DF_TRY_TO(done, status, df_h5_get_text(h5, data.id, "node", &node->node));
    if (!node->node)
        status = df_strdup(&node->node, node->dataset + sizeof group_name);
    for (char *c = node->node; status == DFAL_OK && *c; c++)
        *c = *c == '/' ? '.' : *c;
done:
    df_h5_data_close(h5, &data);
    return status;
}

static dfal_status look_at_activations(struct df_reference *r)
{
    struct df_h5 *h5 = &r->file->h5;
    struct visit visit = {.reference = r};
    DF_TRY(df_h5_visit(h5, group_name, take_name, &visit));
    DF_TRY(visit.status);
    for (int32_t i = 0; i < r->node_count; i++) {
        DF_TRY(look_at_node(r, &r->nodes[i]));
        for (int32_t j = 0; j < i; j++)
            if (!strcmp(r->nodes[i].node, r->nodes[j].node))
                DF_FAIL(DFAL_E_DATA, "%s: datasets '%s' and '%s' are both of node '%s'", r->path,
                        r->nodes[j].dataset, r->nodes[i].dataset, r->nodes[i].node);
    }
    return DFAL_OK;
}

/* ---- public -------------------------------------------------------------------------------------------- */

static dfal_status open_locked(struct df_reference *r)
{
    DF_TRY(df_h5_open(&r->file->h5, r->path, false));
    char format[32];
    DF_TRY(df_h5_format(&r->file->h5, format));
    if (format[0] && strcmp(format, "dfal-reference"))
        DF_FAIL(DFAL_E_DATA,
                "%s is a file of format %s, expected a reference with 'logits' from another framework",
                r->path, format);
    DF_TRY(read_logits(r));
    DF_TRY(read_index(r));
    DF_TRY(look_at_inputs(r));
    DF_TRY(look_at_activations(r));
    return df_h5_unchanged(&r->file->h5);
}

dfal_status df_reference_open(struct df_reference **out, const char *path)
{
    struct df_reference *r = NULL;
    dfal_status status;
    *out = NULL;
    DF_TRY(df_alloc(&r, 1, sizeof *r));
    DF_TRY_TO(done, status, df_strdup(&r->path, path));
    DF_TRY_TO(done, status, df_alloc(&r->file, 1, sizeof *r->file));
    r->file->h5 = DF_H5_NONE;
    df_h5_lock();
    status = open_locked(r);
    df_h5_unlock();
done:
    if (status == DFAL_OK)
        *out = r;
    else
        df_reference_close(r);
    return status;
}

void df_reference_close(struct df_reference *reference)
{
    if (!reference)
        return;
    df_h5_lock();
    clear(reference);
    df_h5_unlock();
}

dfal_status df_reference_read(const struct df_reference *r, int32_t node, float *values, int64_t begin,
                              int64_t count)
{
    const char *name = node < 0 ? inputs_name : r->nodes[node].dataset;
    const int64_t size = node < 0 ? df_shape_size(r->input) : r->nodes[node].size;
    struct df_h5 *h5 = &r->file->h5;
    struct df_h5_data data;
    df_h5_lock();
    dfal_status status = df_h5_data_open(h5, name, &data, NULL);
    if (status == DFAL_OK) {
        status = df_h5_data_read(h5, &data, H5T_NATIVE_FLOAT, begin, count, values);
        df_h5_data_close(h5, &data);
    }
    if (status == DFAL_OK)
        status = df_h5_unchanged(h5);
    df_h5_unlock();
    for (int64_t i = 0; status == DFAL_OK && i < count * size; i++)
        if (!isfinite(values[i]))
            status = df_fail(DFAL_E_DATA,
                             "%s: dataset '%s' has the value %g in sample %lld, expected finite values",
                             r->path, name, (double)values[i], (long long)(begin + i / size));
    return status;
}
