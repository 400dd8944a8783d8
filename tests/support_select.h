/* SPDX-License-Identifier: Apache-2.0 */
/* Options of a selection in the small world. Needs df_api. */
#ifndef DFAL_TESTS_SUPPORT_SELECT_H
#define DFAL_TESTS_SUPPORT_SELECT_H

#include "support_world.h"

/* What the options of the last call point to. */
extern struct dfal_score_options world_deepfool;
extern struct dfal_pool_options world_labelled;
struct dfal_select_options world_select_options(const char *strategy, int64_t count);
/* Write a file of the world's folder and give its path. */
void world_write(char path[TEST_PATH], const char *name, const char *text);

#endif
