/* SPDX-License-Identifier: Apache-2.0 */
/* What a df_pool keeps of its file. Internal to host/store. */
#ifndef DF_STORE_POOL_FILE_H
#define DF_STORE_POOL_FILE_H

#include "store/hdf5_file.h"
#include "store/pool.h"

/* A row that is asked for, and where it goes. */
struct df_row_place {
    int64_t row, place;
};

struct df_pool_file {
    struct df_h5 h5;
    struct df_h5_data samples, ids;
    bool nhwc;    /* stored [N,H,W,C], handed out [N,C,H,W] */
    void *stored; /* one run of rows as stored, while they are turned */
    int64_t stored_bytes;
    struct df_row_place *order; /* gather: sorted by row; reused */
    int64_t order_count;
    float *table;              /* u8: [affine_count][256] what the network sees */
    struct df_id_index *index; /* rows by id; NULL until df_pool_find needs it */
};

/* Rows [begin, begin + count) under the lock. */
dfal_status df_pool_read_locked(struct df_pool *pool, void *buffer, int64_t begin, int64_t count);

/* The id of a row of a pool that has none: "<first 8 of the fingerprint>:<row>". */
enum { DF_MADE_ID = 32 };
void df_pool_make_id(const struct df_pool *pool, char id[DF_MADE_ID], int64_t row);
/* Write the ids of pool rows [row, row + count) into a column of texts, from its row `at` on. Takes the lock
 * itself, for a block of ids at a time, so that readers get their turn. */
dfal_status df_pool_put_ids(struct df_pool *pool, const struct df_h5 *h5, const struct df_h5_data *column,
                            int64_t at, int64_t row, int64_t count);

/* Free the index of ids; the next df_pool_find builds it again. */
void df_pool_forget_index(struct df_pool *pool);

/* sha256 over: "dfal-pool" and the raw type ("u8" or "f32"), each with its length in front; N, C, H, W;
 * affine_count; the scales, the offsets (f64); then, in ascending order, the raw rows [C,H,W] whose index is
 * a multiple of max(1, N / 1024). Integers are 64 bits; everything is little-endian. */
dfal_status df_pool_fingerprint(struct df_pool *pool, const dfal_context *context);

#endif
