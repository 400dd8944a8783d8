/* SPDX-License-Identifier: Apache-2.0 */
/* The contact sheet as one picture: a grid of tiles with captions, drawn and compressed a row of tiles at a
 * time. */
#include <math.h>
#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/number.h"
#include "report/glyphs.h"
#include "report/sheet.h"

enum {
    GAP = 4,    /* between the pictures of a tile */
    SPACE = 16, /* between tiles */
    DOT = 2,    /* pixels a dot of a letter */
    LINE = (DF_GLYPH_HEIGHT + 2) * DOT,
    PICTURE = DF_SHEET_SIDE,
    TILE = 3 * PICTURE + 2 * GAP,
    LETTERS = TILE / (DF_GLYPH_STEP * DOT),
    BESIDE = (TILE - PICTURE - SPACE / 2) / (DF_GLYPH_STEP * DOT), /* letters right of a single picture */
    LINES = 3,
    HEAD_LINES = 3,
    TEXT = 256,
};
static const unsigned char ink[3] = {27, 31, 36}, soft[3] = {89, 99, 110};

/* A strip of the sheet, RGB. */
struct strip {
    unsigned char *pixels;
    int64_t width, height;
};

static void set_pixel(struct strip *strip, int64_t x, int64_t y, const unsigned char colour[3])
{
    if (x >= 0 && x < strip->width && y >= 0 && y < strip->height)
        memcpy(strip->pixels + 3 * (y * strip->width + x), colour, 3);
}

/* At most `most` letters; a sequence of UTF-8 counts as one and is drawn as a frame. */
static void put_text(struct strip *strip, int64_t x, int64_t y, const char *text, int most,
                     const unsigned char colour[3])
{
    for (; *text && most > 0; text++) {
        if (((unsigned char)*text & 0xc0) == 0x80)
            continue;
        for (int row = 0; row < DF_GLYPH_HEIGHT * DOT; row++)
            for (int column = 0; column < DF_GLYPH_STEP * DOT; column++)
                if (df_glyph_dot(*text, row / DOT, column / DOT))
                    set_pixel(strip, x + column, y + row, colour);
        x += DF_GLYPH_STEP * DOT;
        most--;
    }
}

/* The picture, as many times as large as fits, in the middle of a square of PICTURE pixels. */
static void put_picture(struct strip *strip, int64_t x, int64_t y, const struct df_tiles *tiles,
                        const unsigned char *planes)
{
    int64_t h = tiles->height, w = tiles->width, times = PICTURE / (h > w ? h : w);
    x += (PICTURE - w * times) / 2;
    y += (PICTURE - h * times) / 2;
    for (int64_t i = 0; i < h * times; i++)
        for (int64_t k = 0; k < w * times; k++) {
            int64_t at = i / times * w + k / times;
            unsigned char colour[3];
            for (int c = 0; c < 3; c++)
                colour[c] = planes[(tiles->channels == 3 ? c * h * w : 0) + at];
            set_pixel(strip, x + k, y + i, colour);
        }
}

static int letters_of(const char *text)
{
    int count = 0;
    for (; *text; text++)
        count += ((unsigned char)*text & 0xc0) != 0x80;
    return count;
}

/* The end of an id tells more than its beginning. */
static void put_end(struct strip *strip, int64_t x, int64_t y, const char *text, int most)
{
    int left = letters_of(text) - most;
    if (left <= 0) {
        put_text(strip, x, y, text, most, soft);
        return;
    }
    for (left += 2; left > 0; text++)
        if (((unsigned char)text[1] & 0xc0) != 0x80)
            left--;
    put_text(strip, x, y, "..", 2, soft);
    put_text(strip, x + 2 * DF_GLYPH_STEP * DOT, y, text, most - 2, soft);
}

static void put_tile(struct strip *strip, int64_t x, const struct df_sheet *sheet,
                     const struct df_tiles *tiles, int64_t i, const struct df_tile *tile)
{
    const struct df_selection *selection = sheet->selection;
    char line[2 * TEXT + 8], numbers[2][DF_CLASS_NUMBER];
    const char *first = df_classes_text(numbers[0], &sheet->classes, selection->predicted[i]), *second = "";
    bool beside = !selection->twin_count;
    int most = beside ? BESIDE : LETTERS, at = 0;
    int64_t text_x = beside ? x + PICTURE + SPACE / 2 : x, y = beside ? 0 : PICTURE + GAP;
    put_picture(strip, x, 0, tiles, tile->sample);
    if (tile->twin) {
        put_picture(strip, x + PICTURE + GAP, 0, tiles, tile->twin);
        put_picture(strip, x + 2 * (PICTURE + GAP), 0, tiles, tile->difference);
    }
    at += snprintf(line, sizeof line, "#%lld", (long long)i + 1);
    if (!isnan(selection->score[i]))
        at += df_print(line + at, sizeof line - (size_t)at, " %.6g", selection->score[i]);
    if (tile->twin)
        df_print(line + at, sizeof line - (size_t)at, " x%g", tile->factor);
    else if (i < selection->twin_count)
        snprintf(line + at, sizeof line - (size_t)at, " no twin");
    put_text(strip, text_x, y, line, most, ink);
    if (selection->adversarial_class[i] >= 0)
        second = df_classes_text(numbers[1], &sheet->classes, selection->adversarial_class[i]);
    put_text(strip, text_x, y + LINE, first, second[0] ? (most - 3) / 2 : most, ink);
    if (second[0]) {
        int used = letters_of(first) < (most - 3) / 2 ? letters_of(first) : (most - 3) / 2;
        put_text(strip, text_x + used * DF_GLYPH_STEP * DOT, y + LINE, " > ", 3, ink);
        put_text(strip, text_x + (used + 3) * DF_GLYPH_STEP * DOT, y + LINE, second, most - used - 3, ink);
    }
    put_end(strip, text_x, y + 2 * LINE, sheet->ids[i], most);
}

static void put_head(struct strip *strip, const struct df_sheet *sheet, const struct df_tiles *tiles,
                     int64_t shown)
{
    const struct df_selection *selection = sheet->selection;
    int most = (int)((strip->width - 2 * SPACE) / (DF_GLYPH_STEP * DOT));
    char line[2 * TEXT];
    snprintf(line, sizeof line, "dfal: %lld queries of %lld candidates, strategy %s%s",
             (long long)selection->count, (long long)sheet->candidates, sheet->strategy,
             shown < selection->count ? ", the first " : "");
    if (shown < selection->count)
        snprintf(line + strlen(line), sizeof line - strlen(line), "%lld are shown", (long long)shown);
    put_text(strip, SPACE, SPACE, line, most, ink);
    snprintf(line, sizeof line, "%s",
             selection->twin_count ? "sample, its adversarial twin, difference (x: drawn that much stronger)"
                                   : "sample");
    put_text(strip, SPACE, SPACE + LINE, line, most, soft);
    snprintf(line, sizeof line, "#rank, score; %s; id. %s",
             selection->twin_count ? "class > class of the twin" : "class", df_tiles_range_text(tiles));
    put_text(strip, SPACE, SPACE + 2 * LINE, line, most, soft);
}

/* ---- libpng ------------------------------------------------------------------------------------------ */

static void take_bytes(png_structp png, png_bytep bytes, png_size_t size)
{
    struct df_text *text = png_get_io_ptr(png);
    df_text_append(text, (const char *)bytes, (int64_t)size);
    if (text->status != DFAL_OK)
        png_error(png, "out of memory");
}

static void flush_bytes(png_structp png)
{
    (void)png;
}

static void take_error(png_structp png, png_const_charp message)
{
    snprintf(png_get_error_ptr(png), TEXT, "%s", message);
    longjmp(png_jmpbuf(png), 1);
}

static void take_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

struct writer {
    png_structp png;
    png_infop info;
    char message[TEXT];
};

/* Every call of libpng that may jump stands in one of these two, which hold nothing that would be lost. From
 * memory to memory nothing else than memory can be missing. */
static dfal_status fail_memory(const struct writer *writer)
{
    DF_FAIL(DFAL_E_MEMORY, "no memory for the contact sheet (libpng: %s)", writer->message);
}

static dfal_status write_begin(struct writer *writer, struct df_text *out, int64_t width, int64_t height)
{
    writer->png = png_create_write_struct(PNG_LIBPNG_VER_STRING, writer->message, take_error, take_warning);
    if (writer->png)
        writer->info = png_create_info_struct(writer->png);
    if (!writer->info)
        DF_FAIL(DFAL_E_MEMORY, "the contact sheet could not be begun: libpng has no memory");
    if (setjmp(png_jmpbuf(writer->png)))
        return fail_memory(writer);
    png_set_write_fn(writer->png, out, take_bytes, flush_bytes);
    png_set_IHDR(writer->png, writer->info, (png_uint_32)width, (png_uint_32)height, 8, PNG_COLOR_TYPE_RGB,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(writer->png, writer->info);
    return DFAL_OK;
}

static dfal_status write_rows(struct writer *writer, const struct strip *strip, int64_t rows, bool last)
{
    if (setjmp(png_jmpbuf(writer->png)))
        return fail_memory(writer);
    for (int64_t y = 0; y < rows; y++)
        png_write_row(writer->png, strip->pixels + 3 * y * strip->width);
    if (last)
        png_write_end(writer->png, writer->info);
    return DFAL_OK;
}

dfal_status df_sheet_png(struct df_text *bytes, const struct df_sheet *sheet, struct df_tiles *tiles,
                         int64_t shown)
{
    int64_t columns = shown <= 12 ? 3 : shown <= 100 ? 4 : 6, rows = (shown + columns - 1) / columns;
    int64_t head = 2 * SPACE + HEAD_LINES * LINE;
    int64_t step = PICTURE + SPACE + (sheet->selection->twin_count ? GAP + LINES * LINE : 0);
    struct strip strip = {.width = columns * (TILE + SPACE) + SPACE, .height = head > step ? head : step};
    struct writer writer = {0};
    dfal_status status;
    size_t size = (size_t)(3 * strip.width * strip.height);
    DF_TRY_TO(done, status, df_alloc(&strip.pixels, (int64_t)size, 1));
    DF_TRY_TO(done, status, write_begin(&writer, bytes, strip.width, head + rows * step));
    memset(strip.pixels, 255, size);
    put_head(&strip, sheet, tiles, shown);
    DF_TRY_TO(done, status, write_rows(&writer, &strip, head, rows == 0));
    for (int64_t row = 0; row < rows; row++) {
        memset(strip.pixels, 255, size);
        for (int64_t i = row * columns; i < (row + 1) * columns && i < shown; i++) {
            struct df_tile tile;
            DF_TRY_TO(done, status, df_tile_take(tiles, i, &tile));
            put_tile(&strip, SPACE + i % columns * (TILE + SPACE), sheet, tiles, i, &tile);
        }
        DF_TRY_TO(done, status, write_rows(&writer, &strip, step, row == rows - 1));
    }
done:
    if (writer.png)
        png_destroy_write_struct(&writer.png, &writer.info);
    df_free(strip.pixels);
    return status;
}
