/* SPDX-License-Identifier: Apache-2.0 */
/* YAML towards the key table: libyaml's events, walked with the path of keys so far. What a stranger's file
 * can do to us is bounded: its size, its depth, no aliases, no tags, one document. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "base/word.h"
#include "run/config_reader.h"
#include "strategy/strategy.h"

enum { MAX_CANDIDATES = 64 };

/* ---- mappings -------------------------------------------------------------------------------------- */

/* The strategy of a path options.NAME, -1: it is none. */
static int32_t strategy_of(const char *path)
{
    static const char options[] = "options.";
    if (strncmp(path, options, sizeof options - 1) != 0)
        return -1;
    return df_strategy_known_index(path + sizeof options - 1);
}

/* What of a key's path stands below another path; NULL: nothing does. */
static const char *below(const char *key, const char *path)
{
    const size_t length = strlen(path);
    if (!length)
        return key;
    return !strncmp(key, path, length) && key[length] == '.' ? key + length + 1 : NULL;
}

static bool is_group(const char *path)
{
    bool group = strategy_of(path) >= 0;
    for (int32_t i = 0; i < df_run_key_count && !group; i++)
        group = below(df_run_keys[i].path, path) != NULL;
    return group;
}

/* The names that may stand below path, for the nearest-name message. */
static size_t names_below(const char *path, char names[][32], size_t limit)
{
    size_t count = 0;
    for (int32_t i = 0; i < df_run_key_count; i++) {
        const char *rest = below(df_run_keys[i].path, path);
        if (!rest)
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
    return count;
}

/* A key of a flag, whose groups nobody has looked up: the first of them that is none is what is unknown. */
static dfal_status unknown_group(const struct df_config_reader *reader, const struct df_config_pair *pair);

static dfal_status unknown_key(const struct df_config_reader *reader, const struct df_config_pair *pair)
{
    if (pair->parent[0] && !is_group(pair->parent))
        return unknown_group(reader, pair);
    char names[MAX_CANDIDATES][32];
    const char *candidates[MAX_CANDIDATES];
    const size_t count = names_below(pair->parent, names, MAX_CANDIDATES);
    for (size_t i = 0; i < count; i++)
        candidates[i] = names[i];
    (void)df_fail_unknown(reader->error, "key", (const char *)pair->name->data.scalar.value, NULL, candidates,
                          count);
    return df_config_complain_of(reader, pair->name, pair->parent);
}

static dfal_status unknown_group(const struct df_config_reader *reader, const struct df_config_pair *pair)
{
    char parent[DF_CONFIG_PATH], *dot;
    if (df_key_find(pair->parent))
        return df_config_complain(reader, pair->name, "%s takes a value, expected no key below it",
                                  pair->parent);
    snprintf(parent, sizeof parent, "%s", pair->parent);
    dot = strrchr(parent, '.');
    if (dot)
        *dot = '\0';
    yaml_event_t name = *pair->name;
    name.data.scalar.value = (yaml_char_t *)(dot ? dot + 1 : parent);
    return unknown_key(reader, &(struct df_config_pair){&name, pair->value, dot ? parent : "", "", 0});
}

static dfal_status read_pair(struct df_config_reader *reader, const struct df_config_pair *pair, void *user)
{
    const int32_t known = strategy_of(pair->parent);
    const struct df_key *key = df_key_find(pair->path);
    if (known >= 0)
        return df_config_store_option(reader, pair, known, &reader->config->options[known]);
    if (pair->path[0] && is_group(pair->path)) {
        if (pair->value->type != YAML_MAPPING_START_EVENT)
            return df_config_complain(reader, pair->value, "%s is not a mapping, expected keys below it",
                                      pair->path);
        return df_config_walk(reader, pair->path, pair->depth + 1, read_pair, user);
    }
    if (!key)
        return unknown_key(reader, pair);
    if (key->kind == DF_KEY_STRATEGIES)
        return df_config_store_strategies(reader, pair->value, key, pair->path);
    return df_config_store_scalar(reader, pair->value, key, pair->path, df_key_field(key, reader->config));
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
            status = df_config_walk(reader, "", 1, read_pair, NULL);
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

/* Lay one value over the key of this path. shape: what stands for "KEY.PATH=VALUE" in messages. */
static dfal_status lay_value(struct df_config_reader *reader, const char *path, const char *value,
                             const char *shape)
{
    char parent[DF_CONFIG_PATH] = "";
    const char *dot = strrchr(path, '.');
    yaml_event_t name = {.type = YAML_SCALAR_EVENT};
    name.data.scalar.value = (yaml_char_t *)(dot ? dot + 1 : path);
    name.data.scalar.length = strlen((const char *)name.data.scalar.value);
    if (dot)
        snprintf(parent, sizeof parent, "%.*s", (int)(dot - path), path);

    DF_TRY(parser_open(reader, value, strlen(value)));
    dfal_status status = DFAL_OK;
    bool taken = false;
    for (bool end = false; !end && status == DFAL_OK;) {
        yaml_event_t event;
        DF_TRY_TO(done, status, df_config_next(reader, &event));
        end = event.type == YAML_STREAM_END_EVENT;
        if (event.type == YAML_SCALAR_EVENT || event.type == YAML_MAPPING_START_EVENT ||
            event.type == YAML_SEQUENCE_START_EVENT) {
            if (taken)
                status = df_config_complain(reader, &event, "a second value stands here, expected one");
            else
                status = read_pair(reader, &(struct df_config_pair){&name, &event, parent, path, 1}, NULL);
            taken = true;
        }
        yaml_event_delete(&event);
    }
    if (!taken && status == DFAL_OK)
        status = df_fail(DFAL_E_USAGE, "%s: no value stands behind '=', expected %s", reader->source, shape);
done:
    yaml_parser_delete(&reader->parser);
    return status;
}

dfal_status df_config_lay(struct df_run_config *config, const char *option, const char *group,
                          const char *assignment, const char *shape)
{
    char source[160], path[DF_CONFIG_PATH];
    snprintf(source, sizeof source, "`%s` %.140s", option, assignment);
    struct df_config_reader reader = {.config = config, .source = source, .error = DFAL_E_USAGE};
    const char *equals = strchr(assignment, '=');
    if (!equals || equals == assignment)
        DF_FAIL(DFAL_E_USAGE, "%s: no '=' stands behind a key, expected %s", source, shape);
    if (snprintf(path, sizeof path, "%s%.*s", group, (int)(equals - assignment), assignment) >=
        DF_CONFIG_PATH)
        DF_FAIL(DFAL_E_USAGE, "%s: the key is too long, expected %s", source, shape);
    return lay_value(&reader, path, equals + 1, shape);
}

dfal_status df_run_config_set(struct df_run_config *config, const char *assignment)
{
    return df_config_lay(config, "set", "", assignment, "KEY.PATH=VALUE");
}
