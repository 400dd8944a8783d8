/* SPDX-License-Identifier: Apache-2.0 */
#include "score/adversarial.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* Images by rank. */
struct image_sink {
    struct df_margin_sink sink;
    const struct df_least_row *near; /* sorted by row, rank beside */
    const int64_t *rank;
    int64_t count, size;
    float *images; /* [count, size] */
};

static dfal_status image_put(struct df_margin_sink *self, const struct df_margin *margin,
                             const float *adversarial)
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
    if (!adversarial || sink->near[low].index != margin->index ||
        sink->near[low].key != (double)margin->margin)
        DF_FAIL(DFAL_E_INTERNAL, "row %lld gave margin %.9g, then %.9g", (long long)margin->index,
                sink->near[low].key, (double)margin->margin);
    memcpy(sink->images + sink->rank[low] * sink->size, adversarial, (size_t)sink->size * sizeof(float));
    return DFAL_OK;
}

static int compare_rows(const void *a, const void *b)
{
    const struct df_least_row *x = a, *y = b;
    return x->index < y->index ? -1 : x->index > y->index;
}

static int64_t find_row(const struct df_least_row *by_row, int64_t count, int64_t row)
{
    const struct df_least_row key = {.index = row};
    const struct df_least_row *at = bsearch(&key, by_row, (size_t)count, sizeof key, compare_rows);
    return at - by_row;
}

dfal_status df_adversarial_write(struct df_deepfool_engine *engine, struct df_rows_writer *writer,
                                 struct df_pool *pool, const struct df_summary *summary)
{
    const int64_t count = summary->near.count, size = df_shape_size(pool->shape);
    int64_t *rows = NULL, *rank = NULL;
    struct df_least_row *by_row = NULL;
    struct df_row_stream *stream = NULL;
    struct image_sink sink = {
        .sink = {.put = image_put, .wants_adversarial = true}, .count = count, .size = size};
    dfal_status status;
    DF_TRY_TO(done, status, df_alloc(&rows, count, sizeof *rows));
    DF_TRY_TO(done, status, df_alloc(&rank, count, sizeof *rank));
    DF_TRY_TO(done, status, df_alloc(&by_row, count, sizeof *by_row));
    DF_TRY_TO(done, status, df_alloc(&sink.images, count * size, sizeof *sink.images));
    if (count > 0) {
        memcpy(by_row, summary->near.rows, (size_t)count * sizeof *by_row);
        qsort(by_row, (size_t)count, sizeof *by_row, compare_rows);
        for (int64_t i = 0; i < count; i++) {
            rows[i] = summary->near.rows[i].index;
            rank[find_row(by_row, count, rows[i])] = i;
        }
        sink.near = by_row;
        sink.rank = rank;
        struct df_list_source source;
        df_list_source_init(&source, rows, count);
        DF_TRY_TO(done, status, df_stream_open(&stream, pool, &source.source));
        DF_TRY_TO(done, status, df_deepfool_run(engine, stream, &sink.sink, NULL));
    }
    status = df_scores_put_images(writer, sink.images, rows, count, pool->shape);
done:
    df_stream_close(stream);
    df_free(rows);
    df_free(rank);
    df_free(by_row);
    df_free(sink.images);
    return status;
}
