/* SPDX-License-Identifier: Apache-2.0 */
/* A chain in training: its memory, its parameters in and out, and a step, whose inner loops are
 * cpu_chain_step.c's. */
#include "backend/cpu_chain.h"

#include <string.h>

#include "backend/cpu.h"
#include "base/memory.h"

/* The longest batch, the most units of a layer, and bytes beside the parameters: restarts run side by side,
 * and each has its own. */
enum { MOST_BATCH = 4096, MOST_UNITS = 16384, MOST_BYTES = 64 << 20 };

/* ---- which networks ------------------------------------------------------------------------------------ */

/* A pair's convolution may have more filters: it is not run as one. Is the product of the two less work, over
 * a step, than the two? Forward, back and gradient cost a multiplication a row each; of a pair each weight of
 * the product costs one a filter thrice a step besides. */
static bool is_pair(const struct df_chain_desc *desc, int32_t i)
{
    const struct df_fused_stage *conv = &desc->network.stages[i], *dense = conv + 1;
    const struct df_window *w = &conv->window;
    if (i + 1 >= desc->network.count || conv->is_gemm || !dense->is_gemm || conv->relu || conv->pool ||
        desc->drop[i].rate > 0 || w->kernel[0] != 1 || w->kernel[1] != 1 || w->stride[0] != 1 ||
        w->stride[1] != 1 || w->pad[0] || w->pad[1] || w->pad[2] || w->pad[3])
        return false;
    const double mid = conv->out.c, in = conv->in.c, hidden = dense->out.c, rows = desc->batch;
    return rows * hidden * in + mid * hidden * in < rows * mid * (in + hidden);
}

/* Of values and codes of the rows that go through a layer together, in lanes and as rows; a dense layer's
 * inputs and gradients are kept for the whole batch. */
static double workspace_bytes(const struct df_chain_desc *desc)
{
    enum { WIDEST = 16 };
    double bytes = 0;
    for (int32_t i = 0; i < desc->network.count; i++) {
        const struct df_fused_stage *stage = &desc->network.stages[i];
        const double in = (double)df_shape_size(stage->in), out = (double)df_shape_size(stage->out),
                     rows = stage->is_gemm ? desc->batch : DF_CHAIN_ROWS;
        bytes += sizeof(float) * (in + (stage->is_gemm ? out : 0)) * (rows + WIDEST) +
                 2 * out * (DF_CHAIN_ROWS + WIDEST);
    }
    return bytes;
}

static bool is_trained_here(const struct df_chain_desc *desc)
{
    bool dense = false;
    if (desc->batch > MOST_BATCH || workspace_bytes(desc) > MOST_BYTES)
        return false;
    for (int32_t i = 0; i < desc->network.count; i++) {
        const struct df_fused_stage *stage = &desc->network.stages[i];
        if ((dense && !stage->is_gemm) ||
            (!stage->is_gemm && !is_pair(desc, i) && !df_stack_is_narrow(stage)) ||
            df_shape_size(stage->in) > MOST_UNITS * INT64_C(16) ||
            (stage->is_gemm && stage->out.c > MOST_UNITS))
            return false;
        dense = dense || stage->is_gemm;
    }
    return true;
}

static const struct df_chain_kernels *kernels_of(const struct df_device *device)
{
    return ((const struct df_cpu_device *)device)->isa == DF_CPU_AVX512 ? &df_chain_kernels_avx512
                                                                        : &df_chain_kernels_avx2;
}

/* ---- layers -------------------------------------------------------------------------------------------- */

/* The optimiser takes whole vectors. */
static dfal_status values_create(struct df_chain_values *values, int64_t count)
{
    values->count = df_stack_padded(count);
    DF_TRY(df_alloc(&values->w, values->count, sizeof *values->w));
    DF_TRY(df_alloc(&values->m, values->count, sizeof *values->m));
    return df_alloc(&values->v, values->count, sizeof *values->v);
}

static void values_clear(struct df_chain_values *values)
{
    df_free(values->w);
    df_free(values->m);
    df_free(values->v);
}

static dfal_status create_way_back(struct df_chain_layer *l, const struct df_chain_kernels *kernels)
{
    df_stack_measure_back(&l->stack, 1);
    DF_TRY(df_alloc(&l->stack.turned, (int64_t)l->stack.outputs * l->stack.turned_filter + DF_STACK_SLACK,
                    sizeof *l->stack.turned));
    DF_TRY(df_stack_tiles_create(&l->tiles, kernels->tiles, &l->stack, 1));
    return df_alloc(&l->gradient, df_stack_gradient_count(&l->stack), sizeof *l->gradient);
}

static dfal_status create_codes(uint8_t **codes, int64_t count)
{
    DF_TRY(df_alloc(codes, count, 1));
    memset(*codes, DF_STACK_DEAD, (size_t)count);
    return DFAL_OK;
}

static dfal_status layer_create(struct df_chain_layer *l, const struct df_chain *chain,
                                const struct df_chain_kernels *kernels, bool first)
{
    const int64_t lanes = chain->lanes, units = (int64_t)l->stack.outputs * l->stack.unit_row,
                  windows = (int64_t)l->stack.windows * l->stack.window_row,
                  outputs = (int64_t)l->stack.outputs * l->stack.windows;
    const int64_t rows = l->stack.conv ? DF_CHAIN_ROWS : (chain->desc.batch + lanes - 1) / lanes * lanes;
    DF_TRY(values_create(&l->weight, (int64_t)l->stack.outputs * l->stack.filter));
    DF_TRY(values_create(&l->bias, l->stack.window_row));
    l->stack.weight = l->weight.w;
    l->stack.bias = l->bias.w;
    DF_TRY(df_alloc(&l->window_at, l->stack.windows, sizeof *l->window_at));
    for (int32_t w = 0, step = l->stack.pool ? 2 : 1; w < l->stack.windows; w++)
        l->window_at[w] =
            step * (w / l->stack.out_w * l->stack.line + w % l->stack.out_w * l->stack.channels);
    DF_TRY(df_alloc(&l->bias_gradient, l->stack.window_row, sizeof *l->bias_gradient));
    DF_TRY(df_alloc(&l->stack.lanes, l->stack.in * lanes, sizeof *l->stack.lanes));
    DF_TRY(df_alloc(&l->rows, rows * l->stride, sizeof *l->rows));
    DF_TRY(create_codes(&l->stack.lane_windows, windows * lanes));
    DF_TRY(create_codes(&l->window_codes, windows * DF_CHAIN_ROWS));
    DF_TRY(df_alloc(&l->output_gradient,
                    (l->stack.conv ? df_stack_padded(outputs) : rows * l->stack.window_row),
                    sizeof *l->output_gradient));
    if (l->stack.conv) {
        DF_TRY(df_alloc(&l->weight_gradient, l->weight.count, sizeof *l->weight_gradient));
        DF_TRY(create_codes(&l->stack.lane_units, units * lanes));
        DF_TRY(create_codes(&l->units, units * DF_CHAIN_ROWS));
        if (!first)
            DF_TRY(create_way_back(l, kernels));
    }
    l->keep_scale = l->drop.rate > 0 ? (float)(1 / (1 - l->drop.rate)) : 1;
    if (!(l->drop.rate > 0))
        return DFAL_OK;
    DF_TRY(df_alloc(&l->kept, outputs * DF_CHAIN_ROWS, sizeof *l->kept));
    return df_alloc(&l->lane_kept, outputs * lanes, sizeof *l->lane_kept);
}

static void layer_clear(struct df_chain_layer *l)
{
    struct df_chain_pair *pair = l->pair;
    if (pair) {
        values_clear(&pair->conv);
        values_clear(&pair->dense);
        values_clear(&pair->bias);
        void *const arrays[] = {pair->conv_gradient, pair->inside, pair->bias_sum,
                                pair->line,          pair->block,  pair->turned};
        for (size_t a = 0; a < sizeof arrays / sizeof *arrays; a++)
            df_free(arrays[a]);
        df_free(pair);
    }
    values_clear(&l->weight);
    values_clear(&l->bias);
    void *const arrays[] = {l->weight_gradient,
                            l->bias_gradient,
                            l->window_at,
                            l->stack.turned,
                            l->tiles.tile,
                            l->stack.lanes,
                            l->rows,
                            l->gradient,
                            l->output_gradient,
                            l->stack.lane_units,
                            l->stack.lane_windows,
                            l->units,
                            l->window_codes,
                            l->kept,
                            l->lane_kept};
    for (size_t a = 0; a < sizeof arrays / sizeof *arrays; a++)
        df_free(arrays[a]);
}

static dfal_status pair_create(struct df_chain_layer *l, const struct df_fused_stage *conv)
{
    struct df_chain_pair *pair;
    DF_TRY(df_alloc(&l->pair, 1, sizeof *l->pair));
    pair = l->pair;
    pair->mid = conv->out.c;
    pair->positions = conv->in.h * conv->in.w;
    pair->channels = conv->in.c;
    pair->wide_p = df_stack_padded(pair->positions);
    pair->wide_c = df_stack_padded(pair->channels);
    const int64_t block = (int64_t)pair->wide_p * pair->wide_c, lines = (int64_t)pair->mid * pair->wide_p;
    DF_TRY(values_create(&pair->conv, (int64_t)pair->mid * pair->wide_c + df_stack_padded(pair->mid)));
    DF_TRY(values_create(&pair->dense, l->stack.outputs * lines));
    DF_TRY(values_create(&pair->bias, l->stack.window_row));
    DF_TRY(df_alloc(&pair->conv_gradient, pair->conv.count, sizeof *pair->conv_gradient));
    DF_TRY(df_alloc(&pair->bias_sum, lines, sizeof *pair->bias_sum));
    DF_TRY(df_alloc(&pair->line, l->stack.row, sizeof *pair->line));
    DF_TRY(df_alloc(&pair->block, block, sizeof *pair->block));
    DF_TRY(df_alloc(&pair->turned, block, sizeof *pair->turned));
    DF_TRY(df_alloc(&pair->inside, pair->wide_p, sizeof *pair->inside));
    for (int32_t p = 0; p < pair->positions; p++)
        pair->inside[p] = 1;
    return DFAL_OK;
}

static void link_layers(struct df_chain *chain)
{
    for (int32_t i = 0; i < chain->count; i++)
        df_stack_link(&chain->layer[i].stack, i + 1 < chain->count ? &chain->layer[i + 1].stack : NULL,
                      chain->lane_logits, chain->lanes);
}

static dfal_status layers_create(struct df_chain *chain, const struct df_chain_kernels *kernels)
{
    const struct df_chain_desc *desc = &chain->desc;
    for (int32_t i = 0; i < desc->network.count; i++) {
        struct df_chain_layer *l = &chain->layer[chain->count++];
        struct df_fused_stage stage = desc->network.stages[i];
        const bool pair = is_pair(desc, i);
        if (pair) {
            stage = desc->network.stages[i + 1];
            stage.in = desc->network.stages[i].in;
        }
        df_stack_measure(&l->stack, &stage);
        l->stride = l->stack.in + DF_STACK_SLACK;
        chain->stage[chain->count - 1] = i;
        l->drop = desc->drop[i + pair];
        DF_TRY(layer_create(l, chain, kernels, chain->count == 1));
        if (pair)
            DF_TRY(pair_create(l, &desc->network.stages[i++]));
    }
    return DFAL_OK;
}

static dfal_status lists_create(struct df_chain *chain)
{
    const int64_t classes = chain->layer[chain->count - 1].stack.outputs;
    int64_t most = chain->desc.batch, dropped = 0, units_back = 0, groups = 0;
    for (int32_t i = 0; i < chain->count; i++) {
        const struct df_chain_layer *l = &chain->layer[i];
        const int64_t units = (int64_t)l->stack.outputs * l->stack.windows;
        most = l->stack.unit_row > most ? l->stack.unit_row : most;
        most = l->stack.window_row > most ? l->stack.window_row : most;
        dropped = l->drop.rate > 0 && units > dropped ? units : dropped;
        if (l->tiles.count > 0) {
            units_back = units > units_back ? units : units_back;
            groups = df_stack_groups(&l->stack) > groups ? df_stack_groups(&l->stack) : groups;
        }
    }
    most += 16; /* lists are written eight units at a time, and end with one that is none */
    DF_TRY(df_alloc(&chain->unit, most, sizeof *chain->unit));
    DF_TRY(df_alloc(&chain->list.unit, units_back + 1, sizeof *chain->list.unit));
    DF_TRY(df_alloc(&chain->list.begin, groups + 1, sizeof *chain->list.begin));
    DF_TRY(df_alloc(&chain->at, most, sizeof *chain->at));
    DF_TRY(df_alloc(&chain->value, most, sizeof *chain->value));
    DF_TRY(df_alloc(&chain->ones, dropped * DF_CHAIN_ROWS, sizeof *chain->ones));
    for (int64_t i = 0; i < dropped * DF_CHAIN_ROWS; i++)
        chain->ones[i] = 1;
    DF_TRY(df_alloc(&chain->logits, classes * DF_CHAIN_ROWS, sizeof *chain->logits));
    DF_TRY(df_alloc(&chain->dlogits, classes * DF_CHAIN_ROWS, sizeof *chain->dlogits));
    return df_alloc(&chain->lane_logits, classes * chain->lanes, sizeof *chain->lane_logits);
}

dfal_status df_cpu_chain_create(struct df_device *device, struct df_chain **out,
                                const struct df_chain_desc *desc)
{
    struct df_chain *chain = NULL;
    dfal_status status;
    *out = NULL;
    if (!is_trained_here(desc))
        DF_FAIL(DFAL_E_UNAVAILABLE, "this network is not trained as a whole");
    DF_TRY(df_alloc(&chain, 1, sizeof *chain));
    chain->desc = *desc;
    chain->lanes = kernels_of(device)->lanes;
    df_stack_fill_squeeze(chain->squeeze);
    DF_TRY_TO(done, status, layers_create(chain, kernels_of(device)));
    DF_TRY_TO(done, status, lists_create(chain));
    link_layers(chain);
    *out = chain;
    chain = NULL;
done:
    df_cpu_chain_destroy(device, chain);
    return status;
}

void df_cpu_chain_destroy(struct df_device *device, struct df_chain *chain)
{
    (void)device;
    if (!chain)
        return;
    for (int32_t i = 0; i < chain->count; i++)
        layer_clear(&chain->layer[i]);
    df_free(chain->unit);
    df_free(chain->list.unit);
    df_free(chain->list.begin);
    df_free(chain->at);
    df_free(chain->value);
    df_free(chain->ones);
    df_free(chain->logits);
    df_free(chain->dlogits);
    df_free(chain->lane_logits);
    df_free(chain);
}

/* ---- parameters ---------------------------------------------------------------------------------------- */

/* Which of a parameter's three numbers. */
static float *values_of(const struct df_chain_values *values, int which)
{
    return which == 0 ? values->w : which == 1 ? values->m : values->v;
}

static void move_pair(const struct df_chain_layer *l, const struct df_fused_stage *conv, float *flat,
                      int which, enum df_stack_direction direction)
{
    const struct df_chain_pair *pair = l->pair;
    const struct df_fused_stage *dense = conv + 1;
    const struct df_stack_block weights = {pair->mid, 1, pair->channels, conv->weight_at, 0, pair->wide_c,
                                           0,         1},
                                biases = {1, 1, pair->mid, conv->bias_at, (int64_t)pair->mid * pair->wide_c,
                                          0, 0, 1},
                                product = {l->stack.outputs, pair->mid, pair->positions,
                                           dense->weight_at, 0,         (int64_t)pair->mid * pair->wide_p,
                                           pair->wide_p,     1},
                                product_biases = {1, 1, l->stack.outputs, dense->bias_at, 0, 0, 0, 1};
    df_stack_move_block(&weights, values_of(&pair->conv, which), flat, direction);
    df_stack_move_block(&biases, values_of(&pair->conv, which), flat, direction);
    df_stack_move_block(&product, values_of(&pair->dense, which), flat, direction);
    df_stack_move_block(&product_biases, values_of(&pair->bias, which), flat, direction);
}

static void move_layer(const struct df_chain_layer *l, const struct df_fused_stage *stage, float *flat,
                       int which, enum df_stack_direction direction)
{
    df_stack_move(&l->stack, stage, values_of(&l->weight, which), values_of(&l->bias, which), flat,
                  direction);
}

static void move(struct df_chain *chain, float *flat, int which, enum df_stack_direction direction)
{
    for (int32_t i = 0; i < chain->count; i++) {
        const struct df_chain_layer *l = &chain->layer[i];
        const struct df_fused_stage *stage = &chain->desc.network.stages[chain->stage[i]];
        (l->pair ? move_pair : move_layer)(l, stage, flat, which, direction);
    }
}

static void clear_moments(struct df_chain_values *values)
{
    memset(values->m, 0, (size_t)values->count * sizeof *values->m);
    memset(values->v, 0, (size_t)values->count * sizeof *values->v);
}

dfal_status df_cpu_chain_load(struct df_device *device, struct df_chain *chain, const float *values,
                              const float *m, const float *v)
{
    for (int32_t i = 0; i < chain->count; i++) {
        struct df_chain_layer *l = &chain->layer[i];
        clear_moments(&l->weight);
        clear_moments(&l->bias);
        if (l->pair) {
            clear_moments(&l->pair->conv);
            clear_moments(&l->pair->dense);
            clear_moments(&l->pair->bias);
        }
    }
    /* Only read from: the casts serve the loops that go both ways. */
    move(chain, (float *)values, 0, DF_STACK_IN);
    if (m)
        move(chain, (float *)m, 1, DF_STACK_IN);
    if (v)
        move(chain, (float *)v, 2, DF_STACK_IN);
    kernels_of(device)->prepare(chain);
    return DFAL_OK;
}

dfal_status df_cpu_chain_store(struct df_device *device, struct df_chain *chain, float *values, float *m,
                               float *v)
{
    (void)device;
    move(chain, values, 0, DF_STACK_OUT);
    if (m)
        move(chain, m, 1, DF_STACK_OUT);
    if (v)
        move(chain, v, 2, DF_STACK_OUT);
    return DFAL_OK;
}

/* ---- a step -------------------------------------------------------------------------------------------- */

/* Some rows of a batch, which go through the convolutions together. */
struct part {
    const struct df_chain_call *call;
    int64_t first, rows; /* in the batch */
};

static void take_line(float *to, const float *x, int32_t width, int32_t channels)
{
    if (channels == 1) {
        memcpy(to, x, (size_t)width * sizeof *to);
        return;
    }
    for (int64_t i = 0; i < width; i++)
        to[i * channels] = x[i];
}

/* Samples lie [channel][y][x], the first layer's rows [y][x][channel] between zeros. */
static void take_rows(const struct df_chain *chain, const struct part *part)
{
    const struct df_chain_layer *l = chain->layer;
    const struct df_shape in = chain->desc.network.stages[0].in;
    const int64_t plane = (int64_t)in.h * in.w, line = l->stack.conv ? l->stack.line : (int64_t)in.w * in.c,
                  begin = l->stack.conv
                              ? (int64_t)l->stack.pad_top * l->stack.line + (int64_t)l->stack.pad_left * in.c
                              : 0;
    for (int64_t r = 0; r < part->rows; r++) {
        const float *x = part->call->x[part->first + r];
        float *to = l->rows + (l->stack.conv ? r : part->first + r) * l->stride + begin;
        for (int32_t y = 0; y < in.h; y++)
            for (int32_t c = 0; c < in.c; c++)
                take_line(to + y * line + c, x + c * plane + (int64_t)y * in.w, in.w, in.c);
    }
}

static void draw_dropout(const struct df_chain_kernels *kernels, const struct df_chain *chain,
                         const struct part *part)
{
    for (int32_t i = 0; i < chain->count; i++) {
        const struct df_chain_layer *l = &chain->layer[i];
        if (!(l->drop.rate > 0))
            continue;
        const struct df_io io = {.out = {l->kept},
                                 .in = {chain->ones},
                                 .rows = part->rows,
                                 .cols = (int64_t)l->stack.outputs * l->stack.windows,
                                 .p.dropout = {.seed = part->call->seed,
                                               .step = part->call->step,
                                               .first_row = part->first,
                                               .rate = l->drop.rate,
                                               .node = l->drop.node}};
        kernels->drop(&io);
    }
}

static void take_losses(const struct df_chain *chain, const struct part *part)
{
    const struct df_chain_call *call = part->call;
    const struct df_chain_layer *last = &chain->layer[chain->count - 1];
    const struct df_io io = {.out = {call->loss + part->first, call->training ? chain->dlogits : NULL},
                             .in = {chain->logits, call->label + part->first, call->weight + part->first},
                             .rows = part->rows,
                             .cols = last->stack.outputs,
                             .p.loss = {.classes = last->stack.outputs, .scale = 1.0 / (double)call->rows}};
    df_cpu_cells[DF_OP_softmax_loss](&io);
    for (int64_t r = 0; call->training && r < part->rows; r++)
        memcpy(last->output_gradient + (part->first + r) * last->stack.window_row,
               chain->dlogits + r * last->stack.outputs, (size_t)last->stack.outputs * sizeof(float));
}

static void run_part(const struct df_chain_kernels *kernels, struct df_chain *chain, const struct part *part)
{
    const bool training = part->call->training;
    take_rows(chain, part);
    if (training)
        draw_dropout(kernels, chain, part);
    for (int64_t first = 0; first < part->rows; first += chain->lanes) {
        const int64_t left = part->rows - first;
        kernels->forward(chain, first, left < chain->lanes ? left : chain->lanes, training, part->first);
    }
    take_losses(chain, part);
    for (int64_t r = 0; training && r < part->rows; r++)
        kernels->backward(chain, r, part->first + r);
}

static void clear_gradients(struct df_chain *chain)
{
    for (int32_t i = 0; i < chain->count; i++) {
        struct df_chain_layer *l = &chain->layer[i];
        memset(l->bias_gradient, 0, (size_t)l->bias.count * sizeof(float));
        if (l->stack.conv)
            memset(l->weight_gradient, 0, (size_t)l->weight.count * sizeof(float));
    }
}

dfal_status df_cpu_chain_run(struct df_device *device, int32_t queue, const struct df_chain_call *call)
{
    const struct df_chain_kernels *kernels = kernels_of(device);
    struct df_chain *chain = call->chain;
    const struct df_chain_desc *desc = &chain->desc;
    (void)queue;
    if (call->rows > desc->batch)
        DF_FAIL(DFAL_E_INTERNAL, "a chain for batches of %d was given %lld rows", desc->batch,
                (long long)call->rows);
    if (call->training)
        clear_gradients(chain);
    for (int64_t first = 0; first < call->rows; first += DF_CHAIN_ROWS) {
        const int64_t left = call->rows - first;
        const struct part part = {call, first, left < DF_CHAIN_ROWS ? left : DF_CHAIN_ROWS};
        run_part(kernels, chain, &part);
    }
    if (!call->training)
        return DFAL_OK;
    const struct df_chain_rates rates = {.sgd = desc->sgd,
                                         .rate = (float)call->rate,
                                         .b1 = (float)desc->beta1,
                                         .b2 = (float)desc->beta2,
                                         .c1 = (float)(1 - desc->beta1),
                                         .c2 = (float)(1 - desc->beta2),
                                         .epsilon = (float)desc->epsilon,
                                         .momentum = (float)desc->momentum};
    kernels->update(chain, call->rows, &rates);
    return DFAL_OK;
}
