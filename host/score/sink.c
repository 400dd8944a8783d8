/* SPDX-License-Identifier: Apache-2.0 */
#include "score/sink.h"

#include <string.h>

/* Bring the shard of this number to the front; one that is not there yet is begun. */
static dfal_status open_shard(struct df_shard_sink *sink, int64_t shard)
{
    struct df_shard_rows **at = &sink->open, *rows;
    while (*at && (*at)->shard != shard)
        at = &(*at)->next;
    rows = *at;
    if (rows) {
        *at = rows->next;
    } else {
        DF_TRY(df_output_take(sink->output, &rows));
        int64_t begin, end;
        df_shards_rows(sink->shards, shard, &begin, &end);
        rows->shard = shard;
        rows->filled = 0;
        rows->scores.count = end - begin;
    }
    rows->next = sink->open;
    sink->open = rows;
    return DFAL_OK;
}

static dfal_status shard_put(struct df_sink *self, const struct df_margin *margin, const float *adversarial)
{
    (void)adversarial;
    struct df_shard_sink *sink = (struct df_shard_sink *)self;
    const int64_t shard = margin->index / DF_SHARD_ROWS - sink->shards->first;
    DF_TRY(df_output_error(sink->output));
    if (!sink->open || sink->open->shard != shard)
        DF_TRY(open_shard(sink, shard));
    int64_t begin, end;
    df_shards_rows(sink->shards, shard, &begin, &end);
    struct df_shard_rows *rows = sink->open;
    const struct df_scores *s = &rows->scores;
    df_margin_store(s, margin->index - begin, margin);
    if (++rows->filled == s->count) {
        sink->open = rows->next;
        df_output_give(sink->output, rows);
    }
    return DFAL_OK;
}

void df_shard_sink_init(struct df_shard_sink *sink, const struct df_shards *shards, struct df_output *output)
{
    *sink = (struct df_shard_sink){.sink.put = shard_put, .shards = shards, .output = output};
}

void df_shard_sink_clear(struct df_shard_sink *sink)
{
    while (sink->open) {
        struct df_shard_rows *rows = sink->open;
        sink->open = rows->next;
        df_output_drop(sink->output, rows);
    }
    memset(sink, 0, sizeof *sink);
}
