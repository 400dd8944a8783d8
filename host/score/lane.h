/* SPDX-License-Identifier: Apache-2.0 */
/* A lane: one queue's tape and slots. deepfool.c makes lanes and runs them side by side; lane.c moves their lists, or, on a
 * wide device, resident.c has the device do so. */
#ifndef DF_SCORE_LANE_H
#define DF_SCORE_LANE_H

#include "backend/op_call.h"
#include <stdatomic.h>

#include "base/lock.h"
#include "score/deepfool.h"

/* One queue's share of the work. Slot s holds pool row index[s], -1: empty. Occupied slots are 0..occupied-1. */
struct df_lane {
    struct df_deepfool_engine *engine;
    int32_t queue;
    struct df_tape *tape;
    int64_t occupied;
    bool dry; /* the stream has no more */
    /* device: [slots, D] x0, r, best_g, decoded; raw samples; kernels/deepfool.h's state, number, cand; lists */
    struct df_span x0, r, best_g, decoded, raw, state, number, cand, list, pairs;
    /* host mirrors and lists */
    int64_t *index;
    int32_t *state_host, *list_host, *pairs_host;
    double *number_host;
    int64_t *taken; /* pool rows of fresh samples */
    unsigned char *raw_host;
    float *decoded_host; /* f32 pools; and one adversarial image */
    bool *finished;
};

struct df_deepfool_engine {
    struct dfal_context *context;
    struct df_device *device;
    struct df_pool *pool; /* borrowed */
    struct df_deepfool deepfool;
    struct df_plan *plan;
    struct df_team *team;
    struct df_lane *lanes;
    int32_t lane_count;
    struct df_resident *resident; /* of a wide device: runs the only lane; else NULL */
    int64_t slots;                /* of a lane */
    int64_t memory;
    int64_t block;                    /* cotangents of one backward */
    struct df_deepfool_params params; /* what every call shares */
    struct df_span table, scale, low, high;
    /* of the run in hand */
    struct df_row_stream *stream;
    struct df_sink *sink;
    struct df_progress *progress;
    atomic_bool failed;  /* a lane gave up: the others do, too */
    struct df_lock lock; /* sink and the counts below, kept over the engine's life for the progress line */
    bool lock_made;
    int64_t done, iterations, status[DFAL_SCORE_STATUS_COUNT];
};

/* Where DeepFool clips to the pool's range: raw rows have to be within it. Errors   E_DATA the row and its value */
dfal_status df_deepfool_check_rows(const struct df_deepfool_engine *engine, const void *raw,
                                   const int64_t *index, int64_t rows);
dfal_status df_lane_create(struct df_lane *lane, struct df_deepfool_engine *engine, int32_t queue);
void df_lane_destroy(struct df_lane *lane);
/* Take up to `most` rows of the stream into raw_host and taken; fewer: the stream is dry.
 * Errors   E_DATA a row that df_deepfool_check_rows refuses; those of the stream */
dfal_status df_lane_take(struct df_lane *lane, int64_t most, int64_t *count);
/* Run until the stream is dry and every slot is empty. */
dfal_status df_lane_run(struct df_lane *lane);
/* Logits of up to slots raw rows, for the look at the network's outputs: read to logits [rows, K]. */
dfal_status df_lane_logits(struct df_lane *lane, float *logits, const void *raw, int64_t rows);

/* ---- What both loops are made of: the calls of an iteration, which read nothing back */

/* x of `rows` slots from `first` on into the tape's input; plain: x0 + r. */
dfal_status df_lane_iterate(struct df_lane *lane, int64_t first, int64_t rows, bool plain);
/* Whole slots, of `count` pairs (from, to). */
dfal_status df_lane_move(struct df_lane *lane, struct df_span pairs, int64_t count);
/* Look at the logits of the occupied slots. */
dfal_status df_lane_observe(struct df_lane *lane);
/* One DeepFool step of the slots in a list of `count`, as many a backward as fill its cotangents. */
dfal_status df_lane_step(struct df_lane *lane, struct df_span list, int64_t count);
/* Hand a result to the sink and count it; what a progress line says of the results so far. Under the engine's lock. */
dfal_status df_lane_put(struct df_deepfool_engine *engine, const struct df_margin *margin,
                        const float *adversarial);
void df_lane_progress_text(char text[96], const struct df_deepfool_engine *engine);

#endif
