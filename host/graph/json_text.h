/* SPDX-License-Identifier: Apache-2.0 */
/* JSON as text. jansson asks the locale for its decimal point, which a host program may have set; JSON has its own. */
#ifndef DF_GRAPH_JSON_TEXT_H
#define DF_GRAPH_JSON_TEXT_H

#include <jansson.h>

/* json_dumps; the caller frees with free(). */
char *df_json_text(const json_t *value, size_t flags);
/* json_loadb of a text; error may be NULL. */
json_t *df_json_parse(const char *text, size_t flags, json_error_t *error);
json_t *df_json_parse_bytes(const char *bytes, size_t size, size_t flags, json_error_t *error);

#endif
