/* SPDX-License-Identifier: Apache-2.0 */
/* YAML towards the key table: libyaml's events, walked with the path of keys so far. What a stranger's file
 * can do to us is bounded: its size, its depth, no aliases, no tags, one document. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "base/word.h"
#include "run/config_reader.h"
#include "strategy/strategy.h"

enum { MAX_DEPTH = 8, MAX_KEYS = 64, MAX_CANDIDATES = 64 };

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

static dfal_status unknown_key(const struct df_config_reader *reader, const yaml_event_t *event,
                               const char *parent, const char *name)
{
    char names[MAX_CANDIDATES][32];
    const char *candidates[MAX_CANDIDATES];
    size_t count = names_below(parent, names, MAX_CANDIDATES);
    for (size_t i = 0; i < count; i++)
        candidates[i] = names[i];
    (void)df_fail_unknown(reader->error, "key", name, NULL, candidates, count);
    if (*parent)
        return df_config_complain_of(reader, event, parent);
    char message[DF_MESSAGE_SIZE];
    df_message_get(message);
    return df_config_complain(reader, event, "%.900s", message);
}

static dfal_status read_mapping(struct df_config_reader *reader, const char *parent, int depth);

static dfal_status read_value(struct df_config_reader *reader, const yaml_event_t *name_event,
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
                return df_config_complain(reader, event, "%s is not a mapping, expected keys below it", path);
            return read_mapping(reader, path, depth + 1);
        }
        if (key->kind == DF_KEY_STRATEGIES)
            return df_config_store_strategies(reader, event, key, path);
        return df_config_store_scalar(reader, event, key, path, strategy);
    }
    const int32_t known = strategy_of(parent);
    if (known >= 0 && df_option_find(df_strategy_options(known), path + strlen(parent) + 1))
        return df_config_store_option(reader, event, parent, path, known);
    return unknown_key(reader, name_event, parent, (const char *)name_event->data.scalar.value);
}

/* Two keys of which one is given, in one mapping: nobody can tell which is meant. */
static dfal_status check_rival(const struct df_config_reader *reader, const yaml_event_t *event,
                               const char *parent, char seen[][32], int count)
{
    char path[DF_CONFIG_PATH];
    snprintf(path, sizeof path, "%s%s%.31s", parent, *parent ? "." : "",
             (const char *)event->data.scalar.value);
    const struct df_key *key = df_key_find(path);
    for (int i = 0; key && key->rival && i < count; i++)
        if (!strcmp(strrchr(key->rival, '.') + 1, seen[i]))
            return df_config_complain(reader, event, "%s and %s stand side by side, expected one of them",
                                      key->rival, path);
    return DFAL_OK;
}

static dfal_status read_pair(struct df_config_reader *reader, const yaml_event_t *name, const char *parent,
                             int depth)
{
    char path[DF_CONFIG_PATH];
    const char *text = (const char *)name->data.scalar.value;
    if (strlen(text) != name->data.scalar.length || strpbrk(text, ".*") ||
        snprintf(path, sizeof path, "%s%s%s", parent, *parent ? "." : "", text) >= DF_CONFIG_PATH)
        return unknown_key(reader, name, parent, text);
    yaml_event_t value;
    DF_TRY(df_config_next(reader, &value));
    dfal_status status = read_value(reader, name, &value, parent, path, depth);
    yaml_event_delete(&value);
    return status;
}

/* The start event was taken; take everything up to the end. */
static dfal_status read_mapping(struct df_config_reader *reader, const char *parent, int depth)
{
    char seen[MAX_KEYS][32];
    int count = 0;
    for (;;) {
        yaml_event_t name;
        DF_TRY(df_config_next(reader, &name));
        dfal_status status = DFAL_OK;
        bool end = name.type == YAML_MAPPING_END_EVENT;
        if (!end && depth > MAX_DEPTH)
            status = df_config_complain(reader, &name,
                                        "keys are nested deeper than %d, expected a flatter file", MAX_DEPTH);
        else if (!end && name.type != YAML_SCALAR_EVENT)
            status = df_config_complain(reader, &name, "a key is a list or a mapping, expected a name");
        else if (!end) {
            const char *text = (const char *)name.data.scalar.value;
            for (int i = 0; i < count && status == DFAL_OK; i++)
                if (!strcmp(seen[i], text))
                    status = df_config_complain(reader, &name,
                                                "key '%s%s%s' stands here a second time, expected once",
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

static dfal_status read_document(struct df_config_reader *reader)
{
    for (int documents = 0;;) {
        yaml_event_t event;
        DF_TRY(df_config_next(reader, &event));
        dfal_status status = DFAL_OK;
        bool end = event.type == YAML_STREAM_END_EVENT;
        switch (event.type) {
        case YAML_DOCUMENT_START_EVENT:
            if (documents++)
                status = df_config_complain(reader, &event, "a second document begins here, expected one");
            break;
        case YAML_MAPPING_START_EVENT:
            status = read_mapping(reader, "", 1);
            break;
        case YAML_SCALAR_EVENT: /* a document of blanks and comments is one empty scalar */
            if (event.data.scalar.length || event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
                status = df_config_complain(
                    reader, &event, "a single value stands here, expected keys such as 'initial: 10'");
            break;
        case YAML_SEQUENCE_START_EVENT:
            status =
                df_config_complain(reader, &event, "a list stands here, expected keys such as 'initial: 10'");
            break;
        default:
            break;
        }
        yaml_event_delete(&event);
        if (end || status != DFAL_OK)
            return status;
    }
}

static dfal_status parser_open(struct df_config_reader *reader, const char *text, size_t size)
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
    struct df_config_reader reader = {
        .config = config, .source = source, .folder = folder, .error = error, .lines = true};
    DF_TRY(parser_open(&reader, text, size));
    dfal_status status = read_document(&reader);
    yaml_parser_delete(&reader.parser);
    return status;
}

dfal_status df_run_config_set(struct df_run_config *config, const char *assignment)
{
    char source[160], path[DF_CONFIG_PATH];
    snprintf(source, sizeof source, "`set` %.140s", assignment);
    struct df_config_reader reader = {.config = config, .source = source, .error = DFAL_E_USAGE};
    const char *equals = strchr(assignment, '=');
    if (!equals || equals == assignment)
        DF_FAIL(DFAL_E_USAGE, "%s: no '=' stands behind a key, expected KEY.PATH=VALUE", source);
    if (equals - assignment >= DF_CONFIG_PATH)
        DF_FAIL(DFAL_E_USAGE, "%s: the key is too long, expected KEY.PATH=VALUE", source);
    snprintf(path, sizeof path, "%.*s", (int)(equals - assignment), assignment);
    char *dot = strrchr(path, '.');
    yaml_event_t name = {.type = YAML_SCALAR_EVENT};
    name.data.scalar.value = (yaml_char_t *)(dot ? dot + 1 : path);
    name.data.scalar.length = strlen((const char *)name.data.scalar.value);
    char parent[DF_CONFIG_PATH] = "";
    if (dot)
        snprintf(parent, sizeof parent, "%.*s", (int)(dot - path), path);

    DF_TRY(parser_open(&reader, equals + 1, strlen(equals + 1)));
    dfal_status status = DFAL_OK;
    bool taken = false;
    for (bool end = false; !end && status == DFAL_OK;) {
        yaml_event_t event;
        DF_TRY_TO(done, status, df_config_next(&reader, &event));
        end = event.type == YAML_STREAM_END_EVENT;
        if (event.type == YAML_SCALAR_EVENT || event.type == YAML_MAPPING_START_EVENT ||
            event.type == YAML_SEQUENCE_START_EVENT) {
            if (taken)
                status = df_config_complain(&reader, &event, "a second value stands here, expected one");
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
