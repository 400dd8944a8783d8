/* SPDX-License-Identifier: Apache-2.0 */
/* JPEG, PNG and EXIF from memory, through the whole resize. The last byte chooses how; behind a picture's end
 * it is nobody's. What decodes once decodes again to the same bytes. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/image_fit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SAMPLE_MOST = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t how = size ? data[size - 1] : 0;
    const struct df_image_fit fit = {
        .resize = how & 1 ? 1 + how % 23 : 0,
        .crop = how & 2 ? 1 + how % 31 : 0,
        .interpolation = how & 4 ? DF_BICUBIC : DF_BILINEAR,
        .channels = how & 8 ? 1 : 3,
    };
    const struct df_image_limits limits = {1 << 18, 1 << 16};
    const int64_t live = df_alloc_live();
    struct df_fitter fitter;
    uint8_t *samples[2] = {NULL, NULL};
    const int32_t orientation = df_exif_orientation(data, size);
    if (orientation < 1 || orientation > 8)
        abort();
    df_fitter_init(&fitter, &fit);
    dfal_status status = df_image_decode(&fitter.sink, data, size, limits);
    if (status != DFAL_OK && !dfal_last_error()[0])
        abort();
    if (status == DFAL_OK && df_shape_size(fitter.shape) <= SAMPLE_MOST) {
        const int64_t bytes = df_shape_size(fitter.shape);
        for (int i = 0; i < 2; i++) {
            if (df_alloc(&samples[i], bytes, 1) != DFAL_OK)
                abort();
            memset(samples[i], i ? 0xff : 0, (size_t)bytes);
            fitter.sample = samples[i];
            if (df_image_decode(&fitter.sink, data, size, limits) != DFAL_OK)
                abort();
        }
        if (memcmp(samples[0], samples[1], (size_t)bytes) != 0)
            abort();
    }
    df_free(samples[0]);
    df_free(samples[1]);
    df_fitter_clear(&fitter);
    if (df_alloc_live() != live)
        abort();
    return 0;
}
