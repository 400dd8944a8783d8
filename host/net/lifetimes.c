/* SPDX-License-Identifier: Apache-2.0 */
#include "net/lifetimes.h"

#include <stdlib.h>

#include "base/memory.h"

dfal_status df_lifetimes_begin(struct df_lifetimes *lifetimes, int64_t size, struct df_place *place)
{
    DF_TRY(df_grow(&lifetimes->all, &lifetimes->capacity, (int64_t)lifetimes->count + 1,
                   sizeof *lifetimes->all, 32));
    *place = (struct df_place){DF_PLACE_REUSED, lifetimes->count};
    lifetimes->all[lifetimes->count++] = (struct df_lifetime){size, lifetimes->clock++, INT32_MAX, -1, -1};
    return DFAL_OK;
}

void df_lifetimes_end(struct df_lifetimes *lifetimes, struct df_place place)
{
    /* A node may read the same value twice. */
    if (place.kind == DF_PLACE_REUSED && lifetimes->all[place.index].died == INT32_MAX)
        lifetimes->all[place.index].died = lifetimes->clock++;
}

void df_lifetimes_end_all(struct df_lifetimes *lifetimes)
{
    for (int32_t i = 0; i < lifetimes->count; i++)
        if (lifetimes->all[i].died == INT32_MAX)
            lifetimes->all[i].died = lifetimes->clock;
    lifetimes->clock++;
}

static int larger_first(const void *a, const void *b)
{
    const struct df_lifetime *left = *(struct df_lifetime *const *)a,
                             *right = *(struct df_lifetime *const *)b;
    if (left->size != right->size)
        return left->size > right->size ? -1 : 1;
    return left->born < right->born ? -1 : left->born > right->born;
}

/* Does anyone in the buffer live at the same time? */
static bool is_free(const struct df_lifetimes *lifetimes, int32_t first, const struct df_lifetime *life)
{
    for (int32_t i = first; i >= 0; i = lifetimes->all[i].next)
        if (lifetimes->all[i].born < life->died && life->born < lifetimes->all[i].died)
            return false;
    return true;
}

dfal_status df_lifetimes_assign(struct df_lifetimes *lifetimes, struct df_plan *plan)
{
    struct df_lifetime **order = NULL;
    int32_t *first = NULL; /* [buffers so far] somebody in the buffer */
    dfal_status status;
    DF_TRY_TO(done, status, df_alloc(&order, lifetimes->count, sizeof(struct df_lifetime *)));
    DF_TRY_TO(done, status, df_alloc(&first, lifetimes->count, sizeof *first));
    for (int32_t i = 0; i < lifetimes->count; i++)
        order[i] = &lifetimes->all[i];
    if (lifetimes->count > 1)
        qsort(order, (size_t)lifetimes->count, sizeof(struct df_lifetime *), larger_first);
    for (int32_t i = 0; i < lifetimes->count; i++) {
        struct df_lifetime *life = order[i];
        int32_t buffer = plan->reused_count - 1;
        while (buffer >= 0 && !is_free(lifetimes, first[buffer], life))
            buffer--;
        if (buffer < 0) {
            buffer = plan->reused_count;
            DF_TRY_TO(done, status,
                      df_resize(&plan->reused_size, buffer, (int64_t)buffer + 1, sizeof *plan->reused_size));
            plan->reused_size[buffer] = life->size;
            plan->reused_count++;
            first[buffer] = -1;
        }
        life->buffer = buffer;
        life->next = first[buffer];
        first[buffer] = (int32_t)(life - lifetimes->all);
    }
    status = DFAL_OK;
done:
    df_free(order);
    df_free(first);
    return status;
}

void df_lifetimes_resolve(const struct df_lifetimes *lifetimes, struct df_place *place)
{
    if (place->kind == DF_PLACE_REUSED)
        place->index = lifetimes->all[place->index].buffer;
}

void df_lifetimes_clear(struct df_lifetimes *lifetimes)
{
    df_free(lifetimes->all);
    *lifetimes = (struct df_lifetimes){0};
}
