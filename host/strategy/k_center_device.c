/* SPDX-License-Identifier: Apache-2.0 */
/* Rows lie on the device in the order in which ties are broken: of equal rows the first wins there. */
#include "strategy/k_center_device.h"

#include <math.h>
#include <stdlib.h>

#include "backend/op_call.h"
#include "base/context.h"
#include "base/log.h"
#include "base/memory.h"
#include "centre.h" /* kernels */
#include "score/row_values.h"
#include "strategy/rank.h"

enum {
    COLUMNS = 16,
    CENTRES = 64,
    STEPS = 64
}; /* of the features sent at a time; centres met, steps asked */

/* Where a row is on the device. */
struct place {
    uint64_t tie;
    int64_t candidate;
};

struct on_device {
    const struct df_k_center_among *among;
    struct df_device *device;
    struct place *place;                                          /* [n] */
    struct df_span h, nearest, farthest, choice, square, centres; /* choice, square [STEPS] */
    struct df_progress progress;
};

static int compare_places(const void *a_, const void *b_)
{
    const struct place *a = a_, *b = b_;
    if (a->tie != b->tie)
        return a->tie < b->tie ? -1 : 1;
    return (a->candidate > b->candidate) - (a->candidate < b->candidate);
}

static dfal_status sort_rows(struct on_device *o)
{
    const struct df_feature_rows *from = &o->among->from;
    DF_TRY(df_alloc(&o->place, from->h.count, sizeof *o->place));
    for (int64_t i = 0; i < from->h.count; i++)
        o->place[i] = (struct place){df_tie(from->seed, from->rows[i]), i};
    qsort(o->place, (size_t)from->h.count, sizeof *o->place, compare_places);
    return DFAL_OK;
}

static const float *row_of(const struct on_device *o, int64_t place)
{
    const struct df_features *h = &o->among->from.h;
    return h->values + o->place[place].candidate * h->size;
}

/* Rows become columns: as many of them at a time as a line of the cache has values. */
static dfal_status send_rows(struct on_device *o)
{
    const int64_t n = o->among->from.h.count, size = o->among->from.h.size;
    float *columns;
    dfal_status status = DFAL_OK;
    DF_TRY(df_alloc(&columns, n * COLUMNS, sizeof *columns));
    for (int64_t begin = 0; begin < size && status == DFAL_OK; begin += COLUMNS) {
        const int64_t count = size - begin < COLUMNS ? size - begin : COLUMNS;
        for (int64_t i = 0; i < n; i++)
            for (int64_t k = 0; k < count; k++)
                columns[k * n + i] = row_of(o, i)[begin + k];
        status = df_write(o->device, 0, df_at(o->h, begin * n), columns, count * n);
    }
    df_free(columns);
    return status;
}

/* Nobody has met a centre; who is not finite is not to be chosen. */
static dfal_status send_nearest(struct on_device *o, int64_t *nonfinite)
{
    const int64_t n = o->among->from.h.count;
    double *nearest;
    DF_TRY(df_alloc(&nearest, n, sizeof *nearest));
    for (int64_t i = 0; i < n; i++) {
        const bool finite = df_row_is_finite(row_of(o, i), o->among->from.h.size);
        nearest[i] = finite ? (double)INFINITY : -1;
        *nonfinite += !finite;
    }
    const dfal_status status = df_write(o->device, 0, o->nearest, nearest, n);
    df_free(nearest);
    return status;
}

static dfal_status open_device(struct on_device *o)
{
    const int64_t n = o->among->from.h.count, size = o->among->from.h.size;
    DF_TRY(df_buffer_new(o->device, &o->h, DF_TYPE_REAL, n * size));
    DF_TRY(df_buffer_new(o->device, &o->nearest, DF_TYPE_F64, n));
    DF_TRY(df_buffer_new(o->device, &o->farthest, DF_TYPE_I32, df_centre_groups(n)));
    DF_TRY(df_buffer_new(o->device, &o->choice, DF_TYPE_I32, STEPS));
    DF_TRY(df_buffer_new(o->device, &o->square, DF_TYPE_F64, STEPS));
    return df_buffer_new(o->device, &o->centres, DF_TYPE_REAL, CENTRES * size);
}

static void close_device(struct on_device *o)
{
    struct df_span *const spans[] = {&o->h, &o->nearest, &o->farthest, &o->choice, &o->square, &o->centres};
    for (size_t i = 0; i < sizeof spans / sizeof spans[0]; i++)
        df_buffer_drop(o->device, spans[i]);
    df_free(o->place);
}

/* All rows meet `count` centres that were sent, or the one that was chosen in a step. */
static dfal_status meet(struct on_device *o, int64_t count, struct df_span choice)
{
    const struct df_features *h = &o->among->from.h;
    const struct df_span centres = count ? o->centres : (struct df_span){0};
    const struct df_call call = DF_CALL(centre_meet, .rows = 1, .cols = h->count, .nearest = o->nearest,
                                        .h = o->h, .centres = centres, .choice = choice,
                                        .p.centre = {.rows = h->count, .size = h->size, .count = count});
    return df_call_run(o->device, 0, &call);
}

/* Those that were there before. */
static dfal_status meet_before(struct on_device *o)
{
    const struct df_features *before = &o->among->before;
    int64_t count = 0;
    for (int64_t j = 0; j < before->count; j++) {
        const float *centre = before->values + j * before->size;
        if (!df_row_is_finite(centre, before->size))
            continue;
        DF_TRY(df_write(o->device, 0, df_at(o->centres, count * before->size), centre, before->size));
        if (++count < CENTRES)
            continue;
        DF_TRY(df_context_check_stop(o->among->from.context));
        DF_TRY(meet(o, count, (struct df_span){0}));
        df_progress_add(&o->progress, count * o->among->from.h.count, NULL);
        count = 0;
    }
    return count ? meet(o, count, (struct df_span){0}) : DFAL_OK;
}

static dfal_status step(struct on_device *o, int64_t at)
{
    const int64_t n = o->among->from.h.count;
    const struct df_span choice = df_at(o->choice, at);
    const struct df_call farthest = DF_CALL(centre_farthest, .rows = df_centre_groups(n), .cols = 1,
                                            .farthest = o->farthest, .nearest = o->nearest,
                                            .p.centre = {.rows = n, .size = o->among->from.h.size}),
                         pick = DF_CALL(centre_pick, .rows = 1, .cols = 1, .choice = choice,
                                        .square = df_at(o->square, at), .nearest = o->nearest,
                                        .farthest = o->farthest,
                                        .p.centre = {.rows = n, .size = o->among->from.h.size});
    DF_TRY(df_call_run(o->device, 0, &farthest));
    DF_TRY(df_call_run(o->device, 0, &pick));
    return meet(o, 0, choice);
}

/* Some steps, then what they chose; *over: nobody is left. */
static dfal_status choose(struct on_device *o, int64_t count, struct df_choices *choices, bool *over)
{
    int32_t choice[STEPS];
    double square[STEPS];
    DF_TRY(df_context_check_stop(o->among->from.context));
    for (int64_t at = 0; at < count; at++)
        DF_TRY(step(o, at));
    DF_TRY(df_read(o->device, 0, choice, o->choice, count));
    DF_TRY(df_read(o->device, 0, square, o->square, count));
    for (int64_t at = 0; at < count && !*over; at++) {
        *over = choice[at] < 0;
        if (!*over)
            choices->list[choices->count++] =
                (struct df_choice){.candidate = o->place[choice[at]].candidate, .score = sqrt(square[at])};
    }
    df_progress_add(&o->progress, count * o->among->from.h.count, NULL);
    return DFAL_OK;
}

static dfal_status run(struct on_device *o, int64_t q, struct df_choices *choices)
{
    bool over = false;
    DF_TRY(sort_rows(o));
    DF_TRY(open_device(o));
    DF_TRY(send_rows(o));
    DF_TRY(send_nearest(o, &choices->nonfinite));
    DF_TRY(meet_before(o));
    while (choices->count < q && !over) {
        const int64_t left = q - choices->count;
        DF_TRY(choose(o, left < STEPS ? left : STEPS, choices, &over));
    }
    return DFAL_OK;
}

dfal_status df_k_center_on_device(struct df_device *device, const struct df_k_center_among *among, int64_t q,
                                  struct df_choices *choices)
{
    struct on_device o = {.among = among, .device = device};
    choices->count = choices->nonfinite = 0;
    df_progress_begin(&o.progress, among->from.context, "select.distances", "distances",
                      among->from.h.count * (among->before.count + q), 0);
    const dfal_status status = run(&o, q, choices);
    df_progress_end(&o.progress);
    close_device(&o);
    return status;
}

dfal_status df_k_center_choose(struct df_view *view, const struct df_k_center_among *among, int64_t q,
                               struct df_choices *choices)
{
    struct df_device *device = df_view_device(view);
    if (device->wide && among->from.h.count <= INT32_MAX) {
        char message[DF_MESSAGE_SIZE];
        df_message_get(message);
        const dfal_status status = df_k_center_on_device(device, among, q, choices);
        if (status != DFAL_E_MEMORY)
            return status;
        df_message_set(message);
    }
    return df_k_center_greedy(among, q, choices);
}
