/* SPDX-License-Identifier: Apache-2.0 */
/* What a df_pool keeps of its file. Internal to host/store. */
#ifndef DF_STORE_POOL_FILE_H
#define DF_STORE_POOL_FILE_H

#include "store/hdf5_file.h"
#include "store/pool.h"

/* An id by its hash; equal hashes are told apart by reading the id. */
struct df_id_entry {
    uint64_t hash;
    int64_t row;
};

struct df_pool_file {
    struct df_h5 h5;
    struct df_h5_data samples, ids;
    bool nhwc;    /* stored [N,H,W,C], handed out [N,C,H,W] */
    void *stored; /* one run of rows as stored, while they are turned */
    int64_t stored_bytes;
    struct df_id_entry *order; /* gather: (row, position), sorted; reused */
    int64_t order_count;
    float *table;              /* u8: [affine_count][256] what the network sees */
    struct df_id_entry *index; /* [count] by hash; NULL until df_pool_find needs it */
};

/* Rows [begin, begin + count) under the lock. */
dfal_status df_pool_read_locked(struct df_pool *pool, void *buffer, int64_t begin, int64_t count);

/* sha256 over: "dfal-pool" and the raw type ("u8" or "f32"), each with its length in front; N, C, H, W; affine_count;
 * the scales, the offsets (f64); then, in ascending order, the raw rows [C,H,W] whose index is a multiple of
 * max(1, N / 1024). Integers are 64 bits; everything is little-endian. */
dfal_status df_pool_fingerprint(struct df_pool *pool);

#endif
