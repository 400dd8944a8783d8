/* SPDX-License-Identifier: Apache-2.0 */
/* CIFAR-10 batches, binary (a label and 3072 bytes a record) or Python's, to a pool.
 * Source   cs.toronto.edu/~kriz/cifar.html */
#include <stdlib.h>
#include <string.h>

#include "base/claim.h"
#include "base/context.h"
#include "base/file.h"
#include "base/kind.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text_file.h"
#include "base/word.h"
#include "io/pickle.h"
#include "io/source.h"
#include "store/pool.h"

enum { CLASSES = 10, SIDE = 32, PIXELS = 3 * SIDE * SIDE, RECORD = 1 + PIXELS, BLOCK_ROWS = 256 };
static const size_t python_most = (size_t)256 << 20, names_most = (size_t)1 << 20;

struct batch {
    char *path;
    const char *stem; /* part of path: data_batch_1 */
    int stem_length;
    bool python;
    int64_t count;
};

struct job {
    const struct df_claim *claim;
    dfal_context *context;
    struct batch *batches;
    int32_t batch_count;
    int64_t count;
    char **ids;     /* [count] data_batch_1:0 */
    char **classes; /* [CLASSES] or NULL */
    struct df_pool_writer *writer;
};

static void job_clear(struct job *job)
{
    df_pool_abandon(job->writer);
    for (int32_t i = 0; job->batches && i < job->batch_count; i++)
        df_free(job->batches[i].path);
    df_free(job->batches);
    df_strings_free(job->ids, job->count);
    df_strings_free(job->classes, CLASSES);
}

/* ---- Python's batches ---------------------------------------------------------------------------------- */

/* A batch in memory: rows and labels of a pickle. */
struct python_batch {
    char *bytes;
    struct df_pickle pickle;
    const struct df_pickle_value *data, *labels;
};

static void python_close(struct python_batch *batch)
{
    df_pickle_clear(&batch->pickle);
    df_free(batch->bytes);
}

static dfal_status check_python(const struct python_batch *batch, const char *path)
{
    const struct df_pickle *pickle = &batch->pickle;
    const struct df_pickle_value *data = batch->data, *labels = batch->labels;
    if (df_pickle_get(pickle, "fine_labels"))
        DF_FAIL(DFAL_E_DATA, "%s is a CIFAR-100 file, expected a batch of CIFAR-10", path);
    if (!data || !labels)
        DF_FAIL(DFAL_E_DATA, "%s has no '%s', expected a batch of CIFAR-10 with data and labels", path,
                data ? "labels" : "data");
    if (data->kind != DF_PICKLE_ARRAY || data->count != 2 ||
        df_pickle_item(pickle, data, 1)->integer != PIXELS)
        DF_FAIL(DFAL_E_SHAPE, "%s: 'data' is no array [N, %d] of bytes", path, PIXELS);
    if (labels->kind != DF_PICKLE_LIST || labels->count != df_pickle_item(pickle, data, 0)->integer)
        DF_FAIL(DFAL_E_SHAPE, "%s: 'labels' is no list of %lld numbers, one a row of 'data'", path,
                (long long)df_pickle_item(pickle, data, 0)->integer);
    if (labels->count == 0)
        DF_FAIL(DFAL_E_DATA, "%s holds no record, expected at least one", path);
    for (int32_t i = 0; i < labels->count; i++) {
        const struct df_pickle_value *label = df_pickle_item(pickle, labels, i);
        if (label->kind != DF_PICKLE_INT || label->integer < 0 || label->integer >= CLASSES)
            DF_FAIL(DFAL_E_DATA, "%s: label %lld in row %d, expected 0 to 9", path,
                    label->kind == DF_PICKLE_INT ? (long long)label->integer : -1, i);
    }
    return DFAL_OK;
}

static dfal_status python_open(struct python_batch *batch, const char *path)
{
    size_t size;
    *batch = (struct python_batch){0};
    DF_TRY(df_file_read(&batch->bytes, &size, path, python_most));
    dfal_status status = df_pickle_parse(&batch->pickle, batch->bytes, (int64_t)size, path);
    if (status == DFAL_OK) {
        batch->data = df_pickle_get(&batch->pickle, "data");
        batch->labels = df_pickle_get(&batch->pickle, "labels");
        status = check_python(batch, path);
    }
    if (status != DFAL_OK)
        python_close(batch);
    return status;
}

static dfal_status copy_python(struct job *job, const struct batch *source, struct df_progress *progress)
{
    struct python_batch batch;
    int32_t labels[BLOCK_ROWS];
    DF_TRY(python_open(&batch, source->path));
    dfal_status status = DFAL_OK;
    if (batch.labels->count != source->count)
        status = df_fail(DFAL_E_DATA, "%s changed while it was read", source->path);
    for (int64_t done = 0; done < source->count && status == DFAL_OK; done += BLOCK_ROWS) {
        int32_t n = (int32_t)(source->count - done < BLOCK_ROWS ? source->count - done : BLOCK_ROWS);
        for (int32_t i = 0; i < n; i++)
            labels[i] = (int32_t)df_pickle_item(&batch.pickle, batch.labels, (int32_t)done + i)->integer;
        status = df_context_check_stop(job->context);
        if (status == DFAL_OK)
            status = df_pool_append(job->writer, batch.data->bytes + done * PIXELS, labels, n);
        df_progress_add(progress, n, "");
    }
    python_close(&batch);
    return status;
}

/* ---- Binary batches ------------------------------------------------------------------------------------ */

static dfal_status copy_records(struct job *job, const struct batch *batch, struct df_source *source,
                                uint8_t *records, struct df_progress *progress)
{
    int32_t labels[BLOCK_ROWS];
    for (int64_t done = 0; done < batch->count; done += BLOCK_ROWS) {
        int64_t n = batch->count - done < BLOCK_ROWS ? batch->count - done : BLOCK_ROWS;
        DF_TRY(df_context_check_stop(job->context));
        DF_TRY(df_source_read(source, records, n * RECORD, "records"));
        for (int64_t i = 0; i < n; i++) {
            labels[i] = records[i * RECORD];
            if (labels[i] >= CLASSES)
                DF_FAIL(DFAL_E_DATA, "%s: label %d in record %lld, expected 0 to 9", batch->path, labels[i],
                        (long long)(done + i));
            memmove(records + i * PIXELS, records + i * RECORD + 1, PIXELS);
        }
        DF_TRY(df_pool_append(job->writer, records, labels, n));
        df_progress_add(progress, n, "");
    }
    return df_source_end(source);
}

static dfal_status copy_binary(struct job *job, const struct batch *batch, struct df_progress *progress)
{
    struct df_source source;
    uint8_t *records;
    DF_TRY(df_alloc(&records, BLOCK_ROWS, RECORD));
    dfal_status status = df_source_open(&source, batch->path);
    if (status == DFAL_OK) {
        status = copy_records(job, batch, &source, records, progress);
        df_source_close(&source);
    }
    df_free(records);
    return status;
}

/* ---- Which files, which kind, how many ----------------------------------------------------------------- */

static dfal_status add_batch(struct job *job, const char *folder, const char *name, const char *end)
{
    struct batch *batch = &job->batches[job->batch_count];
    DF_TRY(folder ? df_format(&batch->path, "%s/%s%s", folder, name, end) : df_strdup(&batch->path, name));
    job->batch_count++;
    const char *slash = strrchr(batch->path, '/');
    batch->stem = slash ? slash + 1 : batch->path;
    size_t length = strlen(batch->stem);
    if (length > 4 && strcmp(batch->stem + length - 4, ".bin") == 0)
        length -= 4;
    batch->stem_length = (int)length;
    return DFAL_OK;
}

/* The batches of a folder, or of the folder inside it that the published archives make. */
static dfal_status add_folder(struct job *job, const char *folder, const char *split)
{
    static const char *const train[] = {"data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4",
                                        "data_batch_5"};
    static const char *const test[] = {"test_batch"};
    static const char *const inside[] = {"", "/cifar-10-batches-bin", "/cifar-10-batches-py"};
    static const char *const ends[] = {".bin", ""};
    const bool is_test = strcmp(split, "test") == 0;
    const char *const *names = is_test ? test : train;
    const int32_t count = is_test ? 1 : 5;
    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++)
        for (size_t k = 0; k < sizeof ends / sizeof *ends; k++) {
            char *below, *first;
            DF_TRY(df_format(&below, "%s%s", folder, inside[i]));
            dfal_status status = df_format(&first, "%s/%s%s", below, names[0], ends[k]);
            bool there = status == DFAL_OK && df_file_exists(first);
            df_free(first);
            for (int32_t n = 0; n < count && there && status == DFAL_OK; n++)
                status = add_batch(job, below, names[n], ends[k]);
            df_free(below);
            if (there || status != DFAL_OK)
                return status;
        }
    DF_FAIL(DFAL_E_NOINPUT, "%s holds neither %s.bin nor %s, expected a folder of CIFAR-10 batches", folder,
            names[0], names[0]);
}

/* A pickle begins with 0x80, a record with a label of at most 9. */
static dfal_status look_at(struct batch *batch)
{
    struct df_source source;
    unsigned char first[2] = {0, 0};
    DF_TRY(df_source_open(&source, batch->path));
    int64_t size = source.size;
    dfal_status status = df_source_read(&source, first, size < 2 ? size : 2, "header");
    df_source_close(&source);
    DF_TRY(status);
    if (first[0] == 0x1f && first[1] == 0x8b)
        DF_FAIL(DFAL_E_DATA, "%s is packed by gzip, expected a batch: unpack the archive first (tar xzf)",
                batch->path);
    batch->python = first[0] == 0x80;
    if (batch->python) {
        struct python_batch python;
        DF_TRY(python_open(&python, batch->path));
        batch->count = python.labels->count;
        python_close(&python);
        return DFAL_OK;
    }
    if (size % RECORD != 0) {
        DF_TRY(df_refuse_kind(batch->path, "a batch of CIFAR-10"));
        DF_FAIL(
            DFAL_E_DATA,
            "%s has %lld bytes, expected a multiple of %d (a label and %d bytes a record), or a Python batch",
            batch->path, (long long)size, RECORD, PIXELS);
    }
    batch->count = size / RECORD;
    return DFAL_OK;
}

static dfal_status find_batches(struct job *job, const char *const *paths, int32_t path_count,
                                const char *split)
{
    bool folder = path_count == 1 && df_folder_exists(paths[0]);
    DF_TRY(df_alloc(&job->batches, folder ? 5 : path_count, sizeof *job->batches));
    if (folder)
        DF_TRY(add_folder(job, paths[0], split ? split : "train"));
    else if (split)
        DF_FAIL(DFAL_E_USAGE, "a split was asked for, but %s is no folder: name the batches of the split",
                paths[0]);
    for (int32_t i = 0; !folder && i < path_count; i++)
        DF_TRY(add_batch(job, NULL, paths[i], ""));
    for (int32_t i = 0; i < job->batch_count; i++) {
        struct batch *batch = &job->batches[i];
        for (int32_t k = 0; k < i; k++)
            if (job->batches[k].stem_length == batch->stem_length &&
                strncmp(job->batches[k].stem, batch->stem, (size_t)batch->stem_length) == 0)
                DF_FAIL(DFAL_E_DATA, "%s and %s are batches of one name, which would double their ids",
                        job->batches[k].path, batch->path);
        DF_TRY(df_claim_input(job->claim, batch->path));
        DF_TRY(look_at(batch));
        job->count += batch->count;
    }
    return DFAL_OK;
}

static dfal_status make_ids(struct job *job)
{
    int64_t at = 0;
    DF_TRY(df_alloc(&job->ids, job->count, sizeof *job->ids));
    for (int32_t b = 0; b < job->batch_count; b++)
        for (int64_t i = 0; i < job->batches[b].count; i++)
            DF_TRY(df_format(&job->ids[at++], "%.*s:%lld", job->batches[b].stem_length, job->batches[b].stem,
                             (long long)i));
    return DFAL_OK;
}

/* ---- Class names --------------------------------------------------------------------------------------- */

static dfal_status take_name(struct job *job, int32_t *used, const char *text, int64_t size, const char *path)
{
    if (*used == CLASSES || size < 1 || size > 1024 || memchr(text, '\0', (size_t)size))
        DF_FAIL(DFAL_E_DATA, "%s holds other than %d class names", path, CLASSES);
    DF_TRY(df_alloc(&job->classes[*used], size + 1, 1));
    memcpy(job->classes[*used], text, (size_t)size);
    ++*used;
    return DFAL_OK;
}

static dfal_status names_of_lines(struct job *job, const char *path, char *text)
{
    int32_t used = 0;
    for (char *line; (line = df_text_line(&text)) != NULL;)
        if (*line)
            DF_TRY(take_name(job, &used, line, (int64_t)strlen(line), path));
    return used == CLASSES
               ? DFAL_OK
               : df_fail(DFAL_E_DATA, "%s holds %d class names, expected %d", path, used, CLASSES);
}

static dfal_status names_of_pickle(struct job *job, const char *path, const char *bytes, size_t size)
{
    struct df_pickle pickle;
    int32_t used = 0;
    DF_TRY(df_pickle_parse(&pickle, bytes, (int64_t)size, path));
    dfal_status status = DFAL_OK;
    const struct df_pickle_value *names = df_pickle_get(&pickle, "label_names");
    for (int32_t i = 0; names && names->kind == DF_PICKLE_LIST && i < names->count && status == DFAL_OK;
         i++) {
        const struct df_pickle_value *name = df_pickle_item(&pickle, names, i);
        status = take_name(job, &used, name->kind == DF_PICKLE_BYTES ? name->bytes : "", name->size, path);
    }
    if (status == DFAL_OK && used != CLASSES)
        status = df_fail(DFAL_E_DATA, "%s holds %d class names, expected %d in a list 'label_names'", path,
                         used, CLASSES);
    df_pickle_clear(&pickle);
    return status;
}

/* batches.meta.txt or batches.meta beside the first batch; neither: the pool has no class names. */
static dfal_status read_names(struct job *job)
{
    static const char *const files[] = {"batches.meta.txt", "batches.meta"};
    const struct batch *first = &job->batches[0];
    for (int i = 0; i < 2; i++) {
        char *path, *bytes = NULL;
        size_t size;
        DF_TRY(df_format(&path, "%.*s%s", (int)(first->stem - first->path), first->path, files[i]));
        dfal_status status = DFAL_OK;
        bool there = df_file_exists(path);
        if (there)
            status = df_claim_input(job->claim, path);
        if (there && status == DFAL_OK)
            status = (i ? df_file_read : df_text_file_read)(&bytes, &size, path, names_most);
        if (there && status == DFAL_OK)
            status = df_alloc(&job->classes, CLASSES, sizeof *job->classes);
        if (there && status == DFAL_OK)
            status = i ? names_of_pickle(job, path, bytes, size) : names_of_lines(job, path, bytes);
        df_free(bytes);
        df_free(path);
        if (there || status != DFAL_OK)
            return status;
    }
    return DFAL_OK;
}

/* ---- The pool ------------------------------------------------------------------------------------------ */

static dfal_status copy_batches(struct job *job)
{
    struct df_progress progress;
    dfal_status status = DFAL_OK;
    df_progress_begin(&progress, job->context, "import.progress", "images", job->count, 0);
    for (int32_t i = 0; i < job->batch_count && status == DFAL_OK; i++)
        status = (job->batches[i].python ? copy_python : copy_binary)(job, &job->batches[i], &progress);
    df_progress_end(&progress);
    return status;
}

dfal_status dfal_import_cifar10(dfal_context *context, const char *out_path, const char *const *paths,
                                int32_t path_count, const char *split)
{
    struct df_claim claim = DF_CLAIM_NONE;
    struct job job = {.context = context, .claim = &claim};
    dfal_status status;
    context->kept_work = false;
    if (path_count < 1)
        DF_FAIL(DFAL_E_USAGE, "no folder and no batch is named, expected at least one");
    if (split)
        DF_TRY(df_word(NULL, "split", split, DFAL_SPLITS));
    DF_TRY_TO(done, status, df_claim_output(&claim, out_path, "pool"));
    DF_TRY_TO(done, status, find_batches(&job, paths, path_count, split));
    DF_TRY_TO(done, status, read_names(&job));
    DF_TRY_TO(done, status, df_claim_take(&claim, out_path, context->options.force));
    DF_TRY_TO(done, status, make_ids(&job));
    struct df_pool_spec spec = {.count = job.count,
                                .shape = {3, SIDE, SIDE},
                                .raw = DF_RAW_U8,
                                .class_count = CLASSES,
                                .has_labels = true,
                                .ids = (const char *const *)job.ids,
                                .classes = (const char *const *)job.classes};
    DF_TRY_TO(done, status, df_pool_create(&job.writer, out_path, &spec, context->options.force));
    DF_TRY_TO(done, status, copy_batches(&job));
    status = df_pool_finish(job.writer);
    job.writer = NULL;
    if (status == DFAL_OK)
        df_say(
            context, DFAL_INFO, "import.end",
            DF_FIELDS(DF_INT("samples", job.count), DF_INT("classes", CLASSES), DF_TEXT("output", out_path)),
            "%s: %lld images of 3 x 32 x 32 from %d batches, labelled", out_path, (long long)job.count,
            job.batch_count);
done:
    job_clear(&job);
    df_claim_end(&claim);
    return status;
}
