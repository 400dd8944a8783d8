/* SPDX-License-Identifier: Apache-2.0 */
/* Query strategies: one file each, one row in the table. A strategy says what it needs; the caller computes that and
 * the strategy returns a ranked list. */
#ifndef DF_STRATEGY_STRATEGY_H
#define DF_STRATEGY_STRATEGY_H

#include "base/context.h"
#include "score/deepfool.h"

enum df_need {
    DF_NEED_NOTHING = 0,
    DF_NEED_LOGITS = 1,
    DF_NEED_FEATURES = 2,
    DF_NEED_PASSES = 4,
    DF_NEED_MARGINS = 8
};

/* Candidates and what is known of them; every array has count rows; what was not asked for is NULL. */
struct df_candidates {
    int64_t count;
    const int64_t *index; /* rows of the pool */
    int32_t class_count;
    const float *logits;   /* [count, K] */
    const float *features; /* [count, feature_size] of the node before the last Gemm */
    int64_t feature_size;
    const struct df_scores *margins; /* rows as index */
    const char *unconverged;         /* last | keep | exclude */
    uint64_t seed;                   /* of this selection */
};
/* One chosen candidate: which, and the score that chose it (NAN: none). */
struct df_choice {
    int64_t candidate;
    double score;
};
struct df_strategy {
    const char *name, *summary;
    int needs;
    bool twins; /* each query brings its adversarial twin */
    /* Fill choices [q] in rank order; *chosen <= q (fewer when candidates run out).
     * Order    the same rows whatever the candidates' order
     * Ties   by df_random_bits(seed, DF_STREAM_TIES, row of the pool), then row */
    dfal_status (*rank)(const struct df_candidates *candidates, int64_t q, struct df_choice *choices,
                        int64_t *chosen);
};
extern const struct df_strategy df_strategy_random, df_strategy_dfal;
extern const struct df_strategy *const df_strategies[]; /* NULL-terminated */
/* Every name the command may ever take, also those of later versions. NULL-terminated. */
extern const char *const df_strategy_known[];
int32_t df_strategy_known_index(const char *name); /* -1: unknown */
/* Errors   E_USAGE unknown name (nearest named); E_UNAVAILABLE a known name that is not in this build */
dfal_status df_strategy_find(const struct df_strategy **out, const char *name);

/* Sort candidates by score ascending (or descending) with the seeded tie order; a NAN score is left out.
 * choices [min(q, count)]. Helper of the strategies.
 * Order    the result does not depend on the order of the candidates */
dfal_status df_rank_by_score(const double *score, bool descending, const struct df_candidates *candidates,
                             int64_t q, struct df_choice *choices, int64_t *chosen);

/* Oracle: answers labels for rows, or E_STOPPED "not yet" (people). The simplest member knows the pool's labels. */
struct df_oracle {
    dfal_status (*ask)(struct df_oracle *self, const int64_t *rows, int32_t *labels, int64_t count);
    void (*close)(struct df_oracle *self);
};
dfal_status df_oracle_simulated(struct df_oracle **out, const struct df_pool *pool);

#endif
