/* SPDX-License-Identifier: Apache-2.0 */
#include "net/plan_inside.h"

#include "base/memory.h"
#include "net/lifetimes.h"
#include "net/node_rules.h"
#include "net/plan.h"

struct df_shape df_value_shape(const struct df_network *network, int32_t node)
{
    return node == DF_INPUT ? network->input : network->nodes[node].out;
}

int64_t df_value_size(const struct df_network *network, int32_t node)
{
    return df_shape_size(df_value_shape(network, node));
}

static enum df_value_kind kind_of(const struct df_plan *plan, int32_t node)
{
    return df_node_rules(plan->network->nodes[node].op)->value;
}

int32_t df_plan_root(const struct df_plan *plan, int32_t node, bool dropping)
{
    while (node != DF_INPUT) {
        const enum df_value_kind kind = kind_of(plan, node);
        if (kind != DF_VALUE_ALIAS && (kind != DF_VALUE_DRAWN || dropping))
            break;
        node = plan->network->nodes[node].inputs[0];
    }
    return node;
}

void df_program_clear(struct df_program *program)
{
    df_free(program->instructions);
    *program = (struct df_program){0};
}

static bool same_place(struct df_place a, struct df_place b)
{
    return a.kind == b.kind && a.index == b.index;
}

/* ---- Values -------------------------------------------------------------------------------- */

static dfal_status keep(struct df_plan *plan, int32_t node)
{
    int32_t index = plan->kept_count;
    DF_TRY(df_resize(&plan->kept_size, index, (int64_t)index + 1, sizeof *plan->kept_size));
    plan->kept_size[index] = df_value_size(plan->network, node);
    plan->kept_count++;
    plan->nodes[node].value = (struct df_place){DF_PLACE_KEPT, index};
    return DFAL_OK;
}

/* Facts about the values that placing needs, [node_count] each. */
struct facts {
    int32_t *uses; /* consumers of the node itself, the output being one */
    int32_t *last; /* the last node that reads this root's memory; node_count: read after the forward pass */
    uint8_t *in_place; /* computed in the memory of its input */
};

bool df_plan_has_gradients(const struct df_plan *plan)
{
    return plan->uses & DF_PLAN_INPUT_GRADIENT || df_plan_has_parameter_gradients(plan);
}

bool df_plan_has_parameter_gradients(const struct df_plan *plan)
{
    return (plan->uses & (DF_PLAN_TRAIN | DF_PLAN_ROW_GRADIENT)) != 0;
}

static enum df_reads reads(const struct df_plan *plan, int32_t node)
{
    return df_plan_has_gradients(plan)
               ? df_node_reads(&plan->network->nodes[node], df_plan_has_parameter_gradients(plan))
               : DF_READS_NOTHING;
}

/* A pointwise op overwrites what nobody else reads, forwards or backwards. */
static void find_in_place(const struct df_plan *plan, struct facts *facts)
{
    const struct df_network *network = plan->network;
    for (int32_t i = 0; i < network->node_count; i++) {
        const struct df_node *node = &network->nodes[i];
        int32_t source = node->inputs[0];
        if (kind_of(plan, i) != DF_VALUE_POINTWISE || plan->named || source == DF_INPUT)
            continue;
        bool alias = df_plan_root(plan, source, false) != source;
        facts->in_place[i] = facts->uses[source] == 1 && !alias && reads(plan, i) != DF_READS_INPUTS &&
                             reads(plan, source) != DF_READS_OUTPUT;
    }
}

/* The memory a value lies in belongs to this node. */
static int32_t owner(const struct df_plan *plan, const struct facts *facts, int32_t node)
{
    node = df_plan_root(plan, node, false);
    while (node != DF_INPUT && facts->in_place[node])
        node = plan->network->nodes[node].inputs[0];
    return node;
}

static void find_last(const struct df_plan *plan, struct facts *facts)
{
    const struct df_network *network = plan->network;
    for (int32_t i = 0; i < network->node_count; i++) {
        const struct df_node *node = &network->nodes[i];
        for (int32_t j = 0; j < node->input_count; j++) {
            int32_t read = owner(plan, facts, node->inputs[j]);
            if (read == DF_INPUT)
                continue;
            if (reads(plan, i) == DF_READS_INPUTS)
                facts->last[read] = network->node_count;
            if (facts->last[read] < i)
                facts->last[read] = i;
        }
        int32_t own = owner(plan, facts, i);
        if (own != DF_INPUT && (plan->named || reads(plan, i) == DF_READS_OUTPUT || i == network->output))
            facts->last[own] = network->node_count;
    }
}

static dfal_status place_values(struct df_plan *plan, struct facts *facts, struct df_lifetimes *lifetimes)
{
    const struct df_network *network = plan->network;
    for (int32_t i = 0; i < network->node_count; i++) {
        const struct df_node *node = &network->nodes[i];
        struct df_plan_node *own = &plan->nodes[i];
        if (kind_of(plan, i) == DF_VALUE_ALIAS)
            continue;
        if (facts->in_place[i]) {
            own->value = plan->nodes[node->inputs[0]].value;
            plan->nodes[node->inputs[0]].overwritten = true;
        } else if (kind_of(plan, i) == DF_VALUE_DRAWN || facts->last[i] == network->node_count) {
            DF_TRY(keep(plan, i)); /* dropout has memory for the passes that draw it */
        } else {
            DF_TRY(df_lifetimes_begin(lifetimes, df_value_size(network, i), &own->value));
        }
        for (int32_t j = 0; j < node->input_count; j++) {
            int32_t read = owner(plan, facts, node->inputs[j]);
            if (read != DF_INPUT && facts->last[read] == i)
                df_lifetimes_end(lifetimes, plan->nodes[read].value);
        }
    }
    return DFAL_OK;
}

/* ---- Gradients ------------------------------------------------------------------------------ */

struct compiler {
    struct df_plan *plan;
    struct df_program *program;
    struct df_lifetimes *lifetimes;
    bool parameters;            /* else towards the input */
    struct df_place *cotangent; /* [node_count + 1]; 0: the input, i + 1: node i */
    uint8_t *needs;             /* likewise */
};

static dfal_status emit(struct compiler *c, struct df_instruction instruction)
{
    struct df_program *program = c->program;
    DF_TRY(df_grow(&program->instructions, &program->capacity, (int64_t)program->count + 1,
                   sizeof *program->instructions, 32));
    program->instructions[program->count++] = instruction;
    return DFAL_OK;
}

static void find_needs(struct compiler *c)
{
    const struct df_network *network = c->plan->network;
    c->needs[0] = !c->parameters;
    for (int32_t i = 0; i < network->node_count; i++) {
        c->needs[i + 1] = c->parameters && df_node_learns(&network->nodes[i]);
        for (int32_t j = 0; j < network->nodes[i].input_count; j++)
            c->needs[i + 1] |= c->needs[network->nodes[i].inputs[j] + 1];
    }
}

/* Does one op compute all the node's gradients, those of its parameters too? Only where it trains: a
 * batch-norm's reads the statistics of a batch, which a forward of the frozen network does not take, and rows
 * would enter each other's gradients. Frozen it is an affine map, whose parameters have an instruction of
 * their own. */
static bool trains_jointly(const struct compiler *c, const struct df_node *node)
{
    return c->plan->uses & DF_PLAN_TRAIN && c->parameters && df_node_rules(node->op)->joint &&
           !df_node_is_fixed(node);
}

/* PASS: the cotangent itself; POINTWISE: it may be overwritten by the input's; MAP: the input's has a place
 * of its own. */
enum flow { PASS, POINTWISE, MAP };
static enum flow flow_of(const struct compiler *c, const struct df_node *node, int32_t input)
{
    const struct df_node_rules *rules = df_node_rules(node->op);
    if (rules->value == DF_VALUE_ALIAS || (rules->passes && rules->passes(c->plan->network, node, input)))
        return PASS;
    if (rules->value == DF_VALUE_OWN || trains_jointly(c, node))
        return MAP;
    return POINTWISE;
}

/* Towards one input of a node. from: the node's cotangent; mine: its buffer may be overwritten, nobody reads
 * it later. Sets *moved when the buffer now holds the input's cotangent. The first contribution to a
 * cotangent is written, later ones are added: nodes are visited from the last to the first, so the order is
 * fixed. */
static dfal_status towards(struct compiler *c, int32_t index, int32_t input, struct df_place from, bool mine,
                           bool *moved)
{
    const struct df_network *network = c->plan->network;
    const struct df_node *node = &network->nodes[index];
    int32_t source = node->inputs[input];
    struct df_place *to = &c->cotangent[source + 1], place;
    int64_t size = df_value_size(network, source);
    enum flow flow = flow_of(c, node, input);
    bool first = to->kind == DF_PLACE_NONE;
    *moved = false;
    if (flow == PASS && !first)
        return emit(
            c, (struct df_instruction){.kind = DF_INSTRUCTION_ADD, .size = size, .from = from, .to = *to});
    bool movable = source != DF_INPUT && mine && flow != MAP && from.kind == DF_PLACE_REUSED;
    if (movable) {
        place = from;
        *moved = first;
    } else if (first && source == DF_INPUT) {
        place = (struct df_place){DF_PLACE_DINPUT, 0};
    } else {
        DF_TRY(df_lifetimes_begin(c->lifetimes, size, &place));
    }
    if (flow == PASS && !same_place(place, from))
        DF_TRY(emit(c, (struct df_instruction){
                           .kind = DF_INSTRUCTION_COPY, .size = size, .from = from, .to = place}));
    if (flow != PASS)
        DF_TRY(emit(
            c, (struct df_instruction){
                   .kind = DF_INSTRUCTION_VJP, .node = index, .input = input, .from = from, .to = place}));
    if (first) {
        *to = place;
        return DFAL_OK;
    }
    DF_TRY(
        emit(c, (struct df_instruction){.kind = DF_INSTRUCTION_ADD, .size = size, .from = place, .to = *to}));
    if (!same_place(place, from))
        df_lifetimes_end(c->lifetimes, place);
    return DFAL_OK;
}

static dfal_status backwards(struct compiler *c, int32_t index)
{
    const struct df_node *node = &c->plan->network->nodes[index];
    struct df_place from = c->cotangent[index + 1];
    int32_t last = -1;
    bool moved = false, joint = trains_jointly(c, node);
    if (c->parameters && !joint && df_node_learns(node))
        DF_TRY(
            emit(c, (struct df_instruction){.kind = DF_INSTRUCTION_PARAMETERS, .node = index, .from = from}));
    if (joint && !c->needs[node->inputs[0] + 1]) {
        struct df_place unused;
        DF_TRY(df_lifetimes_begin(c->lifetimes, df_value_size(c->plan->network, index), &unused));
        DF_TRY(emit(c, (struct df_instruction){
                           .kind = DF_INSTRUCTION_VJP, .node = index, .from = from, .to = unused}));
        df_lifetimes_end(c->lifetimes, unused);
    }
    for (int32_t j = 0; j < node->input_count; j++)
        if (c->needs[node->inputs[j] + 1])
            last = j;
    for (int32_t j = 0; j <= last; j++)
        if (c->needs[node->inputs[j] + 1])
            DF_TRY(towards(c, index, j, from, j == last, &moved));
    if (!moved)
        df_lifetimes_end(c->lifetimes, from);
    return DFAL_OK;
}

static dfal_status compile(struct df_plan *plan, struct df_program *program, struct df_lifetimes *lifetimes,
                           bool parameters)
{
    const struct df_network *network = plan->network;
    struct compiler c = {.plan = plan, .program = program, .lifetimes = lifetimes, .parameters = parameters};
    dfal_status status;
    DF_TRY_TO(done, status, df_alloc(&c.cotangent, (int64_t)network->node_count + 1, sizeof *c.cotangent));
    DF_TRY_TO(done, status, df_alloc(&c.needs, (int64_t)network->node_count + 1, 1));
    find_needs(&c);
    c.cotangent[network->output + 1] = (struct df_place){DF_PLACE_COTANGENT, 0};
    for (int32_t i = network->output; i >= 0; i--)
        if (c.needs[i + 1] && c.cotangent[i + 1].kind != DF_PLACE_NONE)
            DF_TRY_TO(done, status, backwards(&c, i));
    /* Fixed maps have gradients like all others, of zeros. */
    for (int32_t i = 0; parameters && i < network->node_count; i++)
        if (df_node_is_fixed(&network->nodes[i]))
            DF_TRY_TO(done, status,
                      emit(&c, (struct df_instruction){.kind = DF_INSTRUCTION_PARAMETERS, .node = i}));
    program->dinput = c.cotangent[0];
    df_lifetimes_end_all(lifetimes);
done:
    df_free(c.cotangent);
    df_free(c.needs);
    return status;
}

/* ---- Together ------------------------------------------------------------------------------- */

/* Buffers beside the values: positions of maxima, statistics of a batch. */
static dfal_status place_extras(struct df_plan *plan)
{
    for (int32_t i = 0; i < plan->network->node_count; i++) {
        const struct df_node_rules *rules = df_node_rules(plan->network->nodes[i].op);
        plan->nodes[i].arg = plan->nodes[i].norm = -1;
        if (rules->reserve)
            DF_TRY(rules->reserve(plan, i));
    }
    return DFAL_OK;
}

static void resolve_program(struct df_program *program, const struct df_lifetimes *lifetimes)
{
    for (int32_t i = 0; i < program->count; i++) {
        df_lifetimes_resolve(lifetimes, &program->instructions[i].from);
        df_lifetimes_resolve(lifetimes, &program->instructions[i].to);
    }
    df_lifetimes_resolve(lifetimes, &program->dinput);
}

static void resolve(struct df_plan *plan, const struct df_lifetimes *lifetimes)
{
    for (int32_t i = 0; i < plan->network->node_count; i++)
        df_lifetimes_resolve(lifetimes, &plan->nodes[i].value);
    resolve_program(&plan->input_gradient, lifetimes);
    resolve_program(&plan->parameter_gradient, lifetimes);
}

dfal_status df_plan_place(struct df_plan *plan)
{
    const struct df_network *network = plan->network;
    struct facts facts = {0};
    struct df_lifetimes lifetimes = {0};
    dfal_status status;
    DF_TRY_TO(done, status, df_alloc(&facts.uses, network->node_count, sizeof *facts.uses));
    DF_TRY_TO(done, status, df_alloc(&facts.last, network->node_count, sizeof *facts.last));
    DF_TRY_TO(done, status, df_alloc(&facts.in_place, network->node_count, 1));
    facts.uses[network->output]++;
    for (int32_t i = 0; i < network->node_count; i++)
        for (int32_t j = 0; j < network->nodes[i].input_count; j++)
            if (network->nodes[i].inputs[j] != DF_INPUT)
                facts.uses[network->nodes[i].inputs[j]]++;
    find_in_place(plan, &facts);
    find_last(plan, &facts);
    DF_TRY_TO(done, status, place_values(plan, &facts, &lifetimes));
    df_lifetimes_end_all(&lifetimes);
    DF_TRY_TO(done, status, place_extras(plan));
    if (plan->uses & DF_PLAN_INPUT_GRADIENT)
        DF_TRY_TO(done, status, compile(plan, &plan->input_gradient, &lifetimes, false));
    if (df_plan_has_parameter_gradients(plan))
        DF_TRY_TO(done, status, compile(plan, &plan->parameter_gradient, &lifetimes, true));
    DF_TRY_TO(done, status, df_lifetimes_assign(&lifetimes, plan));
    resolve(plan, &lifetimes);
done:
    df_free(facts.uses);
    df_free(facts.last);
    df_free(facts.in_place);
    df_lifetimes_clear(&lifetimes);
    return status;
}
