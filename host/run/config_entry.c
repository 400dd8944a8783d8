/* SPDX-License-Identifier: Apache-2.0 */
/* The list `strategies` of a configuration. */
#include <stdio.h>
#include <string.h>

#include "base/word.h"
#include "run/config_reader.h"
#include "strategy/strategy.h"

/* Which strategy a name means; the message of a wrong one names the nearest. */
static dfal_status check_strategy(const struct df_config_reader *reader, const yaml_event_t *event,
                                  const char *path, const char *name)
{
    const struct df_strategy *strategy = NULL;
    dfal_status status = df_strategy_find(&strategy, name);
    if (status == DFAL_OK || status == DFAL_E_MEMORY)
        return status;
    dfal_status again = df_config_complain_of(reader, event, path);
    return status == DFAL_E_UNAVAILABLE ? status : again;
}

/* What stands in the tables and in the names of files. */
static bool is_name(const char *text)
{
    return text[0] && !strchr("._-", text[0]) &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == strlen(text);
}

/* One value of an entry that is a mapping: text of its own kind. */
static dfal_status read_text(struct df_config_reader *reader, const char *path, const char *expectation,
                             char *to, size_t size, int64_t *line)
{
    yaml_event_t event;
    dfal_status status = DFAL_OK;
    DF_TRY(df_config_next(reader, &event));
    const char *value = event.type == YAML_SCALAR_EVENT ? (const char *)event.data.scalar.value : "";
    if (event.type != YAML_SCALAR_EVENT || !value[0] || strlen(value) != event.data.scalar.length ||
        (event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !df_config_is_text(value)))
        status = df_config_ill_valued(reader, &event, path, expectation);
    else if (snprintf(to, size, "%s", value) >= (int)size)
        status = df_config_complain(reader, &event, "%s has %zu bytes, expected at most %zu", path,
                                    strlen(value), size - 1);
    *line = reader->lines ? (int64_t)event.start_mark.line + 1 : 0;
    yaml_event_delete(&event);
    return status;
}

/* {name: NAME, command: CMD}, whose start event was taken. */
static dfal_status read_command(struct df_config_reader *reader, const yaml_event_t *start, const char *path,
                                struct df_run_command *command)
{
    static const char *const keys[] = {"name", "command"};
    char below[2][DF_CONFIG_PATH];
    bool seen[2] = {false, false};
    int64_t line;
    *command = (struct df_run_command){.line = 0};
    snprintf(command->name, sizeof command->name, "%s", df_strategy_command.name);
    for (int i = 0; i < 2; i++)
        snprintf(below[i], sizeof below[i], "%s.%s", path, keys[i]);
    for (;;) {
        yaml_event_t key;
        DF_TRY(df_config_next(reader, &key));
        const bool end = key.type == YAML_MAPPING_END_EVENT;
        const char *text = key.type == YAML_SCALAR_EVENT ? (const char *)key.data.scalar.value : "";
        const int which = !strcmp(text, keys[0]) ? 0 : !strcmp(text, keys[1]) ? 1 : -1;
        dfal_status status = DFAL_OK;
        if (end)
            status = seen[1] ? DFAL_OK
                             : df_config_complain(reader, start,
                                                  "an entry of %s has no command, expected a strategy's name "
                                                  "or {name: NAME, command: CMD}",
                                                  path);
        else if (which < 0) {
            (void)df_fail_unknown(reader->error, "key", text, NULL, keys, 2);
            status = df_config_complain_of(reader, &key, path);
        } else if (seen[which])
            status = df_config_complain(reader, &key, "key '%s' stands here a second time, expected once",
                                        below[which]);
        else if (which == 0)
            status = read_text(reader, below[0], "a name of letters, digits and . _ -", command->name,
                               sizeof command->name, &line);
        else
            status =
                read_text(reader, below[1], "a command", command->text, sizeof command->text, &command->line);
        if (which >= 0)
            seen[which] = true;
        if (status == DFAL_OK && which == 0 &&
            (!is_name(command->name) || (df_strategy_known_index(command->name) >= 0 &&
                                         strcmp(command->name, df_strategy_command.name) != 0)))
            status = df_config_complain(reader, &key,
                                        "%s is '%s', expected a name of letters, digits and . _ - that no "
                                        "strategy of dfal has",
                                        below[0], command->name);
        yaml_event_delete(&key);
        if (end || status != DFAL_OK)
            return status;
    }
}

/* One entry: a strategy's name, or a command. */
static dfal_status store_strategy(struct df_config_reader *reader, const yaml_event_t *event,
                                  const struct df_key *key, const char *path)
{
    struct df_run_config *config = reader->config;
    struct df_run_command command;
    const char *name = command.name;
    if (event->type == YAML_MAPPING_START_EVENT) {
        DF_TRY(read_command(reader, event, path, &command));
    } else if (event->type == YAML_SCALAR_EVENT) {
        name = (const char *)event->data.scalar.value;
        DF_TRY(check_strategy(reader, event, path, name));
    } else {
        return df_config_ill_typed(reader, event, key, path);
    }
    for (int32_t i = 0; i < config->strategy_count; i++)
        if (!strcmp(config->strategy[i], name))
            return df_config_complain(reader, event, "%s names %s twice, expected each strategy once", path,
                                      name);
    if (config->strategy_count == DF_MAX_STRATEGIES)
        return df_config_complain(reader, event, "%s has more than %d entries", path, DF_MAX_STRATEGIES);
    snprintf(config->strategy[config->strategy_count++], DF_STRATEGY_NAME, "%.31s", name);
    if (event->type == YAML_MAPPING_START_EVENT &&
        df_run_command_add(config, name, command.text, command.line) != DFAL_OK)
        return df_config_complain_of(reader, event, path);
    return DFAL_OK;
}

dfal_status df_config_store_strategies(struct df_config_reader *reader, const yaml_event_t *start,
                                       const struct df_key *key, const char *path)
{
    struct df_run_config *config = reader->config;
    if (start->type != YAML_SEQUENCE_START_EVENT)
        return df_config_ill_typed(reader, start, key, path);
    config->strategy_count = config->command_count = 0;
    for (;;) {
        yaml_event_t event;
        DF_TRY(df_config_next(reader, &event));
        dfal_status status = DFAL_OK;
        bool end = event.type == YAML_SEQUENCE_END_EVENT;
        if (!end)
            status = store_strategy(reader, &event, key, path);
        else if (!config->strategy_count)
            status = df_config_complain(reader, start, "%s is empty, expected at least one strategy", path);
        yaml_event_delete(&event);
        if (end || status != DFAL_OK)
            return status;
    }
}
