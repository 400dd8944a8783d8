/* SPDX-License-Identifier: Apache-2.0 */
#include "strategy/k_center_device.h"

#include <math.h>
#include <string.h>

#include "backend/op_call.h"
#include "base/context.h"
#include "base/memory.h"
#include "score/row_values.h"
#include "strategy/bid.h"
#include "strategy/k_center_ranks.h"

enum { CENTRES = 64 }; /* that rows meet in one call */

struct on_device {
    const struct df_k_center_among *among;
    struct df_device_choice choice;
    struct df_span h, centres; /* columns [D, n]; rows [CENTRES, D] */
    struct df_choice taken;    /* what this rank bids, and where it is on the device */
    int32_t place;
};

/* Nobody has met a centre; who is not finite is not to be chosen. */
static dfal_status send_nearest(struct on_device *o, int64_t *nonfinite)
{
    const struct df_features *h = &o->among->from.h;
    double *nearest;
    DF_TRY(df_alloc(&nearest, h->count, sizeof *nearest));
    for (int64_t i = 0; i < h->count; i++) {
        const bool finite = df_row_is_finite(h->values + i * h->size, h->size);
        nearest[i] = finite ? INFINITY : -INFINITY;
        *nonfinite += !finite;
    }
    const dfal_status status = df_device_choice_send(&o->choice, &o->choice.priority, nearest);
    df_free(nearest);
    return status;
}

/* All rows meet `count` centres that were sent, or the one that was chosen last. */
static dfal_status meet(struct on_device *o, int64_t count, struct df_span chosen)
{
    const struct df_features *h = &o->among->from.h;
    const struct df_span centres = count ? o->centres : (struct df_span){0};
    const struct df_call call =
        DF_CALL(centre_meet, .rows = 1, .cols = h->count, .nearest = o->choice.priority, .h = o->h,
                .centres = centres, .choice = chosen, .p.centre = {.size = h->size, .count = count});
    return df_call_run(o->choice.device, 0, &call);
}

static dfal_status meet_chosen(void *user, int64_t step, struct df_span chosen)
{
    (void)step;
    return meet(user, 0, chosen);
}

/* Those that were there before: gathered, since one that is not finite is nobody's. */
static dfal_status meet_before(struct on_device *o)
{
    const struct df_features *before = &o->among->before;
    const int64_t size = o->among->from.h.size;
    float *centres;
    dfal_status status = DFAL_OK;
    DF_TRY(df_buffer_new(o->choice.device, &o->centres, DF_TYPE_REAL, CENTRES * size));
    DF_TRY(df_alloc(&centres, CENTRES * size, sizeof *centres));
    for (int64_t begin = 0; begin < before->count; begin += CENTRES) {
        const struct df_row_block block = df_row_block(before->count, CENTRES, begin / CENTRES);
        int64_t count = 0;
        for (int64_t j = block.begin; j < block.end; j++)
            if (df_row_is_finite(before->values + j * size, size))
                memcpy(centres + count++ * size, before->values + j * size, (size_t)size * sizeof *centres);
        DF_TRY_TO(done, status, df_context_check_stop(o->choice.context));
        DF_TRY_TO(done, status, df_write(o->choice.device, 0, o->centres, centres, count * size));
        if (count)
            DF_TRY_TO(done, status, meet(o, count, (struct df_span){0}));
        df_progress_add(&o->choice.progress, (block.end - block.begin) * o->choice.count, NULL);
    }
done:
    df_free(centres);
    return status;
}

static dfal_status begin(struct on_device *o, struct df_device *device, int64_t q, int64_t *nonfinite)
{
    const struct df_feature_rows *from = &o->among->from;
    const int64_t distances = from->h.count * (o->among->before.count + q);
    DF_TRY(df_device_choice_open(&o->choice, from->context, device, from->seed, from->rows, from->h.count,
                                 distances));
    DF_TRY(df_device_choice_columns(&o->choice, &o->h, from->h.values, from->h.size));
    DF_TRY(send_nearest(o, nonfinite));
    return meet_before(o);
}

static void end(struct on_device *o, struct df_device *device)
{
    df_buffer_drop(device, &o->h);
    df_buffer_drop(device, &o->centres);
    df_device_choice_close(&o->choice);
}

dfal_status df_k_center_on_device(struct df_device *device, const struct df_k_center_among *among, int64_t q,
                                  struct df_choices *choices)
{
    struct on_device o = {.among = among};
    dfal_status status;
    choices->count = choices->nonfinite = 0;
    DF_TRY_TO(done, status, begin(&o, device, q, &choices->nonfinite));
    DF_TRY_TO(done, status, df_device_choice_run(&o.choice, meet_chosen, &o, q, choices));
    df_k_center_take_roots(choices);
done:
    end(&o, device);
    return status;
}

/* ---- ranks --------------------------------------------------------------------------------------------- */

static dfal_status bid(void *user, int64_t step, struct df_bid *bid)
{
    struct on_device *o = user;
    (void)step;
    DF_TRY(df_device_choice_take(&o->choice, &o->taken, &o->place));
    *bid = (struct df_bid){o->taken.score, o->place < 0 ? -1 : o->among->from.rows[o->taken.candidate]};
    return DFAL_OK;
}

static dfal_status give(void *user, void *row)
{
    const struct on_device *o = user;
    df_k_center_give(o->among, o->taken.candidate, row);
    return DFAL_OK;
}

static dfal_status meet_bid(void *user, int64_t step, const void *row, bool own)
{
    struct on_device *o = user;
    if (own)
        return meet_chosen(o, step, df_at(o->choice.choice, 0));
    DF_TRY(df_device_choice_give_back(&o->choice, &o->taken, o->place));
    DF_TRY(df_write(o->choice.device, 0, o->centres, row, o->among->from.h.size));
    return meet(o, 1, (struct df_span){0});
}

dfal_status df_k_center_on_devices(struct df_comm *comm, struct df_device *device,
                                   const struct df_k_center_among *among, int64_t q,
                                   struct df_choices *choices, bool *begun)
{
    struct on_device o = {.among = among};
    const struct df_bidder bidder = {.user = &o, .bid = bid, .give = give, .meet = meet_bid};
    dfal_status status;
    *begun = false;
    choices->count = choices->nonfinite = 0;
    DF_TRY_TO(done, status, begin(&o, device, q, &choices->nonfinite));
    *begun = true;
    status = df_k_center_rounds(comm, among, bidder, q, choices);
done:
    end(&o, device);
    return status;
}

/* ---- the choice ---------------------------------------------------------------------------------------- */

static dfal_status choose_alone(struct df_view *view, const struct df_k_center_among *among, int64_t q,
                                struct df_choices *choices)
{
    if (!df_device_choice_pays(view, among->from.h.count))
        return df_k_center_greedy(among, q, choices);
    const dfal_status status = df_k_center_on_device(df_view_device(view), among, q, choices);
    return status == DFAL_E_MEMORY ? df_k_center_greedy(among, q, choices) : status;
}

dfal_status df_k_center_choose(struct df_view *view, const struct df_k_center_among *among, int64_t q,
                               struct df_choices *choices)
{
    struct df_comm *comm = df_view_comm(view);
    bool begun = false;
    dfal_status status = DFAL_E_MEMORY;
    if (!comm)
        return choose_alone(view, among, q, choices);
    if (df_device_choice_pays(view, among->from.h.count))
        status = df_k_center_on_devices(comm, df_view_device(view), among, q, choices, &begun);
    return status == DFAL_E_MEMORY && !begun ? df_k_center_over_ranks(comm, among, q, choices) : status;
}
