/* SPDX-License-Identifier: Apache-2.0 */
#include "job/sink.h"

#include <string.h>

/* Bring the shard of this number to the front; one that is not there yet is begun. */
static dfal_status open_shard(struct df_shard_sink *sink, int64_t shard, int64_t count)
{
    struct df_shard_rows **at = &sink->open, *rows;
    while (*at && (*at)->shard != shard)
        at = &(*at)->next;
    rows = *at;
    if (rows) {
        *at = rows->next;
    } else {
        DF_TRY(df_output_take(sink->output, &rows));
        rows->shard = shard;
        rows->filled = 0;
        rows->rows.count = count;
    }
    rows->next = sink->open;
    sink->open = rows;
    return DFAL_OK;
}

dfal_status df_shard_sink_row(struct df_shard_sink *sink, int64_t row, struct df_rows **rows, int64_t *at)
{
    const int64_t shard = row / sink->shards->cut.shard_rows - sink->shards->first;
    int64_t begin, end;
    df_shards_rows(sink->shards, shard, &begin, &end);
    DF_TRY(df_output_error(sink->output));
    if (!sink->open || sink->open->shard != shard)
        DF_TRY(open_shard(sink, shard, end - begin));
    *rows = &sink->open->rows;
    *at = row - begin;
    (*rows)->index[*at] = row;
    return DFAL_OK;
}

void df_shard_sink_stored(struct df_shard_sink *sink)
{
    struct df_shard_rows *rows = sink->open;
    if (++rows->filled < rows->rows.count)
        return;
    sink->open = rows->next;
    df_output_give(sink->output, rows);
}

void df_shard_sink_init(struct df_shard_sink *sink, const struct df_shards *shards, struct df_output *output)
{
    *sink = (struct df_shard_sink){.shards = shards, .output = output};
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
