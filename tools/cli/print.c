/* SPDX-License-Identifier: Apache-2.0 */
#include "print.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

json_t *real_or_null(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

/* The text with U+FFFD for every byte that is part of no UTF-8 sequence; jansson tells which are. */
static json_t *mended(const char *text)
{
    static const char replacement[] = "\xef\xbf\xbd";
    char *clean = malloc(3 * strlen(text) + 1);
    size_t used = 0, left = strlen(text);
    for (; clean != NULL && left > 0;) {
        size_t length = 1;
        json_t *part = json_stringn(text, 1);
        while (part == NULL && length < 4 && length < left)
            part = json_stringn(text, ++length);
        length = part != NULL ? length : 1;
        memcpy(clean + used, part != NULL ? text : replacement, part != NULL ? length : 3);
        used += part != NULL ? length : 3;
        json_decref(part);
        text += length;
        left -= length;
    }
    json_t *string = clean != NULL ? json_stringn(clean, used) : NULL;
    free(clean);
    return string;
}

json_t *text_or_null(const char *text)
{
    json_t *string = text != NULL ? json_string(text) : NULL;
    if (text != NULL && string == NULL)
        string = mended(text);
    return string != NULL ? string : json_null();
}

json_t *json_truth(bool value)
{
    return json_boolean(value);
}

json_t *field_json(const struct dfal_field *field)
{
    if (field->kind == DFAL_FIELD_INT)
        return json_integer(field->integer);
    if (field->kind == DFAL_FIELD_REAL)
        return real_or_null(field->real);
    if (field->kind != DFAL_FIELD_LIST)
        return text_or_null(field->text);
    json_t *list = json_array();
    const char *text = field->text;
    for (int64_t i = 0; i < field->integer; i++, text += strlen(text) + 1)
        json_array_append_new(list, text_or_null(text));
    return list;
}

json_t *fields_json(const struct dfal_field *fields, size_t count)
{
    json_t *object = count > 0 ? json_object() : json_null();
    for (size_t i = 0; i < count; i++)
        json_object_set_new(object, fields[i].key, field_json(&fields[i]));
    return object;
}

json_t *json_members(json_t *object, const char *key, ...)
{
    va_list pairs;
    bool whole = object != NULL;
    va_start(pairs, key);
    for (; key != NULL; key = va_arg(pairs, const char *))
        whole = json_object_set_new(object, key, va_arg(pairs, json_t *)) == 0 && whole;
    va_end(pairs);
    if (whole)
        return object;
    json_decref(object);
    return NULL;
}

static const char *cut(char *line, size_t size, const char *text)
{
    const size_t length = strlen(text), most = size - 4;
    size_t n = length < most ? length : most;
    while (n < length && n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
        n--;
    memcpy(line, text, n);
    memcpy(line + n, n < length ? "..." : "", n < length ? 4 : 1);
    dfal_text_clean(line);
    return line;
}

const char *one_line(char line[ONE_LINE], const char *text)
{
    return cut(line, ONE_LINE, text);
}

void print_clean(FILE *to, const char *before, const char *text, const char *after)
{
    char *clean = strdup(text);
    if (clean != NULL)
        dfal_text_clean(clean);
    fprintf(to, "%s%s%s", before, clean != NULL ? clean : "", after);
    free(clean);
}

size_t json_flags_for(FILE *stream)
{
    return isatty(fileno(stream)) ? JSON_ENSURE_ASCII : 0;
}

dfal_status print_json(json_t *document)
{
    char *text = document != NULL
                     ? json_dumps(document, JSON_INDENT(1) | JSON_REAL_PRECISION(17) | json_flags_for(stdout))
                     : NULL;
    json_decref(document);
    if (text == NULL)
        return DFAL_E_MEMORY;
    puts(text);
    free(text);
    return DFAL_OK;
}

void facts_begin(struct facts *facts, bool json)
{
    *facts = (struct facts){.json = json};
    if (json)
        facts->object = json_object();
    else
        facts->lines = open_memstream(&facts->text, &facts->size);
}

/* As many as a line holds, with commas between. */
static void print_list(FILE *to, const struct dfal_field *fact)
{
    enum { LINE = 1002, ITEM = 84 };
    const char *text = fact->text;
    size_t used = 0;
    for (int64_t i = 0; i < fact->integer && used <= LINE; i++, text += strlen(text) + 1) {
        char item[ITEM];
        used += strlen(cut(item, ITEM, text)) + 2;
        fprintf(to, "%s%s", i > 0 ? ", " : "", used > LINE ? "..." : item);
    }
    fputc('\n', to);
}

void facts_add(void *user, const struct dfal_field *fact)
{
    struct facts *facts = user;
    if (facts->json) {
        json_object_set_new(facts->object, fact->key, field_json(fact));
        return;
    }
    if (facts->lines == NULL)
        return;
    char key[ONE_LINE];
    one_line(key, fact->key);
    if (fact->kind == DFAL_FIELD_INT)
        fprintf(facts->lines, "%-24s %" PRId64 "\n", key, fact->integer);
    else if (fact->kind == DFAL_FIELD_REAL)
        fprintf(facts->lines, "%-24s %.9g\n", key, fact->real);
    else if (fprintf(facts->lines, "%-24s ", key) >= 0 && fact->kind == DFAL_FIELD_LIST)
        print_list(facts->lines, fact);
    else
        print_clean(facts->lines, "", fact->text != NULL ? fact->text : "", "\n");
}

void facts_drop(struct facts *facts)
{
    json_decref(facts->object);
    if (facts->lines != NULL)
        fclose(facts->lines);
    free(facts->text);
    *facts = (struct facts){0};
}

dfal_status facts_end(struct facts *facts)
{
    if (facts->json) {
        json_t *object = facts->object;
        facts->object = NULL;
        return print_json(object);
    }
    bool whole = facts->lines != NULL && fflush(facts->lines) == 0;
    if (whole)
        fwrite(facts->text, 1, facts->size, stdout);
    facts_drop(facts);
    return whole ? DFAL_OK : DFAL_E_MEMORY;
}

const char *with_commas(char text[32], int64_t value)
{
    char plain[32];
    int length = snprintf(plain, sizeof(plain), "%" PRId64, value), out = 0;
    for (int i = 0; i < length; i++) {
        text[out++] = plain[i];
        int left = length - 1 - i;
        if (left > 0 && left % 3 == 0 && plain[i] != '-')
            text[out++] = ',';
    }
    text[out] = '\0';
    return text;
}

const char *duration(char text[64], double seconds)
{
    if (seconds < 120)
        snprintf(text, 64, "%.1f s", seconds);
    else if (seconds < 7200)
        snprintf(text, 64, "%.0f min", seconds / 60);
    else
        snprintf(text, 64, "%.1f h", seconds / 3600);
    return text;
}
