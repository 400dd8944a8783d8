/* SPDX-License-Identifier: Apache-2.0 */
/* Which rows a score job works on. */
#ifndef DF_SCORE_SCORE_H
#define DF_SCORE_SCORE_H

#include "job/job.h"

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

#endif
