/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/cpu_winograd.h"

#include <string.h>

#include "backend/backend.h"

/* What the inputs of one of the 16 products, of the tiles that go together, may take of a second-level cache;
 * the most tiles. */
enum { TOGETHER_BYTES = 128 << 10, MOST_TOGETHER = 24 };

bool df_winograd_pays(int32_t channels, int32_t outputs, int64_t tiles, int64_t pixels)
{
    /* Of 16 and 9 multiplications; the others are what transforming and more weights cost. */
    return channels >= DF_FILTERED_CHANNELS && outputs >= DF_FILTERED_CHANNELS && 20 * tiles < 8 * pixels;
}

struct df_winograd df_winograd_make(int32_t channels, int32_t outputs, int32_t lanes)
{
    const int64_t block = (int64_t)DF_WINOGRAD_TILES * channels * lanes * (int64_t)sizeof(float),
                  fit = TOGETHER_BYTES / block * DF_WINOGRAD_TILES,
                  most = fit < MOST_TOGETHER ? fit : MOST_TOGETHER;
    return (struct df_winograd){channels, outputs,
                                most > DF_WINOGRAD_TILES ? (int32_t)most : DF_WINOGRAD_TILES};
}

int64_t df_winograd_weights(const struct df_winograd *w)
{
    return 16 * (int64_t)df_winograd_blocks(w) * DF_WINOGRAD_OUTPUTS * w->channels;
}

int64_t df_winograd_space(const struct df_winograd *w, int32_t lanes)
{
    return 16 * (w->channels + (int64_t)df_winograd_blocks(w) * DF_WINOGRAD_OUTPUTS) * w->together *
           (int64_t)lanes;
}

/* G g G^T of the filters of a channel for DF_WINOGRAD_OUTPUTS outputs side by side. */
static void transform(float to[16][DF_WINOGRAD_OUTPUTS], const double g[9][DF_WINOGRAD_OUTPUTS])
{
    double half[12][DF_WINOGRAD_OUTPUTS];
    for (int x = 0; x < 3; x++)
        for (int i = 0; i < DF_WINOGRAD_OUTPUTS; i++) {
            const double a = g[x][i], b = g[3 + x][i], c = g[6 + x][i];
            half[x][i] = a;
            half[3 + x][i] = (a + b + c) / 2;
            half[6 + x][i] = (a - b + c) / 2;
            half[9 + x][i] = c;
        }
    for (int y = 0; y < 4; y++)
        for (int i = 0; i < DF_WINOGRAD_OUTPUTS; i++) {
            const double a = half[3 * y][i], b = half[3 * y + 1][i], c = half[3 * y + 2][i];
            to[4 * y][i] = (float)a;
            to[4 * y + 1][i] = (float)((a + b + c) / 2);
            to[4 * y + 2][i] = (float)((a - b + c) / 2);
            to[4 * y + 3][i] = (float)c;
        }
}

void df_winograd_transform(const struct df_winograd *w, float *to, const float *from,
                           const struct df_winograd_filter *filter)
{
    const int64_t product = (int64_t)df_winograd_blocks(w) * w->channels * DF_WINOGRAD_OUTPUTS;
    for (int64_t o = 0; o < w->outputs; o += DF_WINOGRAD_OUTPUTS)
        for (int64_t c = 0; c < w->channels; c++, to += DF_WINOGRAD_OUTPUTS) {
            double own[9][DF_WINOGRAD_OUTPUTS] = {{0}};
            float transformed[16][DF_WINOGRAD_OUTPUTS];
            for (int64_t i = 0; i < DF_WINOGRAD_OUTPUTS && o + i < w->outputs; i++) {
                const float *g = from + (o + i) * filter->output + c * filter->channel;
                for (int t = 0; t < 9; t++)
                    own[t][i] = (double)g[t / 3 * filter->y + t % 3 * filter->x];
            }
            transform(transformed, own);
            for (int q = 0; q < 16; q++)
                memcpy(to + q * product, transformed[q], sizeof transformed[q]);
        }
}
