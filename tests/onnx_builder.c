/* SPDX-License-Identifier: Apache-2.0 */
#include "onnx_builder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

static void *take(struct model *model, size_t size)
{
    void *block = calloc(1, size ? size : 1);
    if (!block || model->taken_count == (int)(sizeof model->taken / sizeof *model->taken))
        test_fail("the model has more blocks than there is room for");
    return model->taken[model->taken_count++] = block;
}

static char *copy(struct model *model, const char *text, size_t length)
{
    char *made = take(model, length + 1);
    memcpy(made, text, length);
    return made;
}

static char *name_of(struct model *model, const char *text)
{
    return copy(model, text, strlen(text));
}

/* The words of a text as strings; "-" is an empty one. */
static char **words_of(struct model *model, const char *text, size_t *count)
{
    char **words = take(model, MODEL_ITEMS * sizeof *words);
    *count = 0;
    for (text += strspn(text, " "); *text && *count < MODEL_ITEMS; text += strspn(text, " ")) {
        size_t length = strcspn(text, " ");
        words[(*count)++] = length == 1 && *text == '-' ? name_of(model, "") : copy(model, text, length);
        text += length;
    }
    return words;
}

void model_begin(struct model *model, int opset)
{
    memset(model, 0, sizeof *model);
    onnx__model_proto__init(&model->proto);
    onnx__graph_proto__init(&model->graph);
    onnx__operator_set_id_proto__init(&model->opset);
    model->opset.version = opset;
    model->opset.has_version = true;
    model->opsets[0] = &model->opset;
    model->proto.has_ir_version = true;
    model->proto.ir_version = 8;
    model->proto.producer_name = name_of(model, "builder");
    model->proto.producer_version = name_of(model, "1");
    model->proto.graph = &model->graph;
    model->proto.opset_import = model->opsets;
    model->proto.n_opset_import = 1;
    model->proto.metadata_props = model->metadata;
    model->graph.node = model->nodes;
    model->graph.initializer = model->tensors;
    model->graph.input = model->inputs;
    model->graph.output = model->outputs;
}

void model_clear(struct model *model)
{
    while (model->taken_count > 0)
        free(model->taken[--model->taken_count]);
}

static Onnx__ValueInfoProto *value(struct model *model, const char *name, int type, const char *dims)
{
    Onnx__ValueInfoProto *info = take(model, sizeof *info);
    onnx__value_info_proto__init(info);
    info->name = name_of(model, name);
    info->type = take(model, sizeof *info->type);
    onnx__type_proto__init(info->type);
    info->type->tensor_type = take(model, sizeof *info->type->tensor_type);
    onnx__type_proto__tensor__init(info->type->tensor_type);
    info->type->tensor_type->has_elem_type = true;
    info->type->tensor_type->elem_type = type;
    size_t count;
    char **words = words_of(model, dims, &count);
    if (count == 0)
        return info;
    Onnx__TensorShapeProto *shape = take(model, sizeof *shape);
    onnx__tensor_shape_proto__init(shape);
    info->type->tensor_type->shape = shape;
    shape->dim = take(model, count * sizeof *shape->dim);
    shape->n_dim = count;
    for (size_t d = 0; d < count; d++) {
        shape->dim[d] = take(model, sizeof **shape->dim);
        onnx__tensor_shape_proto__dimension__init(shape->dim[d]);
        char *end;
        shape->dim[d]->dim_value = strtoll(words[d], &end, 10);
        shape->dim[d]->has_dim_value = *end == 0;
        if (*end != 0 && strcmp(words[d], "?") != 0)
            shape->dim[d]->dim_param = words[d];
    }
    return info;
}

void model_input(struct model *model, const char *name, int type, const char *dims)
{
    model->inputs[model->graph.n_input++] = value(model, name, type, dims);
}

void model_output(struct model *model, const char *name)
{
    model->outputs[model->graph.n_output++] = value(model, name, 1, "");
}

Onnx__NodeProto *model_node(struct model *model, const char *op, const char *inputs, const char *outputs)
{
    Onnx__NodeProto *node = take(model, sizeof *node);
    onnx__node_proto__init(node);
    node->op_type = name_of(model, op);
    node->input = words_of(model, inputs, &node->n_input);
    node->output = words_of(model, outputs, &node->n_output);
    node->name = name_of(model, node->n_output > 0 ? node->output[0] : "");
    node->attribute = take(model, 16 * sizeof *node->attribute);
    model->nodes[model->graph.n_node++] = node;
    return node;
}

Onnx__AttributeProto *model_attribute(struct model *model, Onnx__NodeProto *node, const char *name)
{
    Onnx__AttributeProto *attribute = take(model, sizeof *attribute);
    onnx__attribute_proto__init(attribute);
    attribute->name = name_of(model, name);
    node->attribute[node->n_attribute++] = attribute;
    return attribute;
}

void model_int(struct model *model, Onnx__NodeProto *node, const char *name, long long number)
{
    Onnx__AttributeProto *attribute = model_attribute(model, node, name);
    attribute->has_i = true;
    attribute->i = number;
}

void model_real(struct model *model, Onnx__NodeProto *node, const char *name, double number)
{
    Onnx__AttributeProto *attribute = model_attribute(model, node, name);
    attribute->has_f = true;
    attribute->f = (float)number;
}

void model_ints(struct model *model, Onnx__NodeProto *node, const char *name, const char *values)
{
    Onnx__AttributeProto *attribute = model_attribute(model, node, name);
    char **words = words_of(model, values, &attribute->n_ints);
    attribute->ints = take(model, attribute->n_ints * sizeof *attribute->ints);
    for (size_t i = 0; i < attribute->n_ints; i++)
        attribute->ints[i] = strtoll(words[i], NULL, 10);
}

void model_text(struct model *model, Onnx__NodeProto *node, const char *name, const char *text)
{
    Onnx__AttributeProto *attribute = model_attribute(model, node, name);
    attribute->has_s = true;
    attribute->s.data = (uint8_t *)name_of(model, text);
    attribute->s.len = strlen(text);
}

Onnx__TensorProto *model_tensor(struct model *model, int type, const char *dims, const char *values)
{
    Onnx__TensorProto *tensor = take(model, sizeof *tensor);
    onnx__tensor_proto__init(tensor);
    tensor->has_data_type = true;
    tensor->data_type = type;
    size_t count, given;
    char **words = words_of(model, dims, &tensor->n_dims);
    tensor->dims = take(model, tensor->n_dims * sizeof *tensor->dims);
    count = 1;
    for (size_t d = 0; d < tensor->n_dims; d++) {
        tensor->dims[d] = strtoll(words[d], NULL, 10);
        count *= (size_t)tensor->dims[d];
    }
    words = words_of(model, values, &given);
    if (type == 1) {
        float *to = take(model, count * sizeof *to);
        for (size_t i = 0; given > 0 && i < count; i++)
            to[i] = strtof(words[i % given], NULL);
        tensor->has_raw_data = true;
        tensor->raw_data.data = (uint8_t *)to;
        tensor->raw_data.len = count * sizeof *to;
    } else {
        tensor->int64_data = take(model, count * sizeof *tensor->int64_data);
        tensor->n_int64_data = count;
        for (size_t i = 0; given > 0 && i < count; i++)
            tensor->int64_data[i] = strtoll(words[i % given], NULL, 10);
    }
    return tensor;
}

static Onnx__TensorProto *initializer(struct model *model, const char *name, Onnx__TensorProto *tensor)
{
    tensor->name = name_of(model, name);
    return model->tensors[model->graph.n_initializer++] = tensor;
}

Onnx__TensorProto *model_floats(struct model *model, const char *name, const char *dims, const char *values)
{
    return initializer(model, name, model_tensor(model, 1, dims, values));
}

Onnx__TensorProto *model_longs(struct model *model, const char *name, const char *dims, const char *values)
{
    return initializer(model, name, model_tensor(model, 7, dims, values));
}

void model_metadata(struct model *model, const char *key, const char *text)
{
    Onnx__StringStringEntryProto *entry = take(model, sizeof *entry);
    onnx__string_string_entry_proto__init(entry);
    entry->key = name_of(model, key);
    entry->value = name_of(model, text);
    model->metadata[model->proto.n_metadata_props++] = entry;
}

long model_write(const struct model *model, const char *path)
{
    size_t size = onnx__model_proto__get_packed_size(&model->proto);
    uint8_t *bytes = malloc(size + 1);
    onnx__model_proto__pack(&model->proto, bytes);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(bytes, 1, size, file) != size || fclose(file) != 0)
        test_fail("%s cannot be written", path);
    free(bytes);
    return (long)size;
}
