/* SPDX-License-Identifier: Apache-2.0 */
/* What the entries of `strategies` mean. */
#include <string.h>

#include "run/config.h"
#include "strategy/strategy.h"

const struct df_strategy *df_run_strategy(const struct df_run_config *config, int32_t strategy)
{
    return df_strategies[config->strategy[strategy].known];
}

int32_t df_run_entry_find(const struct df_run_config *config, const char *name)
{
    for (int32_t s = 0; s < config->strategy_count; s++)
        if (!strcmp(config->strategy[s].name, name))
            return s;
    return -1;
}

dfal_status df_run_entry_add(struct df_run_config *config, const struct df_run_entry *entry)
{
    if (df_run_entry_find(config, entry->name) >= 0)
        DF_FAIL(DFAL_E_USAGE, "strategies names %s twice, expected each name once", entry->name);
    if (config->strategy_count == DF_MAX_STRATEGIES)
        DF_FAIL(DFAL_E_USAGE, "strategies has more than %d entries", DF_MAX_STRATEGIES);
    config->strategy[config->strategy_count++] = *entry;
    return DFAL_OK;
}

static void resolve(struct df_strategy_config *options, const struct df_run_config *config, int32_t known)
{
    if (options->subsample < 0)
        options->subsample = config->subsample;
    if (options->twins < 0)
        options->twins = df_strategies[known]->twins;
}

struct df_strategy_config df_run_known_options(const struct df_run_config *config, int32_t known)
{
    struct df_strategy_config options = config->options[known];
    resolve(&options, config, known);
    return options;
}

struct df_strategy_config df_run_strategy_options(const struct df_run_config *config, int32_t strategy)
{
    const struct df_run_entry *entry = &config->strategy[strategy];
    const struct df_strategy_config *given = &entry->options;
    struct df_strategy_config options = config->options[entry->known];
    if (given->subsample >= 0)
        options.subsample = given->subsample;
    if (given->deepfool[0])
        memcpy(options.deepfool, given->deepfool, sizeof options.deepfool);
    if (given->twins >= 0)
        options.twins = given->twins;
    df_option_lay(&options.own, df_strategy_options(entry->known), &given->own);
    resolve(&options, config, entry->known);
    return options;
}
