/* SPDX-License-Identifier: Apache-2.0 */
#include "store/hdf5_chunk.h"

#include <string.h>
#include <zlib.h>

#include "base/memory.h"
#include "store/hdf5_driver.h"
#include "store/hdf5_source.h"

enum { MOST_FILTERS = 32, WINDOW = 1 << 16, CHECKSUM_BYTES = 4 };

struct df_h5_packing {
    bool blind; /* a plugin unpacks: nobody knows the size before */
    int32_t filters;
    H5Z_filter_t filter[MOST_FILTERS];
    bool plain_edges; /* chunks that stick out are not packed */
    int64_t sides[DF_H5_MAX_RANK], grid[DF_H5_MAX_RANK], bytes;
    uint8_t *seen; /* a bit a chunk */
    uint8_t *stored;
    int64_t stored_room;
};

/* ---- What is packed, and how ------------------------------------------------------------------- */

static dfal_status list_filters(const struct df_h5 *h5, const struct df_h5_data *data, hid_t creation,
                                struct df_h5_packing *packing)
{
    int deflated = 0;
    packing->filters = H5Pget_nfilters(creation);
    if (packing->filters > MOST_FILTERS)
        DF_FAIL(DFAL_E_DATA, "%s: dataset '%s' is packed by %d filters, expected at most %d", h5->path,
                data->name, packing->filters, MOST_FILTERS);
    for (int32_t i = 0; i < packing->filters; i++) {
        unsigned flags = 0, config = 0;
        size_t values = 0;
        char name[64] = "";
        H5Z_filter_t id =
            H5Pget_filter2(creation, (unsigned)i, &flags, &values, NULL, sizeof name, name, &config);
        packing->filter[i] = id;
        deflated += id == H5Z_FILTER_DEFLATE;
        if ((id == H5Z_FILTER_DEFLATE && deflated == 1) || (id == H5Z_FILTER_SHUFFLE && deflated == 0) ||
            id == H5Z_FILTER_FLETCHER32)
            continue;
        if (!h5->plugins)
            DF_FAIL(DFAL_E_DATA,
                    "%s: dataset '%s' is packed by filter %d (%s), whose unpacked size HDF5 does not check, "
                    "expected shuffle, then deflate, or fletcher32; `hdf5_plugins` reads it all the same",
                    h5->path, data->name, (int)id, name[0] ? name : "no name");
        packing->blind = true;
    }
    return DFAL_OK;
}

dfal_status df_h5_packing_create(const struct df_h5 *h5, struct df_h5_data *data, hid_t creation)
{
    dfal_status status;
    hsize_t sides[DF_H5_MAX_RANK];
    unsigned options = 0;
    int64_t chunks = 1;
    if (H5Pget_layout(creation) != H5D_CHUNKED || data->chunk_rows == 0 || data->kind == DF_H5_OTHER)
        return DFAL_OK;
    DF_TRY(df_alloc(&data->packing, 1, sizeof *data->packing));
    struct df_h5_packing *packing = data->packing;
    DF_TRY_TO(done, status, list_filters(h5, data, creation, packing));
    if (H5Pget_chunk(creation, DF_H5_MAX_RANK, sides) != data->rank ||
        H5Pget_chunk_opts(creation, &options) < 0) {
        status = df_h5_fail(df_h5_blame(h5), "%s: the chunk shape of dataset '%s' cannot be read", h5->path,
                            data->name);
        goto done;
    }
    packing->plain_edges = options & H5D_CHUNK_DONT_FILTER_PARTIAL_CHUNKS;
    packing->bytes = (int64_t)data->stored_size;
    for (int32_t i = 0; i < data->rank; i++) { /* within limits: df_h5_data_open has looked */
        packing->sides[i] = (int64_t)sides[i];
        packing->grid[i] = data->dims[i] / packing->sides[i] + (data->dims[i] % packing->sides[i] != 0);
        packing->bytes *= packing->sides[i];
        chunks *= packing->grid[i];
    }
    status = df_alloc(&packing->seen, chunks / 8 + 1, 1);
done:
    return status; /* on error the dataset is closed, and this with it */
}

bool df_h5_packed(const struct df_h5_data *data)
{
    return data->packing && data->packing->filters > 0;
}

void df_h5_packing_destroy(struct df_h5_packing *packing)
{
    if (!packing)
        return;
    df_free(packing->seen);
    df_free(packing->stored);
    df_free(packing);
}

/* ---- Unpacking ------------------------------------------------------------------------------------ */

/* What a stream inflates to. -1: no whole stream, or more than `most` bytes. */
static int64_t inflated_size(const uint8_t *in, int64_t size, int64_t most)
{
    uint8_t window[WINDOW];
    z_stream z = {.next_in = (Bytef *)in, .avail_in = (uInt)size};
    int64_t done = 0;
    if (inflateInit(&z) != Z_OK)
        return -1;
    for (int result = Z_OK; result == Z_OK && done >= 0;) {
        z.next_out = window;
        z.avail_out = WINDOW;
        result = inflate(&z, Z_NO_FLUSH);
        done += WINDOW - z.avail_out;
        if (done > most || (result != Z_OK && result != Z_STREAM_END))
            done = -1;
    }
    inflateEnd(&z);
    return done;
}

/* "[256, 0, 0, 0]" */
static const char *place_text(char text[DF_H5_SHAPE_TEXT], const struct df_h5_data *data, const hsize_t *at)
{
    int64_t place[DF_H5_MAX_RANK];
    for (int32_t i = 0; i < data->rank; i++)
        place[i] = (int64_t)at[i];
    return df_h5_shape(text, place, data->rank);
}

/* HDF5 reads a chunk that is not there as zeros. */
static dfal_status find_chunk(const struct df_h5 *h5, const struct df_h5_data *data, const hsize_t *at,
                              hsize_t *size)
{
    char text[DF_H5_SHAPE_TEXT];
    *size = 0;
    if (H5Dget_chunk_storage_size(data->id, at, size) < 0 || *size == 0)
        return df_h5_fail(df_h5_blame(h5), "%s: the chunk of dataset '%s' at %s is not there", h5->path,
                          data->name, place_text(text, data, at));
    return DFAL_OK;
}

/* The chunk as stored, in packing->stored. HDF5 writes as many bytes there as the file declares: the driver
 * refuses to read any other number than there is room for. */
static dfal_status read_stored(const struct df_h5 *h5, const struct df_h5_data *data, const hsize_t *at,
                               int64_t *size, uint32_t *mask)
{
    struct df_h5_packing *packing = data->packing;
    hsize_t stored = 0;
    char text[DF_H5_SHAPE_TEXT];
    place_text(text, data, at);
    DF_TRY(find_chunk(h5, data, at, &stored));
    if (stored > (hsize_t)h5->size || stored > UINT32_MAX)
        DF_FAIL(DFAL_E_DATA,
                "%s: the chunk of dataset '%s' at %s declares %llu bytes, more than the file has", h5->path,
                data->name, text, (unsigned long long)stored);
    DF_TRY(df_reserve(&packing->stored, &packing->stored_room, (int64_t)stored, 1));
    *size = (int64_t)stored;
    h5->source->raw_size = stored;
    herr_t read = H5Dread_chunk(data->id, H5P_DEFAULT, at, mask, packing->stored);
    h5->source->raw_size = 0;
    if (read < 0)
        return df_h5_fail(df_h5_blame(h5), "%s: the chunk of dataset '%s' at %s cannot be read", h5->path,
                          data->name, text);
    return DFAL_OK;
}

static bool sticks_out(const struct df_h5_data *data, const hsize_t *at)
{
    for (int32_t i = 0; i < data->rank; i++)
        if ((int64_t)at[i] + data->packing->sides[i] > data->dims[i])
            return true;
    return false;
}

/* Is a chunk there, and does it unpack to the bytes of a chunk? */
static dfal_status check_chunk(const struct df_h5 *h5, const struct df_h5_data *data, const hsize_t *at)
{
    const struct df_h5_packing *packing = data->packing;
    int64_t size = 0;
    uint32_t mask = 0;
    if (packing->filters == 0) {
        hsize_t stored;
        return find_chunk(h5, data, at, &stored);
    }
    DF_TRY(read_stored(h5, data, at, &size, &mask));
    if (packing->plain_edges && sticks_out(data, at))
        mask = UINT32_MAX;
    for (int32_t i = packing->filters - 1; i >= 0 && size >= 0; i--) {
        if (mask >> i & 1)
            continue;
        if (packing->filter[i] == H5Z_FILTER_FLETCHER32) /* HDF5 compares the sum */
            size = size < CHECKSUM_BYTES ? -1 : size - CHECKSUM_BYTES;
        else if (packing->filter[i] == H5Z_FILTER_DEFLATE) /* before it only sums were cut off, at the end */
            size = inflated_size(packing->stored, size, packing->bytes + CHECKSUM_BYTES);
    }
    if (size == packing->bytes)
        return DFAL_OK;
    char text[DF_H5_SHAPE_TEXT];
    place_text(text, data, at);
    if (size < 0)
        DF_FAIL(DFAL_E_DATA,
                "%s: the chunk of dataset '%s' at %s does not unpack to %lld bytes: it is damaged", h5->path,
                data->name, text, (long long)packing->bytes);
    DF_FAIL(DFAL_E_DATA, "%s: the chunk of dataset '%s' at %s unpacks to %lld bytes, expected %lld", h5->path,
            data->name, text, (long long)size, (long long)packing->bytes);
}

/* ---- Which chunks ----------------------------------------------------------------------------------- */

dfal_status df_h5_chunks_check(const struct df_h5 *h5, const struct df_h5_data *data, int64_t begin,
                               int64_t count)
{
    struct df_h5_packing *packing = data->packing;
    if (!packing || packing->blind || count == 0)
        return DFAL_OK;
    int64_t across = 1; /* chunks beside each other, in all dimensions but the first */
    for (int32_t i = 1; i < data->rank; i++)
        across *= packing->grid[i];
    const int64_t last = (begin + count - 1) / packing->sides[0];
    for (int64_t chunk = begin / packing->sides[0] * across; chunk < (last + 1) * across; chunk++) {
        if (packing->seen[chunk / 8] >> chunk % 8 & 1)
            continue;
        hsize_t at[DF_H5_MAX_RANK];
        int64_t rest = chunk;
        for (int32_t i = data->rank - 1; i >= 0; i--) {
            at[i] = (hsize_t)(rest % packing->grid[i] * packing->sides[i]);
            rest /= packing->grid[i];
        }
        DF_TRY(check_chunk(h5, data, at));
        packing->seen[chunk / 8] |= (uint8_t)(1 << chunk % 8);
    }
    return DFAL_OK;
}
