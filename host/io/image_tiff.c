/* SPDX-License-Identifier: Apache-2.0 */
/* TIFF through libtiff: the first picture of a file in memory. Rows are read as they are stored and made 8
 * bits here, for libtiff's own way to RGBA rounds 16 bits, palettes and inks other than Pillow does, and
 * multiplies with alpha. */
#include <stdio.h>
#include <string.h>

#include <tiffio.h>

#include "base/memory.h"
#include "base/number.h"
#include "io/image.h"
#include "io/image_fit.h"

#if TIFFLIB_VERSION < 20221213
#error                                                                                                       \
    "libtiff 4.5 or later is needed: earlier ones print, or have one handler of messages for a whole process"
#endif

enum { SAMPLES_MOST = 5, TAKEN_MOST = 4, ALLOCATION_MOST = 1 << 29 };

struct decoder {
    const uint8_t *bytes;
    size_t size, at;
    TIFF *tiff;
    bool failed;
    char reason[160]; /* the first message */
    /* of the picture */
    uint32_t width, height;
    uint16_t bits, samples, photometric, planar, extra;
    int64_t planes, row_bytes; /* of each plane, as it is stored */
    bool tiled;
    uint16_t *map[3];
    uint8_t *raw;  /* [planes, rows, row_bytes]: one row, or all of a held picture */
    uint8_t *tile; /* one */
    uint8_t *row;  /* what the sink gets */
};

/* ---- the file ------------------------------------------------------------------------------------------ */

static tmsize_t read_bytes(thandle_t user, void *out, tmsize_t size)
{
    struct decoder *d = user;
    const size_t left = d->size - d->at, n = (size_t)size < left ? (size_t)size : left;
    memcpy(out, d->bytes + d->at, n);
    d->at += n;
    return (tmsize_t)n;
}

static tmsize_t write_bytes(thandle_t user, void *bytes, tmsize_t size)
{
    (void)user, (void)bytes, (void)size;
    return 0;
}

static toff_t seek(thandle_t user, toff_t offset, int whence)
{
    struct decoder *d = user;
    const toff_t from = whence == SEEK_CUR ? d->at : whence == SEEK_END ? d->size : 0;
    const toff_t to = from + offset;
    d->at = to < d->size ? (size_t)to : d->size;
    return d->at;
}

static int close_file(thandle_t user)
{
    (void)user;
    return 0;
}

static toff_t size_of(thandle_t user)
{
    return ((struct decoder *)user)->size;
}

static void DFAL_PRINTF(2, 0) keep_reason(struct decoder *d, const char *format, va_list arguments)
{
    if (!d->failed)
        df_vprint(d->reason, sizeof d->reason, format, arguments);
    d->failed = true;
}

static int on_error(TIFF *tiff, void *user, const char *module, const char *format, va_list arguments)
{
    (void)tiff, (void)module;
    keep_reason(user, format, arguments);
    return 1;
}

/* Warnings of these two tell of lost pixels; of the others nobody needs to know. */
static int on_warning(TIFF *tiff, void *user, const char *module, const char *format, va_list arguments)
{
    (void)tiff;
    if (module && (strncmp(module, "Fax", 3) == 0 || strncmp(module, "JPEG", 4) == 0))
        keep_reason(user, format, arguments);
    return 1;
}

static dfal_status fail(const struct decoder *d)
{
    char shown[DF_SHOWN_TEXT];
    DF_FAIL(DFAL_E_DATA, "the TIFF is damaged or truncated (%s)",
            df_shown(shown, d->failed ? d->reason : "no picture in it"));
}

static dfal_status open_file(struct decoder *d)
{
    TIFFOpenOptions *options = TIFFOpenOptionsAlloc();
    if (!options)
        DF_FAIL(DFAL_E_MEMORY, "no memory for a TIFF picture");
    TIFFOpenOptionsSetMaxSingleMemAlloc(options, ALLOCATION_MOST);
    TIFFOpenOptionsSetErrorHandlerExtR(options, on_error, d);
    TIFFOpenOptionsSetWarningHandlerExtR(options, on_warning, d);
    d->tiff = TIFFClientOpenExt("TIFF", "rm", d, read_bytes, write_bytes, seek, close_file, size_of, NULL,
                                NULL, options);
    TIFFOpenOptionsFree(options);
    return d->tiff ? DFAL_OK : fail(d);
}

/* ---- what it is ---------------------------------------------------------------------------------------- */

static bool is_known(uint16_t compression)
{
    static const uint16_t known[] = {COMPRESSION_NONE,          COMPRESSION_CCITTRLE, COMPRESSION_CCITTFAX3,
                                     COMPRESSION_CCITTFAX4,     COMPRESSION_LZW,      COMPRESSION_JPEG,
                                     COMPRESSION_ADOBE_DEFLATE, COMPRESSION_DEFLATE,  COMPRESSION_PACKBITS};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (compression == known[i])
            return true;
    return false;
}

/* How many of a pixel's samples are colours: 0 where such a picture is not read. */
static int colours_of(const struct decoder *d)
{
    const bool whole_bytes = d->bits == 8 || d->bits == 16,
               small = d->bits == 1 || d->bits == 2 || d->bits == 4;
    switch (d->photometric) {
    case PHOTOMETRIC_MINISBLACK:
    case PHOTOMETRIC_MINISWHITE:
        return whole_bytes || (small && d->samples == 1) ? 1 : 0;
    case PHOTOMETRIC_PALETTE:
        return (d->bits == 8 || small) && d->samples == 1 ? 1 : 0;
    case PHOTOMETRIC_RGB:
    case PHOTOMETRIC_YCBCR: /* which libtiff turns into red, green and blue */
        return whole_bytes ? 3 : 0;
    case PHOTOMETRIC_SEPARATED:
        return whole_bytes ? 4 : 0;
    default:
        return 0;
    }
}

static dfal_status read_kind(struct decoder *d)
{
    uint16_t compression = 0, format = 0, extras = 0, ink = INKSET_CMYK, *types = NULL;
    TIFF *tiff = d->tiff;
    (void)TIFFGetFieldDefaulted(tiff, TIFFTAG_IMAGEWIDTH, &d->width);
    (void)TIFFGetFieldDefaulted(tiff, TIFFTAG_IMAGELENGTH, &d->height);
    (void)TIFFGetFieldDefaulted(tiff, TIFFTAG_BITSPERSAMPLE, &d->bits);
    (void)TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLESPERPIXEL, &d->samples);
    (void)TIFFGetFieldDefaulted(tiff, TIFFTAG_PLANARCONFIG, &d->planar);
    (void)TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLEFORMAT, &format);
    (void)TIFFGetFieldDefaulted(tiff, TIFFTAG_COMPRESSION, &compression);
    (void)TIFFGetFieldDefaulted(tiff, TIFFTAG_INKSET, &ink);
    if (TIFFGetFieldDefaulted(tiff, TIFFTAG_EXTRASAMPLES, &extras, &types) && extras > 0)
        d->extra = types[0];
    if (!TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &d->photometric))
        return fail(d);
    const bool jpeg_colour = d->photometric == PHOTOMETRIC_YCBCR;
    if (jpeg_colour && compression == COMPRESSION_JPEG && d->planar == PLANARCONFIG_CONTIG)
        (void)TIFFSetField(tiff, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
    else if (jpeg_colour)
        compression = 0;
    const int colours = colours_of(d);
    if (!is_known(compression) || colours == 0 || d->samples < colours || d->samples > SAMPLES_MOST ||
        (format != SAMPLEFORMAT_UINT && format != SAMPLEFORMAT_VOID) || ink != INKSET_CMYK)
        DF_FAIL(DFAL_E_DATA,
                "a TIFF of %d samples of %d bits, photometric %d, sample format %d, compression %d: expected "
                "grey, RGB, "
                "palette or CMYK of at most 16 bits, without compression or with LZW, deflate, PackBits, "
                "JPEG or fax",
                d->samples, d->bits, d->photometric, format, compression);
    if (d->photometric == PHOTOMETRIC_PALETTE &&
        !TIFFGetField(tiff, TIFFTAG_COLORMAP, &d->map[0], &d->map[1], &d->map[2]))
        return fail(d);
    return DFAL_OK;
}

/* ---- rows ---------------------------------------------------------------------------------------------- */

static dfal_status read_tiles(struct decoder *d, int64_t plane, uint8_t *to)
{
    uint32_t wide = 0, high = 0;
    (void)TIFFGetField(d->tiff, TIFFTAG_TILEWIDTH, &wide);
    (void)TIFFGetField(d->tiff, TIFFTAG_TILELENGTH, &high);
    const int64_t bits = (int64_t)d->bits * (d->planes > 1 ? 1 : d->samples), row = wide * bits / 8;
    const tmsize_t size = TIFFTileSize(d->tiff);
    if (wide == 0 || high == 0 || wide * bits % 8 != 0 || size < row * high || size > DF_SAMPLE_MOST)
        DF_FAIL(DFAL_E_DATA, "the TIFF is damaged (tiles of %u x %u pixels)", wide, high);
    if (!d->tile)
        DF_TRY(df_alloc(&d->tile, size, 1));
    for (uint32_t y = 0; y < d->height; y += high)
        for (uint32_t x = 0; x < d->width; x += wide) {
            const uint32_t number = TIFFComputeTile(d->tiff, x, y, 0, (uint16_t)plane);
            if (TIFFReadEncodedTile(d->tiff, number, d->tile, size) < 0 || d->failed)
                return fail(d);
            const int64_t at = x * bits / 8, n = row < d->row_bytes - at ? row : d->row_bytes - at;
            for (uint32_t k = 0; k < high && k < d->height - y; k++)
                memcpy(to + (y + k) * d->row_bytes + at, d->tile + k * row, (size_t)n);
        }
    return DFAL_OK;
}

static dfal_status read_line(struct decoder *d, int64_t plane, uint32_t y, uint8_t *to)
{
    if (TIFFReadScanline(d->tiff, to, y, (uint16_t)plane) < 0 || d->failed)
        return fail(d);
    return DFAL_OK;
}

static dfal_status hold(struct decoder *d)
{
    for (int64_t plane = 0; plane < d->planes; plane++) {
        uint8_t *to = d->raw + plane * d->height * d->row_bytes;
        if (d->tiled)
            DF_TRY(read_tiles(d, plane, to));
        for (uint32_t y = 0; y < d->height && !d->tiled; y++)
            DF_TRY(read_line(d, plane, y, to + y * d->row_bytes));
    }
    return DFAL_OK;
}

/* Sample i of a row, as it is; of 16 bits the high byte. */
static uint8_t sample_at(const uint8_t *row, int64_t i, int bits)
{
    uint16_t wide;
    switch (bits) {
    case 8:
        return row[i];
    case 16:
        memcpy(&wide, row + 2 * i, sizeof wide);
        return (uint8_t)(wide >> 8);
    default:
        return (uint8_t)(row[i * bits / 8] >> (8 - bits - i * bits % 8) & ((1 << bits) - 1));
    }
}

/* Red, green and blue that were multiplied with alpha, as Pillow divides them. */
static void divide_by_alpha(uint8_t pixel[DF_COLOUR])
{
    const int alpha = pixel[3];
    for (int c = 0; c < 3 && alpha != 255; c++) {
        const int value = alpha ? pixel[c] * 255 / alpha : 0;
        pixel[c] = (uint8_t)(value < 255 ? value : 255);
    }
}

/* first: a row of the first plane; the same row of the next one lies `plane` bytes behind. */
static void give_pixels(const struct decoder *d, const uint8_t *first, int64_t plane)
{
    const int taken = d->samples < TAKEN_MOST ? d->samples : TAKEN_MOST;
    const bool grey = d->photometric == PHOTOMETRIC_MINISBLACK || d->photometric == PHOTOMETRIC_MINISWHITE;
    const uint8_t white = d->photometric == PHOTOMETRIC_MINISWHITE ? 255 : 0;
    for (int64_t x = 0; x < d->width; x++) {
        uint8_t value[TAKEN_MOST] = {0};
        for (int s = 0; s < taken; s++)
            value[s] = d->planes > 1 ? sample_at(first + s * plane, x, d->bits)
                                     : sample_at(first, x * d->samples + s, d->bits);
        if (grey) {
            const int most = d->bits < 8 ? (1 << d->bits) - 1 : 255;
            d->row[x] = (uint8_t)(value[0] * 255 / most) ^ white;
            continue;
        }
        uint8_t *pixel = d->row + DF_COLOUR * x;
        memcpy(pixel, value, DF_COLOUR);
        for (int c = 0; c < 3 && d->photometric == PHOTOMETRIC_PALETTE; c++)
            pixel[c] = (uint8_t)(d->map[c][value[0]] >> 8);
        for (int c = 0; c < 4 && d->photometric == PHOTOMETRIC_SEPARATED; c++)
            pixel[c] = 255 - value[c];
        if (d->samples == 4 && d->extra == EXTRASAMPLE_ASSOCALPHA && d->photometric == PHOTOMETRIC_RGB)
            divide_by_alpha(pixel);
    }
    if (d->photometric == PHOTOMETRIC_SEPARATED)
        df_image_inks_to_light(d->row, d->width);
}

static dfal_status give_rows(struct decoder *d, struct df_row_sink *sink, bool held)
{
    for (uint32_t y = 0; y < d->height; y++) {
        if (!held)
            DF_TRY(read_line(d, 0, y, d->raw));
        give_pixels(d, d->raw + (held ? y * d->row_bytes : 0), d->height * d->row_bytes);
        DF_TRY(sink->row(sink, d->row));
    }
    return DFAL_OK;
}

static dfal_status decode(struct decoder *d, struct df_row_sink *sink, struct df_image_limits limits)
{
    uint16_t orientation = 1;
    DF_TRY(open_file(d));
    DF_TRY(read_kind(d));
    d->tiled = TIFFIsTiled(d->tiff) != 0;
    d->planes = d->planar == PLANARCONFIG_SEPARATE ? d->samples : 1;
    d->row_bytes = ((int64_t)d->width * d->bits * (d->planes > 1 ? 1 : d->samples) + 7) / 8;
    const bool held = d->tiled || d->planes > 1;
    DF_TRY(df_image_check(d->width, d->height, limits, held));
    if (!d->tiled && TIFFScanlineSize(d->tiff) != d->row_bytes)
        return fail(d);
    const int64_t rows = held ? d->planes * d->height : 1;
    if (rows > DF_SAMPLE_MOST / d->row_bytes)
        DF_FAIL(DFAL_E_DATA, "the picture has %lld x %u pixels of %d samples, expected at most %d bytes",
                (long long)d->width, d->height, d->samples, DF_SAMPLE_MOST);
    const bool grey = d->photometric == PHOTOMETRIC_MINISBLACK || d->photometric == PHOTOMETRIC_MINISWHITE;
    const int32_t lanes = grey ? DF_GREY : DF_COLOUR;
    (void)TIFFGetFieldDefaulted(d->tiff, TIFFTAG_ORIENTATION, &orientation);
    orientation = orientation >= 1 && orientation <= 8 ? orientation : 1;
    DF_TRY(df_alloc(&d->raw, rows * d->row_bytes, 1));
    DF_TRY(df_alloc(&d->row, (int64_t)d->width * lanes + DF_ROW_PADDING, 1));
    const int32_t alpha =
        d->extra == EXTRASAMPLE_ASSOCALPHA || d->extra == EXTRASAMPLE_UNASSALPHA ? DF_PICTURE_ALPHA : 0;
    DF_TRY(sink->begin(sink, d->width, d->height, lanes, orientation | DF_ORIENTATION_OWN | alpha));
    if (held)
        DF_TRY(hold(d));
    return give_rows(d, sink, held);
}

dfal_status df_tiff_decode(struct df_row_sink *sink, const uint8_t *bytes, size_t size,
                           struct df_image_limits limits)
{
    struct decoder d = {.bytes = bytes, .size = size};
    const dfal_status status = decode(&d, sink, limits);
    if (d.tiff)
        TIFFClose(d.tiff);
    df_free(d.raw);
    df_free(d.tile);
    df_free(d.row);
    return status;
}

void df_tiff_library(char text[DF_IMAGE_LIBRARY])
{
    const char *version = TIFFGetVersion(); /* "LIBTIFF, Version 4.5.0\nCopyright ..." */
    const char *number = strpbrk(version, "0123456789");
    snprintf(text, DF_IMAGE_LIBRARY, "libtiff %.*s", (int)strcspn(number ? number : "", "\n"),
             number ? number : "");
}
