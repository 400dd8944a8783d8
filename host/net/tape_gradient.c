/* SPDX-License-Identifier: Apache-2.0 */
/* Gradients: a plan's programs, step by step. */
#include "net/tape.h"

/* One run of a program: rows [first, first + rows) of the cotangents. */
struct pass {
    struct df_tape *tape;
    int64_t first, rows;
    struct df_span dlogits;  /* of the whole call */
    struct df_span owners;   /* of this pass's rows; absent: row i belongs to sample i */
    struct df_span gradient; /* of the parameters */
};

static struct df_span place_at(const struct pass *pass, struct df_place place)
{
    const struct df_plan *plan = pass->tape->plan;
    switch (place.kind) {
    case DF_PLACE_SLOT:
        return pass->tape->slots[place.index];
    case DF_PLACE_COTANGENT:
        return df_at(pass->dlogits, pass->first * plan->network->class_count);
    case DF_PLACE_DINPUT:
        return df_at(pass->tape->dinput, pass->first * df_plan_input_size(plan));
    default:
        return (struct df_span){NULL, 0};
    }
}

static dfal_status copy(const struct pass *pass, struct df_span to, struct df_span from, int64_t width,
                        int64_t begin, int64_t size)
{
    struct df_call call = {
        .op = DF_OP_copy_cols, .rows = pass->rows, .cols = size, .out = {to}, .in = {from}};
    call.p.cols.y_stride = size;
    call.p.cols.x_stride = width;
    call.p.cols.x_begin = begin;
    return df_tape_run(pass->tape, &call);
}

static dfal_status vjp_norm(const struct pass *pass, const struct df_step *step, struct df_call *call)
{
    const struct df_tape *tape = pass->tape;
    const struct df_node *node = &tape->plan->network->nodes[step->node];
    const struct df_plan_node *own = &tape->plan->nodes[step->node];
    if (!pass->gradient.buffer || df_node_is_fixed(node)) {
        call->op = DF_OP_affine_bwd;
        df_tape_set_affine(call, node, pass->rows);
        call->in[1] = own->scale;
        return df_tape_run(tape, call);
    }
    if (!tape->training)
        DF_FAIL(DFAL_E_INTERNAL, "Node '%s' is frozen: its parameters' gradients need a forward that trains",
                node->name);
    call->op = DF_OP_bn_train_bwd;
    df_tape_set_norm(call, node, pass->rows);
    call->out[1] = df_at(pass->gradient, own->parameter_at);
    call->out[2] = df_at(pass->gradient, own->parameter_at + node->out.c);
    call->in[1] = df_tape_value_at(tape, node->inputs[0], 0);
    call->in[2] = tape->mean[own->norm];
    call->in[3] = tape->rstd[own->norm];
    call->in[4] = df_at(tape->plan->parameters, own->parameter_at);
    return df_tape_run(tape, call);
}

static dfal_status vjp_concat(const struct pass *pass, const struct df_step *step, const struct df_call *call)
{
    const struct df_network *network = pass->tape->plan->network;
    const struct df_node *node = &network->nodes[step->node];
    int64_t begin = 0;
    for (int32_t j = 0; j < step->input; j++)
        begin += df_value_size(network, node->inputs[j]);
    return copy(pass, call->out[0], call->in[0], df_value_size(network, step->node), begin,
                df_value_size(network, node->inputs[step->input]));
}

/* in: dy a b owner; the operands only where the product or quotient reads them. */
static dfal_status vjp_join(const struct pass *pass, const struct df_step *step, struct df_call *call)
{
    const struct df_tape *tape = pass->tape;
    const struct df_network *network = tape->plan->network;
    const struct df_node *node = &network->nodes[step->node];
    df_tape_set_join(call, network, step->node, pass->rows, step->input);
    if (df_node_reads(node, false) == DF_READS_INPUTS) {
        call->in[1] = df_tape_value_at(tape, node->inputs[0], 0);
        call->in[2] = df_tape_value_at(tape, node->inputs[1], 0);
    }
    call->in[3] = pass->owners;
    return df_tape_run(tape, call);
}

/* The value that an activation's gradient reads, of the samples that cotangents belong to. */
static void vjp_activation(const struct pass *pass, const struct df_step *step, struct df_call *call,
                           enum df_op op)
{
    const struct df_node *node = &pass->tape->plan->network->nodes[step->node];
    bool output = df_node_reads(node, false) == DF_READS_OUTPUT;
    call->op = op;
    call->in[1] = df_tape_value_at(pass->tape, output ? step->node : node->inputs[0], 0);
    call->in[2] = pass->owners;
    if (node->op != DF_NODE_RELU && node->op != DF_NODE_SIGMOID && node->op != DF_NODE_HARD_SWISH)
        df_tape_set_slope(call, node);
}

static dfal_status vjp(const struct pass *pass, const struct df_step *step)
{
    const struct df_tape *tape = pass->tape;
    const struct df_plan *plan = tape->plan;
    const struct df_node *node = &plan->network->nodes[step->node];
    const struct df_plan_node *own = &plan->nodes[step->node];
    struct df_call call = {
        .rows = pass->rows, .cols = df_value_size(plan->network, step->node), .layer = own->layer};
    call.out[0] = place_at(pass, step->to);
    call.in[0] = place_at(pass, step->from);
    switch (node->op) {
    case DF_NODE_CONV:
        call.op = DF_OP_conv_bwd;
        break;
    case DF_NODE_GEMM:
        call.op = DF_OP_gemm_bwd;
        break;
    case DF_NODE_RELU:
        vjp_activation(pass, step, &call, DF_OP_relu_bwd);
        break;
    case DF_NODE_LEAKY_RELU:
        vjp_activation(pass, step, &call, DF_OP_leaky_relu_bwd);
        break;
    case DF_NODE_CLIP:
        vjp_activation(pass, step, &call, DF_OP_clip_bwd);
        break;
    case DF_NODE_SIGMOID:
        vjp_activation(pass, step, &call, DF_OP_sigmoid_bwd);
        break;
    case DF_NODE_HARD_SIGMOID:
        vjp_activation(pass, step, &call, DF_OP_hard_sigmoid_bwd);
        break;
    case DF_NODE_HARD_SWISH:
        vjp_activation(pass, step, &call, DF_OP_hard_swish_bwd);
        break;
    case DF_NODE_MAX_POOL:
        call.op = DF_OP_maxpool_bwd;
        df_tape_set_pool(&call, plan->network, step->node, pass->rows, false);
        call.in[1] = tape->args[own->arg];
        call.in[2] = pass->owners;
        break;
    case DF_NODE_AVERAGE_POOL:
    case DF_NODE_GLOBAL_AVERAGE_POOL:
        call.op = DF_OP_avgpool_bwd;
        df_tape_set_pool(&call, plan->network, step->node, pass->rows, false);
        break;
    case DF_NODE_BATCH_NORM:
        return vjp_norm(pass, step, &call);
    case DF_NODE_DROPOUT:
        if (!tape->dropping) {
            if (step->from.kind == step->to.kind && step->from.index == step->to.index)
                return DFAL_OK;
            return copy(pass, call.out[0], call.in[0], call.cols, 0, call.cols);
        }
        df_tape_set_dropout(&call, tape, step->node);
        break;
    case DF_NODE_CONCAT:
        return vjp_concat(pass, step, &call);
    case DF_NODE_ADD:
    case DF_NODE_SUB:
    case DF_NODE_MUL:
    case DF_NODE_DIV:
        return vjp_join(pass, step, &call);
    case DF_NODE_PAD:
        call.op = DF_OP_pad_bwd;
        df_tape_set_pad(&call, plan->network, step->node, pass->rows);
        break;
    case DF_NODE_FLATTEN:
    case DF_NODE_RESHAPE:
    case DF_NODE_OP_COUNT:
        DF_FAIL(DFAL_E_INTERNAL, "Node '%s' has no backward op", node->name);
    }
    return df_tape_run(tape, &call);
}

static dfal_status parameters(const struct pass *pass, const struct df_step *step)
{
    const struct df_plan *plan = pass->tape->plan;
    const struct df_node *node = &plan->network->nodes[step->node];
    const struct df_plan_node *own = &plan->nodes[step->node];
    if (df_node_is_fixed(node)) {
        struct df_call zero = {.op = DF_OP_fill, .rows = 1, .cols = 2 * node->out.c};
        zero.out[0] = df_at(pass->gradient, own->parameter_at);
        return df_tape_run(pass->tape, &zero);
    }
    struct df_call call = {.op = node->op == DF_NODE_CONV ? DF_OP_conv_wgrad : DF_OP_gemm_wgrad,
                           .rows = pass->rows,
                           .layer = own->layer};
    call.out[0] = df_at(pass->gradient, own->parameter_at);
    call.out[1] = df_at(call.out[0], node->parameter[DF_WEIGHT].count);
    call.in[0] = df_tape_value_at(pass->tape, node->inputs[0], 0);
    call.in[1] = place_at(pass, step->from);
    return df_tape_run(pass->tape, &call);
}

static dfal_status run_program(const struct pass *pass, const struct df_program *program)
{
    for (int32_t i = 0; i < program->count; i++) {
        const struct df_step *step = &program->steps[i];
        struct df_span from = place_at(pass, step->from), to = place_at(pass, step->to);
        struct df_call add = {
            .op = DF_OP_accumulate, .rows = pass->rows, .cols = step->size, .out = {to}, .in = {from}};
        switch (step->kind) {
        case DF_STEP_VJP:
            DF_TRY(vjp(pass, step));
            break;
        case DF_STEP_PARAMETERS:
            DF_TRY(parameters(pass, step));
            break;
        case DF_STEP_COPY:
            DF_TRY(copy(pass, to, from, step->size, 0, step->size));
            break;
        case DF_STEP_ADD:
            DF_TRY(df_tape_run(pass->tape, &add));
            break;
        }
    }
    return DFAL_OK;
}

dfal_status df_tape_input_gradient(struct df_tape *tape, int64_t n, struct df_span *dinput)
{
    if (n < 0 || n > tape->cotangent_rows)
        DF_FAIL(DFAL_E_INTERNAL, "An input gradient of %lld cotangents runs on a tape of %lld", (long long)n,
                (long long)tape->cotangent_rows);
    if (tape->dropping)
        DF_FAIL(DFAL_E_INTERNAL,
                "An input gradient follows a forward that drew dropout, expected one without");
    *dinput = tape->dinput;
    if (tape->plan->stack) {
        const struct df_stack_call call = {.stack = tape->plan->stack,
                                           .backward = true,
                                           .rows = n,
                                           .y = tape->cotangents,
                                           .x = tape->dinput,
                                           .kept = tape->kept_bytes,
                                           .owner = tape->owners};
        return tape->plan->device->backend->stack_run(tape->plan->device, tape->queue, &call);
    }
    for (int64_t first = 0; first < n; first += tape->chunk) {
        struct pass pass = {.tape = tape,
                            .first = first,
                            .rows = n - first < tape->chunk ? n - first : tape->chunk,
                            .dlogits = tape->cotangents,
                            .owners = df_at(tape->owners, first)};
        DF_TRY(run_program(&pass, &tape->plan->input_gradient));
    }
    return DFAL_OK;
}

dfal_status df_tape_parameter_gradient(struct df_tape *tape, int64_t n, struct df_span dlogits,
                                       struct df_span gradient)
{
    if (!(tape->plan->uses & DF_PLAN_TRAIN))
        DF_FAIL(DFAL_E_INTERNAL, "Parameter gradients were asked of a plan that does not train");
    if (n != tape->forward_rows)
        DF_FAIL(DFAL_E_INTERNAL, "Parameter gradients of %lld rows follow a forward of %lld", (long long)n,
                (long long)tape->forward_rows);
    struct pass pass = {.tape = tape, .rows = n, .dlogits = dlogits, .gradient = gradient};
    return run_program(&pass, &tape->plan->parameter_gradient);
}
