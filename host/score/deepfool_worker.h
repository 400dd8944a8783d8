/* SPDX-License-Identifier: Apache-2.0 */
/* A worker: one queue's tape and slots. */
#ifndef DF_SCORE_DEEPFOOL_WORKER_H
#define DF_SCORE_DEEPFOOL_WORKER_H

#include "score/deepfool_inside.h"

dfal_status df_deepfool_worker_create(struct df_deepfool_worker *worker, struct df_deepfool_engine *engine,
                                      int32_t queue);
void df_deepfool_worker_destroy(struct df_deepfool_worker *worker);
/* Bytes that a slot takes beside its row of the tape; and a worker whatever its slots: an image, a chunk's
 * row that is rounded up, totals. */
int64_t df_deepfool_worker_slot_bytes(const struct df_pool *pool, const struct df_deepfool_params *params);
int64_t df_deepfool_worker_bytes(const struct df_pool *pool);
/* deepfool_loop.c: run until the stream is dry and every slot is empty. */
dfal_status df_deepfool_worker_run(struct df_deepfool_worker *worker);
/* Logits of up to slots raw rows, for the look at the network's outputs: read to logits [rows, K]. */
dfal_status df_deepfool_worker_logits(struct df_deepfool_worker *worker, float *logits, const void *raw,
                                      int64_t rows);

/* ---- The calls of an iteration, which read nothing back */

/* x of `rows` slots from `first` on into the tape's input; plain: x0 + r. */
dfal_status df_deepfool_worker_iterate(struct df_deepfool_worker *worker, int64_t first, int64_t rows,
                                       bool plain);
/* Whole slots, of `count` pairs (from, to). */
dfal_status df_deepfool_worker_move(struct df_deepfool_worker *worker, struct df_span pairs, int64_t count);
/* Look at the logits of the occupied slots. */
dfal_status df_deepfool_worker_observe(struct df_deepfool_worker *worker);
/* One DeepFool step of the slots in a list of `count`, as many a backward as fill its cotangents. */
dfal_status df_deepfool_worker_step(struct df_deepfool_worker *worker, struct df_span list, int64_t count);
/* One projection of the slots in the list of crossed ones: sdf. */
dfal_status df_deepfool_worker_project(struct df_deepfool_worker *worker);
/* Lists of the slots as they are now, and records of the finished ones. */
dfal_status df_deepfool_worker_settle(struct df_deepfool_worker *worker);

#endif
