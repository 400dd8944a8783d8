/* SPDX-License-Identifier: Apache-2.0 */
/* A chain in training: its memory, its parameters in and out, and a step, whose inner loops are
 * cpu_chain_step.c's. */
#include "backend/cpu_chain.h"

#include <string.h>

#include "backend/cpu.h"
#include "base/memory.h"

/* Channels of a convolution up to which a sample a lane beats a library that has channels in lanes; the
 * longest batch, of which the inputs of dense layers are kept; the most units of a layer. */
enum { MOST_CHANNELS = 64, MOST_BATCH = 4096, MOST_UNITS = 16384 };

/* ---- which networks ------------------------------------------------------------------------------------ */

static bool is_narrow(const struct df_fused_stage *stage)
{
    const struct df_window *w = &stage->window;
    return stage->in.c <= MOST_CHANNELS && stage->out.c <= MOST_CHANNELS && w->stride[0] == 1 &&
           w->stride[1] == 1 && w->kernel[0] <= 7 && w->kernel[1] <= 7 &&
           (int64_t)stage->out.h * stage->out.w <= MOST_UNITS;
}

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

static bool is_trained_here(const struct df_chain_desc *desc)
{
    bool dense = false;
    if (desc->batch > MOST_BATCH)
        return false;
    for (int32_t i = 0; i < desc->network.count; i++) {
        const struct df_fused_stage *stage = &desc->network.stages[i];
        if ((dense && !stage->is_gemm) || (!stage->is_gemm && !is_pair(desc, i) && !is_narrow(stage)) ||
            df_shape_size(stage->in) > MOST_UNITS * INT64_C(16) ||
            (stage->is_gemm && stage->out.c > MOST_UNITS))
            return false;
        dense = dense || stage->is_gemm;
    }
    return true;
}

/* ---- layers -------------------------------------------------------------------------------------------- */

static dfal_status values_create(struct df_chain_values *values, int64_t count)
{
    values->count = count;
    DF_TRY(df_alloc(&values->w, count, sizeof *values->w));
    DF_TRY(df_alloc(&values->m, count, sizeof *values->m));
    return df_alloc(&values->v, count, sizeof *values->v);
}

static void values_clear(struct df_chain_values *values)
{
    df_free(values->w);
    df_free(values->m);
    df_free(values->v);
}

/* Sizes of a layer. conv NULL: of a dense layer; else of the convolution, or of the pair that both are. */
static void measure(struct df_chain_layer *l, const struct df_fused_stage *stage)
{
    const struct df_shape in = stage->in, out = stage->out;
    l->conv = !stage->is_gemm;
    l->relu = stage->relu;
    l->pool = stage->pool;
    l->outputs = out.c;
    l->channels = l->conv ? in.c : (int32_t)df_shape_size(in);
    l->kernel_h = l->conv ? stage->window.kernel[0] : 1;
    l->kernel_w = l->conv ? stage->window.kernel[1] : 1;
    l->pad_top = l->conv ? stage->window.pad[0] : 0;
    l->pad_left = l->conv ? stage->window.pad[1] : 0;
    l->height = l->conv ? in.h + l->pad_top + stage->window.pad[2] : 1;
    l->line = (l->conv ? in.w + l->pad_left + stage->window.pad[3] : 1) * l->channels;
    l->out_h = out.h;
    l->out_w = out.w;
    l->windows = out.h * out.w;
    l->in = df_chain_padded((int64_t)l->height * l->line);
    l->stride = l->in + DF_CHAIN_SLACK;
    const int32_t run = l->kernel_w * l->channels;
    l->row = l->conv && run <= 8 ? 8 : df_chain_padded(run);
    l->filter = l->kernel_h * l->row;
    l->unit_row = df_chain_padded(l->windows);
    l->window_row = df_chain_padded(l->outputs);
}

/* Sums of a tile stay in registers: the fewest tiles that cover what a unit adds to. */
static void choose_tiles(struct df_chain_layer *l, int32_t lanes)
{
    const int32_t more = l->pool ? 1 : 0, lines = l->kernel_h + more,
                  vectors = ((l->kernel_w + more) * l->channels + lanes - 1) / lanes;
    l->tile_h = lines <= 2 ? lines : lines <= 4 || lines > 6 ? 4 : 6;
    l->tiles_h = (lines + l->tile_h - 1) / l->tile_h;
    const int32_t most = lanes == 8 && l->tile_h == 6 ? 2 : 3;
    l->tiles_w = (vectors + most - 1) / most;
    l->tile_w = (vectors + l->tiles_w - 1) / l->tiles_w;
    l->turned_row = l->channels + l->tiles_w * l->tile_w * lanes;
    l->turned_filter = (l->tiles_h * l->tile_h + 1) * l->turned_row;
}

static dfal_status create_way_back(struct df_chain_layer *l, int32_t lanes)
{
    const int64_t lines = l->height + 8; /* a tile may reach beyond the last line, with zeros */
    choose_tiles(l, lanes);
    DF_TRY(df_alloc(&l->turned, (int64_t)l->outputs * l->turned_filter + DF_CHAIN_SLACK, sizeof *l->turned));
    return df_alloc(&l->gradient, lines * l->line + l->turned_row + 2 * DF_CHAIN_SLACK, sizeof *l->gradient);
}

static dfal_status create_codes(uint8_t **codes, int64_t count)
{
    DF_TRY(df_alloc(codes, count, 1));
    memset(*codes, DF_CHAIN_DEAD, (size_t)count);
    return DFAL_OK;
}

static dfal_status layer_create(struct df_chain_layer *l, const struct df_chain *chain, bool first)
{
    const int64_t lanes = chain->lanes, units = (int64_t)l->outputs * l->unit_row,
                  windows = (int64_t)l->windows * l->window_row, outputs = (int64_t)l->outputs * l->windows;
    const int64_t rows = l->conv ? DF_CHAIN_ROWS : (chain->desc.batch + lanes - 1) / lanes * lanes;
    DF_TRY(values_create(&l->weight, (int64_t)l->outputs * l->filter));
    DF_TRY(values_create(&l->bias, l->window_row));
    DF_TRY(df_alloc(&l->window_at, l->windows, sizeof *l->window_at));
    for (int32_t w = 0, step = l->pool ? 2 : 1; w < l->windows; w++)
        l->window_at[w] = step * (w / l->out_w * l->line + w % l->out_w * l->channels);
    DF_TRY(df_alloc(&l->bias_gradient, l->window_row, sizeof *l->bias_gradient));
    DF_TRY(df_alloc(&l->lanes, l->in * lanes, sizeof *l->lanes));
    DF_TRY(df_alloc(&l->rows, rows * l->stride, sizeof *l->rows));
    DF_TRY(create_codes(&l->lane_windows, windows * lanes));
    DF_TRY(create_codes(&l->window_codes, windows * DF_CHAIN_ROWS));
    DF_TRY(df_alloc(&l->output_gradient, (l->conv ? df_chain_padded(outputs) : rows * l->window_row),
                    sizeof *l->output_gradient));
    if (l->conv) {
        DF_TRY(df_alloc(&l->weight_gradient, l->weight.count, sizeof *l->weight_gradient));
        DF_TRY(create_codes(&l->lane_units, units * lanes));
        DF_TRY(create_codes(&l->units, units * DF_CHAIN_ROWS));
        if (!first)
            DF_TRY(create_way_back(l, chain->lanes));
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
                            l->turned,
                            l->lanes,
                            l->rows,
                            l->gradient,
                            l->output_gradient,
                            l->lane_units,
                            l->lane_windows,
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
    pair->wide_p = df_chain_padded(pair->positions);
    pair->wide_c = df_chain_padded(pair->channels);
    const int64_t block = (int64_t)pair->wide_p * pair->wide_c, lines = (int64_t)pair->mid * pair->wide_p;
    DF_TRY(values_create(&pair->conv, (int64_t)pair->mid * pair->wide_c + df_chain_padded(pair->mid)));
    DF_TRY(values_create(&pair->dense, l->outputs * lines));
    DF_TRY(values_create(&pair->bias, l->window_row));
    DF_TRY(df_alloc(&pair->conv_gradient, pair->conv.count, sizeof *pair->conv_gradient));
    DF_TRY(df_alloc(&pair->bias_sum, lines, sizeof *pair->bias_sum));
    DF_TRY(df_alloc(&pair->line, l->row, sizeof *pair->line));
    DF_TRY(df_alloc(&pair->block, block, sizeof *pair->block));
    DF_TRY(df_alloc(&pair->turned, block, sizeof *pair->turned));
    DF_TRY(df_alloc(&pair->inside, pair->wide_p, sizeof *pair->inside));
    for (int32_t p = 0; p < pair->positions; p++)
        pair->inside[p] = 1;
    return DFAL_OK;
}

/* Each layer writes its outputs where the next one reads its inputs. */
static dfal_status link_layers(struct df_chain *chain)
{
    for (int32_t i = 0; i < chain->count; i++) {
        struct df_chain_layer *l = &chain->layer[i], *next = l + 1;
        const bool last = i + 1 == chain->count, conv = !last && next->conv;
        l->out_line = conv ? next->line : l->out_w * l->outputs;
        l->out = last ? chain->lane_logits : next->lanes;
        if (conv)
            l->out += ((int64_t)next->pad_top * next->line + (int64_t)next->pad_left * next->channels) *
                      chain->lanes;
    }
    return DFAL_OK;
}

static dfal_status layers_create(struct df_chain *chain)
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
        measure(l, &stage);
        chain->stage[chain->count - 1] = i;
        l->drop = desc->drop[i + pair];
        DF_TRY(layer_create(l, chain, chain->count == 1));
        if (pair)
            DF_TRY(pair_create(l, &desc->network.stages[i++]));
    }
    return DFAL_OK;
}

static dfal_status lists_create(struct df_chain *chain)
{
    const int64_t classes = chain->layer[chain->count - 1].outputs;
    int64_t most = chain->desc.batch, dropped = 0;
    for (int32_t i = 0; i < chain->count; i++) {
        const struct df_chain_layer *l = &chain->layer[i];
        const int64_t units = (int64_t)l->outputs * l->windows;
        most = l->unit_row > most ? l->unit_row : most;
        most = l->window_row > most ? l->window_row : most;
        dropped = l->drop.rate > 0 && units > dropped ? units : dropped;
    }
    most += 16; /* lists are written eight units at a time, and end with one that is none */
    DF_TRY(df_alloc(&chain->unit, most, sizeof *chain->unit));
    DF_TRY(df_alloc(&chain->from, most, sizeof *chain->from));
    DF_TRY(df_alloc(&chain->tile, most, sizeof *chain->tile));
    DF_TRY(df_alloc(&chain->at, most, sizeof *chain->at));
    DF_TRY(df_alloc(&chain->value, most, sizeof *chain->value));
    DF_TRY(df_alloc(&chain->ones, dropped * DF_CHAIN_ROWS, sizeof *chain->ones));
    for (int64_t i = 0; i < dropped * DF_CHAIN_ROWS; i++)
        chain->ones[i] = 1;
    DF_TRY(df_alloc(&chain->logits, classes * DF_CHAIN_ROWS, sizeof *chain->logits));
    DF_TRY(df_alloc(&chain->dlogits, classes * DF_CHAIN_ROWS, sizeof *chain->dlogits));
    return df_alloc(&chain->lane_logits, classes * chain->lanes, sizeof *chain->lane_logits);
}

static void fill_squeeze(struct df_chain *chain)
{
    for (int mask = 0; mask < 256; mask++)
        for (int bit = 0, place = 0; bit < 8; bit++)
            if (mask >> bit & 1) {
                chain->squeeze[mask][place++] = (uint8_t)(2 * bit);
                chain->squeeze[mask][place++] = (uint8_t)(2 * bit + 1);
            }
}

static const struct df_chain_kernels *kernels_of(const struct df_device *device)
{
    return ((const struct df_cpu_device *)device)->isa == DF_CPU_AVX512 ? &df_chain_kernels_avx512
                                                                        : &df_chain_kernels_avx2;
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
    fill_squeeze(chain);
    DF_TRY_TO(done, status, layers_create(chain));
    DF_TRY_TO(done, status, lists_create(chain));
    DF_TRY_TO(done, status, link_layers(chain));
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
    df_free(chain->from);
    df_free(chain->tile);
    df_free(chain->at);
    df_free(chain->value);
    df_free(chain->ones);
    df_free(chain->logits);
    df_free(chain->dlogits);
    df_free(chain->lane_logits);
    df_free(chain);
}

/* ---- parameters ---------------------------------------------------------------------------------------- */

/* A block of the flat parameters, [outer][middle][inner], and where its values stand here. */
struct block {
    int64_t outer, middle, inner;
    int64_t at; /* in the flat array */
    int64_t here, outer_step, middle_step, inner_step;
};

enum direction { IN, OUT };

static void move_block(const struct block *b, float *values, float *flat, enum direction direction)
{
    float *from = flat + b->at;
    for (int64_t o = 0; o < b->outer; o++)
        for (int64_t m = 0; m < b->middle; m++)
            for (int64_t i = 0; i < b->inner; i++, from++) {
                float *here = values + b->here + o * b->outer_step + m * b->middle_step + i * b->inner_step;
                if (direction == IN)
                    *here = *from;
                else
                    *from = *here;
            }
}

/* Which of a parameter's three numbers. */
static float *values_of(const struct df_chain_values *values, int which)
{
    return which == 0 ? values->w : which == 1 ? values->m : values->v;
}

static void move_pair(const struct df_chain_layer *l, const struct df_fused_stage *conv, float *flat,
                      int which, enum direction direction)
{
    const struct df_chain_pair *pair = l->pair;
    const struct df_fused_stage *dense = conv + 1;
    const struct block weights = {pair->mid, 1, pair->channels, conv->weight_at, 0, pair->wide_c, 0, 1},
                       biases = {1, 1, pair->mid, conv->bias_at, (int64_t)pair->mid * pair->wide_c, 0, 0, 1},
                       product = {l->outputs,       pair->mid, pair->positions,
                                  dense->weight_at, 0,         (int64_t)pair->mid * pair->wide_p,
                                  pair->wide_p,     1},
                       product_biases = {1, 1, l->outputs, dense->bias_at, 0, 0, 0, 1};
    move_block(&weights, values_of(&pair->conv, which), flat, direction);
    move_block(&biases, values_of(&pair->conv, which), flat, direction);
    move_block(&product, values_of(&pair->dense, which), flat, direction);
    move_block(&product_biases, values_of(&pair->bias, which), flat, direction);
}

/* Filters lie [output][channel][y][x] there and [output][y][x][channel] here; the inputs of a dense layer
 * likewise, as many planes as its input has channels. */
static void move_layer(const struct df_chain_layer *l, const struct df_fused_stage *stage, float *flat,
                       int which, enum direction direction)
{
    const struct df_shape in = stage->in;
    const struct block biases = {1, 1, l->outputs, stage->bias_at, 0, 0, 0, 1};
    const int32_t channels = in.c, height = l->conv ? l->kernel_h : in.h,
                  width = l->conv ? l->kernel_w : in.w;
    const int64_t line = l->conv ? l->row : (int64_t)width * channels;
    for (int32_t o = 0; o < l->outputs; o++) {
        const struct block filter = {channels,
                                     height,
                                     width,
                                     stage->weight_at + (int64_t)o * channels * height * width,
                                     (int64_t)o * l->filter,
                                     1,
                                     line,
                                     channels};
        move_block(&filter, values_of(&l->weight, which), flat, direction);
    }
    move_block(&biases, values_of(&l->bias, which), flat, direction);
}

static void move(struct df_chain *chain, float *flat, int which, enum direction direction)
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
    move(chain, (float *)values, 0, IN);
    if (m)
        move(chain, (float *)m, 1, IN);
    if (v)
        move(chain, (float *)v, 2, IN);
    kernels_of(device)->prepare(chain);
    return DFAL_OK;
}

dfal_status df_cpu_chain_store(struct df_device *device, struct df_chain *chain, float *values, float *m,
                               float *v)
{
    (void)device;
    move(chain, values, 0, OUT);
    if (m)
        move(chain, m, 1, OUT);
    if (v)
        move(chain, v, 2, OUT);
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
    const int64_t plane = (int64_t)in.h * in.w, line = l->conv ? l->line : (int64_t)in.w * in.c,
                  begin = l->conv ? (int64_t)l->pad_top * l->line + (int64_t)l->pad_left * in.c : 0;
    for (int64_t r = 0; r < part->rows; r++) {
        const float *x = part->call->x[part->first + r];
        float *to = l->rows + (l->conv ? r : part->first + r) * l->stride + begin;
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
                                 .cols = (int64_t)l->outputs * l->windows,
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
                             .cols = last->outputs,
                             .p.loss = {.classes = last->outputs, .scale = 1.0 / (double)call->rows}};
    df_cpu_cells[DF_OP_softmax_loss](&io);
    for (int64_t r = 0; call->training && r < part->rows; r++)
        memcpy(last->output_gradient + (part->first + r) * last->window_row,
               chain->dlogits + r * last->outputs, (size_t)last->outputs * sizeof(float));
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
        if (l->conv)
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
