/* SPDX-License-Identifier: Apache-2.0 */
/* A picture file in memory, and what decoding it gives. */
#ifndef DFAL_TESTS_SUPPORT_IMAGE_H
#define DFAL_TESTS_SUPPORT_IMAGE_H

#include "io/image_fit.h"

enum { PICTURE_BYTES = 1 << 16 };

struct picture {
    uint8_t bytes[PICTURE_BYTES];
    size_t size;
};

/* sample NULL: only the shape. */
dfal_status decode_with(const struct picture *picture, const struct df_image_fit *fit, struct df_shape *shape,
                        uint8_t *sample, struct df_image_limits limits);
struct df_shape decode(const struct picture *picture, struct df_image_fit fit, uint8_t *sample);
void assert_shape(struct df_shape shape, int64_t c, int64_t h, int64_t w);

#endif
