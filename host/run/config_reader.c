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
    return df_config_complain(reader, event, "%s: %.900s", path, message);
}

/* Of the file that a command stands in; 0: it is none. */
int64_t df_config_line_of(const struct df_config_reader *reader, const yaml_event_t *event)
{
    return reader->lines ? (int64_t)event->start_mark.line + 1 : 0;
}
