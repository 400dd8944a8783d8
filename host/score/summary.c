/* SPDX-License-Identifier: Apache-2.0 */
#include "score/summary.h"

#include <stdlib.h>
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
    summary->near_limit = near_limit < rows ? near_limit : rows;
    DF_TRY(df_alloc(&summary->near, summary->near_limit, sizeof *summary->near));
    if (rows <= kept_limit)
        DF_TRY(df_alloc(&summary->kept, rows, sizeof *summary->kept));
    return df_quantiles_open(&summary->margins);
}

void df_summary_close(struct df_summary *summary)
{
    df_free(summary->near);
    df_free(summary->kept);
    df_quantiles_close(&summary->margins);
    memset(summary, 0, sizeof *summary);
}

/* Closer first; ties by row. */
static int compare_near(const void *a, const void *b)
{
    const struct df_near *x = a, *y = b;
    if (x->margin != y->margin)
        return x->margin < y->margin ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

/* near is a heap with its farthest on top while rows come in. */
static void sift_down(struct df_near *heap, int64_t count, int64_t at)
{
    for (;;) {
        int64_t child = 2 * at + 1;
        if (child >= count)
            return;
        if (child + 1 < count && compare_near(&heap[child], &heap[child + 1]) < 0)
            child++;
        if (compare_near(&heap[at], &heap[child]) >= 0)
            return;
        const struct df_near t = heap[at];
        heap[at] = heap[child];
        heap[child] = t;
        at = child;
    }
}

static void add_near(struct df_summary *summary, struct df_near near)
{
    struct df_near *heap = summary->near;
    if (summary->near_count < summary->near_limit) {
        heap[summary->near_count++] = near;
        if (summary->near_count == summary->near_limit)
            for (int64_t at = summary->near_limit / 2; at >= 0; at--)
                sift_down(heap, summary->near_limit, at);
    } else if (summary->near_limit > 0 && compare_near(&near, &heap[0]) < 0) {
        heap[0] = near;
        sift_down(heap, summary->near_limit, 0);
    }
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
        add_near(summary, (struct df_near){scores->margin[i], scores->index[i]});
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
    qsort(summary->near, (size_t)summary->near_count, sizeof *summary->near, compare_near);
    return DFAL_OK;
}
