/* SPDX-License-Identifier: Apache-2.0 */
/* Constants: data in the file, in its typed fields, or beside it in the model's own folder. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/file_mark.h"
#include "base/memory.h"
#include "graph/onnx_model.h"

enum { EXTERNAL = 1 };

size_t df_onnx_type_size(int32_t type)
{
    switch (type) {
    case DF_ONNX_FLOAT:
    case DF_ONNX_INT32:
        return 4;
    case DF_ONNX_INT64:
    case DF_ONNX_DOUBLE:
        return 8;
    case DF_ONNX_FLOAT16:
    case DF_ONNX_BFLOAT16:
        return 2;
    case DF_ONNX_BOOL:
        return 1;
    default:
        return 0;
    }
}

const char *df_onnx_type_name(int32_t type)
{
    static const char *const names[] = {"undefined", "float",  "uint8",     "int8",       "uint16",  "int16",
                                        "int32",     "int64",  "string",    "bool",       "float16", "double",
                                        "uint32",    "uint64", "complex64", "complex128", "bfloat16"};
    return type >= 0 && type < (int32_t)(sizeof names / sizeof *names) ? names[type] : "an unknown type";
}

bool df_onnx_is_real(int32_t type)
{
    return type == DF_ONNX_FLOAT || type == DF_ONNX_DOUBLE || type == DF_ONNX_FLOAT16 ||
           type == DF_ONNX_BFLOAT16;
}

const char *df_onnx_dims_text(char text[128], int32_t rank, const int64_t *dims)
{
    int at = snprintf(text, 128, "[");
    for (int32_t d = 0; d < rank && at < 100; d++)
        at += dims[d] == DF_ONNX_BATCH
                  ? snprintf(text + at, (size_t)(128 - at), "%sN", d > 0 ? ", " : "")
                  : snprintf(text + at, (size_t)(128 - at), "%s%lld", d > 0 ? ", " : "", (long long)dims[d]);
    snprintf(text + at, (size_t)(128 - at), "]");
    return text;
}

void df_onnx_tensor_clear(struct df_onnx_tensor *tensor)
{
    df_free(tensor->own);
    memset(tensor, 0, sizeof *tensor);
}

dfal_status df_onnx_tensor_create(const struct df_onnx *onnx, struct df_onnx_tensor *out, int32_t type,
                                  int32_t rank, const int64_t *dims, bool samples)
{
    const size_t size = df_onnx_type_size(type), more = samples ? sizeof *out->samples : 0;
    int64_t count = 1, bytes;
    char text[128];
    memset(out, 0, sizeof *out);
    for (int32_t d = 0; d < rank; d++)
        if (dims[d] < 0 || __builtin_mul_overflow(count, dims[d], &count))
            count = INT64_MAX;
    if (__builtin_mul_overflow(count, (int64_t)(size + more), &bytes) || bytes > *onnx->allowance)
        DF_FAIL(DFAL_E_DATA,
                "%s: a constant of shape %s is computed, which is more than such a file can need", onnx->path,
                df_onnx_dims_text(text, rank, dims));
    *onnx->allowance -= bytes;
    out->type = type;
    out->rank = rank;
    out->count = count;
    for (int32_t d = 0; d < rank; d++)
        out->dims[d] = dims[d];
    DF_TRY(df_alloc(&out->own, out->count, size + more));
    out->samples = samples ? out->own : NULL;
    out->bytes = (uint8_t *)out->own + (size_t)count * more;
    return DFAL_OK;
}

/* ---- Data beside the file -------------------------------------------------------------------- */

/* A path that can only lead below the model's folder, as far as its words go. */
static bool stays_below(const char *location)
{
    if (!*location || *location == '/')
        return false;
    for (const char *at = location; at; at = strchr(at, '/')) {
        at += *at == '/';
        if (strncmp(at, "..", 2) == 0 && (at[2] == '/' || at[2] == 0))
            return false;
    }
    return true;
}

/* The real path of location below the folder of the model's real path; links may not lead out of it. */
static dfal_status resolve(char **out, const struct df_onnx *onnx, const char *name, const char *location)
{
    char folder[PATH_MAX], real[PATH_MAX], *joined;
    if (!stays_below(location))
        DF_FAIL(
            DFAL_E_DATA,
            "%s: the data of '%.80s' is said to be in '%.200s', expected a file in the model's own folder",
            onnx->path, name, location);
    *out = NULL;
    if (!realpath(onnx->path, folder))
        return df_fail_errno(errno, false, onnx->path, "finding the model's folder");
    char *slash = strrchr(folder, '/');
    slash[slash == folder] = 0;
    DF_TRY(df_format(&joined, "%s/%s", folder, location));
    char *found = realpath(joined, real);
    dfal_status status = DFAL_OK;
    if (!found)
        status = df_fail_prefix(df_fail_errno(errno, false, joined, "finding the external data"),
                                "%s: ", onnx->path);
    df_free(joined);
    DF_TRY(status);
    size_t length = strlen(folder);
    if (strcmp(folder, "/") != 0 && (strncmp(real, folder, length) != 0 || real[length] != '/'))
        DF_FAIL(DFAL_E_DATA,
                "%s: the data of '%.80s' is in '%.200s', which leads out of the model's own folder",
                onnx->path, name, location);
    return df_strdup(out, real);
}

/* Digits only, as the format writes them. */
static bool whole_number(const char *text, int64_t *value)
{
    char *end;
    errno = 0;
    *value = strtoll(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == 0 && errno == 0;
}

static dfal_status read_part(const struct df_onnx *onnx, const char *name, const char *path, int64_t offset,
                             int64_t length, uint8_t *into)
{
    struct stat facts;
    int fd = df_fault_hits(DF_FAULT_OPEN) ? (errno = EIO, -1) : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return df_fail_errno(errno, false, path, "opening");
    struct df_file_mark mark;
    dfal_status status = df_file_mark(&mark, fd, path);
    if (status == DFAL_OK && (fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode)))
        status = df_fail(DFAL_E_DATA, "%s: the data of '%.80s' is in %s, which is no plain file", onnx->path,
                         name, path);
    else if (status == DFAL_OK && (offset > facts.st_size || length > facts.st_size - offset))
        status =
            df_fail(DFAL_E_DATA,
                    "%s: the data of '%.80s' is said to be %lld bytes from byte %lld of %s, which has %lld",
                    onnx->path, name, (long long)length, (long long)offset, path, (long long)facts.st_size);
    for (int64_t done = 0; status == DFAL_OK && done < length;) {
        ssize_t got = df_fault_hits(DF_FAULT_READ)
                          ? (errno = EIO, -1)
                          : pread(fd, into + done, (size_t)(length - done), offset + done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            status = df_fail_errno(errno, false, path, "reading");
        else if (got == 0)
            status = df_fail(DFAL_E_IO, "%s: the file became shorter while it was read", path);
        else
            done += got;
    }
    if (status == DFAL_OK)
        status = df_file_unchanged(&mark, fd, path, true);
    close(fd);
    return status;
}

static dfal_status note_file(struct df_onnx_files *files, const char *path)
{
    for (int32_t i = 0; i < files->count; i++)
        if (strcmp(files->path[i], path) == 0)
            return DFAL_OK;
    DF_TRY(df_resize(&files->path, files->count, files->count + 1, sizeof *files->path));
    DF_TRY(df_strdup(&files->path[files->count], path));
    files->count++;
    return DFAL_OK;
}

static dfal_status read_external(const struct df_onnx *onnx, struct df_onnx_tensor *out,
                                 const Onnx__TensorProto *proto, const char *name)
{
    const char *location = NULL;
    int64_t offset = 0, length = -1, expected = out->count * (int64_t)df_onnx_type_size(out->type);
    for (size_t i = 0; i < proto->n_external_data; i++) {
        const Onnx__StringStringEntryProto *entry = proto->external_data[i];
        if (!entry->key || !entry->value)
            continue;
        if (strcmp(entry->key, "location") == 0)
            location = entry->value;
        if ((strcmp(entry->key, "offset") == 0 && !whole_number(entry->value, &offset)) ||
            (strcmp(entry->key, "length") == 0 && !whole_number(entry->value, &length)))
            DF_FAIL(DFAL_E_DATA,
                    "%s: the external data of '%.80s' has the %s '%.40s', expected a number of bytes",
                    onnx->path, name, entry->key, entry->value);
    }
    if (!location)
        DF_FAIL(DFAL_E_DATA, "%s: the external data of '%.80s' has no location", onnx->path, name);
    if (length >= 0 && length != expected)
        DF_FAIL(DFAL_E_DATA, "%s: the external data of '%.80s' has %lld bytes, expected %lld", onnx->path,
                name, (long long)length, (long long)expected);
    char *path = NULL;
    DF_TRY(resolve(&path, onnx, name, location));
    if (!path)
        return DFAL_E_INTERNAL;
    /* The file's size is looked at before memory is taken. */
    struct stat facts;
    dfal_status status = DFAL_OK;
    if (stat(path, &facts) == 0 && S_ISREG(facts.st_mode) && expected > facts.st_size)
        status = df_fail(DFAL_E_DATA, "%s: the data of '%.80s' needs %lld bytes of %s, which has %lld",
                         onnx->path, name, (long long)expected, path, (long long)facts.st_size);
    if (status == DFAL_OK)
        status = note_file(onnx->files, path);
    if (status == DFAL_OK)
        status = df_alloc(&out->own, expected, 1);
    if (status == DFAL_OK)
        status = read_part(onnx, name, path, offset, expected, out->own);
    out->bytes = out->own;
    *onnx->allowance += DF_ONNX_ALLOWANCE * expected;
    df_free(path);
    return status;
}

/* ---- Data in the file ------------------------------------------------------------------------ */

/* int32_data carries the narrow types one number an element. */
static dfal_status narrow(struct df_onnx_tensor *out, const Onnx__TensorProto *proto)
{
    const size_t size = df_onnx_type_size(out->type);
    DF_TRY(df_alloc(&out->own, out->count, size));
    for (int64_t i = 0; i < out->count; i++) {
        uint16_t half = (uint16_t)proto->int32_data[i];
        uint8_t flag = proto->int32_data[i] != 0;
        memcpy((uint8_t *)out->own + (size_t)i * size, size == 2 ? (void *)&half : (void *)&flag, size);
    }
    out->bytes = out->own;
    return DFAL_OK;
}

static dfal_status read_typed(const struct df_onnx *onnx, struct df_onnx_tensor *out,
                              const Onnx__TensorProto *proto, const char *name)
{
    size_t held = proto->n_int32_data;
    out->bytes = (const uint8_t *)proto->int32_data;
    if (out->type == DF_ONNX_FLOAT) {
        held = proto->n_float_data;
        out->bytes = (const uint8_t *)proto->float_data;
    } else if (out->type == DF_ONNX_DOUBLE) {
        held = proto->n_double_data;
        out->bytes = (const uint8_t *)proto->double_data;
    } else if (out->type == DF_ONNX_INT64) {
        held = proto->n_int64_data;
        out->bytes = (const uint8_t *)proto->int64_data;
    }
    if (held != (size_t)out->count) {
        char dims[128];
        DF_FAIL(DFAL_E_DATA, "%s: the tensor '%.80s' of shape %s holds %zu values, expected %lld", onnx->path,
                name, df_onnx_dims_text(dims, out->rank, out->dims), held, (long long)out->count);
    }
    return df_onnx_type_size(out->type) < 4 ? narrow(out, proto) : DFAL_OK;
}

dfal_status df_onnx_tensor_read(const struct df_onnx *onnx, struct df_onnx_tensor *out,
                                const Onnx__TensorProto *proto)
{
    const char *name = proto->name && *proto->name ? proto->name : "(no name)";
    const size_t size = df_onnx_type_size(proto->data_type);
    memset(out, 0, sizeof *out);
    if (size == 0)
        DF_FAIL(
            DFAL_E_DATA,
            "%s: the tensor '%.80s' has elements of type %s (%d), expected float, double, float16, bfloat16, "
            "int64, int32 or bool",
            onnx->path, name, df_onnx_type_name(proto->data_type), proto->data_type);
    if (proto->n_dims > DF_ONNX_RANK)
        DF_FAIL(DFAL_E_DATA, "%s: the tensor '%.80s' has %zu dimensions, expected at most %d", onnx->path,
                name, proto->n_dims, DF_ONNX_RANK);
    out->type = proto->data_type;
    out->rank = (int32_t)proto->n_dims;
    for (int32_t d = 0; d < out->rank; d++) {
        out->dims[d] = proto->dims[d];
        if (out->dims[d] < 0)
            DF_FAIL(DFAL_E_DATA, "%s: the tensor '%.80s' has the negative extent %lld", onnx->path, name,
                    (long long)out->dims[d]);
    }
    int64_t bytes;
    if (df_checked_product(&out->count, out->dims, out->rank) != DFAL_OK ||
        __builtin_mul_overflow(out->count, (int64_t)size, &bytes)) {
        char dims[128];
        DF_FAIL(DFAL_E_DATA, "%s: the tensor '%.80s' has the shape %s, which is too large to count",
                onnx->path, name, df_onnx_dims_text(dims, out->rank, out->dims));
    }
    if (proto->data_location == EXTERNAL)
        return read_external(onnx, out, proto, name);
    if (!proto->has_raw_data)
        return read_typed(onnx, out, proto, name);
    if (proto->raw_data.len != (size_t)bytes) {
        char dims[128];
        DF_FAIL(DFAL_E_DATA, "%s: the tensor '%.80s' of shape %s (%s) holds %zu bytes, expected %lld",
                onnx->path, name, df_onnx_dims_text(dims, out->rank, out->dims), df_onnx_type_name(out->type),
                proto->raw_data.len, (long long)bytes);
    }
    out->bytes = proto->raw_data.data;
    return DFAL_OK;
}
