/* SPDX-License-Identifier: Apache-2.0 */
/* curve.csv of a run directory, and what its last rounds say. */
#ifndef DF_RUN_CURVE_H
#define DF_RUN_CURVE_H

#include "base/text.h"
#include "run/config.h"

#define DF_CURVE_COLUMNS_FIRST                                                                               \
    "strategy,trial,round,annotations,labelled,accuracy,best_so_far,loss,train_seconds,select_seconds"
#define DF_CURVE_COLUMNS_SECOND DF_CURVE_COLUMNS_FIRST ",steps,round_seconds"
#define DF_CURVE_COLUMNS        DF_CURVE_COLUMNS_SECOND ",statuses"
#define DF_TRANSFER_COLUMNS     "strategy,trial,round,annotations,labelled,accuracy"
struct df_curve_row {
    char strategy[32];
    int32_t trial, round; /* from 1; from 0 */
    int64_t annotations, labelled;
    double accuracy, best_so_far, loss, train_seconds, select_seconds;
    int64_t steps;        /* of the optimiser, by the restart that was kept; -1: not known, a trainer's */
    double round_seconds; /* all of the round: choosing, training, testing; NAN: not known */
    char
        statuses[128]; /* "OK 298 MAX_ITER 2": how DeepFool ended while the round chose; "": it did not run */
};
struct df_curve {
    struct df_curve_row *rows;
    int64_t count;
};
void df_curve_line(struct df_text *text, const struct df_curve_row *row);
/* counts by DFAL_SCORE_* as text, and back. */
void df_curve_statuses(char text[128], const int64_t counts[DFAL_SCORE_STATUS_ROOM]);
void df_curve_count_statuses(int64_t counts[DFAL_SCORE_STATUS_ROOM], const char *text);
/* Read DIR/curve.csv, also one that ends with select_seconds; a line cut short at the end is left out. Errors
 * E_NOINPUT; E_DATA with its line */
dfal_status df_curve_read(struct df_curve *curve, const char *dir);
/* The accuracies in DIR/transfer.csv, the rest not known. Errors   the same */
dfal_status df_transfer_read(struct df_curve *curve, const char *dir);
void df_curve_clear(struct df_curve *curve);
/* What a run directory is known by. Errors   E_NOINPUT nothing is there; E_DATA something else is */
dfal_status df_run_directory_check(const char *dir);
/* Read DIR/config.yaml. Errors   those of df_run_directory_check; E_CONFIG */
dfal_status df_run_directory_config(struct df_run_config *config, const char *dir);

/* Mean and standard error over the trials of one strategy at one number of annotations. */
struct df_curve_point {
    int64_t annotations;
    int32_t trials;
    double mean, standard_error; /* of accuracy; the latter NAN for one trial */
};
/* Points of a strategy by ascending annotations, over the trials that have come to the most of them: one that
 * is still at work, or was stopped, counts when it is as far. Free *points with df_free. */
dfal_status df_curve_points(struct df_curve_point **points, int64_t *count, const struct df_curve *curve,
                            const char *strategy);
/* A trial's area under the curve, divided by the annotations that it spans, and how many it has come to. */
struct df_curve_area {
    double area;
    int64_t annotations; /* 0: it has no round */
};
/* Of all trials of a strategy: [trials], df_free. */
dfal_status df_curve_areas(struct df_curve_area **areas, const struct df_curve *curve, const char *strategy,
                           int32_t trials);
/* One row a strategy of the configuration, from the last rounds of the trials that have come to the most
 * annotations.   compared: with the differences to random and their tests */
dfal_status df_curve_summary(struct dfal_run_row rows[DF_MAX_STRATEGIES], const struct df_curve *curve,
                             const struct df_run_config *config, bool compared);

#endif
