/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as /graph: parsed or refused with a sentence; what is parsed writes itself back and reads the
 * same. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "graph/network.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct df_network *network = NULL;
    int64_t live = df_alloc_live();
    if (df_graph_from_json(&network, (const char *)data, size, (struct df_shape){1, 28, 28}, 10, "fuzz") !=
        DFAL_OK) {
        if (network || !dfal_last_error()[0] || df_alloc_live() != live)
            abort();
        return 0;
    }
    char *json = NULL, *again = NULL;
    struct df_network *copy = NULL;
    if (df_graph_to_json(&json, network) != DFAL_OK ||
        df_graph_from_json(&copy, json, strlen(json), (struct df_shape){1, 28, 28}, 10, "again") != DFAL_OK ||
        df_graph_to_json(&again, copy) != DFAL_OK || strcmp(json, again) != 0)
        abort();
    df_free(json);
    df_free(again);
    df_network_destroy(copy);
    df_network_destroy(network);
    if (df_alloc_live() != live)
        abort();
    return 0;
}
