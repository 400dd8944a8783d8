/* SPDX-License-Identifier: Apache-2.0 */
/* What badge.c and badge_device.c share. */
#ifndef DF_STRATEGY_BADGE_RACE_H
#define DF_STRATEGY_BADGE_RACE_H

#include "base/rng.h"
#include "strategy/row_loop.h"
#include "strategy/view.h"

/* A chosen gradient by its factors, with D^2 as it was then. */
struct badge_chosen {
    const float *a, *h;
    double square, nearest;
};
struct badge {
    struct df_view *view; /* the candidates here: all, or this rank's */
    struct df_features h;
    const float *logits; /* [n, K] */
    float *a;            /* [n, K] */
    double *square;      /* [n] ||g||^2 */
    double *nearest;     /* [n] D^2 */
    double *priority;    /* [n] the highest is chosen next; -INFINITY: no candidate (any more) */
    int64_t *first;      /* [jobs] of the rows of each; -1: nobody */
    int64_t class_count;
    struct badge_chosen chosen; /* the last one; a NULL: none yet */
    double *packet;             /* in which ranks get the chosen one; NULL: this process is alone */
    uint64_t draw;              /* the seed of this choice */
    struct df_row_loop loop;
};
/* The seed of a choice, from 0; that of the first draws nothing. */
static inline uint64_t df_badge_draw(const struct badge *badge, int64_t choice)
{
    return df_random_child(df_view_seed(badge->view), DF_STREAM_BADGE, (uint64_t)choice);
}

#endif
