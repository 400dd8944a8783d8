/* SPDX-License-Identifier: Apache-2.0 */
/* Pillow resizes along the rows first, then down the columns, with bytes between; pictures that lose much
 * more height than width go the other way round. So does this, as the rows come: the last few of them stand
 * in a ring, and an output row is made as soon as its last input is there. A picture that lies on its side
 * (EXIF 5 to 8) has its columns for rows, and the two steps change places. Sums are whole numbers, so a
 * mirrored picture gives the bits of the upright one. */
#include "io/image_fit.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"

enum { STEP = 32 }; /* df_axis_down works on so many bytes */
static struct df_fit_side plan_side(int64_t in, int64_t resized, int64_t crop)
{
    struct df_fit_side side = {.in = in, .resized = resized, .count = resized, .out = resized};
    if (crop == 0)
        return side;
    side.out = crop;
    if (resized <= crop) {
        side.at = (crop - resized) / 2;
    } else {
        side.first = (int64_t)rint((double)(resized - crop) / 2); /* Python's round: half to even */
        side.count = crop;
    }
    return side;
}

static void plan(struct df_fitter *fitter)
{
    const struct df_image_fit *fit = &fitter->fit;
    const int64_t w = fitter->turned ? fitter->height : fitter->width;
    const int64_t h = fitter->turned ? fitter->width : fitter->height;
    int64_t to_w = w, to_h = h;
    if (fit->resize > 0) {
        const double small = (double)(w <= h ? w : h), large = (double)(w <= h ? h : w);
        const int64_t longer = (int64_t)(fit->resize * large / small);
        to_w = w <= h ? fit->resize : longer;
        to_h = w <= h ? longer : fit->resize;
    }
    if (fit->height > 0) {
        to_w = fit->width;
        to_h = fit->height;
    }
    fitter->across = plan_side(w, to_w, fit->crop);
    fitter->down = plan_side(h, to_h, fit->crop);
    /* As Pillow 13 decides; earlier ones always begin along the rows. */
    const bool height_first = to_h < h && h - to_h > 2 * (w - to_w);
    fitter->down_first = fitter->turned != height_first;
}

static dfal_status check_shape(struct df_fitter *fitter)
{
    const int64_t c = fitter->fit.channels, h = fitter->down.out, w = fitter->across.out;
    if ((double)c * (double)h * (double)w > (double)DF_SAMPLE_MOST)
        DF_FAIL(DFAL_E_DATA,
                "the picture becomes %lld x %lld pixels, expected at most %lld bytes a sample: `crop` S, or "
                "a smaller `resize`",
                (long long)w, (long long)h, (long long)DF_SAMPLE_MOST);
    if (fitter->shape.h == 0) {
        fitter->shape = (struct df_shape){c, h, w};
        return DFAL_OK;
    }
    if (fitter->shape.h != h || fitter->shape.w != w)
        DF_FAIL(DFAL_E_SHAPE,
                "the picture becomes %lld x %lld pixels, the ones before it %lld x %lld, expected one size: "
                "`resize` "
                "H,W, or `resize` S with `crop` S",
                (long long)w, (long long)h, (long long)fitter->shape.w, (long long)fitter->shape.h);
    return DFAL_OK;
}

static int64_t padded(int64_t bytes)
{
    return (bytes + STEP - 1) / STEP * STEP + DF_ROW_PADDING;
}

static dfal_status begin(struct df_row_sink *self, int64_t width, int64_t height, int32_t lanes,
                         int32_t orientation)
{
    struct df_fitter *f = (struct df_fitter *)self;
    const bool own = orientation & DF_ORIENTATION_OWN;
    f->alpha = orientation & DF_PICTURE_ALPHA;
    orientation &= ~(DF_ORIENTATION_OWN | DF_PICTURE_ALPHA);
    f->rotated = !own && orientation != 1;
    if (!own && f->fit.ignore_exif)
        orientation = 1;
    /* EXIF: 2 mirrored, 3 half turn, 4 upside down, 5 transposed, 6 and 8 quarter turns, 7 transverse. */
    const bool across_mirrored = orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7;
    const bool down_mirrored = orientation == 3 || orientation == 4 || orientation == 7 || orientation == 8;
    f->turned = orientation >= 5;
    f->width = width;
    f->height = height;
    /* Colour that becomes grey does so before it is resized. */
    f->lanes = f->fit.channels == 1 ? DF_GREY : lanes;
    f->source_lanes = lanes;
    plan(f);
    const bool drawn = f->shape.h > 0;
    DF_TRY(check_shape(f));
    f->row = drawn ? 0 : height; /* rows left to the decoder alone */
    if (!drawn)
        return DFAL_OK;
    if (f->across.count < f->across.out || f->down.count < f->down.out)
        memset(f->sample, 0, (size_t)df_shape_size(f->shape));
    const struct df_fit_side *columns = f->turned ? &f->down : &f->across;
    const struct df_fit_side *rows = f->turned ? &f->across : &f->down;
    f->rows_mirrored = f->turned ? across_mirrored : down_mirrored;
    DF_TRY(df_axis_build(&f->columns, columns->in, columns->resized, columns->first, columns->count,
                         f->fit.interpolation, f->turned ? down_mirrored : across_mirrored, true));
    DF_TRY(df_axis_build(&f->rows, rows->in, rows->resized, rows->first, rows->count, f->fit.interpolation,
                         f->rows_mirrored, false));
    f->next = f->rows_mirrored ? rows->count - 1 : 0;
    f->depth = f->rows.most;
    f->pitch = padded((f->down_first ? width : columns->count) * f->lanes);
    if ((double)f->depth * (double)f->pitch > (double)DF_SAMPLE_MOST)
        DF_FAIL(
            DFAL_E_DATA,
            "a picture of %lld x %lld pixels shrinks so much that %lld rows are needed at once, expected at "
            "most %lld bytes of them",
            (long long)width, (long long)height, (long long)f->depth, (long long)DF_SAMPLE_MOST);
    DF_TRY(df_reserve(&f->ring, &f->ring_room, f->depth * f->pitch, 1));
    DF_TRY(df_reserve(&f->window, &f->window_room, f->depth, sizeof *f->window));
    DF_TRY(df_reserve(&f->line, &f->line_room, f->pitch, 1));
    return df_reserve(&f->pixels, &f->pixels_room, padded(columns->count * f->lanes), 1);
}

/* ITU-R 601 as Pillow rounds it. */
static void colour_to_grey(uint8_t *pixels, int64_t width)
{
    for (int64_t i = 0; i < width; i++) {
        const uint8_t *p = pixels + 4 * i;
        pixels[i] = (uint8_t)((p[0] * 19595 + p[1] * 38470 + p[2] * 7471 + 0x8000) >> 16);
    }
}

/* Pixels of an output row, or of an output column of a turned picture, to the planes of the sample. */
static void put(struct df_fitter *f, const uint8_t *pixels, int64_t output)
{
    const struct df_shape shape = f->shape;
    const int64_t count = f->columns.count, plane = shape.h * shape.w;
    const int64_t stride = f->turned ? shape.w : 1;
    uint8_t *to = f->sample + (f->turned ? f->down.at * shape.w + f->across.at + output
                                         : (f->down.at + output) * shape.w + f->across.at);
    for (int64_t c = 0; c < shape.c; c++, to += plane) {
        const uint8_t *from = pixels + (f->lanes == DF_GREY ? 0 : c);
        if (stride == 1 && f->lanes == DF_GREY)
            memcpy(to, from, (size_t)count);
        else if (stride == 1)
            for (int64_t i = 0; i < count; i++)
                to[i] = from[4 * i];
        else
            for (int64_t i = 0; i < count; i++)
                to[i * stride] = from[i * f->lanes];
    }
}

static void make_output(struct df_fitter *f, int64_t output)
{
    const int64_t low = f->rows.low[output], taps = f->rows.taps[output];
    const int32_t *weight = f->rows.weight + output * f->rows.stride;
    for (int64_t t = 0; t < taps; t++)
        f->window[t] = f->ring + (low + t) % f->depth * f->pitch;
    const uint8_t *line = f->window[0];
    if (taps > 1 || weight[0] != 1 << DF_WEIGHT_BITS) {
        df_axis_down(f->line, f->window, weight, taps,
                     (f->down_first ? f->width : f->columns.count) * f->lanes);
        line = f->line;
    }
    if (f->down_first) {
        df_axis_along(f->pixels, line, &f->columns, f->lanes);
        line = f->pixels;
    }
    put(f, line, output);
}

static dfal_status take_row(struct df_row_sink *self, uint8_t *pixels)
{
    struct df_fitter *f = (struct df_fitter *)self;
    const int64_t row = f->row, step = f->rows_mirrored ? -1 : 1;
    if (row >= f->height || f->next < 0 || f->next >= f->rows.count)
        return DFAL_OK;
    f->row++;
    if (row < f->rows.low[f->next])
        return DFAL_OK;
    if (f->fit.channels == 1 && f->source_lanes == DF_COLOUR)
        colour_to_grey(pixels, f->width);
    uint8_t *slot = f->ring + row % f->depth * f->pitch;
    if (f->down_first)
        memcpy(slot, pixels, (size_t)(f->width * f->lanes));
    else
        df_axis_along(slot, pixels, &f->columns, f->lanes);
    while (f->next >= 0 && f->next < f->rows.count &&
           f->rows.low[f->next] + f->rows.taps[f->next] <= row + 1) {
        make_output(f, f->next);
        f->next += step;
    }
    return DFAL_OK;
}

void df_fitter_init(struct df_fitter *fitter, const struct df_image_fit *fit)
{
    *fitter = (struct df_fitter){.sink = {begin, take_row}, .fit = *fit};
}

void df_fitter_clear(struct df_fitter *fitter)
{
    df_axis_clear(&fitter->columns);
    df_axis_clear(&fitter->rows);
    df_free(fitter->ring);
    df_free(fitter->line);
    df_free(fitter->pixels);
    df_free(fitter->window);
    memset(fitter, 0, sizeof *fitter);
}
