/* SPDX-License-Identifier: Apache-2.0 */
/* Input bytes are an HDF5 file: the store opens it as what it says that it is, and reads all of it. What HDF5
 * itself does with the bytes is tried, too. */
#include <hdf5.h>
#include <stdlib.h>
#include <string.h>

#include "../scores_file.h"
#include "base/memory.h"
#include "memory_file.h"
#include "store/hdf5_check.h"
#include "store/network_file.h"
#include "store/pool.h"
#include "store/reference.h"
#include "store/table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed);

enum { MOST_BYTES = 4 << 20 };

static void read_pool(const char *path)
{
    struct df_pool *pool = NULL;
    if (df_pool_open(&pool, NULL, path, NULL) != DFAL_OK)
        return;
    const int64_t row = (int64_t)df_pool_row_bytes(pool), most = MOST_BYTES / row,
                  step = most < 1             ? 1
                         : most < pool->count ? most
                                              : pool->count;
    char *raw = NULL, *id = NULL;
    if (df_alloc(&raw, step, (size_t)row) != DFAL_OK)
        abort();
    for (int64_t at = 0; at < pool->count; at += step)
        if (df_pool_read(pool, raw, at, at + step < pool->count ? at + step : pool->count) != DFAL_OK)
            break;
    for (int64_t i = 0; i < pool->count && i < 64; i++) {
        if (df_pool_id(pool, &id, i) != DFAL_OK)
            break;
        df_free(id);
    }
    df_free(raw);
    df_pool_close(pool);
}

static void read_reference(const char *path)
{
    struct df_reference *reference = NULL;
    float values[4096];
    if (df_reference_open(&reference, path) != DFAL_OK)
        return;
    if (reference->input.c && df_shape_size(reference->input) <= 4096)
        (void)!df_reference_read(reference, -1, values, 0, 1);
    df_reference_close(reference);
}

static void read_scores(const char *path)
{
    struct df_rows_head head = {0};
    struct df_scores scores = {0};
    if (test_scores_read(path, &head, &scores) == DFAL_OK)
        df_scores_clear(&scores);
    df_rows_head_clear(&head);
}

/* As a merge of logits does: the head, and whatever has the shape of a column. */
static void read_rows(const char *path)
{
    struct df_rows_head head = {0};
    struct df_rows_reader *reader;
    struct df_row_column column;
    if (df_rows_open(&reader, &head, path, NULL) != DFAL_OK)
        return;
    if (df_rows_find_column(reader, "logits", &column) == DFAL_OK && df_row_column_size(&column) < 1)
        abort();
    df_rows_close(reader);
    df_rows_head_clear(&head);
}

static void read_table(const char *path)
{
    struct df_column columns[] = {{.name = "logits", .type = DF_COLUMN_F32, .rank = 2},
                                  {.name = "rank", .type = DF_COLUMN_I32, .rank = 1}};
    char *configuration = NULL;
    for (int i = 0; i < 2; i++)
        if (df_table_read(path, i ? "dfal-twins" : "dfal-logits", &configuration, &columns[i], 1) ==
            DFAL_OK) {
            df_free(columns[i].data);
            df_free(configuration);
        }
}

static void pass_over(void *user, const char *name, const char *what)
{
    (void)user, (void)name, (void)what;
}

static void read_network(const char *path)
{
    struct df_network *network = NULL;
    if (df_network_load(&network, path) == DFAL_OK)
        df_network_destroy(network);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct memory_file file;
    char format[32];
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    memory_file_open(&file, data, size);
    const int64_t live = df_alloc_live();
    if (df_file_format(format, file.path) == DFAL_OK) {
        (void)!df_table_list(file.path, pass_over, NULL);
        if (strcmp(format, "dfal-network") == 0)
            read_network(file.path);
        else if (strcmp(format, "dfal-scores") == 0)
            read_scores(file.path);
        else if (strcmp(format, "dfal-logits") == 0)
            read_rows(file.path);
        else if (strcmp(format, "dfal-twins") == 0)
            read_table(file.path);
        else if (format[0])
            read_pool(file.path);
        else
            read_reference(file.path);
    }
    if (df_alloc_live() != live || H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL) > 0)
        abort();
    memory_file_close(&file);
    return 0;
}

/* ---- Changes that keep a file's shape: numbers in place, most of them near a signature ----------------- */

static const char signatures[] = "GCOLHEAPTREESNODOHDROCHKFRHPFHDBBTHDBTLFFAHDEAHD";

static uint32_t next(unsigned *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/* A place behind the n-th signature; anywhere without one. */
static size_t place(const uint8_t *data, size_t size, unsigned *seed)
{
    size_t found[256], count = 0;
    for (size_t i = 0; i + 4 <= size && count < 256; i++)
        for (const char *s = signatures; *s; s += 4)
            if (memcmp(data + i, s, 4) == 0) {
                found[count++] = i;
                break;
            }
    if (count == 0 || next(seed) % 4 == 0)
        return next(seed) % size;
    return (found[next(seed) % count] + next(seed) % 400) % size;
}

/* Heads of the newer format are believed only with their checksum. */
static void renew_checksums(uint8_t *data, size_t size)
{
    for (size_t i = 0; i + 12 < size; i++) {
        const size_t head = memcmp(data + i, "FRHP", 4) == 0   ? 142
                            : memcmp(data + i, "BTHD", 4) == 0 ? 34
                                                               : 0;
        if (head && i + head + 4 <= size) {
            uint32_t sum = df_h5_checksum(data + i, head);
            memcpy(data + i + head, &sum, sizeof sum);
        }
        if (memcmp(data + i, "OHDR\2", 5) != 0)
            continue;
        struct df_h5_cursor c = {data + i + 5, data + size, false};
        uint64_t flags = df_h5_take(&c, 1);
        df_h5_skip(&c, (flags & 32 ? 16 : 0) + (flags & 16 ? 4 : 0));
        uint64_t length = df_h5_take(&c, 1 << (flags & 3));
        if (c.past || length + 4 > df_h5_left(&c))
            continue;
        uint8_t *end = data + (c.at - data) + length;
        uint32_t sum = df_h5_checksum(data + i, (uint64_t)(end - data) - i);
        memcpy(end, &sum, sizeof sum);
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed)
{
    static const uint64_t numbers[] = {0,
                                       1,
                                       2,
                                       8,
                                       16,
                                       31,
                                       255,
                                       4095,
                                       65535,
                                       1u << 27,
                                       INT32_MAX,
                                       UINT32_MAX,
                                       1ull << 32,
                                       1ull << 40,
                                       INT64_MAX,
                                       1ull << 63,
                                       UINT64_MAX - 7,
                                       UINT64_MAX};
    if (size < 64 || next(&seed) % 16 == 0)
        return LLVMFuzzerMutate(data, size, most);
    for (unsigned changes = 1 + next(&seed) % 3; changes > 0; changes--) {
        size_t width = (size_t)1 << next(&seed) % 4, at = place(data, size - 8, &seed) / width * width;
        uint64_t value = numbers[next(&seed) % (sizeof numbers / sizeof *numbers)];
        if (next(&seed) % 3 == 0)
            value = place(data, size, &seed) & ~(size_t)7;
        else if (next(&seed) % 3 == 0)
            value = data[at] + next(&seed) % 17 - 8;
        memcpy(data + at, &value, width);
    }
    renew_checksums(data, size);
    return size;
}
