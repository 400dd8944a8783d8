/* SPDX-License-Identifier: Apache-2.0 */
#include "strategy/badge_device.h"

#include "backend/op_call.h"
#include "base/memory.h"

struct on_device {
    const struct badge *badge;
    struct df_device_choice choice;
    struct df_span a, h, square, nearest, number; /* kernels/race.h */
};

static dfal_status meet(void *user, int64_t step, struct df_span chosen)
{
    struct on_device *o = user;
    const struct badge *badge = o->badge;
    const struct df_call call = DF_CALL(
        badge_meet, .rows = 1, .cols = o->choice.count, .nearest = o->nearest, .priority = o->choice.priority,
        .a = o->a, .h = o->h, .square = o->square, .number = o->number, .choice = chosen,
        .p.badge = {
            .classes = badge->class_count, .size = badge->h.size, .seed = df_badge_draw(badge, step + 1)});
    return df_call_run(o->choice.device, 0, &call);
}

/* Rows of the pool, which draw, as numbers. */
static dfal_status send_numbers(struct on_device *o)
{
    const int64_t *row = df_view_rows(o->badge->view);
    double *number;
    DF_TRY(df_alloc(&number, o->choice.count, sizeof *number));
    for (int64_t i = 0; i < o->choice.count; i++)
        number[i] = (double)row[i];
    const dfal_status status = df_device_choice_send(&o->choice, &o->number, number);
    df_free(number);
    return status;
}

static dfal_status send(struct on_device *o)
{
    const struct badge *badge = o->badge;
    DF_TRY(df_device_choice_columns(&o->choice, &o->h, badge->h.values, badge->h.size));
    DF_TRY(df_device_choice_columns(&o->choice, &o->a, badge->a, badge->class_count));
    DF_TRY(df_device_choice_send(&o->choice, &o->square, badge->square));
    DF_TRY(df_device_choice_send(&o->choice, &o->nearest, badge->nearest));
    DF_TRY(df_device_choice_send(&o->choice, &o->choice.priority, badge->priority));
    return send_numbers(o);
}

dfal_status df_badge_on_device(struct df_device *device, struct badge *badge, int64_t q,
                               struct df_choices *choices)
{
    struct on_device o = {.badge = badge};
    struct df_span *const spans[] = {&o.a, &o.h, &o.square, &o.nearest, &o.number};
    const int64_t n = badge->h.count;
    dfal_status status;
    DF_TRY_TO(done, status,
              df_device_choice_open(&o.choice, df_view_context(badge->view), device,
                                    df_view_seed(badge->view), df_view_rows(badge->view), n, n * q));
    DF_TRY_TO(done, status, send(&o));
    DF_TRY_TO(done, status, df_device_choice_run(&o.choice, meet, &o, q, choices));
    status = df_device_choice_fetch(&o.choice, badge->nearest, o.nearest);
done:
    if (status != DFAL_OK)
        choices->count = 0;
    for (size_t i = 0; i < sizeof spans / sizeof spans[0]; i++)
        df_buffer_drop(device, spans[i]);
    df_device_choice_close(&o.choice);
    return status;
}
