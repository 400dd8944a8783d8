/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/json_text.h"

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
