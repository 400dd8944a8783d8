/* SPDX-License-Identifier: Apache-2.0 */
/* A fused network: which ones, its memory and its parameters. The inner loops are cpu_fused_step.c's. */
#include "backend/cpu_fused.h"

#include "backend/cpu.h"
#include "base/memory.h"

/* Lanes that memory is laid out for, whatever the instruction set: it decides which networks are fused. */
enum { WIDEST = 16 };
/* Values of a layer's inputs, and of its weights, whose places are int32_t. */
enum { MOST_VALUES = 1 << 18, MOST_WEIGHTS = 1 << 30 };
/* What a plan reckons with for a queue (host/net/plan.c). */
enum { MOST_BYTES = 32 << 20 };

/* ---- memory -------------------------------------------------------------------------------------------- */

/* A piece of memory that is handed out from its beginning on; base NULL: only counted. */
struct piece {
    char *base;
    int64_t used;
};

static void *hand_out(struct piece *piece, int64_t count, size_t size)
{
    char *at = piece->base ? piece->base + piece->used : NULL;
    piece->used += (count * (int64_t)size + 63) / 64 * 64;
    return at;
}

static void place_parameters(struct df_fused *fused, struct piece *piece)
{
    for (int32_t i = 0; i < fused->count; i++) {
        struct df_fused_layer *layer = &fused->layer[i];
        struct df_stack_layer *l = &layer->stack;
        layer->weight = hand_out(piece, (int64_t)l->outputs * l->filter + DF_STACK_SLACK, sizeof(float));
        layer->bias = hand_out(piece, l->outputs, sizeof(float));
        if (l->gather)
            layer->slices = hand_out(piece, df_stack_slices_count(l), sizeof(float));
        if (l->winograd.together)
            layer->transformed = hand_out(piece, df_winograd_weights(&l->winograd), sizeof(float));
        l->weight = layer->weight;
        l->bias = layer->bias;
        if (l->conv && !l->gather)
            l->turned =
                hand_out(piece, (int64_t)l->outputs * l->turned_filter + DF_STACK_SLACK, sizeof(float));
    }
}

static void place_gather(const struct df_stack_layer *l, struct df_stack_gather *g, struct piece *piece)
{
    const int64_t units = (int64_t)l->windows * l->outputs, places = df_stack_places(l);
    g->unit = hand_out(piece, places * l->outputs + DF_STACK_AHEAD, sizeof *g->unit);
    g->count = hand_out(piece, places, sizeof *g->count);
    g->source = hand_out(piece, units + 1, sizeof *g->source);
    g->value = hand_out(piece, units * DF_STACK_PASS, sizeof *g->value);
}

static void place_layer(const struct df_fused *fused, struct df_fused_space *space, int32_t i,
                        struct piece *piece)
{
    const struct df_stack_layer *own = &fused->layer[i].stack;
    const int64_t units = (int64_t)own->windows * own->outputs,
                  rows = i < fused->narrow ? DF_STACK_TOGETHER : DF_STACK_PASS;
    struct df_stack_layer *l = &space->layer[i];
    *l = *own;
    l->lanes = hand_out(piece, (int64_t)l->in * WIDEST, sizeof *l->lanes);
    l->lane_windows = hand_out(piece, (units + 15) * WIDEST, sizeof *l->lane_windows);
    if (l->gather) {
        place_gather(l, &space->gather[i], piece);
    } else {
        space->list[i].unit = hand_out(piece, units + 1, sizeof *space->list[i].unit);
        space->list[i].begin = hand_out(piece, df_stack_groups(l) + 1, sizeof *space->list[i].begin);
    }
    space->stride[i] = df_stack_gradient_count(l);
    space->gradient[i] = hand_out(piece, rows * space->stride[i], sizeof *space->gradient[i]);
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Of whichever instruction set needs more. */
static int64_t tiles_space(const struct df_stack_layer *l)
{
    int64_t most = 0;
    for (int32_t lanes = WIDEST / 2; lanes <= WIDEST && l->winograd.together; lanes *= 2) {
        const struct df_winograd w = df_winograd_make(l->channels, l->outputs, lanes);
        most = larger(most, df_winograd_space(&w, lanes));
    }
    return most;
}

/* What one layer after the other takes. */
static void place_shared(const struct df_fused *fused, struct df_fused_space *space, struct piece *piece)
{
    int64_t tiles = 0, units = 0, pixels = 0;
    for (int32_t i = 0; i < fused->count; i++) {
        const struct df_stack_layer *l = &fused->layer[i].stack;
        tiles = larger(tiles, tiles_space(l));
        units = larger(units, df_stack_band_units(l));
        pixels = larger(pixels, (int64_t)l->band * l->in_w);
    }
    space->tiles = hand_out(piece, tiles, sizeof *space->tiles);
    struct df_stack_unit *unit = hand_out(piece, units + DF_STACK_AHEAD, sizeof *unit);
    int32_t *begin = hand_out(piece, pixels + 1, sizeof *begin);
    for (int32_t i = 0; i < fused->count; i++) {
        space->gather[i].pixel = unit;
        space->gather[i].begin = begin;
    }
}

static void place_space(const struct df_fused *fused, struct df_fused_space *space, struct piece *piece)
{
    for (int32_t i = 0; i < fused->count; i++)
        place_layer(fused, space, i, piece);
    place_shared(fused, space, piece);
    space->rows = hand_out(piece, WIDEST * fused->input, sizeof *space->rows);
    space->logits = hand_out(piece, WIDEST * fused->classes, sizeof *space->logits);
    for (int32_t i = 0; i < fused->count; i++)
        df_stack_link(&space->layer[i], i + 1 < fused->count ? &space->layer[i + 1] : NULL, space->logits,
                      fused->kernels->lanes);
}

static dfal_status space_create(const struct df_fused *fused, struct df_fused_space *space)
{
    struct piece piece = {0};
    DF_TRY(df_alloc(&piece.base, fused->space_bytes, 1));
    place_space(fused, space, &piece);
    space->memory = piece.base;
    return DFAL_OK;
}

/* ---- which networks ------------------------------------------------------------------------------------ */

/* So many windows side by side that a group costs least: a vector of eight floats for each of its units and
 * lines, and some for loading and storing the sums. Of the units of a pool with a ReLU a third is alive, of
 * those of a ReLU half. The order of sums follows from it, so it is the same on every instruction set. */
static int32_t choose_across(const struct df_stack_layer *l)
{
    enum { MOST_ACROSS = 4 };
    const double by_itself = 3, live = l->outputs * (l->relu ? l->pool ? 1 / 3. : 0.5 : 1);
    int32_t best = 1;
    double least = 0;
    for (int32_t across = 1; across <= MOST_ACROSS && across <= l->out_w; across++) {
        const int32_t pixels = l->pool ? 2 * across : across,
                      reach = (l->kernel_w + pixels - 1) * l->channels;
        const int32_t vectors = (reach + 7) / 8;
        const double cost = (across * live + by_itself) * vectors / across;
        if (across == 1 || cost < least) {
            best = across;
            least = cost;
        }
    }
    return best;
}

static int64_t padded_values(const struct df_fused_stage *stage)
{
    const int32_t *pad = stage->window.pad;
    return stage->is_gemm ? 0
                          : stage->in.c * (stage->in.h + pad[0] + pad[2]) * (stage->in.w + pad[1] + pad[3]);
}

/* Products alone are left to the layers: 784-300-100-10 takes 0.24 s there and 0.28 here, 784-1024-1024-10
 * 0.31 and 0.36. With convolutions it takes a half to a third of their time, of 64 channels, too
 * (docs/PERFORMANCE.md). */
static bool take_stages(struct df_fused *fused)
{
    int64_t kept_at = 0;
    for (int32_t i = 0; i < fused->desc.count; i++) {
        const struct df_fused_stage stage = fused->desc.stages[i];
        const int64_t in = df_shape_size(stage.in), out = df_shape_size(stage.out);
        struct df_fused_layer *layer = &fused->layer[fused->count++];
        if (in > MOST_VALUES || out > MOST_VALUES || padded_values(&stage) > 2 * MOST_VALUES ||
            (stage.is_gemm && in * out > MOST_WEIGHTS) ||
            (!stage.is_gemm && (!df_stack_takes(&stage) || fused->convs < i)))
            return false;
        df_stack_measure(&layer->stack, &stage);
        layer->stack.window_row = layer->stack.outputs;
        if (df_stack_is_filtered(&layer->stack))
            layer->stack.winograd =
                df_winograd_make(layer->stack.channels, layer->stack.outputs, fused->kernels->lanes);
        if (i + 1 < fused->desc.count && df_stack_is_gathered(&layer->stack))
            df_stack_measure_gather(&layer->stack);
        else
            df_stack_measure_back(&layer->stack, stage.is_gemm ? 1 : choose_across(&layer->stack));
        if (!layer->stack.gather && fused->narrow == i && !stage.is_gemm)
            fused->narrow++;
        layer->kept_at = stage.relu || stage.pool ? (int32_t)kept_at : -1;
        kept_at += stage.relu || stage.pool ? out : 0;
        fused->convs += !stage.is_gemm;
    }
    return fused->convs > 0 && fused->convs < fused->count &&
           (fused->desc.tap == 0 || fused->desc.stages[fused->desc.tap].is_gemm);
}

/* A plan reckons with three copies of the parameters beside its own; what is more is counted to a queue's
 * memory. */
static bool fits(struct df_fused *fused)
{
    enum { COPIES = 3 };
    struct df_fused_space space;
    struct piece parameters = {0}, own = {0};
    int64_t reckoned = 0;
    place_parameters(fused, &parameters);
    place_space(fused, &space, &own);
    for (int32_t i = 0; i < fused->count; i++) {
        const struct df_stack_layer *l = &fused->layer[i].stack;
        reckoned += (int64_t)l->outputs * l->kernel_h * l->kernel_w * l->channels * (int64_t)sizeof(float);
    }
    fused->parameter_bytes = parameters.used;
    fused->space_bytes = own.used;
    fused->reckoned_bytes = own.used + larger(parameters.used - COPIES * reckoned, 0);
    return fused->reckoned_bytes <= MOST_BYTES;
}

static dfal_status fused_create(struct df_fused *fused)
{
    struct piece piece = {0};
    DF_TRY(df_alloc(&piece.base, fused->parameter_bytes, 1));
    fused->parameters = (float *)piece.base;
    piece.used = 0;
    place_parameters(fused, &piece);
    for (int32_t i = 0; i < fused->count; i++) {
        struct df_fused_layer *layer = &fused->layer[i];
        if (layer->stack.gather)
            continue;
        DF_TRY(df_stack_tiles_create(&layer->one, fused->kernels->tiles, &layer->stack, 1));
        DF_TRY(
            df_stack_tiles_create(&layer->together, fused->kernels->tiles, &layer->stack, DF_STACK_TOGETHER));
    }
    return df_alloc(&fused->spaces, fused->queues, sizeof *fused->spaces);
}

dfal_status df_cpu_fused_create(struct df_device *head, struct df_fused **out,
                                const struct df_fused_desc *desc)
{
    const struct df_cpu_device *device = (const struct df_cpu_device *)head;
    struct df_fused *fused = NULL;
    dfal_status status;
    *out = NULL;
    DF_TRY(df_alloc(&fused, 1, sizeof *fused));
    fused->kernels = device->isa == DF_CPU_AVX512 ? &df_fused_kernels_avx512 : &df_fused_kernels_avx2;
    fused->desc = *desc;
    fused->queues = head->queue_count;
    fused->input = df_shape_size(desc->stages[0].in);
    fused->classes = desc->stages[desc->count - 1].out.c;
    fused->kept_size = df_fused_kept_size(desc);
    if (!take_stages(fused) || !fits(fused)) {
        df_free(fused);
        DF_FAIL(DFAL_E_UNAVAILABLE, "the fused engine of the CPU has no such network: expected convolutions "
                                    "of stride 1, then products, in 32 MiB");
    }
    status = fused_create(fused);
    if (status != DFAL_OK) {
        df_cpu_fused_destroy(head, fused);
        return status;
    }
    *out = fused;
    return DFAL_OK;
}

int64_t df_cpu_fused_scratch(struct df_device *device, const struct df_fused *fused)
{
    (void)device;
    return fused->reckoned_bytes;
}

void df_cpu_fused_destroy(struct df_device *device, struct df_fused *fused)
{
    (void)device;
    if (!fused)
        return;
    for (int32_t i = 0; fused->spaces && i < fused->queues; i++)
        df_free(fused->spaces[i].memory);
    for (int32_t i = 0; i < fused->count; i++) {
        df_free(fused->layer[i].one.tile);
        df_free(fused->layer[i].together.tile);
    }
    df_free(fused->spaces);
    df_free(fused->parameters);
    df_free(fused);
}

/* ---- calls --------------------------------------------------------------------------------------------- */

dfal_status df_cpu_fused_bind(struct df_device *device, int32_t queue, struct df_fused *fused,
                              struct df_span parameters)
{
    float *flat = (float *)parameters.buffer->data + parameters.offset; /* only read from */
    (void)device;
    (void)queue;
    for (int32_t i = 0; i < fused->count; i++) {
        const struct df_fused_layer *layer = &fused->layer[i];
        const struct df_fused_stage stage = fused->desc.stages[i];
        df_stack_move(&layer->stack, &stage, layer->weight, layer->bias, flat, DF_STACK_IN);
        if (layer->stack.conv && !layer->stack.gather)
            df_stack_turn(&layer->stack);
        if (layer->stack.gather)
            df_stack_pack_slices(&layer->stack, layer->slices, fused->kernels->lanes);
        if (layer->stack.winograd.together)
            df_stack_transform(&layer->stack, layer->transformed);
    }
    return DFAL_OK;
}

static void run_backward(const struct df_fused *fused, struct df_fused_space *space, float *dx,
                         const float *dy, const uint8_t *kept, const int32_t *owner, int64_t rows,
                         int64_t each)
{
    for (int64_t first = 0; first < rows; first += each)
        fused->kernels->backward(fused, space, dx + first * fused->input, dy + first * fused->classes,
                                 kept + owner[first] * fused->kept_size, each);
}

dfal_status df_cpu_fused_run(struct df_device *device, int32_t queue, const struct df_fused_call *call)
{
    const struct df_fused *fused = call->fused;
    struct df_fused_space *space = &fused->spaces[queue];
    float *x = (float *)call->x.buffer->data + call->x.offset,
          *y = (float *)call->y.buffer->data + call->y.offset;
    uint8_t *kept = (uint8_t *)call->kept.buffer->data + call->kept.offset;
    float *tapped = fused->desc.tap > 0 ? (float *)call->tapped.buffer->data + call->tapped.offset : NULL;
    (void)device;
    if (!space->memory)
        DF_TRY(space_create(fused, space));
    if (call->backward)
        run_backward(fused, space, x, y, kept, (const int32_t *)call->owner.buffer->data + call->owner.offset,
                     call->rows, call->each);
    else
        fused->kernels->forward(fused, space, y, kept, tapped, x, call->rows);
    return DFAL_OK;
}
