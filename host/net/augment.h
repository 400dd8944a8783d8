/* SPDX-License-Identifier: Apache-2.0 */
/* Augmentation: a training step sees each row flipped, warped and erased anew, an evaluation never does
 * (docs/NUMERICS.md). A pure function of the row, what is asked for, the seed, the epoch and the row's
 * number, so that no batch, thread or kill changes it. */
#ifndef DF_NET_AUGMENT_H
#define DF_NET_AUGMENT_H

#include "tensor/tensor.h"

/* How far a row may be changed; 0 and "none": not at all. */
struct df_augment {
    double shift;  /* pixels, along each axis */
    double rotate; /* degrees */
    double scale;  /* fraction: factors from 1 - scale to 1 + scale */
    double erase;  /* probability */
    char flip[16]; /* DF_FLIPS */
};
#define DF_FLIPS "none|horizontal|vertical"
bool df_augment_is_none(const struct df_augment *augment);

/* What is done to one row, in this order: it is mirrored; scaled by factor and rotated by degrees, clockwise
 * as pictures are shown, about its centre, then moved, with bilinear interpolation; a rectangle is
 * emptied. */
struct df_augment_draw {
    bool mirror_x, mirror_y; /* left with right; top with bottom */
    double factor, degrees, right, down;
    int64_t top, left, height, width; /* of the rectangle; height 0: there is none */
};
struct df_augment_draw df_augment_draw(const struct df_augment *augment, struct df_shape shape, uint64_t seed,
                                       int32_t epoch, int64_t row);

/* How rows are to be read: their shape, and the value of each channel that an empty pixel has, what a raw 0
 * maps to: offset [offsets], 1 or C of them; none: 0. */
struct df_augment_view {
    struct df_shape shape;
    const double *offset; /* borrowed */
    int32_t offsets;
};
/* Write the augmented row to `to`, which is not x; both [C,H,W]. A draw that does nothing copies. */
void df_augment_row(float *to, const float *x, const struct df_augment_view *view,
                    const struct df_augment_draw *draw);

#endif
