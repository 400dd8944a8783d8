/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/json_text.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"

char *df_json_text(const json_t *value, size_t flags)
{
    struct df_plain plain;
    df_plain_begin(&plain);
    char *text = json_dumps(value, flags);
    df_plain_end(&plain);
    return text;
}

dfal_status df_json_packed(char **text, const char *what, size_t flags, const char *format, ...)
{
    json_error_t error;
    va_list values;
    va_start(values, format);
    json_t *object = json_vpack_ex(&error, 0, format, values);
    va_end(values);
    *text = object ? df_json_text(object, flags) : NULL;
    const bool foreign = !object && json_error_code(&error) == json_error_invalid_utf8;
    json_decref(object);
    if (foreign)
        DF_FAIL(DFAL_E_DATA, "%s would hold a text that is no UTF-8", what);
    return *text ? DFAL_OK : df_fail(DFAL_E_MEMORY, "not enough memory for %s", what);
}

json_t *df_json_parse_bytes(const char *bytes, size_t size, size_t flags, json_error_t *error)
{
    struct df_plain plain;
    df_plain_begin(&plain);
    json_t *value = json_loadb(bytes, size, flags, error);
    df_plain_end(&plain);
    return value;
}

json_t *df_json_parse(const char *text, size_t flags, json_error_t *error)
{
    return df_json_parse_bytes(text, strlen(text), flags, error);
}

static dfal_status add_member(struct df_identity *identity, const char *key, const json_t *value)
{
    char number[DF_NUMBER_TEXT], *compact = NULL;
    const char *shown = json_string_value(value);
    dfal_status status = DFAL_OK;
    if (json_is_real(value)) /* as people write it: 0.03, of which the file has 17 digits */
        shown = df_print_shortest(number, json_real_value(value), 1);
    else if (!shown)
        shown = compact = df_json_text(value, JSON_ENCODE_ANY | JSON_COMPACT);
    if (!shown)
        status = df_fail(DFAL_E_MEMORY, "not enough memory for a configuration");
    else
        df_identity_add(identity, key, "%s", shown);
    free(compact);
    return status;
}

dfal_status df_identity_json(struct df_identity *identity, const char *text, const char *path)
{
    static const char decides[] = "preset";
    json_t *object = df_json_parse(text, JSON_REJECT_DUPLICATES, NULL), *value;
    const char *key;
    dfal_status status = DFAL_OK;
    if (!json_is_object(object))
        status = df_fail(DFAL_E_DATA, "%s: its configuration is not a JSON object", path);
    value = json_object_get(object, decides);
    if (value)
        DF_KEEP_FIRST(status, add_member(identity, decides, value));
    json_object_foreach(object, key, value)
    {
        if (strcmp(key, decides) != 0)
            DF_KEEP_FIRST(status, add_member(identity, key, value));
    }
    json_decref(object);
    DF_KEEP_FIRST(status, identity->status);
    return status;
}

dfal_status df_identity_to_json(const struct df_identity *identity, char **text)
{
    *text = NULL;
    DF_TRY(identity->status);
    json_t *object = json_object();
    bool whole = object != NULL;
    for (int32_t i = 0; i < identity->count && whole; i++)
        whole =
            json_object_set_new(object, identity->keys[i].name, json_string(identity->keys[i].value)) == 0;
    if (whole)
        *text = df_json_text(object, JSON_COMPACT);
    json_decref(object);
    return *text ? DFAL_OK : df_fail(DFAL_E_MEMORY, "not enough memory for a configuration");
}
