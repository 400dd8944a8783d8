/* SPDX-License-Identifier: Apache-2.0 */
#include "net/train_checks.h"

#include <math.h>

#include "net/train_inside.h"

static dfal_status check_options(const struct df_training_options *options)
{
    if ((options->epochs < 0 && options->steps == 0) || options->batch < 1 || options->restarts < 1 ||
        options->patience < 0 || options->steps < 0)
        DF_FAIL(DFAL_E_USAGE,
                "Training was asked for %d epochs, batch %d, %d restarts, patience %d and %lld steps, "
                "expected at least 0, 1, 1, 0 and 0",
                options->epochs, options->batch, options->restarts, options->patience,
                (long long)options->steps);
    if (!(options->validation >= 0.0 && options->validation < 1.0))
        DF_FAIL(DFAL_E_USAGE, "The validation fraction is %g, expected 0 or more and less than 1",
                options->validation);
    if (!(options->learning_rate > 0.0 && isfinite(options->learning_rate)))
        DF_FAIL(DFAL_E_USAGE, "The learning rate is %g, expected a positive number", options->learning_rate);
    if (!(options->beta1 >= 0.0 && options->beta1 < 1.0 && options->beta2 >= 0.0 && options->beta2 < 1.0 &&
          options->momentum >= 0.0 && options->momentum < 1.0 && options->epsilon >= 0.0))
        DF_FAIL(DFAL_E_USAGE,
                "beta1 %g, beta2 %g, momentum %g and epsilon %g were given, expected 0 or more and, but for "
                "epsilon, less than 1",
                options->beta1, options->beta2, options->momentum, options->epsilon);
    return DFAL_OK;
}

static dfal_status check_set(const struct df_network *network, const struct df_training_set *set)
{
    if (set->count < 1)
        DF_FAIL(DFAL_E_DATA, "There are no labelled rows to train on");
    if (set->size != df_shape_size(network->input))
        DF_FAIL(DFAL_E_SHAPE, "The training rows have %lld values, expected the %lld of the network's input",
                (long long)set->size, (long long)df_shape_size(network->input));
    for (int64_t i = 0; i < set->count; i++)
        if (set->rows[i].label < 0 || set->rows[i].label >= network->class_count)
            DF_FAIL(DFAL_E_DATA, "Training row %lld has the label %d, expected 0 to %d", (long long)i,
                    set->rows[i].label, network->class_count - 1);
    return DFAL_OK;
}

/* A row that is moved out of sight teaches nothing. */
static dfal_status check_augment(const struct df_network *network, const struct df_augment *augment)
{
    const struct df_shape input = network->input;
    const int64_t side = input.h < input.w ? input.h : input.w;
    if (augment->shift >= (double)side)
        DF_FAIL(
            DFAL_E_SHAPE,
            "The augmentation shifts by up to %g pixels, expected less than %lld, the shorter side of the "
            "network's input of %lldx%lldx%lld",
            augment->shift, (long long)side, (long long)input.c, (long long)input.h, (long long)input.w);
    return DFAL_OK;
}

/* Of one row such a node makes its bias, whatever the row is. */
static dfal_status check_norm(const struct df_network *network, const struct df_training_set *set,
                              const struct df_training_options *options)
{
    const int64_t rows = options->batch < set->count ? options->batch : set->count;
    for (int32_t i = 0; i < network->node_count; i++) {
        const struct df_node *node = &network->nodes[i];
        if (rows == 1 && node->op == DF_NODE_BATCH_NORM && !df_node_is_fixed(node) &&
            node->out.h * node->out.w == 1)
            DF_FAIL(
                DFAL_E_SHAPE,
                "Node '%s' normalises by the values of a step, which has one a channel: expected steps of "
                "at least two rows",
                node->name);
    }
    return DFAL_OK;
}

dfal_status df_train_check(const struct df_network *network, const struct df_training_set *set,
                           const struct df_training_options *options)
{
    DF_TRY(check_options(options));
    DF_TRY(check_set(network, set));
    DF_TRY(check_norm(network, set, options));
    return check_augment(network, &options->augment);
}
