/* SPDX-License-Identifier: Apache-2.0 */
/* The rows with the smallest keys of many: memory does not grow with the pool. */
#ifndef DF_SCORE_LEAST_H
#define DF_SCORE_LEAST_H

#include "base/status.h"

struct df_least_row {
    double key;
    int64_t index;
};
/* A heap with its largest on top while rows come in. */
struct df_least {
    struct df_least_row *rows; /* [count] */
    int64_t limit, count;
};
dfal_status df_least_open(struct df_least *least, int64_t limit);
void df_least_close(struct df_least *least);
/* One row more; the result does not depend on the order in which they come. Ties   by index */
void df_least_add(struct df_least *least, double key, int64_t index);
/* The largest of `limit` keys; INFINITY: there are fewer. Before df_least_sort. */
double df_least_limit(const struct df_least *least);
/* All have come: ascending. */
void df_least_sort(struct df_least *least);

#endif
