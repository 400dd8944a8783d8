/* SPDX-License-Identifier: Apache-2.0 */
/* Gradients: a plan's programs, instruction by instruction. */
#include "net/node_rules.h"
#include "net/tape.h"

struct df_span df_pass_place(const struct df_pass *pass, struct df_place place)
{
    const struct df_plan *plan = pass->tape->plan;
    switch (place.kind) {
    case DF_PLACE_REUSED:
        return pass->tape->reused[place.index];
    case DF_PLACE_COTANGENT:
        return df_at(pass->dlogits, pass->first * plan->network->class_count);
    case DF_PLACE_DINPUT:
        return df_at(pass->tape->dinput, pass->first * df_plan_input_size(plan));
    default:
        return (struct df_span){NULL, 0};
    }
}

struct df_span df_pass_cotangent(const struct df_pass *pass, const struct df_instruction *instruction)
{
    return df_at(df_pass_place(pass, instruction->from),
                 pass->row * df_value_size(pass->tape->plan->network, instruction->node));
}

dfal_status df_pass_copy(const struct df_pass *pass, struct df_span to, struct df_span from, int64_t width,
                         int64_t begin, int64_t size)
{
    const struct df_call call = DF_CALL(copy_cols, .rows = pass->rows, .cols = size, .y = to, .x = from,
                                        .p.cols = {.y_stride = size, .x_stride = width, .x_begin = begin});
    return df_tape_run(pass->tape, &call);
}

static dfal_status vjp(const struct df_pass *pass, const struct df_instruction *instruction)
{
    const struct df_plan *plan = pass->tape->plan;
    const struct df_node_rules *rules = df_node_rules(df_pass_node(pass, instruction->node)->op);
    struct df_call call = {.op = rules->backward_op,
                           .out = {df_pass_place(pass, instruction->to)},
                           .in = {df_pass_place(pass, instruction->from)},
                           .rows = pass->rows,
                           .cols = df_value_size(plan->network, instruction->node),
                           .layer = plan->nodes[instruction->node].layer};
    return rules->vjp ? rules->vjp(pass, instruction, &call) : df_tape_run(pass->tape, &call);
}

static dfal_status parameter_gradients(const struct df_pass *pass, const struct df_instruction *instruction)
{
    const struct df_node *node = df_pass_node(pass, instruction->node);
    const struct df_node_rules *rules = df_node_rules(node->op);
    if (!rules->parameters)
        DF_FAIL(DFAL_E_INTERNAL, "node '%s' has parameters and no rule for their gradients", node->name);
    return rules->parameters(pass, instruction);
}

dfal_status df_pass_run(const struct df_pass *pass, const struct df_instruction *instruction)
{
    const struct df_span from = df_pass_place(pass, instruction->from),
                         to = df_pass_place(pass, instruction->to);
    const struct df_call add =
        DF_CALL(accumulate, .rows = pass->rows, .cols = instruction->size, .y = to, .x = from);
    switch (instruction->kind) {
    case DF_INSTRUCTION_VJP:
        return vjp(pass, instruction);
    case DF_INSTRUCTION_PARAMETERS:
        return parameter_gradients(pass, instruction);
    case DF_INSTRUCTION_COPY:
        return df_pass_copy(pass, to, from, instruction->size, 0, instruction->size);
    case DF_INSTRUCTION_ADD:
        return df_tape_run(pass->tape, &add);
    }
    return DFAL_OK;
}

static dfal_status run_program(const struct df_pass *pass, const struct df_program *program)
{
    for (int32_t i = 0; i < program->count; i++)
        DF_TRY(df_pass_run(pass, &program->instructions[i]));
    return DFAL_OK;
}

dfal_status df_tape_check_gradients(const struct df_tape *tape, int64_t n, const char *what)
{
    if (n < 0 || n > tape->cotangent_rows)
        DF_FAIL(DFAL_E_INTERNAL, "%lld cotangents of %s run on a tape of %lld", (long long)n, what,
                (long long)tape->cotangent_rows);
    if (tape->dropping)
        DF_FAIL(DFAL_E_INTERNAL, "A forward that drew dropout comes before %s, expected one without", what);
    return DFAL_OK;
}

dfal_status df_tape_input_gradient(struct df_tape *tape, int64_t n, int64_t each, struct df_span *dinput)
{
    DF_TRY(df_tape_check_gradients(tape, n, "input gradients"));
    *dinput = tape->dinput;
    if (tape->plan->fused) {
        const struct df_fused_call call = {.fused = tape->plan->fused,
                                           .backward = true,
                                           .rows = n,
                                           .each = each,
                                           .y = tape->cotangents,
                                           .x = tape->dinput,
                                           .kept = tape->kept_bytes,
                                           .owner = tape->owners};
        return tape->plan->device->backend->fused_run(tape->plan->device, tape->queue, &call);
    }
    for (int64_t first = 0; first < n; first += tape->chunk) {
        struct df_pass pass = {.tape = tape,
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
    struct df_pass pass = {.tape = tape, .rows = n, .dlogits = dlogits, .gradient = gradient};
    return run_program(&pass, &tape->plan->parameter_gradient);
}
