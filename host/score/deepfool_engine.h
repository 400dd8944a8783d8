/* SPDX-License-Identifier: Apache-2.0 */
/* DeepFool over many samples on one device: slots refilled from a stream, all cotangents in one backward,
 * finished samples leave before the backward is paid for. Semantics: docs/NUMERICS.md; arithmetic:
 * kernels/deepfool.h. */
#ifndef DF_SCORE_DEEPFOOL_ENGINE_H
#define DF_SCORE_DEEPFOOL_ENGINE_H

#include "base/log.h"
#include "base/thread_pool.h"
#include "net/plan.h"
#include "store/scores.h"
#include "store/stream.h"

struct df_deepfool {
    char preset[16];
    double p, overshoot, floor;
    int32_t max_iter;
    int32_t classes;      /* candidate classes incl. the own one; 0: all */
    bool linearise_plain; /* paper: gradients at x0 + r, test at x0 + (1 + overshoot) r */
    bool fail_inf;        /* dfal2018: the margin of MAX_ITER is +inf */
    bool squared;         /* deepal: the margin is the squared norm */
    bool clip;            /* foolbox: iterates stay inside the pool's raw range, 0..255 (u8) or 0..1 (f32) */
    bool refine;          /* after the flip 20 bisections on [x0, x] */
    bool units_raw;       /* r and the margin are measured in the pool's raw units */
};
enum { DF_BISECTIONS = 20 };
/* Look a preset up; p is 2. Errors   E_USAGE unknown name (nearest named) */
dfal_status df_deepfool_preset(struct df_deepfool *out, const char *name);
/* A preset and what the caller changed of it. Errors   E_USAGE a value out of range */
dfal_status df_deepfool_from_options(struct df_deepfool *out, const struct dfal_score_options *options);
/* The same as canonical JSON (sorted keys) and back; unconverged is recorded beside it. Free json with
 * df_free. Errors   E_DATA not such a document */
dfal_status df_deepfool_to_json(char **json, const struct df_deepfool *deepfool, const char *unconverged);
dfal_status df_deepfool_from_json(struct df_deepfool *out, const char *json);

/* One sample's result. */
struct df_margin {
    int64_t index; /* row in the pool */
    float margin, first_margin, logit_gap;
    uint8_t status;
    int32_t label, adversarial_class;
    uint16_t iterations;
};
/* Make it entry `at` of columns of results. */
static inline void df_margin_store(const struct df_scores *scores, int64_t at, const struct df_margin *margin)
{
    scores->index[at] = margin->index;
    scores->margin[at] = margin->margin;
    scores->first_margin[at] = margin->first_margin;
    scores->logit_gap[at] = margin->logit_gap;
    scores->status[at] = margin->status;
    scores->label[at] = margin->label;
    scores->adversarial_class[at] = margin->adversarial_class;
    scores->iterations[at] = margin->iterations;
}
/* Shard sink: where results go, in completion order (which means nothing); called under a lock.
 * adversarial [D] is x0 + (1 + overshoot) r of an OK or TIE sample when wanted, else NULL. */
struct df_sink {
    dfal_status (*put)(struct df_sink *self, const struct df_margin *margin, const float *adversarial);
    bool wants_adversarial;
};
/* FOLD: linear chains folded (df_network_fold). FUSED: the whole network in one call where the back end can.
 * HALF: the Jacobian in half precision (DF_PLAN_HALF). */
enum { DF_DEEPFOOL_FOLD = 1, DF_DEEPFOOL_FUSED = 2, DF_DEEPFOOL_HALF = 4 };
/* Engine: plan, slots and tapes for every queue; made once, run on many streams. A lane a queue; every lane
 * owns its slots and takes new samples from the stream where one is done. batch: samples in flight over all
 * lanes; 0: as many as memory and cache suggest. how: FOLD, FUSED, HALF. Errors   E_SHAPE network and pool
 * differ; E_DATA the outputs look like probabilities, one class, one of the first rows is outside the range
 * that is clipped to; E_MEMORY; E_UNAVAILABLE HALF on a device without */
struct df_deepfool_engine;
dfal_status df_deepfool_create(struct df_deepfool_engine **out, struct dfal_context *context,
                               struct df_device *device, const struct df_network *network,
                               struct df_pool *pool, const struct df_deepfool *deepfool, int64_t batch,
                               int how);
/* Would FOLD | FUSED make an engine that is fused? Parameters that a fold looks at (a batch-norm's shift in
 * front of a padding) may be others in a network of the same nodes. */
dfal_status df_deepfool_fuses(bool *fused, struct df_device *device, const struct df_network *network);
bool df_deepfool_is_fused(const struct df_deepfool_engine *engine);
/* Score every row of the stream. No memory is taken after the first call.
 * Order    none of a result's bits depends on batch, lanes, slot or what else the stream holds.
 * Errors   E_STOPPED: what the sink has seen is complete; E_DATA a row outside the range that is clipped to;
 *          those of stream and sink */
dfal_status df_deepfool_run(struct df_deepfool_engine *engine, struct df_row_stream *stream,
                            struct df_sink *sink, struct df_progress *progress);
void df_deepfool_destroy(struct df_deepfool_engine *engine);
/* What the engine took: samples in flight, and bytes of the whole process with it. */
int64_t df_deepfool_batch(const struct df_deepfool_engine *engine);
int64_t df_deepfool_memory(const struct df_deepfool_engine *engine);

#endif
