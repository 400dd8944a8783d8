/* SPDX-License-Identifier: Apache-2.0 */
/* The adversarial images of the samples that lie closest. */
#ifndef DF_SCORE_ADVERSARIAL_H
#define DF_SCORE_ADVERSARIAL_H

#include "score/deepfool_engine.h"
#include "score/summary.h"

/* Run the q closest once more and write their adversarial images in rank order. */
dfal_status df_adversarial_write(struct df_deepfool_engine *engine, struct df_rows_writer *writer,
                                 struct df_pool *pool, const struct df_summary *summary);

#endif
