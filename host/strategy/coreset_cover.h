/* SPDX-License-Identifier: Apache-2.0 */
/* k-center as covering: choose b centres among the candidates so that, but for a few outliers, every
 * candidate has a labelled row or a centre within a radius that is as small as can be.
 *
 * Memory   16 bytes a pair of candidates that may matter: one is farther than the lower bound of the radius
 *          from every labelled row, and they are within its upper bound of each other. That is the limit of
 *          its size. From some rows it follows about how many pairs all rows have: where half as many do not
 *          fit, the problem is refused before all of them are counted
 * Order    squared distances in double, as df_square_distance has them; whoever is first or second, the same
 *          bits. Nothing depends on threads */
#ifndef DF_STRATEGY_CORESET_COVER_H
#define DF_STRATEGY_CORESET_COVER_H

#include "strategy/row_loop.h"
#include "strategy/view.h"

struct df_near {
    double square;
    int64_t candidate;
};

/* What is to be covered, by whom. */
struct df_cover {
    struct df_view *view;
    struct df_features h, labelled; /* borrowed; rows that are not finite are nobody's */
    const double *far; /* [n] squared distance to the nearest labelled row, INFINITY: none; below 0: no
                        * candidate */
    int64_t budget, outliers;
    double low, high; /* the squared radius is one of [low, high] */
    int64_t row_count;
    int64_t *row;         /* candidates that no labelled row covers at `low` */
    int64_t *begin;       /* [row_count + 1] of each row's in near */
    struct df_near *near; /* candidates within `high` of each row, the nearest first, then by number */
    int64_t value_count;
    double *value; /* squared radii that may be the smallest, ascending */
    struct df_row_loop loop;
};
/* The other fields up to `high` are set. Errors   E_MEMORY, E_STOPPED */
dfal_status df_cover_make(struct df_cover *cover);
void df_cover_clear(struct df_cover *cover);

/* The squared radius of these centres: the largest distance of a candidate to the nearest labelled row or
 * centre, outliers left out of account. */
dfal_status df_cover_radius(const struct df_cover *cover, const int64_t *chosen, int64_t count,
                            double *square);
/* The largest of squared distances [n] behind the outliers; below 0 counts as 0. The array is put in
 * order. */
double df_cover_largest(double *squares, int64_t n, int64_t outliers);

/* Whom which candidates cover at one radius. */
struct df_cover_stage {
    double square;
    int64_t budget, outliers;
    int64_t row_count;
    int64_t *reach; /* [row_count] how many candidates cover each */
    int64_t column_count;
    int64_t *column; /* [column_count] candidates that cover a row, ascending */
    int64_t *begin;  /* [column_count + 1] of each column's in entry */
    int64_t *entry;  /* rows that each covers, ascending */
};
dfal_status df_cover_stage_make(struct df_cover_stage *stage, const struct df_cover *cover, double square);
void df_cover_stage_clear(struct df_cover_stage *stage);

enum df_verdict { DF_FEASIBLE, DF_INFEASIBLE, DF_UNDECIDED };
/* What can be said without a solver: rows whose coverers are all different need a centre each; whoever covers
 * most rows first may be enough. chosen [budget] */
dfal_status df_cover_guess(const struct df_cover_stage *stage, enum df_verdict *verdict, int64_t *chosen,
                           int64_t *count);

#endif
