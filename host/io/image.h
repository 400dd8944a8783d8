/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures: JPEG, PNG, WebP, BMP and TIFF in memory become rows, rows become one sample of a pool. A picture
 * is never held whole unless its file leaves no other way (progressive JPEG, interlaced PNG, WebP, TIFF in
 * tiles or planes). Internal to host/io. */
#ifndef DF_IO_IMAGE_H
#define DF_IO_IMAGE_H

#include "base/status.h"

/* Bytes behind a row that may be read (and are then multiplied by zero). */
enum { DF_ROW_PADDING = 64 };
/* Lanes of a pixel: grey, or red, green, blue and one that is not looked at. */
enum { DF_GREY = 1, DF_COLOUR = 4 };

/* An orientation that belongs to the format itself, as TIFF's: it is followed even where EXIF is not. */
enum { DF_ORIENTATION_OWN = 16 };
/* Beside an orientation: the file says of its pixels how transparent they are, which is not looked at. */
enum { DF_PICTURE_ALPHA = 32 };

/* What a decoder tells and gives: begin once, then each row from the top. */
struct df_row_sink {
    /* orientation: EXIF's 1..8, of the rows that follow, and DF_ORIENTATION_OWN and DF_PICTURE_ALPHA where
     * they hold */
    dfal_status (*begin)(struct df_row_sink *self, int64_t width, int64_t height, int32_t lanes,
                         int32_t orientation);
    /* pixels [width * lanes], with DF_ROW_PADDING more bytes that are there; the sink may write to them */
    dfal_status (*row)(struct df_row_sink *self, uint8_t *pixels);
};

/* Most pixels of a picture that comes row by row, and of one that has to be held. */
struct df_image_limits {
    int64_t rows, held;
};
#define DF_IMAGE_LIMITS ((struct df_image_limits){1000000000, 100000000})
enum { DF_IMAGE_SIDE = 1000000 };

/* Decode by content. Grey, palette, 1 to 16 bits (the high byte counts), CMYK and YCCK (Adobe's, inverted)
 * come out as DF_GREY or DF_COLOUR; alpha, gamma and colour profiles are not looked at (but colours that a
 * TIFF says to be multiplied with alpha are divided again); of an animated PNG the default picture, of a TIFF
 * the first.
 * Errors   E_DATA no such picture, of a kind that is not read, damaged, truncated, over the limits: the
 *          reason without the file's name; E_MEMORY; the sink's */
dfal_status df_image_decode(struct df_row_sink *sink, const uint8_t *bytes, size_t size,
                            struct df_image_limits limits);
typedef dfal_status df_image_decoder(struct df_row_sink *sink, const uint8_t *bytes, size_t size,
                                     struct df_image_limits limits);
df_image_decoder df_jpeg_decode, df_png_decode, df_webp_decode, df_bmp_decode, df_tiff_decode;
/* What the messages call them. */
#define DF_IMAGE_KINDS "JPEG, PNG, WebP, BMP or TIFF"
/* Whether a name ends as those of such pictures do. */
bool df_image_is_named(const char *name);
/* The same for messages: ".jpg, .png or ..." */
#define DF_IMAGE_NAMES ".jpg, .jpeg, .jpe, .jfif, .png, .webp, .bmp, .tif or .tiff"
/* Refuse a picture larger than a limit, or of no pixel. held: it is kept whole. */
dfal_status df_image_check(int64_t width, int64_t height, struct df_image_limits limits, bool held);
/* Inks to light as Pillow does: light = black * colour / 255, rounded. pixels [width, 4]: 255 - ink. */
void df_image_inks_to_light(uint8_t *pixels, int64_t width);
/* "libjpeg-turbo 2.1.5, libpng 1.6.39, libwebp 1.2.4, libtiff 4.5.0" */
enum { DF_IMAGE_LIBRARY = 48, DF_IMAGE_LIBRARIES = 4 * DF_IMAGE_LIBRARY };
void df_image_libraries(char text[DF_IMAGE_LIBRARIES]);
void df_jpeg_library(char text[DF_IMAGE_LIBRARY]);
void df_png_library(char text[DF_IMAGE_LIBRARY]);
void df_webp_library(char text[DF_IMAGE_LIBRARY]);
void df_tiff_library(char text[DF_IMAGE_LIBRARY]);

/* Orientation 1..8 of a TIFF block (what follows "Exif\0\0" in a JPEG, or a PNG's eXIf); 1 where it has
 * none. */
int32_t df_exif_orientation(const uint8_t *tiff, size_t size);

#endif
