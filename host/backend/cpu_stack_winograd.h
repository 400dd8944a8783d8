/* SPDX-License-Identifier: Apache-2.0 */
/* A chain's wide 3x3 convolutions forwards by minimal filtering (cpu_winograd.h). Of a layer with a pool the
 * tiles are its windows. */
#ifndef DF_BACKEND_CPU_STACK_WINOGRAD_H
#define DF_BACKEND_CPU_STACK_WINOGRAD_H

#include "backend/cpu_stack_forward.h"
#include "backend/cpu_stack_wide.h"
#include "backend/cpu_winograd_tiles.h"

/* The inputs of the tile whose first one is (y, x): NULL behind the padded plane. */
static void stack_tile_inputs(const struct df_stack_layer *l, const float *from[16], int32_t y, int32_t x)
{
    for (int q = 0; q < 16; q++) {
        const int32_t line = y + q / 4, at = (x + q % 4) * l->channels;
        from[q] = line < l->height && at < l->line ? l->lanes + ((int64_t)line * l->line + at) * LANES : NULL;
    }
}

/* One output channel of the tile (y, x), of windows or of pairs of lines and columns. */
INLINE void put_tile(const struct df_stack_layer *l, vec value[4], int32_t y, int32_t x, int32_t channel)
{
    uint8_t code[LANES];
    if (l->pool) {
        float *out = l->out + ((int64_t)y * l->out_line + (int64_t)x * l->outputs) * LANES;
        put_unit(l, out, unit_of_window(value, l->relu, code), y * l->out_w + x, channel, code);
        return;
    }
    for (int q = 0; q < 4; q++) {
        const int32_t at_y = 2 * y + q / 2, at_x = 2 * x + q % 2;
        if (at_y >= l->out_h || at_x >= l->out_w)
            continue;
        float *out = l->out + ((int64_t)at_y * l->out_line + (int64_t)at_x * l->outputs) * LANES;
        put_unit(l, out, unit_end(value[q], codes_all(0), l->relu, code), at_y * l->out_w + at_x, channel,
                 code);
    }
}

/* weight: df_winograd_transform; space: df_winograd_space floats. */
static void forward_winograd(const struct df_stack_layer *l, const float *weight, float *space)
{
    const struct df_winograd *w = &l->winograd;
    const int32_t across = df_stack_tiles_across(l), tiles = across * df_stack_tiles_down(l);
    for (int32_t first = 0, count; first < tiles; first += count) {
        count = tiles - first < w->together ? tiles - first : w->together;
        for (int32_t t = 0; t < count; t++) {
            const float *from[16];
            stack_tile_inputs(l, from, 2 * ((first + t) / across), 2 * ((first + t) % across));
            winograd_take(w, space, t, from, LANES);
        }
        winograd_multiply(w, space, weight, count);
        for (int32_t t = 0; t < count; t++)
            for (int32_t o = 0; o < l->outputs; o++) {
                vec value[4];
                winograd_give(w, value, winograd_sums(w, space), t, o, l->bias[o]);
                put_tile(l, value, (first + t) / across, (first + t) % across, o);
            }
    }
}

#endif
