/* SPDX-License-Identifier: Apache-2.0 */
/* The greedy k-center of a device that keeps the rows (host/strategy/k_center_device.c): the farthest row
 * becomes a centre, all rows meet it, and again. The host learns what was chosen when it asks.
 *
 * Shapes   N rows of D values as columns: h [D, N], so that neighbouring rows are neighbours in memory;
 *          nearest [N] f64, the squared distance to the nearest centre, below 0: not to be chosen (any more);
 *          G = df_centre_groups(N) groups of DF_CENTRE_GROUP rows, farthest [G] i32, -1: nobody is left
 * Order    squared distances: distance.h. Farthest is the largest of nearest, of equal ones the first
 * Work     meet reads all rows once; farthest reads nearest; pick reads a number a group */
#ifndef DF_KERNELS_CENTRE_H
#define DF_KERNELS_CENTRE_H

#include "distance.h"
#include "team.h"

enum { DF_CENTRE_GROUP = 1024 };

DF_FN int64_t df_centre_groups(int64_t rows)
{
    return (rows + DF_CENTRE_GROUP - 1) / DF_CENTRE_GROUP;
}

/* centre_meet: columns are rows.   out nearest+   in h, and either centres [count, D] or choice [1]: the row
 * that is a centre now, below 0: none */
DF_FN void df_centre_meet_at(const struct df_io *io, int64_t row, int64_t col)
{
    const int64_t size = io->p.centre.size, rows = io->cols;
    const df_real *h = (const df_real *)io->in[0], *centres = (const df_real *)io->in[1];
    const int32_t *choice = (const int32_t *)io->in[2];
    double *nearest = (double *)io->out[0] + col, least = *nearest;
    (void)row;
    if (least < 0)
        return;
    if (choice != NULL && choice[0] >= 0) {
        const double distance = df_strided_square_distance(h + col, rows, h + choice[0], rows, size);
        least = distance < least ? distance : least;
    }
    for (int64_t j = 0; centres != NULL && j < io->p.centre.count; j++) {
        const double distance = df_strided_square_distance(h + col, rows, centres + j * size, 1, size);
        least = distance < least ? distance : least;
    }
    *nearest = least;
}

/* centre_farthest: items are groups.   out farthest [G]   in nearest */
DF_FN void df_centre_farthest_at(const struct df_io *io, int64_t i)
{
    const double *nearest = (const double *)io->in[0];
    const int64_t group = DF_CENTRE_GROUP, first = i * group, left = io->p.centre.rows - first;
    int32_t best = -1;
    DF_EACH(j, left < group ? left : group) {
        const int32_t row = (int32_t)(first + j);
        best = df_farther(nearest, best, nearest[row] < 0 ? -1 : row);
    }
    best = df_team_farthest(nearest, best);
    if (DF_ONE)
        ((int32_t *)io->out[0])[i] = best;
}

/* centre_pick: one item.   out choice [1], -1: nobody is left; square [1], how far it was; nearest+, where
 * the choice is not to be chosen again   in farthest */
DF_FN void df_centre_pick_at(const struct df_io *io, int64_t i)
{
    double *nearest = (double *)io->out[2];
    const int32_t *farthest = (const int32_t *)io->in[0];
    int32_t best = -1;
    (void)i;
    DF_EACH(g, df_centre_groups(io->p.centre.rows))
        best = df_farther(nearest, best, farthest[g]);
    best = df_team_farthest(nearest, best);
    const double square = best < 0 ? 0 : nearest[best];
    DF_SYNC();
    if (DF_ONE) {
        ((int32_t *)io->out[0])[0] = best;
        ((double *)io->out[1])[0] = square;
        if (best >= 0)
            nearest[best] = -1;
    }
}

#endif
