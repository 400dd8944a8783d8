/* SPDX-License-Identifier: Apache-2.0 */
#include "base/number.h"

#include <stdio.h>
#include <stdlib.h>

/* The locale of a thread beats the process's, so nobody else notices. glibc and musl keep "C" ready: nothing is allocated,
 * nothing can fail. */
void df_plain_begin(struct df_plain *state)
{
    state->plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    state->before = uselocale(state->plain);
}

void df_plain_end(const struct df_plain *state)
{
    uselocale(state->before);
    if (state->plain != (locale_t)0)
        freelocale(state->plain);
}

int df_vprint(char *text, size_t size, const char *format, va_list arguments)
{
    struct df_plain plain;
    df_plain_begin(&plain);
    const int length = vsnprintf(text, size, format, arguments);
    df_plain_end(&plain);
    return length;
}

int df_print(char *text, size_t size, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const int length = df_vprint(text, size, format, arguments);
    va_end(arguments);
    return length;
}

double df_parse_real(const char *text, char **end)
{
    struct df_plain plain;
    df_plain_begin(&plain);
    const double value = strtod(text, end);
    df_plain_end(&plain);
    return value;
}

const char *df_print_shortest(char text[DF_NUMBER_TEXT], double value, int least)
{
    for (int digits = least; digits <= 17; digits++) {
        df_print(text, DF_NUMBER_TEXT, "%.*g", digits, value);
        if (df_parse_real(text, NULL) == value)
            break;
    }
    return text;
}

static const char *digits(const char *c)
{
    while (*c >= '0' && *c <= '9')
        c++;
    return c;
}

bool df_is_integer(const char *text)
{
    const char *c = text + (*text == '-' || *text == '+');
    const char *end = digits(c);
    return end > c && !*end && (*c != '0' || end == c + 1);
}

bool df_is_real(const char *text)
{
    const char *c = text + (*text == '-' || *text == '+');
    const char *end = digits(c);
    bool any = end > c;
    if (any && *c == '0' && end > c + 1)
        return false;
    if (*end == '.') {
        const char *fraction = digits(end + 1);
        any = any || fraction > end + 1;
        end = fraction;
    }
    if (any && (*end == 'e' || *end == 'E')) {
        const char *exponent = end + 1 + (end[1] == '-' || end[1] == '+');
        end = digits(exponent);
        any = end > exponent;
    }
    return any && !*end;
}
