/* SPDX-License-Identifier: Apache-2.0 */
/* ONNX files as networks: classifiers of images, opsets 9 to 20 (newer ones where their ops are known). */
#ifndef DF_GRAPH_ONNX_H
#define DF_GRAPH_ONNX_H

#include "graph/network.h"

/* Where a network came from; df_onnx_facts_clear frees it. */
struct df_onnx_facts {
    char *producer;       /* "pytorch 2.4.0"; "" when the file does not say */
    char *ops;            /* "Conv (20), Relu (17), ..." most frequent first, then by name */
    char *input, *output; /* their names in the file */
    int64_t ir_version, opset;
    int32_t node_count; /* nodes in the file's graph */
    bool softmax_cut;   /* the file's output is a (log-)softmax, the network's is what goes into it */
};

/* Read a file as a network of float parameters: constants and shape arithmetic folded, identities gone,
 * products and sums with constants as batch-norm nodes. A node is named after the ONNX value it computes
 * (leading '/' dropped, other '/' as '.'). External data is read from the model's own folder only. The scale
 * of the samples is unknown (affine_count 0) unless the file's metadata has "dfal.scale" and "dfal.offset",
 * numbers with commas between.
 *   facts   out   NULL allowed
 * Errors   E_NOINPUT, E_IO; E_DATA not ONNX, ops that are not supported (all, with counts), more than one
 *          input or output,
 * sizes that are not fixed, a graph with a cycle or a missing value, values that are not finite; E_SHAPE
 * Memory   about twice the file's size */
dfal_status df_onnx_load(struct df_network **out, struct df_onnx_facts *facts, const char *path);
void df_onnx_facts_clear(struct df_onnx_facts *facts);

#endif
