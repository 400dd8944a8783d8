/* SPDX-License-Identifier: Apache-2.0 */
/* The finished parts of an import become the pool. */
#include "io/image_job.h"

#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "store/pool.h"

static bool is_good(const struct df_image_job *job, int64_t picture)
{
    return !(job->marks[picture] & DF_IMAGE_BROKEN);
}

/* Say in the table what part's pictures could not be taken, and why; without one the first of them is an
 * error. */
static dfal_status list_broken(struct df_image_job *job, struct df_rows_reader *reader, int64_t begin)
{
    const int64_t count = df_rows_count(reader);
    char **reasons;
    DF_TRY(df_alloc(&reasons, count, sizeof *reasons));
    dfal_status status = df_rows_read_column(reader, DF_IMAGE_REASON, 0, count, reasons);
    for (int64_t i = 0; i < count && status == DFAL_OK; i++) {
        if (is_good(job, begin + i))
            continue;
        if (!job->skip)
            status = df_image_job_fail(job, begin + i, reasons[i]);
        df_text_csv(&job->bad_table, job->list.entries[begin + i].id);
        df_text_add(&job->bad_table, ",");
        df_text_csv(&job->bad_table, reasons[i]);
        df_text_add(&job->bad_table, "\n");
    }
    df_strings_free(reasons, count);
    return status;
}

static dfal_status count_part(struct df_image_job *job, int64_t part)
{
    struct df_rows_reader *reader;
    int64_t begin, end, bad = 0;
    df_shards_rows(&job->parts.shards, part, &begin, &end);
    DF_TRY(df_shards_reader(&job->parts.shards, part, &reader));
    dfal_status status =
        df_rows_read_column(reader, DF_IMAGE_MARKS, 0, df_rows_count(reader), job->marks + begin);
    for (int64_t i = begin; i < end && status == DFAL_OK; i++) {
        bad += !is_good(job, i);
        job->rotated += (job->marks[i] & DF_IMAGE_ROTATED) != 0;
        job->grey += (job->marks[i] & DF_IMAGE_GREY) != 0;
        job->alpha += (job->marks[i] & DF_IMAGE_ALPHA) != 0;
    }
    job->good += end - begin - bad;
    job->bad += bad;
    if (status == DFAL_OK && bad > 0)
        status = list_broken(job, reader, begin);
    df_rows_close(reader);
    return status;
}

/* Count what the parts hold, and list what they could not take. */
static dfal_status count_parts(struct df_image_job *job)
{
    struct df_shards *shards = &job->parts.shards;
    df_text_add(&job->bad_table, "path,reason\n");
    DF_TRY(df_alloc(&job->marks, job->list.count, sizeof *job->marks));
    for (int64_t i = 0; i < shards->count; i++)
        DF_TRY(count_part(job, i));
    if (job->good == 0) {
        shards->finished_rows = 0; /* nothing in them is worth keeping */
        DF_FAIL(DFAL_E_DATA, "none of the %lld pictures can be decoded", (long long)job->list.count);
    }
    return DFAL_OK;
}

/* Close the gaps that broken pictures leave. Returns how many are left. */
static int64_t close_gaps(const struct df_image_job *job, int64_t begin, int64_t end, uint8_t *samples,
                          int32_t *labels)
{
    const size_t size = (size_t)df_shape_size(job->shape);
    int64_t good = 0;
    for (int64_t i = begin; i < end; i++) {
        if (!is_good(job, i))
            continue;
        if (good < i - begin)
            memcpy(samples + (size_t)good * size, samples + (size_t)(i - begin) * size, size);
        labels[good++] = job->list.entries[i].label;
    }
    return good;
}

static dfal_status append_part(struct df_image_job *job, struct df_pool_writer *writer, int64_t part)
{
    struct df_rows_reader *reader;
    int64_t begin, end;
    uint8_t *samples = NULL;
    int32_t *labels = NULL;
    dfal_status status;
    DF_TRY(df_context_check_stop(job->context));
    df_shards_rows(&job->parts.shards, part, &begin, &end);
    DF_TRY(df_shards_reader(&job->parts.shards, part, &reader));
    DF_TRY_TO(done, status, df_alloc(&labels, end - begin, sizeof *labels));
    DF_TRY_TO(done, status, df_alloc(&samples, end - begin, (size_t)df_shape_size(job->shape)));
    DF_TRY_TO(done, status, df_rows_read_column(reader, DF_IMAGE_SAMPLE, 0, end - begin, samples));
    const int64_t good = close_gaps(job, begin, end, samples, labels);
    status = good > 0 ? df_pool_append(writer, samples, labels, good) : DFAL_OK;
done:
    df_rows_close(reader);
    df_free(samples);
    df_free(labels);
    return status;
}

/* The ids of the pictures that were taken, borrowed from the list. */
static void gather_ids(const struct df_image_job *job, const char **ids)
{
    int64_t n = 0;
    for (int64_t i = 0; i < job->list.count; i++)
        if (is_good(job, i))
            ids[n++] = job->list.entries[i].id;
}

/* A bad table that is there is somebody's, unless this import's own parts are. */
dfal_status df_image_job_check_table(struct df_image_job *job)
{
    job->replace_table = job->context->options.force || job->parts.shards.finished_rows > 0;
    return job->skip ? df_file_check_target(job->bad_path, job->replace_table) : DFAL_OK;
}

/* The table of skipped files stands before the pool does, so that no finished pool lacks it. */
static dfal_status finish(struct df_image_job *job, struct df_pool_writer *writer, const char *out_path)
{
    char *table = NULL, message[DF_MESSAGE_SIZE];
    const char *bad_path = job->bad_path;
    dfal_status status;
    const int64_t size = job->bad_table.size;
    DF_TRY_TO(done, status, df_text_take(&job->bad_table, &table));
    if (job->skip)
        DF_TRY_TO(done, status, df_file_write_output(bad_path, table, (size_t)size, job->replace_table));
    df_parts_publish(&job->parts.shards.parts);
    status = df_pool_finish(writer);
    writer = NULL;
    if (status != DFAL_OK && job->skip && !df_file_exists(out_path)) {
        df_message_get(message);
        (void)unlink(bad_path);
        df_message_set(message);
    } else if (status == DFAL_OK && !job->skip && job->context->options.force) {
        (void)unlink(bad_path); /* of the pool that this one replaces */
    }
    if (status == DFAL_OK && job->bad > 0)
        df_say(job->context, DFAL_WARNING, "import.skipped",
               DF_FIELDS(DF_INT("files", job->bad), DF_TEXT("table", bad_path)),
               "%lld files were skipped; %s says why", (long long)job->bad, bad_path);
done:
    df_pool_abandon(writer);
    df_free(table);
    return status;
}

dfal_status df_image_job_pool(struct df_image_job *job, const char *out_path)
{
    const struct dfal_image_options *o = job->options;
    const bool scaled = o->mean_count > 0 || o->std_count > 0;
    struct df_pool_writer *writer = NULL;
    const char **ids = NULL;
    double scale[3], offset[3];
    dfal_status status;
    DF_TRY(count_parts(job));
    for (int32_t c = 0; c < o->channels; c++) {
        const double mean = o->mean_count ? o->mean[o->mean_count > 1 ? c : 0] : 0;
        const double deviation = o->std_count ? o->std[o->std_count > 1 ? c : 0] : 1;
        scale[c] = 1 / (255 * deviation);
        offset[c] = -mean / deviation;
    }
    DF_TRY_TO(done, status, df_alloc(&ids, job->good, sizeof *ids));
    gather_ids(job, ids);
    const struct df_pool_spec spec = {
        .count = job->good,
        .shape = job->shape,
        .raw = DF_RAW_U8,
        .class_count = job->list.class_count,
        .scale = scaled ? scale : NULL,
        .offset = scaled ? offset : NULL,
        .affine_count = scaled ? o->channels : 1,
        .has_labels = job->list.labelled,
        .ids = ids,
        .classes = (const char *const *)job->list.classes,
    };
    DF_TRY_TO(done, status, df_pool_create(&writer, out_path, &spec, job->context->options.force));
    for (int64_t i = 0; i < job->parts.shards.count; i++)
        DF_TRY_TO(done, status, append_part(job, writer, i));
    status = finish(job, writer, out_path);
    writer = NULL;
done:
    df_pool_abandon(writer);
    df_free(ids);
    return status;
}
