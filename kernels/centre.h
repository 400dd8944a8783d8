/* SPDX-License-Identifier: Apache-2.0 */
/* k-center on a device (choice.h): a row's priority is the squared distance to its nearest centre.
 *
 * Shapes   N rows of D values as columns: h [D, N], so that neighbouring rows are neighbours in memory
 * Order    distance.h */
#ifndef DF_KERNELS_CENTRE_H
#define DF_KERNELS_CENTRE_H

#include <math.h>

#include "distance.h"

/* centre_meet: columns are rows.   out nearest+   in h, and either centres [count, D] or choice [1]: the row
 * that is a centre now, below 0: none */
DF_FN void df_centre_meet_at(const struct df_io *io, int64_t row, int64_t col)
{
    const int64_t size = io->p.centre.size, rows = io->cols;
    const df_real *h = (const df_real *)io->in[0], *centres = (const df_real *)io->in[1];
    const int32_t *choice = (const int32_t *)io->in[2];
    double *nearest = (double *)io->out[0] + col, least = *nearest;
    (void)row;
    if (least == -INFINITY)
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

#endif
