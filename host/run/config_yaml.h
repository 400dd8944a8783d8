/* SPDX-License-Identifier: Apache-2.0 */
/* How the parts of a configuration are written. Inside the room only. */
#ifndef DF_RUN_CONFIG_YAML_H
#define DF_RUN_CONFIG_YAML_H

#include "run/config.h"

/* The value of a key that stands in `of`: a configuration, or a struct df_strategy_config. */
void df_config_put_value(struct df_text *out, const struct df_key *key, void *of);
/* The value of one of a strategy's own options. */
void df_config_put_option(struct df_text *out, const struct df_strategy_option *option, const char *value);
/* The list of strategies, with the options that entries give themselves or without. */
void df_config_put_strategies(struct df_text *out, const struct df_run_config *config, bool options);
/* The options that an entry gives itself, "{twins: false}". Nothing where it gives none. */
void df_config_put_given(struct df_text *out, const struct df_run_entry *entry);
/* Does a key of options.* shape what a strategy does where it is listed? */
bool df_config_concerns(const struct df_key *key, const struct df_run_config *config, int32_t known);
/* Is a strategy listed, under whatever name? */
bool df_config_is_listed(const struct df_run_config *config, int32_t known);

#endif
