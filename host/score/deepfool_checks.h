/* SPDX-License-Identifier: Apache-2.0 */
/* What DeepFool refuses: numbers that it would find and that were no margins. */
#ifndef DF_SCORE_DEEPFOOL_CHECKS_H
#define DF_SCORE_DEEPFOOL_CHECKS_H

#include "score/deepfool_inside.h"

/* Errors   E_SHAPE the pool's samples are not the network's inputs; E_DATA fewer than two classes */
dfal_status df_deepfool_check_shapes(const struct df_network *network, const struct df_pool *pool);
/* Where DeepFool clips to the pool's range: raw rows have to be within it. Errors   E_DATA the row and its
 * value */
dfal_status df_deepfool_check_rows(const struct df_deepfool_engine *engine, const void *raw,
                                   const int64_t *index, int64_t rows);
/* The first rows of the pool and what the network makes of them, in the first worker.
 * Errors   E_DATA the outputs look like probabilities, or what df_deepfool_check_rows refuses */
dfal_status df_deepfool_check_outputs(struct df_deepfool_engine *engine);

#endif
