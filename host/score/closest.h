/* SPDX-License-Identifier: Apache-2.0 */
/* The Q closest rows without DeepFool on all of them (docs/NUMERICS.md, "The closest Q").
 *
 *   look      one forward over all rows gives label, logit gap, lower bound and estimate of each
 *   head      DeepFool on the first 5 Q of the estimate's order, twice as many while fewer than Q of them end
 *             with a margin
 *   rest      exact: on all rows whose bound does not exceed the Q-th margin so far. Cascade: on a random
 *             hundredth of those rows, which tells how many of the closest the head has missed
 *   finish    every row whose bound exceeds the final Q-th margin is PRUNED with that bound, also one that
 *             was run; else a row of a cascade that was not run is UNSCORED
 *
 * Which rows are run follows from Q, seed and the rows alone. Several ranks have some of the rows each: they
 * agree which of them all are the head's, the audit's, and which margin is the Q-th (df_least_agree), and run
 * their own. */
#ifndef DF_SCORE_CLOSEST_H
#define DF_SCORE_CLOSEST_H

#include "score/bound.h"
#include "score/deepfool_engine.h"
#include "score/least.h"

struct df_closest_spec {
    struct dfal_context *context;
    struct df_device *device;
    const struct df_network *network; /* as it is given */
    struct df_pool *pool;
    const struct df_deepfool *deepfool;
    struct df_comm *comm; /* of the ranks that have the other rows; NULL: this process has all */
    int64_t total, room;  /* rows of all ranks; of this one at most */
    int64_t q;
    bool cascade;
    bool layers; /* the engine is not fused */
};
/* What is told of it: of the rows of all ranks. */
struct df_closest_told {
    int64_t run;   /* rows that DeepFool ran on */
    double radius; /* the Q-th margin; INFINITY: fewer rows have one */
    int64_t audited,
        found;     /* of a cascade: rows of the audit, and those of them nearer than the head's Q-th */
    double recall; /* of a cascade, estimated: the share of the Q closest that is among those run */
};
struct df_closest {
    struct df_closest_spec spec;
    struct df_network *folded;
    struct df_bound *bound;
    struct df_bound_space **spaces; /* [df_group_workers] */
    const int64_t *rows;            /* [count] of this rank, ascending; NULL: begin, begin + 1, ... */
    int64_t begin, count;
    struct df_scores scores; /* [count], index set; the results when all is done */
    float *least, *estimate; /* [count] in units of the margin; estimate: INFINITY the last */
    struct df_least nearest; /* of the Q smallest margins so far those of this rank */
    struct df_closest_told told;
};

/* Can the closest be found without all of them?
 * Errors   E_USAGE another norm than l2, a squared margin, rows that are ranked without a margin */
dfal_status df_closest_check(const struct df_deepfool *deepfool, const char *unconverged);
/* The bound and room for the results: 47 bytes a row of this rank. All of spec is borrowed.
 * *possible   false: the network has no bound (or a cascade no estimate); `why` is a part of a sentence */
dfal_status df_closest_open(struct df_closest *closest, const struct df_closest_spec *spec, bool *possible);
/* The same question alone. */
dfal_status df_closest_possible(const struct df_network *network, bool cascade, bool *possible);
const char *df_closest_why(const struct df_closest *closest);
/* Errors   E_UNAVAILABLE a cascade is not possible */
dfal_status df_closest_refuse(const struct df_closest *closest);
void df_closest_close(struct df_closest *closest);
/* The rows of this rank, before all that follows: rows [count] ascending, borrowed; NULL: from begin on. */
void df_closest_take(struct df_closest *closest, const int64_t *rows, int64_t begin, int64_t count);
/* Rows of a stream; all have to be looked at before the next. What it takes is given back: an engine that has
 * not run yet holds little of what it was promised, so that both need not fit at a time. */
dfal_status df_closest_look(struct df_closest *closest, struct df_row_stream *stream);
/* The rest. The engine's network and DeepFool are those of spec. Collective
 * Errors   E_STOPPED; those of the engine */
dfal_status df_closest_score(struct df_closest *closest, struct df_deepfool_engine *engine);
/* Entry i of the results. */
int64_t df_closest_row(const struct df_closest *closest, int64_t i);
struct df_margin df_closest_margin(const struct df_closest *closest, int64_t i);

#endif
