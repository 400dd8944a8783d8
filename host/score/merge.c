/* SPDX-License-Identifier: Apache-2.0 */
/* dfal_merge: scores files of parts of a pool into one. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/claim.h"
#include "base/log.h"
#include "base/memory.h"
#include "store/scores.h"
#include "store/table.h"

struct part {
    const char *path;
    struct df_scores_head head;
    /* adversarial images, when the file has some: their rows and margins */
    int64_t images;
    struct df_shape shape;
    int64_t *rows;
    float *margins;
    /* of those, what the joined file takes: image and place in it, [taken] */
    int64_t taken, *image;
    float **place;
};

static int by_rows(const void *a, const void *b)
{
    const struct df_scores_head *x = &((const struct part *)a)->head, *y = &((const struct part *)b)->head;
    if (x->range_begin != y->range_begin)
        return x->range_begin < y->range_begin ? -1 : 1;
    return x->range_end < y->range_end ? -1 : x->range_end > y->range_end;
}

/* Shards of one job, each said to be K of N: the first that is missing or there twice. */
static dfal_status check_shard_numbers(const struct part *parts, int32_t count)
{
    const int32_t total = parts[0].head.shard_count;
    for (int32_t i = 0; i < count; i++)
        if (parts[i].head.shard_count != total)
            DF_FAIL(DFAL_E_DATA, "%s is shard %d of %d, but %s is shard %d of %d: expected shards of one cut",
                    parts[i].path, parts[i].head.shard + 1, parts[i].head.shard_count, parts[0].path,
                    parts[0].head.shard + 1, total);
    for (int32_t k = 0; k < total; k++) {
        const char *holder = NULL;
        for (int32_t i = 0; i < count; i++) {
            if (parts[i].head.shard != k)
                continue;
            if (holder)
                DF_FAIL(DFAL_E_DATA, "shard %d of %d is there twice: %s and %s", k + 1, total, holder,
                        parts[i].path);
            holder = parts[i].path;
        }
        if (!holder)
            DF_FAIL(DFAL_E_DATA, "shard %d of %d is missing", k + 1, total);
    }
    return DFAL_OK;
}

/* Parts in order of their rows: each begins where the one before ends. Ranges have to cover the pool. */
static dfal_status check_rows(const struct part *parts, int32_t count)
{
    const bool sharded = parts[0].head.shard_count > 0;
    const int64_t rows = parts[0].head.pool_count;
    int64_t expected = sharded ? parts[0].head.range_begin : 0;
    const char *before = "the pool's first row";
    for (int32_t i = 0; i < count; i++) {
        const struct df_scores_head *head = &parts[i].head;
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

static dfal_status read_heads(struct part *parts, const char *const *paths, int32_t count, bool allow_mixed)
{
    for (int32_t i = 0; i < count; i++) {
        parts[i].path = paths[i];
        DF_TRY(df_scores_read(paths[i], &parts[i].head, NULL));
    }
    for (int32_t i = 0; i < count; i++)
        DF_TRY(df_scores_head_compare(&parts[0].head, &parts[i].head, allow_mixed, paths[i]));
    for (int32_t i = 1; i < count; i++)
        if (parts[i].head.adversarial != parts[0].head.adversarial)
            DF_FAIL(DFAL_E_CONFIG,
                    "%s was made with --adversarial %" PRId64 ", expected %" PRId64 " as in %s", paths[i],
                    parts[i].head.adversarial, parts[0].head.adversarial, paths[0]);
    if (count > 1 && parts[0].head.shard_count > 0)
        DF_TRY(check_shard_numbers(parts, count));
    else if (parts[0].head.shard_count > 1)
        DF_FAIL(DFAL_E_DATA, "%s is shard %d of %d, the others are missing", paths[0],
                parts[0].head.shard + 1, parts[0].head.shard_count);
    qsort(parts, (size_t)count, sizeof *parts, by_rows);
    return check_rows(parts, count);
}

/* The first part's head, said of all rows. */
static dfal_status joined_head(struct df_scores_head *head, const struct part *parts, int32_t count,
                               const char *command_line)
{
    *head = parts[0].head;
    head->configuration = head->command_line = head->network_path = head->pool_path = NULL;
    head->range_end = parts[count - 1].head.range_end;
    head->shard = head->shard_count = 0;
    for (int32_t i = 0; i < count; i++)
        df_scores_head_mix(head, &parts[i].head);
    DF_TRY(df_strdup(&head->configuration, parts[0].head.configuration));
    DF_TRY(df_strdup(&head->command_line, command_line ? command_line : ""));
    if (parts[0].head.network_path)
        DF_TRY(df_strdup(&head->network_path, parts[0].head.network_path));
    return parts[0].head.pool_path ? df_strdup(&head->pool_path, parts[0].head.pool_path) : DFAL_OK;
}

/* Which rows of a part have an adversarial image, and how close they are; a file without any has images 0. */
static dfal_status read_images(struct part *part, struct df_scores_reader *reader)
{
    DF_TRY(df_scores_image_rows(reader, &part->rows, &part->images, &part->shape));
    DF_TRY(df_alloc(&part->margins, part->images, sizeof *part->margins));
    for (int64_t i = 0; i < part->images; i++) {
        struct df_scores row;
        const int64_t at = part->rows[i] - part->head.range_begin;
        if (at < 0 || at >= df_scores_rows(reader))
            DF_FAIL(DFAL_E_DATA, "%s has an adversarial image of row %" PRId64 ", which it does not score",
                    part->path, part->rows[i]);
        DF_TRY(df_scores_take(reader, at, 1, false, &row));
        part->margins[i] = row.margin[0];
        df_scores_clear(&row);
    }
    return DFAL_OK;
}

/* Where the next image of each part stands while they are merged by margin, then row. */
static int32_t nearest_part(const struct part *parts, const int64_t *next, int32_t count)
{
    int32_t best = -1;
    for (int32_t i = 0; i < count; i++) {
        if (next[i] == parts[i].images)
            continue;
        const float margin = parts[i].margins[next[i]];
        if (best < 0 || margin < parts[best].margins[next[best]] ||
            (margin == parts[best].margins[next[best]] &&
             parts[i].rows[next[i]] < parts[best].rows[next[best]]))
            best = i;
    }
    return best;
}

/* A part that has images; all that have some agree in their shape. */
static dfal_status find_shape(const struct part **shown, const struct part *parts, int32_t count)
{
    *shown = NULL;
    for (int32_t i = 0; i < count; i++) {
        if (parts[i].images && !*shown)
            *shown = &parts[i];
        if (parts[i].images && memcmp(&parts[i].shape, &(*shown)->shape, sizeof parts[i].shape) != 0)
            DF_FAIL(DFAL_E_SHAPE,
                    "%s has adversarial images of %" PRId64 "x%" PRId64 "x%" PRId64 ", expected %" PRId64
                    "x%" PRId64 "x%" PRId64 " as in %s",
                    parts[i].path, parts[i].shape.c, parts[i].shape.h, parts[i].shape.w, (*shown)->shape.c,
                    (*shown)->shape.h, (*shown)->shape.w, (*shown)->path);
    }
    return DFAL_OK;
}

/* Read what was chosen of one part into its places. */
static dfal_status read_chosen(const struct part *part)
{
    struct df_scores_head head;
    struct df_scores_reader *reader;
    if (part->taken == 0)
        return DFAL_OK;
    DF_TRY(df_scores_open(&reader, &head, part->path));
    const dfal_status status = df_scores_images(reader, part->shape, part->image, part->place, part->taken);
    df_scores_close(reader);
    df_scores_head_clear(&head);
    return status;
}

/* Every part was asked for the same Q: the Q closest of all are among the Q closest of each. */
static dfal_status join_images(struct df_scores_writer *writer, struct part *parts, int32_t count)
{
    const struct part *shown;
    int64_t all = 0;
    DF_TRY(find_shape(&shown, parts, count));
    if (!shown)
        return DFAL_OK;
    for (int32_t i = 0; i < count; i++) {
        all += parts[i].images;
        DF_TRY(df_alloc(&parts[i].image, parts[i].images, sizeof *parts[i].image));
        DF_TRY(df_alloc(&parts[i].place, parts[i].images, sizeof *parts[i].place));
    }
    const int64_t asked = parts[0].head.adversarial, most = all < asked ? all : asked;
    const int64_t size = df_shape_size(shown->shape);
    int64_t *next = NULL, *rows = NULL;
    float *samples = NULL;
    dfal_status status;
    DF_TRY_TO(done, status, df_alloc(&next, count, sizeof *next));
    DF_TRY_TO(done, status, df_alloc(&rows, most, sizeof *rows));
    DF_TRY_TO(done, status, df_alloc(&samples, most * size, sizeof *samples));
    for (int64_t joined = 0; joined < most; joined++) {
        const int32_t i = nearest_part(parts, next, count);
        struct part *part = &parts[i];
        part->image[part->taken] = next[i];
        part->place[part->taken++] = samples + joined * size;
        rows[joined] = part->rows[next[i]++];
    }
    for (int32_t i = 0; i < count; i++)
        DF_TRY_TO(done, status, read_chosen(&parts[i]));
    status = df_scores_adversarial(writer, samples, rows, most, shown->shape);
done:
    df_free(next);
    df_free(rows);
    df_free(samples);
    return status;
}

struct copy {
    struct df_scores_writer *writer;
    const struct part *part;
};

static dfal_status copy_block(void *user, int64_t begin, const struct df_scores *block)
{
    const struct copy *copy = user;
    const int64_t expected = copy->part->head.range_begin + begin;
    if (block->index[0] != expected)
        DF_FAIL(DFAL_E_DATA, "%s begins with row %" PRId64 " at %" PRId64 ", its head says %" PRId64,
                copy->part->path, block->index[0], begin, expected);
    return df_scores_append(copy->writer, block);
}

static dfal_status join_hashes(struct df_row_hashes *rows, struct df_scores_reader *reader,
                               const struct df_scores_head *head)
{
    struct df_row_hashes own;
    DF_TRY(df_scores_take_hashes(reader, head->range_begin, head->range_end, &own));
    for (int64_t i = 0; i < own.count; i++)
        df_row_hashes_join(rows, &own.pieces[i]);
    df_row_hashes_close(&own);
    return DFAL_OK;
}

/* Copy one part's rows. */
static dfal_status append(struct df_scores_writer **writer, const char *out_path,
                          const struct df_scores_head *joined, struct part *part, bool force,
                          struct df_row_hashes *rows)
{
    struct df_scores_head head;
    struct df_scores_reader *reader;
    dfal_status status;
    DF_TRY(df_scores_open(&reader, &head, part->path));
    if (df_scores_rows(reader) != head.range_end - head.range_begin) {
        status = df_fail(DFAL_E_DATA, "%s holds %" PRId64 " rows, its head says %" PRId64 ":%" PRId64,
                         part->path, df_scores_rows(reader), head.range_begin, head.range_end);
        goto done;
    }
    if (!*writer)
        DF_TRY_TO(done, status,
                  df_scores_create(writer, out_path, joined, joined->range_end - joined->range_begin,
                                   df_scores_have_ids(reader), force));
    DF_TRY_TO(done, status,
              df_scores_each(reader, true, copy_block, &(struct copy){.writer = *writer, .part = part}));
    DF_TRY_TO(done, status, join_hashes(rows, reader, &head));
    status = read_images(part, reader);
done:
    df_scores_close(reader);
    df_scores_head_clear(&head);
    return status;
}

dfal_status dfal_merge(dfal_context *context, const char *out_path, const char *const *shard_paths,
                       int32_t shard_count)
{
    if (shard_count < 1)
        DF_FAIL(DFAL_E_USAGE, "no shard to merge, expected at least one scores file");
    const struct dfal_context_options *options = &context->options;
    context->kept_work = false;
    struct df_claim claim = DF_CLAIM_NONE;
    struct part *parts = NULL;
    struct df_scores_head head = {0};
    struct df_scores_writer *writer = NULL;
    struct df_row_hashes rows = DF_ROW_HASHES_NONE;
    dfal_status status;
    DF_TRY_TO(done, status, df_claim_output(&claim, out_path, "scores"));
    DF_TRY_TO(done, status, df_claim_inputs(&claim, shard_paths, shard_count));
    DF_TRY_TO(done, status, df_claim_take(&claim, out_path, options->force));
    DF_TRY_TO(done, status, df_alloc(&parts, shard_count, sizeof *parts));
    DF_TRY_TO(done, status, read_heads(parts, shard_paths, shard_count, options->allow_mixed));
    DF_TRY_TO(done, status, joined_head(&head, parts, shard_count, options->command_line));
    DF_TRY_TO(done, status, df_row_hashes_open(&rows, head.range_begin, head.range_end));
    for (int32_t i = 0; i < shard_count; i++) {
        DF_TRY_TO(done, status, df_context_check_stop(context));
        DF_TRY_TO(done, status, append(&writer, out_path, &head, &parts[i], options->force, &rows));
    }
    DF_TRY_TO(done, status, df_scores_hashes(writer, &rows));
    DF_TRY_TO(done, status, join_images(writer, parts, shard_count));
    status = df_scores_finish(writer);
    writer = NULL;
    if (status == DFAL_OK)
        df_row_hashes_say(context, rows.end - rows.begin - df_row_hashes_known(&rows), out_path);
    if (status == DFAL_OK)
        df_say(context, DFAL_INFO, "merge.end",
               DF_FIELDS(DF_INT("shards", shard_count), DF_INT("samples", head.range_end - head.range_begin),
                         DF_TEXT("output", out_path)),
               "%d shards, %" PRId64 " samples, output %s", shard_count, head.range_end - head.range_begin,
               out_path);
done:
    df_scores_abandon(writer);
    for (int32_t i = 0; parts && i < shard_count; i++) {
        df_scores_head_clear(&parts[i].head);
        df_free(parts[i].rows);
        df_free(parts[i].margins);
        df_free(parts[i].image);
        df_free(parts[i].place);
    }
    df_free(parts);
    df_row_hashes_close(&rows);
    df_scores_head_clear(&head);
    df_claim_end(&claim);
    return status;
}
