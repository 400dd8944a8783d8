/* SPDX-License-Identifier: Apache-2.0 */
/* SuperDeepFool's projection (Abroshan et al. 2023, arXiv:2303.12481): of all points of the
 * hyperplane that touches the boundary's level set at x, the nearest to x0.
 *
 * Math    w = grad (f_k - f_l) at x = x0 + (1 + overshoot) r, k the class of x:
 *         x0 + ((x - x0).w / ||w||^2) w, that is r = (r.w / ||w||^2) w; in raw units w is multiplied by scale
 *         [D], as deepfool.h does with gradients.
 * Shapes  deepfool.h's; g [rows, D], one gradient a slot of the list.
 * Order   both sums as all D-long sums of deepfool.h, in double; r is rounded once.
 * Traps   w may be 0 or not finite, and r.w may be 0, from where all would begin anew: then there is no
 *         projection, and the rounds end with the nearest point of another class. */
#ifndef DF_KERNELS_PROJECTION_H
#define DF_KERNELS_PROJECTION_H

#include "deepfool.h"

/* r.w, w = g * scale. */
DF_FN double df_projection_along(const df_real *r, const df_real *g, const df_real *scale, int64_t n)
{
    double own[DF_OWN] = {0};
    for (int64_t j = DF_LANE; j < n; j += DF_LANES) {
        const int64_t left = n - j < DF_OWN ? n - j : DF_OWN;
        for (int64_t l = 0; l < left; l++)
            own[l] += (double)r[j + l] * df_element(g, (const df_real *)0, scale, 0, j + l);
    }
    return df_lanes_sum(own);
}

/* deepfool_project: items are CROSSED slots; they become ACTIVE, at the beginning of a round.
 *   out state+ number+ r+   in slots [rows] i32, g [rows, D], scale [D] or absent */
DF_FN void df_deepfool_project_at(const struct df_io *io, int64_t i)
{
    const struct df_deepfool_params *p = &io->p.deepfool;
    const int64_t slot = ((const int32_t *)io->in[0])[i], n = p->size;
    const df_real *g = (const df_real *)io->in[1] + i * n, *scale = (const df_real *)io->in[2];
    int32_t *state = (int32_t *)io->out[0] + slot * DF_SLOT_INTS;
    double *number = (double *)io->out[1] + slot * DF_SLOT_NUMBERS;
    df_real *r = (df_real *)io->out[2] + slot * n;
    double norm = 0;
    const double square = df_sum_of(DF_TERM_SQUARE, g, (const df_real *)0, scale, 0, n, 1, 1);
    const double factor = df_projection_along(r, g, scale, n) / square;
    const int32_t found = square > 0 && isfinite(factor) && factor != 0;
    if (found) {
        DF_EACH(j, n)
            r[j] = (df_real)(factor * df_element(g, (const df_real *)0, scale, 0, j));
        DF_SYNC();
        norm = df_norm(r, (const df_real *)0, (const df_real *)0, 0, n, p->p);
    }
    DF_SYNC();
    if (!DF_ONE)
        return;
    state[DF_SLOT_STATUS] = DF_SLOT_ACTIVE;
    if (!found) {
        state[DF_SLOT_ROUND] = p->rounds; /* the next look is the last one */
        return;
    }
    state[DF_SLOT_ROUND]++;
    state[DF_SLOT_STEPS] = 0;
    number[DF_SLOT_NORM] = norm;
}

#endif
