/* SPDX-License-Identifier: Apache-2.0 */
/* PNG through libpng. */
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <png.h>

#include "base/memory.h"
#include "io/image.h"

enum { SIGNATURE = 8, CHUNK_HEAD = 8, CHUNK_SUM = 4 };

struct decoder {
    png_structp png;
    png_infop info;
    jmp_buf failed;
    char reason[160];
    const uint8_t *bytes;
    size_t size, at;
    uint8_t *pixels; /* one row, or all of an interlaced picture */
    uint8_t **rows;
};

static void on_error(png_structp png, png_const_charp text)
{
    struct decoder *decoder = png_get_error_ptr(png);
    snprintf(decoder->reason, sizeof decoder->reason, "%s", text);
    longjmp(decoder->failed, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    (void)png, (void)text;
}

static void on_read(png_structp png, png_bytep out, size_t size)
{
    struct decoder *decoder = png_get_io_ptr(png);
    if (size > decoder->size - decoder->at)
        png_error(png, "the file ends early");
    memcpy(out, decoder->bytes + decoder->at, size);
    decoder->at += size;
}

static uint32_t big_endian(const uint8_t *b)
{
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* The orientation has to be known before the first row, and its chunk may stand behind the last. */
static int32_t orientation_of(const uint8_t *bytes, size_t size)
{
    for (size_t at = SIGNATURE; size - at >= CHUNK_HEAD + CHUNK_SUM;) {
        const size_t length = big_endian(bytes + at);
        if (length > size - at - CHUNK_HEAD - CHUNK_SUM)
            break;
        if (memcmp(bytes + at + 4, "eXIf", 4) == 0)
            return df_exif_orientation(bytes + at + CHUNK_HEAD, length);
        at += CHUNK_HEAD + length + CHUNK_SUM;
    }
    return 1;
}

/* Everything becomes 8 bits, grey or red, green, blue and one more byte. Texts and profiles are not even
 * unpacked. */
static int32_t choose_lanes(struct decoder *decoder)
{
    png_structp png = decoder->png;
    const int type = png_get_color_type(png, decoder->info), depth = png_get_bit_depth(png, decoder->info);
    if (depth == 16)
        png_set_strip_16(png);
    if (!(type & PNG_COLOR_MASK_COLOR)) {
        if (depth < 8)
            png_set_expand_gray_1_2_4_to_8(png);
        png_set_strip_alpha(png);
        return DF_GREY;
    }
    if (type == PNG_COLOR_TYPE_PALETTE)
        png_set_palette_to_rgb(png);
    png_set_filler(png, 0xff, PNG_FILLER_AFTER);
    return DF_COLOUR;
}

static dfal_status give_held(struct decoder *decoder, struct df_row_sink *sink, int64_t height, int64_t row)
{
    DF_TRY(df_alloc(&decoder->pixels, height * row, 1));
    DF_TRY(df_alloc(&decoder->rows, height, sizeof *decoder->rows));
    for (int64_t y = 0; y < height; y++)
        decoder->rows[y] = decoder->pixels + y * row;
    png_read_image(decoder->png, decoder->rows);
    png_read_end(decoder->png, NULL);
    for (int64_t y = 0; y < height; y++)
        DF_TRY(sink->row(sink, decoder->rows[y]));
    return DFAL_OK;
}

static dfal_status give_rows(struct decoder *decoder, struct df_row_sink *sink, int64_t height, int64_t row)
{
    DF_TRY(df_alloc(&decoder->pixels, row, 1));
    for (int64_t y = 0; y < height; y++) {
        png_read_row(decoder->png, decoder->pixels, NULL);
        DF_TRY(sink->row(sink, decoder->pixels));
    }
    png_read_end(decoder->png, NULL);
    return DFAL_OK;
}

static dfal_status decode(struct decoder *decoder, struct df_row_sink *sink, struct df_image_limits limits)
{
    png_structp png = decoder->png;
    png_set_read_fn(png, decoder, on_read);
    png_set_user_limits(png, DF_IMAGE_SIDE, DF_IMAGE_SIDE);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER,
                                (png_const_bytep) "iCCP\0zTXt\0iTXt\0tEXt\0eXIf\0sPLT", 6);
    png_read_info(png, decoder->info);
    const int64_t width = png_get_image_width(png, decoder->info);
    const int64_t height = png_get_image_height(png, decoder->info);
    const bool held = png_get_interlace_type(png, decoder->info) != PNG_INTERLACE_NONE;
    DF_TRY(df_image_check(width, height, limits, held));
    const int32_t alpha = (png_get_color_type(png, decoder->info) & PNG_COLOR_MASK_ALPHA) ||
                                  png_get_valid(png, decoder->info, PNG_INFO_tRNS)
                              ? DF_PICTURE_ALPHA
                              : 0;
    const int32_t lanes = choose_lanes(decoder);
    if (held)
        (void)png_set_interlace_handling(png);
    png_read_update_info(png, decoder->info);
    if (png_get_channels(png, decoder->info) != lanes || png_get_bit_depth(png, decoder->info) != 8)
        DF_FAIL(DFAL_E_INTERNAL, "libpng gives %d channels of %d bits, expected %d of 8",
                png_get_channels(png, decoder->info), png_get_bit_depth(png, decoder->info), lanes);
    DF_TRY(sink->begin(sink, width, height, lanes, orientation_of(decoder->bytes, decoder->size) | alpha));
    const int64_t row = width * lanes + DF_ROW_PADDING;
    return held ? give_held(decoder, sink, height, row) : give_rows(decoder, sink, height, row);
}

dfal_status df_png_decode(struct df_row_sink *sink, const uint8_t *bytes, size_t size,
                          struct df_image_limits limits)
{
    struct decoder decoder = {.bytes = bytes, .size = size};
    dfal_status status;
    decoder.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &decoder, on_error, on_warning);
    if (decoder.png)
        decoder.info = png_create_info_struct(decoder.png);
    if (!decoder.info)
        status = df_fail(DFAL_E_MEMORY, "no memory for a PNG picture");
    else if (setjmp(decoder.failed) == 0)
        status = decode(&decoder, sink, limits);
    else
        status = df_fail(strcmp(decoder.reason, "Out of memory") == 0 ? DFAL_E_MEMORY : DFAL_E_DATA,
                         "the PNG is damaged or truncated (%s)", decoder.reason);
    png_destroy_read_struct(&decoder.png, &decoder.info, NULL);
    df_free(decoder.pixels);
    df_free(decoder.rows);
    return status;
}

void df_png_library(char text[DF_IMAGE_LIBRARY])
{
    snprintf(text, DF_IMAGE_LIBRARY, "libpng %s", png_get_libpng_ver(NULL));
}
