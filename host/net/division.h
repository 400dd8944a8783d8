/* SPDX-License-Identifier: Apache-2.0 */
/* Which rows a restart trains on and which it keeps aside to watch. */
#ifndef DF_NET_DIVISION_H
#define DF_NET_DIVISION_H

#include "base/status.h"

struct df_training_set;

/* Rows that belong together stand on the same side: a row that was made from another tells the answer of that
 * one. */
struct df_division {
    int64_t rows, units; /* units: a row by itself, or rows that belong together */
    int64_t always;      /* rows of no unit: they are trained on and never kept aside */
    int64_t kept;        /* units kept aside */
    int64_t *begin;      /* [units + 1] of each unit in members */
    int64_t *members;    /* [rows] row numbers, ascending within a unit; those of none come last */
};
/* Errors   E_INTERNAL units that are not numbered in the order of their first rows */
dfal_status df_division_create(struct df_division *division, const struct df_training_set *set,
                               double fraction);
void df_division_clear(struct df_division *division);
/* Fill rows [division->rows]: those to train on, those of no unit last among them, then those kept aside;
 * *trained is how many the former are. Units by a seeded permutation, of which the last ones are kept: where
 * every row is by itself that is a permutation of rows. order [units] is room to work in. */
dfal_status df_division_draw(const struct df_division *division, uint64_t seed, int64_t *rows,
                             int64_t *trained, int64_t *order);

#endif
