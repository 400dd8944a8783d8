/* SPDX-License-Identifier: Apache-2.0 */
/* Small ONNX models made in memory: the tests of the reader write what they read. Needs df_graph. */
#ifndef DFAL_TESTS_ONNX_BUILDER_H
#define DFAL_TESTS_ONNX_BUILDER_H

#include <onnx.pb-c.h>
#include <stdbool.h>

enum { MODEL_ITEMS = 64 };

struct model {
    Onnx__ModelProto proto;
    Onnx__GraphProto graph;
    Onnx__OperatorSetIdProto opset, *opsets[1];
    Onnx__NodeProto *nodes[MODEL_ITEMS];
    Onnx__TensorProto *tensors[MODEL_ITEMS];
    Onnx__ValueInfoProto *inputs[MODEL_ITEMS], *outputs[MODEL_ITEMS];
    Onnx__StringStringEntryProto *metadata[MODEL_ITEMS];
    void *taken[65536]; /* freed by model_clear */
    int taken_count;
};

/* A model of an opset with no node, input or output. */
void model_begin(struct model *model, int opset);
void model_clear(struct model *model);
/* dims: "N 3 8 8"; a word that is no number is a dim_param, "?" has neither, "" is no shape at all. type:
 * TensorProto's. */
void model_input(struct model *model, const char *name, int type, const char *dims);
void model_output(struct model *model, const char *name);
/* Names with blanks between; "-" is one left out. */
Onnx__NodeProto *model_node(struct model *model, const char *op, const char *inputs, const char *outputs);
/* Attributes; ints and text as words: "1 1 0 0". */
void model_int(struct model *model, Onnx__NodeProto *node, const char *name, long long value);
void model_real(struct model *model, Onnx__NodeProto *node, const char *name, double value);
void model_ints(struct model *model, Onnx__NodeProto *node, const char *name, const char *values);
void model_text(struct model *model, Onnx__NodeProto *node, const char *name, const char *value);
Onnx__AttributeProto *model_attribute(struct model *model, Onnx__NodeProto *node, const char *name);
/* Initializers: "2 3" and the values as words, fewer of them are repeated. */
Onnx__TensorProto *model_floats(struct model *model, const char *name, const char *dims, const char *values);
Onnx__TensorProto *model_longs(struct model *model, const char *name, const char *dims, const char *values);
/* One that is no initializer. */
Onnx__TensorProto *model_tensor(struct model *model, int type, const char *dims, const char *values);
void model_metadata(struct model *model, const char *key, const char *value);
/* Write it; returns the size. */
long model_write(const struct model *model, const char *path);

#endif
