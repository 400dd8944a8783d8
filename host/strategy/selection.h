/* SPDX-License-Identifier: Apache-2.0 */
/* One selection: let a strategy choose among its candidates, take those that are finite, and find the twins.
 * Used by `select` and by every round of `run`. */
#ifndef DF_STRATEGY_SELECTION_H
#define DF_STRATEGY_SELECTION_H

#include "base/context.h"
#include "base/text.h"
#include "score/deepfool_engine.h"
#include "store/classes.h"
#include "store/table.h"
#include "strategy/strategy.h"

/* A command that chooses instead of dfal (docs/FORMATS.md, "Strategy command"), and where it works. */
struct df_command_place {
    const char *text; /* its words */
    const char
        *folder; /* absolute; made if need be: the log, and a folder for what the command reads and gives */
    const char *network_path, *pool_path; /* absolute: a command may read more than it is given */
    /* The folder goes with the selection: what the command prints is told as events, and what it did wrong is
     * told without a path. */
    bool goes;
    bool at_fault; /* filled in: what has failed is the command, not dfal's own work */
};

struct df_comm;

struct df_selection_options {
    const struct df_strategy *strategy;
    const struct df_option_values *values; /* of its options; NULL: none is given */
    int64_t count;
    int64_t subsample; /* 0: all */
    struct df_deepfool deepfool;
    const char *unconverged; /* NULL: last */
    uint64_t seed;
    int64_t batch;
    int how;      /* of df_deepfool_create */
    bool cascade; /* margins: those of the closest that a forward finds, audited instead of proven */
    struct df_scores *scores; /* NULL: compute; else a scores file's, rows by ascending index: cut down to the
                                     * candidates in place, so that a large file is not held twice */
    struct df_table_reader *logits; /* NULL: compute; else [N, K], a row a row of the pool */
    bool twins;                     /* with any strategy */
    int64_t twins_limit;            /* of the first so many only; 0: of all */
    const int64_t
        *labelled_rows; /* [labelled_row_count] of the pool, ascending: for strategies that ask for them */
    int64_t labelled_row_count;
    const int32_t *labelled_labels;   /* of each, as the pool counts its classes */
    int32_t round;                    /* of an experiment; 0: there is none, or its first */
    bool pseudo_labels;               /* find those of a strategy that has some */
    struct df_command_place *command; /* of the strategy `command`; NULL: none */
    /* Of the ranks that make this selection together, where the strategy spreads: collective, with the same
     * candidates and options but for twins and pseudo-labels on each. NULL: this process alone. */
    struct df_comm *comm;
    /* Twins and pseudo-labels are the same on each of these ranks, too, whatever the strategy: so each
     * computes a part of what is read of every row, and all choose from the whole. */
    bool alike;
    /* Which rows are labelled, as a number: another state draws another subsample; 0: none, or the seed is
     * already the round's. */
    uint64_t labelled;
};
struct df_selection {
    int64_t count;
    int64_t *index;                         /* rows of the pool, in rank order */
    double *score;                          /* NAN: the strategy has none */
    int32_t *predicted, *adversarial_class; /* as the pool counts its classes; -1: none */
    double *confidence;                     /* largest softmax probability */
    uint8_t *status;    /* DFAL_SCORE_*; OK where neither margins nor twins were computed */
    int64_t size;       /* D */
    int64_t twin_count; /* the first so many have a row in twin: 0, twins_limit or count */
    float
        *twin; /* [twin_count, D], network input; NULL without twins; rows whose status is not OK are zero */
    int64_t pseudo_count;  /* candidates that are not chosen and that the strategy labels itself */
    int64_t *pseudo_index; /* [pseudo_count] rows of the pool, ascending */
    int32_t *pseudo_label; /* as the pool counts its classes */
    /* Candidates passed over: an input or a logit was not finite. Of those that the strategy looked at, or
     * that were to be chosen: others may be so, too. */
    int64_t nonfinite;
    /* How DeepFool ended, by DFAL_SCORE_*: of the candidates whose margins a strategy asked for, else of the
     * queries that were to get twins; all 0: it did not run. */
    int64_t statuses[DFAL_SCORE_STATUS_ROOM];
    double seconds;
    struct df_fields facts; /* what the strategy knows of the set, by name; none: nothing */
};
/* What is told of rows that were passed over. */
#define DF_PASSED_OVER                                                                                       \
    "%lld row%s that the selection met %s not finite, in an input or a logit, and %s passed over"
#define DF_PASSED_OVER_VALUES(rows)                                                                          \
    (long long)(rows), (rows) == 1 ? "" : "s", (rows) == 1 ? "is" : "are", (rows) == 1 ? "was" : "were"
void df_selection_clear(struct df_selection *selection);
/* candidates [n]: unlabelled rows of the pool, any order. Fewer than options->count come back when they run
 * out.
 * Order    the result does not depend on the order of the candidates, nor on batch and threads
 * Memory   8 bytes a candidate for strategies with a number of its logits; 31 for margins that are computed;
 *          none for those of a file. 8 more when the candidates are not ascending, or a subsample is drawn
 * Errors   E_INTERNAL scores without a candidate's row; E_DATA the logits look like probabilities; those of
 *          the strategy */
dfal_status df_select(struct dfal_context *context, struct df_device *device,
                      const struct df_network *network, struct df_pool *pool, const int64_t *candidates,
                      int64_t n, const struct df_selection_options *options, struct df_selection *selection);
/* What k-center makes of a selection, whatever strategy chose it: the largest distance of a candidate to the
 * nearest labelled or chosen row. Where the strategy has the options node and outliers they hold, else the
 * features of the default and no outlier. NAN: the network has no features. The arguments are those of the
 * selection.
 * Errors   E_MEMORY, E_STOPPED */
dfal_status df_selection_radius(struct dfal_context *context, struct df_device *device,
                                const struct df_network *network, struct df_pool *pool,
                                const int64_t *candidates, int64_t n,
                                const struct df_selection_options *options,
                                const struct df_selection *selection, double *radius);

/* The columns of QUERIES.csv, "rank,id,...", without a line end; and those of a table that has the strategy
 * in front. */
#define DF_QUERY_COLUMNS        "rank,id,index,score,strategy,predicted,confidence,label,adversarial_class"
#define DF_QUERY_COLUMNS_BEHIND "rank,id,index,score,predicted,confidence,label,adversarial_class"
/* Behind them, and behind whatever a table has besides: the names of the three classes, empty where there are
 * none. */
#define DF_QUERY_NAME_COLUMNS   "predicted_name,label_name,adversarial_name"
/* One line of all of them; strategy NULL: of a table that has it in front. */
void df_query_line(struct df_text *text, const struct dfal_query *query);
/* The i-th of a selection; id and strategy are borrowed. */
struct dfal_query df_selection_query(const struct df_selection *selection, int64_t i, const char *id,
                                     const char *strategy, int32_t label);

/* The names of its classes; they are borrowed. */
void df_query_name(struct dfal_query *query, const struct df_classes *classes);

/* Pairs of chosen samples that are nearly the same: their distance is under 10 % of the median distance of
 * all pairs, or 0. x [count, D]. Of each group only pairs (earlier, later) with the earlier's lowest rank are
 * given; pairs [2 * count] ranks from 0. Only the first df_near_duplicates_limit(size) samples are compared:
 * 2,000, fewer where a sample is large. Errors   E_STOPPED, E_MEMORY */
int64_t df_near_duplicates_limit(int64_t size);
dfal_status df_near_duplicates(struct dfal_context *context, const float *x, int64_t count, int64_t size,
                               int64_t *pairs, int64_t *pair_count);

#endif
