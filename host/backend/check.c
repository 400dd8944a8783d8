/* SPDX-License-Identifier: Apache-2.0 */
/* check:A:B runs every op on two back ends with the same inputs and compares every output. A's results go
 * on: the device is A's with a wrapper on it, and each of its buffers and layers has B's as its twin.
 *
 * What an output may differ by, with a the value of A, b that of B, and block the largest finite |a| of
 * the output:
 *   integers and bytes   nothing
 *   E   nothing: the same bits, any NaN equal to any NaN
 *   U   4e-7 |a| + 1e-7 block      three or four ulp; the second term is for values that cancelled
 *   L   1e-5 block + 2^-23 n m     sums of n products in another order; m bounds a product: the largest
 *       factors' one,
 *                                  for sums that cancel
 *   S   1e-4 block                 statistics: differences of such sums
 * The backward of a half_backward layer: 2^-10 |a| more, for a library may round it to binary16. In every
 * class equal values agree. A NaN agrees only with a NaN; in L and S, where partial sums may overflow in
 * one order alone, anything that is not finite agrees with anything that is not. Where A or B computes in
 * double (ref64), inputs are rounded to float first and class E counts as U.
 *
 * Every run copies A's operands to B first, outputs too: cells that an op leaves alone must stay alike.
 * One lock serialises all calls: this back end is for finding faults, not for speed. */
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "backend/wrapper.h"
#include "base/lock.h"
#include "base/memory.h"

struct side {
    struct df_device *device;
    const struct df_backend *functions; /* of A: those behind the wrapper */
    const char *name;
};

struct check {
    struct df_wrapper wrapper;
    struct side side[2];
    bool rounds;      /* one side's reals are doubles */
    void *scratch[2]; /* bytes scratch_size each, grown on demand: run() allocates nothing once warm */
    int64_t scratch_size;
    struct df_lock lock;
};

static df_run_fn check_run;

static struct check *check_of(const struct df_device *device)
{
    return (struct check *)df_wrapper_of(device, check_run);
}

static const size_t host_size[] = {[DF_TYPE_REAL] = sizeof(float),
                                   [DF_TYPE_I32] = sizeof(int32_t),
                                   [DF_TYPE_U8] = sizeof(uint8_t),
                                   [DF_TYPE_F64] = sizeof(double)};

static struct df_span side_span(struct df_span span, int side)
{
    return (struct df_span){side == 0 || span.buffer == NULL ? span.buffer : span.buffer->twin, span.offset};
}

static dfal_status side_read(const struct check *check, int side, int32_t queue, void *to,
                             struct df_span from, int64_t count)
{
    const struct side *own = &check->side[side];
    return own->functions->read(own->device, queue, to, side_span(from, side), count);
}

static dfal_status side_write(const struct check *check, int side, int32_t queue, struct df_span to,
                              const void *from, int64_t count)
{
    const struct side *own = &check->side[side];
    return own->functions->write(own->device, queue, side_span(to, side), from, count);
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

static dfal_status reserve(struct check *check, int64_t count, enum df_type type)
{
    const int64_t size = count * (int64_t)host_size[type];
    if (size <= check->scratch_size)
        return DFAL_OK;
    check->scratch_size = 0;
    for (int side = 0; side < 2; side++) {
        df_free(check->scratch[side]);
        DF_TRY(df_alloc(&check->scratch[side], size, 1));
    }
    check->scratch_size = size;
    return DFAL_OK;
}

/* The largest finite |value|. */
static double largest_of(const void *values, enum df_type type, int64_t count)
{
    double largest = 0;
    for (int64_t i = 0; i < count; i++) {
        const double size = fabs(element(values, type, i));
        if (size > largest && size <= DBL_MAX)
            largest = size;
    }
    return largest;
}

/* Make B's elements of a span equal to A's. largest (may be NULL) gets the largest finite |value|. */
static dfal_status mirror(struct check *check, int32_t queue, struct df_span span, int64_t count,
                          double *largest)
{
    const enum df_type type = span.buffer->type;
    if (count == 0)
        return DFAL_OK;
    DF_TRY(reserve(check, count, type));
    void *values = check->scratch[0];
    DF_TRY(side_read(check, 0, queue, values, span, count));
    if (check->rounds && type == DF_TYPE_REAL)
        DF_TRY(side_write(check, 0, queue, span, values, count));
    if (largest != NULL)
        *largest = largest_of(values, type, count);
    return side_write(check, 1, queue, span, values, count);
}

/* What two values of an output may differ by: relative * |a| + absolute. */
struct tolerance {
    double relative, absolute;
    bool exact;    /* the same bits */
    bool overflow; /* any two values that are not finite agree */
};

/* The share of class L for sums that cancel, from the call's largest inputs: 2^-23 n m. */
static double cancelled(const struct df_call *call, int k, const double largest[DF_MAX_IN])
{
    const struct df_layer_desc *d = &call->layer->desc;
    const double taps = d->is_gemm ? 1 : (double)d->window.kernel[0] * d->window.kernel[1] / d->group;
    const double in = d->is_gemm ? (double)df_shape_size(d->in) : (double)d->in.c;
    const double out = d->is_gemm ? (double)df_shape_size(d->out) : (double)d->out.c;
    const double plane = d->is_gemm ? 1 : (double)(d->out.h * d->out.w);
    switch (call->op) {
    case DF_OP_conv_fwd:
    case DF_OP_gemm_fwd:
        return 0x1p-23 * in * taps * largest[0] * call->layer->largest_weight;
    case DF_OP_conv_bwd:
    case DF_OP_gemm_bwd:
        return 0x1p-23 * out * taps * largest[0] * call->layer->largest_weight;
    default:
        return 0x1p-23 * (double)call->rows * plane * largest[1] * (k == 0 ? largest[0] : 1);
    }
}

static struct tolerance tolerance_of(const struct check *check, const struct df_call *call, int k,
                                     const double largest[DF_MAX_IN], double block)
{
    const char op_class = df_op_info[call->op].op_class;
    if (op_class == 'E' && !check->rounds)
        return (struct tolerance){.exact = true};
    if (op_class == 'E' || op_class == 'U')
        return (struct tolerance){.relative = 4e-7, .absolute = 1e-7 * block + (double)FLT_MIN};
    if (op_class == 'S')
        return (struct tolerance){.absolute = 1e-4 * block + (double)FLT_MIN, .overflow = true};
    const double sums = call->layer != NULL ? cancelled(call, k, largest) : 0;
    const bool half = call->layer != NULL && call->layer->desc.half_backward &&
                      (call->op == DF_OP_conv_bwd || call->op == DF_OP_gemm_bwd);
    return (struct tolerance){
        .relative = half ? 0x1p-10 : 0, .absolute = 1e-5 * block + sums + (double)FLT_MIN, .overflow = true};
}

static bool reals_agree(double a, double b, const struct tolerance *t)
{
    if (a == b)
        return !t->exact || signbit(a) == signbit(b);
    if (t->overflow && !isfinite(a) && !isfinite(b))
        return true;
    if (isnan(a) && isnan(b))
        return true;
    if (t->exact || !isfinite(a) || !isfinite(b))
        return false;
    return fabs(a - b) <= t->relative * fabs(a) + t->absolute;
}

static dfal_status compare(struct check *check, int32_t queue, const struct df_call *call, int k,
                           int64_t count, const double largest[DF_MAX_IN])
{
    const struct df_op_info *info = &df_op_info[call->op];
    const struct df_span span = call->out[k];
    const enum df_type type = span.buffer->type;
    const bool whole = type == DF_TYPE_I32 || type == DF_TYPE_U8;
    DF_TRY(reserve(check, count, type));
    const void *a = check->scratch[0], *b = check->scratch[1];
    for (int side = 0; side < 2; side++)
        DF_TRY(side_read(check, side, queue, check->scratch[side], span, count));
    const struct tolerance t = tolerance_of(check, call, k, largest, largest_of(a, type, count));
    for (int64_t i = 0; i < count; i++) {
        const double x = element(a, type, i), y = element(b, type, i);
        if (whole ? x == y : reals_agree(x, y, &t))
            continue;
        DF_FAIL(DFAL_E_INTERNAL,
                "op %s, output %s: element %" PRId64 " of %" PRId64
                " is %.9g on %s and %.9g on %s (class %c)",
                info->name, info->out[k].name, i, count, x, check->side[0].name, y, check->side[1].name,
                info->op_class);
    }
    return DFAL_OK;
}

static dfal_status run_locked(struct check *check, int32_t queue, const struct df_call *call)
{
    int64_t out_count[DF_MAX_OUT] = {0};
    double largest[DF_MAX_IN] = {0};
    struct df_call_sizes sizes;
    DF_TRY(df_call_check(call));
    df_call_sizes(&sizes, call);
    for (int k = 0; k < DF_MAX_IN; k++)
        if (call->in[k].buffer != NULL)
            DF_TRY(mirror(check, queue, call->in[k], df_span_count(call->in[k], sizes.in[k].extent),
                          &largest[k]));
    for (int k = 0; k < DF_MAX_OUT; k++) {
        if (call->out[k].buffer == NULL)
            continue;
        out_count[k] = df_span_count(call->out[k], sizes.out[k].extent);
        DF_TRY(mirror(check, queue, call->out[k], out_count[k], NULL));
    }
    for (int side = 0; side < 2; side++) {
        struct df_call own = *call;
        for (int k = 0; k < DF_MAX_IN; k++)
            own.in[k] = side_span(call->in[k], side);
        for (int k = 0; k < DF_MAX_OUT; k++)
            own.out[k] = side_span(call->out[k], side);
        own.layer = call->layer != NULL && side == 1 ? call->layer->twin : call->layer;
        DF_TRY(check->side[side].functions->run(check->side[side].device, queue, &own));
        DF_TRY(check->side[side].functions->synchronize(check->side[side].device, queue));
    }
    for (int k = 0; k < DF_MAX_OUT; k++)
        if (call->out[k].buffer != NULL)
            DF_TRY(compare(check, queue, call, k, out_count[k], largest));
    return DFAL_OK;
}

static dfal_status check_run(struct df_device *device, int32_t queue, const struct df_call *call)
{
    struct check *check = check_of(device);
    df_lock_take(&check->lock);
    dfal_status status = run_locked(check, queue, call);
    df_lock_release(&check->lock);
    return status;
}

/* ---- Memory ---------------------------------------------------------------------------------- */

/* Of two own memories the lesser. */
static int64_t check_memory_free(struct df_device *device)
{
    const struct check *check = check_of(device);
    const struct side *side = check->side;
    const int64_t a = side[0].functions->memory_free(device),
                  b = side[1].functions->memory_free(side[1].device);
    if (!side[1].device->own_memory)
        return a;
    return check->wrapper.inner.own_memory && a < b ? a : b;
}

static void check_buffer_destroy(struct df_device *device, struct df_buffer *buffer)
{
    const struct side *side = check_of(device)->side;
    if (buffer == NULL)
        return;
    if (buffer->twin != NULL)
        side[1].functions->buffer_destroy(side[1].device, buffer->twin);
    side[0].functions->buffer_destroy(device, buffer);
}

static dfal_status check_buffer_create(struct df_device *device, struct df_buffer **out, enum df_type type,
                                       int64_t count)
{
    const struct side *side = check_of(device)->side;
    struct df_buffer *buffer;
    *out = NULL;
    DF_TRY(side[0].functions->buffer_create(device, &buffer, type, count));
    const dfal_status status = side[1].functions->buffer_create(side[1].device, &buffer->twin, type, count);
    if (status == DFAL_OK)
        *out = buffer;
    else
        check_buffer_destroy(device, buffer);
    return status;
}

static dfal_status check_write(struct df_device *device, int32_t queue, struct df_span to, const void *from,
                               int64_t count)
{
    struct check *check = check_of(device);
    df_lock_take(&check->lock);
    dfal_status status = DFAL_OK;
    for (int side = 0; side < 2 && status == DFAL_OK; side++)
        status = side_write(check, side, queue, to, from, count);
    df_lock_release(&check->lock);
    return status;
}

static dfal_status check_read(struct df_device *device, int32_t queue, void *to, struct df_span from,
                              int64_t count)
{
    struct check *check = check_of(device);
    df_lock_take(&check->lock);
    dfal_status status = side_read(check, 0, queue, to, from, count);
    df_lock_release(&check->lock);
    return status;
}

static dfal_status check_read_f64(struct df_device *device, int32_t queue, double *to, struct df_span from,
                                  int64_t count)
{
    struct check *check = check_of(device);
    df_lock_take(&check->lock);
    dfal_status status = check->side[0].functions->read_f64(device, queue, to, from, count);
    df_lock_release(&check->lock);
    return status;
}

/* ---- Layers ---------------------------------------------------------------------------------- */

static void check_layer_destroy(struct df_device *device, struct df_layer *layer)
{
    const struct side *side = check_of(device)->side;
    if (layer == NULL)
        return;
    if (layer->twin != NULL)
        side[1].functions->layer_destroy(side[1].device, layer->twin);
    side[0].functions->layer_destroy(device, layer);
}

static dfal_status check_layer_create(struct df_device *device, struct df_layer **out,
                                      const struct df_layer_desc *desc)
{
    const struct side *side = check_of(device)->side;
    struct df_layer *layer;
    *out = NULL;
    DF_TRY(side[0].functions->layer_create(device, &layer, desc));
    const dfal_status status = side[1].functions->layer_create(side[1].device, &layer->twin, desc);
    if (status == DFAL_OK)
        *out = layer;
    else
        check_layer_destroy(device, layer);
    return status;
}

static dfal_status bind_locked(struct check *check, int32_t queue, struct df_layer *layer,
                               struct df_span weight, struct df_span bias)
{
    const struct side *side = check->side;
    DF_TRY(mirror(check, queue, weight, df_layer_weight_count(&layer->desc), &layer->largest_weight));
    if (bias.buffer != NULL)
        DF_TRY(mirror(check, queue, bias, df_layer_bias_count(&layer->desc), NULL));
    DF_TRY(side[0].functions->layer_bind(side[0].device, queue, layer, weight, bias));
    return side[1].functions->layer_bind(side[1].device, queue, layer->twin, side_span(weight, 1),
                                         side_span(bias, 1));
}

static dfal_status check_layer_bind(struct df_device *device, int32_t queue, struct df_layer *layer,
                                    struct df_span weight, struct df_span bias)
{
    struct check *check = check_of(device);
    if (weight.buffer == NULL)
        DF_FAIL(DFAL_E_INTERNAL, "layer_bind: no weight was given");
    df_lock_take(&check->lock);
    dfal_status status = bind_locked(check, queue, layer, weight, bias);
    df_lock_release(&check->lock);
    return status;
}

static dfal_status check_synchronize(struct df_device *device, int32_t queue)
{
    const struct side *side = check_of(device)->side;
    DF_TRY(side[0].functions->synchronize(device, queue));
    return side[1].functions->synchronize(side[1].device, queue);
}

/* ---- Opening --------------------------------------------------------------------------------- */

static void check_close(struct df_device *device)
{
    struct check *check = check_of(device);
    df_wrapper_take(&check->wrapper, device);
    df_device_close(check->side[1].device);
    df_device_close(device);
    df_lock_end(&check->lock);
    df_free(check->scratch[0]);
    df_free(check->scratch[1]);
    df_free(check);
}

/* Fused networks and recordings would run past the comparison: a checked device has none. */
static void put_functions(struct df_backend *functions)
{
    functions->device_close = check_close;
    functions->memory_free = check_memory_free;
    functions->buffer_create = check_buffer_create;
    functions->buffer_destroy = check_buffer_destroy;
    functions->write = check_write;
    functions->read = check_read;
    functions->read_f64 = check_read_f64;
    functions->layer_create = check_layer_create;
    functions->layer_destroy = check_layer_destroy;
    functions->layer_bind = check_layer_bind;
    functions->run = check_run;
    functions->synchronize = check_synchronize;
    df_backend_one_by_one(functions);
}

/* A's results go on, so A's names describe them. */
static void put_head(struct df_device *a, const struct df_device *b)
{
    char name[sizeof a->info.backend];
    snprintf(name, sizeof name, "check:%.11s:%.11s", a->info.backend, b->info.backend);
    memcpy(a->info.backend, name, sizeof name);
    a->queue_count = a->queue_count < b->queue_count ? a->queue_count : b->queue_count;
    a->own_memory = a->own_memory || b->own_memory;
    a->wide = a->wide || b->wide;
    a->half_backward = a->half_backward && b->half_backward;
    a->split = a->split && b->split;
}

dfal_status df_check_put(struct df_device *a, struct df_device *b)
{
    struct check *check;
    DF_TRY(df_alloc(&check, 1, sizeof *check));
    df_lock_begin(&check->lock);
    df_wrapper_put(&check->wrapper, a);
    put_functions(&check->wrapper.functions);
    check->side[0] = (struct side){a, check->wrapper.inner.backend, check->wrapper.inner.info.backend};
    check->side[1] = (struct side){b, b->backend, b->info.backend};
    check->rounds = a->real_bytes != sizeof(float) || b->real_bytes != sizeof(float);
    put_head(a, b);
    return DFAL_OK;
}
