/* SPDX-License-Identifier: Apache-2.0 */
#include "net/plan.h"

#include <math.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "net/node_rules.h"
#include "net/plan_inside.h"

/* Rows of a library call at most, of one for training, and bytes of a call's largest activation. */
struct block_limits {
    int32_t rows, training_rows;
    int64_t bytes;
};
static const struct block_limits narrow = {64, 8, INT64_C(32) << 20}, wide = {1024, 32, INT64_C(256) << 20};
enum { LEAST_ROWS = 8 };

/* Where parameters stand in the flat arrays: weight and bias of a node one behind the other, nodes in graph
 * order; running means and variances likewise in an array of their own. */
static dfal_status lay_out(struct df_plan *plan)
{
    const struct df_network *network = plan->network;
    DF_TRY(df_alloc(&plan->nodes, network->node_count, sizeof *plan->nodes));
    for (int32_t i = 0; i < network->node_count; i++) {
        const struct df_parameter *p = network->nodes[i].parameter;
        struct df_plan_node *own = &plan->nodes[i];
        own->parameter_at = own->statistics_at = -1;
        if (p[DF_WEIGHT].data) {
            own->parameter_at = plan->parameter_size;
            plan->parameter_size += p[DF_WEIGHT].count + p[DF_BIAS].count;
        }
        if (p[DF_MEAN].data) {
            own->statistics_at = plan->statistics_size;
            plan->statistics_size += p[DF_MEAN].count + p[DF_VARIANCE].count;
        }
    }
    return DFAL_OK;
}

/* The most, halved while the largest activation of one call passes the bytes. */
static int32_t choose_block_rows(const struct df_plan *plan)
{
    const struct block_limits *limits = plan->device->wide ? &wide : &narrow;
    int64_t largest = df_value_size(plan->network, DF_INPUT);
    int32_t rows = plan->uses & DF_PLAN_TRAIN ? limits->training_rows : limits->rows;
    for (int32_t i = 0; i < plan->network->node_count; i++)
        if (df_value_size(plan->network, i) > largest)
            largest = df_value_size(plan->network, i);
    while (rows > LEAST_ROWS && rows * largest * (int64_t)sizeof(float) > limits->bytes)
        rows /= 2;
    return rows;
}

static dfal_status prepare(struct df_plan *plan)
{
    for (int32_t i = 0; i < plan->network->node_count; i++) {
        const struct df_node_rules *rules = df_node_rules(plan->network->nodes[i].op);
        if (rules->prepare)
            DF_TRY(rules->prepare(plan, i));
    }
    return DFAL_OK;
}

/* Where a node's parameter stands in the flat parameters, or in the flat statistics. */
static int64_t parameter_at(const struct df_plan *plan, int32_t node, int kind)
{
    const struct df_plan_node *own = &plan->nodes[node];
    const struct df_parameter *p = plan->network->nodes[node].parameter;
    return (kind < DF_MEAN ? own->parameter_at : own->statistics_at) +
           (kind == DF_BIAS || kind == DF_VARIANCE ? p[kind - 1].count : 0);
}

/* Node by node: joined on the host first, the parameters would stand there once more. */
static dfal_status upload(struct df_plan *plan)
{
    const struct df_network *network = plan->network;
    DF_TRY(df_buffer_new(plan->device, &plan->parameters, DF_TYPE_REAL, plan->parameter_size));
    DF_TRY(df_buffer_new(plan->device, &plan->statistics, DF_TYPE_REAL, plan->statistics_size));
    for (int32_t i = 0; i < network->node_count; i++)
        for (int k = 0; k < DF_PARAMETER_KINDS; k++) {
            const struct df_parameter *p = &network->nodes[i].parameter[k];
            const struct df_span all = k < DF_MEAN ? plan->parameters : plan->statistics;
            if (p->data)
                DF_TRY(df_write(plan->device, 0, df_at(all, parameter_at(plan, i, k)), p->data, p->count));
        }
    if (plan->uses != 0)
        DF_TRY(df_plan_rebind(plan, 0));
    return plan->device->backend->synchronize(plan->device, 0);
}

static dfal_status check_precision(const struct df_device *device, int uses)
{
    const bool lacks_fast = uses & DF_PLAN_HALF && !device->half_backward,
               lacks_split = uses & DF_PLAN_SPLIT && !device->split;
    if (lacks_fast || lacks_split)
        DF_FAIL(DFAL_E_UNAVAILABLE, "back end '%s' has no %s precision: use `precision` strict",
                device->info.backend, lacks_fast ? "fast" : "split");
    return DFAL_OK;
}

static dfal_status create(struct df_plan **out, struct df_device *device, const struct df_network *network,
                          int uses, bool fold, const char *tap)
{
    struct df_plan *plan = NULL;
    dfal_status status;
    *out = NULL;
    if (fold && uses & (DF_PLAN_TRAIN | DF_PLAN_ROW_GRADIENT))
        DF_FAIL(DFAL_E_INTERNAL,
                "A plan for gradients by parameters was asked for with folding, expected without");
    DF_TRY(check_precision(device, uses));
    DF_TRY(df_alloc(&plan, 1, sizeof *plan));
    plan->device = device;
    plan->uses = uses;
    plan->named = !fold && uses == DF_PLAN_FORWARD;
    plan->whole = device->wide || uses & DF_PLAN_TRAIN;
    if (fold)
        DF_TRY_TO(done, status, df_network_fold(&plan->network, network));
    else
        DF_TRY_TO(done, status, df_network_copy(&plan->network, network));
    DF_TRY_TO(done, status, df_network_infer(plan->network));
    DF_TRY_TO(done, status, lay_out(plan));
    plan->tap = -2;
    if (tap)
        DF_TRY_TO(done, status, df_network_find_node(&plan->tap, plan->network, tap));
    plan->block_rows = choose_block_rows(plan);
    if (uses & DF_PLAN_FUSED)
        DF_TRY_TO(done, status, df_plan_try_fused(plan));
    if (!plan->fused && uses != 0) {
        DF_TRY_TO(done, status, df_plan_place(plan));
        DF_TRY_TO(done, status, prepare(plan));
    }
    DF_TRY_TO(done, status, upload(plan));
    *out = plan;
    plan = NULL;
done:
    df_plan_destroy(plan);
    return status;
}

dfal_status df_plan_create(struct df_plan **out, struct df_device *device, const struct df_network *network,
                           int uses, bool fold)
{
    return create(out, device, network, uses, fold, NULL);
}

dfal_status df_plan_create_tapped(struct df_plan **out, struct df_device *device,
                                  const struct df_network *network, const char *node)
{
    *out = NULL;
    if (device->backend->fused_create == NULL)
        return DFAL_OK;
    DF_TRY(create(out, device, network, DF_PLAN_FORWARD | DF_PLAN_FUSED, false, node));
    if (!df_plan_is_fused(*out)) {
        df_plan_destroy(*out);
        *out = NULL;
    }
    return DFAL_OK;
}

void df_plan_destroy(struct df_plan *plan)
{
    if (!plan)
        return;
    if (plan->fused)
        plan->device->backend->fused_destroy(plan->device, plan->fused);
    for (int32_t i = 0; plan->nodes && i < plan->network->node_count; i++) {
        if (plan->nodes[i].layer)
            plan->device->backend->layer_destroy(plan->device, plan->nodes[i].layer);
        df_buffer_drop(plan->device, &plan->nodes[i].scale);
        df_buffer_drop(plan->device, &plan->nodes[i].shift);
        df_buffer_drop(plan->device, &plan->nodes[i].rstd);
    }
    df_buffer_drop(plan->device, &plan->parameters);
    df_buffer_drop(plan->device, &plan->statistics);
    df_program_clear(&plan->input_gradient);
    df_program_clear(&plan->parameter_gradient);
    df_free(plan->kept_size);
    df_free(plan->reused_size);
    df_free(plan->arg_size);
    df_free(plan->norm_size);
    df_free(plan->nodes);
    df_network_destroy(plan->network);
    df_free(plan);
}

int32_t df_plan_block_rows(const struct df_plan *plan)
{
    return plan->block_rows;
}

/* What a fused engine may take of a queue's workspace, where it does not tell. */
static int64_t fused_scratch(const struct df_plan *plan)
{
    const int64_t told = plan->device->backend->fused_scratch(plan->device, plan->fused);
    return told < 0 ? INT64_C(32) << 20 : told;
}

bool df_plan_is_fused(const struct df_plan *plan)
{
    return plan->fused != NULL;
}

int64_t df_plan_input_size(const struct df_plan *plan)
{
    return df_value_size(plan->network, DF_INPUT);
}

int32_t df_plan_class_count(const struct df_plan *plan)
{
    return plan->network->class_count;
}

static int64_t sum(const int64_t *values, int32_t count)
{
    int64_t total = 0;
    for (int32_t i = 0; i < count; i++)
        total += values[i];
    return total;
}

static int64_t whole_vectors(struct df_shape shape)
{
    return (shape.c + 15) / 16 * 16 * shape.h * shape.w;
}

/* The library's view of a convolution: its input and output in layouts of whole vectors, and a padded block
 * of each. */
static int64_t largest_scratch(const struct df_plan *plan)
{
    enum { LANES = 16 };
    const struct df_network *network = plan->network;
    int64_t largest = 0;
    for (int32_t i = 0; i < network->node_count; i++) {
        const struct df_node *node = &network->nodes[i];
        if (node->op != DF_NODE_CONV)
            continue;
        const struct df_shape in = df_value_shape(network, node->inputs[0]);
        const int64_t plain = df_shape_size(in) + df_shape_size(node->out);
        const int64_t blocks = plan->block_rows * (plain + whole_vectors(in) + whole_vectors(node->out));
        const int64_t lanes = LANES * plain;
        largest = blocks > largest ? blocks : largest;
        largest = lanes > largest ? lanes : largest;
    }
    return largest * (int64_t)sizeof(float);
}

int64_t df_plan_scratch(const struct df_plan *plan, int64_t rows, int64_t cotangent_rows)
{
    int64_t largest = 0;
    bool told = true;
    if (plan->fused)
        return fused_scratch(plan);
    for (int32_t i = 0; i < plan->network->node_count; i++)
        for (int kind = 0; plan->nodes[i].layer != NULL && kind < DF_LAYER_KINDS; kind++) {
            const int64_t bytes = plan->device->backend->layer_scratch(
                plan->device, plan->nodes[i].layer, kind, kind == 1 ? cotangent_rows : rows);
            told = told && bytes >= 0;
            largest = bytes > largest ? bytes : largest;
        }
    const int64_t reckoned = told ? 0 : largest_scratch(plan);
    return reckoned > largest ? reckoned : largest;
}

void df_plan_memory(const struct df_plan *plan, struct df_plan_memory *memory)
{
    const int64_t real = sizeof(float), input = df_plan_input_size(plan),
                  tapped = plan->tap >= 0 ? df_value_size(plan->network, plan->tap) : 0;
    if (plan->fused) {
        *memory = (struct df_plan_memory){
            .shared = 4 * real * plan->parameter_size,
            .scratch = fused_scratch(plan),
            .row = real * (input + plan->network->class_count + tapped) + plan->kept_bytes,
            .cotangent = real * (input + plan->network->class_count) + (int64_t)sizeof(int32_t),
        };
        return;
    }
    const int64_t reused =
        real * sum(plan->reused_size, plan->reused_count) + (int64_t)sizeof(int32_t) * plan->largest_arg;
    *memory = (struct df_plan_memory){
        .shared = 4 * real * plan->parameter_size,
        .scratch = df_plan_scratch(plan, plan->block_rows, plan->block_rows),
        .chunk_row = reused,
        .row = real * (input + sum(plan->kept_size, plan->kept_count)) +
               (int64_t)sizeof(int32_t) * sum(plan->arg_size, plan->arg_count),
    };
    if (plan->uses & (DF_PLAN_INPUT_GRADIENT | DF_PLAN_ROW_GRADIENT))
        memory->cotangent = real * plan->network->class_count + (int64_t)sizeof(int32_t);
    if (plan->uses & DF_PLAN_INPUT_GRADIENT)
        memory->cotangent += real * input;
}

int64_t df_plan_parameter_size(const struct df_plan *plan)
{
    return plan->parameter_size;
}

struct df_span df_plan_parameters(const struct df_plan *plan)
{
    return plan->parameters;
}

bool df_plan_couples_rows(const struct df_plan *plan)
{
    for (int32_t i = 0; i < plan->network->node_count; i++)
        if (df_node_rules(plan->network->nodes[i].op)->joint && !df_node_is_fixed(&plan->network->nodes[i]))
            return true;
    return false;
}

int64_t df_plan_statistics_size(const struct df_plan *plan)
{
    return plan->statistics_size;
}

struct df_span df_plan_statistics(const struct df_plan *plan)
{
    return plan->statistics;
}

/* Visit every parameter: values + where it stands in the joined array of parameters and statistics. */
static void move(const struct df_plan *plan, float *values, const struct df_network *network, bool out)
{
    for (int32_t i = 0; i < plan->network->node_count; i++) {
        const struct df_parameter *p = network->nodes[i].parameter;
        for (int k = 0; k < DF_PARAMETER_KINDS; k++) {
            if (!p[k].data)
                continue;
            const int64_t at = parameter_at(plan, i, k) + (k < DF_MEAN ? 0 : plan->parameter_size);
            size_t bytes = (size_t)p[k].count * sizeof(float);
            if (out)
                memcpy(values + at, p[k].data, bytes);
            else
                memcpy(p[k].data, values + at, bytes);
        }
    }
}

void df_plan_gather(const struct df_plan *plan, float *values, const struct df_network *network)
{
    move(plan, values, network, true);
}

void df_plan_scatter(const struct df_plan *plan, struct df_network *network, const float *values)
{
    /* Only read from: the cast serves the one loop that goes both ways. */
    move(plan, (float *)values, network, false);
}

dfal_status df_plan_bind_layers(struct df_plan *plan, int32_t queue)
{
    for (int32_t i = 0; i < plan->network->node_count; i++) {
        const struct df_plan_node *own = &plan->nodes[i];
        if (!own->layer)
            continue;
        struct df_span weight = df_at(plan->parameters, own->parameter_at);
        struct df_span bias = df_at(weight, plan->network->nodes[i].parameter[DF_WEIGHT].count);
        DF_TRY(plan->device->backend->layer_bind(plan->device, queue, own->layer, weight, bias));
    }
    return DFAL_OK;
}

/* y = (x - mean) / sqrt(variance + epsilon) * weight + bias = x * scale + shift, in double on the host. */
static dfal_status refresh_norm(struct df_plan *plan, int32_t queue, int32_t index, float *values)
{
    const struct df_node *node = &plan->network->nodes[index];
    const struct df_plan_node *own = &plan->nodes[index];
    int64_t channels = node->out.c;
    float *weight = values, *bias = weight + channels, *mean = bias + channels, *variance = mean + channels;
    DF_TRY(df_read(plan->device, queue, weight, df_at(plan->parameters, own->parameter_at), 2 * channels));
    DF_TRY(df_read(plan->device, queue, mean, df_at(plan->statistics, own->statistics_at), 2 * channels));
    for (int64_t c = 0; c < channels; c++) {
        double scale = (double)weight[c] / sqrt((double)variance[c] + node->epsilon);
        bias[c] = (float)((double)bias[c] - (double)mean[c] * scale);
        weight[c] = (float)scale;
        variance[c] = (float)(1 / sqrt((double)variance[c] + node->epsilon));
    }
    if (own->rstd.buffer)
        DF_TRY(df_write(plan->device, queue, own->rstd, variance, channels));
    DF_TRY(df_write(plan->device, queue, own->scale, weight, channels));
    return df_write(plan->device, queue, own->shift, bias, channels);
}

dfal_status df_plan_refresh_norms(struct df_plan *plan, int32_t queue)
{
    int64_t widest = 0;
    float *values;
    dfal_status status = DFAL_OK;
    for (int32_t i = 0; i < plan->network->node_count; i++)
        if (plan->nodes[i].statistics_at >= 0 && plan->network->nodes[i].out.c > widest)
            widest = plan->network->nodes[i].out.c;
    if (widest == 0)
        return DFAL_OK;
    DF_TRY(df_alloc(&values, 4 * widest, sizeof *values));
    for (int32_t i = 0; status == DFAL_OK && i < plan->network->node_count; i++)
        if (plan->nodes[i].statistics_at >= 0)
            status = refresh_norm(plan, queue, i, values);
    df_free(values);
    return status;
}

void df_plan_tell_fallback(struct dfal_context *context, const struct df_plan *plan)
{
    struct df_device *device = plan->device;
    for (int32_t i = 0; i < plan->network->node_count && !device->fallback_told; i++) {
        const struct df_layer *layer = plan->nodes[i].layer;
        if (!layer || *layer->fallback == '\0')
            continue;
        device->fallback_told = true;
        df_say(context, DFAL_WARNING, "device.fallback", DF_FIELDS(DF_TEXT("reason", layer->fallback)),
               "%s: dfal's own kernels run it, slower; the results are as exact", layer->fallback);
    }
}

dfal_status df_plan_rebind(struct df_plan *plan, int32_t queue)
{
    if (plan->fused)
        return plan->device->backend->fused_bind(plan->device, queue, plan->fused, plan->parameters);
    DF_TRY(df_plan_bind_layers(plan, queue));
    return df_plan_refresh_norms(plan, queue);
}
