/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures are decoded part by part on all threads while the part before is written. */
#include "io/image_job.h"

#include <string.h>

#include "base/memory.h"

dfal_status df_image_job_take(struct df_image_job *job, struct df_image_taker *taker, int64_t row,
                              struct df_shape *shape, uint8_t *sample)
{
    char *path;
    DF_TRY(df_image_list_path(&path, &job->list, row));
    dfal_status status = df_image_take(taker, path, shape, sample);
    df_free(path);
    return status;
}

dfal_status df_image_job_fail(const struct df_image_job *job, int64_t row, const char *reason)
{
    char *path;
    DF_TRY(df_image_list_path(&path, &job->list, row));
    (void)df_fail(DFAL_E_DATA, "%s: %s; `on_error` skip leaves such files out", path, reason);
    df_free(path);
    return DFAL_E_DATA;
}

static bool is_grey(const uint8_t *sample, struct df_shape shape)
{
    const size_t plane = (size_t)(shape.h * shape.w);
    return shape.c == 3 && memcmp(sample, sample + plane, plane) == 0 &&
           memcmp(sample, sample + 2 * plane, plane) == 0;
}

static dfal_status write_block(struct df_image_job *job, struct df_image_block *block)
{
    return block->part >= 0 ? df_image_part_write(&job->parts, block->part, &block->rows) : DFAL_OK;
}

/* Job 0 writes the part before; the others decode a picture each. */
static dfal_status do_one(void *user, int64_t number, int32_t thread)
{
    struct df_image_job *job = user;
    if (number == 0)
        return write_block(job, job->writing);
    struct df_image_block *block = job->filling;
    const int64_t i = number - 1;
    struct df_shape shape = job->shape;
    char reason[DF_MESSAGE_SIZE];
    DF_TRY(df_context_check_stop(job->context));
    struct df_rows *rows = &block->rows;
    const size_t size = (size_t)df_shape_size(shape);
    uint8_t *sample = (uint8_t *)rows->column[DF_IMAGE_SAMPLE] + (size_t)i * size,
            *mark = (uint8_t *)rows->column[DF_IMAGE_MARKS] + i;
    dfal_status status = df_image_job_take(job, &job->takers[thread], rows->index[i], &shape, sample);
    if (status == DFAL_OK)
        *mark = (uint8_t)((job->takers[thread].fitter.rotated ? DF_IMAGE_ROTATED : 0) |
                          (job->takers[thread].fitter.alpha ? DF_IMAGE_ALPHA : 0) |
                          (is_grey(sample, shape) ? DF_IMAGE_GREY : 0));
    if (status == DFAL_E_DATA) {
        df_message_get(reason);
        memset(sample, 0, size); /* what was decoded of it before it broke */
        *mark = DF_IMAGE_BROKEN;
        status = df_strdup((char **)rows->column[DF_IMAGE_REASON] + i, reason);
    }
    df_progress_add(&job->progress, 1, NULL);
    return status;
}

static void begin_block(struct df_image_block *block, const struct df_shards *shards, int64_t part)
{
    int64_t begin, end;
    df_shards_rows(shards, part, &begin, &end);
    df_rows_clear_texts(&block->rows);
    block->part = part;
    block->rows.count = end - begin;
    for (int64_t i = 0; i < block->rows.count; i++)
        block->rows.index[i] = begin + i;
}

static dfal_status decode_part(struct df_image_job *job, int64_t part)
{
    struct df_image_block *block = job->filling;
    begin_block(block, &job->parts.shards, part);
    DF_TRY(df_image_parts_look(&job->parts, &job->list, part));
    DF_TRY(df_thread_pool_run(job->threads, do_one, job, 1 + block->rows.count));
    char *const *reasons = block->rows.column[DF_IMAGE_REASON];
    for (int64_t i = 0; !job->skip && i < block->rows.count; i++)
        if (reasons[i])
            return df_image_job_fail(job, block->rows.index[i], reasons[i]);
    job->filling = job->writing;
    job->writing = block;
    return DFAL_OK;
}

dfal_status df_image_job_decode(struct df_image_job *job)
{
    struct df_shards *shards = &job->parts.shards;
    const int64_t pictures = job->list.count, whole = shards->cut.shard_rows;
    for (int b = 0; b < 2; b++) {
        job->blocks[b].part = -1;
        DF_TRY(df_rows_alloc(&job->blocks[b].rows, &job->parts.kind, whole < pictures ? whole : pictures));
    }
    job->filling = &job->blocks[0];
    job->writing = &job->blocks[1];
    if (shards->finished_rows > 0)
        df_say(job->context, DFAL_INFO, "import.resume", DF_FIELDS(DF_INT("pictures", shards->finished_rows)),
               "%lld of %lld pictures are finished, the rest is continued", (long long)shards->finished_rows,
               (long long)pictures);
    df_progress_begin(&job->progress, job->context, "import.progress", "pictures", pictures,
                      shards->finished_rows);
    dfal_status status = DFAL_OK;
    for (int64_t part = 0; part < shards->count && status == DFAL_OK; part++)
        if (!shards->finished[part])
            status = decode_part(job, part);
    if (status == DFAL_OK)
        status = write_block(job, job->writing);
    df_progress_end(&job->progress);
    return status;
}
