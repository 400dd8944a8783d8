/* SPDX-License-Identifier: Apache-2.0 */
#include "facts.h"

#include "base/number.h"

#include <stdarg.h>
#include <stdio.h>

void df_tell_int(const struct df_teller *teller, const char *key, int64_t value)
{
    const struct dfal_field field = {.key = key, .kind = DFAL_FIELD_INT, .integer = value};
    teller->fact(teller->user, &field);
}

void df_tell_real(const struct df_teller *teller, const char *key, double value)
{
    const struct dfal_field field = {.key = key, .kind = DFAL_FIELD_REAL, .real = value};
    teller->fact(teller->user, &field);
}

void df_tell_text(const struct df_teller *teller, const char *key, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    df_vprint(text, sizeof(text), format, arguments);
    va_end(arguments);
    const struct dfal_field field = {.key = key, .kind = DFAL_FIELD_TEXT, .text = text};
    teller->fact(teller->user, &field);
}
