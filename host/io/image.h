/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures: JPEG and PNG in memory become rows, rows become one sample of a pool. A picture is never held whole unless
 * its file leaves no other way (progressive JPEG, interlaced PNG). Internal to host/io. */
#ifndef DF_IO_IMAGE_H
#define DF_IO_IMAGE_H

#include "base/status.h"

/* Bytes behind a row that may be read (and are then multiplied by zero). */
enum { DF_ROW_PADDING = 64 };
/* Lanes of a pixel: grey, or red, green, blue and one that is not looked at. */
enum { DF_GREY = 1, DF_COLOUR = 4 };

/* What a decoder tells and gives: begin once, then each row from the top. */
struct df_row_sink {
    /* orientation: EXIF's 1..8, of the rows that follow */
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

/* Decode by content. Grey, palette, 1 to 16 bits (the high byte counts), CMYK and YCCK (Adobe's, inverted) come out as
 * DF_GREY or DF_COLOUR; alpha, gamma and colour profiles are not looked at; of an animated PNG the default picture.
 * Errors   E_DATA neither JPEG nor PNG, damaged, truncated, over the limits: the reason without the file's name;
 *          E_MEMORY; the sink's */
dfal_status df_image_decode(struct df_row_sink *sink, const uint8_t *bytes, size_t size,
                            struct df_image_limits limits);
dfal_status df_jpeg_decode(struct df_row_sink *sink, const uint8_t *bytes, size_t size,
                           struct df_image_limits limits);
dfal_status df_png_decode(struct df_row_sink *sink, const uint8_t *bytes, size_t size,
                          struct df_image_limits limits);
/* Refuse a picture larger than a limit, or of no pixel. held: it is kept whole. */
dfal_status df_image_check(int64_t width, int64_t height, struct df_image_limits limits, bool held);
/* "libjpeg-turbo 2.1.5, libpng 1.6.39" */
enum { DF_IMAGE_LIBRARIES = 96 };
void df_image_libraries(char text[DF_IMAGE_LIBRARIES]);
void df_jpeg_library(char text[DF_IMAGE_LIBRARIES / 2]);
void df_png_library(char text[DF_IMAGE_LIBRARIES / 2]);

/* Orientation 1..8 of a TIFF block (what follows "Exif\0\0" in a JPEG, or a PNG's eXIf); 1 where it has none. */
int32_t df_exif_orientation(const uint8_t *tiff, size_t size);

#endif
