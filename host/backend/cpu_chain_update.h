/* SPDX-License-Identifier: Apache-2.0 */
/* A chain's optimiser. The gradient of a dense layer is the optimiser's input while it is in registers: it is
 * never stored.
 *
 * Order    a gradient's sum runs over the batch's rows, ascending, those left out whose factor is 0; what a
 *          pair's is taken apart into (cpu_chain.h), over hidden units, then positions or channels, ascending
 * Source   kernels/pointwise.h: the same operations, so a parameter gets the same bits from the same
 * gradient */
#ifndef DF_BACKEND_CPU_CHAIN_UPDATE_H
#define DF_BACKEND_CPU_CHAIN_UPDATE_H

#include "backend/cpu_chain_backward.h"

/* ---- steps --------------------------------------------------------------------------------------------- */

struct rates {
    bool sgd;
    vec rate, b1, b2, c1, c2, epsilon, momentum;
};

static struct rates wide_rates(const struct df_chain_rates *rates)
{
    return (struct rates){.sgd = rates->sgd,
                          .rate = vec_all(rates->rate),
                          .b1 = vec_all(rates->b1),
                          .b2 = vec_all(rates->b2),
                          .c1 = vec_all(rates->c1),
                          .c2 = vec_all(rates->c2),
                          .epsilon = vec_all(rates->epsilon),
                          .momentum = vec_all(rates->momentum)};
}

/* A vector of parameters from `at` on. */
INLINE void step_vector(const struct rates *r, const struct df_chain_values *values, int64_t at, vec gradient)
{
    float *w = values->w + at, *m = values->m + at, *v = values->v + at;
    if (r->sgd) {
        const vec velocity = vec_add(vec_mul(r->momentum, vec_load(m)), gradient);
        vec_store(m, velocity);
        vec_store(w, vec_sub(vec_load(w), vec_mul(r->rate, velocity)));
        return;
    }
    const vec first = vec_add(vec_mul(r->b1, vec_load(m)), vec_mul(r->c1, gradient));
    const vec second = vec_add(vec_mul(r->b2, vec_load(v)), vec_mul(r->c2, vec_mul(gradient, gradient)));
    vec_store(m, first);
    vec_store(v, second);
    vec_store(w,
              vec_sub(vec_load(w), vec_div(vec_mul(r->rate, first), vec_add(vec_sqrt(second), r->epsilon))));
}

static void step_values(const struct rates *r, const struct df_chain_values *values, const float *gradient)
{
    for (int64_t i = 0; i < values->count; i += LANES)
        step_vector(r, values, i, vec_load(gradient + i));
}

/* ---- convolutions -------------------------------------------------------------------------------------- */

/* What stands behind a row of weights has gathered inputs of other pixels. */
static void clear_padding(const struct df_chain_layer *l)
{
    const int32_t run = l->stack.kernel_w * l->stack.channels;
    for (int64_t r = 0; r < (int64_t)l->stack.outputs * l->stack.kernel_h; r++)
        memset(l->weight_gradient + r * l->stack.row + run, 0, (size_t)(l->stack.row - run) * sizeof(float));
}

static void update_conv(struct df_chain_layer *l, const struct rates *r)
{
    clear_padding(l);
    step_values(r, &l->weight, l->weight_gradient);
}

/* ---- products ------------------------------------------------------------------------------------------ */

/* db [outputs], a sum over the batch. */
static void sum_biases(struct df_chain_layer *l, int64_t rows)
{
    const int32_t outputs = df_stack_padded(l->stack.outputs);
    for (int32_t o = 0; o < outputs; o += LANES) {
        vec sum = vec_zero();
        for (int64_t i = 0; i < rows; i++)
            sum = vec_add(sum, vec_load(l->output_gradient + i * outputs + o));
        vec_store(l->bias_gradient + o, sum);
    }
}

static int32_t live_rows(const struct df_chain *chain, const struct df_chain_layer *l, int32_t output,
                         int64_t rows)
{
    return live_values(chain, l->output_gradient + output, df_stack_padded(l->stack.outputs), rows);
}

static void update_dense(const struct df_chain *chain, struct df_chain_layer *l, int64_t rows,
                         const struct rates *r)
{
    vec sum[WIDE];
    for (int32_t o = 0; o < l->stack.outputs; o++) {
        const int32_t live = live_rows(chain, l, o, rows);
        const int64_t begin = (int64_t)o * l->stack.filter;
        int32_t at = 0;
        for (; at + WIDE * LANES <= l->stack.row; at += WIDE * LANES) {
            add_rows(sum, l->rows, l->stride, chain->unit, chain->value, live, at, WIDE);
            for (int v = 0; v < WIDE; v++)
                step_vector(r, &l->weight, begin + at + v * LANES, sum[v]);
        }
        for (; at < l->stack.row; at += LANES) {
            add_rows(sum, l->rows, l->stride, chain->unit, chain->value, live, at, 1);
            step_vector(r, &l->weight, begin + at, sum[0]);
        }
    }
}

/* ---- pairs --------------------------------------------------------------------------------------------- */

/* Vectors of 16 columns; rows of a tile of sums, of one of the merged product. */
enum { QUAD = 16 / LANES, TOGETHER = 8, MERGED = LANES == 16 ? 16 : 4 };

struct left {
    const float *at;
    int64_t row, term;
};

/* sum[i] [16] += over `depth` terms k of left (i, k) times 16 floats of right from right + k right_row on. */
INLINE void multiply(vec sum[][QUAD], struct left left, const float *right, int64_t right_row, int32_t depth,
                     const int ROWS)
{
    for (int32_t k = 0; k < depth; k++)
#pragma GCC unroll 2
        for (int v = 0; v < QUAD; v++) {
            const vec x = vec_load(right + k * right_row + v * LANES);
#pragma GCC unroll 16
            for (int i = 0; i < ROWS; i++)
                sum[i][v] = vec_fma(vec_all(left.at[i * left.row + k * left.term]), x, sum[i][v]);
        }
}

/* M of one hidden unit into block and turned. */
static void pair_gradient(const struct df_chain *chain, const struct df_chain_layer *l, int32_t hidden,
                          int64_t rows)
{
    struct df_chain_pair *pair = l->pair;
    const int32_t live = live_rows(chain, l, hidden, rows);
    float *to = pair->channels == pair->wide_c ? pair->block : pair->line;
    sum_rows(chain, l->rows, l->stride, live, l->stack.row, to);
    for (int32_t p = 0; to != pair->block && p < pair->positions; p++)
        memcpy(pair->block + (int64_t)p * pair->wide_c, to + (int64_t)p * pair->channels,
               (size_t)pair->channels * sizeof(float));
    for (int32_t p = 0; p < pair->wide_p; p += 8)
        for (int32_t c = 0; c < pair->wide_c; c += 8)
            transpose_8x8(pair->turned + (int64_t)c * pair->wide_p + p, pair->wide_p,
                          pair->block + (int64_t)p * pair->wide_c + c, pair->wide_c);
}

/* dconv of filters [k, k + ROWS). */
INLINE void take_conv(struct df_chain_pair *pair, const float *dense, int32_t k, const int ROWS)
{
    const struct left left = {dense + (int64_t)k * pair->wide_p, pair->wide_p, 1};
    for (int32_t c = 0; c < pair->wide_c; c += 16) {
        float *to = pair->conv_gradient + (int64_t)k * pair->wide_c + c;
        vec sum[TOGETHER][QUAD];
        for (int i = 0; i < ROWS; i++)
            for (int v = 0; v < QUAD; v++)
                sum[i][v] = vec_load(to + (int64_t)i * pair->wide_c + v * LANES);
        multiply(sum, left, pair->block + c, pair->wide_c, pair->positions, ROWS);
        for (int i = 0; i < ROWS; i++)
            for (int v = 0; v < QUAD; v++)
                vec_store(to + (int64_t)i * pair->wide_c + v * LANES, sum[i][v]);
    }
}

/* ddense of filters [k, k + ROWS), which the optimiser takes; bias_sum [mid][wide_p] gets what dbconv
 * sums. */
INLINE void take_dense(struct df_chain_pair *pair, const struct rates *r, int64_t begin, int32_t k, float db,
                       const int ROWS)
{
    const float *biases = pair->conv.w + (int64_t)pair->mid * pair->wide_c;
    const struct left left = {pair->conv.w + (int64_t)k * pair->wide_c, pair->wide_c, 1};
    for (int32_t p = 0; p < pair->wide_p; p += 16) {
        vec sum[TOGETHER][QUAD];
        for (int i = 0; i < ROWS; i++)
            for (int v = 0; v < QUAD; v++)
                sum[i][v] = vec_mul(vec_all(biases[k + i] * db), vec_load(pair->inside + p + v * LANES));
        multiply(sum, left, pair->turned + p, pair->wide_p, pair->channels, ROWS);
        for (int i = 0; i < ROWS; i++)
            for (int v = 0; v < QUAD; v++) {
                const int64_t at = (int64_t)(k + i) * pair->wide_p + p + v * LANES;
                float *bias_sum = pair->bias_sum + at;
                vec_store(bias_sum,
                          vec_fma(vec_all(db), vec_load(pair->dense.w + begin + at), vec_load(bias_sum)));
                step_vector(r, &pair->dense, begin + at, sum[i][v]);
            }
    }
}

/* One hidden unit of the product from the pair. */
INLINE void merge_positions(const struct df_chain_pair *pair, const float *dense, float *to, int32_t p,
                            const int ROWS)
{
    const struct left left = {dense + p, 1, pair->wide_p};
    for (int32_t c = 0; c < pair->wide_c; c += 16) {
        float tile[MERGED][16];
        const int32_t count = pair->channels - c < 16 ? pair->channels - c : 16;
        vec sum[MERGED][QUAD];
        for (int i = 0; i < ROWS; i++)
            for (int v = 0; v < QUAD; v++)
                sum[i][v] = vec_zero();
        multiply(sum, left, pair->conv.w + c, pair->wide_c, pair->mid, ROWS);
        for (int i = 0; i < ROWS; i++) {
            for (int v = 0; v < QUAD; v++)
                vec_store(tile[i] + v * LANES, sum[i][v]);
            memcpy(to + (int64_t)(p + i) * pair->channels + c, tile[i], (size_t)count * sizeof(float));
        }
    }
}

/* b = bdense + sum over k of bconv[k] times the sum over p of dense[k][p]. */
static float merged_bias(const struct df_chain_pair *pair, const float *dense, int32_t hidden)
{
    const float *biases = pair->conv.w + (int64_t)pair->mid * pair->wide_c;
    float bias = pair->bias.w[hidden];
    for (int32_t p = 0; p < pair->wide_p; p += 16) {
        float line[16];
        vec sum[QUAD];
        for (int v = 0; v < QUAD; v++)
            sum[v] = vec_zero();
        for (int32_t k = 0; k < pair->mid; k++)
            for (int v = 0; v < QUAD; v++)
                sum[v] = vec_fma(vec_all(biases[k]),
                                 vec_load(dense + (int64_t)k * pair->wide_p + p + v * LANES), sum[v]);
        for (int v = 0; v < QUAD; v++)
            vec_store(line + v * LANES, sum[v]);
        for (int i = 0; i < 16; i++)
            bias += line[i];
    }
    return bias;
}

static void merge_pair(struct df_chain_layer *l)
{
    const struct df_chain_pair *pair = l->pair;
    for (int32_t h = l->stack.outputs - 1; h >= 0;
         h--) { /* the last ones are still in a cache, as the first will be */
        const float *dense = pair->dense.w + (int64_t)h * pair->mid * pair->wide_p;
        float *to = l->weight.w + (int64_t)h * l->stack.filter;
        int32_t p = 0;
        for (; p + MERGED <= pair->positions; p += MERGED)
            merge_positions(pair, dense, to, p, MERGED);
        for (; p < pair->positions; p++)
            merge_positions(pair, dense, to, p, 1);
        l->bias.w[h] = merged_bias(pair, dense, h);
    }
}

static void update_pair(const struct df_chain *chain, struct df_chain_layer *l, int64_t rows,
                        const struct rates *r)
{
    struct df_chain_pair *pair = l->pair;
    const int64_t size = (int64_t)pair->mid * pair->wide_p;
    float *dbconv = pair->conv_gradient + (int64_t)pair->mid * pair->wide_c;
    memset(pair->conv_gradient, 0, (size_t)pair->conv.count * sizeof(float));
    memset(pair->bias_sum, 0, (size_t)size * sizeof(float));
    for (int32_t h = 0; h < l->stack.outputs; h++) {
        const float db = l->bias_gradient[h];
        const float *dense = pair->dense.w + h * size;
        int32_t k = 0;
        pair_gradient(chain, l, h, rows);
        for (; k + TOGETHER <= pair->mid; k += TOGETHER) {
            take_conv(pair, dense, k, TOGETHER);
            take_dense(pair, r, h * size, k, db, TOGETHER);
        }
        for (; k < pair->mid; k++) {
            take_conv(pair, dense, k, 1);
            take_dense(pair, r, h * size, k, db, 1);
        }
    }
    for (int32_t k = 0; k < pair->mid; k++)
        for (int32_t p = 0; p < pair->positions; p++)
            dbconv[k] += pair->bias_sum[(int64_t)k * pair->wide_p + p];
    step_values(r, &pair->conv, pair->conv_gradient);
    step_values(r, &pair->bias, l->bias_gradient);
}

/* ---- together ------------------------------------------------------------------------------------------ */

static void chain_prepare(struct df_chain *chain)
{
    for (int32_t i = 0; i < chain->count; i++) {
        struct df_chain_layer *l = &chain->layer[i];
        if (l->stack.conv && i > 0)
            df_stack_turn(&l->stack);
        else if (l->pair)
            merge_pair(l);
    }
}

static void chain_update(struct df_chain *chain, int64_t rows, const struct df_chain_rates *given)
{
    const struct rates r = wide_rates(given);
    for (int32_t i = chain->count - 1; i >= 0; i--) {
        struct df_chain_layer *l = &chain->layer[i];
        if (!l->stack.conv)
            sum_biases(l, rows);
        if (l->pair) {
            update_pair(chain, l, rows, &r);
            continue;
        }
        if (l->stack.conv)
            update_conv(l, &r);
        else
            update_dense(chain, l, rows, &r);
        step_values(&r, &l->bias, l->bias_gradient);
    }
    chain_prepare(chain);
}

#endif
