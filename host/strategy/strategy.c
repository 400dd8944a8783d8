/* SPDX-License-Identifier: Apache-2.0 */
#include "strategy/strategy.h"

#include <string.h>

#include "base/word.h"

/* clang-format off */
const struct df_strategy *const df_strategies[] = {
#define DF_STRATEGY(identifier) &df_strategy_##identifier,
#include "strategy/strategies.def"
    NULL,
};
/* clang-format on */

enum { STRATEGIES = sizeof df_strategies / sizeof *df_strategies - 1 };

const char *df_strategy_known(int32_t index)
{
    return index < STRATEGIES ? df_strategies[index]->name : NULL;
}

const struct df_strategy_option *df_strategy_options(int32_t known)
{
    return df_strategies[known]->options;
}

int32_t df_strategy_known_index(const char *name)
{
    for (int32_t i = 0; i < STRATEGIES; i++)
        if (!strcmp(df_strategies[i]->name, name))
            return i;
    return -1;
}

/* However many strategies there are, their names and what is said around them fit into one message. A name is
 * as long as its identifier. */
/* clang-format off */
enum {
    NAMES_TEXT = sizeof " or ..."
#define DF_STRATEGY(identifier) + sizeof #identifier ", "
#include "strategy/strategies.def"
};
/* clang-format on */
_Static_assert(NAMES_TEXT + 256 <= DF_MESSAGE_SIZE, "a message names all strategies: raise DF_MESSAGE_SIZE");

dfal_status df_strategy_find(const struct df_strategy **out, const char *name)
{
    char names[NAMES_TEXT];
    const char *all[STRATEGIES];
    *out = NULL;
    for (int32_t k = 0; k < STRATEGIES; k++)
        all[k] = df_strategies[k]->name;
    df_names_text(names, sizeof names, all, STRATEGIES);
    if (!name)
        DF_FAIL(DFAL_E_USAGE, "no strategy is named, expected %s", names);
    const int32_t known = df_strategy_known_index(name);
    if (known < 0)
        return df_fail_unknown(DFAL_E_USAGE, "strategy", name, names, all, STRATEGIES);
    *out = df_strategies[known];
    return DFAL_OK;
}

int df_strategy_asks(const struct df_strategy *strategy, const struct df_option_values *values)
{
    return strategy->asks | (strategy->asks_besides ? strategy->asks_besides(values) : 0);
}

bool df_strategy_is_noisy(const struct df_strategy *strategy, const struct df_option_values *values)
{
    return df_option_find(strategy->options, "power") &&
           df_option_text(values, strategy->options, "power")[0];
}

dfal_status df_strategy_check_files(const struct df_strategy *strategy, const struct df_option_values *values,
                                    const char *scores_path, const char *logits_path)
{
    const int of_no_file = DF_ASKS_FEATURES | DF_ASKS_PASSES | DF_ASKS_LAST_LAYER | DF_ASKS_GRADIENTS;
    const int asks = df_strategy_asks(strategy, values);
    if (asks && !(asks & ~of_no_file) && (scores_path || logits_path))
        DF_FAIL(DFAL_E_USAGE, "strategy %s needs %s, which %s does not hold, expected no such file",
                strategy->name,
                asks & DF_ASKS_PASSES      ? "stochastic passes"
                : asks & DF_ASKS_GRADIENTS ? "gradients"
                                           : "features",
                scores_path ? scores_path : logits_path);
    if ((asks & DF_ASKS_MARGINS) && logits_path && !scores_path)
        DF_FAIL(DFAL_E_USAGE,
                "strategy %s needs margins, which %s does not hold, expected `scores_path` SCORES.h5",
                strategy->name, logits_path);
    if ((asks & DF_ASKS_LOGITS) && scores_path && !logits_path)
        DF_FAIL(
            DFAL_E_USAGE,
            "strategy %s needs logits, which %s does not hold, expected `logits_path` LOGITS.h5 or neither",
            strategy->name, scores_path);
    return DFAL_OK;
}

void dfal_strategies(dfal_fact_fn *fact, void *user)
{
    for (int i = 0; df_strategies[i]; i++) {
        struct dfal_field field = {
            .key = df_strategies[i]->name, .kind = DFAL_FIELD_TEXT, .text = df_strategies[i]->summary};
        fact(user, &field);
    }
}
