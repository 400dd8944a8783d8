/* SPDX-License-Identifier: Apache-2.0 */
#include "base/number.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The locale of a thread beats the process's, so nobody else notices. glibc and musl keep "C" ready: nothing
 * is allocated, nothing can fail. */
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

/* ---- As people write them -------------------------------------------------------------------- */

static const char *digits(const char *c)
{
    while (*c >= '0' && *c <= '9')
        c++;
    return c;
}

/* Digits up to the end, the first of several no zero. */
static bool is_natural(const char *text)
{
    const char *end = digits(text);
    return end > text && *end == '\0' && (*text != '0' || end == text + 1);
}

bool df_is_decimal(const char *text)
{
    const char *c = text + (*text == '-'), *end = digits(c);
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
    return any && *end == '\0';
}

const char *df_without_plus(const char *text)
{
    return text + (text[0] == '+' && ((text[1] >= '0' && text[1] <= '9') || text[1] == '.'));
}

bool df_parse_whole(int64_t *out, const char *text)
{
    if (!is_natural(text + (*text == '-')))
        return false;
    errno = 0;
    const int64_t value = strtoll(text, NULL, 10);
    if (errno != 0)
        return false;
    *out = value;
    return true;
}

bool df_parse_natural(uint64_t *out, const char *text)
{
    if (!is_natural(text))
        return false;
    errno = 0;
    const uint64_t value = strtoull(text, NULL, 10);
    if (errno != 0)
        return false;
    *out = value;
    return true;
}

bool df_parse_decimal(double *out, const char *text)
{
    if (!df_is_decimal(text))
        return false;
    const double value = df_parse_real(text, NULL);
    if (!isfinite(value))
        return false;
    *out = value;
    return true;
}

bool df_parse_bytes(int64_t *out, const char *text)
{
    static const char units[] = "KMG";
    char number[32];
    const size_t length = strlen(text);
    if (length == 0 || length >= sizeof number)
        return false;
    memcpy(number, text, length + 1);
    const char *unit = strchr(units, number[length - 1]);
    int shift = 0;
    if (unit != NULL) {
        shift = 10 * (int)(unit - units + 1);
        number[length - 1] = '\0';
    }
    int64_t value;
    if (!df_parse_whole(&value, number) || value < 1 || value > INT64_MAX >> shift)
        return false;
    *out = value << shift;
    return true;
}

static bool is_bounded(const struct df_number *number)
{
    return number->low != 0 || number->high != 0;
}

bool df_number_holds(const struct df_number *number, double value)
{
    if (!is_bounded(number))
        return true;
    const bool below = number->high_open ? value < number->high : value <= number->high;
    const bool above = number->low_open ? value > number->low : value >= number->low;
    return below && above;
}

static bool parse_whole(const struct df_number *number, const char *text, int64_t *value)
{
    if (number->or_all && strcmp(text, "all") == 0) {
        *value = 0;
        return true;
    }
    return df_parse_whole(value, text) && df_number_holds(number, (double)*value);
}

bool df_number_parse(const struct df_number *number, const char *text, void *to)
{
    int64_t whole;
    double real;
    switch (number->kind) {
    case DF_NUMBER_I32:
        if (!parse_whole(number, text, &whole) || whole < INT32_MIN || whole > INT32_MAX)
            return false;
        *(int32_t *)to = (int32_t)whole;
        return true;
    case DF_NUMBER_I64:
        if (!parse_whole(number, text, &whole))
            return false;
        *(int64_t *)to = whole;
        return true;
    case DF_NUMBER_U64:
        return df_parse_natural(to, text);
    case DF_NUMBER_REAL:
        if (!df_parse_decimal(&real, text) || !df_number_holds(number, real))
            return false;
        *(double *)to = real;
        return true;
    case DF_NUMBER_BYTES:
        return df_parse_bytes(to, text);
    }
    return false;
}

const char *df_number_print(char text[DF_NUMBER_TEXT], const struct df_number *number, const void *from)
{
    if (number->kind == DF_NUMBER_REAL)
        return df_print_shortest(text, *(const double *)from, 6);
    const int64_t whole = number->kind == DF_NUMBER_I32 ? *(const int32_t *)from : *(const int64_t *)from;
    if (number->or_all && whole == 0)
        return "all";
    snprintf(text, DF_NUMBER_TEXT, number->kind == DF_NUMBER_U64 ? "%" PRIu64 : "%" PRId64, whole);
    return text;
}

/* "a whole number from 1 to 100", "a number above 0 and at most 1000", "a whole number of at least 1" */
static void bounds_text(char *text, size_t size, const struct df_number *number, const char *what)
{
    if (!is_bounded(number))
        snprintf(text, size, "%s", what);
    else if (number->high >= DF_NUMBER_NO_LIMIT)
        df_print(text, size, number->low_open ? "%s above %.15g" : "%s of at least %.15g", what, number->low);
    else if (number->low_open || number->high_open)
        df_print(text, size, "%s %s %.15g and %s %.15g", what, number->low_open ? "above" : "from",
                 number->low, number->high_open ? "below" : "at most", number->high);
    else
        df_print(text, size, "%s from %.15g to %.15g", what, number->low, number->high);
}

void df_number_expectation(char *text, size_t size, const struct df_number *number)
{
    switch (number->kind) {
    case DF_NUMBER_I32:
    case DF_NUMBER_I64:
        bounds_text(text, size, number, "a whole number");
        break;
    case DF_NUMBER_U64: /* whose bound is no double */
        snprintf(text, size, "a whole number from 0 to 18446744073709551615");
        break;
    case DF_NUMBER_REAL:
        bounds_text(text, size, number, "a number");
        break;
    case DF_NUMBER_BYTES:
        snprintf(text, size, "bytes, or a whole number with K, M or G behind it");
        break;
    }
    const size_t used = strlen(text);
    if (number->or_all && used < size)
        snprintf(text + used, size - used, ", or all");
}
