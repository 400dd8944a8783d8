/* SPDX-License-Identifier: Apache-2.0 */
/* Drawn digits: the embedded data set's pictures, each a function of (seed, stream, index). Internal to
 * host/io. */
#ifndef DF_IO_DIGITS_H
#define DF_IO_DIGITS_H

#include "base/rng.h"

enum { DF_DIGIT_LEAST_SIZE = 12, DF_DIGIT_MOST_SIZE = 256 };

/* Draw one picture of size x size grey values (background 0) and give its class, 0..class_count-1.
 *   canvas  scratch [size * size] f32
 * Order    none: any sample may be drawn alone */
void df_digit_draw(uint8_t *pixels, int32_t *label, float *canvas, int32_t size, int32_t class_count,
                   uint64_t seed, enum df_stream stream, uint64_t index);

#endif
