/* SPDX-License-Identifier: Apache-2.0 */
/* Arrays of numpy, alone (.npy) or in an archive (.npz), to a pool: streamed, a block of rows at a time. */
#include <string.h>

#include "base/claim.h"
#include "base/context.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/word.h"
#include "io/npy.h"
#include "io/pool_fill.h"
#include "io/zip.h"
#include "store/classes.h"
#include "store/labels.h"
#include "store/pool.h"

enum { LABEL_BLOCK = 1 << 16 };
static const int64_t row_limit = (int64_t)1 << 28; /* values a sample */

struct job {
    dfal_context *context;
    struct df_npy samples, labels;
    bool has_labels, nhwc;
    void *stored; /* nhwc: a block of rows as they lie in the file */
    int64_t stored_values;
    int32_t *label; /* [N] */
    int32_t largest;
    struct df_pool_spec spec;
    struct df_pool_writer *writer;
};

static void job_clear(struct job *job)
{
    df_pool_abandon(job->writer);
    df_npy_close(&job->samples);
    df_npy_close(&job->labels);
    df_free(job->label);
    df_free(job->stored);
}

/* ---- Shapes -------------------------------------------------------------------------------------------- */

static dfal_status find_layout(struct job *job, const char *layout)
{
    const struct df_npy *samples = &job->samples;
    const int64_t *d = samples->dims;
    char text[DF_NPY_SHAPE_TEXT];
    const char *path = samples->source.name;
    int32_t last = 0;
    if (layout)
        DF_TRY(df_word(&last, "layout", layout, DFAL_LAYOUTS));
    if (samples->rank < 2 || samples->rank > 4)
        DF_FAIL(DFAL_E_SHAPE, "%s is %s, expected [N, C, H, W] (or `layout` NHWC), [N, H, W] or [N, D]", path,
                df_npy_shape(text, samples));
    if (d[0] == 0)
        DF_FAIL(DFAL_E_DATA, "%s is %s, expected at least one sample", path, df_npy_shape(text, samples));
    if (samples->count / d[0] < 1 || samples->count / d[0] > row_limit)
        DF_FAIL(DFAL_E_SHAPE, "%s is %s, expected 1 to 2^28 values a sample", path,
                df_npy_shape(text, samples));
    job->spec.count = d[0];
    job->spec.shape = samples->rank == 2   ? (struct df_shape){d[1], 1, 1}
                      : samples->rank == 3 ? (struct df_shape){1, d[1], d[2]}
                      : last               ? (struct df_shape){d[3], d[1], d[2]}
                                           : (struct df_shape){d[1], d[2], d[3]};
    if (samples->rank == 4 && !layout && df_looks_like_nhwc(d))
        df_warn_layout(job->context, path, job->spec.shape);
    job->nhwc = samples->rank == 4 && last && job->spec.shape.c > 1;
    job->spec.raw = df_npy_is_bytes(samples) ? DF_RAW_U8 : DF_RAW_F32; /* true is 1.0, not 1/255 */
    return DFAL_OK;
}

static dfal_status check_labels(const struct job *job)
{
    const struct df_npy *labels = &job->labels;
    const char *path = labels->source.name;
    char text[DF_NPY_SHAPE_TEXT];
    bool column = labels->rank == 2 && labels->dims[1] == 1;
    if (labels->rank == 2 && labels->dims[0] == job->spec.count && labels->dims[1] > 1)
        DF_FAIL(DFAL_E_SHAPE,
                "%s is %s: one-hot labels or probabilities are not read, expected class numbers [%lld]; save "
                "numpy.argmax(labels, 1)",
                path, df_npy_shape(text, labels), (long long)job->spec.count);
    if ((labels->rank != 1 && !column) || labels->dims[0] != job->spec.count)
        DF_FAIL(DFAL_E_SHAPE, "%s is %s, expected [%lld], one label a sample", path,
                df_npy_shape(text, labels), (long long)job->spec.count);
    return DFAL_OK;
}

/* ---- Labels and rows ----------------------------------------------------------------------------------- */

static dfal_status read_labels(struct job *job)
{
    const char *path = job->labels.source.name;
    int64_t *block;
    dfal_status status;
    DF_TRY(check_labels(job));
    DF_TRY(df_alloc(&block, LABEL_BLOCK, sizeof *block));
    DF_TRY_TO(done, status, df_alloc(&job->label, job->spec.count, sizeof *job->label));
    job->largest = -1;
    for (int64_t begin = 0; begin < job->spec.count; begin += LABEL_BLOCK) {
        int64_t n = job->spec.count - begin < LABEL_BLOCK ? job->spec.count - begin : LABEL_BLOCK;
        DF_TRY_TO(done, status, df_npy_integers(&job->labels, block, n, 1));
        for (int64_t i = 0; i < n; i++) {
            if (block[i] < -1 || block[i] >= DF_CLASS_LIMIT) {
                status = df_fail(DFAL_E_DATA, "%s has label %lld in row %lld, expected -1 (unknown) to %d",
                                 path, (long long)block[i], (long long)(begin + i), DF_CLASS_LIMIT - 1);
                goto done;
            }
            job->label[begin + i] = (int32_t)block[i];
            job->largest = job->label[begin + i] > job->largest ? job->label[begin + i] : job->largest;
        }
    }
    DF_TRY_TO(done, status, df_source_end(&job->labels.source));
    if (job->largest < 1)
        status = df_fail(DFAL_E_DATA, "%s has %s, expected at least two classes", path,
                         job->largest ? "no label but -1" : "one class (every label is 0)");
    job->spec.has_labels = true;
    job->spec.class_count = job->largest + 1;
done:
    df_free(block);
    return status;
}

/* The next rows of the samples, which are read once and in order. */
static dfal_status read_rows(void *user, void *block, int64_t begin, int64_t count)
{
    (void)begin;
    struct job *job = user;
    bool bytes = job->spec.raw == DF_RAW_U8;
    int64_t values = df_shape_size(job->spec.shape);
    size_t element = bytes ? 1 : sizeof(float);
    void *stored = block;
    if (job->nhwc) {
        DF_TRY(df_reserve(&job->stored, &job->stored_values, count * values, element));
        stored = job->stored;
    }
    DF_TRY(bytes ? df_npy_bytes(&job->samples, stored, count * values)
                 : df_npy_reals(&job->samples, stored, count * values, values));
    if (job->nhwc)
        df_turn_rows(block, stored, job->spec.shape, element, count);
    return DFAL_OK;
}

static dfal_status copy_rows(struct job *job)
{
    struct df_progress progress;
    const struct df_fill fill = {.read = read_rows,
                                 .user = job,
                                 .end = job->spec.count,
                                 .row_bytes = (size_t)df_shape_size(job->spec.shape) *
                                              (job->spec.raw == DF_RAW_U8 ? 1 : sizeof(float)),
                                 .labels = job->label};
    df_progress_begin(&progress, job->context, "import.progress", "samples", job->spec.count, 0);
    dfal_status status = df_pool_fill(job->writer, job->context, &progress, &fill);
    df_progress_end(&progress);
    return status == DFAL_OK ? df_source_end(&job->samples.source) : status;
}

/* Both arrays are open: check, then write. */
static dfal_status write_pool(struct job *job, const char *out_path, const char *layout)
{
    dfal_status status;
    const struct df_pool_spec *spec = &job->spec;
    DF_TRY(find_layout(job, layout));
    if (job->has_labels) {
        DF_TRY(read_labels(job));
        DF_TRY(df_classes_warn_unused(job->context, job->labels.source.name, job->label, sizeof *job->label,
                                      spec->count, spec->class_count));
    }
    DF_TRY(df_pool_create(&job->writer, out_path, spec, job->context->options.force));
    DF_TRY(copy_rows(job));
    status = df_pool_finish(job->writer);
    job->writer = NULL;
    DF_TRY(status);
    df_say(job->context, DFAL_INFO, "import.end",
           DF_FIELDS(DF_INT("samples", spec->count), DF_INT("classes", spec->class_count),
                     DF_TEXT("output", out_path)),
           "%s: %lld samples of %lld x %lld x %lld %s, %s", out_path, (long long)spec->count,
           (long long)spec->shape.c, (long long)spec->shape.h, (long long)spec->shape.w,
           spec->raw == DF_RAW_U8 ? "u8" : "f32", spec->has_labels ? "labelled" : "no labels");
    return DFAL_OK;
}

static void job_begin(struct job *job, dfal_context *context)
{
    *job = (struct job){.context = context, .samples = DF_NPY_NONE, .labels = DF_NPY_NONE, .largest = -1};
    context->kept_work = false;
}

static dfal_status open_file(struct df_npy *npy, const char *path)
{
    struct df_source source;
    DF_TRY(df_source_open(&source, path));
    return df_npy_open(npy, &source);
}

dfal_status dfal_import_npy(dfal_context *context, const char *out_path, const char *samples_path,
                            const char *labels_path, const struct dfal_pool_options *given)
{
    struct dfal_pool_options own, *options = &own;
    DF_TRY(df_pool_options_take(&own, given));
    struct df_claim claim = DF_CLAIM_NONE;
    struct job job;
    dfal_status status;
    job_begin(&job, context);
    DF_TRY_TO(done, status, df_claim_output(&claim, out_path, "pool"));
    DF_TRY_TO(done, status, df_claim_input(&claim, samples_path));
    DF_TRY_TO(done, status, df_claim_input(&claim, labels_path));
    DF_TRY_TO(done, status, df_claim_take(&claim, out_path, context->options.force));
    DF_TRY_TO(done, status, open_file(&job.samples, samples_path));
    job.has_labels = labels_path != NULL;
    if (labels_path)
        DF_TRY_TO(done, status, open_file(&job.labels, labels_path));
    status = write_pool(&job, out_path, options->layout);
done:
    job_clear(&job);
    df_claim_end(&claim);
    return status;
}

/* ---- Archives ------------------------------------------------------------------------------------------ */

/* What the archive holds, for a message. */
static void list_members(const struct df_zip *zip, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (int64_t i = 0; i < zip->count && used + 8 < size; i++) {
        const char *name = zip->members[i].name;
        size_t length = strlen(name), least = used ? 2 : 0;
        if (length > 4 && strcmp(name + length - 4, ".npy") == 0)
            length -= 4;
        if (used + least + length + 6 >= size) {
            memcpy(text + used, ", ...", 6);
            return;
        }
        memcpy(text + used, ", ", least);
        memcpy(text + used + least, name, length);
        used += least + length;
        text[used] = '\0';
    }
}

static dfal_status open_member(struct df_npy *npy, const struct df_zip *zip, const char *name, bool *found)
{
    struct df_source source;
    char *member;
    int64_t index;
    DF_TRY(df_format(&member, "%s.npy", name));
    dfal_status status = df_zip_find(zip, &index, member);
    df_free(member);
    if (status == DFAL_OK && index < 0)
        status = df_zip_find(zip, &index, name); /* as asked for, when the name already ends in .npy */
    DF_TRY(status);
    *found = index >= 0;
    if (!*found)
        return DFAL_OK;
    DF_TRY(df_zip_read(zip, index, &source));
    return df_npy_open(npy, &source);
}

static dfal_status open_members(struct job *job, const struct df_zip *zip,
                                const struct dfal_pool_options *options)
{
    const char *samples = options->samples_name ? options->samples_name : "samples";
    const char *labels = options->labels_name ? options->labels_name : "labels";
    char names[256];
    bool found;
    list_members(zip, names, sizeof names);
    DF_TRY(open_member(&job->samples, zip, samples, &found));
    if (!found)
        DF_FAIL(DFAL_E_DATA,
                "%s has no array '%s' (it holds: %s), expected samples; `samples_name` names them", zip->path,
                samples, names[0] ? names : "nothing");
    DF_TRY(open_member(&job->labels, zip, labels, &job->has_labels));
    if (!job->has_labels && options->labels_name)
        DF_FAIL(DFAL_E_DATA,
                "%s has no array '%s' (it holds: %s), expected the labels named by `labels_name`", zip->path,
                labels, names);
    return DFAL_OK;
}

dfal_status dfal_import_npz(dfal_context *context, const char *out_path, const char *path,
                            const struct dfal_pool_options *given)
{
    struct dfal_pool_options own, *options = &own;
    DF_TRY(df_pool_options_take(&own, given));
    struct df_claim claim = DF_CLAIM_NONE;
    struct job job;
    struct df_zip zip = DF_ZIP_NONE;
    dfal_status status;
    job_begin(&job, context);
    DF_TRY_TO(done, status, df_claim_job(&claim, out_path, NULL, path, NULL, context->options.force));
    DF_TRY_TO(done, status, df_zip_open(&zip, path));
    DF_TRY_TO(done, status, open_members(&job, &zip, options));
    status = write_pool(&job, out_path, options->layout);
done:
    job_clear(&job);
    df_zip_close(&zip);
    df_claim_end(&claim);
    return status;
}
