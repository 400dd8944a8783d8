/* SPDX-License-Identifier: Apache-2.0 */
/* BADGE's k-means++ (host/strategy/badge.c), on a device, too (choice.h). Row i has the gradient
 * g_i = a_i h_i^T, which nobody forms.
 *
 * Shapes   N rows as columns: a [K, N], h [D, N]; square [N] f64, ||g||^2; nearest [N] f64, the squared
 *          distance to the nearest chosen row; number [N] f64, the row of the pool
 * Draws    a race: row i arrives after -log(1 - u) / nearest, u by (seed of the choice, row of the pool). A
 *          priority is the inverse of that time; where nearest is 0, the negative time itself: behind all
 *          others, in the order of their draws
 * Order    distance.h; the logarithm: logarithm.h */
#ifndef DF_KERNELS_RACE_H
#define DF_KERNELS_RACE_H

#include <math.h>

#include "distance.h"
#include "logarithm.h"
#include "philox.h"

/* DF_STREAM_BADGE of base/rng.h, which kernels cannot include: backend/ref_body.h asserts that they agree. */
enum { DF_PHILOX_BADGE = 20 };

DF_FN double df_badge_priority(double nearest, uint64_t seed, uint64_t number)
{
    uint32_t words[4];
    df_philox(words, seed, DF_PHILOX_BADGE, 0, number);
    const uint64_t bits = (uint64_t)words[1] << 32 | words[0];
    const double wait = 0 - df_log_fraction(1 - (double)(bits >> 11) * 0x1p-53); /* never -0 */
    return nearest > 0 ? nearest / wait : -wait;
}

/* ||g_i - g_j||^2 of the squares of both and (a_i . a_j)(h_i . h_j): not below 0, as a rounded one may be. */
DF_FN double df_badge_distance(double square_i, double square_j, double product)
{
    const double distance = square_i + square_j - 2 * product;
    return distance > 0 ? distance : 0;
}

/* badge_meet: columns are rows.   out nearest+, priority+   in a, h, square, number, and either choice [1]:
 * the row that was chosen, below 0: nobody is left, or other [K + D], other_square [1]: a and h of a row that
 * is not here, and the square of its length */
DF_FN void df_badge_meet_at(const struct df_io *io, int64_t row, int64_t col)
{
    const int64_t rows = io->cols;
    const df_real *a = (const df_real *)io->in[0], *h = (const df_real *)io->in[1];
    const double *square = (const double *)io->in[2], *number = (const double *)io->in[3];
    const int32_t *choice = (const int32_t *)io->in[4];
    const df_real *other = (const df_real *)io->in[5];
    const double *other_square = (const double *)io->in[6];
    double *nearest = (double *)io->out[0] + col, *priority = (double *)io->out[1] + col;
    (void)row;
    if (*priority == -INFINITY || (other == NULL && choice[0] < 0))
        return;
    const int64_t j = other ? 0 : choice[0], step = other ? 1 : rows;
    const df_real *a_j = other ? other : a + j, *h_j = other ? other + io->p.badge.classes : h + j;
    const double product = df_strided_product(a + col, rows, a_j, step, io->p.badge.classes) *
                           df_strided_product(h + col, rows, h_j, step, io->p.badge.size),
                 distance = df_badge_distance(square[col], other ? other_square[0] : square[j], product);
    *nearest = distance < *nearest ? distance : *nearest;
    *priority = df_badge_priority(*nearest, io->p.badge.seed, (uint64_t)number[col]);
}

#endif
