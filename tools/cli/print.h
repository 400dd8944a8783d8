/* SPDX-License-Identifier: Apache-2.0 */
/* Results on stdout: facts as a table or as one JSON document. */
#ifndef DFAL_TOOLS_OUTPUT_H
#define DFAL_TOOLS_OUTPUT_H

#include <jansson.h>
#include <stdio.h>

#include "command.h"

/* A finite number, else null. */
json_t *real_or_null(double value);
/* What is no UTF-8 in a text becomes U+FFFD. */
json_t *text_or_null(const char *text);
json_t *json_truth(bool value);
json_t *field_json(const struct dfal_field *field);
/* An object of them; none: null. */
json_t *fields_json(const struct dfal_field *fields, size_t count);
/* Any of these by the type of the value. */
#define JSON(value)                                                                                          \
    _Generic((value), bool : json_truth, int32_t : json_integer, int64_t : json_integer,                     \
             double : real_or_null, char * : text_or_null, const char * : text_or_null)(value)
/* An object of pairs of a key and a json_t *, which it takes; a pair can be MEMBER(result, seconds), a field
 * under its name. NULL without memory. */
#define OBJECT(...)           json_members(json_object(), __VA_ARGS__, NULL)
#define MEMBER(struct_, name) #name, JSON((struct_)->name)
json_t *json_members(json_t *object, const char *key, ...); /* adds pairs, up to a key that is NULL */
/* A text from a file as one line of a table: what may not be shown becomes ?, at most 64 bytes, then "...".
 * Returns line. */
enum { ONE_LINE = 68 };
const char *one_line(char line[ONE_LINE], const char *text);
/* Print a text that may come from a file or the command line, cleaned. */
void print_clean(FILE *to, const char *before, const char *text, const char *after);
/* JSON is exact: for a terminal, which obeys more than ASCII's control characters, in escapes. */
size_t json_flags_for(FILE *stream);
/* Print and free one JSON document. */
dfal_status print_json(json_t *document);

/* Collects facts: lines "key  value", or members of one object. Printed at the end, so that an error prints
 * none. */
struct facts {
    bool json;
    json_t *object;
    FILE *lines;
    char *text;
    size_t size;
};
void facts_begin(struct facts *facts, bool json);
void facts_add(void *facts, const struct dfal_field *fact); /* a dfal_fact_fn */
dfal_status facts_end(struct facts *facts);
void facts_drop(struct facts *facts);

/* "1,234,567" */
const char *with_commas(char text[32], int64_t value);

/* "12.3 s", "45 min", "2.5 h": of an estimate, which is not known better. */
const char *duration(char text[64], double seconds);

#endif
