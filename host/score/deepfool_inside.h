/* SPDX-License-Identifier: Apache-2.0 */
/* What a DeepFool engine consists of. For the engine's own files: deepfool_engine.c makes workers and runs
 * them side by side, deepfool_checks.c refuses what would be no margin, deepfool_worker.c has a worker's
 * memory and the calls of an iteration, deepfool_loop.c the loop. Each device of a group has an engine of its
 * own; what its rows come from and go to is that of all. */
#ifndef DF_SCORE_DEEPFOOL_INSIDE_H
#define DF_SCORE_DEEPFOOL_INSIDE_H

#include <stdatomic.h>

#include "backend/op_call.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/thread_pool.h"
#include "net/plan.h"
#include "score/margin.h"
#include "score/preset.h"
#include "store/stream.h"

/* Rows of the stream on the device, raw bytes or network inputs of a f32 pool, and their rows in the pool. Of
 * a pool that is there as a whole these alone. */
struct df_deepfool_chunk {
    struct df_span raw, index;
    int64_t rows, taken;
    bool copying; /* nobody has waited for the upload yet */
};

/* One queue's share of the work. Slots 0..occupied-1 hold samples. */
enum { DF_DEEPFOOL_CHUNKS = 2 };
struct df_deepfool_worker {
    struct df_deepfool_engine *engine;
    int32_t queue;
    struct df_tape *tape;
    /* slots that hold samples; that go on; that want a step; that want a projection */
    int64_t occupied, kept, active, crossed;
    bool dry; /* the stream has no more */
    /* on the device: [slots, D] x0, r, best_g; kernels/deepfool.h's state, number, cand;
     * kernels/residency.h's lists. Of sdf alone: nearest [slots, D], crossed_list */
    struct df_span x0, r, best_g, state, number, cand, nearest;
    struct df_span counts, offsets, totals, active_list, kept_list, free_list, crossed_list, pairs, record;
    struct df_deepfool_chunk chunk[DF_DEEPFOOL_CHUNKS];
    int32_t chunk_count;       /* 1: rows are read when slots want them; 2: one is read ahead of the other */
    int64_t chunk_rows, grown; /* of a chunk; of the last one before all slots were occupied */
    int32_t next;              /* chunk to take from */
    int32_t upload;            /* queue of copies to chunks */
    bool looked;               /* with every slot occupied, in this run: what that needs is there */
    bool tried;                /* to record such a look */
    struct df_recording *recording; /* of such a look; NULL: none yet */
    /* on the host */
    int64_t *taken;          /* [chunk_rows] pool rows of fresh samples */
    unsigned char *raw_host; /* NULL: the rows are on the device */
    float *decoded_host;     /* f32 pools: [chunk_rows, D]; and one adversarial image */
    double *index_host, *record_host;
    int32_t *free_host;
};

/* What the engines of a group share: made with the first, and destroyed with it. */
struct df_deepfool_shared {
    int32_t engine_count, worker_count; /* of all engines */
    struct df_thread_pool *threads;
    /* of the run in hand */
    struct df_row_stream *stream;
    struct df_margin_sink *sink;
    struct df_progress *progress;
    atomic_bool failed;  /* a worker gave up: the others do, too */
    struct df_lock lock; /* sink and the counts below, kept over the engines' life for the progress line */
    int64_t done, iterations, status[DFAL_SCORE_STATUS_COUNT];
};

struct df_deepfool_engine {
    struct dfal_context *context;
    struct df_device *device;
    struct df_deepfool_shared *shared;
    struct df_deepfool_engine *next; /* of the next device of the group; NULL: the last */
    struct df_pool *pool;            /* borrowed */
    struct df_deepfool deepfool;
    struct df_plan *plan;
    struct df_deepfool_worker *workers;
    int32_t worker_count;
    int64_t slots; /* of a worker */
    int64_t memory;
    int64_t block;                    /* cotangents of one backward */
    struct df_deepfool_params params; /* what every call shares */
    struct df_span table, scale, low, high;
    struct df_span whole; /* the pool's rows on this device; buffer NULL: they come with the stream */
};

#endif
