/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/cpu_winograd.h"

/* Below it, transforming and more weights cost what multiplications save. */
enum { LEAST_CHANNELS = 32 };
/* What the inputs of one of the 16 products, of the tiles that go together, may take of a second-level cache;
 * the most tiles. */
enum { TOGETHER_BYTES = 128 << 10, MOST_TOGETHER = 24 };

bool df_winograd_pays(int32_t channels, int32_t outputs, int64_t tiles, int64_t pixels)
{
    return channels >= LEAST_CHANNELS && outputs >= LEAST_CHANNELS && 20 * tiles < 8 * pixels;
}

struct df_winograd df_winograd_make(int32_t channels, int32_t outputs, int32_t lanes)
{
    const int64_t block = (int64_t)DF_WINOGRAD_TILES * channels * lanes * (int64_t)sizeof(float),
                  fit = TOGETHER_BYTES / block * DF_WINOGRAD_TILES,
                  most = fit < MOST_TOGETHER ? fit : MOST_TOGETHER;
    return (struct df_winograd){channels, outputs,
                                most > DF_WINOGRAD_TILES ? (int32_t)most : DF_WINOGRAD_TILES};
}

static int64_t blocks_of(const struct df_winograd *w)
{
    return (w->outputs + DF_WINOGRAD_OUTPUTS - 1) / DF_WINOGRAD_OUTPUTS;
}

int64_t df_winograd_weights(const struct df_winograd *w)
{
    return 16 * blocks_of(w) * DF_WINOGRAD_OUTPUTS * w->channels;
}

int64_t df_winograd_space(const struct df_winograd *w, int32_t lanes)
{
    return 16 * (w->channels + blocks_of(w) * DF_WINOGRAD_OUTPUTS) * w->together * (int64_t)lanes;
}

/* G g G^T. */
static void transform(double to[16], const float *g, const struct df_winograd_filter *f)
{
    double half[12];
    for (int x = 0; x < 3; x++) {
        const double a = (double)g[x * f->x], b = (double)g[f->y + x * f->x],
                     c = (double)g[2 * f->y + x * f->x];
        half[x] = a;
        half[3 + x] = (a + b + c) / 2;
        half[6 + x] = (a - b + c) / 2;
        half[9 + x] = c;
    }
    for (int y = 0; y < 4; y++) {
        const double a = half[3 * y], b = half[3 * y + 1], c = half[3 * y + 2];
        to[4 * y] = a;
        to[4 * y + 1] = (a + b + c) / 2;
        to[4 * y + 2] = (a - b + c) / 2;
        to[4 * y + 3] = c;
    }
}

void df_winograd_transform(const struct df_winograd *w, float *to, const float *from,
                           const struct df_winograd_filter *filter)
{
    const int64_t blocks = blocks_of(w), product = blocks * w->channels * DF_WINOGRAD_OUTPUTS;
    for (int64_t b = 0; b < blocks; b++)
        for (int64_t c = 0; c < w->channels; c++)
            for (int64_t i = 0; i < DF_WINOGRAD_OUTPUTS; i++) {
                const int64_t o = b * DF_WINOGRAD_OUTPUTS + i;
                float *at = to + (b * w->channels + c) * DF_WINOGRAD_OUTPUTS + i;
                double own[16] = {0};
                if (o < w->outputs)
                    transform(own, from + o * filter->output + c * filter->channel, filter);
                for (int q = 0; q < 16; q++)
                    at[q * product] = (float)own[q];
            }
}
