/* SPDX-License-Identifier: Apache-2.0 */
#include "run/config_reader.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/number.h"
#include "base/text.h"
#include "base/word.h"

/* Where in the source; "--set training.epochs=x" has no lines. */
dfal_status df_config_complain(const struct df_config_reader *reader, const yaml_event_t *at,
                               const char *format, ...)
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

dfal_status df_config_next(struct df_config_reader *reader, yaml_event_t *event)
{
    if (reader->held && reader->held->next < reader->held->count) {
        *event = reader->held->event[reader->held->next++];
        return DFAL_OK;
    }
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
        status = df_config_complain(reader, event, "an alias ('*%.*s') stands here, expected a plain value",
                                    DF_CONFIG_SHOWN, (const char *)event->data.alias.anchor);
    const yaml_char_t *anchor = NULL, *tag = NULL;
    if (event->type == YAML_SCALAR_EVENT)
        anchor = event->data.scalar.anchor, tag = event->data.scalar.tag;
    else if (event->type == YAML_MAPPING_START_EVENT)
        anchor = event->data.mapping_start.anchor, tag = event->data.mapping_start.tag;
    else if (event->type == YAML_SEQUENCE_START_EVENT)
        anchor = event->data.sequence_start.anchor, tag = event->data.sequence_start.tag;
    if (anchor)
        status = df_config_complain(reader, event, "an anchor ('&%.*s') stands here, expected a plain value",
                                    DF_CONFIG_SHOWN, (const char *)anchor);
    else if (tag)
        status = df_config_complain(reader, event, "a tag ('%.*s') stands here, expected a plain value",
                                    DF_CONFIG_SHOWN, (const char *)tag);
    if (status != DFAL_OK)
        yaml_event_delete(event);
    return status;
}

/* Would YAML 1.1 read this plain scalar as something else than text? */
bool df_config_is_text(const char *text)
{
    static const char *const words[] = {"",      "~",  "null", "y",    "n",    "yes",   "no",   "true",
                                        "false", "on", "off",  ".nan", ".inf", "-.inf", "+.inf"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (df_same_but_case(text, words[i]))
            return false;
    return *text >= '0' && *text <= '9' ? strspn(text, "0123456789_xXoO.:eE+-") != strlen(text)
                                        : !df_is_decimal(df_without_plus(text));
}

dfal_status df_config_ill_valued(const struct df_config_reader *reader, const yaml_event_t *event,
                                 const char *path, const char *expectation)
{
    if (event->type == YAML_MAPPING_START_EVENT)
        return df_config_complain(reader, event, "%s is a mapping, expected %s", path, expectation);
    if (event->type == YAML_SEQUENCE_START_EVENT)
        return df_config_complain(reader, event, "%s is a list, expected %s", path, expectation);
    const char *quote = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE ? "" : "\"";
    if (!event->data.scalar.length)
        return df_config_complain(reader, event, "%s is empty, expected %s", path, expectation);
    return df_config_complain(reader, event, "%s is %s%.*s%s, expected %s", path, quote, DF_CONFIG_SHOWN,
                              (const char *)event->data.scalar.value, quote, expectation);
}

dfal_status df_config_ill_typed(const struct df_config_reader *reader, const yaml_event_t *event,
                                const struct df_key *key, const char *path)
{
    char expectation[160];
    df_key_expectation(key, expectation, sizeof expectation);
    return df_config_ill_valued(reader, event, path, expectation);
}

/* What has just failed, as the fault of the value at path. */
dfal_status df_config_complain_of(const struct df_config_reader *reader, const yaml_event_t *event,
                                  const char *path)
{
    char message[DF_MESSAGE_SIZE];
    df_message_get(message);
    return df_config_complain(reader, event, "%s%s%.900s", path, *path ? ": " : "", message);
}

/* Of the file that a command stands in; 0: it is none. */
int64_t df_config_line_of(const struct df_config_reader *reader, const yaml_event_t *event)
{
    return reader->lines ? (int64_t)event->start_mark.line + 1 : 0;
}

/* ---- mappings -------------------------------------------------------------------------------------- */

enum { MAX_DEPTH = 8, MAX_KEYS = 64 };

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

/* Whether a name may stand where it does, beside those of its mapping that were seen. */
static dfal_status check_name(const struct df_config_reader *reader, const yaml_event_t *name,
                              const char *parent, int depth, char seen[][32], int count)
{
    if (depth > MAX_DEPTH)
        return df_config_complain(reader, name, "keys are nested deeper than %d, expected a flatter file",
                                  MAX_DEPTH);
    if (name->type != YAML_SCALAR_EVENT)
        return df_config_complain(reader, name, "a key is a list or a mapping, expected a name");
    const char *text = (const char *)name->data.scalar.value;
    for (int i = 0; i < count; i++)
        if (!strcmp(seen[i], text))
            return df_config_complain(reader, name, "key '%s%s%s' stands here a second time, expected once",
                                      parent, *parent ? "." : "", text);
    return check_rival(reader, name, parent, seen, count);
}

static dfal_status visit_pair(struct df_config_reader *reader, const yaml_event_t *name, const char *parent,
                              int depth, df_config_pair_fn *visit, void *user)
{
    char path[DF_CONFIG_PATH];
    const char *text = (const char *)name->data.scalar.value;
    if (strlen(text) != name->data.scalar.length || strpbrk(text, ".*") ||
        snprintf(path, sizeof path, "%s%s%s", parent, *parent ? "." : "", text) >= DF_CONFIG_PATH)
        path[0] = 0;
    yaml_event_t value;
    DF_TRY(df_config_next(reader, &value));
    const struct df_config_pair pair = {name, &value, parent, path, depth};
    const dfal_status status = visit(reader, &pair, user);
    yaml_event_delete(&value);
    return status;
}

dfal_status df_config_walk(struct df_config_reader *reader, const char *parent, int depth,
                           df_config_pair_fn *visit, void *user)
{
    char seen[MAX_KEYS][32];
    int count = 0;
    for (;;) {
        yaml_event_t name;
        dfal_status status = DFAL_OK;
        DF_TRY(df_config_next(reader, &name));
        const bool end = name.type == YAML_MAPPING_END_EVENT;
        if (!end)
            status = check_name(reader, &name, parent, depth, seen, count);
        if (!end && status == DFAL_OK) {
            const char *text = (const char *)name.data.scalar.value;
            if (count < MAX_KEYS && strlen(text) < sizeof seen[0])
                strcpy(seen[count++], text);
            status = visit_pair(reader, &name, parent, depth, visit, user);
        }
        yaml_event_delete(&name);
        if (end || status != DFAL_OK)
            return status;
    }
}

/* ---- events that wait ------------------------------------------------------------------------------ */

dfal_status df_config_hold(struct df_config_held *held, struct df_config_reader *reader,
                           const yaml_event_t *start, const char *path)
{
    for (int depth = 1; depth > 0;) {
        if (held->count == DF_CONFIG_HELD)
            return df_config_complain(reader, start, "%s holds more than %d keys, expected fewer", path,
                                      DF_CONFIG_HELD / 2 - 1);
        yaml_event_t *event = &held->event[held->count];
        DF_TRY(df_config_next(reader, event));
        held->count++;
        depth += event->type == YAML_MAPPING_START_EVENT || event->type == YAML_SEQUENCE_START_EVENT;
        depth -= event->type == YAML_MAPPING_END_EVENT || event->type == YAML_SEQUENCE_END_EVENT;
    }
    return DFAL_OK;
}

void df_config_held_clear(struct df_config_held *held)
{
    while (held->next < held->count)
        yaml_event_delete(&held->event[held->next++]);
}
