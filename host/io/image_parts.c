/* SPDX-License-Identifier: Apache-2.0 */
#include "io/image_parts.h"

#include <stdlib.h>

#include "base/memory.h"
#include "graph/json_text.h"

enum { PART_BYTES = 16 << 20 };

static struct df_rows_kind kind_of(struct df_shape shape)
{
    return (struct df_rows_kind){
        .format = "dfal-import-part",
        .name = "file of pictures",
        .column_count = 3,
        .columns = {[DF_IMAGE_SAMPLE] = {.name = "sample",
                                         .type = DF_COLUMN_U8,
                                         .rank = 3,
                                         .dims = {shape.c, shape.h, shape.w}},
                    [DF_IMAGE_MARKS] = {.name = "marks", .type = DF_COLUMN_U8},
                    [DF_IMAGE_REASON] = {.name = "reason", .type = DF_COLUMN_TEXT}},
    };
}

static dfal_status look(struct df_row_piece *piece, const struct df_shards *shards,
                        const struct df_image_list *list, int64_t i)
{
    int64_t begin, end;
    df_shards_rows(shards, i, &begin, &end);
    *piece = (struct df_row_piece){.first = begin, .count = end - begin};
    return df_image_list_look(list, begin, end, &piece->sum);
}

dfal_status df_image_parts_look(struct df_image_parts *parts, const struct df_image_list *list, int64_t i)
{
    return look(&parts->shards.hashes.pieces[i], &parts->shards, list, i);
}

/* Whether the files of a finished part look as they did when it was made. */
static dfal_status compare(struct df_image_parts *parts, const struct df_image_list *list, int64_t i,
                           bool *same)
{
    struct df_shards *shards = &parts->shards;
    struct df_rows_reader *reader;
    struct df_row_hashes then;
    struct df_row_piece now;
    *same = false;
    DF_TRY(look(&now, shards, list, i));
    DF_TRY(df_shards_reader(shards, i, &reader));
    dfal_status status = df_rows_take_hashes(reader, now.first, now.first + now.count, &then);
    df_rows_close(reader);
    DF_TRY(status);
    *same =
        then.count == 1 && then.pieces[0].count == now.count && df_row_sum_same(then.pieces[0].sum, now.sum);
    df_row_hashes_close(&then);
    return DFAL_OK;
}

static dfal_status compare_all(struct df_image_parts *parts, const struct df_image_list *list)
{
    struct df_shards *shards = &parts->shards;
    for (int64_t i = 0; i < shards->count; i++) {
        bool same;
        int64_t begin, end;
        if (!shards->finished[i])
            continue;
        DF_TRY(compare(parts, list, i, &same));
        df_shards_rows(shards, i, &begin, &end);
        shards->finished[i] = same;
        shards->finished_rows -= same ? 0 : end - begin;
    }
    return DFAL_OK;
}

dfal_status df_image_parts_open(struct df_image_parts *parts, const char *out_path,
                                const struct df_identity *identity, const struct df_image_list *list,
                                struct df_shape shape, bool allow_mixed, bool force)
{
    char *configuration = NULL;
    *parts = (struct df_image_parts){.kind = kind_of(shape),
                                     .head = {.pool_count = list->count, .range_end = list->count}};
    DF_TRY(df_identity_to_json(identity, &configuration));
    dfal_status status = df_strdup(&parts->head.configuration, configuration);
    free(configuration);
    DF_TRY(status);
    const struct df_shards_cut cut = {0, list->count, df_shard_rows(&parts->kind, PART_BYTES, DF_SHARD_ROWS)};
    DF_TRY(df_shards_open(&parts->shards, out_path, &parts->kind, cut, &parts->head, allow_mixed, force));
    DF_TRY(compare_all(parts, list));
    parts->ours = true;
    return DFAL_OK;
}

void df_image_parts_close(struct df_image_parts *parts, bool keep)
{
    if (parts->ours)
        df_shards_remove(&parts->shards, !keep);
    df_shards_close(&parts->shards);
    df_rows_head_clear(&parts->head);
}

dfal_status df_image_part_write(struct df_image_parts *parts, int64_t i, const struct df_rows *rows)
{
    return df_shards_write(&parts->shards, &i, &rows, 1);
}
