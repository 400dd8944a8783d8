/* SPDX-License-Identifier: Apache-2.0 */
/* Elements of constants: numbers that may grow with the samples of a batch, and arithmetic on them. */
#include <math.h>
#include <string.h>

#include "graph/onnx_model.h"

#define EXACT 0x1p53 /* whole multiples of the batch beyond this are not told apart */

/* ---- In and out ------------------------------------------------------------------------------ */

static double from_half(uint16_t bits)
{
    const int exponent = (bits >> 10) & 31, fraction = bits & 1023;
    double value = exponent == 0    ? fraction * 0x1p-24
                   : exponent == 31 ? (fraction ? (double)NAN : (double)INFINITY)
                                    : (1024 + fraction) * 0x1p-25 * (double)(UINT64_C(1) << exponent);
    return bits & 0x8000 ? -value : value;
}

double df_onnx_real(const struct df_onnx_tensor *tensor, int64_t i)
{
    const uint8_t *at = tensor->bytes + (size_t)i * df_onnx_type_size(tensor->type);
    float single;
    double wide;
    uint16_t half;
    uint32_t bits;
    switch (tensor->type) {
    case DF_ONNX_FLOAT:
        memcpy(&single, at, sizeof single);
        return (double)single;
    case DF_ONNX_DOUBLE:
        memcpy(&wide, at, sizeof wide);
        return wide;
    case DF_ONNX_FLOAT16:
        memcpy(&half, at, sizeof half);
        return from_half(half);
    case DF_ONNX_BFLOAT16:
        memcpy(&half, at, sizeof half);
        bits = (uint32_t)half << 16;
        memcpy(&single, &bits, sizeof single);
        return (double)single;
    default:
        return (double)df_onnx_int(tensor, i);
    }
}

int64_t df_onnx_int(const struct df_onnx_tensor *tensor, int64_t i)
{
    const uint8_t *at = tensor->bytes + (size_t)i * df_onnx_type_size(tensor->type);
    int64_t whole;
    int32_t narrow;
    switch (tensor->type) {
    case DF_ONNX_INT64:
        memcpy(&whole, at, sizeof whole);
        return whole;
    case DF_ONNX_INT32:
        memcpy(&narrow, at, sizeof narrow);
        return narrow;
    case DF_ONNX_BOOL:
        return *at != 0;
    default: {
        double real = df_onnx_real(tensor, i);
        return real >= -0x1p62 && real <= 0x1p62 ? (int64_t)real : 0;
    }
    }
}

struct df_onnx_number df_onnx_get(const struct df_onnx_tensor *tensor, int64_t i)
{
    return (struct df_onnx_number){.real = df_onnx_real(tensor, i),
                                   .whole = df_onnx_int(tensor, i),
                                   .samples = tensor->samples ? tensor->samples[i] : 0.0};
}

void df_onnx_put(struct df_onnx_tensor *tensor, int64_t i, struct df_onnx_number number)
{
    /* Only what is own is written: the bytes lie behind the samples, where there are any. */
    if (!tensor->own)
        return;
    double *samples = tensor->samples ? tensor->own : NULL;
    uint8_t *at = (uint8_t *)(samples ? (void *)(samples + tensor->count) : tensor->own) +
                  (size_t)i * df_onnx_type_size(tensor->type);
    const float single = (float)number.real;
    const int32_t narrow = (int32_t)number.whole;
    if (samples)
        samples[i] = number.samples;
    switch (tensor->type) {
    case DF_ONNX_FLOAT:
        memcpy(at, &single, sizeof single);
        break;
    case DF_ONNX_DOUBLE:
        memcpy(at, &number.real, sizeof number.real);
        break;
    case DF_ONNX_INT64:
        memcpy(at, &number.whole, sizeof number.whole);
        break;
    case DF_ONNX_INT32:
        memcpy(at, &narrow, sizeof narrow);
        break;
    case DF_ONNX_BOOL:
        *at = number.whole != 0;
        break;
    default:
        break;
    }
}

void df_onnx_move(struct df_onnx_tensor *to, int64_t at, const struct df_onnx_tensor *from, int64_t i,
                  int64_t count)
{
    const size_t size = df_onnx_type_size(to->type);
    if (to->type != from->type || to->samples || from->samples) {
        for (int64_t k = 0; k < count; k++)
            df_onnx_put(to, at + k, df_onnx_get(from, i + k));
        return;
    }
    memcpy((uint8_t *)to->own + (size_t)at * size, from->bytes + (size_t)i * size, (size_t)count * size);
}

bool df_onnx_has_samples(const struct df_onnx_tensor *tensor)
{
    for (int64_t i = 0; tensor->samples && i < tensor->count; i++)
        if (tensor->samples[i] != 0.0)
            return true;
    return false;
}

/* ---- Arithmetic ------------------------------------------------------------------------------ */

struct df_onnx_number df_onnx_convert(struct df_onnx_number number, int32_t to)
{
    const bool steps = number.samples == rint(number.samples) && number.real == rint(number.real);
    if (to == DF_ONNX_BOOL)
        number.whole = number.real != 0.0;
    /* Not zero is what some count of samples may be; cut off at the point is what no multiple is, but whole
     * ones. */
    if (number.samples != 0.0 && !df_onnx_is_real(to) && (to == DF_ONNX_BOOL || !steps))
        number.samples = NAN;
    return number;
}

/* What of a quotient grows with the samples; a multiple over a multiple is a plain number, put into *y. */
static double divide_samples(const struct df_onnx_number *a, const struct df_onnx_number *b, bool reals,
                             struct df_onnx_number *y)
{
    if (a->samples == 0.0 && b->samples == 0.0)
        return 0.0;
    if (b->samples == 0.0) {
        const double over = reals ? b->real : (double)b->whole;
        const bool even = reals || (fmod(a->samples, over) == 0.0 && y->whole * b->whole == a->whole);
        return even && over != 0.0 ? a->samples / over : (double)NAN;
    }
    const double ratio = a->samples / b->samples;
    if ((reals ? a->real != 0.0 || b->real != 0.0 : a->whole != 0 || b->whole != 0) ||
        !(fabs(ratio) < EXACT) || (!reals && ratio != rint(ratio)))
        return (double)NAN;
    y->real = ratio;
    y->whole = (int64_t)ratio;
    return 0.0;
}

dfal_status df_onnx_calculate(const struct df_onnx *onnx, const Onnx__NodeProto *proto, char op, bool reals,
                              const struct df_onnx_number *a, const struct df_onnx_number *b,
                              struct df_onnx_number *y)
{
    const int64_t v = a->whole, w = b->whole;
    bool fits = true;
    *y = (struct df_onnx_number){0};
    if (op == 'A') {
        fits = !__builtin_add_overflow(v, w, &y->whole);
        y->real = a->real + b->real;
        y->samples = a->samples + b->samples;
    } else if (op == 'S') {
        fits = !__builtin_sub_overflow(v, w, &y->whole);
        y->real = a->real - b->real;
        y->samples = a->samples - b->samples;
    } else if (op == 'M') {
        fits = !__builtin_mul_overflow(v, w, &y->whole);
        y->real = a->real * b->real;
        y->samples = a->samples != 0.0 && b->samples != 0.0 ? (double)NAN
                                                            : a->samples * (reals ? b->real : (double)w) +
                                                                  b->samples * (reals ? a->real : (double)v);
    } else {
        if (!reals && w == 0 && b->samples == 0.0)
            DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA, "divides %lld by 0", (long long)v);
        fits = !(v == INT64_MIN && w == -1);
        y->whole = fits && w != 0 ? v / w : 0;
        y->real = a->real / b->real;
        y->samples = divide_samples(a, b, reals, y);
    }
    if (!fits && !reals)
        DF_ONNX_FAIL(onnx, proto, DFAL_E_DATA, "joins %lld and %lld, whose result has more than 64 bits",
                     (long long)v, (long long)w);
    if (!(fabs(y->samples) < EXACT))
        y->samples = NAN;
    return DFAL_OK;
}
