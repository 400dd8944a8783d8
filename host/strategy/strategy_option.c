/* SPDX-License-Identifier: Apache-2.0 */
#include "strategy/strategy_option.h"

#include <stdio.h>
#include <string.h>

#include "base/character.h"
#include "base/word.h"

const struct df_strategy_option *df_option_find(const struct df_strategy_option *table, const char *key)
{
    for (const struct df_strategy_option *option = table; option && option->key; option++)
        if (!strcmp(option->key, key))
            return option;
    return NULL;
}

const struct df_strategy_option *df_option_of_command(const struct df_strategy_option *table)
{
    for (const struct df_strategy_option *option = table; option && option->key; option++)
        if (option->kind == DF_OPTION_COMMAND)
            return option;
    return NULL;
}

void df_option_expectation(const struct df_strategy_option *option, char *text, size_t size)
{
    switch (option->kind) {
    case DF_OPTION_NUMBER:
        df_number_expectation(text, size, &option->number);
        return;
    case DF_OPTION_TEXT:
        snprintf(text, size, "text of at most %d bytes", DF_OPTION_VALUE - 1);
        return;
    case DF_OPTION_CHOICE:
        df_word_expectation(text, size, option->choices);
        return;
    case DF_OPTION_COMMAND:
        df_word_expectation(text, size, option->choices);
        snprintf(text + strlen(text), size - strlen(text), ", or a command of at most %d bytes",
                 DF_COMMAND_TEXT - 1);
    }
}

static bool canonical_number(char value[DF_OPTION_VALUE], const struct df_number *number, const char *text)
{
    union {
        int32_t i32;
        int64_t i64;
        uint64_t u64;
        double real;
    } parsed;
    char digits[DF_NUMBER_TEXT];
    if (!df_number_parse(number, df_without_plus(text), &parsed))
        return false;
    snprintf(value, DF_OPTION_VALUE, "%s", df_number_print(digits, number, &parsed));
    return true;
}

/* The value in the form that is kept. False: it is none of the option's. */
static bool canonical(char value[DF_OPTION_VALUE], const struct df_strategy_option *option, const char *text)
{
    if (option->kind == DF_OPTION_NUMBER)
        return canonical_number(value, &option->number, text);
    return snprintf(value, DF_OPTION_VALUE, "%s", text) < DF_OPTION_VALUE && text[0];
}

static dfal_status unknown_key(const struct df_strategy_option *table, const char *key)
{
    const char *names[DF_STRATEGY_OPTIONS];
    size_t count = 0;
    while (table && table[count].key) {
        names[count] = table[count].key;
        count++;
    }
    return df_fail_unknown(DFAL_E_USAGE, "option", key, NULL, names, count);
}

/* One of the option's words, or a command in its place. */
static dfal_status take_command(struct df_option_values *values, const struct df_strategy_option *table,
                                const struct df_strategy_option *option, const char *text)
{
    char expectation[160];
    df_option_expectation(option, expectation, sizeof expectation);
    if (!text[0] || strlen(text) >= DF_COMMAND_TEXT || !df_text_is_utf8(text))
        DF_FAIL(DFAL_E_USAGE, "%s is %s%.80s, expected %s in UTF-8", option->key, text[0] ? "" : "empty",
                text, expectation);
    const bool word = df_word_is_one(text, option->choices);
    snprintf(values->text[option - table], DF_OPTION_VALUE, "%s", word ? text : "");
    snprintf(values->command.text, sizeof values->command.text, "%s", word ? "" : text);
    values->command.line = 0;
    return DFAL_OK;
}

dfal_status df_option_set(struct df_option_values *values, const struct df_strategy_option *table,
                          const char *key, const char *text)
{
    const struct df_strategy_option *option = df_option_find(table, key);
    char value[DF_OPTION_VALUE], expectation[160];
    if (!option)
        return unknown_key(table, key);
    if (option->kind == DF_OPTION_COMMAND)
        return take_command(values, table, option, text);
    if (option->kind == DF_OPTION_CHOICE)
        DF_TRY(df_word(NULL, key, text, option->choices));
    if (!canonical(value, option, text)) {
        df_option_expectation(option, expectation, sizeof expectation);
        DF_FAIL(DFAL_E_USAGE, "%s is %s%.80s, expected %s", key, text[0] ? "" : "empty", text, expectation);
    }
    memcpy(values->text[option - table], value, sizeof value);
    return DFAL_OK;
}

bool df_option_given(const struct df_option_values *values, const struct df_strategy_option *table,
                     const char *key)
{
    const struct df_strategy_option *option = df_option_find(table, key);
    return values->text[option - table][0] || (option->kind == DF_OPTION_COMMAND && values->command.text[0]);
}

void df_option_lay(struct df_option_values *values, const struct df_strategy_option *table,
                   const struct df_option_values *given)
{
    for (const struct df_strategy_option *option = table; option && option->key; option++) {
        if (!df_option_given(given, table, option->key))
            continue;
        memcpy(values->text[option - table], given->text[option - table], sizeof *values->text);
        if (option->kind == DF_OPTION_COMMAND)
            values->command = given->command;
    }
}

dfal_status df_option_assign(struct df_option_values *values, const struct df_strategy_option *table,
                             const char *assignment)
{
    const char *equals = strchr(assignment, '=');
    char key[64];
    if (!equals || equals == assignment)
        DF_FAIL(DFAL_E_USAGE, "'%.80s' has no '=' behind a key, expected KEY=VALUE", assignment);
    snprintf(key, sizeof key, "%.*s", (int)(equals - assignment < 63 ? equals - assignment : 63), assignment);
    return df_option_set(values, table, key, equals + 1);
}

const char *df_option_text(const struct df_option_values *values, const struct df_strategy_option *table,
                           const char *key)
{
    const struct df_strategy_option *option = df_option_find(table, key);
    if (values && option->kind == DF_OPTION_COMMAND && values->command.text[0])
        return values->command.text;
    return values && values->text[option - table][0] ? values->text[option - table] : option->standard;
}
