/* SPDX-License-Identifier: Apache-2.0 */
#include "score/adversarial.h"

#include <inttypes.h>
#include <string.h>

#include "base/memory.h"
#include "store/row_rank.h"

/* Images by rank. */
struct image_sink {
    struct df_margin_sink sink;
    const struct df_rows_head *head;
    const struct df_least_row *near; /* [count], in rank order */
    struct df_row_ranks ranks;
    int64_t size;
    float *images; /* [count, size] */
};

static dfal_status image_put(struct df_margin_sink *self, const struct df_margin *margin,
                             const float *adversarial)
{
    struct image_sink *sink = (struct image_sink *)self;
    const int64_t rank = df_row_rank(&sink->ranks, margin->index);
    if (rank < 0)
        DF_FAIL(DFAL_E_INTERNAL, "row %" PRId64 " is not among the closest", margin->index);
    const float stored = (float)sink->near[rank].key; /* it came from there */
    const bool mixed = sink->head->mixed[0] != '\0';
    const double tolerance = mixed ? df_margin_tolerance(sink->head) : 0;
    if (!adversarial || df_margin_error(stored, margin->margin) > tolerance) {
        if (mixed)
            DF_FAIL(DFAL_E_DATA,
                    "row %" PRId64
                    " gave margin %.9g, then %.9g: the rows are mixed (%s) and do not agree within %g, "
                    "expected them from one arithmetic; `force` begins anew",
                    margin->index, (double)stored, (double)margin->margin, sink->head->mixed, tolerance);
        DF_FAIL(DFAL_E_INTERNAL, "row %" PRId64 " gave margin %.9g, then %.9g", margin->index, (double)stored,
                (double)margin->margin);
    }
    memcpy(sink->images + rank * sink->size, adversarial, (size_t)sink->size * sizeof(float));
    return DFAL_OK;
}

dfal_status df_adversarial_write(struct df_deepfool_engine *engine, struct df_rows_writer *writer,
                                 struct df_pool *pool, const struct df_summary *summary,
                                 const struct df_rows_head *head)
{
    const int64_t count = summary->near.count, size = df_shape_size(pool->shape);
    int64_t *rows = NULL;
    struct df_row_stream *stream = NULL;
    struct df_list_source source;
    struct image_sink sink = {.sink = {.put = image_put, .wants_adversarial = true},
                              .head = head,
                              .near = summary->near.rows,
                              .size = size};
    dfal_status status;
    DF_TRY_TO(done, status, df_alloc(&rows, count, sizeof *rows));
    DF_TRY_TO(done, status, df_alloc(&sink.images, count * size, sizeof *sink.images));
    for (int64_t i = 0; i < count; i++)
        rows[i] = summary->near.rows[i].index;
    DF_TRY_TO(done, status, df_row_ranks_open(&sink.ranks, rows, count));
    df_list_source_init(&source, rows, count);
    if (count > 0) {
        DF_TRY_TO(done, status, df_stream_open(&stream, pool, &source.source));
        DF_TRY_TO(done, status, df_deepfool_run(engine, stream, &sink.sink, NULL));
    }
    status = df_scores_put_images(writer, sink.images, rows, count, pool->shape);
done:
    df_stream_close(stream);
    df_row_ranks_close(&sink.ranks);
    df_free(rows);
    df_free(sink.images);
    return status;
}
