/* SPDX-License-Identifier: Apache-2.0 */
/* DeepFool over many samples on a device, or on those of its group side by side: slots refilled from a
 * stream, all cotangents in one backward, finished samples leave before the backward is paid for. Semantics:
 * docs/NUMERICS.md; arithmetic: kernels/deepfool.h. */
#ifndef DF_SCORE_DEEPFOOL_ENGINE_H
#define DF_SCORE_DEEPFOOL_ENGINE_H

#include "base/log.h"
#include "net/plan.h"
#include "score/margin.h"
#include "score/preset.h"
#include "store/stream.h"

/* FOLD: linear chains folded (df_network_fold). FUSED: the whole network in one call where the back end can.
 * HALF: the Jacobian in half precision (DF_PLAN_HALF). SPLIT: forwards, too, in split precision
 * (DF_PLAN_SPLIT). */
enum { DF_DEEPFOOL_FOLD = 1, DF_DEEPFOOL_FUSED = 2, DF_DEEPFOOL_HALF = 4, DF_DEEPFOOL_SPLIT = 8 };
/* HALF, SPLIT or 0, of one of DFAL_PRECISIONS. */
int df_deepfool_precision(const char *precision);
/* Engine: plan, slots and tapes for every queue, of each device of the group; made once, run on many streams.
 * A worker a queue; every worker owns its slots and takes new samples from the stream where one is done.
 * batch: samples in flight over all workers, rounded up to as many for each, at least one a device; 0: as
 * many as memory and cache suggest.
 * how: FOLD, FUSED, HALF, SPLIT.
 * Errors   E_SHAPE network and pool differ; E_DATA the outputs look like probabilities, one class, one of the
 *          first rows is outside the range that is clipped to; E_MEMORY; E_UNAVAILABLE HALF or SPLIT on a
 *          device without */
struct df_deepfool_engine;
dfal_status df_deepfool_create(struct df_deepfool_engine **out, struct dfal_context *context,
                               struct df_device *device, const struct df_network *network,
                               struct df_pool *pool, const struct df_deepfool *deepfool, int64_t batch,
                               int how);
/* Would FOLD | FUSED make an engine that is fused? Parameters that a fold looks at (a batch-norm's shift in
 * front of a padding) may be others in a network of the same nodes. */
dfal_status df_deepfool_fuses(bool *fused, struct df_device *device, const struct df_network *network);
bool df_deepfool_is_fused(const struct df_deepfool_engine *engine); /* on every device */
/* Does a run want the rows of its stream? Else their numbers do: they are on every device
 * (score/resident_pool.h). */
bool df_deepfool_wants_rows(const struct df_deepfool_engine *engine);
/* Score every row of the stream. No memory is taken after the first call.
 * Order    none of a result's bits depends on batch, workers, devices, slot or what else the stream holds.
 * Errors   E_STOPPED: what the sink has seen is complete; E_DATA a row outside the range that is clipped to;
 *          those of stream and sink */
dfal_status df_deepfool_run(struct df_deepfool_engine *engine, struct df_row_stream *stream,
                            struct df_margin_sink *sink, struct df_progress *progress);
void df_deepfool_destroy(struct df_deepfool_engine *engine);
/* What the engine took: samples in flight, and bytes of the whole process with it; of devices with memory of
 * their own, there. */
int64_t df_deepfool_batch(const struct df_deepfool_engine *engine);
int64_t df_deepfool_memory(const struct df_deepfool_engine *engine);

#endif
