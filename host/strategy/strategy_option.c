/* SPDX-License-Identifier: Apache-2.0 */
#include "strategy/strategy_option.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "base/word.h"

const struct df_strategy_option *df_option_find(const struct df_strategy_option *table, const char *key)
{
    for (const struct df_strategy_option *option = table; option && option->key; option++)
        if (!strcmp(option->key, key))
            return option;
    return NULL;
}

void df_option_expectation(const struct df_strategy_option *option, char *text, size_t size)
{
    size_t used;
    switch (option->kind) {
    case DF_OPTION_INTEGER:
        df_print(text, size, "a decimal integer from %.0f to %.0f", option->low, option->high);
        return;
    case DF_OPTION_REAL:
        df_print(text, size, "a number from %g to %g", option->low, option->high);
        return;
    case DF_OPTION_TEXT:
        snprintf(text, size, "text of at most %d bytes", DF_OPTION_VALUE - 1);
        return;
    case DF_OPTION_CHOICE:
        used = (size_t)snprintf(text, size, "one of ");
        for (const char *c = option->choices; *c && used + 3 < size; c++) {
            text[used++] = *c == '|' ? ',' : *c;
            if (*c == '|')
                text[used++] = ' ';
        }
        text[used] = 0;
    }
}

/* The value in the form that is kept. False: it is none of the option's. */
static bool canonical(char value[DF_OPTION_VALUE], const struct df_strategy_option *option, const char *text)
{
    if (option->kind == DF_OPTION_INTEGER) {
        errno = 0;
        const long long number = df_is_integer(text) ? strtoll(text, NULL, 10) : 0;
        snprintf(value, DF_OPTION_VALUE, "%lld", number);
        return df_is_integer(text) && !errno && (double)number >= option->low &&
               (double)number <= option->high;
    }
    if (option->kind == DF_OPTION_REAL) {
        const double number = df_is_real(text) ? df_parse_real(text, NULL) : 0;
        char digits[DF_NUMBER_TEXT];
        snprintf(value, DF_OPTION_VALUE, "%s", df_print_shortest(digits, number, 6));
        return df_is_real(text) && number >= option->low && number <= option->high;
    }
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

dfal_status df_option_set(struct df_option_values *values, const struct df_strategy_option *table,
                          const char *key, const char *text)
{
    const struct df_strategy_option *option = df_option_find(table, key);
    char value[DF_OPTION_VALUE], expectation[160];
    if (!option)
        return unknown_key(table, key);
    if (option->kind == DF_OPTION_CHOICE)
        DF_TRY(df_word(NULL, key, text, option->choices));
    if (!canonical(value, option, text)) {
        df_option_expectation(option, expectation, sizeof expectation);
        DF_FAIL(DFAL_E_USAGE, "%s is %s%.80s, expected %s", key, text[0] ? "" : "empty", text, expectation);
    }
    memcpy(values->text[option - table], value, sizeof value);
    return DFAL_OK;
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
    return values && values->text[option - table][0] ? values->text[option - table] : option->standard;
}
