/* SPDX-License-Identifier: Apache-2.0 */
#include "support_image.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "support.h"

dfal_status decode_with(const struct picture *picture, const struct df_image_fit *fit, struct df_shape *shape,
                        uint8_t *sample, struct df_image_limits limits)
{
    struct df_fitter fitter;
    df_fitter_init(&fitter, fit);
    dfal_status status = df_image_decode(&fitter.sink, picture->bytes, picture->size, limits);
    if (status == DFAL_OK && sample) {
        fitter.sample = sample;
        status = df_image_decode(&fitter.sink, picture->bytes, picture->size, limits);
    }
    *shape = fitter.shape;
    df_fitter_clear(&fitter);
    return status;
}

struct df_shape decode(const struct picture *picture, struct df_image_fit fit, uint8_t *sample)
{
    struct df_shape shape;
    test_ok(decode_with(picture, &fit, &shape, sample, DF_IMAGE_LIMITS));
    return shape;
}

void assert_shape(struct df_shape shape, int64_t c, int64_t h, int64_t w)
{
    assert_int_equal(shape.c, c);
    assert_int_equal(shape.h, h);
    assert_int_equal(shape.w, w);
}
