/* SPDX-License-Identifier: Apache-2.0 */
/* One row after the other is chosen on a device that keeps the rows (host/strategy/device_choice.c): each has
 * a priority, the highest is chosen, all rows meet it (centre.h, race.h), and again. The host learns what was
 * chosen when it asks.
 *
 * Shapes   priority [N] f64, never NaN, -INFINITY: not to be chosen (any more); G = df_choice_groups(N)
 *          groups of DF_CHOICE_GROUP rows; best [G] i32, -1: nobody is left
 * Order    the highest priority, of equal ones the first row */
#ifndef DF_KERNELS_CHOICE_H
#define DF_KERNELS_CHOICE_H

#include "team.h"

enum { DF_CHOICE_GROUP = 1024 };

DF_FN int64_t df_choice_groups(int64_t rows)
{
    return (rows + DF_CHOICE_GROUP - 1) / DF_CHOICE_GROUP;
}

/* choice_group: items are groups.   out best [G]   in priority */
DF_FN void df_choice_group_at(const struct df_io *io, int64_t i)
{
    const double *priority = (const double *)io->in[0];
    const int64_t group = DF_CHOICE_GROUP, first = i * group, left = io->p.choice.rows - first;
    int32_t best = -1;
    DF_EACH(j, left < group ? left : group) {
        const int32_t row = (int32_t)(first + j);
        best = df_higher(priority, best, priority[row] == -INFINITY ? -1 : row);
    }
    best = df_team_highest(priority, best);
    if (DF_ONE)
        ((int32_t *)io->out[0])[i] = best;
}

/* choice_pick: one item.   out choice [1], -1: nobody is left; value [1], its priority; priority+, by which
 * it is not to be chosen again   in best */
DF_FN void df_choice_pick_at(const struct df_io *io, int64_t i)
{
    double *priority = (double *)io->out[2];
    const int32_t *best = (const int32_t *)io->in[0];
    int32_t choice = -1;
    (void)i;
    DF_EACH(g, df_choice_groups(io->p.choice.rows))
        choice = df_higher(priority, choice, best[g]);
    choice = df_team_highest(priority, choice);
    const double value = choice < 0 ? -INFINITY : priority[choice];
    DF_SYNC();
    if (DF_ONE) {
        ((int32_t *)io->out[0])[0] = choice;
        ((double *)io->out[1])[0] = value;
        if (choice >= 0)
            priority[choice] = -INFINITY;
    }
}

#endif
