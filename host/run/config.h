/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration of a run: one key table, YAML through libyaml's parser, --set, presets, defaults. */
#ifndef DF_RUN_CONFIG_H
#define DF_RUN_CONFIG_H

#include "net/train.h"

enum { DF_MAX_STRATEGIES = 16 };
/* options.<strategy>: */
struct df_strategy_config {
    char name[32];
    int64_t subsample; /* -1: the run's; 0: all */
    char deepfool[16]; /* preset; "" lts4 */
    int32_t passes;
};
struct df_run_config {
    char *train, *test; /* paths, made absolute against the file's folder */
    char network[256];
    struct df_strategy_config strategy[DF_MAX_STRATEGIES];
    int32_t strategy_count;
    int64_t initial, query, annotations, subsample; /* subsample 0: all */
    int32_t trials;
    struct df_training_options training;
    char keep[8]; /* last | all | none */
    uint64_t seed;
};
void df_run_config_clear(struct df_run_config *config);
/* default < preset < file < set < flags. Errors   E_CONFIG file, line, key, value, the nearest key */
dfal_status df_run_config_load(struct df_run_config *config, const struct dfal_run_options *options,
                               const struct dfal_context_options *flags);
/* Canonical YAML: the same configuration gives the same bytes. Free with df_free. */
dfal_status df_run_config_yaml(char **yaml, const struct df_run_config *config);

#endif
