/* SPDX-License-Identifier: Apache-2.0 */
/* Commands of a configuration: what the caller gives, and which may run. */
#include <stdio.h>
#include <string.h>

#include "base/process.h"
#include "base/text.h"
#include "run/config.h"
#include "strategy/strategy.h"

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
    struct df_run_entry added = {.known = df_strategy_known_index(name), .options = DF_STRATEGY_CONFIG_NONE};
    const int32_t listed = df_run_entry_find(config, name);
    struct df_run_entry *entry = listed < 0 ? &added : &config->strategy[listed];
    DF_TRY(df_run_command_check("strategy's", command));
    snprintf(entry->command.text, sizeof entry->command.text, "%s", command);
    entry->command.line = 0;
    if (listed >= 0)
        return DFAL_OK;
    snprintf(added.name, sizeof added.name, "%s", name);
    return df_run_entry_add(config, &added);
}

/* A strategy `command` needs one. */
static dfal_status check_listed(const struct df_run_config *config, const struct dfal_run_options *options)
{
    for (int32_t s = 0; s < config->strategy_count; s++)
        if (df_run_strategy(config, s) == &df_strategy_command && !config->strategy[s].command.text[0])
            DF_FAIL(
                options->config_path ? DFAL_E_CONFIG : DFAL_E_USAGE,
                "%s: strategies lists %s, expected `strategy_command` CMD, or an entry {name: NAME, command: "
                "CMD} in its place",
                options->config_path ? options->config_path : "the configuration", config->strategy[s].name);
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
                                 const struct df_command *command, const char *instead)
{
    const long long line = command->line;
    struct df_words words;
    if (line && !options->allow_command)
        DF_FAIL(DFAL_E_CONFIG, "%s:%lld: %s is '%.200s', expected `allow_command`%s", options->config_path,
                line, what, command->text, instead);
    dfal_status status = df_words_split(&words, command->text, line ? DFAL_E_CONFIG : DFAL_E_USAGE);
    if (status != DFAL_OK && line)
        df_fail_prefix(status, "%s:%lld: ", options->config_path, line);
    df_words_clear(&words);
    return status;
}

/* The command among the options of a listed strategy: its solver. */
static dfal_status check_options(const struct df_run_config *config, const struct dfal_run_options *options,
                                 int32_t strategy)
{
    const struct df_run_entry *entry = &config->strategy[strategy];
    const struct df_strategy_option *option = df_option_of_command(df_strategy_options(entry->known));
    const struct df_option_values own = df_run_strategy_options(config, strategy).own;
    char key[80], instead[80];
    if (!option || !own.command.text[0])
        return DFAL_OK;
    if (entry->options.own.command.text[0])
        snprintf(key, sizeof key, "strategies[%d].options.%s", strategy, option->key);
    else
        snprintf(key, sizeof key, "options.%s.%s", df_strategy_known(entry->known), option->key);
    snprintf(instead, sizeof instead, " with it, or `%s`", option->key);
    return check_allowed(options, key, &own.command, instead);
}

dfal_status df_run_command_allowed(const struct df_run_config *config, const struct dfal_run_options *options)
{
    if (config->trainer.text[0])
        DF_TRY(check_allowed(options, "trainer", &config->trainer, " with it, or `trainer`"));
    for (int32_t s = 0; s < config->strategy_count; s++) {
        const struct df_run_entry *entry = &config->strategy[s];
        char what[DF_STRATEGY_NAME + 32];
        snprintf(what, sizeof what, "strategy %s", entry->name);
        if (entry->command.text[0])
            DF_TRY(check_allowed(options, what, &entry->command, " with it"));
        DF_TRY(check_options(config, options, s));
    }
    return DFAL_OK;
}
