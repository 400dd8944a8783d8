/* SPDX-License-Identifier: Apache-2.0 */
#include "strategy/device_choice.h"

#include <stdlib.h>

#include "backend/op_call.h"
#include "base/context.h"
#include "base/memory.h"
#include "choice.h" /* kernels */
#include "strategy/rank.h"

enum { COLUMNS = 16, STEPS = 64 }; /* sent at a time; before the host asks what was chosen */

bool df_device_choice_pays(const struct df_view *view, int64_t count)
{
    return df_view_device(view)->wide && count > 0 && count <= INT32_MAX;
}

static int compare_places(const void *a_, const void *b_)
{
    const struct df_device_place *a = a_, *b = b_;
    if (a->tie != b->tie)
        return a->tie < b->tie ? -1 : 1;
    return (a->candidate > b->candidate) - (a->candidate < b->candidate);
}

dfal_status df_device_choice_open(struct df_device_choice *choice, struct dfal_context *context,
                                  struct df_device *device, uint64_t seed, const int64_t *rows, int64_t count,
                                  int64_t distances)
{
    *choice = (struct df_device_choice){.context = context, .device = device, .count = count};
    df_progress_begin(&choice->progress, context, "select.distances", "distances", distances, 0);
    DF_TRY(df_alloc(&choice->place, count, sizeof *choice->place));
    for (int64_t i = 0; i < count; i++)
        choice->place[i] = (struct df_device_place){df_tie(seed, rows[i]), i};
    qsort(choice->place, (size_t)count, sizeof *choice->place, compare_places);
    DF_TRY(df_buffer_new(device, &choice->priority, DF_TYPE_F64, count));
    DF_TRY(df_buffer_new(device, &choice->best, DF_TYPE_I32, df_choice_groups(count)));
    DF_TRY(df_buffer_new(device, &choice->choice, DF_TYPE_I32, STEPS));
    return df_buffer_new(device, &choice->value, DF_TYPE_F64, STEPS);
}

void df_device_choice_close(struct df_device_choice *choice)
{
    if (!choice->device)
        return;
    df_progress_end(&choice->progress);
    df_buffer_drop(choice->device, &choice->priority);
    df_buffer_drop(choice->device, &choice->best);
    df_buffer_drop(choice->device, &choice->choice);
    df_buffer_drop(choice->device, &choice->value);
    df_free(choice->place);
}

/* As many columns at a time as a line of the cache has values of a row. */
dfal_status df_device_choice_columns(struct df_device_choice *choice, struct df_span *out,
                                     const float *values, int64_t size)
{
    const int64_t n = choice->count;
    float *columns;
    dfal_status status = DFAL_OK;
    DF_TRY(df_buffer_new(choice->device, out, DF_TYPE_REAL, n * size));
    DF_TRY(df_alloc(&columns, n * COLUMNS, sizeof *columns));
    for (int64_t begin = 0; begin < size && status == DFAL_OK; begin += COLUMNS) {
        const int64_t count = size - begin < COLUMNS ? size - begin : COLUMNS;
        for (int64_t i = 0; i < n; i++) {
            const float *row = values + choice->place[i].candidate * size + begin;
            for (int64_t k = 0; k < count; k++)
                columns[k * n + i] = row[k];
        }
        status = df_write(choice->device, 0, df_at(*out, begin * n), columns, count * n);
    }
    df_free(columns);
    return status;
}

dfal_status df_device_choice_send(struct df_device_choice *choice, struct df_span *to, const double *numbers)
{
    double *placed;
    if (!to->buffer)
        DF_TRY(df_buffer_new(choice->device, to, DF_TYPE_F64, choice->count));
    DF_TRY(df_alloc(&placed, choice->count, sizeof *placed));
    for (int64_t i = 0; i < choice->count; i++)
        placed[i] = numbers[choice->place[i].candidate];
    const dfal_status status = df_write(choice->device, 0, *to, placed, choice->count);
    df_free(placed);
    return status;
}

dfal_status df_device_choice_fetch(struct df_device_choice *choice, double *numbers, struct df_span from)
{
    double *placed;
    DF_TRY(df_alloc(&placed, choice->count, sizeof *placed));
    const dfal_status status = df_read(choice->device, 0, placed, from, choice->count);
    for (int64_t i = 0; i < choice->count && status == DFAL_OK; i++)
        numbers[choice->place[i].candidate] = placed[i];
    df_free(placed);
    return status;
}

static dfal_status pick(struct df_device_choice *c, int64_t at)
{
    const struct df_call group = DF_CALL(choice_group, .rows = df_choice_groups(c->count), .cols = 1,
                                         .best = c->best, .priority = c->priority, .p.choice.rows = c->count),
                         pick = DF_CALL(choice_pick, .rows = 1, .cols = 1, .choice = df_at(c->choice, at),
                                        .value = df_at(c->value, at), .priority = c->priority,
                                        .best = c->best, .p.choice.rows = c->count);
    DF_TRY(df_call_run(c->device, 0, &group));
    return df_call_run(c->device, 0, &pick);
}

/* What the last `count` steps have chosen; *over: nobody is left. */
static dfal_status take(struct df_device_choice *c, int64_t count, struct df_choices *choices, bool *over)
{
    int32_t chosen[STEPS];
    double value[STEPS];
    DF_TRY(df_read(c->device, 0, chosen, c->choice, count));
    DF_TRY(df_read(c->device, 0, value, c->value, count));
    for (int64_t at = 0; at < count && !*over; at++) {
        *over = chosen[at] < 0;
        if (!*over)
            choices->list[choices->count++] =
                (struct df_choice){.candidate = c->place[chosen[at]].candidate, .score = value[at]};
    }
    df_progress_add(&c->progress, count * c->count, NULL);
    return DFAL_OK;
}

dfal_status df_device_choice_run(struct df_device_choice *choice, df_device_meet_fn *meet, void *user,
                                 int64_t q, struct df_choices *choices)
{
    bool over = false;
    for (int64_t begin = 0; begin < q && !over; begin += STEPS) {
        const int64_t count = q - begin < STEPS ? q - begin : STEPS;
        DF_TRY(df_context_check_stop(choice->context));
        for (int64_t at = 0; at < count; at++) {
            DF_TRY(pick(choice, at));
            DF_TRY(meet(user, begin + at, df_at(choice->choice, at)));
        }
        DF_TRY(take(choice, count, choices, &over));
    }
    return DFAL_OK;
}

dfal_status df_device_choice_take(struct df_device_choice *c, struct df_choice *taken, int32_t *place)
{
    DF_TRY(df_context_check_stop(c->context));
    DF_TRY(pick(c, 0));
    DF_TRY(df_read(c->device, 0, place, c->choice, 1));
    DF_TRY(df_read(c->device, 0, &taken->score, c->value, 1));
    taken->candidate = *place < 0 ? -1 : c->place[*place].candidate;
    df_progress_add(&c->progress, c->count, NULL);
    return DFAL_OK;
}

dfal_status df_device_choice_give_back(struct df_device_choice *c, const struct df_choice *taken,
                                       int32_t place)
{
    return place < 0 ? DFAL_OK : df_write(c->device, 0, df_at(c->priority, place), &taken->score, 1);
}
