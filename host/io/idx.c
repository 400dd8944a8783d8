/* SPDX-License-Identifier: Apache-2.0 */
/* IDX files (yann.lecun.com/exdb/mnist, "the IDX file format"): big-endian magic, sizes, then bytes; plain or
 * gzip. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "base/claim.h"
#include "base/context.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/kind.h"
#include "base/log.h"
#include "base/memory.h"
#include "store/classes.h"
#include "store/pool.h"

enum { IMAGES_MAGIC = 0x803, LABELS_MAGIC = 0x801, BLOCK_BYTES = 1 << 20, BUFFER_BYTES = 1 << 17 };
static const int64_t deflate_most = 1032; /* bytes that one packed byte can become */
static const int64_t side_limit = 1 << 16;

struct idx {
    const char *path;
    gzFile file;
    int64_t size; /* bytes on disk */
    int64_t dims[3];
};

static void idx_close(struct idx *idx)
{
    if (idx->file)
        gzclose(idx->file);
    idx->file = NULL;
}

/* Read exactly size bytes. */
static dfal_status read_bytes(struct idx *idx, void *bytes, int64_t size, const char *what)
{
    int64_t got = 0;
    while (got < size) {
        unsigned ask = size - got > BLOCK_BYTES ? BLOCK_BYTES : (unsigned)(size - got);
        int n = df_fault_hits(DF_FAULT_READ) ? -1 : gzread(idx->file, (char *)bytes + got, ask);
        if (n < 0) {
            int code = Z_ERRNO;
            const char *text = gzerror(idx->file, &code);
            if (code == Z_ERRNO || code == Z_OK)
                DF_FAIL(DFAL_E_IO, "%s cannot be read: %s", idx->path, strerror(errno ? errno : EIO));
            DF_FAIL(DFAL_E_DATA, "%s: the gzip stream is damaged or truncated (%s)", idx->path, text);
        }
        if (n == 0)
            DF_FAIL(DFAL_E_DATA, "%s is truncated: %lld of %lld bytes of its %s are there", idx->path,
                    (long long)got, (long long)size, what);
        got += n;
    }
    return DFAL_OK;
}

static int64_t big_endian(const unsigned char *b)
{
    return (int64_t)b[0] << 24 | (int64_t)b[1] << 16 | (int64_t)b[2] << 8 | b[3];
}

static dfal_status check_magic(const struct idx *idx, int64_t magic, int64_t expected)
{
    if (magic == expected)
        return DFAL_OK;
    if (gzdirect(idx->file))
        DF_TRY(df_refuse_kind(idx->path, "an IDX file"));
    const char *kind = magic == IMAGES_MAGIC   ? " (IDX images of bytes)"
                       : magic == LABELS_MAGIC ? " (IDX labels of bytes)"
                                               : "";
    DF_FAIL(DFAL_E_DATA, "%s begins with 0x%08llx%s, expected 0x%08llx (IDX %s of bytes)", idx->path,
            (unsigned long long)magic, kind, (unsigned long long)expected,
            expected == IMAGES_MAGIC ? "images" : "labels");
}

/* A declared size that the file cannot hold is refused before memory is taken for it. */
static dfal_status check_size(const struct idx *idx, int64_t header, int64_t body)
{
    bool plain = gzdirect(idx->file);
    if (plain && idx->size != header + body)
        DF_FAIL(DFAL_E_DATA, "%s has %lld bytes, expected %lld as its header says%s", idx->path,
                (long long)idx->size, (long long)(header + body),
                idx->size < header + body ? " (truncated)" : " (trailing bytes)");
    if (!plain && body / deflate_most > idx->size)
        DF_FAIL(DFAL_E_DATA, "%s declares %lld bytes, more than a gzip file of %lld bytes can hold",
                idx->path, (long long)body, (long long)idx->size);
    return DFAL_OK;
}

static dfal_status idx_open(struct idx *idx, const char *path, int64_t magic)
{
    struct stat entry;
    unsigned char header[16];
    int rank = magic == IMAGES_MAGIC ? 3 : 1;
    int64_t body = 1;
    *idx = (struct idx){.path = path};
    if (stat(path, &entry) != 0)
        return df_fail_errno(errno, false, path, "open");
    if (!S_ISREG(entry.st_mode))
        DF_FAIL(DFAL_E_DATA, "%s is no plain file, expected an IDX file", path);
    if (entry.st_size == 0)
        DF_FAIL(DFAL_E_DATA, "%s is empty, expected an IDX file", path);
    idx->size = entry.st_size;
    errno = 0;
    idx->file = df_fault_hits(DF_FAULT_OPEN) ? NULL : gzopen(path, "rb");
    if (!idx->file)
        return df_fail_errno(errno ? errno : EIO, false, path, "open");
    gzbuffer(idx->file, BUFFER_BYTES);
    DF_TRY(read_bytes(idx, header, 4, "header"));
    DF_TRY(check_magic(idx, big_endian(header), magic));
    DF_TRY(read_bytes(idx, header + 4, 4 * rank, "header"));
    for (int i = 0; i < rank; i++) {
        idx->dims[i] = big_endian(header + 4 + 4 * i);
        if (i > 0 && (idx->dims[i] < 1 || idx->dims[i] > side_limit))
            DF_FAIL(DFAL_E_DATA, "%s declares images of %lld by %lld pixels, expected sides of 1 to %lld",
                    path, (long long)big_endian(header + 8), (long long)big_endian(header + 12),
                    (long long)side_limit);
        if (i > 0 && (body *= idx->dims[i]) > 1 << 28)
            DF_FAIL(DFAL_E_DATA, "%s declares images of %lld pixels, expected at most 2^28", path,
                    (long long)body);
    }
    if (idx->dims[0] == 0)
        DF_FAIL(DFAL_E_DATA, "%s declares 0 items, expected at least one", path);
    return check_size(idx, 4 + 4 * rank, body * idx->dims[0]);
}

/* Behind the last item nothing may follow, and a gzip stream's check sum must be right. */
static dfal_status check_end(struct idx *idx)
{
    char byte;
    int n = gzread(idx->file, &byte, 1);
    if (n > 0)
        DF_FAIL(DFAL_E_DATA, "%s has trailing bytes behind its %lld items", idx->path,
                (long long)idx->dims[0]);
    int code = Z_OK;
    const char *text = gzerror(idx->file, &code);
    if (n < 0 || (code != Z_OK && code != Z_STREAM_END))
        DF_FAIL(DFAL_E_DATA, "%s: the gzip stream is damaged or truncated (%s)", idx->path, text);
    return DFAL_OK;
}

/* All labels, widened, and the largest of them. */
static dfal_status read_labels(int32_t **labels, int32_t *largest, const char *path, int64_t count)
{
    struct idx idx;
    uint8_t *bytes = NULL;
    *labels = NULL;
    *largest = 0;
    dfal_status status = idx_open(&idx, path, LABELS_MAGIC);
    if (status == DFAL_OK && idx.dims[0] != count)
        status = df_fail(DFAL_E_DATA, "%s has %lld labels, expected %lld, one an image", path,
                         (long long)idx.dims[0], (long long)count);
    if (status != DFAL_OK)
        goto done;
    DF_TRY_TO(done, status, df_alloc(&bytes, count, 1));
    DF_TRY_TO(done, status, read_bytes(&idx, bytes, count, "labels"));
    DF_TRY_TO(done, status, check_end(&idx));
    DF_TRY_TO(done, status, df_alloc(labels, count, sizeof **labels));
    for (int64_t i = 0; i < count; i++) {
        (*labels)[i] = bytes[i];
        *largest = bytes[i] > *largest ? bytes[i] : *largest;
    }
    if (*largest == 0)
        status = df_fail(DFAL_E_DATA, "%s has one class (every label is 0), expected at least two", path);
done:
    df_free(bytes);
    idx_close(&idx);
    return status;
}

static dfal_status copy_rows(dfal_context *context, struct df_pool_writer *writer, struct idx *images,
                             const int32_t *labels)
{
    struct df_progress progress;
    dfal_status status = DFAL_OK;
    uint8_t *block;
    int64_t row = images->dims[1] * images->dims[2]; /* at least 1: idx_open saw to it */
    int64_t rows = row > 0 && BLOCK_BYTES / row > 1 ? BLOCK_BYTES / row : 1;
    if (rows > images->dims[0])
        rows = images->dims[0];
    DF_TRY(df_alloc(&block, rows, (size_t)row));
    df_progress_begin(&progress, context, "import.progress", "images", images->dims[0], 0);
    for (int64_t done = 0; done < images->dims[0]; done += rows) {
        int64_t n = images->dims[0] - done < rows ? images->dims[0] - done : rows;
        DF_TRY_TO(done, status, df_context_check_stop(context));
        DF_TRY_TO(done, status, read_bytes(images, block, n * row, "images"));
        DF_TRY_TO(done, status, df_pool_append(writer, block, labels ? labels + done : NULL, n));
        df_progress_add(&progress, n, "");
    }
    status = check_end(images);
done:
    df_progress_end(&progress);
    df_free(block);
    return status;
}

dfal_status dfal_import_idx(dfal_context *context, const char *out_path, const char *images_path,
                            const char *labels_path)
{
    struct df_claim claim = DF_CLAIM_NONE;
    struct idx images = {0};
    struct df_pool_writer *writer = NULL;
    int32_t *labels = NULL, largest = -1;
    dfal_status status;
    context->kept_work = false;
    DF_TRY_TO(done, status, df_claim_output(&claim, out_path, "pool"));
    DF_TRY_TO(done, status, df_claim_input(&claim, images_path));
    DF_TRY_TO(done, status, df_claim_input(&claim, labels_path));
    DF_TRY_TO(done, status, df_claim_take(&claim, out_path, context->options.force));
    DF_TRY_TO(done, status, idx_open(&images, images_path, IMAGES_MAGIC));
    if (labels_path) {
        DF_TRY_TO(done, status, read_labels(&labels, &largest, labels_path, images.dims[0]));
        DF_TRY_TO(done, status,
                  df_classes_warn_unused(context, labels_path, labels, sizeof *labels, images.dims[0],
                                         largest + 1));
    }
    struct df_pool_spec spec = {.count = images.dims[0],
                                .shape = {1, images.dims[1], images.dims[2]},
                                .raw = DF_RAW_U8,
                                .class_count = largest + 1,
                                .has_labels = labels != NULL};
    DF_TRY_TO(done, status, df_pool_create(&writer, out_path, &spec, context->options.force));
    DF_TRY_TO(done, status, copy_rows(context, writer, &images, labels));
    status = df_pool_finish(writer);
    writer = NULL;
    if (status == DFAL_OK)
        df_say(context, DFAL_INFO, "import.end",
               DF_FIELDS(DF_INT("samples", images.dims[0]), DF_INT("classes", largest + 1),
                         DF_TEXT("output", out_path)),
               "%s: %lld images of %lld x %lld, %s", out_path, (long long)images.dims[0],
               (long long)images.dims[1], (long long)images.dims[2], labels ? "labelled" : "no labels");
done:
    df_pool_abandon(writer);
    df_free(labels);
    idx_close(&images);
    df_claim_end(&claim);
    return status;
}
