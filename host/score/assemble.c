/* SPDX-License-Identifier: Apache-2.0 */
#include "score/assemble.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

dfal_status df_summary_open(struct df_summary *summary, int64_t rows, int64_t near_limit)
{
    memset(summary, 0, sizeof *summary);
    summary->near_limit = near_limit < rows ? near_limit : rows;
    DF_TRY(df_alloc(&summary->near, summary->near_limit, sizeof *summary->near));
    return df_quantiles_open(&summary->margins);
}

void df_summary_close(struct df_summary *summary)
{
    df_free(summary->near);
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

static void add_scores(struct df_summary *summary, const struct df_scores *scores, const struct df_pool *pool)
{
    summary->samples += scores->count;
    for (int64_t i = 0; i < scores->count; i++) {
        summary->iterations += scores->iterations[i];
        if (scores->status[i] < DFAL_SCORE_STATUS_COUNT)
            summary->status[scores->status[i]]++;
        if (pool && pool->labels && pool->labels[scores->index[i]] >= 0) {
            summary->labelled++;
            summary->right += pool->labels[scores->index[i]] == scores->label[i];
        }
        if (scores->status[i] > DFAL_SCORE_TIE)
            continue;
        df_quantiles_first(&summary->margins, scores->margin[i]);
        add_near(summary, (struct df_near){scores->margin[i], scores->index[i]});
    }
}

/* The second pass over the margins, and the neighbours in rank order. */
static dfal_status finish_summary(struct df_summary *summary, const struct df_shards *shards)
{
    df_quantiles_turn(&summary->margins);
    for (int64_t i = 0; i < shards->count; i++) {
        struct df_scores scores = {0};
        const dfal_status status = df_shards_read(shards, i, &scores);
        for (int64_t row = 0; status == DFAL_OK && row < scores.count; row++)
            if (scores.status[row] <= DFAL_SCORE_TIE)
                df_quantiles_second(&summary->margins, scores.margin[row]);
        df_scores_clear(&scores);
        DF_TRY(status);
    }
    df_quantiles_values(&summary->margins, summary->quantile);
    qsort(summary->near, (size_t)summary->near_count, sizeof *summary->near, compare_near);
    return DFAL_OK;
}

static dfal_status add_ids(struct df_scores *scores, struct df_pool *pool)
{
    if (scores->id)
        return DFAL_OK;
    DF_TRY(df_alloc(&scores->id, scores->count, sizeof *scores->id));
    return df_pool_ids(pool, scores->id, scores->index[0], scores->count);
}

dfal_status df_assemble(struct dfal_context *context, struct df_scores_writer *writer,
                        const struct df_shards *shards, struct df_pool *pool, struct df_summary *summary)
{
    for (int64_t i = 0; i < shards->count; i++) {
        DF_TRY(df_context_check_stop(context));
        struct df_scores scores = {0};
        dfal_status status = df_shards_read(shards, i, &scores);
        if (status == DFAL_OK)
            status = add_ids(&scores, pool);
        if (status == DFAL_OK)
            status = df_scores_append(writer, &scores);
        if (status == DFAL_OK)
            add_scores(summary, &scores, pool);
        df_scores_clear(&scores);
        DF_TRY(status);
    }
    return finish_summary(summary, shards);
}

/* Images by rank. */
struct image_sink {
    struct df_sink sink;
    const struct df_near *near; /* sorted by row, rank beside */
    const int64_t *rank;
    int64_t count, size;
    float *images; /* [count, size] */
};

static dfal_status image_put(struct df_sink *self, const struct df_margin *margin, const float *adversarial)
{
    struct image_sink *sink = (struct image_sink *)self;
    int64_t low = 0, high = sink->count;
    while (high - low > 1) {
        const int64_t middle = (low + high) / 2;
        if (sink->near[middle].index <= margin->index)
            low = middle;
        else
            high = middle;
    }
    if (!adversarial || sink->near[low].index != margin->index || sink->near[low].margin != margin->margin)
        DF_FAIL(DFAL_E_INTERNAL, "row %lld gave margin %.9g, then %.9g", (long long)margin->index,
                (double)sink->near[low].margin, (double)margin->margin);
    memcpy(sink->images + sink->rank[low] * sink->size, adversarial, (size_t)sink->size * sizeof(float));
    return DFAL_OK;
}

static int compare_rows(const void *a, const void *b)
{
    const struct df_near *x = a, *y = b;
    return x->index < y->index ? -1 : x->index > y->index;
}

static int64_t find_row(const struct df_near *by_row, int64_t count, int64_t row)
{
    const struct df_near key = {.index = row};
    const struct df_near *at = bsearch(&key, by_row, (size_t)count, sizeof key, compare_rows);
    return at - by_row;
}

dfal_status df_write_adversarial(struct df_deepfool_engine *engine, struct df_scores_writer *writer,
                                 struct df_pool *pool, const struct df_summary *summary)
{
    const int64_t count = summary->near_count, size = df_shape_size(pool->shape);
    int64_t *rows = NULL, *rank = NULL;
    struct df_near *by_row = NULL;
    struct df_row_stream *stream = NULL;
    struct image_sink sink = {
        .sink = {.put = image_put, .wants_adversarial = true}, .count = count, .size = size};
    dfal_status status;
    DF_TRY_TO(done, status, df_alloc(&rows, count, sizeof *rows));
    DF_TRY_TO(done, status, df_alloc(&rank, count, sizeof *rank));
    DF_TRY_TO(done, status, df_alloc(&by_row, count, sizeof *by_row));
    DF_TRY_TO(done, status, df_alloc(&sink.images, count * size, sizeof *sink.images));
    if (count > 0) {
        memcpy(by_row, summary->near, (size_t)count * sizeof *by_row);
        qsort(by_row, (size_t)count, sizeof *by_row, compare_rows);
        for (int64_t i = 0; i < count; i++) {
            rows[i] = summary->near[i].index;
            rank[find_row(by_row, count, rows[i])] = i;
        }
        sink.near = by_row;
        sink.rank = rank;
        struct df_list_source source;
        df_list_source_init(&source, rows, count);
        DF_TRY_TO(done, status, df_stream_open(&stream, pool, &source.source));
        DF_TRY_TO(done, status, df_deepfool_run(engine, stream, &sink.sink, NULL));
    }
    status = df_scores_adversarial(writer, sink.images, rows, count, pool->shape);
done:
    df_stream_close(stream);
    df_free(rows);
    df_free(rank);
    df_free(by_row);
    df_free(sink.images);
    return status;
}
