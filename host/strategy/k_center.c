/* SPDX-License-Identifier: Apache-2.0 */
/* Traps    who is chosen has distance 0 to itself and stands for no distance any more; equal rows may follow
 *          it, with distance 0 */
#include "strategy/k_center.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "score/row_values.h"
#include "strategy/rank.h"
#include "strategy/row_distance.h"

enum { GONE = -1, ROWS = 512 }; /* rows of a job */

static int64_t jobs_of(const struct df_k_center *center)
{
    return df_row_blocks(center->among.from.h.count, ROWS);
}

static void add_centre(struct df_k_center *center, const float *centre, struct df_row_block block)
{
    const struct df_features *h = &center->among.from.h;
    for (int64_t i = block.begin; i < block.end; i++) {
        if (center->nearest[i] < 0)
            continue;
        const double distance = df_square_distance(h->values + i * h->size, centre, h->size);
        if (distance < center->nearest[i])
            center->nearest[i] = distance;
    }
}

static uint64_t tie_of(const struct df_k_center *center, int64_t i)
{
    return df_tie(center->among.from.seed, center->among.from.rows[i]);
}

/* The farther one of a candidate and the best before it, -1: none yet. */
static int64_t farther(const struct df_k_center *center, int64_t best, int64_t i)
{
    if (i < 0 || center->nearest[i] < 0)
        return best;
    if (best < 0 || center->nearest[i] > center->nearest[best])
        return i;
    const bool tie = center->nearest[i] == center->nearest[best];
    return tie && tie_of(center, i) < tie_of(center, best) ? i : best;
}

/* The rows of a job meet the new centres. */
static int64_t meet(void *user, int64_t job)
{
    struct df_k_center *center = user;
    const struct df_features *centres = &center->added;
    const struct df_row_block block = df_row_block(center->among.from.h.count, ROWS, job);
    int64_t best = -1;
    for (int64_t j = 0; j < centres->count; j++) {
        const float *centre = centres->values + j * centres->size;
        if (df_row_is_finite(centre, centres->size))
            add_centre(center, centre, block);
    }
    for (int64_t i = block.begin; i < block.end; i++)
        best = farther(center, best, i);
    center->farthest[job] = best;
    return (block.end - block.begin) * centres->count;
}

/* All rows meet new centres, and the farthest of them is found. */
static dfal_status add(struct df_k_center *center, const struct df_features *centres)
{
    center->added = *centres;
    DF_TRY(df_row_loop_run(&center->loop, meet, center, jobs_of(center)));
    center->next = -1;
    for (int64_t job = 0; job < jobs_of(center); job++)
        center->next = farther(center, center->next, center->farthest[job]);
    return DFAL_OK;
}

dfal_status df_k_center_of_view(struct df_k_center_among *among, struct df_view *view, const char *node)
{
    *among = (struct df_k_center_among){
        .from = {.context = df_view_context(view), .seed = df_view_seed(view), .rows = df_view_rows(view)}};
    DF_TRY(df_view_labelled_features(view, node, &among->before));
    return df_view_features(view, node, &among->from.h);
}

dfal_status df_k_center_begin(struct df_k_center *center, const struct df_k_center_among *among,
                              int64_t picks)
{
    *center = (struct df_k_center){.among = *among};
    const struct df_features *h = &among->from.h;
    DF_TRY(df_alloc(&center->nearest, h->count, sizeof *center->nearest));
    DF_TRY(df_alloc(&center->farthest, jobs_of(center), sizeof *center->farthest));
    for (int64_t i = 0; i < h->count; i++) {
        const bool finite = df_row_is_finite(h->values + i * h->size, h->size);
        center->nearest[i] = finite ? INFINITY : GONE;
        center->nonfinite += !finite;
    }
    DF_TRY(df_row_loop_begin(&center->loop, among->from.context, h->count * (among->before.count + picks)));
    return add(center, &among->before);
}

dfal_status df_k_center_restart(struct df_k_center *center, const double *nearest)
{
    const struct df_features none = {.size = center->among.from.h.size,
                                     .values = center->among.from.h.values};
    memcpy(center->nearest, nearest, (size_t)center->among.from.h.count * sizeof *nearest);
    return add(center, &none);
}

dfal_status df_k_center_meet(struct df_k_center *center, const float *centre)
{
    const struct df_features one = {.count = 1, .size = center->among.from.h.size, .values = centre};
    return add(center, &one);
}

dfal_status df_k_center_pick(struct df_k_center *center)
{
    const struct df_features *h = &center->among.from.h;
    center->nearest[center->next] = GONE;
    return df_k_center_meet(center, h->values + center->next * h->size);
}

void df_k_center_end(struct df_k_center *center)
{
    df_row_loop_end(&center->loop);
    df_free(center->nearest);
    df_free(center->farthest);
    *center = (struct df_k_center){0};
}

dfal_status df_k_center_greedy(const struct df_k_center_among *among, int64_t q, struct df_choices *choices)
{
    struct df_k_center center = {0};
    dfal_status status;
    choices->count = choices->nonfinite = 0;
    DF_TRY_TO(done, status, df_k_center_begin(&center, among, q));
    choices->nonfinite = center.nonfinite;
    while (choices->count < q && center.next >= 0) {
        choices->list[choices->count++] =
            (struct df_choice){.candidate = center.next, .score = sqrt(center.nearest[center.next])};
        DF_TRY_TO(done, status, df_k_center_pick(&center));
    }
done:
    df_k_center_end(&center);
    return status;
}
