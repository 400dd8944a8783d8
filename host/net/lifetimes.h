/* SPDX-License-Identifier: Apache-2.0 */
/* Memory for values that live for a while: first the lifetimes are written down, then buffers are found for
 * all of them. For program.c only. */
#ifndef DF_NET_LIFETIMES_H
#define DF_NET_LIFETIMES_H

#include "net/plan_inside.h"

struct df_lifetime {
    int64_t size; /* values a row */
    int32_t born, died;
    int32_t buffer, next; /* next: another one in the same buffer; -1 */
};
struct df_lifetimes {
    struct df_lifetime *all;
    int32_t count;
    int64_t capacity;
    int32_t clock;
};

/* Until df_lifetimes_assign a place's index says which lifetime. */
dfal_status df_lifetimes_begin(struct df_lifetimes *lifetimes, int64_t size, struct df_place *place);
void df_lifetimes_end(struct df_lifetimes *lifetimes, struct df_place place);
/* Whoever still lives dies: what comes next has nothing to do with it. */
void df_lifetimes_end_all(struct df_lifetimes *lifetimes);
/* Largest first, each into the smallest buffer that is free as long as it lives, else into a new one: sizes
 * of buffers descend. Fills plan->reused_size and reused_count. */
dfal_status df_lifetimes_assign(struct df_lifetimes *lifetimes, struct df_plan *plan);
/* From lifetime to buffer. */
void df_lifetimes_resolve(const struct df_lifetimes *lifetimes, struct df_place *place);
void df_lifetimes_clear(struct df_lifetimes *lifetimes);

#endif
