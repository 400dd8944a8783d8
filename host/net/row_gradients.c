/* SPDX-License-Identifier: Apache-2.0 */
#include "net/row_gradients.h"

#include <string.h>

#include "base/memory.h"
#include "net/node_rules.h"
#include "net/tape.h"

struct df_row_gradients {
    struct df_tape *tape;
    const uint8_t *chosen;
    int64_t size;
    int32_t instructions;    /* of the plan's program, up to the last chosen node */
    struct df_span gradient; /* of one row by one node's parameters; absent: nobody needs it */
    float *room;             /* the same on the host, or what a square is made of */
};

static int64_t parameters_of(const struct df_node *node)
{
    return node->parameter[DF_WEIGHT].count + node->parameter[DF_BIAS].count;
}

static bool is_chosen(const struct df_plan *plan, const uint8_t *chosen, int32_t node)
{
    return chosen[node] && df_node_learns(&plan->network->nodes[node]);
}

int64_t df_row_gradients_size(const struct df_plan *plan, const uint8_t *chosen)
{
    int64_t size = 0;
    for (int32_t i = 0; i < plan->network->node_count; i++)
        size += is_chosen(plan, chosen, i) ? parameters_of(&plan->network->nodes[i]) : 0;
    return size;
}

/* Numbers of the two buffers. */
static void find_room(const struct df_plan *plan, const uint8_t *chosen, bool vectors, int64_t *gradient,
                      int64_t *room)
{
    const struct df_network *network = plan->network;
    *gradient = *room = 0;
    for (int32_t i = 0; i < network->node_count; i++) {
        const struct df_node *node = &network->nodes[i];
        if (!is_chosen(plan, chosen, i))
            continue;
        const bool square = df_node_rules(node->op)->square != NULL;
        const int64_t whole = vectors || !square ? parameters_of(node) : 0,
                      sides =
                          square ? df_value_size(network, node->inputs[0]) + df_value_size(network, i) : 0;
        *gradient = whole > *gradient ? whole : *gradient;
        *room = whole > *room ? whole : *room;
        *room = sides > *room ? sides : *room;
    }
}

int64_t df_row_gradients_bytes(const struct df_plan *plan, const uint8_t *chosen, bool vectors)
{
    int64_t gradient, room;
    find_room(plan, chosen, vectors, &gradient, &room);
    return (gradient + room) * (int64_t)sizeof(float);
}

static int32_t last_instruction(const struct df_plan *plan, const uint8_t *chosen)
{
    const struct df_program *program = &plan->parameter_gradient;
    int32_t count = program->count;
    while (count > 0 && !(program->instructions[count - 1].kind == DF_INSTRUCTION_PARAMETERS &&
                          is_chosen(plan, chosen, program->instructions[count - 1].node)))
        count--;
    return count;
}

dfal_status df_row_gradients_create(struct df_row_gradients **out, struct df_tape *tape,
                                    const uint8_t *chosen, bool vectors)
{
    struct df_row_gradients *g;
    const struct df_plan *plan = tape->plan;
    int64_t gradient, room;
    dfal_status status = DFAL_OK;
    *out = NULL;
    if (!(plan->uses & DF_PLAN_ROW_GRADIENT))
        DF_FAIL(DFAL_E_INTERNAL, "Gradients of rows were asked of a plan that has none");
    DF_TRY(df_alloc(&g, 1, sizeof *g));
    g->tape = tape;
    g->chosen = chosen;
    g->size = df_row_gradients_size(plan, chosen);
    g->instructions = last_instruction(plan, chosen);
    find_room(plan, chosen, vectors, &gradient, &room);
    DF_TRY_TO(done, status, df_alloc(&g->room, room, sizeof *g->room));
    if (gradient > 0)
        DF_TRY_TO(done, status, df_buffer_new(plan->device, &g->gradient, DF_TYPE_REAL, gradient));
    *out = g;
done:
    if (status != DFAL_OK)
        df_row_gradients_destroy(g);
    return status;
}

void df_row_gradients_destroy(struct df_row_gradients *gradients)
{
    if (!gradients)
        return;
    df_buffer_drop(gradients->tape->plan->device, &gradients->gradient);
    df_free(gradients->room);
    df_free(gradients);
}

/* Where a node's parameters begin in a row's gradient. */
static int64_t place_of(const struct df_row_gradients *g, int32_t node)
{
    const struct df_plan *plan = g->tape->plan;
    int64_t at = 0;
    for (int32_t i = 0; i < node; i++)
        at += is_chosen(plan, g->chosen, i) ? parameters_of(&plan->network->nodes[i]) : 0;
    return at;
}

/* One row's gradient by one node's parameters, to the host. */
static dfal_status read_gradient(const struct df_row_gradients *g, const struct df_pass *row,
                                 const struct df_instruction *instruction, float *to)
{
    const struct df_plan *plan = g->tape->plan;
    const int64_t count = parameters_of(&plan->network->nodes[instruction->node]);
    struct df_pass pass = *row;
    /* Rules write at the node's place among all parameters; the buffer has room for that node alone. */
    pass.gradient = df_at(g->gradient, -plan->nodes[instruction->node].parameter_at);
    DF_TRY(df_pass_run(&pass, instruction));
    return df_read(plan->device, g->tape->queue, to, g->gradient, count);
}

double df_sum_of_squares(const float *values, int64_t count)
{
    enum { LANES = 16 };
    double lane[LANES] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES)
        for (int k = 0; k < LANES; k++)
            lane[k] += (double)values[i + k] * (double)values[i + k];
    for (int k = 0; i < count; i++, k++)
        lane[k] += (double)values[i] * (double)values[i];
    for (int k = 0; k < LANES; k++)
        sum += lane[k];
    return sum;
}

static dfal_status take_row(const struct df_row_gradients *g, const struct df_pass *row,
                            const struct df_instruction *instruction, double *square, float *vector)
{
    const struct df_node *node = df_pass_node(row, instruction->node);
    const struct df_node_rules *rules = df_node_rules(node->op);
    float *gradient = vector ? vector + place_of(g, instruction->node) : g->room;
    double of_node = 0;
    if (rules->square)
        DF_TRY(rules->square(row, instruction, g->room, &of_node));
    if (vector || !rules->square)
        DF_TRY(read_gradient(g, row, instruction, gradient));
    *square += rules->square ? of_node : df_sum_of_squares(gradient, parameters_of(node));
    return DFAL_OK;
}

/* One instruction of the program for all rows of a pass. */
static dfal_status run_instruction(const struct df_row_gradients *g, const struct df_pass *pass,
                                   const struct df_instruction *instruction, const int32_t *owner,
                                   double *squares, float *vectors)
{
    if (instruction->kind != DF_INSTRUCTION_PARAMETERS)
        return df_pass_run(pass, instruction);
    if (!is_chosen(g->tape->plan, g->chosen, instruction->node))
        return DFAL_OK;
    for (int64_t i = 0; i < pass->rows; i++) {
        struct df_pass row = *pass;
        row.rows = 1;
        row.row = i;
        row.sample = owner[i];
        DF_TRY(take_row(g, &row, instruction, squares + i, vectors ? vectors + i * g->size : NULL));
    }
    return DFAL_OK;
}

dfal_status df_row_gradients_run(struct df_row_gradients *g, int64_t n, const float *cotangents,
                                 const int32_t *owner, double *squares, float *vectors)
{
    struct df_tape *tape = g->tape;
    const struct df_instruction *instructions = tape->plan->parameter_gradient.instructions;
    DF_TRY(df_tape_check_gradients(tape, n, "gradients of rows"));
    DF_TRY(df_write(tape->plan->device, tape->queue, tape->cotangents, cotangents,
                    n * tape->plan->network->class_count));
    DF_TRY(df_write(tape->plan->device, tape->queue, tape->owners, owner, n));
    memset(squares, 0, (size_t)n * sizeof *squares);
    for (int64_t first = 0; first < n; first += tape->chunk) {
        const struct df_pass pass = {.tape = tape,
                                     .first = first,
                                     .rows = n - first < tape->chunk ? n - first : tape->chunk,
                                     .dlogits = tape->cotangents,
                                     .owners = df_at(tape->owners, first)};
        for (int32_t i = 0; i < g->instructions; i++)
            DF_TRY(run_instruction(g, &pass, &instructions[i], owner + first, squares + first,
                                   vectors ? vectors + first * g->size : NULL));
    }
    return DFAL_OK;
}
