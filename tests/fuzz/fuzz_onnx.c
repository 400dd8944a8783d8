/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as an ONNX file: refused with a sentence, or a network that is whole: it folds, and its graph
 * reads back. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "graph/onnx.h"
#include "memory_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct df_network *network = NULL, *folded = NULL, *again = NULL;
    struct df_onnx_facts facts;
    struct memory_file file;
    char *json = NULL;
    int64_t live = df_alloc_live();
    memory_file_open(&file, data, size);
    dfal_status status = df_onnx_load(&network, &facts, file.path);
    if ((status == DFAL_OK) != (network != NULL) ||
        (status != DFAL_OK && !strstr(dfal_last_error(), file.path)))
        abort();
    memory_file_close(&file);
    if (status == DFAL_OK &&
        (df_network_fold(&folded, network) != DFAL_OK || df_graph_to_json(&json, network) != DFAL_OK ||
         df_graph_from_json(&again, json, strlen(json), network->input, network->class_count, "again") !=
             DFAL_OK))
        abort();
    df_free(json);
    df_onnx_facts_clear(&facts);
    df_network_destroy(again);
    df_network_destroy(folded);
    df_network_destroy(network);
    if (df_alloc_live() != live)
        abort();
    return 0;
}
