/* SPDX-License-Identifier: Apache-2.0 */
/* How DeepFool is run: a preset and what was changed of it. Semantics: docs/NUMERICS.md. */
#ifndef DF_SCORE_PRESET_H
#define DF_SCORE_PRESET_H

#include "base/status.h"

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
    int32_t rounds; /* sdf: walks and projections at most, and bisections on what they find; 0: one walk */
};
/* With refine; of an sdf without. */
enum { DF_BISECTIONS = 20, DF_ROUND_BISECTIONS = 10 };
/* Look a preset up; p is 2. Errors   E_USAGE unknown name (nearest named) */
dfal_status df_deepfool_preset(struct df_deepfool *out, const char *name);
/* A preset and what the caller changed of it. Errors   E_USAGE a value out of range */
dfal_status df_deepfool_from_options(struct df_deepfool *out, const struct dfal_score_options *options);
/* The same as canonical JSON (sorted keys) and back; unconverged is recorded beside it. Free json with
 * df_free. Errors   E_DATA not such a document */
dfal_status df_deepfool_to_json(char **json, const struct df_deepfool *deepfool, const char *unconverged);
/* The configuration of a scores file: the same, and which rows DeepFool runs on where not on all. */
dfal_status df_score_configuration(char **json, const struct df_deepfool *deepfool,
                                   const struct dfal_score_options *options);
dfal_status df_deepfool_from_json(struct df_deepfool *out, const char *json);

#endif
