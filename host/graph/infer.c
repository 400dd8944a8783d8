/* SPDX-License-Identifier: Apache-2.0 */
/* Shapes, ONNX's rules. */
#include <string.h>

#include "base/memory.h"
#include "graph/node_type.h"

#define SHAPE         "%lldx%lldx%lld"
#define SHAPE_ARGS(s) (long long)(s).c, (long long)(s).h, (long long)(s).w

static struct df_shape input_shape(const struct df_network *network, const struct df_node *node, int32_t i)
{
    return node->inputs[i] == DF_INPUT ? network->input : network->nodes[node->inputs[i]].out;
}

/* Positions of a window of span `span` over `in` padded values; 0: none. In ceil mode a window may hang over
 * the end, but it must begin on the values or the padding before them (ONNX's MaxPool, opset 22). */
static int64_t positions(int64_t in, int64_t before, int64_t after, int64_t span, int64_t stride,
                         bool ceil_mode)
{
    int64_t room = in + before + after - span;
    if (room < 0) /* one window may hang over both a short plane and its padding */
        return ceil_mode && room > -stride;
    int64_t count = room / stride + 1;
    if (ceil_mode && room % stride != 0 && count * stride < in + before)
        count++;
    return count;
}

static dfal_status windowed(const struct df_node *node, struct df_shape in, int64_t channels,
                            struct df_shape *out)
{
    const struct df_window *w = &node->window;
    int64_t extent[2] = {in.h, in.w}, result[2];
    for (int d = 0; d < 2; d++) {
        if (w->kernel[d] < 1 || w->stride[d] < 1 || w->dilation[d] < 1 || w->pad[d] < 0 || w->pad[d + 2] < 0)
            DF_FAIL(DFAL_E_SHAPE,
                    "Node '%s' has kernel %d, stride %d, dilation %d and pads %d and %d, expected positive "
                    "numbers and pads of at least 0",
                    node->name, w->kernel[d], w->stride[d], w->dilation[d], w->pad[d], w->pad[d + 2]);
        if (node->op != DF_NODE_CONV && (w->pad[d] >= w->kernel[d] || w->pad[d + 2] >= w->kernel[d]))
            DF_FAIL(DFAL_E_SHAPE,
                    "Node '%s' has pads %d and %d around a pooling window of %d, expected less than the "
                    "window",
                    node->name, w->pad[d], w->pad[d + 2], w->kernel[d]);
        int64_t span = (int64_t)w->dilation[d] * (w->kernel[d] - 1) + 1;
        result[d] = positions(extent[d], w->pad[d], w->pad[d + 2], span, w->stride[d], node->ceil_mode != 0);
        if (result[d] < 1)
            DF_FAIL(DFAL_E_SHAPE,
                    "Node '%s' has a window of %lld over an input of " SHAPE " with pads %d and %d, which "
                    "it does not fit into",
                    node->name, (long long)span, SHAPE_ARGS(in), w->pad[d], w->pad[d + 2]);
    }
    *out = (struct df_shape){channels, result[0], result[1]};
    return DFAL_OK;
}

/* Fix a parameter's shape, allocate it when missing, check it when present. */
static dfal_status parameter(struct df_node *node, enum df_parameter_kind kind, const int64_t *dims)
{
    struct df_parameter *p = &node->parameter[kind];
    const struct df_node_parameters *type = df_node_type(node->op)->parameters;
    const int32_t rank = type->rank[kind];
    int64_t count;
    DF_TRY(df_checked_product(&count, dims, rank));
    if (p->data) {
        bool same = p->rank == rank && p->count == count;
        for (int32_t d = 0; same && d < rank; d++)
            same = p->dims[d] == dims[d];
        if (!same)
            DF_FAIL(DFAL_E_SHAPE,
                    "Parameter %s/%s has %lld values in %d dimensions (first %lld), expected %lld in %d "
                    "(first %lld)",
                    node->name, df_parameter_name(kind), (long long)p->count, p->rank, (long long)p->dims[0],
                    (long long)count, rank, (long long)dims[0]);
        return DFAL_OK;
    }
    DF_TRY(df_alloc(&p->data, count, sizeof(float)));
    p->rank = rank;
    p->count = count;
    memcpy(p->dims, dims, (size_t)rank * sizeof *dims);
    for (int64_t i = 0; type->initial[kind] != 0.0f && i < count; i++)
        p->data[i] = type->initial[kind];
    return DFAL_OK;
}

static dfal_status out_features(const struct df_node *node, int64_t *out)
{
    *out = node->parameter[DF_WEIGHT].dims[0];
    if (*out < 1 || *out > DF_MAX_VALUES)
        DF_FAIL(DFAL_E_SHAPE, "Node '%s' has a weight for %lld outputs, expected at least one", node->name,
                (long long)*out);
    return DFAL_OK;
}

dfal_status df_shape_conv(const struct df_network *network, struct df_node *node)
{
    const struct df_shape in = input_shape(network, node, 0);
    const struct df_parameter *weight = &node->parameter[DF_WEIGHT];
    int64_t out;
    DF_TRY(out_features(node, &out));
    if (weight->rank != 0) {
        if (weight->rank != 4)
            DF_FAIL(DFAL_E_SHAPE,
                    "Parameter %s/weight has %d dimensions, expected 4: out, in/group, height, width",
                    node->name, weight->rank);
        for (int d = 0; d < 2; d++) {
            if (weight->dims[2 + d] < 1 || weight->dims[2 + d] > DF_MAX_VALUES)
                DF_FAIL(DFAL_E_SHAPE,
                        "Parameter %s/weight has a kernel extent of %lld, expected at least one", node->name,
                        (long long)weight->dims[2 + d]);
            node->window.kernel[d] = (int32_t)weight->dims[2 + d];
        }
    }
    if (node->group < 1 || in.c % node->group != 0 || out % node->group != 0)
        DF_FAIL(DFAL_E_SHAPE,
                "Node '%s' has %d groups over %lld input and %lld output channels, expected a divisor of "
                "both",
                node->name, node->group, (long long)in.c, (long long)out);
    DF_TRY(windowed(node, in, out, &node->out));
    DF_TRY(parameter(node, DF_WEIGHT,
                     (int64_t[]){out, in.c / node->group, node->window.kernel[0], node->window.kernel[1]}));
    return parameter(node, DF_BIAS, &out);
}

dfal_status df_shape_gemm(const struct df_network *network, struct df_node *node)
{
    const struct df_shape in = input_shape(network, node, 0);
    int64_t out;
    if (in.h != 1 || in.w != 1)
        DF_FAIL(DFAL_E_SHAPE,
                "Node '%s' (Gemm) gets an input of " SHAPE ", expected a vector: put a Flatten before it",
                node->name, SHAPE_ARGS(in));
    DF_TRY(out_features(node, &out));
    DF_TRY(parameter(node, DF_WEIGHT, (int64_t[]){out, in.c}));
    node->out = (struct df_shape){out, 1, 1};
    return parameter(node, DF_BIAS, &out);
}

dfal_status df_shape_batch_norm(const struct df_network *network, struct df_node *node)
{
    const struct df_shape in = input_shape(network, node, 0);
    node->out = in;
    DF_TRY(parameter(node, DF_WEIGHT, &in.c));
    DF_TRY(parameter(node, DF_BIAS, &in.c));
    DF_TRY(parameter(node, DF_MEAN, &in.c));
    DF_TRY(parameter(node, DF_VARIANCE, &in.c));
    const struct df_parameter *variance = &node->parameter[DF_VARIANCE];
    for (int64_t i = 0; i < variance->count; i++)
        if (variance->data[i] < 0.0f)
            DF_FAIL(DFAL_E_DATA, "Element %lld of %s/variance is %g, expected at least 0", (long long)i,
                    node->name, (double)variance->data[i]);
        else if (!((double)variance->data[i] + node->epsilon > 0.0))
            DF_FAIL(
                DFAL_E_DATA,
                "Element %lld of %s/variance is %g and epsilon is %g, expected a sum above 0 to divide by",
                (long long)i, node->name, (double)variance->data[i], node->epsilon);
    return DFAL_OK;
}

/* One slope where the weight has one, else one a channel. */
dfal_status df_shape_prelu(const struct df_network *network, struct df_node *node)
{
    const int64_t one = 1;
    node->out = input_shape(network, node, 0);
    return parameter(node, DF_WEIGHT, node->parameter[DF_WEIGHT].dims[0] == one ? &one : &node->out.c);
}

dfal_status df_shape_concat(const struct df_network *network, struct df_node *node)
{
    const struct df_shape in = input_shape(network, node, 0);
    node->out = in;
    for (int32_t i = 1; i < node->input_count; i++) {
        struct df_shape other = input_shape(network, node, i);
        if (other.h != in.h || other.w != in.w)
            DF_FAIL(DFAL_E_SHAPE,
                    "Node '%s' (Concat) gets inputs of " SHAPE " and " SHAPE
                    ", expected the same height and width",
                    node->name, SHAPE_ARGS(in), SHAPE_ARGS(other));
        node->out.c += other.c;
    }
    if (node->axis != 1)
        DF_FAIL(DFAL_E_SHAPE, "Node '%s' concatenates along axis %d, expected 1, the channels", node->name,
                node->axis);
    return DFAL_OK;
}

/* Along each extent the operands are equal, or one of them has 1 and is repeated. */
dfal_status df_shape_join(const struct df_network *network, struct df_node *node)
{
    const struct df_shape a = input_shape(network, node, 0), b = input_shape(network, node, 1);
    const int64_t left[3] = {a.c, a.h, a.w}, right[3] = {b.c, b.h, b.w};
    int64_t result[3];
    for (int d = 0; d < 3; d++) {
        result[d] = left[d] > right[d] ? left[d] : right[d];
        if ((left[d] != result[d] && left[d] != 1) || (right[d] != result[d] && right[d] != 1))
            DF_FAIL(DFAL_E_SHAPE,
                    "Node '%s' (%s) gets inputs of " SHAPE " and " SHAPE
                    ", expected equal shapes or 1 where they differ",
                    node->name, df_node_type(node->op)->name, SHAPE_ARGS(a), SHAPE_ARGS(b));
    }
    node->out = (struct df_shape){result[0], result[1], result[2]};
    return DFAL_OK;
}

dfal_status df_shape_reshape(const struct df_network *network, struct df_node *node)
{
    const struct df_shape in = input_shape(network, node, 0);
    struct df_shape out = {node->shape[0], node->shape[1], node->shape[2]};
    int64_t size = 0;
    if (out.c < 1 || out.h < 1 || out.w < 1 ||
        df_checked_product(&size, (int64_t[]){out.c, out.h, out.w}, 3) != DFAL_OK ||
        size != df_shape_size(in))
        DF_FAIL(DFAL_E_SHAPE,
                "Node '%s' (Reshape) turns an input of " SHAPE " into " SHAPE
                ", expected the same number of values",
                node->name, SHAPE_ARGS(in), SHAPE_ARGS(out));
    node->out = out;
    return DFAL_OK;
}

dfal_status df_shape_pad(const struct df_network *network, struct df_node *node)
{
    const struct df_shape in = input_shape(network, node, 0);
    const int32_t *pad = node->window.pad;
    node->out = (struct df_shape){in.c, in.h + pad[0] + pad[2], in.w + pad[1] + pad[3]};
    bool reaches = in.h + pad[0] > 0 && in.h + pad[2] > 0 && in.w + pad[1] > 0 && in.w + pad[3] > 0;
    if (!reaches || node->out.h < 1 || node->out.w < 1)
        DF_FAIL(DFAL_E_SHAPE,
                "Node '%s' (Pad) has pads %d, %d, %d and %d on an input of " SHAPE
                ", expected some of the input to be left",
                node->name, pad[0], pad[1], pad[2], pad[3], SHAPE_ARGS(in));
    return DFAL_OK;
}

dfal_status df_shape_pool(const struct df_network *network, struct df_node *node)
{
    const struct df_shape in = input_shape(network, node, 0);
    return windowed(node, in, in.c, &node->out);
}

dfal_status df_shape_global_pool(const struct df_network *network, struct df_node *node)
{
    node->out = (struct df_shape){input_shape(network, node, 0).c, 1, 1};
    return DFAL_OK;
}

dfal_status df_shape_flatten(const struct df_network *network, struct df_node *node)
{
    node->out = (struct df_shape){df_shape_size(input_shape(network, node, 0)), 1, 1};
    return DFAL_OK;
}

dfal_status df_shape_same(const struct df_network *network, struct df_node *node)
{
    node->out = input_shape(network, node, 0);
    return DFAL_OK;
}

dfal_status df_shape_dropout(const struct df_network *network, struct df_node *node)
{
    if (!(node->ratio >= 0.0 && node->ratio < 1.0))
        DF_FAIL(DFAL_E_DATA, "Node '%s' has a dropout ratio of %g, expected 0 or more and less than 1",
                node->name, node->ratio);
    return df_shape_same(network, node);
}

static dfal_status infer_node(const struct df_network *network, struct df_node *node)
{
    const struct df_node_type *type = df_node_type(node->op);
    if (node->input_count < type->min_inputs || node->input_count > type->max_inputs)
        DF_FAIL(DFAL_E_DATA, "Node '%s' (%s) has %d inputs, expected %s%d", node->name, type->name,
                node->input_count, type->min_inputs == type->max_inputs ? "" : "at least ", type->min_inputs);
    DF_TRY(type->shape(network, node));
    int64_t size;
    DF_TRY(df_checked_product(&size, (int64_t[]){node->out.c, node->out.h, node->out.w}, 3));
    if (size > DF_MAX_VALUES)
        DF_FAIL(DFAL_E_SHAPE, "Node '%s' has an output of " SHAPE ", expected at most %lld values",
                node->name, SHAPE_ARGS(node->out), (long long)DF_MAX_VALUES);
    return DFAL_OK;
}

dfal_status df_network_infer_node(const struct df_network *network, int32_t index)
{
    return infer_node(network, &network->nodes[index]);
}

/* Every node must be on a way to the output: what is not would be computed, trained and saved for nothing. */
static dfal_status check_live(const struct df_network *network)
{
    uint8_t *live;
    DF_TRY(df_alloc(&live, network->node_count, 1));
    live[network->output] = 1;
    int32_t dead = -1;
    for (int32_t i = network->node_count - 1; i >= 0; i--) {
        if (!live[i])
            dead = i;
        for (int32_t j = 0; live[i] && j < network->nodes[i].input_count; j++)
            if (network->nodes[i].inputs[j] != DF_INPUT)
                live[network->nodes[i].inputs[j]] = 1;
    }
    df_free(live);
    if (dead >= 0)
        DF_FAIL(DFAL_E_DATA, "Node '%s' does not lead to the output '%s'", network->nodes[dead].name,
                network->nodes[network->output].name);
    return DFAL_OK;
}

dfal_status df_network_infer(struct df_network *network)
{
    if (network->node_count < 1 || network->output < 0 || network->output >= network->node_count)
        DF_FAIL(DFAL_E_DATA, "A network of %d nodes has node %d as its output", network->node_count,
                network->output);
    DF_TRY(check_live(network));
    for (int32_t i = 0; i < network->node_count; i++)
        DF_TRY(infer_node(network, &network->nodes[i]));
    const struct df_node *output = &network->nodes[network->output];
    if (output->out.c != network->class_count || output->out.h != 1 || output->out.w != 1)
        DF_FAIL(DFAL_E_SHAPE,
                "The output '%s' has the shape " SHAPE ", expected one value for each of the %d classes",
                output->name, SHAPE_ARGS(output->out), network->class_count);
    return DFAL_OK;
}
