/* SPDX-License-Identifier: Apache-2.0 */
#include "report/query_tile.h"

#include <math.h>

#include "base/memory.h"

static double affine(const double *values, int32_t count, int64_t channel)
{
    return values[count == 1 ? 0 : channel];
}

static double raw_value(const struct df_tiles *tiles, int64_t i)
{
    return tiles->pool->raw == DF_RAW_U8 ? (double)((const unsigned char *)tiles->raw)[i]
                                         : (double)((const float *)tiles->raw)[i];
}

/* The range of float pools is not written anywhere: 0 to 1 and 0 to 255 are taken for what they look like. */
static dfal_status find_range(struct df_tiles *tiles, int64_t shown)
{
    int64_t n = tiles->channels * tiles->pool->shape.h * tiles->pool->shape.w;
    double low = INFINITY, high = -INFINITY;
    tiles->range = DF_TILE_BYTES;
    tiles->high = 255;
    if (tiles->pool->raw == DF_RAW_U8)
        return DFAL_OK;
    for (int64_t i = 0; i < shown; i++) {
        DF_TRY(df_pool_gather(tiles->pool, tiles->raw, &tiles->selection->index[i], 1));
        for (int64_t k = 0; k < n; k++) {
            low = fmin(low, raw_value(tiles, k));
            high = fmax(high, raw_value(tiles, k));
        }
    }
    if (low >= 0 && high <= 1) {
        tiles->range = DF_TILE_UNIT;
        tiles->high = 1;
    } else if (!(low >= 0 && high <= 255)) {
        tiles->range = DF_TILE_STRETCHED;
        tiles->low = low;
        tiles->high = high > low ? high : low + 1;
    }
    return DFAL_OK;
}

const char *df_tiles_range_text(const struct df_tiles *tiles)
{
    switch (tiles->range) {
    case DF_TILE_BYTES:
        return "Raw values from 0 to 255";
    case DF_TILE_UNIT:
        return "Raw values from 0 to 1";
    default:
        return "Raw values from the lowest to the highest of those shown";
    }
}

dfal_status df_tiles_open(struct df_tiles *tiles, struct df_pool *pool, const struct df_selection *selection,
                          int64_t shown, int64_t side)
{
    int64_t h = pool->shape.h, w = pool->shape.w, longest = h > w ? h : w;
    *tiles = (struct df_tiles){.pool = pool, .selection = selection, .height = h, .width = w};
    tiles->channels = pool->shape.c == 3 ? 3 : 1;
    if (longest > side) {
        tiles->height = (2 * h * side + longest) / (2 * longest);
        tiles->width = (2 * w * side + longest) / (2 * longest);
        tiles->height = tiles->height ? tiles->height : 1;
        tiles->width = tiles->width ? tiles->width : 1;
    }
    int64_t pixels = tiles->channels * tiles->height * tiles->width;
    DF_TRY(df_alloc(&tiles->raw, 1, df_pool_row_bytes(pool)));
    DF_TRY(df_alloc(&tiles->wide, h * w + tiles->height * w, sizeof *tiles->wide));
    DF_TRY(df_alloc(&tiles->narrow, 2 * pixels, sizeof *tiles->narrow));
    DF_TRY(df_alloc(&tiles->bytes, 3 * pixels, 1));
    return find_range(tiles, shown);
}

void df_tiles_close(struct df_tiles *tiles)
{
    df_free(tiles->raw);
    df_free(tiles->wide);
    df_free(tiles->narrow);
    df_free(tiles->bytes);
    *tiles = (struct df_tiles){0};
}

/* Mean of `in` over each of m equal parts of its n elements, which lie `step` apart. */
static void shrink(double *out, const double *in, int64_t n, int64_t m, int64_t step)
{
    for (int64_t o = 0; o < m; o++) {
        double from = (double)o * (double)n / (double)m, to = (double)(o + 1) * (double)n / (double)m;
        double sum = 0;
        for (int64_t i = (int64_t)from; i < n && (double)i < to; i++)
            sum += (fmin(to, (double)(i + 1)) - fmax(from, (double)i)) * in[i * step];
        out[o * step] = sum / (to - from);
    }
}

/* One channel [h, w] in tiles->wide to [height, width]. */
static void shrink_plane(struct df_tiles *tiles, double *out)
{
    int64_t h = tiles->pool->shape.h, w = tiles->pool->shape.w;
    double *columns = tiles->wide + h * w;
    for (int64_t x = 0; x < w; x++)
        shrink(columns + x, tiles->wide + x, h, tiles->height, w);
    for (int64_t y = 0; y < tiles->height; y++)
        shrink(out + y * tiles->width, columns + y * w, w, tiles->width, 1);
}

/* Brightness, 0 to 1, of the sample (twin NULL) or of its twin; a twin may lie a little outside. */
static void develop(struct df_tiles *tiles, const float *twin, double *out)
{
    const struct df_pool *pool = tiles->pool;
    int64_t plane = pool->shape.h * pool->shape.w;
    for (int64_t c = 0; c < tiles->channels; c++) {
        double scale = affine(pool->scale, pool->affine_count, c),
               offset = affine(pool->offset, pool->affine_count, c);
        for (int64_t i = 0; i < plane; i++) {
            double raw =
                twin ? ((double)twin[c * plane + i] - offset) / scale : raw_value(tiles, c * plane + i);
            tiles->wide[i] = (raw - tiles->low) / (tiles->high - tiles->low);
        }
        shrink_plane(tiles, out + c * tiles->height * tiles->width);
    }
}

static unsigned char to_byte(double value)
{
    return (unsigned char)(value <= 0 ? 0 : value >= 1 ? 255 : lrint(255 * value));
}

/* Rounded down to two digits, so that the number that is shown is the one that was used. */
static double two_digits(double value)
{
    double unit = pow(10, floor(log10(value)) - 1);
    return floor(value / unit * (1 + 1e-12)) * unit;
}

dfal_status df_tile_take(struct df_tiles *tiles, int64_t i, struct df_tile *tile)
{
    const struct df_selection *selection = tiles->selection;
    int64_t n = tiles->channels * tiles->height * tiles->width;
    bool has_twin = i < selection->twin_count && selection->status[i] == DFAL_SCORE_OK;
    double *sample = tiles->narrow, *twin = tiles->narrow + n, largest = 0;
    *tile = (struct df_tile){.sample = tiles->bytes, .factor = 1};
    DF_TRY(df_pool_gather(tiles->pool, tiles->raw, &selection->index[i], 1));
    develop(tiles, NULL, sample);
    for (int64_t k = 0; k < n; k++)
        tiles->bytes[k] = to_byte(sample[k]);
    if (!has_twin)
        return DFAL_OK;
    develop(tiles, selection->twin + i * selection->size, twin);
    for (int64_t k = 0; k < n; k++)
        largest = fmax(largest, fabs(twin[k] - sample[k]));
    if (largest > 0 && isfinite(0.5 / largest))
        tile->factor = two_digits(0.5 / largest);
    for (int64_t k = 0; k < n; k++) {
        tiles->bytes[n + k] = to_byte(twin[k]);
        tiles->bytes[2 * n + k] = to_byte(0.5 + tile->factor * (twin[k] - sample[k]));
    }
    tile->twin = tiles->bytes + n;
    tile->difference = tiles->bytes + 2 * n;
    return DFAL_OK;
}
