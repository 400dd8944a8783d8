/* SPDX-License-Identifier: Apache-2.0 */
/* How the parts of a configuration are written. Inside the room only. */
#ifndef DF_RUN_CONFIG_YAML_H
#define DF_RUN_CONFIG_YAML_H

#include "run/config.h"

/* A key's value; strategy is that of an options.* key. */
void df_config_put_value(struct df_text *out, const struct df_key *key, struct df_run_config *config,
                         int32_t strategy);
/* The value of one of a strategy's own options. */
void df_config_put_option(struct df_text *out, const struct df_strategy_option *option, const char *value);
/* Does a key of options.* shape what the strategy does? */
bool df_config_concerns(const struct df_key *key, const struct df_strategy *strategy,
                        const struct df_strategy_config *options);
/* Where a configuration first lists a strategy, -1: it does not. */
int32_t df_config_listed_at(const struct df_run_config *config, int32_t known);

#endif
