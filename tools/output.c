/* SPDX-License-Identifier: Apache-2.0 */
#include "output.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

json_t *real_or_null(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *text_or_null(const char *text)
{
    json_t *string = text != NULL ? json_string(text) : NULL;
    return string != NULL ? string : json_null();
}

dfal_status print_json(json_t *document)
{
    char *text = document != NULL ? json_dumps(document, JSON_INDENT(1) | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(document);
    if (text == NULL)
        return DFAL_E_MEMORY;
    puts(text);
    free(text);
    return DFAL_OK;
}

void facts_begin(struct facts *facts, bool json)
{
    facts->json = json;
    facts->object = json ? json_object() : NULL;
}

void facts_add(void *user, const struct dfal_field *fact)
{
    struct facts *facts = user;
    if (facts->json) {
        json_t *value = fact->kind == DFAL_FIELD_INT    ? json_integer(fact->integer)
                        : fact->kind == DFAL_FIELD_REAL ? real_or_null(fact->real)
                                                        : text_or_null(fact->text);
        json_object_set_new(facts->object, fact->key, value);
        return;
    }
    if (fact->kind == DFAL_FIELD_INT)
        printf("%-24s %" PRId64 "\n", fact->key, fact->integer);
    else if (fact->kind == DFAL_FIELD_REAL)
        printf("%-24s %.9g\n", fact->key, fact->real);
    else
        printf("%-24s %s\n", fact->key, fact->text != NULL ? fact->text : "");
}

dfal_status facts_end(struct facts *facts)
{
    if (!facts->json)
        return DFAL_OK;
    json_t *object = facts->object;
    facts->object = NULL;
    return print_json(object);
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
