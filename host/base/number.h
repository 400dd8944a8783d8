/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers as text and back, with a point whatever locale the host program has set. Nothing else in host/
 * formats or reads a real number (tools/check-layers). */
#ifndef DF_BASE_NUMBER_H
#define DF_BASE_NUMBER_H

#include <locale.h>
#include <stdarg.h>

#include "dfal.h"

/* snprintf and vsnprintf. */
int df_print(char *text, size_t size, const char *format, ...) DFAL_PRINTF(3, 4);
int df_vprint(char *text, size_t size, const char *format, va_list arguments);
/* strtod; end may be NULL. */
double df_parse_real(const char *text, char **end);
/* The fewest digits, `least` or more, that read back as the same number. */
enum { DF_NUMBER_TEXT = 40 };
const char *df_print_shortest(char text[DF_NUMBER_TEXT], double value, int least);

/* Text as people write numbers, the whole of it: digits without a leading zero, a minus in front. Of a real
 * also a point and an exponent; it is finite. Of bytes a whole number, with K, M or G (powers of 1,024)
 * behind it where that is meant. False: it is none, or too large; *out is as it was. */
bool df_parse_whole(int64_t *out, const char *text);
bool df_parse_natural(uint64_t *out, const char *text);
bool df_parse_decimal(double *out, const char *text);
bool df_parse_bytes(int64_t *out, const char *text);
/* Is it written as such a real, however large? */
bool df_is_decimal(const char *text);
/* Behind the plus of a number that has one, as YAML allows. */
const char *df_without_plus(const char *text);

/* A number that an option or a key takes: its type and its bounds, which may be left out. */
enum df_number_kind { DF_NUMBER_I32, DF_NUMBER_I64, DF_NUMBER_U64, DF_NUMBER_REAL, DF_NUMBER_BYTES };
struct df_number {
    enum df_number_kind kind;
    double low, high; /* high 0 and low 0: no bounds; high at least DF_NUMBER_NO_LIMIT: none above */
    bool low_open, high_open;
    bool or_all; /* "all" may stand there: 0 */
};
#define DF_NUMBER_NO_LIMIT 9.0e15
/* Is the value within the bounds? */
bool df_number_holds(const struct df_number *number, double value);
/* Parse text and write the number to a field of its type: int32_t, int64_t, uint64_t, double, int64_t. False:
 * the text is no such number, or out of bounds; nothing is written. */
bool df_number_parse(const struct df_number *number, const char *text, void *to);
/* The number as text that reads back, for which `text` is room; a real has 6 digits or more. */
const char *df_number_print(char text[DF_NUMBER_TEXT], const struct df_number *number, const void *from);
/* "a whole number from 1 to 100, or all" */
void df_number_expectation(char *text, size_t size, const struct df_number *number);

/* Between the two the calling thread is in the locale "C": for a library that asks the locale. */
struct df_plain {
    locale_t plain, before;
};
void df_plain_begin(struct df_plain *state);
void df_plain_end(const struct df_plain *state);

#endif
