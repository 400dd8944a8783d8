/* SPDX-License-Identifier: Apache-2.0 */
/* Which layers are wide enough for cpu_stack_gather.h and cpu_stack_winograd.h, and their weights. */
#include "backend/cpu_stack_wide.h"

#include <string.h>

/* ---- gathered layers ----------------------------------------------------------------------------------- */

/* Channels from which gathering is the faster way back, and of a product weights; units of a band, about. */
enum { LEAST_GATHERED = 32, LEAST_PRODUCT = 1 << 17, BAND_UNITS = 128 << 10 };

bool df_stack_is_gathered(const struct df_stack_layer *l)
{
    return l->channels >= LEAST_GATHERED && (l->conv || (int64_t)l->channels * l->outputs >= LEAST_PRODUCT);
}

void df_stack_measure_gather(struct df_stack_layer *l)
{
    const int64_t line = (int64_t)l->in_w * l->kernel_h * l->kernel_w * l->outputs,
                  lines = line < BAND_UNITS ? BAND_UNITS / line : 1;
    l->gather = true;
    l->band = (int32_t)(lines < l->in_h ? lines : l->in_h);
}

int64_t df_stack_band_units(const struct df_stack_layer *l)
{
    return (int64_t)l->band * l->in_w * l->kernel_h * l->kernel_w * l->outputs;
}

int64_t df_stack_slices_count(const struct df_stack_layer *l)
{
    return (int64_t)l->outputs * l->kernel_h * l->kernel_w * df_stack_padded(l->channels);
}

void df_stack_pack_slices(const struct df_stack_layer *l, float *to, int32_t lanes)
{
    const int32_t most = DF_STACK_COLUMNS * lanes, padded = (l->channels + lanes - 1) / lanes * lanes;
    for (int32_t c = 0, width; c < padded; c += width) {
        width = padded - c < most ? padded - c : most;
        const int32_t own = l->channels - c < width ? l->channels - c : width;
        for (int32_t o = 0; o < l->outputs; o++)
            for (int32_t ky = 0; ky < l->kernel_h; ky++)
                for (int32_t kx = 0; kx < l->kernel_w; kx++, to += width)
                    memcpy(to,
                           l->weight + (int64_t)o * l->filter + (int64_t)ky * l->row +
                               (int64_t)kx * l->channels + c,
                           (size_t)own * sizeof *to);
    }
}

/* ---- minimal filtering --------------------------------------------------------------------------------- */

/* Its weights are 16/9 as many, and are read for every few samples. */
enum { LEAST_TILES = 9 };

bool df_stack_is_filtered(const struct df_stack_layer *l)
{
    const int32_t tiles = df_stack_tiles_down(l) * df_stack_tiles_across(l);
    return l->conv && l->kernel_h == 3 && l->kernel_w == 3 && tiles >= LEAST_TILES &&
           df_winograd_pays(l->channels, l->outputs, tiles, (l->pool ? 4 : 1) * (int64_t)l->windows);
}

void df_stack_transform(const struct df_stack_layer *l, float *to)
{
    const struct df_winograd_filter filter = {l->filter, 1, l->row, l->channels};
    df_winograd_transform(&l->winograd, to, l->weight, &filter);
}
