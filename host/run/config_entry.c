/* SPDX-License-Identifier: Apache-2.0 */
/* The list `strategies` of a configuration. An entry is a strategy's name, {name: NAME, strategy: STRATEGY,
 * options: {...}} or {name: NAME, command: CMD, options: {...}}. */
#include <stdio.h>
#include <string.h>

#include "base/word.h"
#include "run/config_reader.h"
#include "strategy/strategy.h"

/* What an entry that is a mapping has told so far. */
struct told {
    struct df_run_entry *entry;
    bool strategy;
    yaml_event_t name, options; /* where they stand; of type YAML_NO_EVENT: nowhere */
    struct df_config_held held; /* what stands in options */
};

/* Which strategy a name means; the message of a wrong one names the nearest. */
static dfal_status find_strategy(const struct df_config_reader *reader, const yaml_event_t *event,
                                 const char *path, int32_t *known)
{
    const struct df_strategy *strategy = NULL;
    const char *name = (const char *)event->data.scalar.value;
    if (df_strategy_find(&strategy, name) != DFAL_OK)
        return df_config_complain_of(reader, event, path);
    *known = df_strategy_known_index(name);
    return DFAL_OK;
}

/* What stands in the tables and in the names of files. */
static bool is_name(const char *text)
{
    return text[0] && !strchr("._+-", text[0]) &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-") == strlen(text);
}

/* One value of an entry that is a mapping: text of its own kind. */
static dfal_status take_text(const struct df_config_reader *reader, const struct df_config_pair *pair,
                             const char *expectation, char *to, size_t size)
{
    const yaml_event_t *event = pair->value;
    const char *value = event->type == YAML_SCALAR_EVENT ? (const char *)event->data.scalar.value : "";
    if (!value[0] || strlen(value) != event->data.scalar.length ||
        (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !df_config_is_text(value)))
        return df_config_ill_valued(reader, event, pair->path, expectation);
    if (snprintf(to, size, "%s", value) >= (int)size)
        return df_config_complain(reader, event, "%s has %zu bytes, expected at most %zu", pair->path,
                                  strlen(value), size - 1);
    return DFAL_OK;
}

static dfal_status read_key(struct df_config_reader *reader, const struct df_config_pair *pair, void *user)
{
    static const char *const keys[] = {"name", "strategy", "command", "options"};
    struct told *told = user;
    struct df_run_entry *entry = told->entry;
    const char *key = (const char *)pair->name->data.scalar.value;
    if (!strcmp(key, "name")) {
        told->name = (yaml_event_t){.type = YAML_SCALAR_EVENT, .start_mark = pair->name->start_mark};
        return take_text(
            reader, pair,
            "a name of letters, digits and . _ + - (quoted where it looks like a number, yes, no or null)",
            entry->name, sizeof entry->name);
    }
    if (!strcmp(key, "strategy")) {
        char name[DF_STRATEGY_NAME];
        told->strategy = true;
        DF_TRY(take_text(reader, pair, "a strategy's name", name, sizeof name));
        return find_strategy(reader, pair->value, pair->path, &entry->known);
    }
    if (!strcmp(key, "command")) {
        entry->command.line = df_config_line_of(reader, pair->value);
        return take_text(reader, pair, "a command", entry->command.text, sizeof entry->command.text);
    }
    if (!strcmp(key, "options")) {
        told->options = (yaml_event_t){.type = pair->value->type, .start_mark = pair->value->start_mark};
        if (told->options.type == YAML_MAPPING_START_EVENT)
            return df_config_hold(&told->held, reader, pair->value, pair->path);
        return df_config_complain(reader, pair->value, "%s is not a mapping, expected keys below it",
                                  pair->path);
    }
    (void)df_fail_unknown(reader->error, "key", key, NULL, keys, sizeof keys / sizeof *keys);
    return df_config_complain_of(reader, pair->name, pair->parent);
}

/* What runs, and under which name: its own, or one that no other strategy has. */
static dfal_status settle_name(const struct df_config_reader *reader, const yaml_event_t *start,
                               const char *path, const struct told *told)
{
    struct df_run_entry *entry = told->entry;
    if (told->strategy && entry->command.text[0])
        return df_config_complain(reader, start, "%s has a strategy and a command, expected one of them",
                                  path);
    if (!told->strategy && !entry->command.text[0])
        return df_config_complain(reader, start,
                                  "%s has no command and no strategy, expected a strategy's name, {name: "
                                  "NAME, strategy: STRATEGY, options: {...}} or {name: NAME, command: CMD}",
                                  path);
    if (!told->strategy)
        entry->known = df_strategy_known_index(df_strategy_command.name);
    const char *own = df_strategy_known(entry->known);
    if (told->name.type == YAML_NO_EVENT)
        snprintf(entry->name, sizeof entry->name, "%s", own);
    else if (!is_name(entry->name) ||
             (df_strategy_known_index(entry->name) >= 0 && strcmp(entry->name, own) != 0))
        return df_config_complain(reader, &told->name,
                                  "%s.name is '%s', expected a name of letters, digits and . _ + -, a letter "
                                  "or digit first, that no "
                                  "other strategy of dfal has",
                                  path, entry->name);
    return DFAL_OK;
}

static dfal_status read_option(struct df_config_reader *reader, const struct df_config_pair *pair, void *user)
{
    struct df_run_entry *entry = user;
    return df_config_store_option(reader, pair, entry->known, &entry->options);
}

/* An entry that is a mapping, whose start event was taken. Its options are read when the strategy is known:
 * their order is the file's. */
static dfal_status read_entry(struct df_config_reader *reader, const yaml_event_t *start, const char *path,
                              struct df_run_entry *entry)
{
    enum { DEPTH = 3 };
    struct told told = {.entry = entry};
    char options[DF_CONFIG_PATH + 8];
    dfal_status status;
    snprintf(options, sizeof options, "%s.options", path);
    DF_TRY_TO(done, status, df_config_walk(reader, path, DEPTH, read_key, &told));
    DF_TRY_TO(done, status, settle_name(reader, start, path, &told));
    if (told.options.type == YAML_NO_EVENT)
        goto done;
    reader->held = &told.held;
    status = df_config_walk(reader, options, DEPTH + 1, read_option, entry);
    reader->held = NULL;
done:
    df_config_held_clear(&told.held);
    return status;
}

static dfal_status store_entry(struct df_config_reader *reader, const yaml_event_t *event,
                               const struct df_key *key, const char *path)
{
    struct df_run_config *config = reader->config;
    struct df_run_entry entry = {.options = DF_STRATEGY_CONFIG_NONE};
    char below[DF_CONFIG_PATH];
    snprintf(below, sizeof below, "%s[%d]", path, config->strategy_count);
    if (event->type == YAML_MAPPING_START_EVENT) {
        DF_TRY(read_entry(reader, event, below, &entry));
    } else if (event->type == YAML_SCALAR_EVENT) {
        DF_TRY(find_strategy(reader, event, path, &entry.known));
        snprintf(entry.name, sizeof entry.name, "%s", df_strategy_known(entry.known));
    } else {
        return df_config_ill_typed(reader, event, key, path);
    }
    if (df_run_entry_add(config, &entry) != DFAL_OK)
        return df_config_complain_of(reader, event, "");
    return DFAL_OK;
}

dfal_status df_config_store_strategies(struct df_config_reader *reader, const yaml_event_t *start,
                                       const struct df_key *key, const char *path)
{
    struct df_run_config *config = reader->config;
    if (start->type != YAML_SEQUENCE_START_EVENT)
        return df_config_ill_typed(reader, start, key, path);
    config->strategy_count = 0;
    for (;;) {
        yaml_event_t event;
        DF_TRY(df_config_next(reader, &event));
        dfal_status status = DFAL_OK;
        bool end = event.type == YAML_SEQUENCE_END_EVENT;
        if (!end)
            status = store_entry(reader, &event, key, path);
        else if (!config->strategy_count)
            status = df_config_complain(reader, start, "%s is empty, expected at least one strategy", path);
        yaml_event_delete(&event);
        if (end || status != DFAL_OK)
            return status;
    }
}
