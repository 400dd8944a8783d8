/* SPDX-License-Identifier: Apache-2.0 */
#include "support_select.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

struct dfal_score_options world_deepfool;
struct dfal_pool_options world_labelled;

struct dfal_select_options world_select_options(const char *strategy, int64_t count)
{
    struct dfal_select_options options;
    dfal_select_options_init(&options);
    dfal_score_options_init(&world_deepfool);
    dfal_pool_options_init(&world_labelled);
    world_deepfool.pool = &world_labelled;
    options.score = &world_deepfool;
    options.strategy = strategy;
    options.count = count;
    return options;
}

void world_write(char path[TEST_PATH], const char *name, const char *text)
{
    test_join(path, world.folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}
