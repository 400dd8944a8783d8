/* SPDX-License-Identifier: Apache-2.0 */
/* The adversarial images of the samples that lie closest. */
#ifndef DF_SCORE_ADVERSARIAL_H
#define DF_SCORE_ADVERSARIAL_H

#include "score/deepfool_engine.h"
#include "score/summary.h"

/* Run the q closest once more and write their adversarial images in rank order. A row's margin is the one
 * that it had; in a file that is mixed, where another arithmetic may have found it, one that agrees with it.
 * Errors   E_DATA a row of a mixed file that has no image or another margin; those of the engine */
dfal_status df_adversarial_write(struct df_deepfool_engine *engine, struct df_rows_writer *writer,
                                 struct df_pool *pool, const struct df_summary *summary,
                                 const struct df_rows_head *head);

#endif
