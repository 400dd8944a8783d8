/* SPDX-License-Identifier: Apache-2.0 */
/* Which rows a score job works on. */
#ifndef DF_SCORE_SCORE_H
#define DF_SCORE_SCORE_H

#include "job/job.h"
#include "score/deepfool_engine.h"

/* A caller's options as this version knows them, with those of the pool behind their pointer. Errors
 * E_USAGE */
struct df_score_options {
    struct dfal_score_options score;
    struct dfal_pool_options pool;
};
dfal_status df_score_options_take(struct df_score_options *own, const struct dfal_score_options *given);
/* The rows that the options ask for. */
struct df_job_range df_score_range(const struct dfal_score_options *options);
/* Names and numbers of the options, before anything is opened. Errors   E_USAGE; E_UNAVAILABLE */
dfal_status df_score_check_options(const struct dfal_score_options *options);
/* For df_deepfool_create: folded, fused unless the options say layers, in the precision that they say. */
int df_score_how(const struct dfal_score_options *options);
/* The engine that the options ask for; what is there already is the caller's to destroy.
 * Errors   E_UNAVAILABLE `engine` fused where the network has none; those of df_deepfool_create */
dfal_status df_score_engine(struct df_deepfool_engine **out, struct dfal_context *context,
                            struct df_device *device, const struct df_network *network, struct df_pool *pool,
                            const struct df_deepfool *deepfool, const struct dfal_score_options *options);
/* Is there memory for the adversarial images of so many rows? They are all held at the end, after the work.
 * Errors   E_MEMORY */
dfal_status df_score_check_images(const struct dfal_context *context, const struct df_pool *pool,
                                  const struct dfal_score_options *options, int64_t rows);

#endif
