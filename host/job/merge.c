/* SPDX-License-Identifier: Apache-2.0 */
#include "job/merge.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/claim.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/pieces.h"

/* ---- Which parts ------------------------------------------------------------------------------ */

static int by_rows(const void *a, const void *b)
{
    const struct df_rows_head *x = &((const struct df_merge_part *)a)->head,
                              *y = &((const struct df_merge_part *)b)->head;
    if (x->range_begin != y->range_begin)
        return x->range_begin < y->range_begin ? -1 : 1;
    return x->range_end < y->range_end ? -1 : x->range_end > y->range_end;
}

/* Shards of one job, each said to be K of N. */
static dfal_status check_shard_numbers(const struct df_merge_part *parts, int32_t count)
{
    struct df_piece *pieces;
    DF_TRY(df_alloc(&pieces, count, sizeof *pieces));
    for (int32_t i = 0; i < count; i++)
        pieces[i] = (struct df_piece){parts[i].path, parts[i].head.shard, parts[i].head.shard_count};
    const dfal_status status = df_pieces_check(pieces, count, "shard");
    df_free(pieces);
    return status;
}

/* Parts in order of their rows: each begins where the one before ends. Ranges have to cover the pool. */
static dfal_status check_rows(const struct df_merge_part *parts, int32_t count)
{
    const bool sharded = parts[0].head.shard_count > 0;
    const int64_t rows = parts[0].head.pool_count;
    int64_t expected = sharded ? parts[0].head.range_begin : 0;
    const char *before = "the pool's first row";
    for (int32_t i = 0; i < count; i++) {
        const struct df_rows_head *head = &parts[i].head;
        if (head->range_begin > expected)
            DF_FAIL(DFAL_E_DATA, "rows %" PRId64 " to %" PRId64 " are missing, between %s and %s", expected,
                    head->range_begin - 1, before, parts[i].path);
        if (i > 0 && head->range_begin == parts[i - 1].head.range_begin && head->range_end == expected)
            DF_FAIL(DFAL_E_DATA, "rows %" PRId64 " to %" PRId64 " are there twice: %s and %s",
                    head->range_begin, head->range_end - 1, before, parts[i].path);
        if (head->range_begin < expected)
            DF_FAIL(DFAL_E_DATA, "%s and %s overlap in rows %" PRId64 " to %" PRId64, before, parts[i].path,
                    head->range_begin, (expected < head->range_end ? expected : head->range_end) - 1);
        expected = head->range_end;
        before = parts[i].path;
    }
    if (!sharded && expected < rows)
        DF_FAIL(DFAL_E_DATA, "rows %" PRId64 " to %" PRId64 " are missing, behind %s", expected, rows - 1,
                before);
    return DFAL_OK;
}

static dfal_status read_head(struct df_merge_part *part, const char *path, const struct df_rows_kind *kind)
{
    struct df_rows_reader *reader;
    dfal_status status = DFAL_OK;
    part->path = path;
    DF_TRY(df_rows_open(&reader, &part->head, path, NULL));
    if (strcmp(df_rows_format(reader), kind->format) != 0)
        status = df_fail(DFAL_E_DATA, "%s is %s, expected %s as the others are", path, df_rows_format(reader),
                         kind->format);
    df_rows_close(reader);
    return status;
}

static dfal_status read_heads(struct df_merge_part *parts, const char *const *paths, int32_t count,
                              const struct df_rows_kind *kind, bool allow_mixed)
{
    for (int32_t i = 0; i < count; i++)
        DF_TRY(read_head(&parts[i], paths[i], kind));
    for (int32_t i = 0; i < count; i++)
        DF_TRY(df_rows_head_compare(&parts[0].head, &parts[i].head, allow_mixed, paths[i], ""));
    if (parts[0].head.shard_count > 0)
        DF_TRY(check_shard_numbers(parts, count));
    qsort(parts, (size_t)count, sizeof *parts, by_rows);
    return check_rows(parts, count);
}

static dfal_status copy_path(char **to, const char *from)
{
    return from ? df_strdup(to, from) : DFAL_OK;
}

/* The first part's head, said of all rows. */
static dfal_status joined_head(struct df_rows_head *head, const struct df_merge_part *parts, int32_t count,
                               const char *command_line)
{
    *head = parts[0].head;
    head->configuration = head->command_line = head->network_path = head->pool_path = NULL;
    head->range_end = parts[count - 1].head.range_end;
    head->shard = head->shard_count = 0;
    for (int32_t i = 0; i < count; i++)
        df_rows_head_mix(head, &parts[i].head);
    DF_TRY(copy_path(&head->configuration, parts[0].head.configuration));
    DF_TRY(df_strdup(&head->command_line, command_line ? command_line : ""));
    DF_TRY(copy_path(&head->network_path, parts[0].head.network_path));
    return copy_path(&head->pool_path, parts[0].head.pool_path);
}

/* ---- Joining ---------------------------------------------------------------------------------- */

/* What ids the parts have. */
struct ids {
    const char *path; /* the first that has some; NULL: none yet */
    bool made;
};

struct merge {
    struct dfal_context *context;
    const struct df_rows_kind *kind;
    const struct df_merge_client *client;
    void *user;
    struct df_merge_part *parts;
    int32_t count;
    struct df_rows_head head;
    struct df_row_hashes hashes;
    struct ids ids;
    struct df_rows_writer *writer;
};

struct copy {
    struct df_rows_writer *writer;
    const struct df_merge_part *part;
    struct ids *ids;
};

/* Pools of the same samples have one fingerprint, be their ids their own or made of it. */
static dfal_status check_ids(struct ids *ids, const struct df_merge_part *part, const struct df_rows *block)
{
    if (block->count == 0 || !block->id)
        return DFAL_OK;
    const bool made = df_id_is_made(block->id[0], part->head.pool_fingerprint, block->index[0]);
    if (!ids->path)
        *ids = (struct ids){part->path, made};
    if (ids->made != made)
        DF_FAIL(DFAL_E_DATA,
                "%s has ids of its pool, %s is of a pool without ids: expected parts of one pool",
                made ? ids->path : part->path, made ? part->path : ids->path);
    return DFAL_OK;
}

static dfal_status copy_block(void *user, int64_t begin, const struct df_rows *block)
{
    const struct copy *copy = user;
    const int64_t expected = copy->part->head.range_begin + begin;
    for (int64_t i = 0; i < block->count; i++)
        if (block->index[i] != expected + i)
            DF_FAIL(DFAL_E_DATA, "%s holds row %" PRId64 " at %" PRId64 ", its head says %" PRId64,
                    copy->part->path, block->index[i], begin + i, expected + i);
    if (begin == 0)
        DF_TRY(check_ids(copy->ids, copy->part, block));
    return df_rows_append(copy->writer, block);
}

static dfal_status join_hashes(struct df_row_hashes *hashes, struct df_rows_reader *reader,
                               const struct df_rows_head *head)
{
    struct df_row_hashes own;
    DF_TRY(df_rows_take_hashes(reader, head->range_begin, head->range_end, &own));
    df_row_hashes_join_all(hashes, &own);
    df_row_hashes_close(&own);
    return DFAL_OK;
}

/* Copy one part's rows. */
static dfal_status append(struct merge *merge, const char *out_path, int32_t i)
{
    const struct df_merge_part *part = &merge->parts[i];
    struct df_rows_head head;
    struct df_rows_reader *reader;
    dfal_status status;
    DF_TRY(df_context_check_stop(merge->context));
    DF_TRY(df_rows_open(&reader, &head, part->path, merge->kind));
    if (df_rows_count(reader) != head.range_end - head.range_begin) {
        status = df_fail(DFAL_E_DATA, "%s holds %" PRId64 " rows, its head says %" PRId64 ":%" PRId64,
                         part->path, df_rows_count(reader), head.range_begin, head.range_end);
        goto done;
    }
    if (merge->client->look) /* here, as it takes longer to open a file than to read most of them */
        DF_TRY_TO(done, status, merge->client->look(merge->user, part, i, reader));
    if (!merge->writer)
        DF_TRY_TO(done, status,
                  df_rows_create(&merge->writer, out_path, merge->kind, &merge->head,
                                 merge->head.range_end - merge->head.range_begin, df_rows_have_ids(reader),
                                 merge->context->options.force));
    DF_TRY_TO(done, status,
              df_rows_each(reader, true, copy_block, &(struct copy){merge->writer, part, &merge->ids}));
    status = join_hashes(&merge->hashes, reader, &head);
done:
    df_rows_close(reader);
    df_rows_head_clear(&head);
    return status;
}

static dfal_status join(struct merge *merge, const char *out_path)
{
    struct df_row_hashes *hashes = &merge->hashes;
    DF_TRY(df_row_hashes_open(hashes, merge->head.range_begin, merge->head.range_end, DF_SHARD_ROWS));
    for (int32_t i = 0; i < merge->count; i++)
        DF_TRY(append(merge, out_path, i));
    DF_TRY(df_rows_put_hashes(merge->writer, hashes));
    if (merge->client->complete)
        DF_TRY(merge->client->complete(merge->user, merge->parts, merge->count, merge->writer));
    const dfal_status status = df_rows_finish(merge->writer);
    merge->writer = NULL;
    if (status == DFAL_OK)
        df_row_hashes_say(merge->context, hashes->end - hashes->begin - df_row_hashes_known(hashes),
                          out_path);
    return status;
}

dfal_status df_merge_rows(struct dfal_context *context, const char *out_path, const char *const *paths,
                          int32_t count, const struct df_rows_kind *kind,
                          const struct df_merge_client *client, void *user, int64_t *rows)
{
    const struct dfal_context_options *options = &context->options;
    struct df_claim claim = DF_CLAIM_NONE;
    struct merge merge = {.context = context, .kind = kind, .client = client, .user = user, .count = count};
    dfal_status status;
    DF_TRY_TO(done, status, df_claim_output(&claim, out_path, "merged file"));
    DF_TRY_TO(done, status, df_claim_inputs(&claim, paths, count));
    DF_TRY_TO(done, status, df_claim_take(&claim, out_path, options->force));
    DF_TRY_TO(done, status, df_alloc(&merge.parts, count, sizeof *merge.parts));
    DF_TRY_TO(done, status, read_heads(merge.parts, paths, count, kind, options->allow_mixed));
    DF_TRY_TO(done, status, joined_head(&merge.head, merge.parts, count, options->command_line));
    *rows = merge.head.range_end - merge.head.range_begin;
    status = join(&merge, out_path);
done:
    df_rows_abandon(merge.writer);
    for (int32_t i = 0; merge.parts && i < count; i++)
        df_rows_head_clear(&merge.parts[i].head);
    df_free(merge.parts);
    df_row_hashes_close(&merge.hashes);
    df_rows_head_clear(&merge.head);
    df_claim_end(&claim);
    return status;
}
