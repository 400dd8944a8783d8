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

/* Its weights are 16/9 as many, and are read for every few tiles. */
enum { LEAST_WIDTH = 32, LEAST_TILES = 9 };
/* What the transformed inputs of the tiles that go together may take of the second-level cache. */
enum { TOGETHER_BYTES = 400 << 10 };

bool df_winograd_pays(const struct df_stack_layer *l)
{
    const int32_t tiles = df_winograd_down(l) * df_winograd_across(l),
                  places = (l->pool ? 4 : 1) * l->windows;
    return l->conv && l->kernel_h == 3 && l->kernel_w == 3 && l->channels >= LEAST_WIDTH &&
           l->outputs >= LEAST_WIDTH && tiles >= LEAST_TILES && 20 * tiles < 9 * places;
}

int32_t df_winograd_together(const struct df_stack_layer *l, int32_t lanes)
{
    const int64_t tile = (int64_t)16 * l->channels * lanes * (int64_t)sizeof(float);
    const int32_t blocks = (int32_t)(TOGETHER_BYTES / (tile * DF_WINOGRAD_TILES));
    return DF_WINOGRAD_TILES * (blocks > 1 ? blocks : 1);
}

static int32_t winograd_blocks(const struct df_stack_layer *l)
{
    return (l->outputs + DF_WINOGRAD_OUTPUTS - 1) / DF_WINOGRAD_OUTPUTS;
}

int64_t df_winograd_weights(const struct df_stack_layer *l)
{
    return (int64_t)winograd_blocks(l) * DF_WINOGRAD_OUTPUTS * 16 * l->channels;
}

int64_t df_winograd_space(const struct df_stack_layer *l, int32_t lanes)
{
    return (int64_t)16 * l->tiles_together * (l->channels + DF_WINOGRAD_OUTPUTS) * lanes;
}

/* G g G^T of one filter's channel, whose taps are `line` floats and `step` floats apart. */
static void winograd_filter(float to[16], const float *g, int64_t line, int64_t step)
{
    static const double by[4][3] = {{1, 0, 0}, {.5, .5, .5}, {.5, -.5, .5}, {0, 0, 1}};
    for (int q = 0; q < 16; q++) {
        double sum = 0;
        for (int t = 0; t < 9; t++)
            sum += by[q / 4][t / 3] * by[q % 4][t % 3] * (double)g[t / 3 * line + t % 3 * step];
        to[q] = (float)sum;
    }
}

void df_winograd_transform(const struct df_stack_layer *l, float *to)
{
    for (int32_t o = 0; o < l->outputs; o++)
        for (int32_t c = 0; c < l->channels; c++) {
            float filter[16];
            winograd_filter(filter, l->weight + (int64_t)o * l->filter + c, l->row, l->channels);
            for (int q = 0; q < 16; q++)
                to[(((int64_t)(o / DF_WINOGRAD_OUTPUTS) * 16 + q) * l->channels + c) * DF_WINOGRAD_OUTPUTS +
                   o % DF_WINOGRAD_OUTPUTS] = filter[q];
        }
}
