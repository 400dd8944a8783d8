/* SPDX-License-Identifier: Apache-2.0 */
/* Ops over rows: df_<op>_at(io, i) computes row i of [rows, cols].
 *
 * Order   sums over a row are taken in ascending column, in double.
 * Ties    the lowest index attaining the maximum; a NaN never wins (a row of NaN: index 0).
 * Class   U: exp and log in double, rounded once at the end, so that back ends differ by one ulp at most. */
#ifndef DF_KERNELS_ROWS_H
#define DF_KERNELS_ROWS_H

#include <math.h>

#include "call.h"
#include "team.h"

/* sum_k exp(f_k - f_top), in double, ascending k */
DF_FN double df_row_exp_sum(const df_real *row, int32_t count, int32_t top)
{
    double sum = 0;
    for (int32_t k = 0; k < count; k += DF_TEAM) {
        const int32_t own = k + DF_LANE < count ? k + DF_LANE : top;
        sum = df_team_add(sum, exp((double)row[own] - (double)row[top]), count - k);
    }
    return sum;
}

/* softmax_loss   loss [rows] = w (logsumexp(f) - f_label); dlogits [rows, K] = (softmax(f) - onehot) w
 * p.loss.scale
 *   logits f [rows, K], K = p.loss.classes; label I32 [rows]; weight w [rows] or NULL (1)
 * A label outside 0..K-1 (unknown: -1) gives loss 0 and a zero gradient. loss or dlogits may be NULL. */
DF_FN void df_softmax_loss_at(const struct df_io *io, int64_t i)
{
    const int32_t classes = io->p.loss.classes, label = ((const int32_t *)io->in[1])[i];
    const df_real *f = (const df_real *)io->in[0] + i * classes;
    const double weight = io->in[2] != NULL ? (double)((const df_real *)io->in[2])[i] : 1;
    const int known = label >= 0 && label < classes;
    const int32_t top = df_arg_max(f, classes);
    const double sum = known ? df_row_exp_sum(f, classes, top) : 1;
    if (DF_ONE && io->out[0] != NULL)
        ((df_real *)io->out[0])[i] =
            known ? (df_real)(weight * (log(sum) + ((double)f[top] - (double)f[label]))) : 0;
    if (io->out[1] == NULL)
        return;
    df_real *dlogits = (df_real *)io->out[1] + i * classes;
    const double scale = weight * io->p.loss.scale;
    DF_EACH(k, classes) {
        const double p = known ? exp((double)f[k] - (double)f[top]) / sum : 0;
        dlogits[k] = known ? (df_real)((p - (k == label ? 1 : 0)) * scale) : 0;
    }
}

/* predict   label I32 [rows] = argmax; confidence [rows] = the largest softmax value; loss [rows] =
 * cross-entropy against truth I32 [rows], NaN where truth is NULL or outside 0..K-1
 *   logits [rows, K]
 * Each output may be NULL. */
DF_FN void df_predict_at(const struct df_io *io, int64_t i)
{
    const int32_t classes = io->p.loss.classes;
    const df_real *f = (const df_real *)io->in[0] + i * classes;
    const int32_t truth = io->in[1] != NULL ? ((const int32_t *)io->in[1])[i] : -1;
    const int32_t top = df_arg_max(f, classes);
    const double sum = df_row_exp_sum(f, classes, top);
    if (!DF_ONE)
        return;
    if (io->out[0] != NULL)
        ((int32_t *)io->out[0])[i] = top;
    if (io->out[1] != NULL)
        ((df_real *)io->out[1])[i] = (df_real)(1 / sum);
    if (io->out[2] != NULL)
        ((df_real *)io->out[2])[i] = truth >= 0 && truth < classes
                                         ? (df_real)(log(sum) + ((double)f[top] - (double)f[truth]))
                                         : (df_real)NAN;
}

#endif
