/* SPDX-License-Identifier: Apache-2.0 */
/* WebP through libwebp: one picture, lossy or not; an animation is none. */
#include <stdio.h>
#include <string.h>

#include <webp/decode.h>

#include "base/memory.h"
#include "io/image.h"

enum { RIFF_HEAD = 12, CHUNK_HEAD = 8, EXIF_MARK = 6 };

static size_t little_endian(const uint8_t *b)
{
    return (size_t)b[0] | (size_t)b[1] << 8 | (size_t)b[2] << 16 | (size_t)b[3] << 24;
}

/* Orientation of the chunk EXIF; some write a JPEG's mark before it. size: the whole RIFF, which holds whole
 * chunks. */
static int32_t orientation_of(const uint8_t *bytes, size_t size)
{
    for (size_t at = RIFF_HEAD; size - at >= CHUNK_HEAD;) {
        size_t length = little_endian(bytes + at + 4);
        const uint8_t *data = bytes + at + CHUNK_HEAD;
        if (length > size - at - CHUNK_HEAD)
            break;
        if (memcmp(bytes + at, "EXIF", 4) == 0) {
            const size_t mark = length > EXIF_MARK && memcmp(data, "Exif\0", EXIF_MARK) == 0 ? EXIF_MARK : 0;
            return df_exif_orientation(data + mark, length - mark);
        }
        length += length & 1;
        if (length > size - at - CHUNK_HEAD)
            break;
        at += CHUNK_HEAD + length;
    }
    return 1;
}

static dfal_status fail(VP8StatusCode code)
{
    if (code == VP8_STATUS_OUT_OF_MEMORY)
        DF_FAIL(DFAL_E_MEMORY, "no memory for a WebP picture");
    DF_FAIL(DFAL_E_DATA, "the WebP is damaged or truncated (%s)",
            code == VP8_STATUS_UNSUPPORTED_FEATURE ? "a feature that is not known"
            : code == VP8_STATUS_SUSPENDED || code == VP8_STATUS_NOT_ENOUGH_DATA ? "the file ends early"
                                                                                 : "broken data");
}

dfal_status df_webp_decode(struct df_row_sink *sink, const uint8_t *bytes, size_t size,
                           struct df_image_limits limits)
{
    WebPDecoderConfig config;
    uint8_t *pixels = NULL;
    dfal_status status;
    const size_t riff = CHUNK_HEAD + little_endian(bytes + 4);
    if (riff > size || riff < RIFF_HEAD)
        DF_FAIL(DFAL_E_DATA, "the WebP is damaged or truncated (%zu of %zu bytes)", size, riff);
    if (!WebPInitDecoderConfig(&config))
        DF_FAIL(DFAL_E_UNAVAILABLE,
                "the libwebp here has another interface than the one dfal was built with");
    VP8StatusCode code = WebPGetFeatures(bytes, riff, &config.input);
    if (code != VP8_STATUS_OK)
        return fail(code);
    if (config.input.has_animation)
        DF_FAIL(DFAL_E_DATA, "an animated WebP, expected one picture");
    const int64_t width = config.input.width, height = config.input.height;
    const int64_t pitch = width * DF_COLOUR + DF_ROW_PADDING;
    DF_TRY(df_image_check(width, height, limits, true));
    DF_TRY_TO(done, status, df_alloc(&pixels, height * pitch, 1));
    DF_TRY_TO(done, status,
              sink->begin(sink, width, height, DF_COLOUR,
                          orientation_of(bytes, riff) | (config.input.has_alpha ? DF_PICTURE_ALPHA : 0)));
    config.output.colorspace = MODE_RGBA;
    config.output.is_external_memory = 1;
    config.output.u.RGBA = (WebPRGBABuffer){pixels, (int)pitch, (size_t)(height * pitch)};
    code = WebPDecode(bytes, riff, &config);
    if (code != VP8_STATUS_OK)
        status = fail(code);
    for (int64_t y = 0; y < height && status == DFAL_OK; y++)
        status = sink->row(sink, pixels + y * pitch);
done:
    df_free(pixels);
    return status;
}

void df_webp_library(char text[DF_IMAGE_LIBRARY])
{
    const int version = WebPGetDecoderVersion();
    snprintf(text, DF_IMAGE_LIBRARY, "libwebp %d.%d.%d", version >> 16, version >> 8 & 255, version & 255);
}
