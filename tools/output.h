/* SPDX-License-Identifier: Apache-2.0 */
/* Results on stdout: facts as a table or as one JSON document. */
#ifndef DFAL_TOOLS_OUTPUT_H
#define DFAL_TOOLS_OUTPUT_H

#include <jansson.h>

#include "command.h"

/* A finite number, else null. */
json_t *real_or_null(double value);
json_t *text_or_null(const char *text);
/* Print and free one JSON document. */
dfal_status print_json(json_t *document);

/* Collects facts: lines "key  value" as they come, or members of one object. */
struct facts {
    bool json;
    json_t *object;
};
void facts_begin(struct facts *facts, bool json);
void facts_add(void *facts, const struct dfal_field *fact); /* a dfal_fact_fn */
dfal_status facts_end(struct facts *facts);

/* "1,234,567" */
const char *with_commas(char text[32], int64_t value);

#endif
