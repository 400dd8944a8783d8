/* SPDX-License-Identifier: Apache-2.0 */
/* Data sets of a file a class, to a pool of the rows of one split, class by class in the order of the files.
 * Source   Quick, Draw!, numpy bitmaps; iGAN, train_dcgan; the splits of arXiv:1802.09841 */
#include <string.h>

#include "base/claim.h"
#include "base/context.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/word.h"
#include "io/npy.h"
#include "io/pool_fill.h"

struct class_file {
    const char *path;
    char *name;                /* of its class */
    int64_t count, begin, end; /* its images, and which of them are in the split */
    struct df_npy npy;         /* quickdraw */
    struct df_pool *pool;      /* shoebag */
};

/* A data set: what a file of a class looks like, and how it is split. */
struct data_set {
    struct df_shape shape;
    int64_t test_last;           /* the last images of a class are test; 0: those behind the first 80 % */
    const char *before, *behind; /* what a file's name may have around the class */
    /* Open a file whose images have the shape, and count them. */
    dfal_status (*open)(struct class_file *file, const struct dfal_pool_options *options);
    df_rows_fn *read; /* user: the class_file */
};

struct job {
    dfal_context *context;
    const struct data_set *set;
    struct class_file *files;
    int32_t file_count;
    const char **names; /* [file_count] */
    int32_t *labels;    /* [the most images of a class], those of the class that is written */
    int64_t count;
    struct df_pool_writer *writer;
};

static void job_clear(struct job *job)
{
    df_pool_abandon(job->writer);
    for (int32_t i = 0; job->files && i < job->file_count; i++) {
        df_npy_close(&job->files[i].npy);
        df_pool_close(job->files[i].pool);
        df_free(job->files[i].name);
    }
    df_free(job->files);
    df_free(job->names);
    df_free(job->labels);
}

/* ---- Quick-Draw: arrays of numpy [N, 784] of bytes ----------------------------------------------------- */

enum { DRAWING = 28 };

static dfal_status open_drawings(struct class_file *file, const struct dfal_pool_options *options)
{
    (void)options;
    struct df_source source;
    char text[DF_NPY_SHAPE_TEXT];
    DF_TRY(df_source_open(&source, file->path));
    DF_TRY(df_npy_open(&file->npy, &source));
    const struct df_npy *npy = &file->npy;
    if (npy->rank != 2 || npy->dims[1] != DRAWING * DRAWING || !df_npy_is_bytes(npy))
        DF_FAIL(DFAL_E_SHAPE, "%s is %s of type %s, expected drawings [N, %d] of unsigned bytes (|u1)",
                file->path, df_npy_shape(text, npy), npy->descr, DRAWING * DRAWING);
    file->count = npy->dims[0];
    return DFAL_OK;
}

static dfal_status read_drawings(void *user, void *block, int64_t begin, int64_t count)
{
    enum { PIXELS = DRAWING * DRAWING };
    struct class_file *file = user;
    DF_TRY(df_npy_skip(&file->npy, begin * PIXELS - file->npy.taken));
    DF_TRY(df_npy_bytes(&file->npy, block, count * PIXELS));
    if (begin + count < file->end)
        return DFAL_OK;
    DF_TRY(df_npy_skip(&file->npy, (file->count - file->end) * PIXELS));
    return df_source_end(&file->npy.source);
}

/* ---- Shoe-Bag: a dataset [N, 64, 64, 3] of bytes in HDF5 ----------------------------------------------- */

enum { PHOTO = 64 };

static dfal_status open_photos(struct class_file *file, const struct dfal_pool_options *options)
{
    struct dfal_pool_options own;
    dfal_pool_options_init(&own);
    own.samples_name = options->samples_name ? options->samples_name : "imgs";
    own.layout = "NHWC";
    own.hdf5_plugins = options->hdf5_plugins;
    DF_TRY(df_pool_open(&file->pool, NULL, file->path, &own));
    const struct df_pool *pool = file->pool;
    const struct df_shape shape = pool->shape;
    if (shape.c != 3 || shape.h != PHOTO || shape.w != PHOTO || pool->raw != DF_RAW_U8)
        DF_FAIL(DFAL_E_SHAPE,
                "%s: dataset '%s' holds [%lld, %lld, %lld, %lld] of %s, expected photographs [N, %d, %d, 3] "
                "of unsigned bytes",
                file->path, own.samples_name, (long long)pool->count, (long long)shape.h, (long long)shape.w,
                (long long)shape.c, pool->raw == DF_RAW_U8 ? "unsigned bytes" : "another type", PHOTO, PHOTO);
    file->count = pool->count;
    return DFAL_OK;
}

static dfal_status read_photos(void *user, void *block, int64_t begin, int64_t count)
{
    struct class_file *file = user;
    return df_pool_read(file->pool, block, begin, begin + count);
}

/* In the order of DFAL_DATA_SETS. */
static const struct data_set data_sets[] = {
    {.shape = {1, DRAWING, DRAWING},
     .before = "full_numpy_bitmap_",
     .behind = ".npy",
     .open = open_drawings,
     .read = read_drawings},
    {.shape = {3, PHOTO, PHOTO},
     .test_last = 2000,
     .before = "",
     .behind = "_64.hdf5",
     .open = open_photos,
     .read = read_photos},
};

/* ---- Files and classes --------------------------------------------------------------------------------- */

/* The class is the file's name without folder, ending and what the published files have around it. */
static dfal_status name_class(struct class_file *file, const struct data_set *set)
{
    const char *slash = strrchr(file->path, '/'), *begin = slash ? slash + 1 : file->path;
    size_t before = strlen(set->before), behind = strlen(set->behind);
    if (strncmp(begin, set->before, before) == 0)
        begin += before;
    size_t length = strlen(begin);
    const char *dot = strrchr(begin, '.');
    if (length >= behind && strcmp(begin + length - behind, set->behind) == 0)
        length -= behind;
    else if (dot && dot > begin)
        length = (size_t)(dot - begin);
    if (length == 0)
        DF_FAIL(DFAL_E_DATA, "%s has no name left for its class, expected such as %scat%s", file->path,
                set->before, set->behind);
    return df_format(&file->name, "%.*s", (int)length, begin);
}

/* Which images of a class are in the split: each split has at least one. */
static dfal_status split_class(struct class_file *file, const struct data_set *set, bool test)
{
    int64_t least = set->test_last ? set->test_last + 1 : 2;
    if (file->count < least)
        DF_FAIL(DFAL_E_DATA, "%s holds %lld image%s, expected at least %lld: the last %s of a class are test",
                file->path, (long long)file->count, file->count == 1 ? "" : "s", (long long)least,
                set->test_last ? "2,000" : "20 %");
    int64_t train = set->test_last ? file->count - set->test_last : file->count * 4 / 5;
    file->begin = test ? train : 0;
    file->end = test ? file->count : train;
    return DFAL_OK;
}

static dfal_status open_files(struct job *job, const char *const *paths,
                              const struct dfal_pool_options *options, bool test)
{
    int64_t most = 0;
    for (int32_t i = 0; i < job->file_count; i++) {
        struct class_file *file = &job->files[i];
        file->path = paths[i];
        DF_TRY(name_class(file, job->set));
        for (int32_t k = 0; k < i; k++)
            if (strcmp(job->files[k].name, file->name) == 0)
                DF_FAIL(DFAL_E_DATA, "%s and %s are both of the class '%s', expected a file a class",
                        job->files[k].path, file->path, file->name);
        DF_TRY(job->set->open(file, options));
        DF_TRY(split_class(file, job->set, test));
        job->names[i] = file->name;
        job->count += file->end - file->begin;
        most = file->end - file->begin > most ? file->end - file->begin : most;
    }
    return df_alloc(&job->labels, most, sizeof *job->labels);
}

/* ---- The pool ------------------------------------------------------------------------------------------ */

static dfal_status copy_class(struct job *job, int32_t class, struct df_progress *progress)
{
    struct class_file *file = &job->files[class];
    const struct df_fill fill = {.read = job->set->read,
                                 .user = file,
                                 .begin = file->begin,
                                 .end = file->end,
                                 .row_bytes = (size_t)df_shape_size(job->set->shape),
                                 .labels = job->labels};
    for (int64_t i = 0; i < file->end - file->begin; i++)
        job->labels[i] = class;
    return df_pool_fill(job->writer, job->context, progress, &fill);
}

static dfal_status write_pool(struct job *job, const char *out_path)
{
    struct df_progress progress;
    const struct df_pool_spec spec = {.count = job->count,
                                      .shape = job->set->shape,
                                      .raw = DF_RAW_U8,
                                      .class_count = job->file_count,
                                      .has_labels = true,
                                      .classes = job->names};
    DF_TRY(df_pool_create(&job->writer, out_path, &spec, job->context->options.force));
    dfal_status status = DFAL_OK;
    df_progress_begin(&progress, job->context, "import.progress", "images", job->count, 0);
    for (int32_t i = 0; i < job->file_count && status == DFAL_OK; i++)
        status = copy_class(job, i, &progress);
    df_progress_end(&progress);
    DF_TRY(status);
    status = df_pool_finish(job->writer);
    job->writer = NULL;
    return status;
}

dfal_status dfal_import_classes(dfal_context *context, const char *out_path, const char *data_set,
                                const char *const *paths, int32_t path_count, const char *split,
                                const struct dfal_pool_options *given)
{
    struct dfal_pool_options options;
    struct df_claim claim = DF_CLAIM_NONE;
    struct job job = {.context = context, .file_count = path_count};
    int32_t set, test = 0;
    dfal_status status;
    context->kept_work = false;
    DF_TRY(df_pool_options_take(&options, given));
    DF_TRY(df_word(&set, "data set", data_set, DFAL_DATA_SETS));
    if (split)
        DF_TRY(df_word(&test, "split", split, DFAL_SPLITS));
    if (path_count < 2)
        DF_FAIL(DFAL_E_USAGE, "%d file%s named, expected at least two: one a class", path_count,
                path_count == 1 ? " is" : "s are");
    job.set = &data_sets[set];
    DF_TRY_TO(done, status, df_claim_output(&claim, out_path, "pool"));
    DF_TRY_TO(done, status, df_claim_inputs(&claim, paths, path_count));
    DF_TRY_TO(done, status, df_claim_take(&claim, out_path, context->options.force));
    DF_TRY_TO(done, status, df_alloc(&job.files, path_count, sizeof *job.files));
    for (int32_t i = 0; i < path_count; i++)
        job.files[i].npy = DF_NPY_NONE;
    DF_TRY_TO(done, status, df_alloc(&job.names, path_count, sizeof *job.names));
    DF_TRY_TO(done, status, open_files(&job, paths, &options, test == 1));
    DF_TRY_TO(done, status, write_pool(&job, out_path));
    df_say(
        context, DFAL_INFO, "import.end",
        DF_FIELDS(DF_INT("samples", job.count), DF_INT("classes", path_count), DF_TEXT("output", out_path)),
        "%s: %lld images of %lld x %lld x %lld of %d classes, labelled: the %s set", out_path,
        (long long)job.count, (long long)job.set->shape.c, (long long)job.set->shape.h,
        (long long)job.set->shape.w, path_count, test ? "test" : "training");
done:
    job_clear(&job);
    df_claim_end(&claim);
    return status;
}
