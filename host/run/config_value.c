/* SPDX-License-Identifier: Apache-2.0 */
/* A value of a configuration towards its key, or towards an option of a strategy. */
#include <stdio.h>
#include <string.h>

#include "base/number.h"
#include "base/word.h"
#include "models/models.h"
#include "run/config_reader.h"
#include "strategy/strategy.h"

static dfal_status store_choice(const struct df_config_reader *reader, const yaml_event_t *event,
                                const struct df_key *key, const char *path, char *to)
{
    const char *value = (const char *)event->data.scalar.value;
    if (!value[0])
        return df_config_ill_typed(reader, event, key, path);
    if (df_word(NULL, "value", value, key->choices) != DFAL_OK)
        return df_config_complain_of(reader, event, path);
    snprintf(to, 16, "%.15s", value);
    return DFAL_OK;
}

static dfal_status store_path(const struct df_config_reader *reader, const yaml_event_t *event,
                              const struct df_key *key, const char *path, char *to)
{
    const char *value = (const char *)event->data.scalar.value;
    if (key->kind == DF_KEY_TEXT && df_model_check(value) != DFAL_OK)
        return df_config_complain_of(reader, event, path);
    const bool named = key->kind == DF_KEY_TEXT && !df_model_exists(value) && strpbrk(value, "/.");
    const bool relative =
        reader->folder && value[0] != '/' && value[0] && (key->kind == DF_KEY_PATH || named);
    int length = relative ? snprintf(to, DF_CONFIG_TEXT, "%s/%s", reader->folder, value)
                          : snprintf(to, DF_CONFIG_TEXT, "%s", value);
    if (length >= DF_CONFIG_TEXT)
        return df_config_complain(reader, event, "%s has %d bytes, expected at most %d", path, length,
                                  DF_CONFIG_TEXT - 1);
    return DFAL_OK;
}

/* What stands in for another key: that one is given no longer. */
static void drop_rival(const struct df_config_reader *reader, const struct df_key *key)
{
    const struct df_key *rival = key->rival ? df_key_find(key->rival) : NULL;
    if (!rival)
        return;
    void *field = df_key_field(rival, reader->config);
    if (rival->number.kind == DF_NUMBER_I32)
        *(int32_t *)field = (int32_t)rival->number.low - 1;
    else
        *(int64_t *)field = (int64_t)rival->number.low - 1;
}

dfal_status df_config_store_scalar(const struct df_config_reader *reader, const yaml_event_t *event,
                                   const struct df_key *key, const char *path, void *field)
{
    if (event->type != YAML_SCALAR_EVENT)
        return df_config_ill_typed(reader, event, key, path);
    const char *value = (const char *)event->data.scalar.value;
    bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (strlen(value) != event->data.scalar.length)
        return df_config_complain(reader, event, "%s holds a zero byte, expected text", path);
    switch (key->kind) {
    case DF_KEY_NUMBER:
        if (!plain || !df_number_parse(&key->number, df_without_plus(value), field))
            return df_config_ill_typed(reader, event, key, path);
        drop_rival(reader, key);
        return DFAL_OK;
    case DF_KEY_CHOICE:
        return store_choice(reader, event, key, path, field);
    case DF_KEY_FLAG:
        if (!plain || (strcmp(value, "true") != 0 && strcmp(value, "false") != 0))
            return df_config_ill_typed(reader, event, key, path);
        *(int32_t *)field = !strcmp(value, "true");
        return DFAL_OK;
    case DF_KEY_TEXT:
    case DF_KEY_PATH:
    case DF_KEY_WORDS:
    case DF_KEY_COMMAND:
        if ((plain && !df_config_is_text(value)) || !value[0])
            return df_config_ill_typed(reader, event, key, path);
        if (key->kind == DF_KEY_COMMAND)
            ((struct df_command *)field)->line = df_config_line_of(reader, event);
        return store_path(reader, event, key, path, field);
    default:
        return df_config_ill_typed(reader, event, key, path);
    }
}

/* A value of a strategy's own option. */
static dfal_status store_own(const struct df_config_reader *reader, const struct df_config_pair *pair,
                             const struct df_strategy_option *table, const struct df_strategy_option *option,
                             struct df_option_values *own)
{
    const yaml_event_t *event = pair->value;
    char expectation[160];
    df_option_expectation(option, expectation, sizeof expectation);
    if (event->type != YAML_SCALAR_EVENT)
        return df_config_ill_valued(reader, event, pair->path, expectation);
    const char *value = (const char *)event->data.scalar.value;
    const bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    const bool number = option->kind == DF_OPTION_NUMBER;
    if (strlen(value) != event->data.scalar.length)
        return df_config_complain(reader, event, "%s holds a zero byte, expected text", pair->path);
    const bool text = option->kind == DF_OPTION_TEXT || option->kind == DF_OPTION_COMMAND;
    if (!value[0] || (number && !plain) || (text && plain && !df_config_is_text(value)))
        return df_config_ill_valued(reader, event, pair->path, expectation);
    if (df_option_set(own, table, option->key, value) != DFAL_OK)
        return df_config_complain_of(reader, event, pair->parent);
    if (option->kind == DF_OPTION_COMMAND)
        own->command.line = df_config_line_of(reader, event);
    return DFAL_OK;
}

static const char all_strategies[] = "options.*.";

static dfal_status unknown_option(const struct df_config_reader *reader, const struct df_config_pair *pair,
                                  const struct df_strategy_option *table)
{
    const size_t length = sizeof all_strategies - 1;
    const char *names[64];
    size_t count = 0;
    for (int32_t k = 0; k < df_run_key_count && count < 64; k++)
        if (!strncmp(df_run_keys[k].path, all_strategies, length))
            names[count++] = df_run_keys[k].path + length;
    for (; table && table->key && count < 64; table++)
        names[count++] = table->key;
    (void)df_fail_unknown(reader->error, "key", (const char *)pair->name->data.scalar.value, NULL, names,
                          count);
    return df_config_complain_of(reader, pair->name, pair->parent);
}

dfal_status df_config_store_option(const struct df_config_reader *reader, const struct df_config_pair *pair,
                                   int32_t known, struct df_strategy_config *options)
{
    const struct df_strategy_option *table = df_strategy_options(known);
    char path[DF_CONFIG_PATH];
    if (!pair->path[0])
        return unknown_option(reader, pair, table);
    const char *name = pair->path + strlen(pair->parent) + 1;
    snprintf(path, sizeof path, "%s%.60s", all_strategies, name);
    const struct df_key *key = df_key_find(path);
    if (key)
        return df_config_store_scalar(reader, pair->value, key, pair->path, df_key_field(key, options));
    const struct df_strategy_option *option = df_option_find(table, name);
    return option ? store_own(reader, pair, table, option, &options->own)
                  : unknown_option(reader, pair, table);
}
