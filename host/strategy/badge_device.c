/* SPDX-License-Identifier: Apache-2.0 */
#include "strategy/badge_device.h"

#include "backend/op_call.h"
#include "base/memory.h"
#include "strategy/bid.h"

struct on_device {
    struct badge *badge;
    struct df_device_choice choice;
    struct df_span a, h, square, nearest, number, other, other_square; /* kernels/race.h */
    struct df_choice taken; /* what this rank bids, and where it is on the device */
    int32_t place;
};

/* All rows meet one of them, or the factors of another rank's. */
static dfal_status meet_call(struct on_device *o, int64_t step, struct df_span chosen, struct df_span other,
                             struct df_span other_square)
{
    const struct badge *badge = o->badge;
    const struct df_call call = DF_CALL(
        badge_meet, .rows = 1, .cols = o->choice.count, .nearest = o->nearest, .priority = o->choice.priority,
        .a = o->a, .h = o->h, .square = o->square, .number = o->number, .choice = chosen, .other = other,
        .other_square = other_square,
        .p.badge = {
            .classes = badge->class_count, .size = badge->h.size, .seed = df_badge_draw(badge, step + 1)});
    return df_call_run(o->choice.device, 0, &call);
}

static dfal_status meet(void *user, int64_t step, struct df_span chosen)
{
    return meet_call(user, step, chosen, (struct df_span){0}, (struct df_span){0});
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
    DF_TRY(df_buffer_new(o->choice.device, &o->other, DF_TYPE_REAL, badge->class_count + badge->h.size));
    DF_TRY(df_buffer_new(o->choice.device, &o->other_square, DF_TYPE_F64, 1));
    return send_numbers(o);
}

static dfal_status begin(struct on_device *o, struct df_device *device, int64_t q)
{
    const struct badge *badge = o->badge;
    const int64_t n = badge->h.count;
    DF_TRY(df_device_choice_open(&o->choice, df_view_context(badge->view), device, df_view_seed(badge->view),
                                 df_view_rows(badge->view), n, n * q));
    return send(o);
}

static void end(struct on_device *o, struct df_device *device)
{
    struct df_span *const spans[] = {&o->a,      &o->h,     &o->square,      &o->nearest,
                                     &o->number, &o->other, &o->other_square};
    for (size_t i = 0; i < sizeof spans / sizeof spans[0]; i++)
        df_buffer_drop(device, spans[i]);
    df_device_choice_close(&o->choice);
}

/* Of this process alone: the host learns every 64 steps what was chosen. */
static dfal_status choose_alone(struct on_device *o, int64_t q)
{
    struct badge *badge = o->badge;
    struct df_choices *choices = badge->choices;
    DF_TRY(df_device_choice_run(&o->choice, meet, o, q, choices));
    DF_TRY(df_device_choice_fetch(&o->choice, badge->nearest, o->nearest));
    for (int64_t i = 0; i < choices->count; i++) { /* the last distance was that of the choice */
        struct df_choice *choice = &choices->list[i];
        choice->score = sqrt(i ? badge->nearest[choice->candidate] : badge->square[choice->candidate]);
        choice->candidate = df_view_rows(badge->view)[choice->candidate];
    }
    return DFAL_OK;
}

/* ---- ranks --------------------------------------------------------------------------------------------- */

static dfal_status bid(void *user, int64_t step, struct df_bid *bid)
{
    struct on_device *o = user;
    (void)step;
    DF_TRY(df_device_choice_take(&o->choice, &o->taken, &o->place));
    *bid =
        (struct df_bid){o->taken.score, o->place < 0 ? -1 : df_view_rows(o->badge->view)[o->taken.candidate]};
    return DFAL_OK;
}

static dfal_status give(void *user, void *row)
{
    struct on_device *o = user;
    double nearest;
    DF_TRY(df_read(o->choice.device, 0, &nearest, df_at(o->nearest, o->place), 1));
    df_badge_pack(o->badge, o->taken.candidate, nearest, row);
    return DFAL_OK;
}

static dfal_status meet_bid(void *user, int64_t step, const void *row, bool own)
{
    struct on_device *o = user;
    struct badge *badge = o->badge;
    struct df_device *device = o->choice.device;
    df_badge_unpack(badge, step, row);
    if (own)
        return meet(o, step, df_at(o->choice.choice, 0));
    DF_TRY(df_device_choice_give_back(&o->choice, &o->taken, o->place));
    DF_TRY(df_write(device, 0, o->other, badge->chosen.a, badge->class_count + badge->h.size));
    DF_TRY(df_write(device, 0, o->other_square, &badge->chosen.square, 1));
    return meet_call(o, step, (struct df_span){0}, o->other, o->other_square);
}

static dfal_status choose_together(struct on_device *o, struct df_comm *comm, int64_t q)
{
    const struct df_bidder bidder = {.seed = df_view_seed(o->badge->view),
                                     .bytes = df_badge_bytes(o->badge),
                                     .user = o,
                                     .bid = bid,
                                     .give = give,
                                     .meet = meet_bid};
    return df_bid_rounds(comm, &bidder, q, o->badge->choices);
}

dfal_status df_badge_on_device(struct df_device *device, struct badge *badge, int64_t q, bool *begun)
{
    struct on_device o = {.badge = badge};
    struct df_comm *comm = df_view_comm(badge->view);
    dfal_status status;
    *begun = false;
    DF_TRY_TO(done, status, begin(&o, device, q));
    *begun = comm != NULL;
    status = comm ? choose_together(&o, comm, q) : choose_alone(&o, q);
done:
    if (status != DFAL_OK)
        badge->choices->count = 0;
    end(&o, device);
    return status;
}
