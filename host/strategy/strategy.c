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

/* Strategies of later versions: their names are known, and refused as what they are. */
static const struct {
    const char *name;
    const struct df_strategy_option *options;
} later[] = {{"ceal", NULL}, {"qbdc", NULL}};
enum { HERE = sizeof df_strategies / sizeof *df_strategies - 1, LATER = sizeof later / sizeof *later };

const char *df_strategy_known(int32_t index)
{
    return index < HERE ? df_strategies[index]->name : index < HERE + LATER ? later[index - HERE].name : NULL;
}

const struct df_strategy_option *df_strategy_options(int32_t known)
{
    return known < HERE ? df_strategies[known]->options : later[known - HERE].options;
}

int32_t df_strategy_known_index(const char *name)
{
    for (int32_t i = 0; i < HERE + LATER; i++)
        if (!strcmp(df_strategy_known(i), name))
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
    const char *all[HERE + LATER];
    *out = NULL;
    for (int32_t k = 0; k < HERE + LATER; k++)
        all[k] = df_strategy_known(k);
    df_names_text(names, sizeof names, all, HERE);
    if (!name)
        DF_FAIL(DFAL_E_USAGE, "no strategy is named, expected %s", names);
    for (int i = 0; df_strategies[i]; i++) {
        if (!strcmp(df_strategies[i]->name, name)) {
            *out = df_strategies[i];
            return DFAL_OK;
        }
    }
    if (df_strategy_known_index(name) >= 0)
        DF_FAIL(DFAL_E_UNAVAILABLE, "strategy '%s' is not in this version, expected %s", name, names);
    return df_fail_unknown(DFAL_E_USAGE, "strategy", name, names, all, HERE + LATER);
}

dfal_status df_strategy_check_files(const struct df_strategy *strategy, const char *scores_path,
                                    const char *logits_path)
{
    const int of_no_file = DF_ASKS_FEATURES | DF_ASKS_PASSES | DF_ASKS_LAST_LAYER | DF_ASKS_GRADIENTS;
    if (strategy->asks && !(strategy->asks & ~of_no_file) && (scores_path || logits_path))
        DF_FAIL(DFAL_E_USAGE, "strategy %s needs %s, which %s does not hold, expected no such file",
                strategy->name,
                strategy->asks & DF_ASKS_PASSES      ? "stochastic passes"
                : strategy->asks & DF_ASKS_GRADIENTS ? "gradients"
                                                     : "features",
                scores_path ? scores_path : logits_path);
    if ((strategy->asks & DF_ASKS_MARGINS) && logits_path && !scores_path)
        DF_FAIL(DFAL_E_USAGE,
                "strategy %s needs margins, which %s does not hold, expected `scores_path` SCORES.h5",
                strategy->name, logits_path);
    if ((strategy->asks & DF_ASKS_LOGITS) && scores_path && !logits_path)
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
