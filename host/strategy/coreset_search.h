/* SPDX-License-Identifier: Apache-2.0 */
/* The smallest radius of a cover: bisection over the radii that may be it, one question "do b centres do?" a
 * step. There is no tolerance. */
#ifndef DF_STRATEGY_CORESET_SEARCH_H
#define DF_STRATEGY_CORESET_SEARCH_H

#include "strategy/coreset_cover.h"
#include "strategy/coreset_model.h"
#include "strategy/solver.h"

struct df_coreset_search {
    const struct df_cover *cover;
    struct df_sener *sener; /* NULL: the covering program */
    struct df_solver *solver;
    /* In: centres that are a cover at the cover's `high`; out: the best found. [budget] */
    int64_t *chosen;
    int64_t count;
    double square;                  /* in, out: their squared radius */
    int64_t checks;                 /* questions */
    int64_t solved;                 /* of these, models that the solver got */
    int64_t nodes;                  /* of its search trees */
    bool proven;                    /* no smaller radius is possible */
    bool word;                      /* proven: as the solver says, whose word cannot be checked */
    bool held;                      /* centres of the solver were a cover once */
    const char *reason;             /* not proven: "nodes", "seconds" or "failed" */
    char failure[DF_SOLVER_REASON]; /* failed: a sentence */
};
/* A question that stays open counts as answered by no, and the result is not proven then. A solver that fails
 * is asked no more; one that contradicts itself, or has never found centres and calls a model infeasible of
 * which some are known, has failed. */
dfal_status df_coreset_search(struct df_coreset_search *search);

#endif
