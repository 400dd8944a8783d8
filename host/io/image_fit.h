/* SPDX-License-Identifier: Apache-2.0 */
/* A picture's rows to one sample [C, H, W]: turned, resized, cut, in one pass and a few rows of memory.
 * Internal to host/io. */
#ifndef DF_IO_IMAGE_FIT_H
#define DF_IO_IMAGE_FIT_H

#include "io/image.h"
#include "io/image_axis.h"
#include "tensor/tensor.h"

enum { DF_SAMPLE_MOST = 1 << 30 }; /* bytes of a sample, and of the rows held for one */

/* What is asked for. */
struct df_image_fit {
    int32_t resize, crop; /* 0: none */
    enum df_interpolation interpolation;
    int32_t channels;      /* 1 or 3 */
    int32_t height, width; /* 0: none; else the picture becomes so large, whatever its shape */
    bool ignore_exif;      /* rows stay as they are stored */
};

/* Where one direction of the upright picture goes: `count` samples of the resized one from `first` on, to
 * `at` of `out` (the rest is 0). */
struct df_fit_side {
    int64_t in, resized, first, count, at, out;
};

/* One sample after another; memory is kept between them. */
struct df_fitter {
    struct df_row_sink sink;
    struct df_image_fit fit;
    struct df_shape shape; /* h = 0: any, and nothing is drawn; begin sets it */
    uint8_t *sample;       /* [shape], borrowed */
    /* of the picture at hand */
    int32_t lanes, source_lanes;
    bool rotated;    /* EXIF says that it is to be turned, followed or not */
    bool alpha;      /* its transparency is left out */
    bool turned;     /* rows of the file are columns of the upright picture */
    bool down_first; /* the file's columns are resized before its rows */
    int64_t width, height, row;
    struct df_fit_side across, down; /* of the upright picture */
    struct df_axis columns, rows;    /* of the file */
    bool rows_mirrored;
    int64_t next, depth, pitch;
    uint8_t *ring, *line, *pixels;
    const uint8_t **window;
    int64_t ring_room, line_room, pixels_room, window_room;
};
/* Zero-initialise, then set fit; before each picture set shape and sample. The finished sample is complete
 * when the decoder returns OK. Errors of the sink: E_SHAPE another size than shape; E_DATA larger than 1 GiB;
 * E_MEMORY
 * Source   torchvision's Resize (one number, or two) and CenterCrop */
void df_fitter_init(struct df_fitter *fitter, const struct df_image_fit *fit);
void df_fitter_clear(struct df_fitter *fitter);

#endif
