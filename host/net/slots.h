/* SPDX-License-Identifier: Apache-2.0 */
/* Memory for values that live for a while: first the lifetimes are written down, then slots are found for all
 * of them. For program.c only. */
#ifndef DF_NET_SLOTS_H
#define DF_NET_SLOTS_H

#include "net/plan_inside.h"

struct df_lifetime {
    int64_t size; /* values a row */
    int32_t born, died;
    int32_t slot, next; /* next: another one in the same slot; -1 */
};
struct df_slots {
    struct df_lifetime *all;
    int32_t count;
    int64_t capacity;
    int32_t clock;
};

/* Until df_slots_assign a place's index says which lifetime. */
dfal_status df_slots_take(struct df_slots *slots, int64_t size, struct df_place *place);
void df_slots_give_back(struct df_slots *slots, struct df_place place);
/* Whoever still lives dies: what comes next has nothing to do with it. */
void df_slots_end(struct df_slots *slots);
/* Largest first, each into the smallest slot that is free as long as it lives, else into a new one: sizes of
 * slots descend. Fills plan->slot_size and slot_count. */
dfal_status df_slots_assign(struct df_slots *slots, struct df_plan *plan);
/* From lifetime to slot. */
void df_slots_settle(const struct df_slots *slots, struct df_place *place);
void df_slots_clear(struct df_slots *slots);

#endif
