/* SPDX-License-Identifier: Apache-2.0 */
/* Commands of a configuration: which entries of `strategies` are one, and which may run. */
#include <stdio.h>
#include <string.h>

#include "base/process.h"
#include "base/text.h"
#include "run/config.h"
#include "strategy/strategy.h"

/* ---- entries of strategies ----------------------------------------------------------------------------- */

const struct df_run_command *df_run_command_of(const struct df_run_config *config, int32_t strategy)
{
    for (int32_t i = 0; i < config->command_count; i++)
        if (!strcmp(config->command[i].name, config->strategy[strategy]))
            return &config->command[i];
    return NULL;
}

static const char *strategy_name(const struct df_run_config *config, int32_t strategy)
{
    return df_run_command_of(config, strategy) ? df_strategy_command.name : config->strategy[strategy];
}

dfal_status df_run_strategy(const struct df_strategy **out, const struct df_run_config *config,
                            int32_t strategy)
{
    return df_strategy_find(out, strategy_name(config, strategy));
}

int32_t df_run_strategy_known(const struct df_run_config *config, int32_t strategy)
{
    return df_strategy_known_index(strategy_name(config, strategy));
}

struct df_strategy_config df_run_strategy_options(const struct df_run_config *config, int32_t strategy)
{
    struct df_strategy_config options = config->options[df_run_strategy_known(config, strategy)];
    const struct df_strategy *found = NULL;
    if (options.subsample < 0)
        options.subsample = config->subsample;
    if (options.twins < 0)
        options.twins = df_run_strategy(&found, config, strategy) == DFAL_OK && found->twins;
    return options;
}

dfal_status df_run_command_add(struct df_run_config *config, const char *name, const char *text, int64_t line)
{
    int32_t at = 0;
    while (at < config->command_count && strcmp(config->command[at].name, name) != 0)
        at++;
    if (at == DF_MAX_COMMANDS)
        DF_FAIL(DFAL_E_USAGE, "strategies has more than %d commands", DF_MAX_COMMANDS);
    struct df_run_command *command = &config->command[at];
    if (at == config->command_count)
        config->command_count++;
    snprintf(command->name, sizeof command->name, "%s", name);
    snprintf(command->text, sizeof command->text, "%s", text);
    command->line = line;
    return DFAL_OK;
}

/* ---- from the caller ----------------------------------------------------------------------------------- */

dfal_status df_run_command_check(const char *whose, const char *command)
{
    if (strlen(command) >= DF_CONFIG_TEXT)
        DF_FAIL(DFAL_E_USAGE, "%.80s...: the %s command has more than %d bytes", command, whose,
                DF_CONFIG_TEXT - 1);
    if (!df_text_is_utf8(command) || !command[0])
        DF_FAIL(DFAL_E_USAGE,
                "the %s command '%.200s' is empty or not UTF-8, which config.yaml is written in", whose,
                command);
    return DFAL_OK;
}

/* The strategy `command`, one more unless it is listed. */
static dfal_status take_strategy_command(struct df_run_config *config, const char *command)
{
    const char *name = df_strategy_command.name;
    bool listed = false;
    DF_TRY(df_run_command_check("strategy's", command));
    for (int32_t s = 0; s < config->strategy_count; s++)
        listed = listed || !strcmp(config->strategy[s], name);
    if (!listed && config->strategy_count == DF_MAX_STRATEGIES)
        DF_FAIL(DFAL_E_USAGE, "strategies has %d entries, expected room for one more, the command '%.200s'",
                DF_MAX_STRATEGIES, command);
    if (!listed)
        snprintf(config->strategy[config->strategy_count++], DF_STRATEGY_NAME, "%s", name);
    return df_run_command_add(config, name, command, 0);
}

/* A strategy `command` needs one. */
static dfal_status check_listed(const struct df_run_config *config, const struct dfal_run_options *options)
{
    for (int32_t s = 0; s < config->strategy_count; s++)
        if (!strcmp(config->strategy[s], df_strategy_command.name) && !df_run_command_of(config, s))
            DF_FAIL(
                options->config_path ? DFAL_E_CONFIG : DFAL_E_USAGE,
                "%s: strategies lists %s, expected `strategy_command` CMD, or an entry {name: NAME, command: "
                "CMD} in its place",
                options->config_path ? options->config_path : "the configuration", config->strategy[s]);
    return DFAL_OK;
}

dfal_status df_run_command_take(struct df_run_config *config, const struct dfal_run_options *options)
{
    if (options->strategy_command)
        DF_TRY(take_strategy_command(config, options->strategy_command));
    return check_listed(config, options);
}

/* A file may come from anybody; what it makes run is the caller's to decide.
 *   instead  what else would do: " with it, or `trainer`" */
static dfal_status check_allowed(const struct dfal_run_options *options, const char *what,
                                 const char *command, int64_t line, const char *instead)
{
    struct df_words words;
    if (line && !options->allow_command)
        DF_FAIL(DFAL_E_CONFIG, "%s:%lld: %s is '%.200s', expected `allow_command`%s", options->config_path,
                (long long)line, what, command, instead);
    dfal_status status = df_words_split(&words, command, line ? DFAL_E_CONFIG : DFAL_E_USAGE);
    if (status != DFAL_OK && line)
        df_fail_prefix(status, "%s:%lld: ", options->config_path, (long long)line);
    df_words_clear(&words);
    return status;
}

/* The commands among the options of the strategies that run: solvers. */
static dfal_status check_options(const struct df_run_config *config, const struct dfal_run_options *options)
{
    for (int32_t s = 0; s < config->strategy_count; s++) {
        const int32_t known = df_run_strategy_known(config, s);
        const struct df_option_values *own = &config->options[known].own;
        const struct df_strategy_option *option = df_option_of_command(df_strategy_options(known));
        char key[80], instead[80];
        if (!option || !own->command[0])
            continue;
        snprintf(key, sizeof key, "options.%s.%s", df_strategy_known(known), option->key);
        snprintf(instead, sizeof instead, " with it, or `%s`", option->key);
        DF_TRY(check_allowed(options, key, own->command, own->command_line, instead));
    }
    return DFAL_OK;
}

dfal_status df_run_command_allowed(const struct df_run_config *config, const struct dfal_run_options *options)
{
    if (config->trainer[0])
        DF_TRY(check_allowed(options, "trainer", config->trainer, config->trainer_line,
                             " with it, or `trainer`"));
    for (int32_t i = 0; i < config->command_count; i++) {
        const struct df_run_command *command = &config->command[i];
        char what[DF_STRATEGY_NAME + 32];
        snprintf(what, sizeof what, "strategy %s", command->name);
        DF_TRY(check_allowed(options, what, command->text, command->line, " with it"));
    }
    return check_options(config, options);
}
