/* SPDX-License-Identifier: Apache-2.0 */
/* check:A:B runs every op on two back ends with the same inputs and compares every output. A's results go on.
 *
 * What an output may differ by, with a the value of A, b that of B, and block the largest finite |a| of the output:
 *   integers and bytes   nothing
 *   E   nothing: the same bits, any NaN equal to any NaN
 *   U   4e-7 |a| + 1e-7 block      three or four ulp; the second term is for values that cancelled
 *   L   1e-5 block                 sums of up to some thousand products in another order
 *   S   1e-4 block                 statistics: differences of such sums
 * In every class equal values agree, and a NaN agrees only with a NaN. Where A or B computes in double (ref64), inputs
 * are rounded to float first and class E counts as U. F64 buffers of E ops are compared as bits on equal reals.
 *
 * Every run copies A's operands to B first, outputs too: cells that an op leaves alone must stay alike. One lock
 * serialises all calls: this back end is for finding faults, not for speed. */
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "backend/backend.h"
#include "base/lock.h"
#include "base/memory.h"

struct check_device {
    struct df_device base;
    struct df_device *side[2];
    bool rounds; /* one side's reals are doubles */
    struct df_lock lock;
};

struct df_buffer {
    enum df_type type;
    int64_t count;
    struct df_buffer *side[2];
};

struct df_layer {
    struct df_layer_desc desc;
    struct df_layer *side[2];
};

static const size_t host_size[] = {[DF_TYPE_REAL] = sizeof(float),
                                   [DF_TYPE_I32] = sizeof(int32_t),
                                   [DF_TYPE_U8] = sizeof(uint8_t),
                                   [DF_TYPE_F64] = sizeof(double)};

static struct check_device *check_of(struct df_device *device)
{
    return (struct check_device *)device;
}

static struct df_span side_span(struct df_span span, int side)
{
    return (struct df_span){span.buffer != NULL ? span.buffer->side[side] : NULL, span.offset};
}

/* Elements of a span that an op's count means. Errors   E_INTERNAL beyond the buffer */
static dfal_status span_count(int64_t *out, struct df_span span, int64_t count, const char *what)
{
    const int64_t left = span.buffer->count - span.offset;
    *out = count == DF_COUNT_TO_END ? left : count;
    if (span.offset < 0 || *out < 0 || *out > left)
        DF_FAIL(DFAL_E_INTERNAL,
                "%s: elements %" PRId64 " to %" PRId64 " do not lie in a buffer of %" PRId64 " elements",
                what, span.offset, span.offset + *out, span.buffer->count);
    return DFAL_OK;
}

/* Make B's elements of a span equal to A's. */
static dfal_status mirror(struct check_device *check, int32_t queue, struct df_span span, int64_t count)
{
    if (count == 0)
        return DFAL_OK;
    void *values;
    DF_TRY(df_alloc(&values, count, host_size[span.buffer->type]));
    dfal_status status = df_read(check->side[0], queue, values, side_span(span, 0), count);
    if (status == DFAL_OK && check->rounds && span.buffer->type == DF_TYPE_REAL)
        status = df_write(check->side[0], queue, side_span(span, 0), values, count);
    if (status == DFAL_OK)
        status = df_write(check->side[1], queue, side_span(span, 1), values, count);
    df_free(values);
    return status;
}

/* The k-th of names separated by blanks, without its "+". */
static void operand_name(char *out, size_t size, const char *names, int k)
{
    for (; k > 0 && *names != '\0'; names++)
        k -= *names == ' ';
    snprintf(out, size, "%.*s", (int)strcspn(names, " +"), names);
}

static bool reals_agree(double a, double b, char op_class, bool rounds, double block)
{
    if (a == b)
        return op_class != 'E' || rounds || signbit(a) == signbit(b);
    if (isnan(a) || isnan(b))
        return isnan(a) && isnan(b);
    if (isinf(a) || isinf(b))
        return false;
    const double gap = fabs(a - b);
    switch (op_class) {
    case 'E':
        return rounds && gap <= 4e-7 * fabs(a) + 1e-7 * block;
    case 'U':
        return gap <= 4e-7 * fabs(a) + 1e-7 * block + (double)FLT_MIN;
    case 'L':
        return gap <= 1e-5 * block + (double)FLT_MIN;
    default:
        return gap <= 1e-4 * block + (double)FLT_MIN;
    }
}

static double element(const void *values, enum df_type type, int64_t i)
{
    switch (type) {
    case DF_TYPE_REAL:
        return (double)((const float *)values)[i];
    case DF_TYPE_I32:
        return ((const int32_t *)values)[i];
    case DF_TYPE_U8:
        return ((const uint8_t *)values)[i];
    default:
        return ((const double *)values)[i];
    }
}

static dfal_status compare(struct check_device *check, const struct df_op_info *info, int k,
                           enum df_type type, const void *a, const void *b, int64_t count)
{
    const bool whole = type == DF_TYPE_I32 || type == DF_TYPE_U8;
    double block = 0;
    for (int64_t i = 0; i < count && !whole; i++) {
        const double size = fabs(element(a, type, i));
        if (size > block && size <= DBL_MAX)
            block = size;
    }
    for (int64_t i = 0; i < count; i++) {
        const double x = element(a, type, i), y = element(b, type, i);
        if (whole ? x == y : reals_agree(x, y, info->op_class, check->rounds, block))
            continue;
        char name[64];
        operand_name(name, sizeof name, info->outs, k);
        DF_FAIL(DFAL_E_INTERNAL,
                "op %s, output %s: element %" PRId64 " of %" PRId64
                " is %.9g on %s and %.9g on %s (class %c)",
                info->name, name, i, count, x, check->side[0]->info.backend, y, check->side[1]->info.backend,
                info->op_class);
    }
    return DFAL_OK;
}

static dfal_status compare_span(struct check_device *check, int32_t queue, const struct df_op_info *info,
                                int k, struct df_span span, int64_t count)
{
    void *a = NULL, *b = NULL;
    dfal_status status = DFAL_OK;
    const enum df_type type = span.buffer->type;
    DF_TRY_TO(done, status, df_alloc(&a, count, host_size[type]));
    DF_TRY_TO(done, status, df_alloc(&b, count, host_size[type]));
    DF_TRY_TO(done, status, df_read(check->side[0], queue, a, side_span(span, 0), count));
    DF_TRY_TO(done, status, df_read(check->side[1], queue, b, side_span(span, 1), count));
    status = compare(check, info, k, type, a, b, count);
done:
    df_free(b);
    df_free(a);
    return status;
}

static dfal_status run_locked(struct check_device *check, int32_t queue, const struct df_call *call)
{
    const struct df_op_info *info = &df_op_info[call->op];
    const struct df_layer_desc *desc = call->layer != NULL ? &call->layer->desc : NULL;
    int64_t out_count[DF_MAX_OUT] = {0}, in_count;
    for (int k = 0; k < DF_MAX_IN; k++) {
        if (call->in[k].buffer == NULL)
            continue;
        DF_TRY(span_count(&in_count, call->in[k], df_call_in_count(call, desc, k), info->name));
        DF_TRY(mirror(check, queue, call->in[k], in_count));
    }
    for (int k = 0; k < DF_MAX_OUT; k++) {
        if (call->out[k].buffer == NULL)
            continue;
        DF_TRY(span_count(&out_count[k], call->out[k], df_call_out_count(call, desc, k), info->name));
        DF_TRY(mirror(check, queue, call->out[k], out_count[k]));
    }
    for (int side = 0; side < 2; side++) {
        struct df_call own = *call;
        for (int k = 0; k < DF_MAX_IN; k++)
            own.in[k] = side_span(call->in[k], side);
        for (int k = 0; k < DF_MAX_OUT; k++)
            own.out[k] = side_span(call->out[k], side);
        own.layer = call->layer != NULL ? call->layer->side[side] : NULL;
        DF_TRY(df_run(check->side[side], queue, &own));
        DF_TRY(check->side[side]->backend->synchronize(check->side[side], queue));
    }
    for (int k = 0; k < DF_MAX_OUT; k++)
        if (call->out[k].buffer != NULL)
            DF_TRY(compare_span(check, queue, info, k, call->out[k], out_count[k]));
    return DFAL_OK;
}

static dfal_status check_run(struct df_device *device, int32_t queue, const struct df_call *call)
{
    struct check_device *check = check_of(device);
    df_lock_take(&check->lock);
    dfal_status status = run_locked(check, queue, call);
    df_lock_release(&check->lock);
    return status;
}

static void check_close(struct df_device *device)
{
    struct check_device *check = check_of(device);
    df_device_close(check->side[1]);
    df_device_close(check->side[0]);
    df_lock_end(&check->lock);
    df_free(check);
}

/* Cut "A:B". A may be cuda:N or dlopen:PATH, and so may B. */
static dfal_status split(char *a, size_t size, const char **b, const char *spec)
{
    const char *end = strchr(spec, ':');
    if (strncmp(spec, "dlopen:", 7) == 0)
        end = strchr(spec + 7, ':');
    else if (strncmp(spec, "cuda:", 5) == 0 && spec[5] >= '0' && spec[5] <= '9')
        end = strchr(spec + 5, ':');
    if (end == NULL || end == spec || end[1] == '\0')
        DF_FAIL(DFAL_E_USAGE, "bad back end 'check:%s': expected check:A:B", spec);
    if ((size_t)(end - spec) >= size)
        DF_FAIL(DFAL_E_USAGE, "bad back end 'check:%s': the first name is longer than %zu characters", spec,
                size - 1);
    snprintf(a, size, "%.*s", (int)(end - spec), spec);
    *b = end + 1;
    return DFAL_OK;
}

static dfal_status check_open(struct df_device **out, const struct df_device_options *options)
{
    *out = NULL;
    char first[1024];
    const char *second = NULL;
    DF_TRY(split(first, sizeof first, &second, options->spec));
    struct check_device *check;
    DF_TRY(df_alloc(&check, 1, sizeof *check));
    df_lock_begin(&check->lock);
    check->base.backend = &df_backend_check;
    dfal_status status = df_device_open(&check->side[0], first, options->isa, options->queues);
    if (status == DFAL_OK)
        status = df_device_open(&check->side[1], second, options->isa, options->queues);
    if (status != DFAL_OK) {
        check_close(&check->base);
        return status;
    }
    const struct df_device_info *a = &check->side[0]->info, *b = &check->side[1]->info;
    check->rounds = strcmp(a->backend, "ref64") == 0 || strcmp(b->backend, "ref64") == 0;
    const int32_t queues_a = check->side[0]->queue_count, queues_b = check->side[1]->queue_count;
    check->base.queue_count = queues_a < queues_b ? queues_a : queues_b;
    check->base.wide = check->side[0]->wide || check->side[1]->wide;
    check->base.info = *a; /* A's results go on, so A's names describe them */
    snprintf(check->base.info.backend, sizeof check->base.info.backend, "check:%.11s:%.11s", a->backend,
             b->backend);
    *out = &check->base;
    return DFAL_OK;
}

static void check_buffer_destroy(struct df_device *device, struct df_buffer *buffer)
{
    struct check_device *check = check_of(device);
    if (buffer == NULL)
        return;
    for (int side = 0; side < 2; side++)
        if (buffer->side[side] != NULL)
            check->side[side]->backend->buffer_destroy(check->side[side], buffer->side[side]);
    df_free(buffer);
}

static dfal_status check_buffer_create(struct df_device *device, struct df_buffer **out, enum df_type type,
                                       int64_t count)
{
    *out = NULL;
    struct check_device *check = check_of(device);
    struct df_buffer *buffer;
    DF_TRY(df_alloc(&buffer, 1, sizeof *buffer));
    buffer->type = type;
    buffer->count = count;
    for (int side = 0; side < 2; side++) {
        struct df_device *own = check->side[side];
        dfal_status status = own->backend->buffer_create(own, &buffer->side[side], type, count);
        if (status != DFAL_OK) {
            check_buffer_destroy(device, buffer);
            return status;
        }
    }
    *out = buffer;
    return DFAL_OK;
}

static dfal_status check_write(struct df_device *device, int32_t queue, struct df_span to, const void *from,
                               int64_t count)
{
    struct check_device *check = check_of(device);
    df_lock_take(&check->lock);
    dfal_status status = DFAL_OK;
    for (int side = 0; side < 2 && status == DFAL_OK; side++)
        status = df_write(check->side[side], queue, side_span(to, side), from, count);
    df_lock_release(&check->lock);
    return status;
}

static dfal_status check_read(struct df_device *device, int32_t queue, void *to, struct df_span from,
                              int64_t count)
{
    struct check_device *check = check_of(device);
    df_lock_take(&check->lock);
    dfal_status status = df_read(check->side[0], queue, to, side_span(from, 0), count);
    df_lock_release(&check->lock);
    return status;
}

static dfal_status check_read_f64(struct df_device *device, int32_t queue, double *to, struct df_span from,
                                  int64_t count)
{
    struct check_device *check = check_of(device);
    df_lock_take(&check->lock);
    dfal_status status =
        check->side[0]->backend->read_f64(check->side[0], queue, to, side_span(from, 0), count);
    df_lock_release(&check->lock);
    return status;
}

static void check_layer_destroy(struct df_device *device, struct df_layer *layer)
{
    struct check_device *check = check_of(device);
    if (layer == NULL)
        return;
    for (int side = 0; side < 2; side++)
        if (layer->side[side] != NULL)
            check->side[side]->backend->layer_destroy(check->side[side], layer->side[side]);
    df_free(layer);
}

static dfal_status check_layer_create(struct df_device *device, struct df_layer **out,
                                      const struct df_layer_desc *desc)
{
    *out = NULL;
    struct check_device *check = check_of(device);
    struct df_layer *layer;
    DF_TRY(df_alloc(&layer, 1, sizeof *layer));
    layer->desc = *desc;
    for (int side = 0; side < 2; side++) {
        struct df_device *own = check->side[side];
        dfal_status status = own->backend->layer_create(own, &layer->side[side], desc);
        if (status != DFAL_OK) {
            check_layer_destroy(device, layer);
            return status;
        }
    }
    *out = layer;
    return DFAL_OK;
}

static dfal_status bind_locked(struct check_device *check, struct df_layer *layer, struct df_span weight,
                               struct df_span bias)
{
    DF_TRY(mirror(check, 0, weight, df_layer_weight_count(&layer->desc)));
    if (bias.buffer != NULL)
        DF_TRY(mirror(check, 0, bias, df_layer_bias_count(&layer->desc)));
    for (int side = 0; side < 2; side++)
        DF_TRY(check->side[side]->backend->layer_bind(check->side[side], layer->side[side],
                                                      side_span(weight, side), side_span(bias, side)));
    return DFAL_OK;
}

static dfal_status check_layer_bind(struct df_device *device, struct df_layer *layer, struct df_span weight,
                                    struct df_span bias)
{
    struct check_device *check = check_of(device);
    if (weight.buffer == NULL)
        DF_FAIL(DFAL_E_INTERNAL, "layer_bind: no weight was given");
    df_lock_take(&check->lock);
    dfal_status status = bind_locked(check, layer, weight, bias);
    df_lock_release(&check->lock);
    return status;
}

static dfal_status check_synchronize(struct df_device *device, int32_t queue)
{
    struct check_device *check = check_of(device);
    DF_TRY(check->side[0]->backend->synchronize(check->side[0], queue));
    return check->side[1]->backend->synchronize(check->side[1], queue);
}

const struct df_backend df_backend_check = {
    .abi = DF_BACKEND_ABI,
    .name = "check",
    .device_open = check_open,
    .device_close = check_close,
    .buffer_create = check_buffer_create,
    .buffer_destroy = check_buffer_destroy,
    .write = check_write,
    .read = check_read,
    .read_f64 = check_read_f64,
    .layer_create = check_layer_create,
    .layer_destroy = check_layer_destroy,
    .layer_bind = check_layer_bind,
    .run = check_run,
    .synchronize = check_synchronize,
};
