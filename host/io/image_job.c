/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures are decoded part by part on all threads while the part before is written. */
#include "io/image_job.h"

#include <string.h>

#include "base/memory.h"

enum { ROTATED = 1, GREY = 2 };

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
    (void)df_fail(DFAL_E_DATA, "%s: %s; --on-error skip leaves such files out", path, reason);
    df_free(path);
    return DFAL_E_DATA;
}

/* Close the gaps that broken pictures leave, and write. */
static dfal_status write_block(struct df_image_job *job, struct df_image_block *block)
{
    const int64_t count = block->end - block->begin, size = df_shape_size(job->shape);
    struct df_image_part part = {
        .begin = block->begin, .end = block->end, .samples = block->samples, .look = block->look};
    struct df_text reasons = {0};
    dfal_status status;
    DF_TRY_TO(done, status, df_alloc(&part.index, count, sizeof *part.index));
    DF_TRY_TO(done, status, df_alloc(&part.bad_index, count, sizeof *part.bad_index));
    for (int64_t i = 0; i < count; i++) {
        if (block->reason[i]) {
            df_text_append(&reasons, block->reason[i], (int64_t)strlen(block->reason[i]) + 1);
            part.bad_index[part.bad++] = block->begin + i;
            continue;
        }
        if (part.good < i)
            memcpy(block->samples + part.good * size, block->samples + i * size, (size_t)size);
        part.index[part.good++] = block->begin + i;
        part.rotated += (block->marks[i] & ROTATED) != 0;
        part.grey += (block->marks[i] & GREY) != 0;
    }
    part.reason_bytes = reasons.size;
    DF_TRY_TO(done, status, df_text_take(&reasons, &part.reasons));
    status = df_image_part_write(&job->parts, block->part, &part);
done:
    df_text_clear(&reasons);
    df_free(part.index);
    df_free(part.bad_index);
    df_free(part.reasons);
    return status;
}

void df_image_block_clear_reasons(struct df_image_block *block)
{
    for (int64_t i = 0; block->reason && i < block->end - block->begin; i++) {
        df_free(block->reason[i]);
        block->reason[i] = NULL;
    }
    block->part = -1;
}

static bool is_grey(const uint8_t *sample, struct df_shape shape)
{
    const size_t plane = (size_t)(shape.h * shape.w);
    return shape.c == 3 && memcmp(sample, sample + plane, plane) == 0 &&
           memcmp(sample, sample + 2 * plane, plane) == 0;
}

/* Job 0 writes the part before; the others decode a picture each. */
static dfal_status do_one(void *user, int64_t number, int32_t thread)
{
    struct df_image_job *job = user;
    if (number == 0)
        return job->writing->part >= 0 ? write_block(job, job->writing) : DFAL_OK;
    struct df_image_block *block = job->filling;
    const int64_t i = number - 1;
    struct df_shape shape = job->shape;
    char reason[DF_MESSAGE_SIZE];
    DF_TRY(df_context_check_stop(job->context));
    uint8_t *sample = block->samples + i * df_shape_size(shape);
    dfal_status status = df_image_job_take(job, &job->takers[thread], block->begin + i, &shape, sample);
    if (status == DFAL_OK)
        block->marks[i] = (uint8_t)((job->takers[thread].fitter.rotated ? ROTATED : 0) |
                                    (is_grey(sample, shape) ? GREY : 0));
    if (status == DFAL_E_DATA) {
        df_message_get(reason);
        status = df_strdup(&block->reason[i], reason);
    }
    df_progress_add(&job->progress, 1, NULL);
    return status;
}

static dfal_status decode_part(struct df_image_job *job, int64_t part)
{
    struct df_image_block *block = job->filling;
    df_image_part_bounds(&job->parts, part, &block->begin, &block->end);
    block->part = part;
    DF_TRY(df_image_list_look(&job->list, block->begin, block->end, &block->look));
    DF_TRY(df_team_run(job->team, do_one, job, 1 + block->end - block->begin));
    df_image_block_clear_reasons(job->writing);
    for (int64_t i = 0; !job->skip && i < block->end - block->begin; i++)
        if (block->reason[i])
            return df_image_job_fail(job, block->begin + i, block->reason[i]);
    job->filling = job->writing;
    job->writing = block;
    return DFAL_OK;
}

dfal_status df_image_job_decode(struct df_image_job *job)
{
    struct df_image_parts *parts = &job->parts;
    const int64_t rows = parts->rows < parts->pictures ? parts->rows : parts->pictures;
    for (int b = 0; b < 2; b++) {
        job->blocks[b].part = -1;
        DF_TRY(df_alloc(&job->blocks[b].samples, rows * df_shape_size(job->shape), 1));
        DF_TRY(df_alloc(&job->blocks[b].reason, rows, sizeof *job->blocks[b].reason));
        DF_TRY(df_alloc(&job->blocks[b].marks, rows, 1));
    }
    job->filling = &job->blocks[0];
    job->writing = &job->blocks[1];
    if (parts->finished_pictures > 0)
        df_say(job->context, DFAL_INFO, "import.resume",
               DF_FIELDS(DF_INT("pictures", parts->finished_pictures)),
               "%lld of %lld pictures are finished, the rest is continued",
               (long long)parts->finished_pictures, (long long)parts->pictures);
    df_progress_begin(&job->progress, job->context, "import.progress", "pictures", parts->pictures,
                      parts->finished_pictures);
    dfal_status status = DFAL_OK;
    for (int64_t part = 0; part < parts->count && status == DFAL_OK; part++)
        if (!parts->finished[part])
            status = decode_part(job, part);
    if (status == DFAL_OK && job->writing->part >= 0)
        status = write_block(job, job->writing);
    df_progress_end(&job->progress);
    return status;
}
