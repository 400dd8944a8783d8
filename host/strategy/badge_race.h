/* SPDX-License-Identifier: Apache-2.0 */
/* What badge.c and badge_device.c share. */
#ifndef DF_STRATEGY_BADGE_RACE_H
#define DF_STRATEGY_BADGE_RACE_H

#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "strategy/row_loop.h"
#include "strategy/strategy.h"
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
    int64_t next;               /* of the rows here: what they bid; -1: nobody */
    struct badge_chosen chosen; /* the last one; a NULL: none yet */
    struct df_choices *choices; /* whose scores are filled in */
    uint64_t draw;              /* the seed of this choice */
    struct df_row_loop loop;
};
/* The seed of a choice, from 0; that of the first draws nothing. */
static inline uint64_t df_badge_draw(const struct badge *badge, int64_t choice)
{
    return df_random_child(df_view_seed(badge->view), DF_STREAM_BADGE, (uint64_t)choice);
}
/* What a row is to other ranks (bid.h): square and nearest, then a and h. */
enum { DF_BADGE_HEAD = 2 };
static inline int64_t df_badge_bytes(const struct badge *badge)
{
    return DF_BADGE_HEAD * (int64_t)sizeof(double) +
           (badge->class_count + badge->h.size) * (int64_t)sizeof(float);
}
static inline void df_badge_pack(const struct badge *badge, int64_t i, double nearest, void *row)
{
    double *head = row;
    float *a = (float *)(head + DF_BADGE_HEAD), *h = a + badge->class_count;
    head[0] = badge->square[i];
    head[1] = nearest;
    memcpy(a, badge->a + i * badge->class_count, (size_t)badge->class_count * sizeof *a);
    memcpy(h, badge->h.values + i * badge->h.size, (size_t)badge->h.size * sizeof *h);
}
/* It is what was chosen in this step: its score is the length or the distance. */
static inline void df_badge_unpack(struct badge *badge, int64_t step, const void *row)
{
    const double *head = row;
    const float *a = (const float *)(head + DF_BADGE_HEAD);
    badge->chosen =
        (struct badge_chosen){.a = a, .h = a + badge->class_count, .square = head[0], .nearest = head[1]};
    badge->choices->list[step].score = sqrt(step ? head[1] : head[0]);
}

#endif
