/* SPDX-License-Identifier: Apache-2.0 */
/* Query strategies: one file each, one row in the table. A strategy says what it needs; the caller computes that and
 * the strategy returns a ranked list. */
#ifndef DF_STRATEGY_STRATEGY_H
#define DF_STRATEGY_STRATEGY_H

#include "base/context.h"
#include "score/deepfool.h"

enum df_need {
    DF_NEED_NOTHING = 0,
    DF_NEED_LOGITS = 1, /* all of them at once */
    DF_NEED_FEATURES = 2,
    DF_NEED_PASSES = 4,
    DF_NEED_MARGINS = 8,
    DF_NEED_ROW_SCORES = 16 /* row_score of every candidate's logits, which are not kept */
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
    const double *row_score;         /* NAN: a logit is not finite */
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
    bool twins;   /* each query brings its adversarial twin */
    bool largest; /* the largest row_score is queried first, else the smallest */
    /* With DF_NEED_ROW_SCORES: the score of one sample's logits [K]; NAN where one of them is not finite. */
    double (*row_score)(const float *logits, int32_t class_count);
    /* The same number from a row of a scores file; NULL: such a file does not tell. */
    double (*scores_row)(const struct df_scores *scores, int64_t row);
    /* Fill choices [q] in rank order; *chosen <= q (fewer when candidates run out).
     * Order    the same rows whatever the candidates' order; the list of a larger q begins with that of a smaller
     * Ties   by df_random_bits(seed, DF_STREAM_TIES, row of the pool), then row */
    dfal_status (*rank)(const struct df_candidates *candidates, int64_t q, struct df_choice *choices,
                        int64_t *chosen);
};
extern const struct df_strategy df_strategy_random, df_strategy_dfal, df_strategy_entropy,
    df_strategy_least_confidence, df_strategy_margin, df_strategy_logit_gap;
extern const struct df_strategy *const df_strategies[]; /* NULL-terminated */
/* Every name the command may ever take, also those of later versions. NULL-terminated. */
extern const char *const df_strategy_known[];
int32_t df_strategy_known_index(const char *name); /* -1: unknown */
/* Errors   E_USAGE unknown name (nearest named); E_UNAVAILABLE a known name that is not in this build */
dfal_status df_strategy_find(const struct df_strategy **out, const char *name);
/* A file that a user gave must hold what the strategy needs; more than that may be given. Paths may be NULL.
 * Errors   E_USAGE */
dfal_status df_strategy_check_files(const struct df_strategy *strategy, const char *scores_path,
                                    const char *logits_path);
/* "dfal, random, ... or logit-gap": those of this build, for messages. */
enum { DF_STRATEGY_NAMES = 256 };
const char *df_strategy_names(char text[DF_STRATEGY_NAMES]);

/* Where a candidate ranks: by group, then by score. */
struct df_rank_key {
    int32_t group;
    double score;
};
/* False: the candidate is left out. Called once or more for each. */
typedef bool df_rank_key_fn(const struct df_candidates *candidates, int64_t candidate,
                            struct df_rank_key *key);
/* The first q candidates by ascending key with the seeded tie order; a NAN score is left out. choices [min(q, count)].
 * Order    the result does not depend on the order of the candidates
 * Memory   40 bytes a choice, none a candidate */
dfal_status df_rank_by_key(df_rank_key_fn *key, const struct df_candidates *candidates, int64_t q,
                           struct df_choice *choices, int64_t *chosen);
/* The rank of strategies with a row_score. */
dfal_status df_rank_smallest(const struct df_candidates *candidates, int64_t q, struct df_choice *choices,
                             int64_t *chosen);
dfal_status df_rank_largest(const struct df_candidates *candidates, int64_t q, struct df_choice *choices,
                            int64_t *chosen);

/* Oracle: answers labels for rows, or E_STOPPED "not yet" (people). The simplest member knows the pool's labels. */
struct df_oracle {
    dfal_status (*ask)(struct df_oracle *self, const int64_t *rows, int32_t *labels, int64_t count);
    void (*close)(struct df_oracle *self);
};
dfal_status df_oracle_simulated(struct df_oracle **out, const struct df_pool *pool);

#endif
