/* SPDX-License-Identifier: Apache-2.0 */
/* DeepFool over many samples on one device: slots refilled from a stream, all cotangents in one backward,
 * finished samples leave before the backward is paid for. Semantics: docs/NUMERICS.md. */
#ifndef DF_SCORE_DEEPFOOL_H
#define DF_SCORE_DEEPFOOL_H

#include "base/log.h"
#include "base/team.h"
#include "net/plan.h"
#include "store/scores.h"
#include "store/stream.h"

struct df_deepfool {
    double p, overshoot, floor;
    int32_t max_iter;
    int32_t classes;   /* candidate classes incl. the own one; 0: all */
    bool linearise_plain; /* paper: gradients at x0 + r, test at x0 + (1 + overshoot) r */
    bool fail_inf, squared, clip, refine;
    double clip_low, clip_high;
    bool units_raw;
};
/* Look a preset up. Errors   E_USAGE unknown name (nearest named) */
dfal_status df_deepfool_preset(struct df_deepfool *out, const char *name);
dfal_status df_deepfool_from_options(struct df_deepfool *out, const struct dfal_score_options *options);

/* One sample's result. */
struct df_margin {
    int64_t index; /* row in the pool */
    float margin, first_margin, logit_gap;
    uint8_t status;
    int32_t label, adversarial_class;
    uint16_t iterations;
};
/* Shard sink: where results go, in completion order (which means nothing); called under a lock.
 * adversarial [D] is x0 + (1 + overshoot) r of an OK or TIE sample when wanted, else NULL. */
struct df_sink {
    dfal_status (*put)(struct df_sink *self, const struct df_margin *margin, const float *adversarial);
    bool wants_adversarial;
};
/* Engine: plan, slots and tapes for every queue; made once, run on many streams. */
struct df_deepfool_engine;
dfal_status df_deepfool_create(struct df_deepfool_engine **out, struct dfal_context *context,
                               struct df_device *device, const struct df_network *network,
                               const struct df_pool *pool, const struct df_deepfool *deepfool, int64_t batch,
                               bool fold);
dfal_status df_deepfool_run(struct df_deepfool_engine *engine, struct df_row_stream *stream, struct df_sink *sink,
                            struct df_progress *progress);
void df_deepfool_destroy(struct df_deepfool_engine *engine);

#endif
