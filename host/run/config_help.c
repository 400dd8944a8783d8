/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of a run for help and pages. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "run/config_yaml.h"
#include "strategy/strategy.h"

/* Own options of the strategies of this build. */
static void visit_options(dfal_run_key_fn *visit, void *user)
{
    for (int i = 0; df_strategies[i]; i++)
        for (const struct df_strategy_option *own = df_strategies[i]->options; own && own->key; own++) {
            char expected[160], path[80];
            df_option_expectation(own, expected, sizeof expected);
            snprintf(path, sizeof path, "options.%s.%s", df_strategies[i]->name, own->key);
            const struct dfal_run_key out = {path, expected, own->standard, own->help};
            visit(user, &out);
        }
}

void dfal_run_keys(dfal_run_key_fn *visit, void *user)
{
    struct df_run_config standard;
    df_run_config_init(&standard);
    df_run_config_settle(&standard);
    for (int32_t k = 0; k < df_run_key_count; k++) {
        const struct df_key *key = &df_run_keys[k];
        struct df_text value = {0};
        void *of = strchr(key->path, '*') ? (void *)&standard.options[0] : (void *)&standard;
        char expected[160];
        df_key_expectation(key, expected, sizeof expected);
        /* A strategy's own value is told by the help: it follows from the strategy, or from a key of the
         * run. */
        const bool own = key->kind == DF_KEY_FLAG ||
                         (key->kind == DF_KEY_NUMBER && key->number.or_all && strchr(key->path, '*'));
        if (!own && df_key_holds(key, &standard))
            df_config_put_value(&value, key, of);
        const struct dfal_run_key out = {key->path, expected, value.size ? value.bytes : "", key->help};
        visit(user, &out);
        df_text_clear(&value);
        const bool last = k + 1 == df_run_key_count || !strchr(df_run_keys[k + 1].path, '*');
        if (strchr(key->path, '*') && last)
            visit_options(visit, user);
    }
}
