/* SPDX-License-Identifier: Apache-2.0 */
/* Training on a device that keeps the training set: what a step reads differs from the last one's by three
 * numbers on the device, so that a step can be recorded once and run again and again
 * (host/net/train_whole.c).
 *
 * Shapes  clock I32 [DF_CLOCK_NUMBERS]; samples [n, D], label I32 [n], weight [n]: the set; order I32: the
 * epoch's rows */
#ifndef DF_KERNELS_BATCH_H
#define DF_KERNELS_BATCH_H

#include "call.h"
#include "team.h"

/* Rows and steps of this epoch that are done; steps of the whole restart that are done. */
enum { DF_CLOCK_ROW, DF_CLOCK_TURN, DF_CLOCK_STEP, DF_CLOCK_NUMBERS };

/* batch_take: items are the batch's rows; item i is row order[clock row + i] of the set.
 *   out x [rows, D], label I32 [rows], weight [rows], rate F64 [1] = rates[clock turn], left alone without
 *   rates in samples, labels, weights, order, clock, rates F64 [steps of the epoch]; cols = D
 * Without samples x is left alone: the host has written it. */
DF_FN void df_batch_take_at(const struct df_io *io, int64_t i)
{
    const int32_t *clock = (const int32_t *)io->in[4];
    const int64_t row = ((const int32_t *)io->in[3])[clock[DF_CLOCK_ROW] + i];
    if (io->in[0] != NULL) {
        const df_real *from = (const df_real *)io->in[0] + row * io->cols;
        df_real *x = (df_real *)io->out[0] + i * io->cols;
        DF_EACH(j, io->cols)
            x[j] = from[j];
    }
    if (!DF_ONE)
        return;
    ((int32_t *)io->out[1])[i] = ((const int32_t *)io->in[1])[row];
    ((df_real *)io->out[2])[i] = ((const df_real *)io->in[2])[row];
    if (i == 0 && io->in[5] != NULL)
        *(double *)io->out[3] = ((const double *)io->in[5])[clock[DF_CLOCK_TURN]];
}

/* batch_put: one item, a batch of `cols` rows that is over.
 *   out losses+ [clock row + cols ...] = loss, clock+ goes on   in loss [cols] */
DF_FN void df_batch_put_at(const struct df_io *io, int64_t i)
{
    int32_t *clock = (int32_t *)io->out[1];
    df_real *losses = (df_real *)io->out[0] + clock[DF_CLOCK_ROW];
    (void)i;
    DF_EACH(j, io->cols)
        losses[j] = ((const df_real *)io->in[0])[j];
    DF_SYNC();
    if (DF_ONE) {
        clock[DF_CLOCK_ROW] += (int32_t)io->cols;
        clock[DF_CLOCK_TURN]++;
        clock[DF_CLOCK_STEP]++;
    }
}

#endif
