/* SPDX-License-Identifier: Apache-2.0 */
/* The rows with the smallest keys of many: memory does not grow with the pool. Keys are 0 or more. */
#ifndef DF_SCORE_LEAST_H
#define DF_SCORE_LEAST_H

#include "base/status.h"

struct df_comm;

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
/* All have come: ascending. */
void df_least_sort(struct df_least *least);
/* Collective; comm NULL: this process is alone. Of every rank's rows those stay that are among the `limit`
 * smallest of all ranks, each of which has kept that many of its own, or all. *last: the key of the last of
 * them, INFINITY where there are fewer. More rows may be added.
 * Ties      by index: a row is of one rank
 * Traffic   2 KiB a rank and at most 17 times, whatever the limit is */
dfal_status df_least_agree(struct df_least *least, struct df_comm *comm, int64_t limit, double *last);

#endif
