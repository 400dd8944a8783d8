/* SPDX-License-Identifier: Apache-2.0 */
/* The final scores file out of its shards, one shard in memory at a time, and what is summed up on the way. */
#ifndef DF_SCORE_ASSEMBLE_H
#define DF_SCORE_ASSEMBLE_H

#include "score/quantile.h"
#include "score/shards.h"

struct df_near {
    float margin;
    int64_t index;
};
/* Counts a status, quantiles, accuracy, and the q rows with an adversarial image (OK, TIE) that lie closest, in
 * rank order: margin, then row. */
struct df_summary {
    int64_t samples, iterations, status[DFAL_SCORE_STATUS_COUNT];
    double quantile[DF_QUANTILES];
    int64_t labelled, right;
    int64_t near_limit, near_count;
    struct df_near *near;
    struct df_quantiles margins; /* of OK and TIE */
};
dfal_status df_summary_open(struct df_summary *summary, int64_t rows, int64_t near_limit);
void df_summary_close(struct df_summary *summary);

/* Read every shard in order: into the writer (with their ids) and the summary. */
dfal_status df_assemble(struct dfal_context *context, struct df_scores_writer *writer,
                        const struct df_shards *shards, struct df_pool *pool, struct df_summary *summary);
/* Run the q closest once more and write their adversarial images in rank order. */
dfal_status df_write_adversarial(struct df_deepfool_engine *engine, struct df_scores_writer *writer,
                                 struct df_pool *pool, const struct df_summary *summary);

#endif
