/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers as text and back, with a point whatever locale the host program has set. Nothing else in host/ formats or reads
 * a real number (tools/check-layers). */
#ifndef DF_BASE_NUMBER_H
#define DF_BASE_NUMBER_H

#include <locale.h>
#include <stdarg.h>

#include "base/status.h"

/* snprintf and vsnprintf. */
int df_print(char *text, size_t size, const char *format, ...) DFAL_PRINTF(3, 4);
int df_vprint(char *text, size_t size, const char *format, va_list arguments);
/* strtod; end may be NULL. */
double df_parse_real(const char *text, char **end);
/* Is all of a text a decimal number? A sign, and no zero in front of other digits; a real number may have a point and an
 * exponent. What is too large for its type is the caller's to refuse. */
bool df_is_integer(const char *text);
bool df_is_real(const char *text);
/* The fewest digits, `least` or more, that read back as the same number. */
enum { DF_NUMBER_TEXT = 40 };
const char *df_print_shortest(char text[DF_NUMBER_TEXT], double value, int least);

/* Between the two the calling thread is in the locale "C": for a library that asks the locale. */
struct df_plain {
    locale_t plain, before;
};
void df_plain_begin(struct df_plain *state);
void df_plain_end(const struct df_plain *state);

#endif
