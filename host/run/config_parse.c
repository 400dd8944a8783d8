/* SPDX-License-Identifier: Apache-2.0 */
/* YAML towards the key table: libyaml's events, walked with the path of keys so far. What a stranger's file
 * can do to us is bounded: its size, its depth, no aliases, no tags, one document. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/memory.h"
#include "base/number.h"
#include "base/text.h"
#include "base/word.h"
#include "models/models.h"
#include "run/config.h"
#include "strategy/strategy.h"

enum { MAX_DEPTH = 8, MAX_PATH = 128, MAX_KEYS = 64, MAX_CANDIDATES = 64, SHOWN = 80 };

struct reader {
    struct df_run_config *config;
    const char *source, *folder;
    dfal_status error;
    bool lines; /* messages carry a line */
    yaml_parser_t parser;
};

/* Where in the source; "--set training.epochs=x" has no lines. */
static dfal_status complain(const struct reader *reader, const yaml_event_t *at, const char *format, ...)
    DFAL_PRINTF(3, 4);
static dfal_status complain(const struct reader *reader, const yaml_event_t *at, const char *format, ...)
{
    char text[DF_MESSAGE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    df_vprint(text, sizeof text, format, arguments);
    va_end(arguments);
    if (reader->lines)
        return df_fail(reader->error, "%s:%zu: %s", reader->source, at->start_mark.line + 1, text);
    return df_fail(reader->error, "%s: %s", reader->source, text);
}

static dfal_status next_event(struct reader *reader, yaml_event_t *event)
{
    if (!yaml_parser_parse(&reader->parser, event)) {
        size_t line = reader->parser.problem_mark.line + 1;
        const char *problem = reader->parser.problem ? reader->parser.problem : "unreadable";
        if (reader->parser.error == YAML_MEMORY_ERROR)
            DF_FAIL(DFAL_E_MEMORY, "%s: out of memory while reading YAML", reader->source);
        if (reader->lines)
            return df_fail(reader->error, "%s:%zu: not valid YAML: %s", reader->source, line, problem);
        return df_fail(reader->error, "%s: not valid YAML: %s", reader->source, problem);
    }
    dfal_status status = DFAL_OK;
    if (event->type == YAML_ALIAS_EVENT)
        status = complain(reader, event, "an alias ('*%.*s') stands here, expected a plain value", SHOWN,
                          (const char *)event->data.alias.anchor);
    const yaml_char_t *anchor = NULL, *tag = NULL;
    if (event->type == YAML_SCALAR_EVENT)
        anchor = event->data.scalar.anchor, tag = event->data.scalar.tag;
    else if (event->type == YAML_MAPPING_START_EVENT)
        anchor = event->data.mapping_start.anchor, tag = event->data.mapping_start.tag;
    else if (event->type == YAML_SEQUENCE_START_EVENT)
        anchor = event->data.sequence_start.anchor, tag = event->data.sequence_start.tag;
    if (anchor)
        status = complain(reader, event, "an anchor ('&%.*s') stands here, expected a plain value", SHOWN,
                          (const char *)anchor);
    else if (tag)
        status = complain(reader, event, "a tag ('%.*s') stands here, expected a plain value", SHOWN,
                          (const char *)tag);
    if (status != DFAL_OK)
        yaml_event_delete(event);
    return status;
}

/* ---- scalars --------------------------------------------------------------------------------------- */

/* Would YAML 1.1 read this plain scalar as something else than text? */
static bool is_text(const char *text)
{
    static const char *const words[] = {"",      "~",  "null", "y",    "n",    "yes",   "no",   "true",
                                        "false", "on", "off",  ".nan", ".inf", "-.inf", "+.inf"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (df_same_but_case(text, words[i]))
            return false;
    return *text >= '0' && *text <= '9' ? strspn(text, "0123456789_xXoO.:eE+-") != strlen(text)
                                        : !df_is_decimal(df_without_plus(text));
}

static dfal_status ill_valued(const struct reader *reader, const yaml_event_t *event, const char *path,
                              const char *expectation)
{
    if (event->type == YAML_MAPPING_START_EVENT)
        return complain(reader, event, "%s is a mapping, expected %s", path, expectation);
    if (event->type == YAML_SEQUENCE_START_EVENT)
        return complain(reader, event, "%s is a list, expected %s", path, expectation);
    const char *quote = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE ? "" : "\"";
    if (!event->data.scalar.length)
        return complain(reader, event, "%s is empty, expected %s", path, expectation);
    return complain(reader, event, "%s is %s%.*s%s, expected %s", path, quote, SHOWN,
                    (const char *)event->data.scalar.value, quote, expectation);
}

static dfal_status ill_typed(const struct reader *reader, const yaml_event_t *event, const struct df_key *key,
                             const char *path)
{
    char expectation[160];
    df_key_expectation(key, expectation, sizeof expectation);
    return ill_valued(reader, event, path, expectation);
}

/* What has just failed, as the fault of the value at path. */
static dfal_status complain_of(const struct reader *reader, const yaml_event_t *event, const char *path)
{
    char message[DF_MESSAGE_SIZE];
    df_message_get(message);
    return complain(reader, event, "%s: %.900s", path, message);
}

static dfal_status store_choice(const struct reader *reader, const yaml_event_t *event,
                                const struct df_key *key, const char *path, char *to)
{
    const char *value = (const char *)event->data.scalar.value;
    if (!value[0])
        return ill_typed(reader, event, key, path);
    if (df_word(NULL, "value", value, key->choices) != DFAL_OK)
        return complain_of(reader, event, path);
    snprintf(to, 16, "%.15s", value);
    return DFAL_OK;
}

static dfal_status store_path(const struct reader *reader, const yaml_event_t *event,
                              const struct df_key *key, const char *path, char *to)
{
    const char *value = (const char *)event->data.scalar.value;
    if (strcmp(key->path, "network") == 0 && df_model_check(value) != DFAL_OK)
        return complain_of(reader, event, path);
    bool relative = reader->folder && value[0] != '/' && value[0] && key->kind != DF_KEY_COMMAND &&
                    (key->kind == DF_KEY_PATH || (!df_model_exists(value) && strpbrk(value, "/.")));
    int length = relative ? snprintf(to, DF_CONFIG_TEXT, "%s/%s", reader->folder, value)
                          : snprintf(to, DF_CONFIG_TEXT, "%s", value);
    if (length >= DF_CONFIG_TEXT)
        return complain(reader, event, "%s has %d bytes, expected at most %d", path, length,
                        DF_CONFIG_TEXT - 1);
    return DFAL_OK;
}

/* What stands in for another key: that one is given no longer. */
static void drop_rival(const struct reader *reader, const struct df_key *key)
{
    const struct df_key *rival = key->rival ? df_key_find(key->rival) : NULL;
    if (!rival)
        return;
    void *field = df_key_field(rival, reader->config, 0);
    if (rival->number.kind == DF_NUMBER_I32)
        *(int32_t *)field = (int32_t)rival->number.low - 1;
    else
        *(int64_t *)field = (int64_t)rival->number.low - 1;
}

/* Of the file that a command stands in; 0: it is none. */
static int64_t line_of(const struct reader *reader, const yaml_event_t *event)
{
    return reader->lines ? (int64_t)event->start_mark.line + 1 : 0;
}

static dfal_status store_scalar(const struct reader *reader, const yaml_event_t *event,
                                const struct df_key *key, const char *path, int32_t strategy)
{
    if (event->type != YAML_SCALAR_EVENT)
        return ill_typed(reader, event, key, path);
    const char *value = (const char *)event->data.scalar.value;
    bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    void *field = df_key_field(key, reader->config, strategy);
    if (strlen(value) != event->data.scalar.length)
        return complain(reader, event, "%s holds a zero byte, expected text", path);
    switch (key->kind) {
    case DF_KEY_NUMBER:
        if (!plain || !df_number_parse(&key->number, df_without_plus(value), field))
            return ill_typed(reader, event, key, path);
        drop_rival(reader, key);
        return DFAL_OK;
    case DF_KEY_CHOICE:
        return store_choice(reader, event, key, path, field);
    case DF_KEY_FLAG:
        if (!plain || (strcmp(value, "true") != 0 && strcmp(value, "false") != 0))
            return ill_typed(reader, event, key, path);
        *(int32_t *)field = !strcmp(value, "true");
        return DFAL_OK;
    case DF_KEY_TEXT:
    case DF_KEY_PATH:
    case DF_KEY_COMMAND:
        if ((plain && !is_text(value)) || !value[0])
            return ill_typed(reader, event, key, path);
        if (key->kind == DF_KEY_COMMAND)
            reader->config->trainer_line = line_of(reader, event);
        return store_path(reader, event, key, path, field);
    default:
        return ill_typed(reader, event, key, path);
    }
}

/* A value of a strategy's own option, at options.NAME.KEY. */
static dfal_status store_option(const struct reader *reader, const yaml_event_t *event, const char *parent,
                                const char *path, int32_t known)
{
    const struct df_strategy_option *table = df_strategy_options(known),
                                    *option = df_option_find(table, path + strlen(parent) + 1);
    char expectation[160];
    df_option_expectation(option, expectation, sizeof expectation);
    if (event->type != YAML_SCALAR_EVENT)
        return ill_valued(reader, event, path, expectation);
    const char *value = (const char *)event->data.scalar.value;
    const bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    const bool number = option->kind == DF_OPTION_NUMBER;
    if (strlen(value) != event->data.scalar.length)
        return complain(reader, event, "%s holds a zero byte, expected text", path);
    const bool text = option->kind == DF_OPTION_TEXT || option->kind == DF_OPTION_COMMAND;
    if (!value[0] || (number && !plain) || (text && plain && !is_text(value)))
        return ill_valued(reader, event, path, expectation);
    struct df_option_values *own = &reader->config->options[known].own;
    if (df_option_set(own, table, option->key, value) != DFAL_OK)
        return complain_of(reader, event, parent);
    if (option->kind == DF_OPTION_COMMAND)
        own->command_line = line_of(reader, event);
    return DFAL_OK;
}

/* Which strategy a name means; the message of a wrong one names the nearest. */
static dfal_status check_strategy(const struct reader *reader, const yaml_event_t *event, const char *path,
                                  const char *name)
{
    const struct df_strategy *strategy = NULL;
    dfal_status status = df_strategy_find(&strategy, name);
    if (status == DFAL_OK || status == DFAL_E_MEMORY)
        return status;
    dfal_status again = complain_of(reader, event, path);
    return status == DFAL_E_UNAVAILABLE ? status : again;
}

/* What stands in the tables and in the names of files. */
static bool is_name(const char *text)
{
    return text[0] && !strchr("._-", text[0]) &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == strlen(text);
}

/* One value of an entry that is a mapping: text of its own kind. */
static dfal_status read_text(struct reader *reader, const char *path, const char *expectation, char *to,
                             size_t size, int64_t *line)
{
    yaml_event_t event;
    dfal_status status = DFAL_OK;
    DF_TRY(next_event(reader, &event));
    const char *value = event.type == YAML_SCALAR_EVENT ? (const char *)event.data.scalar.value : "";
    if (event.type != YAML_SCALAR_EVENT || !value[0] || strlen(value) != event.data.scalar.length ||
        (event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !is_text(value)))
        status = ill_valued(reader, &event, path, expectation);
    else if (snprintf(to, size, "%s", value) >= (int)size)
        status =
            complain(reader, &event, "%s has %zu bytes, expected at most %zu", path, strlen(value), size - 1);
    *line = reader->lines ? (int64_t)event.start_mark.line + 1 : 0;
    yaml_event_delete(&event);
    return status;
}

/* {name: NAME, command: CMD}, whose start event was taken. */
static dfal_status read_command(struct reader *reader, const yaml_event_t *start, const char *path,
                                struct df_run_command *command)
{
    static const char *const keys[] = {"name", "command"};
    char below[2][MAX_PATH];
    bool seen[2] = {false, false};
    int64_t line;
    *command = (struct df_run_command){.line = 0};
    snprintf(command->name, sizeof command->name, "%s", df_strategy_command.name);
    for (int i = 0; i < 2; i++)
        snprintf(below[i], sizeof below[i], "%s.%s", path, keys[i]);
    for (;;) {
        yaml_event_t key;
        DF_TRY(next_event(reader, &key));
        const bool end = key.type == YAML_MAPPING_END_EVENT;
        const char *text = key.type == YAML_SCALAR_EVENT ? (const char *)key.data.scalar.value : "";
        const int which = !strcmp(text, keys[0]) ? 0 : !strcmp(text, keys[1]) ? 1 : -1;
        dfal_status status = DFAL_OK;
        if (end)
            status = seen[1] ? DFAL_OK
                             : complain(reader, start,
                                        "an entry of %s has no command, expected a strategy's name "
                                        "or {name: NAME, command: CMD}",
                                        path);
        else if (which < 0) {
            (void)df_fail_unknown(reader->error, "key", text, NULL, keys, 2);
            status = complain_of(reader, &key, path);
        } else if (seen[which])
            status =
                complain(reader, &key, "key '%s' stands here a second time, expected once", below[which]);
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
            status = complain(reader, &key,
                              "%s is '%s', expected a name of letters, digits and . _ - that no "
                              "strategy of dfal has",
                              below[0], command->name);
        yaml_event_delete(&key);
        if (end || status != DFAL_OK)
            return status;
    }
}

/* One entry: a strategy's name, or a command. */
static dfal_status store_strategy(struct reader *reader, const yaml_event_t *event, const struct df_key *key,
                                  const char *path)
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
        return ill_typed(reader, event, key, path);
    }
    for (int32_t i = 0; i < config->strategy_count; i++)
        if (!strcmp(config->strategy[i], name))
            return complain(reader, event, "%s names %s twice, expected each strategy once", path, name);
    if (config->strategy_count == DF_MAX_STRATEGIES)
        return complain(reader, event, "%s has more than %d entries", path, DF_MAX_STRATEGIES);
    snprintf(config->strategy[config->strategy_count++], DF_STRATEGY_NAME, "%.31s", name);
    if (event->type == YAML_MAPPING_START_EVENT &&
        df_run_command_add(config, name, command.text, command.line) != DFAL_OK)
        return complain_of(reader, event, path);
    return DFAL_OK;
}

static dfal_status store_strategies(struct reader *reader, const yaml_event_t *start,
                                    const struct df_key *key, const char *path)
{
    struct df_run_config *config = reader->config;
    if (start->type != YAML_SEQUENCE_START_EVENT)
        return ill_typed(reader, start, key, path);
    config->strategy_count = config->command_count = 0;
    for (;;) {
        yaml_event_t event;
        DF_TRY(next_event(reader, &event));
        dfal_status status = DFAL_OK;
        bool end = event.type == YAML_SEQUENCE_END_EVENT;
        if (!end)
            status = store_strategy(reader, &event, key, path);
        else if (!config->strategy_count)
            status = complain(reader, start, "%s is empty, expected at least one strategy", path);
        yaml_event_delete(&event);
        if (end || status != DFAL_OK)
            return status;
    }
}

/* ---- mappings -------------------------------------------------------------------------------------- */

/* Does a pattern ("options.*.subsample") begin with path? *rest is what follows it: "" or ".more". */
static bool begins_with(const char *pattern, const char *path, const char **rest, int32_t *strategy)
{
    while (*path) {
        if (*pattern == '*') {
            char name[32] = "";
            size_t length = strcspn(path, ".");
            snprintf(name, sizeof name, "%.*s", (int)(length < 31 ? length : 31), path);
            *strategy = df_strategy_known_index(name);
            if (*strategy < 0 || length > 31)
                return false;
            pattern++;
            path += length;
        } else if (*pattern++ != *path++) {
            return false;
        }
    }
    *rest = pattern;
    return !*pattern || *pattern == '.';
}

/* The strategy of a path options.NAME, -1: it is none. */
static int32_t strategy_of(const char *path)
{
    static const char options[] = "options.";
    if (strncmp(path, options, sizeof options - 1) != 0)
        return -1;
    return df_strategy_known_index(path + sizeof options - 1);
}

/* The names that may stand below path, for the nearest-name message. */
static size_t names_below(const char *path, char names[][32], size_t limit)
{
    size_t count = 0;
    for (int32_t i = 0; i < df_run_key_count; i++) {
        const char *rest = df_run_keys[i].path;
        int32_t strategy = -1;
        if (*path && (!begins_with(df_run_keys[i].path, path, &rest, &strategy) || *rest++ != '.'))
            continue;
        if (*rest == '*') {
            for (int k = 0; df_strategy_known(k) && count < limit; k++)
                snprintf(names[count++], 32, "%s", df_strategy_known(k));
            return count;
        }
        char name[32];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(rest, "."), rest);
        bool known = false;
        for (size_t k = 0; k < count; k++)
            known = known || !strcmp(names[k], name);
        if (!known && count < limit)
            memcpy(names[count++], name, sizeof name);
    }
    const int32_t strategy = strategy_of(path);
    const struct df_strategy_option *own = strategy < 0 ? NULL : df_strategy_options(strategy);
    for (; own && own->key && count < limit; own++)
        snprintf(names[count++], 32, "%s", own->key);
    return count;
}

static dfal_status unknown_key(const struct reader *reader, const yaml_event_t *event, const char *parent,
                               const char *name)
{
    char names[MAX_CANDIDATES][32];
    const char *candidates[MAX_CANDIDATES];
    size_t count = names_below(parent, names, MAX_CANDIDATES);
    for (size_t i = 0; i < count; i++)
        candidates[i] = names[i];
    (void)df_fail_unknown(reader->error, "key", name, NULL, candidates, count);
    if (*parent)
        return complain_of(reader, event, parent);
    char message[DF_MESSAGE_SIZE];
    df_message_get(message);
    return complain(reader, event, "%.900s", message);
}

static dfal_status read_mapping(struct reader *reader, const char *parent, int depth);

static dfal_status read_value(struct reader *reader, const yaml_event_t *name_event,
                              const yaml_event_t *event, const char *parent, const char *path, int depth)
{
    for (int32_t i = 0; i < df_run_key_count; i++) {
        const struct df_key *key = &df_run_keys[i];
        const char *rest = NULL;
        int32_t strategy = -1;
        if (!begins_with(key->path, path, &rest, &strategy))
            continue;
        if (*rest) { /* a group of keys */
            if (event->type != YAML_MAPPING_START_EVENT)
                return complain(reader, event, "%s is not a mapping, expected keys below it", path);
            return read_mapping(reader, path, depth + 1);
        }
        if (key->kind == DF_KEY_STRATEGIES)
            return store_strategies(reader, event, key, path);
        return store_scalar(reader, event, key, path, strategy);
    }
    const int32_t known = strategy_of(parent);
    if (known >= 0 && df_option_find(df_strategy_options(known), path + strlen(parent) + 1))
        return store_option(reader, event, parent, path, known);
    return unknown_key(reader, name_event, parent, (const char *)name_event->data.scalar.value);
}

/* Two keys of which one is given, in one mapping: nobody can tell which is meant. */
static dfal_status check_rival(const struct reader *reader, const yaml_event_t *event, const char *parent,
                               char seen[][32], int count)
{
    char path[MAX_PATH];
    snprintf(path, sizeof path, "%s%s%.31s", parent, *parent ? "." : "",
             (const char *)event->data.scalar.value);
    const struct df_key *key = df_key_find(path);
    for (int i = 0; key && key->rival && i < count; i++)
        if (!strcmp(strrchr(key->rival, '.') + 1, seen[i]))
            return complain(reader, event, "%s and %s stand side by side, expected one of them", key->rival,
                            path);
    return DFAL_OK;
}

static dfal_status read_pair(struct reader *reader, const yaml_event_t *name, const char *parent, int depth)
{
    char path[MAX_PATH];
    const char *text = (const char *)name->data.scalar.value;
    if (strlen(text) != name->data.scalar.length || strpbrk(text, ".*") ||
        snprintf(path, sizeof path, "%s%s%s", parent, *parent ? "." : "", text) >= MAX_PATH)
        return unknown_key(reader, name, parent, text);
    yaml_event_t value;
    DF_TRY(next_event(reader, &value));
    dfal_status status = read_value(reader, name, &value, parent, path, depth);
    yaml_event_delete(&value);
    return status;
}

/* The start event was taken; take everything up to the end. */
static dfal_status read_mapping(struct reader *reader, const char *parent, int depth)
{
    char seen[MAX_KEYS][32];
    int count = 0;
    for (;;) {
        yaml_event_t name;
        DF_TRY(next_event(reader, &name));
        dfal_status status = DFAL_OK;
        bool end = name.type == YAML_MAPPING_END_EVENT;
        if (!end && depth > MAX_DEPTH)
            status =
                complain(reader, &name, "keys are nested deeper than %d, expected a flatter file", MAX_DEPTH);
        else if (!end && name.type != YAML_SCALAR_EVENT)
            status = complain(reader, &name, "a key is a list or a mapping, expected a name");
        else if (!end) {
            const char *text = (const char *)name.data.scalar.value;
            for (int i = 0; i < count && status == DFAL_OK; i++)
                if (!strcmp(seen[i], text))
                    status = complain(reader, &name, "key '%s%s%s' stands here a second time, expected once",
                                      parent, *parent ? "." : "", text);
            DF_KEEP_FIRST(status, check_rival(reader, &name, parent, seen, count));
            if (status == DFAL_OK && count < MAX_KEYS && strlen(text) < sizeof seen[0])
                strcpy(seen[count++], text);
            if (status == DFAL_OK)
                status = read_pair(reader, &name, parent, depth);
        }
        yaml_event_delete(&name);
        if (end || status != DFAL_OK)
            return status;
    }
}

/* ---- documents ------------------------------------------------------------------------------------- */

static dfal_status read_document(struct reader *reader)
{
    for (int documents = 0;;) {
        yaml_event_t event;
        DF_TRY(next_event(reader, &event));
        dfal_status status = DFAL_OK;
        bool end = event.type == YAML_STREAM_END_EVENT;
        switch (event.type) {
        case YAML_DOCUMENT_START_EVENT:
            if (documents++)
                status = complain(reader, &event, "a second document begins here, expected one");
            break;
        case YAML_MAPPING_START_EVENT:
            status = read_mapping(reader, "", 1);
            break;
        case YAML_SCALAR_EVENT: /* a document of blanks and comments is one empty scalar */
            if (event.data.scalar.length || event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
                status = complain(reader, &event,
                                  "a single value stands here, expected keys such as 'initial: 10'");
            break;
        case YAML_SEQUENCE_START_EVENT:
            status = complain(reader, &event, "a list stands here, expected keys such as 'initial: 10'");
            break;
        default:
            break;
        }
        yaml_event_delete(&event);
        if (end || status != DFAL_OK)
            return status;
    }
}

static dfal_status parser_open(struct reader *reader, const char *text, size_t size)
{
    if (!yaml_parser_initialize(&reader->parser))
        DF_FAIL(DFAL_E_MEMORY, "%s: out of memory while reading YAML", reader->source);
    yaml_parser_set_encoding(&reader->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader->parser, (const unsigned char *)text, size);
    return DFAL_OK;
}

dfal_status df_run_config_parse(struct df_run_config *config, const char *text, size_t size,
                                const char *source, const char *folder, dfal_status error)
{
    struct reader reader = {
        .config = config, .source = source, .folder = folder, .error = error, .lines = true};
    DF_TRY(parser_open(&reader, text, size));
    dfal_status status = read_document(&reader);
    yaml_parser_delete(&reader.parser);
    return status;
}

dfal_status df_run_config_set(struct df_run_config *config, const char *assignment)
{
    char source[160], path[MAX_PATH];
    snprintf(source, sizeof source, "`set` %.140s", assignment);
    struct reader reader = {.config = config, .source = source, .error = DFAL_E_USAGE};
    const char *equals = strchr(assignment, '=');
    if (!equals || equals == assignment)
        DF_FAIL(DFAL_E_USAGE, "%s: no '=' stands behind a key, expected KEY.PATH=VALUE", source);
    if (equals - assignment >= MAX_PATH)
        DF_FAIL(DFAL_E_USAGE, "%s: the key is too long, expected KEY.PATH=VALUE", source);
    snprintf(path, sizeof path, "%.*s", (int)(equals - assignment), assignment);
    char *dot = strrchr(path, '.');
    yaml_event_t name = {.type = YAML_SCALAR_EVENT};
    name.data.scalar.value = (yaml_char_t *)(dot ? dot + 1 : path);
    name.data.scalar.length = strlen((const char *)name.data.scalar.value);
    char parent[MAX_PATH] = "";
    if (dot)
        snprintf(parent, sizeof parent, "%.*s", (int)(dot - path), path);

    DF_TRY(parser_open(&reader, equals + 1, strlen(equals + 1)));
    dfal_status status = DFAL_OK;
    bool taken = false;
    for (bool end = false; !end && status == DFAL_OK;) {
        yaml_event_t event;
        DF_TRY_TO(done, status, next_event(&reader, &event));
        end = event.type == YAML_STREAM_END_EVENT;
        if (event.type == YAML_SCALAR_EVENT || event.type == YAML_MAPPING_START_EVENT ||
            event.type == YAML_SEQUENCE_START_EVENT) {
            if (taken)
                status = complain(&reader, &event, "a second value stands here, expected one");
            else
                status = read_value(&reader, &name, &event, parent, path, 1);
            taken = true;
        }
        yaml_event_delete(&event);
    }
    if (!taken && status == DFAL_OK)
        status = df_fail(DFAL_E_USAGE, "%s: no value stands behind '=', expected KEY.PATH=VALUE", source);
done:
    yaml_parser_delete(&reader.parser);
    return status;
}
