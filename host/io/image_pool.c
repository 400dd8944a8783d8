/* SPDX-License-Identifier: Apache-2.0 */
/* The finished parts of an import become the pool. */
#include "io/image_job.h"

#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "store/pool.h"

/* Count what the parts hold, and list what they could not take. */
static dfal_status count_parts(struct df_image_job *job)
{
    df_text_add(&job->bad_table, "path,reason\n");
    for (int64_t i = 0; i < job->parts.count; i++) {
        struct df_image_part part;
        DF_TRY(df_image_part_read(&job->parts, i, &part, false));
        const char *reason = part.reasons;
        dfal_status status = DFAL_OK;
        for (int64_t b = 0; b < part.bad; b++, reason += strlen(reason) + 1) {
            df_text_csv(&job->bad_table, job->list.entries[part.bad_index[b]].id);
            df_text_add(&job->bad_table, ",");
            df_text_csv(&job->bad_table, reason);
            df_text_add(&job->bad_table, "\n");
        }
        if (part.bad > 0 && !job->skip)
            status = df_image_job_fail(job, part.bad_index[0], part.reasons);
        job->good += part.good;
        job->bad += part.bad;
        job->rotated += part.rotated;
        job->grey += part.grey;
        df_image_part_clear(&part);
        DF_TRY(status);
    }
    if (job->good == 0) {
        job->parts.finished_pictures = 0; /* nothing in them is worth keeping */
        DF_FAIL(DFAL_E_DATA, "none of the %lld pictures can be decoded", (long long)job->list.count);
    }
    return DFAL_OK;
}

static dfal_status append_part(struct df_image_job *job, struct df_pool_writer *writer, int64_t i)
{
    struct df_image_part part;
    int32_t *labels = NULL;
    DF_TRY(df_context_check_stop(job->context));
    DF_TRY(df_image_part_read(&job->parts, i, &part, true));
    dfal_status status;
    DF_TRY_TO(done, status, df_alloc(&labels, part.good, sizeof *labels));
    for (int64_t k = 0; k < part.good; k++)
        labels[k] = job->list.entries[part.index[k]].label;
    status = df_pool_append(writer, part.samples, labels, part.good);
done:
    df_free(labels);
    df_image_part_clear(&part);
    return status;
}

/* The ids of the pictures that were taken, borrowed from the list. */
static dfal_status gather_ids(const struct df_image_job *job, const char **ids)
{
    int64_t n = 0;
    for (int64_t i = 0; i < job->parts.count; i++) {
        struct df_image_part part;
        DF_TRY(df_image_part_read(&job->parts, i, &part, false));
        for (int64_t k = 0; k < part.good; k++)
            ids[n++] = job->list.entries[part.index[k]].id;
        df_image_part_clear(&part);
    }
    return DFAL_OK;
}

/* A bad table that is there is somebody's, unless this import's own parts are. */
dfal_status df_image_job_check_table(struct df_image_job *job)
{
    job->replace_table = job->context->options.force || job->parts.finished_pictures > 0;
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
    df_parts_publish(&job->parts.folder);
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
    DF_TRY_TO(done, status, gather_ids(job, ids));
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
    for (int64_t i = 0; i < job->parts.count; i++)
        DF_TRY_TO(done, status, append_part(job, writer, i));
    status = finish(job, writer, out_path);
    writer = NULL;
done:
    df_pool_abandon(writer);
    df_free(ids);
    return status;
}
