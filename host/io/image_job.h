/* SPDX-License-Identifier: Apache-2.0 */
/* One import of pictures: image_import.c begins and ends it, image_job.c decodes, image_pool.c writes the
 * pool. Internal to host/io. */
#ifndef DF_IO_IMAGE_JOB_H
#define DF_IO_IMAGE_JOB_H

#include "base/claim.h"
#include "base/log.h"
#include "base/text.h"
#include "base/thread_pool.h"
#include "io/image_parts.h"
#include "io/image_take.h"

/* A part being decoded or written. */
struct df_image_block {
    int64_t part;        /* -1: empty */
    struct df_rows rows; /* of a whole part; count: of this one */
};

struct df_image_job {
    struct dfal_context *context;
    const struct dfal_image_options *options;
    bool skip;
    struct df_image_fit fit;
    struct df_image_list list;
    struct df_shape shape;
    struct df_image_parts parts;
    struct df_claim claim;
    bool replace_table;
    struct df_thread_pool *threads;
    struct df_image_taker *takers; /* [thread_count] */
    int32_t thread_count;
    struct df_image_block blocks[2], *filling, *writing;
    struct df_progress progress;
    struct df_identity identity;
    char *bad_path;
    uint8_t *marks; /* [pictures] when all are decoded */
    int64_t good, bad, rotated, grey, alpha;
    struct df_text bad_table;
};

/* Decode one picture, as df_image_take. */
dfal_status df_image_job_take(struct df_image_job *job, struct df_image_taker *taker, int64_t row,
                              struct df_shape *shape, uint8_t *sample);
/* E_DATA with a picture's path and what is wrong with it. */
dfal_status df_image_job_fail(const struct df_image_job *job, int64_t row, const char *reason);
/* Decode all parts that are not finished. */
dfal_status df_image_job_decode(struct df_image_job *job);

/* A bad table that is there is somebody's, unless this import's own parts are. Errors   E_EXISTS */
dfal_status df_image_job_check_table(struct df_image_job *job);
/* Make the pool, and the table of skipped files, of the finished parts. */
dfal_status df_image_job_pool(struct df_image_job *job, const char *out_path);

#endif
