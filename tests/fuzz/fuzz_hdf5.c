/* SPDX-License-Identifier: Apache-2.0 */
/* Input bytes are an HDF5 file: every reader of the store opens it as what it takes, and reads all of it. What HDF5 itself
 * does with the bytes is tried, too. */
#include <hdf5.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "memory_file.h"
#include "store/network_file.h"
#include "store/pool.h"
#include "store/reference.h"
#include "store/scores.h"
#include "store/table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST_BYTES = 4 << 20 };

static void read_pool(const char *path)
{
    struct df_pool *pool = NULL;
    if (df_pool_open(&pool, path, NULL) != DFAL_OK)
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
    struct df_scores_head head = {0};
    struct df_scores scores = {0};
    if (df_scores_read(path, &head, &scores) == DFAL_OK)
        df_scores_clear(&scores);
    df_scores_head_clear(&head);
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct memory_file file;
    struct df_network *network = NULL;
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    memory_file_open(&file, data, size);
    const int64_t live = df_alloc_live();
    read_pool(file.path);
    read_reference(file.path);
    read_scores(file.path);
    read_table(file.path);
    (void)!df_table_list(file.path, pass_over, NULL);
    if (df_network_load(&network, file.path) == DFAL_OK)
        df_network_destroy(network);
    if (df_alloc_live() != live || H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL) > 0)
        abort();
    memory_file_close(&file);
    return 0;
}
