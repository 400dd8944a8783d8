/* SPDX-License-Identifier: Apache-2.0 */
/* Every call is waited for, so a time is that of its op alone: launch and wait are in it. Where a device is
 * wide an op may take less than its launch: a short call that gives the same result again is queued TURNS
 * times before one wait. */
#include "backend/timed.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "backend/op_call.h"
#include "backend/wrapper.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

enum { MOST_ROWS = 1024, TURNS = 16, BEST_OF = 5 };
#define SHORT 1e-3 /* seconds */

struct df_timed {
    struct df_wrapper wrapper;
    struct df_device *device;
    bool counting;
    int32_t count;
    struct df_timed_row *rows;
};

/* ---- what a call is */

static void tell_layer(char *text, size_t size, const struct df_layer_desc *desc)
{
    const struct df_window *w = &desc->window;
    if (desc->is_gemm) {
        snprintf(text, size, "%" PRId64 ">%" PRId64, df_shape_size(desc->in), df_shape_size(desc->out));
        return;
    }
    int length = snprintf(text, size, "%" PRId64 ">%" PRId64 " %dx%d %" PRId64 "x%" PRId64, desc->in.c,
                          desc->out.c, w->kernel[0], w->kernel[1], desc->in.h, desc->in.w);
    if ((w->stride[0] != 1 || w->stride[1] != 1) && length > 0 && (size_t)length < size)
        length += snprintf(text + length, size - (size_t)length, " /%dx%d", w->stride[0], w->stride[1]);
    if (desc->group != 1 && length > 0 && (size_t)length < size)
        snprintf(text + length, size - (size_t)length, " group %d", desc->group);
}

static void tell_shape(char *text, size_t size, const struct df_call *call, const struct df_layer_desc *desc)
{
    const enum df_params_member params = df_op_info[call->op].params;
    struct df_call_sizes sizes;
    if (desc != NULL) {
        tell_layer(text, size, desc);
    } else if (params == DF_PARAMS_deepfool) {
        snprintf(text, size, "%" PRId64, call->p.deepfool.size);
    } else if (params == DF_PARAMS_pool) {
        snprintf(text, size, "%dx%dx%d %dx%d", call->p.pool.channels, call->p.pool.in_h, call->p.pool.in_w,
                 call->p.pool.window.kernel[0], call->p.pool.window.kernel[1]);
    } else {
        df_call_sizes(&sizes, call);
        const int64_t count = sizes.out[0].extent;
        snprintf(text, size, "%" PRId64, call->rows > 0 && count > 0 ? count / call->rows : call->cols);
    }
}

static double type_bytes(const struct df_device *device, enum df_type type)
{
    return type == DF_TYPE_REAL ? device->real_bytes : (double)df_type_size(type);
}

static double operand_bytes(const struct df_device *device, const struct df_operand *operand,
                            struct df_span span, struct df_operand_size size)
{
    if (span.buffer == NULL)
        return 0;
    return (double)size.moved * type_bytes(device, span.buffer->type) * (operand->read + operand->written);
}

static double call_bytes(const struct df_device *device, const struct df_call *call,
                         const struct df_layer_desc *desc)
{
    const struct df_op_info *info = &df_op_info[call->op];
    struct df_call_sizes sizes;
    double bytes = 0;
    df_call_sizes(&sizes, call);
    for (int k = 0; k < DF_MAX_OUT; k++)
        bytes += operand_bytes(device, &info->out[k], call->out[k], sizes.out[k]);
    for (int k = 0; k < DF_MAX_IN; k++)
        bytes += operand_bytes(device, &info->in[k], call->in[k], sizes.in[k]);
    if (desc != NULL && df_layer_op_kind(call->op, desc->is_gemm) != DF_LAYER_WEIGHT_GRADIENT)
        bytes += (double)(df_layer_weight_count(desc) + df_layer_bias_count(desc)) *
                 type_bytes(device, DF_TYPE_REAL);
    return bytes;
}

static double call_operations(const struct df_call *call, const struct df_layer_desc *desc)
{
    if (desc == NULL)
        return 0;
    const double taps = (double)df_layer_weight_count(desc);
    return 2 * (double)call->rows * taps * (desc->is_gemm ? 1 : (double)(desc->out.h * desc->out.w));
}

/* May the call run again on what it has left behind? */
static bool is_repeatable(const struct df_call *call)
{
    const struct df_op_info *info = &df_op_info[call->op];
    for (int k = 0; k < DF_MAX_OUT; k++)
        if (info->out[k].read)
            return false;
    if (call->op == DF_OP_relu_fwd || call->op == DF_OP_relu_bwd)
        return true;
    for (int k = 0; k < DF_MAX_OUT; k++)
        for (int i = 0; i < DF_MAX_IN; i++)
            if (call->out[k].buffer != NULL && call->out[k].buffer == call->in[i].buffer)
                return false;
    return true;
}

/* ---- counting */

static struct df_timed_row *find_row(struct df_timed *timed, const struct df_call *call,
                                     const struct df_layer_desc *desc)
{
    char shape[sizeof timed->rows->shape];
    tell_shape(shape, sizeof shape, call, desc);
    for (int32_t i = 0; i < timed->count; i++)
        if (timed->rows[i].op == call->op && strcmp(timed->rows[i].shape, shape) == 0)
            return &timed->rows[i];
    if (timed->count == MOST_ROWS)
        return NULL;
    struct df_timed_row *row = &timed->rows[timed->count++];
    *row = (struct df_timed_row){.op = call->op};
    memcpy(row->shape, shape, sizeof shape);
    return row;
}

static dfal_status run_timed(struct df_timed *timed, int32_t queue, const struct df_call *call)
{
    struct df_device *device = timed->device;
    const struct df_backend *inner = timed->wrapper.inner.backend;
    const struct df_layer_desc *desc = call->layer != NULL ? &call->layer->desc : NULL;
    struct df_timed_row *row = find_row(timed, call, desc);
    if (row == NULL)
        DF_FAIL(DFAL_E_INTERNAL, "more than %d different ops in one job", MOST_ROWS);
    if (desc != NULL)
        inner->layer_text(device, call->layer, df_layer_op_kind(call->op, desc->is_gemm), row->engine,
                          sizeof row->engine);
    DF_TRY(inner->synchronize(device, queue));
    double begin = df_clock();
    DF_TRY(inner->run(device, queue, call));
    DF_TRY(inner->synchronize(device, queue));
    double seconds = df_clock() - begin;
    if (device->wide && seconds < SHORT && is_repeatable(call)) {
        begin = df_clock();
        for (int turn = 0; turn < TURNS; turn++)
            DF_TRY(inner->run(device, queue, call));
        DF_TRY(inner->synchronize(device, queue));
        seconds = (df_clock() - begin) / TURNS;
    }
    row->seconds += seconds;
    row->calls++;
    row->rows += call->rows;
    row->bytes += call_bytes(device, call, desc);
    row->operations += call_operations(call, desc);
    return DFAL_OK;
}

static dfal_status timed_run(struct df_device *device, int32_t queue, const struct df_call *call)
{
    struct df_timed *timed = (struct df_timed *)df_wrapper_of(device, timed_run);
    return timed->counting ? run_timed(timed, queue, call)
                           : timed->wrapper.inner.backend->run(device, queue, call);
}

void df_timed_reset(struct df_timed *timed, bool counting)
{
    timed->count = 0;
    timed->counting = counting;
}

const struct df_timed_row *df_timed_rows(const struct df_timed *timed, int32_t *count)
{
    *count = timed->count;
    return timed->rows;
}

/* ---- opening */

dfal_status df_timed_open(struct df_timed **out, struct df_device *device)
{
    struct df_timed *timed;
    *out = NULL;
    DF_TRY(df_alloc(&timed, 1, sizeof *timed));
    const dfal_status status = df_alloc(&timed->rows, MOST_ROWS, sizeof *timed->rows);
    if (status != DFAL_OK) {
        df_free(timed);
        return status;
    }
    timed->device = device;
    df_wrapper_put(&timed->wrapper, device);
    timed->wrapper.functions.run = timed_run;
    df_backend_one_by_one(&timed->wrapper.functions);
    device->queue_count = 1;
    *out = timed;
    return DFAL_OK;
}

void df_timed_close(struct df_timed *timed)
{
    if (timed == NULL)
        return;
    df_wrapper_take(&timed->wrapper, timed->device);
    df_free(timed->rows);
    df_free(timed);
}

/* ---- roofs */

/* Real numbers that differ, without zeros: half of a buffer's rate can be the zeros in it. */
static dfal_status fill_span(struct df_device *device, struct df_span span, int64_t count)
{
    enum { PART = 1 << 16 };
    float *values;
    DF_TRY(df_alloc(&values, PART, sizeof *values));
    for (int32_t i = 0; i < PART; i++)
        values[i] = 0.5F + (float)((i * 7919) % 1009) / 1009;
    dfal_status status = DFAL_OK;
    for (int64_t at = 0; at < count && status == DFAL_OK; at += PART)
        status = df_write(device, 0, df_at(span, at), values, count - at < PART ? count - at : PART);
    df_free(values);
    return status;
}

/* Seconds of one call, the best of a few, and as many in a row as the device likes. */
static dfal_status best_seconds(double *out, struct df_timed *timed, const struct df_call *call)
{
    *out = INFINITY;
    DF_TRY(df_call_run(timed->device, 0, call));
    for (int i = 0; i < BEST_OF; i++) {
        df_timed_reset(timed, true);
        DF_TRY(df_call_run(timed->device, 0, call));
        *out = fmin(*out, timed->rows[0].seconds);
    }
    df_timed_reset(timed, false);
    return DFAL_OK;
}

/* The fastest of some plain ops over count values; *slowest gets the seconds of the slowest of them. */
static dfal_status measure_copy(struct df_timed_roofs *roofs, struct df_timed *timed, int64_t count,
                                double *slowest)
{
    struct df_device *device = timed->device;
    const int64_t cols = 1 << 14;
    const double size = type_bytes(device, DF_TYPE_REAL);
    struct df_span a = {0}, b = {0};
    dfal_status status;
    *slowest = 0;
    DF_TRY_TO(done, status, df_buffer_new(device, &a, DF_TYPE_REAL, count));
    DF_TRY_TO(done, status, df_buffer_new(device, &b, DF_TYPE_REAL, count));
    DF_TRY_TO(done, status, fill_span(device, a, count));
    const struct df_call plain[] = {
        DF_CALL(copy_cols, .rows = count / cols, .cols = cols, .y = b, .x = a,
                .p.cols = {.y_stride = cols, .x_stride = cols}),
        DF_CALL(relu_fwd, .rows = count / cols, .cols = cols, .y = b, .x = a),
        DF_CALL(add_fwd, .rows = count / cols, .cols = cols, .y = b, .a = a, .b = a),
    };
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        double seconds;
        DF_TRY_TO(done, status, best_seconds(&seconds, timed, &plain[i]));
        /* add_fwd is given the same values twice: they are read from memory once. */
        roofs->copy = fmax(roofs->copy, 2 * size * (double)count / seconds);
        *slowest = fmax(*slowest, seconds);
    }
    const struct df_call smallest = DF_CALL(fill, .rows = 1, .cols = 1, .y = b, .p.value = 1);
    DF_TRY_TO(done, status, best_seconds(&roofs->call, timed, &smallest));
done:
    df_buffer_drop(device, &a);
    df_buffer_drop(device, &b);
    return status;
}

static dfal_status measure_product(double *best, struct df_timed *timed, int64_t rows, int64_t features,
                                   double *seconds)
{
    struct df_device *device = timed->device;
    *seconds = 0;
    const struct df_layer_desc desc = {.is_gemm = true,
                                       .in = {features, 1, 1},
                                       .out = {features, 1, 1},
                                       .window = {{1, 1}, {1, 1}, {0}, {1, 1}},
                                       .group = 1,
                                       .block_rows = 64,
                                       .forward = true};
    struct df_layer *layer = NULL;
    struct df_span x = {0}, y = {0}, weight = {0};
    dfal_status status;
    DF_TRY_TO(done, status, df_buffer_new(device, &x, DF_TYPE_REAL, rows * features));
    DF_TRY_TO(done, status, df_buffer_new(device, &y, DF_TYPE_REAL, rows * features));
    DF_TRY_TO(done, status, df_buffer_new(device, &weight, DF_TYPE_REAL, features * features));
    DF_TRY_TO(done, status, fill_span(device, x, rows * features));
    DF_TRY_TO(done, status, fill_span(device, weight, features * features));
    DF_TRY_TO(done, status, device->backend->layer_create(device, &layer, &desc));
    DF_TRY_TO(done, status, device->backend->layer_bind(device, 0, layer, weight, (struct df_span){0}));
    const struct df_call call = DF_CALL(gemm_fwd, .rows = rows, .layer = layer, .y = y, .x = x);
    DF_TRY_TO(done, status, best_seconds(seconds, timed, &call));
    *best = fmax(*best, 2 * (double)rows * (double)features * (double)features / *seconds);
done:
    if (layer != NULL)
        device->backend->layer_destroy(device, layer);
    df_buffer_drop(device, &x);
    df_buffer_drop(device, &y);
    df_buffer_drop(device, &weight);
    return status;
}

/* A wide device needs large operands to reach its roofs: they grow until a call takes its time. */
dfal_status df_timed_roofs(struct df_timed_roofs *out, struct df_timed *timed)
{
    const bool wide = timed->device->wide;
    const int64_t most_values = wide ? INT64_C(1) << 28 : INT64_C(1) << 24;
    const int64_t most_features = wide ? 4096 : 512;
    double seconds = 0;
    *out = (struct df_timed_roofs){0};
    for (int64_t count = wide ? INT64_C(1) << 18 : most_values; count <= most_values && seconds < SHORT;
         count *= 4)
        DF_TRY(measure_copy(out, timed, count, &seconds));
    seconds = 0;
    for (int64_t features = wide ? 64 : 256; features <= most_features && seconds < 2 * SHORT; features *= 2)
        DF_TRY(measure_product(&out->product, timed, wide ? 4 * features : 256, features, &seconds));
    return DFAL_OK;
}
