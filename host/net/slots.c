/* SPDX-License-Identifier: Apache-2.0 */
#include "net/slots.h"

#include <stdlib.h>

#include "base/memory.h"

dfal_status df_slots_take(struct df_slots *slots, int64_t size, struct df_place *place)
{
    DF_TRY(df_grow(&slots->all, &slots->capacity, (int64_t)slots->count + 1, sizeof *slots->all, 32));
    *place = (struct df_place){DF_PLACE_SLOT, slots->count};
    slots->all[slots->count++] = (struct df_lifetime){size, slots->clock++, INT32_MAX, -1, -1};
    return DFAL_OK;
}

void df_slots_give_back(struct df_slots *slots, struct df_place place)
{
    /* A node may read the same value twice. */
    if (place.kind == DF_PLACE_SLOT && slots->all[place.index].died == INT32_MAX)
        slots->all[place.index].died = slots->clock++;
}

void df_slots_end(struct df_slots *slots)
{
    for (int32_t i = 0; i < slots->count; i++)
        if (slots->all[i].died == INT32_MAX)
            slots->all[i].died = slots->clock;
    slots->clock++;
}

static int larger_first(const void *a, const void *b)
{
    const struct df_lifetime *left = *(struct df_lifetime *const *)a,
                             *right = *(struct df_lifetime *const *)b;
    if (left->size != right->size)
        return left->size > right->size ? -1 : 1;
    return left->born < right->born ? -1 : left->born > right->born;
}

/* Does anyone in the slot live at the same time? */
static bool is_free(const struct df_slots *slots, int32_t first, const struct df_lifetime *life)
{
    for (int32_t i = first; i >= 0; i = slots->all[i].next)
        if (slots->all[i].born < life->died && life->born < slots->all[i].died)
            return false;
    return true;
}

dfal_status df_slots_assign(struct df_slots *slots, struct df_plan *plan)
{
    struct df_lifetime **order = NULL;
    int32_t *first = NULL; /* [slots so far] somebody in the slot */
    dfal_status status;
    DF_TRY_TO(done, status, df_alloc(&order, slots->count, sizeof(struct df_lifetime *)));
    DF_TRY_TO(done, status, df_alloc(&first, slots->count, sizeof *first));
    for (int32_t i = 0; i < slots->count; i++)
        order[i] = &slots->all[i];
    if (slots->count > 1)
        qsort(order, (size_t)slots->count, sizeof(struct df_lifetime *), larger_first);
    for (int32_t i = 0; i < slots->count; i++) {
        struct df_lifetime *life = order[i];
        int32_t slot = plan->slot_count - 1;
        while (slot >= 0 && !is_free(slots, first[slot], life))
            slot--;
        if (slot < 0) {
            slot = plan->slot_count;
            DF_TRY_TO(done, status,
                      df_resize(&plan->slot_size, slot, (int64_t)slot + 1, sizeof *plan->slot_size));
            plan->slot_size[slot] = life->size;
            plan->slot_count++;
            first[slot] = -1;
        }
        life->slot = slot;
        life->next = first[slot];
        first[slot] = (int32_t)(life - slots->all);
    }
    status = DFAL_OK;
done:
    df_free(order);
    df_free(first);
    return status;
}

void df_slots_settle(const struct df_slots *slots, struct df_place *place)
{
    if (place->kind == DF_PLACE_SLOT)
        place->index = slots->all[place->index].slot;
}

void df_slots_clear(struct df_slots *slots)
{
    df_free(slots->all);
    *slots = (struct df_slots){0};
}
