/* SPDX-License-Identifier: Apache-2.0 */
/* A chain's way back in training, a sample at a time: gradients of weights, and those of inputs
 * (cpu_stack_backward.h).
 *
 * Order    of a weight's gradient: samples, then live windows, ascending; of rows of up to eight weights the
 *          windows by turns into two sums
 * Work     a tile of lines and vectors stays in registers while one window after the other adds to it */
#ifndef DF_BACKEND_CPU_CHAIN_BACKWARD_H
#define DF_BACKEND_CPU_CHAIN_BACKWARD_H

#include "backend/cpu_chain.h"
#include "backend/cpu_stack_backward.h"

/* ---- weights of a convolution -------------------------------------------------------------------------- */

/* Inputs from x + at[i] on times value[i], into LINES rows of VECTORS vectors of a filter's gradient. */
INLINE void add_inputs(float *to, int64_t row, const float *x, const int32_t *at, int64_t line,
                       const float *value, int32_t count, const int LINES, const int VECTORS)
{
    vec sum[24];
#pragma GCC unroll 6
    for (int r = 0; r < LINES; r++)
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; v++)
            sum[r * VECTORS + v] = vec_load(to + r * row + v * LANES);
    for (int32_t i = 0; i < count; i++) {
        const vec factor = vec_all(value[i]);
        const float *from = x + at[i];
#pragma GCC unroll 6
        for (int r = 0; r < LINES; r++)
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++)
                sum[r * VECTORS + v] =
                    vec_fma(factor, vec_load(from + r * line + v * LANES), sum[r * VECTORS + v]);
    }
#pragma GCC unroll 6
    for (int r = 0; r < LINES; r++)
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; v++)
            vec_store(to + r * row + v * LANES, sum[r * VECTORS + v]);
}

typedef void gather_fn(float *to, int64_t row, const float *x, const int32_t *at, int64_t line,
                       const float *value, int32_t count);
#define GATHERS(X) X(1, 1) X(1, 2) X(1, 4) X(2, 1) X(2, 2) X(2, 4) X(3, 1) X(3, 2) X(5, 1) X(5, 2)
#define GATHER(lines, vectors)                                                                               \
    static void gather_##lines##_##vectors(float *to, int64_t row, const float *x, const int32_t *at,        \
                                           int64_t line, const float *value, int32_t count)                  \
    {                                                                                                        \
        add_inputs(to, row, x, at, line, value, count, lines, vectors);                                      \
    }
GATHERS(GATHER)
#undef GATHER
static gather_fn *const gathers[6][5] = {
#define ENTRY(lines, vectors) [lines][vectors] = gather_##lines##_##vectors,
    GATHERS(ENTRY)
#undef ENTRY
};

/* A filter's gradient in tiles, from the widest that there is. */
static void gather_filter(const struct df_chain_layer *l, float *to, const float *x, const int32_t *at,
                          const float *value, int32_t count)
{
    const int32_t vectors = l->stack.row / LANES;
    for (int32_t v = 0, wide; v < vectors; v += wide) {
        wide = vectors - v >= 4 && l->stack.kernel_h < 3 ? 4 : vectors - v >= 2 ? 2 : 1;
        for (int32_t r = 0, high; r < l->stack.kernel_h; r += high) {
            for (high = l->stack.kernel_h - r < 5 ? l->stack.kernel_h - r : 5; gathers[high][wide] == NULL;)
                high--;
            gathers[high][wide](to + (int64_t)r * l->stack.row + v * LANES, l->stack.row,
                                x + (int64_t)r * l->stack.line + v * LANES, at, l->stack.line, value, count);
        }
    }
}

/* The same where a row of weights is half a vector: the windows by turns into two sums, for each of which
 * there are few registers. value and at have one entry of zeros behind them. */
INLINE void gather_short(float *to, const float *x, const int32_t *at, int64_t line, const float *value,
                         int32_t count, const int LINES)
{
    __m256 even[5], odd[5];
#pragma GCC unroll 5
    for (int r = 0; r < LINES; r++) {
        even[r] = _mm256_loadu_ps(to + 8 * r);
        odd[r] = _mm256_setzero_ps();
    }
    for (int32_t i = 0; i < count; i += 2) {
        const __m256 a = _mm256_set1_ps(value[i]), b = _mm256_set1_ps(value[i + 1]);
        const float *p = x + at[i], *q = x + at[i + 1];
#pragma GCC unroll 5
        for (int r = 0; r < LINES; r++) {
            even[r] = _mm256_fmadd_ps(a, _mm256_loadu_ps(p + r * line), even[r]);
            odd[r] = _mm256_fmadd_ps(b, _mm256_loadu_ps(q + r * line), odd[r]);
        }
    }
#pragma GCC unroll 5
    for (int r = 0; r < LINES; r++)
        _mm256_storeu_ps(to + 8 * r, _mm256_add_ps(even[r], odd[r]));
}

static void gather_short_filter(const struct df_chain_layer *l, float *to, const float *x, const int32_t *at,
                                const float *value, int32_t count)
{
    int32_t r = 0;
    for (; r + 5 <= l->stack.kernel_h; r += 5)
        gather_short(to + (int64_t)8 * r, x + (int64_t)r * l->stack.line, at, l->stack.line, value, count, 5);
    for (; r + 3 <= l->stack.kernel_h; r += 3)
        gather_short(to + (int64_t)8 * r, x + (int64_t)r * l->stack.line, at, l->stack.line, value, count, 3);
    for (; r < l->stack.kernel_h; r++)
        gather_short(to + (int64_t)8 * r, x + (int64_t)r * l->stack.line, at, l->stack.line, value, count, 1);
}

static void back_weights(const struct df_chain *chain, const struct df_chain_layer *l, int64_t row)
{
    const float *x = l->rows + row * l->stride;
    const uint8_t *codes = l->units + row * l->stack.outputs * l->stack.unit_row;
    const int32_t corner[4] = {0, l->stack.channels, l->stack.line, l->stack.line + l->stack.channels},
                  outputs = l->stack.outputs;
    const int32_t *window_at = l->window_at; /* what is written below is none of the fields */
    const uint16_t *unit = chain->unit;
    int32_t *at = chain->at;
    float *value = chain->value;
    for (int32_t o = 0; o < l->stack.outputs; o++) {
        const uint8_t *code = codes + (int64_t)o * l->stack.unit_row;
        const int32_t live = live_units(chain->squeeze, chain->unit, code, l->stack.unit_row);
        const float *gradient = l->output_gradient + o;
        float *to = l->weight_gradient + (int64_t)o * l->stack.filter, sum = 0;
        for (int32_t i = 0; i < live; i++) {
            const int32_t w = unit[i];
            at[i] = window_at[w] + corner[code[w]];
            value[i] = gradient[(int64_t)w * outputs];
            sum += value[i];
        }
        at[live] = 0;
        value[live] = 0;
        l->bias_gradient[o] += sum;
        (l->stack.row == 8 ? gather_short_filter : gather_filter)(l, to, x, at, value, live);
    }
}

/* ---- products ------------------------------------------------------------------------------------------ */

enum { WIDE = 8 }; /* vectors side by side */

/* Vectors [at, at + count) of the sum over i of value[i] times row number[i] of a matrix. */
INLINE void add_rows(vec sum[WIDE], const float *rows, int64_t stride, const uint16_t *number,
                     const float *value, int32_t live, int32_t at, const int COUNT)
{
#pragma GCC unroll 8
    for (int v = 0; v < COUNT; v++)
        sum[v] = vec_zero();
    for (int32_t i = 0; i < live; i++) {
        const vec factor = vec_all(value[i]);
        const float *from = rows + number[i] * stride + at;
#pragma GCC unroll 8
        for (int v = 0; v < COUNT; v++)
            sum[v] = vec_fma(factor, vec_load(from + v * LANES), sum[v]);
    }
}

/* Numbers and values of what is not 0 of `count` values, `stride` apart. */
static int32_t live_values(const struct df_chain *chain, const float *values, int64_t stride, int64_t count)
{
    uint16_t *unit = chain->unit;
    float *value = chain->value;
    int32_t live = 0;
    for (int64_t i = 0; i < count; i++) {
        unit[live] = (uint16_t)i;
        value[live] = values[i * stride];
        live += values[i * stride] != 0;
    }
    return live;
}

/* to [size]: the sum of the live rows of a matrix, each times its value. */
static void sum_rows(const struct df_chain *chain, const float *rows, int64_t stride, int32_t live,
                     int32_t size, float *to)
{
    int32_t at = 0;
    vec sum[WIDE];
    for (; at + WIDE * LANES <= size; at += WIDE * LANES) {
        add_rows(sum, rows, stride, chain->unit, chain->value, live, at, WIDE);
        for (int v = 0; v < WIDE; v++)
            vec_store(to + at + v * LANES, sum[v]);
    }
    for (; at < size; at += LANES) {
        add_rows(sum, rows, stride, chain->unit, chain->value, live, at, 1);
        vec_store(to + at, sum[0]);
    }
}

/* to [row]: the gradient of a dense layer's inputs, given that of its outputs. */
static void back_dense(const struct df_chain *chain, const struct df_chain_layer *l, const float *given,
                       float *to)
{
    const int32_t live = live_values(chain, given, 1, l->stack.outputs);
    sum_rows(chain, l->weight.w, l->stack.filter, live, l->stack.row, to);
}

/* ---- together ------------------------------------------------------------------------------------------ */

static float *output_gradient(const struct df_chain_layer *l, int64_t batch_row)
{
    return l->stack.conv ? l->output_gradient
                         : l->output_gradient + batch_row * df_stack_padded(l->stack.outputs);
}

/* Through a dense layer's ReLU and dropout. */
static void gate(const struct df_chain_layer *l, float *gradient, int64_t row)
{
    const uint8_t *code = l->window_codes + row * l->stack.window_row;
    const float scale = l->keep_scale;
    for (int32_t o = 0; o < l->stack.outputs; o++)
        gradient[o] = code[o] == DF_STACK_DEAD ? 0 : gradient[o] * scale;
}

static void back_conv(const struct df_chain *chain, int32_t i, int64_t row)
{
    const struct df_chain_layer *l = &chain->layer[i];
    back_weights(chain, l, row);
    if (i == 0)
        return;
    const struct df_chain_layer *before = l - 1;
    const int32_t run = before->stack.out_w * before->stack.outputs;
    const float scale = before->keep_scale;
    list_units(&l->stack, &chain->list, l->window_codes + row * l->stack.windows * l->stack.window_row, 0,
               l->stack.out_w * l->stack.outputs);
    memset(l->gradient, 0, (size_t)l->stack.in * sizeof(float));
    back_inputs(&l->stack, &chain->list, &l->tiles, &l->gradient, (const float *const[]){l->output_gradient},
                1);
    for (int32_t y = 0; y < before->stack.out_h; y++) {
        const float *from = l->gradient + (int64_t)(y + l->stack.pad_top) * l->stack.line +
                            (int64_t)l->stack.pad_left * l->stack.channels;
        float *to = before->output_gradient + (int64_t)y * run;
        for (int32_t j = 0; j < run; j++)
            to[j] = from[j] * scale;
    }
}

static void chain_backward(struct df_chain *chain, int64_t row, int64_t batch_row)
{
    for (int32_t i = chain->count - 1; i >= 0; i--) {
        const struct df_chain_layer *l = &chain->layer[i], *before = l - 1;
        if (l->stack.conv) {
            back_conv(chain, i, row);
            continue;
        }
        if (i == 0)
            continue;
        float *to = output_gradient(before, batch_row);
        back_dense(chain, l, output_gradient(l, batch_row), to);
        if (!before->stack.conv) {
            gate(before, to, row);
            continue;
        }
        for (int32_t j = 0; j < l->stack.channels; j++)
            to[j] *= before->keep_scale;
    }
}

#endif
