/* SPDX-License-Identifier: Apache-2.0 */
/* What the decoders share: how large a picture may be, how it is turned, inks. */
#include <string.h>

#include "io/image.h"

dfal_status df_image_check(int64_t width, int64_t height, struct df_image_limits limits, bool held)
{
    int64_t most = held && limits.held < limits.rows ? limits.held : limits.rows;
    if (width < 1 || height < 1)
        DF_FAIL(DFAL_E_DATA, "the picture is %lld x %lld pixels, expected at least one", (long long)width,
                (long long)height);
    if (width > DF_IMAGE_SIDE || height > DF_IMAGE_SIDE)
        DF_FAIL(DFAL_E_DATA, "the picture is %lld x %lld pixels, expected at most %d a side",
                (long long)width, (long long)height, DF_IMAGE_SIDE);
    if (width * height > most)
        DF_FAIL(DFAL_E_DATA, "the picture is %lld x %lld pixels, expected at most %lld in all%s",
                (long long)width, (long long)height, (long long)most,
                held ? " where it has to be held in memory, as this kind has" : "");
    return DFAL_OK;
}

void df_image_inks_to_light(uint8_t *pixels, int64_t width)
{
    for (int64_t i = 0; i < width; i++) {
        uint8_t *pixel = pixels + 4 * i;
        const int black = pixel[3];
        for (int c = 0; c < 3; c++) {
            const int product = (255 - pixel[c]) * black + 128;
            const int light = black - (((product >> 8) + product) >> 8);
            pixel[c] = (uint8_t)(light < 0 ? 0 : light);
        }
    }
}

static uint32_t number(const uint8_t *bytes, int count, bool little)
{
    uint32_t value = 0;
    for (int i = 0; i < count; i++)
        value = value << 8 | bytes[little ? count - 1 - i : i];
    return value;
}

/* TIFF 6.0: byte order, 42, offset of the first directory; a directory is a count and entries of 12 bytes. */
int32_t df_exif_orientation(const uint8_t *tiff, size_t size)
{
    enum { HEADER = 8, ENTRY = 12, TAG = 0x112, BYTE = 1, SHORT = 3, LONG = 4 };
    if (size < HEADER || (memcmp(tiff, "II", 2) != 0 && memcmp(tiff, "MM", 2) != 0))
        return 1;
    const bool little = tiff[0] == 'I';
    if (number(tiff + 2, 2, little) != 42)
        return 1;
    const size_t at = number(tiff + 4, 4, little);
    if (at > size || size - at < 2)
        return 1;
    const size_t entries = number(tiff + at, 2, little), room = (size - at - 2) / ENTRY;
    uint32_t found = 1;
    for (size_t i = 0; i < entries && i < room; i++) {
        const uint8_t *entry = tiff + at + 2 + i * ENTRY;
        const uint32_t type = number(entry + 2, 2, little);
        if (number(entry, 2, little) != TAG || number(entry + 4, 4, little) != 1)
            continue;
        if (type == BYTE || type == SHORT || type == LONG)
            found = number(entry + 8, type == BYTE ? 1 : type == SHORT ? 2 : 4, little);
    }
    return found >= 1 && found <= 8 ? (int32_t)found : 1;
}
