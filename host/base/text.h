/* SPDX-License-Identifier: Apache-2.0 */
/* Text that grows, and how numbers and names are written into tables. */
#ifndef DF_BASE_TEXT_H
#define DF_BASE_TEXT_H

#include <stdarg.h>

#include "base/character.h"
#include "base/status.h"

/* Zero-initialise. Errors are kept until df_text_take. */
struct df_text {
    char *bytes;
    int64_t size, capacity;
    dfal_status status;
};
void df_text_add(struct df_text *text, const char *format, ...) DFAL_PRINTF(2, 3);
void df_text_add_list(struct df_text *text, const char *format, va_list arguments);
void df_text_append(struct df_text *text, const char *bytes, int64_t size);
/* Hand the text over (df_free), or the first error. The struct is empty afterwards. */
dfal_status df_text_take(struct df_text *text, char **out);
void df_text_clear(struct df_text *text);

/* A number for a table: 9 digits, so that the same float32 gives the same text and reads back exactly;
 * "inf", "-inf"; nothing for NAN. */
void df_text_number(struct df_text *text, double value);
/* An RFC 4180 field. A spreadsheet takes a field that begins with = + - @, a tab or a return for a formula:
 * such text (df_text_is_formula) gets a ' in front. Quoted where it holds a comma, a quote or a line end. */
void df_text_csv(struct df_text *text, const char *field);
/* What a spreadsheet takes for the begin of a formula, = + - @ in their wide forms, too, a tab or a
 * return. */
bool df_text_is_formula(const char *field);
/* Text inside HTML or an attribute: & < > " ' are escaped, what may not be shown becomes U+FFFD, but
 * for line ends and tabs. */
void df_text_html(struct df_text *text, const char *field);
/* A JSON string with its quotes; broken UTF-8 becomes U+FFFD, what may not be shown is escaped. */
void df_text_json(struct df_text *text, const char *field);

#endif
