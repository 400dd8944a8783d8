/* SPDX-License-Identifier: Apache-2.0 */
#include "score/summary.h"

#include <string.h>

#include "base/memory.h"

enum { BLOCK_ROWS = 65536 };

int64_t df_summary_kept_limit(const struct dfal_context *context)
{
    return context->memory >= (int64_t)1 << 30 ? 16 << 20 : 1 << 20;
}

int64_t df_summary_bytes(const struct dfal_context *context, int64_t rows)
{
    return rows <= df_summary_kept_limit(context) ? rows * (int64_t)sizeof(float) : 0;
}

dfal_status df_summary_open(struct df_summary *summary, int64_t rows, int64_t near_limit, int64_t kept_limit)
{
    memset(summary, 0, sizeof *summary);
    DF_TRY(df_least_open(&summary->near, near_limit < rows ? near_limit : rows));
    if (rows <= kept_limit)
        DF_TRY(df_alloc(&summary->kept, rows, sizeof *summary->kept));
    return df_quantiles_open(&summary->margins);
}

void df_summary_close(struct df_summary *summary)
{
    df_least_close(&summary->near);
    df_free(summary->kept);
    df_quantiles_close(&summary->margins);
    memset(summary, 0, sizeof *summary);
}

void df_summary_add(struct df_summary *summary, const struct df_scores *scores, const struct df_pool *pool)
{
    summary->samples += scores->count;
    for (int64_t i = 0; i < scores->count; i++) {
        summary->iterations += scores->iterations[i];
        if (scores->status[i] < DFAL_SCORE_STATUS_COUNT)
            summary->status[scores->status[i]]++;
        /* What is not finite is predicted as nothing. */
        if (pool && pool->labels && pool->labels[scores->index[i]] >= 0 && scores->label[i] >= 0) {
            summary->labelled++;
            summary->right += pool->labels[scores->index[i]] == scores->label[i];
        }
        if (scores->status[i] > DFAL_SCORE_TIE)
            continue;
        df_quantiles_first(&summary->margins, scores->margin[i]);
        if (summary->kept)
            summary->kept[summary->kept_count++] = scores->margin[i];
        df_least_add(&summary->near, (double)scores->margin[i], scores->index[i]);
    }
}

/* The second pass over a file's margins. */
static dfal_status pass_again(struct df_summary *summary, struct df_rows_writer *writer)
{
    float *margin = NULL;
    uint8_t *status_of = NULL;
    dfal_status status;
    DF_TRY_TO(done, status, df_alloc(&margin, BLOCK_ROWS, sizeof *margin));
    DF_TRY_TO(done, status, df_alloc(&status_of, BLOCK_ROWS, sizeof *status_of));
    for (int64_t at = 0; at < summary->samples; at += BLOCK_ROWS) {
        const int64_t count = summary->samples - at < BLOCK_ROWS ? summary->samples - at : BLOCK_ROWS;
        DF_TRY_TO(done, status, df_rows_reread(writer, DF_SCORES_margin, at, count, margin));
        DF_TRY_TO(done, status, df_rows_reread(writer, DF_SCORES_status, at, count, status_of));
        for (int64_t i = 0; i < count; i++)
            if (status_of[i] <= DFAL_SCORE_TIE)
                df_quantiles_second(&summary->margins, margin[i]);
    }
done:
    df_free(margin);
    df_free(status_of);
    return status;
}

dfal_status df_summary_finish(struct df_summary *summary, struct df_rows_writer *writer)
{
    df_quantiles_turn(&summary->margins);
    for (int64_t i = 0; i < summary->kept_count; i++)
        df_quantiles_second(&summary->margins, summary->kept[i]);
    if (!summary->kept)
        DF_TRY(pass_again(summary, writer));
    df_quantiles_values(&summary->margins, summary->quantile);
    df_least_sort(&summary->near);
    return DFAL_OK;
}
