/* SPDX-License-Identifier: Apache-2.0 */
/* JSON as text. jansson asks the locale for its decimal point, which a host program may have set; JSON has
 * its own. */
#ifndef DF_GRAPH_JSON_TEXT_H
#define DF_GRAPH_JSON_TEXT_H

#include <jansson.h>

#include "base/identity.h"

/* json_dumps; the caller frees with free(). */
char *df_json_text(const json_t *value, size_t flags);
/* An object of json_pack's format as text, for free(). `what` is for the sentence: "the configuration of x".
 * Errors   E_DATA a text of it is no UTF-8; E_MEMORY */
dfal_status df_json_packed(char **text, const char *what, size_t flags, const char *format, ...);
/* json_loadb of a text; error may be NULL. */
json_t *df_json_parse(const char *text, size_t flags, json_error_t *error);
json_t *df_json_parse_bytes(const char *bytes, size_t size, size_t flags, json_error_t *error);

/* The members of an object become keys of an identity, texts as they are, other values as compact JSON: in
 * the object's order, but `preset` first, because the others follow from it.
 * Errors   E_DATA that names the path: not an object */
dfal_status df_identity_json(struct df_identity *identity, const char *text, const char *path);
/* The keys as an object of texts, for free(). */
dfal_status df_identity_to_json(const struct df_identity *identity, char **text);

#endif
