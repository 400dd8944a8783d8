/* SPDX-License-Identifier: Apache-2.0 */
/* What is summed up of a job's rows while they are written. No sum depends on the order in which shards
 * come. */
#ifndef DF_SCORE_SUMMARY_H
#define DF_SCORE_SUMMARY_H

#include "base/context.h"
#include "score/least.h"
#include "score/quantile.h"
#include "store/scores.h"

/* Counts a status, quantiles, accuracy, and the q rows with an adversarial image (OK, TIE) that lie closest,
 * in rank order: margin, then row. */
struct df_summary {
    int64_t samples, iterations, status[DFAL_SCORE_STATUS_COUNT];
    double quantile[DF_QUANTILES];
    int64_t labelled, right;
    struct df_least near;        /* keys are margins */
    struct df_quantiles margins; /* of OK and TIE */
    float *kept; /* the same margins for the second pass; NULL: too many rows, the file has them */
    int64_t kept_count;
};
/* Rows whose margins are kept in memory, and bytes that they take then. */
int64_t df_summary_kept_limit(const struct dfal_context *context);
int64_t df_summary_bytes(const struct dfal_context *context, int64_t rows);
/* Margins of at most kept_limit rows are kept in memory. */
dfal_status df_summary_open(struct df_summary *summary, int64_t rows, int64_t near_limit, int64_t kept_limit);
void df_summary_close(struct df_summary *summary);
/* More rows; labels of the pool where it has some. */
void df_summary_add(struct df_summary *summary, const struct df_scores *scores, const struct df_pool *pool);
/* All rows were added, and put into the writer of their file: the second pass over the margins, and the
 * neighbours in rank order. */
dfal_status df_summary_finish(struct df_summary *summary, struct df_rows_writer *writer);

#endif
