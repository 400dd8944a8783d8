/* SPDX-License-Identifier: Apache-2.0 */
/* Datasets: opened only when their bytes are in the file, read and written in runs of rows. */
#include <stdio.h>
#include <string.h>

#include "base/fault.h"
#include "base/memory.h"
#include "store/hdf5_chunk.h"
#include "store/hdf5_driver.h"
#include "store/hdf5_file.h"
#include "store/hdf5_heap.h"
#include "tensor/tensor.h"

static const size_t element_limit = (size_t)64 << 20, chunk_limit = (size_t)1 << 30;
static const int64_t cache_least = (int64_t)1 << 20, cache_most = (int64_t)256 << 20;

/* ---- Opening: what a stranger's file may not do ----------------------------------------------- */

static dfal_status check_filters(const struct df_h5 *h5, const char *name, hid_t creation)
{
    int count = H5Pget_nfilters(creation);
    if (h5->plugins)
        H5PLset_loading_state(H5PL_ALL_PLUGIN);
    for (int i = 0; i < count; i++) {
        unsigned flags = 0, config = 0;
        size_t values = 0;
        char filter[128] = "";
        H5Z_filter_t id =
            H5Pget_filter2(creation, (unsigned)i, &flags, &values, NULL, sizeof filter, filter, &config);
        if (id < 0)
            return df_h5_fail(df_h5_blame(h5), "%s: a filter of dataset '%s' cannot be read", h5->path, name);
        bool built_in = id >= H5Z_FILTER_DEFLATE && id <= H5Z_FILTER_SCALEOFFSET;
        if (!built_in && !h5->plugins)
            DF_FAIL(DFAL_E_DATA,
                    "%s: dataset '%s' is packed by filter plugin %d (%s), expected a built-in filter; "
                    "`hdf5_plugins` "
                    "allows plugins",
                    h5->path, name, (int)id, filter[0] ? filter : "no name");
        if (H5Zfilter_avail(id) <= 0)
            DF_FAIL(DFAL_E_UNAVAILABLE,
                    "%s: dataset '%s' is packed by filter %d (%s), which is not installed here", h5->path,
                    name, (int)id, filter[0] ? filter : "no name");
    }
    return DFAL_OK;
}

/* Name the first chunk that is not in the file. */
static dfal_status fail_missing_chunk(const struct df_h5 *h5, const struct df_h5_data *data,
                                      const hsize_t *chunk)
{
    hsize_t at[DF_H5_MAX_RANK] = {0};
    char text[DF_H5_SHAPE_TEXT];
    /* A crafted file may declare more chunks than can be asked for one by one. */
    for (int64_t tried = 0; tried < 100000; tried++) {
        hsize_t size = 0;
        if (H5Dget_chunk_storage_size(data->id, at, &size) < 0 || size == 0)
            break;
        int32_t d = data->rank - 1;
        while (d >= 0 && (int64_t)(at[d] += chunk[d]) >= data->dims[d])
            at[d--] = 0;
        if (d < 0)
            break;
    }
    int64_t first[DF_H5_MAX_RANK];
    for (int32_t i = 0; i < data->rank; i++)
        first[i] = (int64_t)at[i];
    DF_FAIL(DFAL_E_DATA, "%s: the chunk of dataset '%s' at %s was never written", h5->path, data->name,
            df_h5_shape(text, first, data->rank));
}

static dfal_status check_chunked(const struct df_h5 *h5, struct df_h5_data *data, hid_t creation, hid_t space)
{
    hsize_t chunk[DF_H5_MAX_RANK], stored = 0;
    if (H5Pget_chunk(creation, DF_H5_MAX_RANK, chunk) != data->rank)
        return df_h5_fail(df_h5_blame(h5), "%s: the chunk shape of dataset '%s' cannot be read", h5->path,
                          data->name);
    int64_t expected = 1, sides[DF_H5_MAX_RANK], bytes = 1;
    for (int32_t i = 0; i < data->rank; i++) {
        if (chunk[i] == 0)
            DF_FAIL(DFAL_E_DATA, "%s: dataset '%s' has a chunk of size 0", h5->path, data->name);
        sides[i] = data->dims[i] / (int64_t)chunk[i] + (data->dims[i] % (int64_t)chunk[i] != 0);
        bytes = bytes > (int64_t)chunk_limit / (int64_t)chunk[i] ? (int64_t)chunk_limit + 1
                                                                 : bytes * (int64_t)chunk[i];
    }
    if (df_checked_product(&expected, sides, data->rank) != DFAL_OK ||
        bytes > (int64_t)chunk_limit / (int64_t)data->stored_size)
        DF_FAIL(DFAL_E_DATA, "%s: dataset '%s' has chunks larger than 1 GiB, or more than can be counted",
                h5->path, data->name);
    if (H5Dget_num_chunks(data->id, space, &stored) < 0)
        return df_h5_fail(df_h5_blame(h5), "%s: the chunks of dataset '%s' cannot be counted", h5->path,
                          data->name);
    if ((int64_t)stored < expected)
        return fail_missing_chunk(h5, data, chunk);
    bytes *= (int64_t)data->stored_size;
    if (data->kind != DF_H5_OTHER && H5Pget_nfilters(creation) == 0 &&
        H5Dget_storage_size(data->id) != stored * (hsize_t)bytes)
        DF_FAIL(DFAL_E_DATA,
                "%s: the chunks of dataset '%s' hold %llu bytes together, expected %llu of %lld: a size "
                "beside their places "
                "is damaged",
                h5->path, data->name, (unsigned long long)H5Dget_storage_size(data->id),
                (unsigned long long)stored, (long long)bytes);
    data->chunk_rows = (int64_t)chunk[0];
    return DFAL_OK;
}

/* Compare the declared size with what the file holds, before anybody takes memory for it. */
static dfal_status check_storage(const struct df_h5 *h5, struct df_h5_data *data, hid_t creation, hid_t space)
{
    int64_t count, bytes, two[2];
    if (df_checked_product(&count, data->dims, data->rank) != DFAL_OK)
        DF_FAIL(DFAL_E_DATA, "%s: dataset '%s' declares more elements than can be counted", h5->path,
                data->name);
    two[0] = count, two[1] = (int64_t)data->stored_size;
    if (data->type_size > element_limit || df_checked_product(&bytes, two, 2) != DFAL_OK)
        DF_FAIL(DFAL_E_DATA, "%s: dataset '%s' declares %lld elements of %lld bytes", h5->path, data->name,
                (long long)count, (long long)data->type_size);
    if (count == 0)
        return DFAL_OK;
    char text[DF_H5_SHAPE_TEXT];
    hsize_t stored = H5Dget_storage_size(data->id);
    switch (H5Pget_layout(creation)) {
    case H5D_COMPACT:
        if ((int64_t)stored < bytes)
            break;
        return DFAL_OK;
    case H5D_CONTIGUOUS: {
        haddr_t address = H5Dget_offset(data->id);
        if (address == HADDR_UNDEF || (int64_t)stored < bytes || (int64_t)address > h5->size - bytes)
            break;
        return DFAL_OK;
    }
    case H5D_CHUNKED:
        return check_chunked(h5, data, creation, space);
    default:
        DF_FAIL(DFAL_E_DATA,
                "%s: dataset '%s' is virtual or of an unknown layout, expected its bytes in the file",
                h5->path, data->name);
    }
    DF_FAIL(DFAL_E_DATA,
            "%s: dataset '%s' declares %s (%lld bytes), which the file of %lld bytes does not hold", h5->path,
            data->name, df_h5_shape(text, data->dims, data->rank), (long long)bytes, (long long)h5->size);
}

static void classify(struct df_h5_data *data, hid_t type)
{
    data->type_size = data->stored_size = H5Tget_size(type);
    switch (H5Tget_class(type)) {
    case H5T_INTEGER:
        data->kind = DF_H5_INTEGER;
        data->is_unsigned = H5Tget_sign(type) == H5T_SGN_NONE;
        break;
    case H5T_FLOAT:
        data->kind = DF_H5_REAL;
        break;
    case H5T_STRING:
        data->kind = DF_H5_TEXT;
        if (H5Tis_variable_str(type) > 0)
            data->stored_size = DF_H5_REFERENCE;
        break;
    default:
        data->kind = DF_H5_OTHER;
    }
}

static dfal_status examine(struct df_h5 *h5, struct df_h5_data *data)
{
    dfal_status status = DFAL_OK;
    hid_t type = H5Dget_type(data->id), space = H5Dget_space(data->id),
          creation = H5Dget_create_plist(data->id);
    if (type < 0 || space < 0 || creation < 0) {
        status = df_h5_fail(df_h5_blame(h5), "%s: dataset '%s' cannot be described", h5->path, data->name);
        goto done;
    }
    classify(data, type);
    hsize_t dims[H5S_MAX_RANK];
    int rank = H5Sget_simple_extent_type(space) == H5S_NULL ? -1 : H5Sget_simple_extent_ndims(space);
    if (rank < 0 || rank > DF_H5_MAX_RANK || data->type_size == 0) {
        status = df_fail(DFAL_E_DATA, "%s: dataset '%s' has rank %d, expected 0 to %d", h5->path, data->name,
                         rank, DF_H5_MAX_RANK);
        goto done;
    }
    H5Sget_simple_extent_dims(space, dims, NULL);
    data->rank = rank;
    for (int i = 0; i < rank; i++)
        data->dims[i] = dims[i] > INT64_MAX ? INT64_MAX : (int64_t)dims[i];
    if (H5Pget_external_count(creation) != 0) {
        status = df_fail(
            DFAL_E_DATA,
            "%s: dataset '%s' keeps its bytes in another file (external storage), expected them in this one",
            h5->path, data->name);
        goto done;
    }
    DF_TRY_TO(done, status, check_filters(h5, data->name, creation));
    DF_TRY_TO(done, status, check_storage(h5, data, creation, space));
    status = df_h5_packing_create(h5, data, creation);
done:
    if (type >= 0)
        H5Tclose(type);
    if (space >= 0)
        H5Sclose(space);
    if (creation >= 0)
        H5Pclose(creation);
    return status;
}

/* "256x1x28x28": chunks of a megabyte or so, for h5repack. */
static const char *chunk_advice(char text[DF_H5_SHAPE_TEXT], const struct df_h5_data *data, int64_t row_bytes)
{
    const int64_t rows = row_bytes < cache_least ? cache_least / row_bytes : 1;
    int used =
        snprintf(text, DF_H5_SHAPE_TEXT, "%lld", (long long)(rows < data->dims[0] ? rows : data->dims[0]));
    for (int32_t i = 1; i < data->rank && used < DF_H5_SHAPE_TEXT - 24; i++)
        used += snprintf(text + used, DF_H5_SHAPE_TEXT - (size_t)used, "x%lld", (long long)data->dims[i]);
    return text;
}

/* Packed chunks go through HDF5's cache, which holds two rows of chunks, so that a run of rows unpacks each
 * once. It has room for one of any file: else each row that is read would unpack a whole row of chunks. */
static dfal_status open_with_cache(struct df_h5 *h5, struct df_h5_data *data)
{
    int64_t row_bytes =
        (int64_t)data->type_size; /* of one row of samples; df_h5_data_open has looked at the product */
    for (int32_t i = 1; i < data->rank; i++)
        row_bytes *= data->dims[i];
    if (row_bytes > cache_most / data->chunk_rows) {
        char text[DF_H5_SHAPE_TEXT];
        DF_FAIL(
            DFAL_E_DATA,
            "%s: dataset '%s' is packed in chunks of %lld rows, %.0f MB unpacked, expected at most %.0f MB; "
            "h5repack -l %s:CHUNK=%s IN.h5 OUT.h5 cuts them",
            h5->path, data->name, (long long)data->chunk_rows,
            (double)row_bytes * (double)data->chunk_rows / 1e6, (double)cache_most / 1e6, data->name,
            chunk_advice(text, data, row_bytes));
    }
    int64_t bytes = 2 * data->chunk_rows * row_bytes;
    bytes = bytes < cache_least ? cache_least : bytes > cache_most ? cache_most : bytes;
    hid_t access = H5Pcopy(h5->access), again = -1;
    if (access >= 0 &&
        H5Pset_chunk_cache(access, DF_H5_CACHE_SLOTS, (size_t)bytes, DF_H5_CACHE_POLICY) >= 0 &&
        H5Dclose(data->id) >= 0) {
        data->id = -1;
        again = H5Dopen2(h5->file, data->name, access);
    }
    if (access >= 0)
        H5Pclose(access);
    if (again < 0)
        return df_h5_fail(df_h5_blame(h5), "%s: '%s' cannot be opened as a dataset", h5->path, data->name);
    data->id = again;
    data->cache_bytes = bytes;
    return DFAL_OK;
}

dfal_status df_h5_data_open(struct df_h5 *h5, const char *name, struct df_h5_data *data, bool *found)
{
    dfal_status status;
    bool there;
    *data = DF_H5_NO_DATA;
    DF_TRY(df_h5_exists(h5, name, &there));
    if (found)
        *found = there;
    if (!there) {
        if (found)
            return DFAL_OK;
        DF_FAIL(DFAL_E_DATA, "%s has no dataset '%s'", h5->path, name);
    }
    DF_TRY_TO(done, status, df_strdup(&data->name, name));
    if (!df_fault_hits(DF_FAULT_READ))
        data->id = H5Dopen2(h5->file, name, h5->access);
    if (h5->external)
        status = df_fail(DFAL_E_DATA,
                         "%s: '%s' is an external link to another file, expected a dataset in this one",
                         h5->path, name);
    else if (data->id < 0)
        status = df_h5_fail(df_h5_blame(h5), "%s: '%s' cannot be opened as a dataset", h5->path, name);
    else
        status = examine(h5, data);
    if (status == DFAL_OK && df_h5_packed(data))
        status = open_with_cache(h5, data);
done:
    if (status != DFAL_OK)
        df_h5_data_close(h5, data);
    return status;
}

/* ---- Rows ----------------------------------------------------------------------------------- */

/* Select rows; memory and file space are H5S_ALL for a scalar. */
static bool select_rows(const struct df_h5_data *data, int64_t begin, int64_t count, hid_t *memory,
                        hid_t *file)
{
    *memory = *file = H5S_ALL;
    if (data->rank == 0)
        return true;
    hsize_t start[DF_H5_MAX_RANK] = {0}, size[DF_H5_MAX_RANK];
    for (int32_t i = 0; i < data->rank; i++)
        size[i] = (hsize_t)data->dims[i];
    start[0] = (hsize_t)begin;
    size[0] = (hsize_t)count;
    *memory = H5Screate_simple(data->rank, size, NULL);
    *file = H5Dget_space(data->id);
    return *memory >= 0 && *file >= 0 &&
           H5Sselect_hyperslab(*file, H5S_SELECT_SET, start, NULL, size, NULL) >= 0;
}

static void close_selection(hid_t memory, hid_t file)
{
    if (memory > 0 && memory != H5S_ALL)
        H5Sclose(memory);
    if (file > 0 && file != H5S_ALL)
        H5Sclose(file);
}

/* What the medium did not do is said by the driver; anything else is the file's fault. */
static dfal_status fail_read(const struct df_h5 *h5, const struct df_h5_data *data, int64_t begin,
                             int64_t count, bool medium)
{
    if (!h5->temporary) {
        dfal_status changed = df_h5_unchanged(h5); /* then nothing else is to blame */
        if (changed != DFAL_OK)
            return df_fail_prefix(changed, "rows %lld to %lld of dataset '%s': ", (long long)begin,
                                  (long long)(begin + count - 1), data->name);
    }
    return df_h5_fail(medium ? DFAL_E_IO : df_h5_blame(h5),
                      "%s: rows %lld to %lld of dataset '%s' cannot be read", h5->path, (long long)begin,
                      (long long)(begin + count - 1), data->name);
}

/* The read itself; false leaves HDF5's stack standing. */
static bool read_rows(const struct df_h5 *h5, const struct df_h5_data *data, hid_t type, int64_t begin,
                      int64_t count, void *buffer, bool *medium)
{
    hid_t memory = -1, file = -1;
    if (h5->plugins)
        H5PLset_loading_state(H5PL_ALL_PLUGIN); /* df_h5_unlock puts it back */
    *medium = df_fault_hits(DF_FAULT_READ);
    bool ok = !*medium && select_rows(data, begin, count, &memory, &file);
    hid_t stack = -1;
    if (ok && H5Dread(data->id, type, memory, file, H5P_DEFAULT, buffer) < 0) {
        ok = false;
        stack = H5Eget_current_stack();
    }
    close_selection(memory, file);
    if (stack >= 0)
        H5Eset_current_stack(stack);
    return ok;
}

dfal_status df_h5_data_read(const struct df_h5 *h5, const struct df_h5_data *data, hid_t type, int64_t begin,
                            int64_t count, void *buffer)
{
    bool medium;
    DF_TRY(df_h5_chunks_check(h5, data, begin, count));
    if (count == 0 || read_rows(h5, data, type, begin, count, buffer, &medium))
        return DFAL_OK;
    return fail_read(h5, data, begin, count, medium);
}

dfal_status df_h5_data_write(const struct df_h5 *h5, const struct df_h5_data *data, hid_t type, int64_t begin,
                             int64_t count, const void *buffer)
{
    if (count == 0)
        return DFAL_OK;
    hid_t memory = -1, file = -1;
    bool ok = !df_fault_hits(DF_FAULT_WRITE) && select_rows(data, begin, count, &memory, &file) &&
              H5Dwrite(data->id, type, memory, file, H5P_DEFAULT, buffer) >= 0;
    dfal_status status = DFAL_OK;
    if (!ok)
        status = df_h5_fail(DFAL_E_IO, "%s: dataset '%s' cannot be written", h5->path, data->name);
    close_selection(memory, file);
    return ok ? df_h5_written(h5) : status;
}

dfal_status df_h5_data_close(const struct df_h5 *h5, struct df_h5_data *data)
{
    dfal_status status = DFAL_OK;
    if (data->id > 0) {
        bool fault = h5->temporary && df_fault_hits(DF_FAULT_CLOSE);
        if (H5Dclose(data->id) < 0 || fault)
            status = df_h5_fail(DFAL_E_IO, "%s: dataset '%s' cannot be closed", h5->path, data->name);
        else
            status = df_h5_written(h5);
    }
    df_h5_packing_destroy(data->packing);
    df_free(data->name);
    *data = DF_H5_NO_DATA;
    return status;
}

/* ---- Creating ------------------------------------------------------------------------------- */

dfal_status df_h5_data_create(struct df_h5 *h5, const char *name, hid_t type, int32_t rank,
                              const int64_t *dims, int64_t chunk_rows, const void *fill,
                              struct df_h5_data *data)
{
    dfal_status status;
    hsize_t size[DF_H5_MAX_RANK], chunk[DF_H5_MAX_RANK];
    hid_t creation = -1, links = -1, space = -1, access = -1;
    *data = DF_H5_NO_DATA;
    DF_TRY_TO(done, status, df_strdup(&data->name, name));
    data->rank = rank;
    data->chunk_rows = chunk_rows;
    for (int32_t i = 0; i < rank; i++) {
        data->dims[i] = dims[i];
        size[i] = chunk[i] = (hsize_t)dims[i];
    }
    if (rank && chunk_rows)
        chunk[0] = (hsize_t)chunk_rows;
    classify(data, type);
    creation = H5Pcreate(H5P_DATASET_CREATE);
    links = H5Pcreate(H5P_LINK_CREATE);
    access = H5Pcreate(H5P_DATASET_ACCESS);
    space = rank ? H5Screate_simple(rank, size, NULL) : H5Screate(H5S_SCALAR);
    size_t chunk_bytes = data->type_size;
    for (int32_t i = 0; i < rank; i++)
        chunk_bytes *= (size_t)chunk[i];
    /* rows are appended in order: one chunk in the cache does, HDF5's megabyte a dataset would not be
     * missed */
    bool ok = creation >= 0 && links >= 0 && space >= 0 && access >= 0 &&
              (chunk_rows == 0 || H5Pset_chunk_cache(access, 3, chunk_bytes, 0.75) >= 0) &&
              H5Pset_obj_track_times(creation, 0) >= 0 && H5Pset_create_intermediate_group(links, 1) >= 0 &&
              (chunk_rows == 0 || H5Pset_chunk(creation, rank, chunk) >= 0) &&
              (!fill || H5Pset_fill_value(creation, type, fill) >= 0) && !df_fault_hits(DF_FAULT_WRITE);
    if (ok)
        data->id = H5Dcreate2(h5->file, name, type, space, links, creation, access);
    if (data->id < 0)
        status = df_h5_fail(DFAL_E_IO, "%s: dataset '%s' cannot be created", h5->path, name);
done:
    if (creation >= 0)
        H5Pclose(creation);
    if (links >= 0)
        H5Pclose(links);
    if (access >= 0)
        H5Pclose(access);
    if (space >= 0)
        H5Sclose(space);
    if (status != DFAL_OK)
        df_h5_data_close(h5, data);
    return status;
}

dfal_status df_h5_data_put(struct df_h5 *h5, const char *name, hid_t file_type, hid_t memory_type,
                           int32_t rank, const int64_t *dims, const void *buffer)
{
    struct df_h5_data data;
    DF_TRY(df_h5_data_create(h5, name, file_type, rank, dims, 0, NULL, &data));
    dfal_status status = df_h5_data_write(h5, &data, memory_type, 0, rank ? dims[0] : 1, buffer);
    DF_KEEP_FIRST(status, df_h5_data_close(h5, &data));
    return status;
}
