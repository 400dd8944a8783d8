/* SPDX-License-Identifier: Apache-2.0 */
/* Options of strategies: KEY=VALUE of `select --option`, options.NAME.KEY of a run. A strategy declares them
 * in a table. */
#ifndef DF_STRATEGY_STRATEGY_OPTION_H
#define DF_STRATEGY_STRATEGY_OPTION_H

#include "base/external_command.h"
#include "base/number.h"

enum df_option_kind {
    DF_OPTION_NUMBER,
    DF_OPTION_CHOICE,
    DF_OPTION_TEXT,
    DF_OPTION_COMMAND, /* one of `choices`, or any other text: somebody's command. At most one a strategy */
};
struct df_strategy_option {
    const char *key; /* NULL: the end of the table */
    enum df_option_kind kind;
    struct df_number number;
    const char *choices; /* "covering|sener" */
    /* The value where none is given, as it is written; of a text "" may mean something of its own. */
    const char *standard;
    const char *help; /* a line without a full stop */
};

/* The row of strategies that ask for features: of which node. */
#define DF_OPTION_NODE                                                                                       \
    {                                                                                                        \
        .key = "node", .kind = DF_OPTION_TEXT, .standard = "",                                               \
        .help = "the node whose values are the features; not given: what the last Gemm of the folded "       \
                "network reads"                                                                              \
    }

/* The row of strategies that ask for stochastic passes: how many; `what` they are. */
#define DF_OPTION_PASSES(what)                                                                               \
    {                                                                                                        \
        .key = "passes", .kind = DF_OPTION_NUMBER,                                                           \
        .number = {.kind = DF_NUMBER_I32, .low = 1, .high = 10000}, .standard = "10", .help = what           \
    }

/* The row of strategies that ask for gradients: by the parameters of which nodes. */
#define DF_OPTION_LAYERS                                                                                     \
    {                                                                                                        \
        .key = "layers", .kind = DF_OPTION_TEXT, .standard = "",                                             \
        .help = "the nodes whose parameters count, NAME,NAME; not given: all that are trained"               \
    }

/* What was given for a strategy's options, as it is written, in the order of its table; "": nothing. */
enum { DF_STRATEGY_OPTIONS = 8, DF_OPTION_VALUE = 96 };
struct df_option_values {
    char text[DF_STRATEGY_OPTIONS][DF_OPTION_VALUE];
    struct df_command command; /* what stands in the option of that kind */
};
/* Take a value. Numbers are kept in one form, so that the same value is the same text.
 * Errors   E_USAGE no such key (the nearest is named), or not what the option expects; values are as before
 *          then */
dfal_status df_option_set(struct df_option_values *values, const struct df_strategy_option *table,
                          const char *key, const char *text);
/* What `given` gives holds instead of what values has. */
void df_option_lay(struct df_option_values *values, const struct df_strategy_option *table,
                   const struct df_option_values *given);
/* The same as df_option_set of "KEY=VALUE". */
dfal_status df_option_assign(struct df_option_values *values, const struct df_strategy_option *table,
                             const char *assignment);
/* Was one given? */
bool df_option_given(const struct df_option_values *values, const struct df_strategy_option *table,
                     const char *key);
/* What holds: the value that was given, or the standard one. values may be NULL. The key is one of the
 * table. */
const char *df_option_text(const struct df_option_values *values, const struct df_strategy_option *table,
                           const char *key);
/* "a whole number from 1 to 100": what an option expects. */
void df_option_expectation(const struct df_strategy_option *option, char *text, size_t size);
/* The option that may be a command; NULL: there is none, also where there is no table. */
const struct df_strategy_option *df_option_of_command(const struct df_strategy_option *table);
/* The option of this key; NULL: none, also where there is no table. */
const struct df_strategy_option *df_option_find(const struct df_strategy_option *table, const char *key);

#endif
