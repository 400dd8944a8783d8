/* SPDX-License-Identifier: Apache-2.0 */
/* Own matrix product. Compiled for AVX2, and for AVX-512 by cpu_product_avx512.c.
 *
 * Math     out[i][j] = bias[j] + sum over k of a[i][k] b[k][j]
 * Order    k ascends, one fused multiply-add a term: an element's bits depend on its row of a and its column
 *          of b alone, not on where they stand, how many there are, or how wide a vector is.
 * Work     A tile of ROWS x PANEL sums stays in registers; a panel of b [depth][PANEL] is reused by every
 *          row. */
#include <string.h>

#include "backend/cpu.h"
#include "backend/cpu_vector.h"

#ifndef DF_CPU_PRODUCT
#define DF_CPU_PRODUCT df_cpu_product_avx2
#endif

enum { WIDE = 2, PANEL = WIDE * LANES, ROWS = LANES == 16 ? 12 : 6 };

/* One tile of `rows` rows, from the panel's column 0 on; cols <= PANEL of them are stored. Spare rows of a
 * tile read its last row again and store nothing. */
static inline __attribute__((always_inline)) void tile(const struct df_product *p, const float *panel,
                                                       const float *bias, int64_t row, int rows, int64_t col,
                                                       int64_t cols, const int height)
{
    vec sum[ROWS][WIDE];
    const float *a[ROWS];
#pragma GCC unroll 16
    for (int r = 0; r < height; r++) {
        a[r] = p->a + (row + (r < rows ? r : rows - 1)) * p->a_row;
#pragma GCC unroll 4
        for (int w = 0; w < WIDE; w++)
            sum[r][w] = bias != NULL ? vec_load(bias + w * LANES) : vec_all(0);
    }
    const int64_t a_k = p->a_k;
    for (int64_t k = 0; k < p->depth; k++) {
        vec b[WIDE];
#pragma GCC unroll 4
        for (int w = 0; w < WIDE; w++)
            b[w] = vec_load(panel + k * PANEL + w * LANES);
#pragma GCC unroll 16
        for (int r = 0; r < height; r++) {
            const vec x = vec_all(a[r][k * a_k]);
#pragma GCC unroll 4
            for (int w = 0; w < WIDE; w++)
                sum[r][w] = vec_fma(x, b[w], sum[r][w]);
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < height; r++) {
        float *out = p->out + (row + r) * p->out_row + col;
        if (r >= rows)
            break;
        if (cols == PANEL) {
#pragma GCC unroll 4
            for (int w = 0; w < WIDE; w++)
                vec_store(out + w * LANES, sum[r][w]);
        } else {
            float line[PANEL];
#pragma GCC unroll 4
            for (int w = 0; w < WIDE; w++)
                vec_store(line + w * LANES, sum[r][w]);
            memcpy(out, line, (size_t)cols * sizeof(float));
        }
    }
}

void DF_CPU_PRODUCT(const struct df_product *product)
{
    const struct df_product p = *product;
    for (int64_t col = 0; col < p.cols; col += PANEL) {
        const float *panel = p.b + col * p.depth;
        const float *bias = p.bias != NULL ? p.bias + col : NULL;
        const int64_t cols = p.cols - col < PANEL ? p.cols - col : PANEL;
        int64_t row = 0;
        for (; row + ROWS <= p.rows; row += ROWS)
            tile(&p, panel, bias, row, ROWS, col, cols, ROWS);
        if (row < p.rows)
            tile(&p, panel, bias, row, (int)(p.rows - row), col, cols, ROWS);
    }
}
