/* SPDX-License-Identifier: Apache-2.0 */
/* One axis of a resize: which input samples make each output sample, and with what weights. Internal to
 * host/io. */
#ifndef DF_IO_IMAGE_AXIS_H
#define DF_IO_IMAGE_AXIS_H

#include "base/status.h"

enum df_interpolation { DF_BILINEAR, DF_BICUBIC };

/* Weights are whole numbers of 2^-22, so that sums of bytes are exact in 32 bits and their order does not
 * matter. */
enum { DF_WEIGHT_BITS = 22 };

struct df_axis {
    int64_t count;   /* outputs */
    int64_t stride;  /* weights an output, a multiple of 8; those behind `taps` are zero */
    int64_t most;    /* taps of the widest output */
    int32_t *low;    /* [count] first input */
    int32_t *taps;   /* [count] inputs */
    int32_t *weight; /* [count, stride] */
    double *scratch; /* [most] */
    int64_t count_room, weight_room, scratch_room;
};

/* Outputs first .. first + count - 1 of `in` samples resized to `out`, antialiased: the filter is as wide as
 * a step where it shrinks. mirrored: the inputs come in opposite order. levelled: every output has axis->most
 * taps, some of weight 0, as df_axis_along wants them.
 * Source   Pillow's Image.resize (filters of Turkowski's and Keys' form; a = -0.5) */
dfal_status df_axis_build(struct df_axis *axis, int64_t in, int64_t out, int64_t first, int64_t count,
                          enum df_interpolation interpolation, bool mirrored, bool levelled);
void df_axis_clear(struct df_axis *axis);

/* Rows [n bytes each] of a column's taps to one row: out[j] = sum of weight[t] * row[t][j]. n is rounded up
 * to 32. */
void df_axis_down(uint8_t *out, const uint8_t *const *rows, const int32_t *weight, int64_t taps, int64_t n);
/* One row to the axis->count pixels of a levelled axis, of `lanes` (1 or 4) bytes each; row has
 * DF_ROW_PADDING bytes behind it. */
void df_axis_along(uint8_t *out, const uint8_t *row, const struct df_axis *axis, int32_t lanes);

#endif
